"""One larger picture of the report, and the marks that all of them share."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from compliance.charts import svg as plots_svg
from compliance.presentation.palette import COLOURS

if TYPE_CHECKING:
    from markupsafe import Markup

TABLE_ROWS = 120  # a longer table is cut: the page stays under 1 MB, findings.json has the rest

# The same shape and colour for the same model in every picture; the shape alone is enough.
MODEL: Mapping[str, Any] = MappingProxyType(
    {"marker": "D", "color": COLOURS["ink"], "markersize": 6, "linewidth": 1.8}
)
RETRAINED: Mapping[str, Any] = MappingProxyType(
    {
        "marker": "o",
        "markerfacecolor": COLOURS["paper"],
        "color": COLOURS["retrained"],
        "markersize": 4.5,
        "linewidth": 1.0,
    }
)
ORIGINAL: Mapping[str, Any] = MappingProxyType(
    {
        "marker": "s",
        "color": COLOURS["original"],
        "markersize": 5.5,
        "linewidth": 1.4,
        "linestyle": "--",
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """A drawn picture and the table behind it."""

    title: str
    caption: str
    svg: Markup
    header: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]
    left_out: str
    on_paper: bool  # whether the table is printed: not where its figures stand in rows anyway


def picture(
    name: str,
    draw: Callable[[Any], None],
    *,
    size: tuple[float, float],
    title: str,
    caption: str,
    header: Sequence[str],
    rows: Sequence[Sequence[Any]],
    on_paper: bool = True,
) -> Picture:
    """Draw it, and cut a table that would be too long for the page."""
    from markupsafe import Markup

    more = len(rows) - TABLE_ROWS
    drawn = plots_svg.render(draw, name=name, size=size, title=title, description=caption)
    return Picture(
        title=title,
        caption=caption,
        svg=Markup(drawn),  # noqa: S704  serialised by ElementTree, which escapes all text
        header=tuple(header),
        rows=tuple(tuple(r) for r in rows[:TABLE_ROWS]),
        left_out=f"{more} more rows are in findings.json." if more > 0 else "",
        on_paper=on_paper,
    )


def series(findings: Sequence[Mapping[str, Any]], audit: str, key: str) -> Mapping[str, Any] | None:
    """One series of an audit's finding; None where the finding does not bring it."""
    for finding in findings:
        values = (finding.get("series") or {}).get(key) if finding.get("audit") == audit else None
        if isinstance(values, Mapping):
            return values
    return None
