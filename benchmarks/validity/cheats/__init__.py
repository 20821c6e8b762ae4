"""Models that look as if they had forgotten and have not: none of them may pass.

Each is one function of a `Case` and one line in `CHEATS`. Training-based ones take a third of the
original's epochs; they were not tuned to be weak.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from benchmarks.validity.cheats.case import Candidate, Case
from benchmarks.validity.cheats.finetuned import (
    block_finetuned,
    block_retrained,
    finetuned,
    head_refitted,
    negative_gradient,
)
from benchmarks.validity.cheats.hidden import (
    audit_set_recognised,
    audit_set_tuned,
    features_rescaled,
    features_rotated,
    hidden_direction,
    probe_tuned,
)
from benchmarks.validity.cheats.outputs import (
    bias_shifted,
    confidence_masked,
    logits_noisy,
    original_returned,
    output_filtered,
    row_permuted,
    row_zeroed,
    rows_swapped,
)
from benchmarks.validity.cheats.provenance import (
    distilled,
    references_copied,
    rows_left_in,
    stranger,
)

__all__ = ["AT_ONCE", "CHEATS", "SHALLOW", "Candidate", "Case", "Cheat"]


Cheat = Callable[[Case], Candidate]


CHEATS: Mapping[str, Cheat] = {
    function.__name__: function
    for function in (
        original_returned,
        bias_shifted,
        row_zeroed,
        output_filtered,
        rows_swapped,
        row_permuted,
        head_refitted,
        block_finetuned,
        block_retrained,
        finetuned,
        negative_gradient,
        features_rescaled,
        features_rotated,
        logits_noisy,
        confidence_masked,
        audit_set_recognised,
        audit_set_tuned,
        probe_tuned,
        hidden_direction,
        stranger,
        references_copied,
        distilled,
        rows_left_in,
    )
}
"""Every cheat by name. A new one is one function here."""


SHALLOW = (
    "original_returned",
    "bias_shifted",
    "row_zeroed",
    "output_filtered",
    "rows_swapped",
    "row_permuted",
    "head_refitted",
    "features_rescaled",
    "features_rotated",
    "logits_noisy",
    "confidence_masked",
)
"""Cheats that leave the deep features as they were, up to a linear map."""


AT_ONCE = ("audit_set_recognised", "hidden_direction", "stranger")
"""Others that take no training, given a retrained model and a stranger's."""
