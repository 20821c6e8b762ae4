"""The sections of a report, in the order of reading: one row each.

A section is a row here and two texts: `templates/part_<id>.html`, and its place in
`templates/report.md`. Numbers, anchors, the list of contents and each "part 8" follow from the row.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """One section.

    Attributes:
        id: Names the template, and the anchor in the page.
        title: The heading.
        number: From 1; None for what stands after the numbered ones.
    """

    id: str
    title: str
    number: int | None

    @property
    def heading(self) -> str:
        """The title, behind the number where there is one."""
        return self.title if self.number is None else f"{self.number}. {self.title}"

    @property
    def anchor(self) -> str:
        """The id of the heading; the verdict's box has the plain one."""
        return "h-verdict" if self.id == "verdict" else self.id

    @property
    def template(self) -> str:
        """The file that holds it."""
        return f"part_{self.id}.html"


_NUMBERED = (
    ("verdict", "Verdict"),
    ("asked", "Asked and done"),
    ("evidence", "Evidence"),
    ("controls", "Controls"),
    ("coverage", "Coverage"),
    ("limits", "Limits"),
    ("attempts", "Attempt history"),
    ("propagation", "Propagation"),
    ("signoff", "Sign-off"),
    ("reproduce", "Reproduce"),
)
_AFTER = (("supports", "What this record supports"), ("words", "What the words mean"))

SECTIONS = (
    *(Section(id=key, title=t, number=n) for n, (key, t) in enumerate(_NUMBERED, 1)),
    *(Section(id=key, title=title, number=None) for key, title in _AFTER),
)


def section(key: str) -> Section:
    """The section with this id."""
    return next(one for one in SECTIONS if one.id == key)


def part(key: str) -> str:
    """How a text refers to a numbered section: "part 8"."""
    return f"part {section(key).number}"
