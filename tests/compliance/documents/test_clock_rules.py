"""Due dates: calendar months by the law's own words, days, time zones, and dates that cannot be."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType
from typing import get_args
from zoneinfo import ZoneInfo

import pytest

from compliance.documents import clock_rules, deadlines
from compliance.documents.policy import Policy, Regulation, load_policy, shipped
from compliance.formats.errors import StateError

NOON = "T12:00:00+00:00"


def policy(example: ModuleType, **clocks: int) -> Policy:
    content = example.policy().model_dump(mode="json") | {"clocks": clocks}
    return Policy.model_validate(content)


@pytest.mark.parametrize(
    ("received", "due"),
    [
        ("2026-02-10", "2026-03-10"),  # 28 days
        ("2026-07-15", "2026-08-15"),  # 31 days
        ("2026-01-31", "2026-02-28"),  # Regulation 1182/71, Art. 3(2)(c): no such day, so the last
        ("2028-01-31", "2028-02-29"),
        ("2026-12-05", "2027-01-05"),
    ],
)
@pytest.mark.parametrize("name", shipped())
def test_one_month_is_a_calendar_month(name: str, received: str, due: str) -> None:
    at = deadlines.due_at(datetime.fromisoformat(received + NOON), "gdpr", load_policy(name))
    assert at.isoformat() == due + NOON


def test_forty_five_days_are_days(example: ModuleType) -> None:
    received = datetime(2026, 2, 10, tzinfo=UTC)
    due = deadlines.due_at(received, "ccpa", example.policy())
    assert due == datetime(2026, 3, 27, tzinfo=UTC)


def test_a_month_is_counted_where_the_controller_is(example: ModuleType) -> None:
    evening = datetime(2026, 1, 31, 23, 30, tzinfo=UTC)  # in Berlin it is February already
    berlin = ZoneInfo("Europe/Berlin")
    due = deadlines.due_at(evening, "gdpr", example.policy(), berlin)
    assert due.astimezone(berlin).isoformat() == "2026-03-01T00:30:00+01:00"
    assert deadlines.due_at(evening, "gdpr", example.policy()).day == 28
    summer = datetime(2026, 3, 10, 9, tzinfo=UTC)  # the hour on the wall stays
    assert deadlines.due_at(summer, "gdpr", example.policy(), berlin).hour == 8


def test_a_policy_can_only_end_it_earlier(example: ModuleType) -> None:
    received = datetime(2026, 2, 10, tzinfo=UTC)
    for days, due in ((14, "2026-02-24"), (90, "2026-03-10"), (30, "2026-03-10")):
        rules = policy(example, gdpr=days)
        assert deadlines.due_at(received, "gdpr", rules).date().isoformat() == due
    free = policy(example, contract=90)  # a contract's date is the policy's alone
    assert deadlines.due_at(received, "contract", free).date().isoformat() == "2026-05-11"


def test_an_extension_ends_with_the_law_at_the_latest() -> None:
    received = datetime(2026, 1, 10, tzinfo=UTC)
    due = datetime(2026, 2, 10, tzinfo=UTC)
    latest = clock_rules.latest(received, "gdpr")
    assert latest == datetime(2026, 4, 10, tzinfo=UTC)
    assert deadlines.extended(due, received, 59, 60, latest) == latest
    with pytest.raises(StateError, match="no later date than 2026-04-10: extend by 59 days"):
        deadlines.extended(due, received, 60, 60, latest)
    assert clock_rules.latest(received, "contract") is None


@pytest.mark.parametrize("year", [1, 9999])
def test_a_year_without_due_date_ends_in_a_message(example: ModuleType, year: int) -> None:
    edge = datetime(year, 1 if year == 1 else 12, 1 if year == 1 else 31, tzinfo=UTC)
    zone = ZoneInfo("America/New_York" if year == 1 else "Asia/Tokyo")
    with pytest.raises(StateError, match="between the years"):
        deadlines.due_at(edge, "gdpr", example.policy(), zone)


def test_every_regulation_has_a_rule_with_its_source_and_the_page_has_the_table() -> None:
    assert set(clock_rules.RULES) == set(get_args(Regulation))
    assert all(rule.source for rule in clock_rules.RULES.values())
    page = (Path(__file__).parents[3] / "docs" / "record.md").read_text()
    assert clock_rules.as_markdown() in page
