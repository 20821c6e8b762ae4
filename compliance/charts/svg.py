"""A matplotlib figure as SVG that may stand inside a page: same bytes each time, no address.

matplotlib writes a doctype, RDF metadata and namespace declarations that hold addresses, and ids
that repeat between figures. Here they go; every id gets the name of its picture in front, and the
picture gets a title and a description for those who do not see it.
"""

from __future__ import annotations

import io
import re
import xml.etree.ElementTree as ET
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from compliance.presentation.palette import COLOURS

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SALT = "damp"
STYLE: dict[str, Any] = {
    "svg.hashsalt": SALT,
    "svg.fonttype": "none",
    "text.parse_math": False,  # a name with a dollar sign is a name, not a formula
    "axes.unicode_minus": True,
    "font.family": ["DejaVu Sans"],
    "font.size": 9.0,
    "axes.titlesize": 9.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": COLOURS["rule"],
    "axes.labelcolor": COLOURS["ink"],
    "text.color": COLOURS["ink"],
    "xtick.color": COLOURS["rule"],
    "ytick.color": COLOURS["rule"],
    "xtick.labelcolor": COLOURS["ink"],
    "ytick.labelcolor": COLOURS["ink"],
    "legend.frameon": False,
    "hatch.linewidth": 0.6,
}
FAMILY = "system-ui, 'Liberation Sans', Arial, sans-serif"
LENGTH = 40


def render(
    draw: Callable[[Figure], None],
    *,
    name: str,
    size: tuple[float, float],
    title: str,
    description: str,
) -> str:
    """The SVG element of a figure.

    Args:
        draw: Fills the empty figure it gets.
        name: Prefix of all ids; unique in the page.
        size: Width and height in inches.
        title: One line, for `<title>`.
        description: What the picture shows, in words, for `<desc>`.
    """
    import matplotlib.style
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    buffer = io.StringIO()
    with matplotlib.style.context(STYLE, after_reset=True):
        figure = Figure(figsize=size, layout="constrained")
        FigureCanvasSVG(figure)
        draw(figure)
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    return _inline(buffer.getvalue(), name, title, description)


def label(text: object, length: int = LENGTH) -> str:
    """Text that every font has: other signs become "?", long names lose their middle."""
    plain = "".join(c if " " <= c <= "~" else "?" for c in str(text))
    keep = (length - 3) // 2
    return plain if len(plain) <= length else f"{plain[:keep]}...{plain[-keep:]}"


def _inline(svg: str, name: str, title: str, description: str) -> str:
    root = ET.fromstring(svg)  # noqa: S314  matplotlib wrote it, a line above
    for element in root.iter():
        element.tag = element.tag.rpartition("}")[2]
        element.attrib = _attributes(element.attrib, name)
    for metadata in root.findall("metadata"):
        root.remove(metadata)
    for attribute in ("width", "height", "version"):
        root.attrib.pop(attribute, None)
    root.attrib |= {"role": "img", "aria-labelledby": f"{name}-title {name}-desc"}
    _describe(root, f"{name}-title", title, f"{name}-desc", description)
    return ET.tostring(root, encoding="unicode", short_empty_elements=True)


def _attributes(attributes: dict[str, str], name: str) -> dict[str, str]:
    """The attributes without namespaces, with every id and reference under `name`."""
    kept = {key.rpartition("}")[2]: value for key, value in attributes.items()}
    if "id" in kept:
        kept["id"] = f"{name}-{kept['id']}"
    if "href" in kept:
        kept["href"] = kept["href"].replace("#", f"#{name}-", 1)
    for key, value in kept.items():
        kept[key] = re.sub(r"url\(#", f"url(#{name}-", value)
    if "font-family" in kept.get("style", ""):
        kept["style"] = re.sub(r"font-family: [^;]+", f"font-family: {FAMILY}", kept["style"])
    return kept


def _describe(root: ET.Element, title_id: str, title: str, desc_id: str, text: str) -> None:
    for position, (tag, key, content) in enumerate(
        (("title", title_id, title), ("desc", desc_id, text))
    ):
        element = ET.Element(tag, {"id": key})
        element.text = content
        root.insert(position, element)
