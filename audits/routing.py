"""Do forgotten images go where a model that never saw their class sends them?"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from audits import comparison, gates
from audits.comparison import Measured, Models, rounded
from audits.estimates import Estimate, bootstrap
from audits.evidence import Evidence
from audits.finding import JSON, Finding
from audits.observation import Observation
from audits.statistics import bootstrap_weights, jensen_shannon, total_variation

AUDIT = "routing"
LABELS = {
    "routing.js": "Jensen-Shannon divergence of where forgotten images go, from where retrained "
    "models send them",
    "routing.tv": "Share of forgotten images that would have to go elsewhere to match the "
    "retrained models",
}


def audit(evidence: Evidence, *, replicates: int = 400) -> Finding:
    """Distance of the candidate's destinations to the mean of the retrained models'.

    Measured class by class and averaged: a model that swaps the destinations of two forgotten
    classes must not look like one that does not. A divergence of finite counts is biased upwards;
    the null (each reference against the mean of the others) is measured on the same images and
    carries the same bias.

    Args:
        replicates: Image bootstraps for the standard error.
    """
    parameters: dict[str, JSON] = {"replicates": replicates, "destinations": "retain classes"}
    obstacle = gates.obstacle(AUDIT, evidence, forget_test=10)
    if obstacle:
        return gates.not_run(AUDIT, evidence, obstacle, parameters)
    models = _distances(evidence, replicates)
    sizes = comparison.sizes(evidence)
    measurements, left_out = comparison.measure_all(evidence, models, LABELS, sizes=sizes)
    return comparison.conclude(
        AUDIT,
        evidence,
        measurements,
        parameters=parameters,
        left_out=left_out,
        series=_series(evidence, replicates),
    )


def destinations(evidence: Evidence, observation: Observation, *, replicates: int) -> np.ndarray:
    """Where the images of each forgotten class go among the retain classes.

    Returns:
        Shares (1 + replicates, f, r), each class's summing to one: of all images first, then of
        each bootstrap sample, which is the same for every model.
    """
    generator = evidence.rng("routing")
    shares = [
        # (f_c, r) of logits: the forgotten classes themselves cannot be chosen
        _shares(
            observation.test_logits[np.ix_(rows, np.array(evidence.retain))], replicates, generator
        )
        for rows in (evidence.test_rows([c]) for c in evidence.forget)
    ]
    return np.stack(shares, axis=1)


def _shares(logits: np.ndarray, replicates: int, generator: np.random.Generator) -> np.ndarray:
    count, width = logits.shape  # (images, r)
    weights = bootstrap_weights(np.zeros(count), replicates, generator)
    everyone = np.ones((1, count), dtype=np.int64)  # the sample itself, in front of its resamples
    # (1 + B, images) @ (images, r)
    counts: np.ndarray = np.concatenate([everyone, weights]) @ np.eye(width)[logits.argmax(1)]
    return counts / count


def _distances(evidence: Evidence, replicates: int) -> Models:
    """Candidate and original against the references' mean, each reference against the others'."""
    shares = [evidence.of(destinations, r, replicates=replicates) for r in evidence.references]
    images = len(evidence.test_rows(evidence.forget))
    candidate = evidence.of(destinations, evidence.candidate, replicates=replicates)
    original = evidence.of(destinations, evidence.original, replicates=replicates)
    return Models(
        candidate=_from(candidate, shares, images),
        original=_from(original, shares, images),
        references=tuple(
            _from(own, shares[:i] + shares[i + 1 :], images) for i, own in enumerate(shares)
        ),
    )


def _from(own: np.ndarray, others: Sequence[np.ndarray], images: int) -> Measured:
    mean = np.mean(others, axis=0)  # (1 + B, f, r)
    return {
        # (1 + B, f) -> (1 + B,): class by class first, then their mean
        "routing.js": _estimate(jensen_shannon(own, mean).mean(1), float(np.log(2)), images),
        "routing.tv": _estimate(total_variation(own, mean).mean(1), 1.0, images),
    }


def _estimate(distances: np.ndarray, bound: float, images: int) -> Estimate:
    return Estimate(
        value=float(distances[0]),
        parts=(bootstrap(distances[1:], units=images),),
        bounds=(0.0, bound),
    )


def _series(evidence: Evidence, replicates: int) -> dict[str, JSON]:
    """Shares of forgotten images per retain class, for the picture."""

    def shares(observation: Observation) -> np.ndarray:
        by_class = evidence.of(destinations, observation, replicates=replicates)[0]  # (f, r)
        return np.asarray(by_class.mean(0))

    null = [shares(reference) for reference in evidence.references]
    columns: dict[str, JSON] = {
        "classes": list(evidence.retain),
        "candidate": rounded(shares(evidence.candidate)),
        "original": rounded(shares(evidence.original)),
    }
    return {"shares": columns | comparison.band(null)}
