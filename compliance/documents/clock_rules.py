"""How long the law leaves for an answer: one row for each regulation, its source and its date.

A month is a calendar month: received on 10 February, due on 10 March; on 31 January, on the last
day of February. Days and months are counted on the calendar of the time zone that the settings
name. The hour of receipt is kept: the law's period ends with the day, so never earlier.

Not counted: that a period which ends on a holiday, a Saturday or a Sunday ends with the next
working day (Regulation 1182/71, Art. 3(4)). It could only make a due date later, and depends on
the country.
"""

from __future__ import annotations

import calendar
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from types import MappingProxyType

from compliance.formats.errors import StateError

CHECKED = "2026-11-29"
"""When the rows were last held against their sources."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Period:
    """A span of the calendar: whole months or days.

    >>> str(Period(months=1)), str(Period(days=45))
    ('1 month', '45 days')
    """

    months: int = 0
    days: int = 0

    def after(self, start: datetime, zone: tzinfo = UTC) -> datetime:
        """The moment that the period ends, in UTC, counted on the calendar of a zone.

        Raises:
            StateError: The calendar ends before.

        >>> Period(months=1).after(datetime(2026, 2, 10, 9, tzinfo=UTC)).date().isoformat()
        '2026-03-10'
        """
        try:
            local = start.astimezone(zone)
            year, month = divmod(local.year * 12 + local.month - 1 + self.months, 12)
            last = calendar.monthrange(year, month + 1)[1]
            ended = local.replace(year=year, month=month + 1, day=min(local.day, last))
            return (ended + timedelta(days=self.days)).astimezone(UTC)
        except (ValueError, OverflowError) as error:
            raise StateError(
                f"No due date can be counted from {start.year:04}: give a time of receipt between "
                "the years 2 and 9998."
            ) from error

    def __str__(self) -> str:
        number, unit = (self.months, "month") if self.months else (self.days, "day")
        return f"{number} {unit}{'' if number == 1 else 's'}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockRule:
    """What a regulation says about time.

    Attributes:
        answer: From receipt to the answer.
        longest: From receipt to the answer where it was extended; None where the law knows none.
        written: The number of days by which policies name `answer`.
        source: The clause.
    """

    answer: Period
    longest: Period | None = None
    written: int
    source: str


OWN = "no rule of law: this software's default, for want of a date in the contract or the order"
RULES: Mapping[str, ClockRule] = MappingProxyType(
    {
        "gdpr": ClockRule(
            answer=Period(months=1),
            longest=Period(months=3),
            written=30,
            source="GDPR Art. 12(3); counted by Regulation (EEC, Euratom) 1182/71 Art. 3(1) and "
            "3(2)(c)",
        ),
        "ccpa": ClockRule(
            answer=Period(days=45),
            longest=Period(days=90),
            written=45,
            source="California Civil Code 1798.130(a)(2)(A)",
        ),
        "contract": ClockRule(answer=Period(days=30), written=30, source=OWN),
        "recall": ClockRule(answer=Period(days=30), written=30, source=OWN),
        "other": ClockRule(answer=Period(days=30), written=30, source=OWN),
    }
)


def due_at(received: datetime, regulation: str, days: int, zone: tzinfo = UTC) -> datetime:
    """When a request must have been answered, in UTC.

    Args:
        received: When it was received.
        regulation: Its ground.
        days: What the policy says. The days by which a rule of law is written there stand for that
            rule; other days are the operator's own limit, and count where they end earlier.
        zone: On whose calendar.
    """
    rule = RULES[regulation]
    own = Period(days=days).after(received, zone)
    if rule.source == OWN:
        return own
    by_law = rule.answer.after(received, zone)
    return by_law if days == rule.written else min(own, by_law)


def latest(received: datetime, regulation: str, zone: tzinfo = UTC) -> datetime | None:
    """The latest day to which the law lets a due date be moved; None where it names none."""
    longest = RULES[regulation].longest if regulation in RULES else None
    return None if longest is None else longest.after(received, zone)


def as_markdown() -> str:
    """The table in docs/record.md."""
    lines = [
        f"| `{name}` | {rule.answer} | {rule.longest or '-'} | {rule.written} | {rule.source} |"
        for name, rule in RULES.items()
    ]
    head = [
        "| regulation | answer | with an extension | in policies | source |",
        "|---|---|---|---|---|",
    ]
    return "\n".join([*head, *lines]) + f"\n\nHeld against the sources on {CHECKED}.\n"
