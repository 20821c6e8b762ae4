"""How much of the forgotten class does a fresh head recover from a few images a class?"""

from __future__ import annotations

import numpy as np

from audits import comparison, depths, gates, logistic, sampling
from audits.comparison import Models
from audits.errors import NotConverged
from audits.estimates import Estimate
from audits.evidence import Evidence
from audits.few_shot import QUERIES, averaged
from audits.finding import JSON, Finding
from audits.observation import PENULTIMATE, Observation

AUDIT = "head_refit"


def audit(
    evidence: Evidence,
    *,
    shots: int = 10,
    draws: int = 20,
    penalty: float = 1.0,
    rows: int = 4000,
    steps: int = logistic.STEPS,
) -> Finding:
    """Accuracy of a logistic head fitted on frozen last features of a few test images a class.

    All classes are refitted together; the head is scored on test images that it was not fitted on.

    Args:
        shots: Labelled images a class.
        draws: Random draws of them, one fit each.
        penalty: Strength of the squared penalty on standardised features.
        rows: Test rows at most, a seeded stratified sample.
        steps: Of a fit at most; where one is not at rest then, nothing is measured.
    """
    settings = {"shots": shots, "draws": draws, "penalty": penalty, "rows": rows, "steps": steps}
    parameters: dict[str, JSON] = {**settings, "depth": PENULTIMATE}
    obstacle = gates.obstacle(AUDIT, evidence, forget_test=shots + QUERIES, retain_test=shots + 1)
    if obstacle:
        return gates.not_run(AUDIT, evidence, obstacle, parameters)
    models = Models.of(evidence, refitted, by_class=True, **settings)
    labels = {
        f"{AUDIT}.forget": f"Forgotten class after a head refit from {shots} images a class",
        f"{AUDIT}.retain": f"Other classes after a head refit from {shots} images a class",
    }
    sizes = comparison.sizes(evidence)
    measurements, left_out = comparison.measure_all(evidence, models, labels, sizes=sizes)
    return comparison.conclude(
        AUDIT, evidence, measurements, parameters=parameters, left_out=left_out, series={}
    )


def refitted(
    evidence: Evidence,
    observation: Observation,
    *,
    shots: int,
    draws: int,
    penalty: float,
    rows: int,
    steps: int,
) -> dict[str, Estimate | str]:
    """Accuracy on forget and on retain images of one model's refitted heads."""
    features = depths.at(evidence, observation, PENULTIMATE)
    reason = gates.unusable(features)
    names = (f"{AUDIT}.forget", f"{AUDIT}.retain")
    if reason:
        return dict.fromkeys(names, reason)
    kept = sampling.capped(evidence, rows, "head_refit.rows", least=shots + QUERIES)
    features, labels = features[kept], evidence.test_labels[kept]  # (n, D), (n,)
    chosen = sampling.supports(
        labels, evidence.live, shots=shots, draws=draws, generator=evidence.rng("head_refit")
    )
    try:
        # (draws, n)
        hits = np.stack(
            [_scored(features, labels, draw.ravel(), penalty, steps) for draw in chosen]
        )
    except NotConverged as problem:
        return dict.fromkeys(names, str(problem))
    return {
        name: averaged(
            hits[:, np.isin(labels, classes)],
            independent=min(int(np.count_nonzero(labels == c)) for c in classes) // shots,
            rows=kept[np.isin(labels, classes)],
            source=AUDIT,
        )
        for name, classes in zip(names, (evidence.forget, evidence.retain), strict=True)
    }


def _scored(
    features: np.ndarray, labels: np.ndarray, support: np.ndarray, penalty: float, steps: int
) -> np.ndarray:
    """Hits of a head fitted on the support rows, (n,), NaN on these rows themselves."""
    # from the support alone: the other rows are asked about
    centre, spread = features[support].mean(0), features[support].std(0)
    scaled = (features - centre) / np.where(spread > 0, spread, 1.0)  # (n, D)
    head = logistic.fitted(scaled[support], labels[support], penalty=penalty, steps=steps)
    hits = (head.predict(scaled) == labels).astype(np.float64)
    hits[support] = np.nan  # fitted on these
    return hits
