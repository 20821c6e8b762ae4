"""When only retraining is started, and which day left decides it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from compliance.documents import deadlines
from compliance.formats.errors import StateError

NOW = datetime(2026, 9, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("left", "failed", "retrain"),
    [
        (timedelta(days=7), 0, False),  # a week is enough for one more edit, less is not
        (timedelta(days=7) - timedelta(seconds=1), 0, True),
        (timedelta(days=30), 1, False),
        (timedelta(days=30), 2, True),
        (timedelta(days=-1), 0, True),
    ],
)
def test_no_edit_is_begun_in_the_last_week_or_after_two_failures(
    left: timedelta, failed: int, retrain: bool
) -> None:
    assert deadlines.must_retrain(NOW + left, NOW, failed) is retrain


DUE = NOW + timedelta(days=5)


@pytest.mark.parametrize(
    ("now", "days", "longest", "latest", "words"),
    [
        (NOW, 1, 60, None, ""),
        (NOW, 60, 60, None, ""),
        (DUE, 60, 60, None, ""),  # on the due date itself there is still time
        (NOW, 60, 60, DUE + timedelta(days=60), ""),
        (NOW, 1, 1, None, ""),
        (NOW, 1, 0, None, "allows no extension"),
        (NOW, 0, 60, None, "an extension of 1 to 60 days, not 0"),
        (NOW, 61, 60, None, "an extension of 1 to 60 days, not 61"),
        (DUE + timedelta(seconds=1), 60, 60, None, "has gone by"),
        (NOW, 60, 60, DUE + timedelta(days=59, hours=23), "extend by 59 days at most"),
        (NOW, 60, 60, DUE - timedelta(days=1), "extend by 0 days at most"),
    ],
)
def test_a_due_date_is_moved_once_as_far_as_policy_and_law_allow(
    now: datetime, days: int, longest: int, latest: datetime | None, words: str
) -> None:
    if not words:
        moved = deadlines.extended(DUE, now, days, longest, latest)
        assert moved == DUE + timedelta(days=days)
        return
    with pytest.raises(StateError, match=words):
        deadlines.extended(DUE, now, days, longest, latest)


@pytest.mark.parametrize(
    ("age", "warned"),
    [
        (timedelta(days=14) - timedelta(seconds=1), None),
        (timedelta(days=14), 14),
        (timedelta(days=21), 21),
        (timedelta(days=28) - timedelta(seconds=1), 21),
        (timedelta(days=28), 28),
    ],
)
def test_a_warning_day_is_reached_to_the_second(age: timedelta, warned: int | None) -> None:
    assert deadlines.warning(NOW, NOW + age) == warned


@pytest.mark.parametrize(
    ("days", "seconds", "left"), [(3, 0, 3), (3, -1, 2), (0, 0, 0), (0, -1, -1)]
)
def test_days_left_are_whole(days: int, seconds: int, left: int) -> None:
    assert deadlines.days_left(NOW + timedelta(days=days, seconds=seconds), NOW) == left
