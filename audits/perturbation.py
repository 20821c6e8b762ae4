"""Is the class forgotten on images, too, that nobody could have prepared the model for?"""

from __future__ import annotations

import numpy as np

from audits import comparison, discriminant, gates, sampling
from audits.comparison import Models
from audits.estimates import Estimate
from audits.evidence import Evidence
from audits.finding import JSON, Finding
from audits.observation import PENULTIMATE, Observation, Readout
from audits.outputs import centred
from audits.statistics import proportion

AUDIT = "perturbation"
LABELS = {
    "perturbation.forget_accuracy": "Accuracy on perturbed training images of the forgotten class, "
    "its output still there",
    "perturbation.dprime@penultimate": "Distance d' of the forgotten class from the others on "
    "perturbed training images, by the last features before the head",
    "perturbation.dprime@logits": "Distance d' of the forgotten class from the others on perturbed "
    "training images, by the outputs of the classes that stay",
}


def audit(evidence: Evidence, *, folds: int = 5, shrinkage: float = 0.01) -> Finding:
    """The linear probe and the accuracy again, on training images moved by a fraction of a pixel.

    The other audits look at images that anybody may know. A model can be made to behave on just
    these: by recognising them, or by being tuned until they look right. These rows are other ones,
    training images of all classes, shifted and overlaid with noise from the plan's seed, which is
    drawn after the model was handed in. A retrained model has seen neither them nor their originals
    of the forgotten class.

    Args:
        folds: Folds of the cross-validation.
        shrinkage: Share of the standardised covariance that is replaced by its mean diagonal.
    """
    parameters: dict[str, JSON] = {"folds": folds, "shrinkage": shrinkage, "rows": "training"}
    obstacle = gates.obstacle(AUDIT, evidence) or _without_rows(evidence, 2 * folds)
    if obstacle:
        return gates.not_run(AUDIT, evidence, obstacle, parameters)
    models = Models.of(evidence, perturbed, folds=folds, shrinkage=shrinkage)
    labels = np.array([]) if evidence.fresh_labels is None else evidence.fresh_labels
    sizes = {
        "forget_perturbed": int(np.isin(labels, evidence.forget).sum()),
        "retain_perturbed": int(np.isin(labels, evidence.retain).sum()),
    }
    measurements, left_out = comparison.measure_all(evidence, models, LABELS, sizes=sizes)
    return comparison.conclude(
        AUDIT,
        evidence,
        measurements,
        parameters=parameters,
        left_out=left_out,
        series=_series(models, left_out),
    )


def _without_rows(evidence: Evidence, least: int) -> str:
    if evidence.fresh_labels is None:
        return "No perturbed rows were given: observe the models with `fresh` rows."
    without = [who for who, observation in evidence.models() if observation.fresh is None]
    if without:
        return f"No perturbed rows were shown to {', '.join(without)}: observe them again."
    for c in evidence.forget:
        count = int(np.count_nonzero(evidence.fresh_labels == c))
        if count < least:
            return f"Class {c} has {count} perturbed rows and {least} are needed: give more."
    return ""


def perturbed(
    evidence: Evidence, observation: Observation, *, folds: int, shrinkage: float
) -> dict[str, Estimate | str]:
    """The three figures of one model."""
    readout, labels = observation.fresh, evidence.fresh_labels
    if readout is None or labels is None:
        return dict.fromkeys(LABELS, "it was not shown the perturbed rows")
    fold = sampling.folds(labels, folds, evidence.rng("perturbation.folds"))  # (m,)
    figures: dict[str, Estimate | str] = {
        "perturbation.forget_accuracy": _accuracy(evidence, readout)
    }
    for depth, features in (
        (PENULTIMATE, np.asarray(readout.features[PENULTIMATE], dtype=np.float64)),  # (m, D)
        ("logits", centred(evidence, readout.logits)),  # (m, r)
    ):
        why = gates.unusable(features)
        probe = (
            {"dprime": why}
            if why
            else discriminant.figures(
                evidence, discriminant.standardised(features), labels, fold, shrinkage
            )
        )
        figures[f"perturbation.dprime@{depth}"] = discriminant.of_rows(
            probe["dprime"], evidence, labels, "perturbed rows", np.arange(len(labels))
        )
    return figures


def _accuracy(evidence: Evidence, readout: Readout) -> Estimate | str:
    """Share of the forgotten class that is predicted right over the original's label space."""
    labels = np.array([]) if evidence.fresh_labels is None else evidence.fresh_labels
    live = list(evidence.live)
    rows = np.isin(labels, evidence.forget)
    # before retiring: the forgotten class's own output can be chosen
    chosen = np.array(live)[readout.logits[rows][:, live].argmax(1)]
    return proportion((chosen == labels[rows]).astype(np.float64))


def _series(models: Models, left_out: dict[str, str]) -> dict[str, JSON]:
    """The figures side by side, for the picture."""
    names = [name for name in LABELS if name not in left_out]
    return {"figures": {"names": list(names), **models.columns(names)}}
