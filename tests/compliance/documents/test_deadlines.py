"""When only retraining is started, and which day left decides it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from compliance.documents import deadlines

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
