"""Times as records write them: ISO 8601 with a zone."""

from __future__ import annotations

from datetime import UTC, datetime

from compliance.formats.errors import TimeError


def parse_utc(text: str) -> datetime:
    """A UTC time from its text.

    Raises:
        TimeError: no time, one without zone, or one that UTC has no year for.

    >>> parse_utc("2026-09-20T10:00:00+02:00").isoformat()
    '2026-09-20T08:00:00+00:00'
    """
    try:
        time = datetime.fromisoformat(text)
    except (ValueError, TypeError) as error:
        raise TimeError(f"{text!r} is no time: write it like 2026-09-20T08:00:00Z") from error
    if time.tzinfo is None:
        raise TimeError(f"{text!r} has no zone: add Z, or an offset like +02:00")
    try:
        return time.astimezone(UTC)
    except OverflowError as error:
        raise TimeError(f"{text!r} lies outside the years 1 to 9999 of UTC") from error
