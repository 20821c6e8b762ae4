"""Times as records write them: ISO 8601 with a zone."""

from __future__ import annotations

from datetime import UTC, datetime


def parse_utc(text: str) -> datetime:
    """A UTC time from its text.

    Raises:
        ValueError: no time, one without zone, or one that UTC has no year for.

    >>> parse_utc("2026-09-20T10:00:00+02:00").isoformat()
    '2026-09-20T08:00:00+00:00'
    """
    time = datetime.fromisoformat(text)
    if time.tzinfo is None:
        raise ValueError(f"{text!r} has no zone")
    try:
        return time.astimezone(UTC)
    except OverflowError as error:
        raise ValueError(f"{text!r} lies outside the years 1 to 9999 of UTC") from error
