"""Figures, intervals and times as readers write them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

MINUS = "\N{MINUS SIGN}"
NOTHING = "\N{EM DASH}"
ROUNDING = 1e-12


def number(value: object) -> str:
    """A number with three decimals, more where it is small, and a real minus sign.

    >>> number(0.5351), number(-0.00042), number(7), number(None)
    ('0.535', '−0.00042', '7', '—')
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or value != value:
        return NOTHING if value is None or value != value else str(value)
    if isinstance(value, int):
        return f"{value:,}".replace(",", "\N{NARROW NO-BREAK SPACE}").replace("-", MINUS)
    return _decimals(float(value)).replace("-", MINUS)


def figure(value: object) -> str:
    """A measured value: like `number`, also where canonical JSON wrote 1.0 as 1.

    >>> figure(1), figure(None), figure("fc1")
    ('1.000', '—', 'fc1')
    """
    whole = isinstance(value, int) and not isinstance(value, bool)
    return number(float(value) if whole else value)  # type: ignore[arg-type]


def setting(value: object) -> str:
    """A setting in words: yes, no, not set; lists with commas.

    >>> setting(True), setting(None), setting([8, 9]), setting([])
    ('yes', 'not set', '8, 9', 'none')
    """
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return ", ".join(setting(v) for v in value) or "none"
    return "not set" if value is None else str(value)


def _decimals(value: float) -> str:
    """Three decimals; under 0.01 up to two digits that count, down to 0.00001. What rounding leaves
    of a zero is one: no measurement here knows twelve digits.

    >>> _decimals(2e-16), _decimals(3e-7)
    ('0.000', '3e-07')
    """
    size = abs(value)
    if size < ROUNDING:
        return "0.000"
    if size >= 0.01:
        return f"{value:.1f}" if size >= 100 else f"{value:.3f}"
    if size < 0.00001:
        return f"{value:.0e}"
    whole, _, decimals = f"{value:.{4 if size >= 0.001 else 5}f}".partition(".")
    return f"{whole}.{decimals.rstrip('0').ljust(3, '0')}"


def signed(value: object) -> str:
    """A difference: like `number`, with its sign always shown.

    >>> signed(0.02), signed(-0.02), signed(0)
    ('+0.020', '−0.020', '0.000')
    """
    plain = figure(value)
    positive = isinstance(value, int | float) and value > 0
    return f"+{plain}" if positive else plain


def span(interval: object, *, sign: bool = False) -> str:
    """An interval in words: "0.490 to 0.571"."""
    if not isinstance(interval, Sequence) or isinstance(interval, str) or len(interval) != 2:
        return NOTHING
    write = signed if sign else figure
    return f"{write(interval[0])} to {write(interval[1])}"


def tick(value: float) -> str:
    """The number at a tick of an axis, as short as it can be.

    >>> tick(0.5), tick(-2.0), tick(0.0)
    ('0.5', '−2', '0')
    """
    return f"{value:.6g}".replace("-", MINUS)


def chance(value: object) -> str:
    """A probability as a count out of 100, never rounded up to certainty.

    >>> chance(0.9996), chance(0.5), chance(0.001)
    ('more than 99 of 100', '50 of 100', 'less than 1 of 100')
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        return "not known"
    if value > 0.99:
        return "more than 99 of 100"
    return "less than 1 of 100" if value < 0.01 else f"{100 * value:.0f} of 100"


def duration(seconds: float) -> str:
    """A time that something takes, in the unit that people would use.

    >>> duration(7.2), duration(95), duration(9000), duration(200000)
    ('7 s', '2 min', '2.5 h', '2.3 days')
    """
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 90 * 60:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h" if seconds < 48 * 3600 else f"{seconds / 86400:.1f} days"


def moment(value: object) -> datetime | None:
    """The time in an ISO 8601 string with a zone; None where there is none to read."""
    if not isinstance(value, str):
        return None
    try:
        parsed = datetime.fromisoformat(value.replace("Z", "+00:00"))
    except ValueError:
        return None
    return parsed if parsed.tzinfo is not None else None


def clock(value: object) -> str:
    """A recorded time for readers: "2026-09-20 08:00 UTC"; anything else as it was recorded."""
    parsed = moment(value)
    if parsed is None:
        return NOTHING if value in (None, "") else str(value)
    shown = parsed.strftime("%Y-%m-%d %H:%M")
    return f"{shown} UTC" if not parsed.utcoffset() else f"{shown} {parsed.strftime('%z')}"
