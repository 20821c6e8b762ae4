"""The result of an edit: the edited model, and what was done to which layer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import nn

from damp.catalogue import Repair
from damp.natural_edit import NaturalEdit
from damp.operators import Skipped


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class OperatorEdit:
    """One edited operator.

    Attributes:
        name: Name of the module in the model, "fc1"; of attention's projections "attn.q_proj".
        kind: Its class, "Linear".
        strength: a_j, share of each direction that was taken away, between 0 and 1; for a
            convolution in groups those of all groups.
        separability: s_j^2 per direction, squared distance between forget prototype and mixture
            in the retain-whitened metric, a mean over the classes to forget; for `paper` one
            number, 2 AUC - 1 of a probe.
        relative_change: |W' - W| / |W|, Frobenius norms.
        residual: |d_f| / |mu_f|, the largest over the forget classes.
        statistics: How the spread of the classes to keep is known: "whole"; "shared", where other
            classes have a part in it; "sketched", where it has too many features to be whole.
    """

    name: str
    kind: str
    strength: tuple[float, ...]
    separability: tuple[float, ...]
    relative_change: float
    residual: float
    statistics: str


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class EditedModel:
    """A model after its edit.

    Attributes:
        model: Ready for use; its forgotten outputs are retired unless that was declined.
        unretired: The edited network itself, in the plain architecture, with all its logits.
            Layers that were edited may have gained a bias: see `operators.add_missing_biases`.
        operators: Edited layers, in forward order.
        skipped: Layers left alone, and why.
        forget: Classes forgotten, sorted.
        classes: Number of outputs, C.
        preset: Name in `catalogue.PRESETS`.
        gain: Multiplier on the separability.
        sequential: Statistics were re-estimated after every edit.
        recalibrated: Batch norms re-estimated on retain samples.
        rewritten: Name of the layer that got a low-rank update; None where none did. It is cut as
            well, where it is among the operators.
        mended: Name of the head that was refitted; None where none was.
        samples: Rows that the statistics were taken from.
        natural: What `natural` did, with its goals; None for other presets, or where another
            preset stood in.
        stand_in: The preset that stood in for the one that was asked for; None where none did.
        stand_in_reason: Why it did.
    """

    model: nn.Module
    unretired: nn.Module
    operators: tuple[OperatorEdit, ...]
    skipped: tuple[Skipped, ...]
    forget: tuple[int, ...]
    classes: int
    preset: str
    gain: float
    sequential: bool
    recalibrated: tuple[str, ...]
    samples: int
    rewritten: str | None = None
    mended: str | None = None
    natural: NaturalEdit | None = None
    stand_in: str | None = None
    stand_in_reason: str | None = None

    @property
    def repairs(self) -> tuple[tuple[Repair, str], ...]:
        """`(kind, layer)` of each change to the weights that followed the cuts, in their order."""
        depths = self.natural.depths if self.natural else ()
        written: list[tuple[Repair, str]] = [
            ("natural_update", name) for depth in depths if depth.changed for name in depth.layers
        ]
        layers: Mapping[Repair, str | None] = {
            "low_rank_update": self.rewritten,
            "head_refit": self.mended,
        }
        later = [(kind, layer) for kind, layer in layers.items() if layer is not None]
        return (*written, *later)
