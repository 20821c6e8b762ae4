"""The colours of the report, and which of them meet as ink and paper.

Contrast is a promise (WCAG 2.2, 1.4.3 and 1.4.11), so the pairs are listed here and a test computes
each ratio: 4.5 to 1 for text, 3 to 1 for the marks of a picture. Colour is never the only cue:
each tone also has a word and a shape.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

COLOURS: Mapping[str, str] = MappingProxyType(
    {
        "ink": "#16191d",
        "muted": "#4a525c",
        "paper": "#ffffff",
        "shade": "#f3f5f7",
        "rule": "#7b8591",
        "link": "#12468a",
        "good": "#0f5f2e",
        "good-tint": "#eaf5ee",
        "bad": "#99102a",
        "bad-tint": "#fcedef",
        "open": "#6b4500",
        "open-tint": "#fdf4e0",
        "retrained": "#1f5c99",
        "original": "#a33b00",
        "allowed": "#dbe5ef",
    }
)

TEXT_PAIRS: tuple[tuple[str, str], ...] = (
    ("ink", "paper"),
    ("ink", "shade"),
    ("ink", "good-tint"),
    ("ink", "bad-tint"),
    ("ink", "open-tint"),
    ("ink", "allowed"),
    ("muted", "paper"),
    ("muted", "shade"),
    ("link", "paper"),
    ("link", "shade"),
    ("link", "good-tint"),
    ("link", "bad-tint"),
    ("link", "open-tint"),
    ("good", "paper"),
    ("good", "shade"),
    ("good", "good-tint"),
    ("bad", "paper"),
    ("bad", "shade"),
    ("bad", "bad-tint"),
    ("open", "paper"),
    ("open", "shade"),
    ("open", "open-tint"),
    ("paper", "good"),
    ("paper", "bad"),
    ("paper", "open"),
)

MARK_PAIRS: tuple[tuple[str, str], ...] = (
    ("rule", "paper"),
    ("ink", "allowed"),
    ("muted", "allowed"),
    ("retrained", "paper"),
    ("retrained", "allowed"),
    ("original", "paper"),
    ("original", "allowed"),
)


def luminance(colour: str) -> float:
    """Relative luminance of `#rrggbb`, 0 to 1 (WCAG 2.2)."""
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    """Contrast ratio of two colours `#rrggbb`, 1 to 21 (WCAG 2.2).

    >>> contrast("#000000", "#ffffff")
    21.0
    """
    bright, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return round((bright + 0.05) / (dark + 0.05), 2)
