"""How ready is the forgotten class to come back from a few labelled images?"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from audits import comparison, depths, earlier, gates, sampling
from audits.comparison import Models
from audits.estimates import TEST_ROWS, Estimate, Units, draws, images
from audits.evidence import Evidence
from audits.finding import JSON, Finding
from audits.observation import Observation

AUDIT = "few_shot"
QUERIES = 10
"""Images of a forget class that must be left to score when the support images are taken out."""
BLOCK = 4_000_000
"""Distances held in memory at once."""


def audit(evidence: Evidence, *, shots: Sequence[int] = (1, 5, 20), draws: int = 200) -> Finding:
    """Nearest-prototype accuracy on the forgotten class, frozen features, all classes to choose.

    Prototypes are means of `shots` test images a class, drawn many times; the other test images of
    the forgotten class are scored. Read at the last features, one block earlier, at the earlier
    depth where the original knows most, and at the outputs of the classes that stay.

    Args:
        shots: Labelled images a class.
        draws: Random draws of them.
    """
    parameters: dict[str, JSON] = {"shots": list(shots), "draws": draws, "distance": "euclidean"}
    least = min(shots)
    obstacle = gates.obstacle(AUDIT, evidence, forget_test=least + QUERIES, retain_test=least)
    if obstacle:
        return gates.not_run(AUDIT, evidence, obstacle, parameters)
    before = _earlier(evidence)
    every = depths.available(evidence)
    # one block earlier, the last features, the retain logits; and where the original knows most
    levels = [depth for depth in every if depth == before or depth in every[-3:]]
    models = Models.of(
        evidence, recognised, by_class=True, shots=tuple(shots), draws=draws, levels=tuple(levels)
    ).also_at(earlier.NAME, before, why=earlier.NONE)
    where = {depth: depths.words(depth) for depth in levels}
    where[earlier.NAME] = earlier.words(before)
    labels = {f"{AUDIT}.{k}@{d}": _label(k, words) for d, words in where.items() for k in shots}
    sizes = comparison.sizes(evidence)
    measurements, left_out = comparison.measure_all(evidence, models, labels, sizes=sizes)
    return comparison.conclude(
        AUDIT,
        evidence,
        measurements,
        parameters=parameters | {earlier.NAME: before, "levels": list(levels)},
        left_out=left_out,
        series=_series(models, shots, levels),
    )


def _earlier(evidence: Evidence) -> str | None:
    """The earlier depth, chosen by a probe; None where there are too few rows for one."""
    return (
        None
        if gates.obstacle("linear_probe", evidence, forget_test=10)
        else earlier.depth(evidence)
    )


def _label(shots: int, where: str) -> str:
    plural = "" if shots == 1 else "s"
    return f"Forgotten class recognised from {shots} labelled image{plural} a class, by {where}"


def recognised(
    evidence: Evidence,
    observation: Observation,
    *,
    shots: Sequence[int],
    draws: int,
    levels: Sequence[str],
) -> dict[str, Estimate | str]:
    """Accuracies of one model, for each number of shots and each depth."""
    accuracies: dict[str, Estimate | str] = {}
    for depth in levels:
        if not depths.has(observation, depth):
            accuracies |= {f"{AUDIT}.{k}@{depth}": depths.LACKING for k in shots}
            continue
        features = depths.at(evidence, observation, depth)
        for k in shots:
            accuracies[f"{AUDIT}.{k}@{depth}"] = (
                _too_few(evidence, k)
                or gates.unusable(features)
                or _accuracy(evidence, features, k, draws)
            )
    return accuracies


def _too_few(evidence: Evidence, shots: int) -> str:
    forget = min(len(evidence.test_rows([c])) for c in evidence.forget)
    retain = min(len(evidence.test_rows([c])) for c in evidence.retain)
    if forget >= shots + QUERIES and retain >= shots:
        return ""
    return f"{shots} labelled images a class leave too few to score: give more test rows"


def _accuracy(evidence: Evidence, features: np.ndarray, shots: int, count: int) -> Estimate:
    """Accuracy with both sources of error: which images are scored, which are the labelled ones."""
    generator = evidence.rng(f"few_shot.{shots}")
    chosen = sampling.supports(
        evidence.test_labels, evidence.live, shots=shots, draws=count, generator=generator
    )
    queries = evidence.test_rows(evidence.forget)  # (q,)
    # (q,), position of the true class among the live ones
    own = np.searchsorted(evidence.live, evidence.test_labels[queries])
    hits = np.concatenate(
        [
            nearest_prototypes(features, block, queries) == own
            for block in _blocks(chosen, len(queries))
        ]
    )
    used = np.array([np.isin(queries, support) for support in chosen])  # (draws, q)
    return averaged(
        np.where(used, np.nan, hits),
        independent=_disjoint(evidence, shots),
        rows=queries,
        source=f"{AUDIT}.{shots}",
    )


def _blocks(chosen: np.ndarray, queries: int) -> Iterable[np.ndarray]:
    # distances of a block: step * classes * queries
    step = max(1, BLOCK // (queries * chosen.shape[1]))
    return (chosen[start : start + step] for start in range(0, len(chosen), step))


def _disjoint(evidence: Evidence, shots: int) -> int:
    """Supports without a common image that the rarest forget class can give."""
    return min(len(evidence.test_rows([c])) for c in evidence.forget) // shots


def nearest_prototypes(
    features: np.ndarray, supports: np.ndarray, queries: np.ndarray
) -> np.ndarray:
    """Position of the class whose prototype is nearest to each query, for each draw.

    Args:
        features: (n, D).
        supports: Row numbers, (draws, classes, shots).
        queries: Row numbers, (q,).
    Returns:
        (draws, q), int64.
    Source: Snell et al. 2017, arXiv:1703.05175.
    """
    # (draws, classes, D)
    prototypes = np.stack(
        [features[supports[:, c]].mean(1) for c in range(supports.shape[1])], axis=1
    )
    flat = prototypes.reshape(-1, features.shape[1])  # (draws * classes, D)
    # |p - x|^2 without |x|^2, which is the same for all classes
    distances = (flat**2).sum(1)[:, None] - 2 * flat @ features[queries].T
    # (draws, classes, q) -> (draws, q)
    nearest: np.ndarray = distances.reshape(*prototypes.shape[:2], -1).argmin(1)
    return nearest


def averaged(
    hits: np.ndarray, *, independent: int, rows: np.ndarray | None = None, source: str = ""
) -> Estimate:
    """Mean over images and draws, (draws, images) with NaN where an image was a support itself.

    An image that was a support in every draw was never scored and is left out.

    Args:
        hits: (draws, images).
        independent: Supports without a common image.
        rows: (images,), the test rows that they are; None where nobody pools this figure.
        source: Of the draws.
    """
    scored = ~np.isnan(hits).all(0)  # (images,): at least once
    hits = hits[:, scored]
    # (images,), (draws,): the two sources of error
    by_image, by_draw = np.nanmean(hits, axis=0), np.nanmean(hits, axis=1)
    estimate = Estimate(
        value=float(by_image.mean()),
        parts=(images(by_image), draws(by_draw, independent=independent)),
        bounds=(0.0, 1.0),
    )
    if rows is None:
        return estimate
    return estimate.with_units(
        [
            Units(source=TEST_ROWS, rows=rows[scored]),
            Units(source=f"draws of {source}", rows=np.arange(len(by_draw))),
        ]
    )


def _series(models: Models, shots: Sequence[int], levels: Sequence[str]) -> dict[str, JSON]:
    """Accuracy by number of labelled images, one curve per depth, for the picture."""
    series: dict[str, JSON] = {}
    for depth in levels:
        usable = [k for k in shots if not models.missing(f"{AUDIT}.{k}@{depth}")]
        columns = models.columns([f"{AUDIT}.{k}@{depth}" for k in usable])
        series[depth] = {"shots": list(usable), **columns}
    return {"depths": series}
