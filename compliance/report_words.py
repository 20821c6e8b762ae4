"""Numbers, dates and outcomes in words a compliance officer reads without help."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from datetime import datetime
from types import MappingProxyType

MINUS = "\N{MINUS SIGN}"
NOTHING = "\N{EM DASH}"

# outcome -> (word, tone of the palette, icon); one shape per outcome, so black and white suffices
OUTCOMES: Mapping[str, tuple[str, str, str]] = MappingProxyType(
    {
        "within": ("within margin", "good", "tick"),
        "outside": ("outside margin", "bad", "cross"),
        "undecided": ("cannot tell", "open", "question"),
        "not_run": ("not run", "open", "dash"),
        "informational": ("for information", "muted", "info"),
    }
)

RESULTS: Mapping[str, tuple[str, str, str]] = MappingProxyType(
    {
        "PASSED": (
            "good",
            "tick",
            "Every required measurement lies within the margin that the policy fixed beforehand, "
            "and the same audits gave the right answer on models whose answer is known.",
        ),
        "FAILED": (
            "bad",
            "cross",
            "At least one required measurement lies outside its margin. This model must not be "
            "put into use as the answer to the request.",
        ),
        "INCONCLUSIVE": (
            "open",
            "question",
            "The audits could not decide. This is not a pass: the model must not be put into use "
            "on the strength of this record.",
        ),
    }
)

ASSURANCE: Mapping[str, str] = MappingProxyType(
    {
        "L1": "outputs of the model only",
        "L2": "outputs and inner representations, compared with classes the model never saw",
        "L3": "outputs and inner representations, compared with models retrained without the class",
    }
)

REGULATIONS: Mapping[str, str] = MappingProxyType(
    {
        "gdpr": "EU General Data Protection Regulation, request for erasure",
        "ccpa": "California Consumer Privacy Act, request to delete",
        "contract": "a contract between the parties",
        "recall": "a recall of data by its source",
        "other": "another ground, recorded outside this tool",
    }
)

PROPAGATION: Mapping[str, tuple[str, str, str]] = MappingProxyType(
    {
        "DELETED": ("deleted", "good", "tick"),
        "QUARANTINED": ("locked away, still exists", "open", "dash"),
        "EXPIRES_ON": ("still exists until it expires", "open", "dash"),
        "RETAINED": ("kept", "open", "cross"),
        "UNKNOWN": ("unknown", "bad", "question"),
    }
)


def outcome(name: str | None) -> tuple[str, str, str]:
    """Word, tone and icon of an outcome; an unknown one is shown as it is, never as a pass."""
    return OUTCOMES.get(str(name), (str(name), "open", "question"))


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


def _decimals(value: float) -> str:
    size = abs(value)
    if size == 0 or size >= 0.01:
        return f"{value:.3f}" if size < 100 else f"{value:.1f}"
    if size < 0.000001:
        return f"{value:.0e}"
    return f"{value:.6f}" if size < 0.0001 else f"{value:.5f}"


def signed(value: object) -> str:
    """A difference: like `number`, with its sign always shown.

    >>> signed(0.02), signed(-0.02), signed(0.0)
    ('+0.020', '−0.020', '0.000')
    """
    plain = number(value)
    positive = isinstance(value, int | float) and value > 0
    return f"+{plain}" if positive else plain


def span(interval: object, *, sign: bool = False) -> str:
    """An interval in words: "0.490 to 0.571"."""
    if not isinstance(interval, Sequence) or isinstance(interval, str) or len(interval) != 2:
        return NOTHING
    write = signed if sign else number
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


def visible(value: object) -> object:
    """Text without invisible tricks: control, direction and surrogate characters are spelled out.

    A right-to-left override in a name could make "DETELED" read "DELETED" in a signed report.
    Values that are not plain `str` (numbers, finished markup) pass unchanged.
    """
    if type(value) is not str:
        return value
    return "".join(_spelled(c) if unicodedata.category(c) in _HIDDEN else c for c in value)


_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


def _spelled(character: str) -> str:
    return character if character in "\n\t" else f"\\u{ord(character):04x}"
