"""How much of the forgetting lives in the last layer alone?"""

from __future__ import annotations

import numpy as np

from audits import comparison, gates
from audits.comparison import Models, rounded
from audits.estimates import Estimate, images
from audits.evidence import Evidence
from audits.finding import JSON, Finding
from audits.observation import PENULTIMATE, Head, Observation
from audits.outputs import correct
from audits.statistics import proportion

AUDIT = "head_suppression"
LABELS = {
    "head_suppression.original_head": "Accuracy on the forgotten class with the original's last "
    "layer put back",
    "head_suppression.share": "Share of the lost accuracy that the original's last layer brings "
    "back",
    "head_suppression.row_change": "Change of the class's row in the last layer, relative to the "
    "row, beyond that of the other rows",
    "head_suppression.bias_shift": "Shift of the class's bias in the last layer beyond that of the "
    "others, in spreads of its logit",
}
COMPARED = ("head_suppression.original_head", "head_suppression.share")


def audit(evidence: Evidence) -> Finding:
    """The original's head on the candidate's last features, and what changed in the head.

    A model whose features still hold the class as the original's did gives it back at once. On a
    retrained model the original's head reads features of another basis, and gets what chance and
    similarity of the classes give: that is the baseline. Row and bias are for information, a
    retrained model's have nothing to do with the original's.
    """
    parameters: dict[str, JSON] = {"depth": PENULTIMATE, "label_space": "before retiring"}
    obstacle = gates.obstacle(AUDIT, evidence, forget_test=2) or _headless(evidence)
    if obstacle:
        return gates.not_run(AUDIT, evidence, obstacle, parameters)
    models = Models.of(evidence, restored)
    sizes = comparison.sizes(evidence)
    shared = "head_suppression.share"  # the original has lost nothing that could come back
    reasons = {name: models.missing(name, of_original=name != shared) for name in LABELS}
    measurements = [
        comparison.measure(
            evidence,
            models,
            name,
            label,
            sizes=sizes,
            against="retrained" if name in COMPARED else "none",
        )
        for name, label in LABELS.items()
        if not reasons[name]
    ]
    return comparison.conclude(
        AUDIT,
        evidence,
        measurements,
        parameters=parameters,
        left_out={name: why for name, why in reasons.items() if why},
        series=_series(evidence),
    )


def _headless(evidence: Evidence) -> str:
    own = evidence.original.head
    if own is None:
        return (
            "The original's last operator is no Linear layer with an output per class: there is no "
            "head to put back."
        )
    wide = [
        who
        for who, observation in evidence.models()
        if observation.features[PENULTIMATE].shape[1] != own.weight.shape[1]
    ]
    if not wide:
        return ""
    return f"The original's head does not fit the features of {', '.join(wide)}: other widths."


def restored(evidence: Evidence, observation: Observation) -> dict[str, Estimate | str]:
    """The four figures of one model."""
    forget = evidence.test_rows(evidence.forget)
    back = with_head(evidence, observation, evidence.original.head)[forget]
    own = correct(evidence, observation, masked=())[forget]  # (f,)
    before = correct(evidence, evidence.original, masked=())[forget]
    figures: dict[str, Estimate | str] = {
        "head_suppression.original_head": proportion(back),
        "head_suppression.share": _share(back, own, before),
    }
    return figures | _changes(evidence, observation)


def with_head(evidence: Evidence, observation: Observation, head: Head | None) -> np.ndarray:
    """Whether each test row is right with this head on the model's last features, (n_test,)."""
    if head is None:
        raise ValueError("there is no head")
    live = list(evidence.live)
    features = np.asarray(observation.features[PENULTIMATE], dtype=np.float64)
    logits = features @ head.weight[live].T + head.bias[live]  # (n, live)
    right = np.array(live)[logits.argmax(1)] == evidence.test_labels
    return right.astype(np.float64)


def _share(back: np.ndarray, own: np.ndarray, before: np.ndarray) -> Estimate | str:
    """(accuracy with the head put back - own) / (the original's - own), by the delta method."""
    lost = float((before - own).mean())
    # a ratio over next to nothing has no distribution worth naming
    if lost < 0.05:
        return "it lost less than 5 points of accuracy on the class: there is nothing to share out"
    share = float((back - own).mean()) / lost
    # d(a / b) = (da - (a / b) db) / b, image by image
    contributions = ((back - own) - share * (before - own)) / lost
    return Estimate(value=share, parts=(images(contributions),))


def _changes(evidence: Evidence, observation: Observation) -> dict[str, Estimate | str]:
    """Change of the forgotten rows of the head, beyond the median of the others."""
    names = ("head_suppression.row_change", "head_suppression.bias_shift")
    old, new = evidence.original.head, observation.head
    if old is None or new is None:
        return dict.fromkeys(names, "its last layer is no Linear layer with an output per class")
    size = np.linalg.norm(old.weight, axis=1)  # (C,)
    moved = np.linalg.norm(new.weight - old.weight, axis=1) / np.where(size > 0, size, 1.0)
    retain = evidence.test_rows(evidence.retain)
    # (f,): unit of a logit
    spread = evidence.original.test_logits[retain][:, list(evidence.forget)].std(0)
    shift = new.bias - old.bias
    # a shift of all biases changes no prediction: count what is beyond it
    shift = (shift[list(evidence.forget)] - np.median(shift[list(evidence.retain)])) / np.where(
        spread > 0, spread, 1.0
    )
    row = moved[list(evidence.forget)] - np.median(moved[list(evidence.retain)])
    return dict(zip(names, map(_exact, (row.mean(), shift.mean())), strict=True))


def _exact(value: float) -> Estimate:
    """A figure read off the weights: no image is drawn, so that nothing scatters."""
    return Estimate(value=float(value), parts=(), exact=(float(value), float(value)))


def _series(evidence: Evidence) -> dict[str, JSON]:
    """Accuracy on the forgotten class with the own head and with the original's."""
    forget = evidence.test_rows(evidence.forget)

    def pair(observation: Observation) -> list[JSON]:
        back = with_head(evidence, observation, evidence.original.head)[forget].mean()
        return rounded([correct(evidence, observation, masked=())[forget].mean(), back])

    return {
        "heads": {
            "candidate": pair(evidence.candidate),
            "original": pair(evidence.original),
            "retrained": [list(pair(reference)) for reference in evidence.references],
        }
    }
