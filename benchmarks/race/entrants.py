"""Who takes part: every method of the table, every preset of ours, retraining, and nobody's work.

Each is run through one interface, on the same rows, from the same original.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from damp.catalogue import DEFAULT_PRESET, PRESETS
from damp.methods.catalogue import METHODS, Settings

ORIGINAL, OTHERS, OURS, RETRAINED = "original", "others", "ours", "retrained"
"""Kinds of entrants."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entrant:
    """One that takes part.

    Attributes:
        name: In the cache and in race.json.
        title: In tables.
        kind: Of the four.
        grid: Settings that are tried; ours and retraining have one, so that nothing is chosen.
        source: Where it is described.
        reads: Training rows that it looks at.
        norms: What batch norms do meanwhile.
        head_only: Whether nothing but the head can change.
        revision: Raised where its code makes another model: what is kept of before is not read.
    """

    name: str
    title: str
    kind: str
    grid: tuple[Settings, ...] = ({},)
    source: str = ""
    reads: str = "both"
    norms: str = "kept"
    head_only: bool = False
    revision: int = 1

    @property
    def key(self) -> str:
        """What kept results are named by."""
        return self.name if self.revision == 1 else f"{self.name} {self.revision}"


RENEWED = "renewed"
REVISIONS: Mapping[str, int] = {"natural": 4}
"""Of presets: `natural` writes residual nets behind their gates since 2, plain ones since 3, and
scatters the rows of the class in residual ones since 4."""
SHARES: Mapping[str, float] = {"retrain": 1.0, "retrain_half": 0.5, "retrain_quarter": 0.25}
"""Of the recipe's epochs: a retrained model of a seed of its own, and shortened ones."""


def _presets() -> tuple[Entrant, ...]:
    names = [DEFAULT_PRESET, *(name for name in PRESETS if name != DEFAULT_PRESET)]
    norms = {
        n: "re-estimated" if PRESETS[n].repairs[:1] == ("recalibrate",) else "kept" for n in names
    }
    return tuple(
        Entrant(
            name=name,
            title=f"damp `{name}`",
            kind=OURS,
            source="2604.15166" if name == "paper" else "docs/method.md",
            norms=norms[name],
            revision=REVISIONS.get(name, 1),
        )
        for name in names
    )


ENTRANTS: tuple[Entrant, ...] = (
    Entrant(name="original", title="original, untouched", kind=ORIGINAL, reads="nothing"),
    *_presets(),
    Entrant(
        name=RENEWED, title="damp `renewed`", kind=OURS, source="docs/method.md", reads="both",
        norms="re-estimated",
    ),
    *(
        Entrant(
            name=name,
            title="retrained" if share == 1 else f"retrained, {share:g} of the epochs",
            kind=RETRAINED,
            reads="retain",
            norms="batches",
        )
        for name, share in SHARES.items()
    ),
    *(
        Entrant(
            name=row.name,
            title=row.title,
            kind=OTHERS,
            grid=row.grid,
            source=row.source,
            reads=row.reads,
            norms=row.norms,
            head_only=row.head_only,
        )
        for row in METHODS.values()
    ),
)  # fmt: skip
