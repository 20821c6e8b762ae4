"""The table of presets, one row each: for the library, the command line, the schema and the docs.

A new preset is one row in `PRESETS` and one file with its mathematics. Nothing here imports torch,
so that help, schemas and pages can be built from the table without loading it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Repair = Literal["recalibrate", "low_rank_update", "head_refit", "natural_update"]
"""What can follow the cut: batch norms are re-estimated on retain samples; the layer before the
head gets a low-rank term against what is left of the classes; the head is refitted to retain
samples' original logits. `natural_update` stands in the place of a cut: the layers before the last
depths write against the classes until their separability is natural, and the head is refitted."""

REPAIR_PASSES: Mapping[Repair, int] = {
    "recalibrate": 1,
    "low_rank_update": 13,
    "head_refit": 1,
    "natural_update": 2,
}
"""Passes over the data that each repair takes at most; those of `natural_update` are over capped
rows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PresetInfo:
    """One preset, as far as it can be told without its mathematics.

    Attributes:
        name: What `forget(preset=...)` and a request's `method.preset` take.
        summary: One sentence for help and documentation; it begins small and has no full stop.
        planner: "module:function" of the mathematics, a `damp.presets.Planner`.
        repairs: What follows the cut, in the order in which it is done.
        takes_gain: Whether a gain other than 1 has a meaning.
        default: Whether it is taken where none is named; true of exactly one.
        superseded_by: Name of the preset to take instead; None while it is current.
        stand_in: Name of the preset that does its work where its own cannot be done, which the
            edit then names; None where there is none.
    """

    name: str
    summary: str
    planner: str
    repairs: tuple[Repair, ...] = ()
    takes_gain: bool = True
    default: bool = False
    superseded_by: str | None = None
    stand_in: str | None = None

    @property
    def passes(self) -> int:
        """Passes over the data at most; those of `sequential` edits come on top.

        Where another preset stands in, the passes of its repairs come on top as well.

        >>> PRESETS["mended"].passes
        3
        """
        return 1 + sum(REPAIR_PASSES[repair] for repair in self.repairs)


_ROWS = (
    PresetInfo(
        name="paper",
        summary="DAMP as published: project onto the complement of the span of retain prototypes",
        planner="damp.paper:plan",
        takes_gain=False,
    ),
    PresetInfo(
        name="mixture",
        summary="take away what the nearest mixture of retain prototypes does not explain",
        planner="damp.mixture:plan",
        repairs=("recalibrate",),
    ),
    PresetInfo(
        name="mended",
        summary="as mixture, then refit the head to the classes to keep",
        planner="damp.mixture:plan",
        repairs=("recalibrate", "head_refit"),
    ),
    PresetInfo(
        name="rewritten",
        summary="a light cut, then a low-rank update of the layer before the head and a head refit",
        planner="damp.mixture:plan_light",
        repairs=("recalibrate", "low_rank_update", "head_refit"),
    ),
    PresetInfo(
        name="natural",
        summary="leave the class the separability that a network without it would show",
        # for predictions of costs, and where `mended` stands in: it cuts no reader itself
        planner="damp.mixture:plan",
        repairs=("natural_update",),
        takes_gain=False,
        default=True,
        stand_in="mended",
    ),
)

PRESETS: Mapping[str, PresetInfo] = {row.name: row for row in _ROWS}
"""Every preset by its name, in the order in which help lists them."""

DEFAULT_PRESET = next(row.name for row in _ROWS if row.default)
"""What is taken where no preset is named."""
