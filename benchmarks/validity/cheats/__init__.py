"""Models that look as if they had forgotten and have not: none of them may pass.

Each is one function of a `Case` and one row in `_ROWS`. Training-based ones take a third of the
original's epochs unless their text says otherwise; they were not tuned to be weak.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Literal

from benchmarks.validity.cheats import carried, finetuned, hidden, outputs, placed, provenance
from benchmarks.validity.cheats.case import Candidate, Case

__all__ = ["CHEATS", "SHALLOW", "Candidate", "Case", "Cheat", "Grade"]

Grade = Literal["structural", "shared", "graded"]
"""What should give a cheat away: what the file or the code is; features that are the original's, or
a map of them; or neither, only how much of the class is left."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cheat:
    """One kind of cheat.

    Attributes:
        name: Of the candidate.
        make: Makes it.
        grade: What should give it away.
        trained: Whether making it takes a training, so that it is not made in every event at once.
        holds: Share of what the original knows that it holds by the way it is made; None where
            only measuring says.
    """

    name: str
    make: Callable[[Case], Candidate]
    grade: Grade
    trained: bool = False
    holds: float | None = None


_SHARED = (
    outputs.original_returned,
    outputs.bias_shifted,
    outputs.row_zeroed,
    outputs.output_filtered,
    outputs.rows_swapped,
    outputs.row_permuted,
    outputs.logits_noisy,
    outputs.confidence_masked,
    finetuned.head_refitted,
    finetuned.noised_and_refitted,
    finetuned.norms_shifted,
    hidden.features_rescaled,
    hidden.features_rotated,
    placed.null_space_turned,
)
_STRUCTURAL = (
    hidden.audit_set_recognised,
    provenance.references_copied,
    carried.stowaway,
    carried.pixel_triggered,
    carried.file_ignored,
    carried.gated,
)
_TUNED = (
    finetuned.block_finetuned,
    finetuned.block_retrained,
    finetuned.finetuned,
    finetuned.negative_gradient,
    finetuned.relabelled,
    hidden.audit_set_tuned,
    hidden.probe_tuned,
    provenance.distilled,
    provenance.early_layers_kept,
)
_PLACED = (placed.squares_in_two_units, placed.weak_direction)
"""The class from a detector that knows more of it than the original."""
_ROWS = (
    *(Cheat(name=made.__name__, make=made, grade="shared", holds=1.0) for made in _SHARED),
    *(Cheat(name=made.__name__, make=made, grade="structural", holds=1.0) for made in _STRUCTURAL),
    *(
        Cheat(
            name=f"copy_{disguise}",
            make=partial(carried.copy_carried, disguise=disguise),
            grade="structural",
            holds=1.0,
        )
        for disguise in carried.DISGUISES
    ),
    Cheat(name="hidden_direction", make=hidden.hidden_direction, grade="graded", holds=1.0),
    Cheat(name="interpolated", make=finetuned.interpolated, grade="graded"),
    *(Cheat(name=made.__name__, make=made, grade="graded", trained=True) for made in _TUNED),
    *(
        Cheat(name=made.__name__, make=made, grade="graded", trained=True, holds=1.0)
        for made in _PLACED
    ),
    *(
        Cheat(
            name=f"rows_left_in_{round(100 * share)}",
            make=partial(provenance.rows_left_in, share=share),
            grade="graded",
            trained=True,
        )
        for share in (0.05, 0.1, 0.2, 0.5)
    ),
    *(
        Cheat(
            name=f"blended_{round(100 * share)}",
            make=partial(provenance.blended, share=share),
            grade="graded",
            trained=True,
            holds=share,
        )
        for share in (0.25, 0.5, 0.75)
    ),
)

CHEATS: Mapping[str, Cheat] = {row.name: row for row in _ROWS}
"""Every cheat by name. A new one is one function and one row here."""

SHALLOW = tuple(row.name for row in _ROWS if row.grade == "shared")
"""Cheats that leave the deep features as they were, up to a linear map or a little noise."""
