"""Is the model still as good for everything else?"""

from __future__ import annotations

import numpy as np

from audits import comparison, gates
from audits.comparison import Models
from audits.estimates import Estimate, bootstrap, images
from audits.evidence import Evidence
from audits.finding import JSON, Finding
from audits.observation import Observation
from audits.outputs import confidence, correct
from audits.statistics import bootstrap_weights, proportion

AUDIT = "utility"
LABELS = {
    "utility.retain_accuracy": "Accuracy on the classes that stay, against the model before",
    "utility.ece": "Calibration error on the classes that stay",
    "utility.worst_class": "Accuracy on the worst of the classes that stay",
}
AGAINST = {"utility.retain_accuracy": "original"}


def audit(evidence: Evidence, *, bins: int = 15, replicates: int = 400) -> Finding:
    """Retain accuracy, expected calibration error and the worst class, as deployed.

    Runs without references too; then only the comparison with the original is made.

    Args:
        bins: Confidence bins of equal width.
        replicates: Image bootstraps for the worst class.
    """
    parameters: dict[str, JSON] = {"bins": bins, "replicates": replicates}
    obstacle = gates.obstacle(AUDIT, evidence, retain_test=2)
    if obstacle:
        return gates.not_run(AUDIT, evidence, obstacle, parameters)
    models = Models.of(evidence, served, bins=bins, replicates=replicates)
    sizes = comparison.sizes(evidence)
    measurements = [
        comparison.measure(
            evidence, models, name, label, sizes=sizes, against=AGAINST.get(name, "retrained")
        )
        for name, label in LABELS.items()
    ]
    return comparison.conclude(
        AUDIT, evidence, measurements, parameters=parameters, left_out={}, series={}
    )


def served(
    evidence: Evidence, observation: Observation, *, bins: int, replicates: int
) -> dict[str, Estimate | str]:
    """The three figures of one model."""
    retain = evidence.test_rows(evidence.retain)
    # (n,), (n,)
    hits, sure = correct(evidence, observation)[retain], confidence(evidence, observation)[retain]
    labels = evidence.test_labels[retain]
    weights = bootstrap_weights(labels, replicates, evidence.rng("utility"))
    return {
        "utility.retain_accuracy": proportion(hits),
        "utility.ece": calibration_error(sure, hits, bins),
        "utility.worst_class": _worst_class(hits, labels, weights),
    }


def calibration_error(sure: np.ndarray, hits: np.ndarray, bins: int) -> Estimate:
    """Expected calibration error: mean over images of |confidence - accuracy| of their bin.

    Source: Naeini et al. 2015; Guo et al. 2017, arXiv:1706.04599.
    """
    # (n,): a confidence of exactly 1 belongs to the last bin
    bin_of = np.minimum((sure * bins).astype(np.int64), bins - 1)
    gap = sure - hits
    # (n,): whether its bin is over- or underconfident
    side = np.sign(np.bincount(bin_of, weights=gap, minlength=bins))[bin_of]
    # |mean gap of a bin| written as a mean over images, to get its error
    contributions = side * gap
    return Estimate(
        value=float(contributions.mean()), parts=(images(contributions),), bounds=(0.0, 1.0)
    )


def _worst_class(hits: np.ndarray, labels: np.ndarray, weights: np.ndarray) -> Estimate:
    """The least accuracy over classes; bootstrapped, since a minimum has no influence values."""
    member = np.eye(labels.max() + 1)[labels][:, np.unique(labels)]  # (n, classes)
    accuracy = (hits @ member) / member.sum(0)
    # (B, classes): resampled within a class, so that its size stays
    resampled = (weights @ (hits[:, None] * member)) / member.sum(0)
    return Estimate(
        value=float(accuracy.min()),
        parts=(bootstrap(resampled.min(1), units=int(member.sum(0).min())),),
        bounds=(0.0, 1.0),
    )
