"""Does the model still predict the forgotten class, and does it still predict the others?"""

from __future__ import annotations

import numpy as np

from audits import comparison, gates
from audits.comparison import Measured, Models, rounded
from audits.estimates import Estimate, images
from audits.evidence import Evidence
from audits.finding import JSON, Finding
from audits.observation import Observation
from audits.outputs import correct
from audits.statistics import proportion

AUDIT = "accuracy"
LABELS = {
    "accuracy.forget_before_retiring": "Accuracy on the forgotten class, its output still there",
    "accuracy.forget_after_retiring": "Accuracy on the forgotten class, as deployed",
    "accuracy.retain": "Accuracy on the classes that stay",
    "accuracy.selectivity": "Accuracy lost on the forgotten class beyond that lost on the others",
}


def audit(evidence: Evidence) -> Finding:
    """Forget accuracy before and after the output is retired, retain accuracy, selectivity.

    Before retiring, the original's whole label space can be chosen: an edit must not pass by
    masking an output. Runs without references too; then nothing is compared.
    """
    parameters: dict[str, JSON] = {"interval": "Clopper-Pearson", "confidence": 0.95}
    obstacle = gates.obstacle(AUDIT, evidence, forget_test=2, retain_test=1)
    if obstacle:
        return gates.not_run(AUDIT, evidence, obstacle, parameters)
    models = Models.of(evidence, accuracies)
    sizes = comparison.sizes(evidence)
    measurements, left_out = comparison.measure_all(evidence, models, LABELS, sizes=sizes)
    return comparison.conclude(
        AUDIT,
        evidence,
        measurements,
        parameters=parameters,
        left_out=left_out,
        series=_series(evidence),
    )


def accuracies(evidence: Evidence, observation: Observation) -> Measured:
    """The four figures of one model."""
    forget, retain = evidence.test_rows(evidence.forget), evidence.test_rows(evidence.retain)
    # (n_test,) of 0 and 1: an output that was only masked still counts before retiring
    before, after = correct(evidence, observation, masked=()), correct(evidence, observation)
    original = correct(evidence, evidence.original, masked=())  # (n_test,)
    return {
        "accuracy.forget_before_retiring": proportion(before[forget]),
        "accuracy.forget_after_retiring": proportion(after[forget]),
        "accuracy.retain": proportion(after[retain]),
        # what the edit cost each image: 1 lost, 0 as before, -1 gained
        "accuracy.selectivity": _selectivity(original - before, original - after, forget, retain),
    }


def _selectivity(
    lost_before: np.ndarray, lost_after: np.ndarray, forget: np.ndarray, retain: np.ndarray
) -> Estimate:
    lost, collateral = lost_before[forget], lost_after[retain]
    return Estimate(
        value=float(lost.mean() - collateral.mean()),
        # two groups of images, so two independent parts; the minus keeps the sign of each
        parts=(images(lost, bounded=True), images(-collateral, bounded=True)),
        bounds=(-1.0, 1.0),
    )


def per_class(evidence: Evidence, observation: Observation) -> np.ndarray:
    """Accuracy per class before retiring, (C,); NaN where a class has no test row."""
    hits = correct(evidence, observation, masked=())  # (n_test,)
    count = np.bincount(evidence.test_labels, minlength=evidence.classes)
    total = np.bincount(evidence.test_labels, weights=hits, minlength=evidence.classes)
    # a class without test rows stays NaN instead of 0
    return np.divide(total, count, out=np.full(evidence.classes, np.nan), where=count > 0)


def _series(evidence: Evidence) -> dict[str, JSON]:
    """Accuracy per class, for the picture; columns of equal length."""
    classes = [c for c in evidence.live if np.any(evidence.test_labels == c)]
    null = [evidence.of(per_class, reference)[classes] for reference in evidence.references]
    columns: dict[str, JSON] = {
        "classes": list(classes),
        "forgotten": [c in evidence.forget for c in classes],
        "candidate": rounded(evidence.of(per_class, evidence.candidate)[classes]),
        "original": rounded(evidence.of(per_class, evidence.original)[classes]),
    }
    return {"per_class": columns | comparison.band(null)}
