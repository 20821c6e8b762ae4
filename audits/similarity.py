"""Does the model represent the forgotten images as models do that never saw their class?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from audits import comparison, depths, gates, sampling
from audits.comparison import Models
from audits.estimates import Estimate
from audits.evidence import Evidence
from audits.finding import JSON, Finding
from audits.observation import LOGITS, Observation
from audits.pair_null import mean_over_pairs, null_of, table
from audits.statistics import bootstrap_weights

AUDIT = "similarity"
FIGURES = {
    "cka": "Similarity (CKA) of the forgotten images' representation to retrained models' at {}",
    "profile": "Distance of the forgotten class to each other class, in agreement with retrained "
    "models', at {}",
    "distance": "Distance of the forgotten class to the nearest other class, relative to theirs, "
    "at {}",
}
OTHER_ARCHITECTURE = (
    "The candidate is of another architecture than the retrained models, whose likeness among "
    "themselves says nothing of it: train references of its architecture to have it decide."
)


def audit(evidence: Evidence, *, rows: int = 600, replicates: int = 200) -> Finding:
    """CKA and representational dissimilarity to the retrained models, centred on retain classes.

    `cka`: linear CKA of the forgotten images' features, seen from the mean retain image, between a
    model and each retrained one; the mean over them. `profile`: the correlation, over the retain
    classes, of the distances from the forgotten class to each, with the retrained models'.
    `distance`: the distance to the nearest retain class over the mean distance of retain classes to
    their nearest. The null of the first two comes from the references' pairs, in which they are
    counted as the candidate is (`pair_null`). Features of another architecture lie otherwise
    whatever they were trained on: a candidate of one is measured, and its row decides nothing.

    Args:
        rows: Test rows at most, a seeded stratified sample.
        replicates: Image bootstraps for the standard error.
    """
    parameters: dict[str, JSON] = {
        "rows": rows,
        "replicates": replicates,
        "centre": "mean of the retain classes",
        "distance": "euclidean between class means",
    }
    obstacle = gates.obstacle(AUDIT, evidence, forget_test=5, retain_test=2)
    first, *others = evidence.references or (evidence.original,)
    if not all(depths.alike(first, other) for other in others):
        obstacle += (
            " The references are of several architectures, whose likeness is no null for anybody: "
            "train all of them by one recipe."
        )
    if len(evidence.retain) < 3:
        obstacle += " Fewer than 3 retain classes: there is no profile of distances to compare."
    if obstacle.strip():
        return gates.not_run(AUDIT, evidence, obstacle.strip(), parameters)
    levels = depths.available(evidence)
    models = _compared(evidence, levels, rows=rows, replicates=replicates)
    labels = {
        f"{AUDIT}.{figure}@{depth}": text.format(depths.words(depth))
        for depth in levels
        for figure, text in FIGURES.items()
    }
    sizes = comparison.sizes(evidence)
    measurements, left_out = comparison.measure_all(evidence, models, labels, sizes=sizes)
    if not all(depths.alike(evidence.candidate, other) for other in evidence.references):
        measurements = [replace(measured, aside=OTHER_ARCHITECTURE) for measured in measurements]
    return comparison.conclude(
        AUDIT,
        evidence,
        measurements,
        parameters=parameters,
        left_out=left_out,
        series=_series(models, levels),
    )


Pairs = list["np.ndarray | str"]
"""A figure of one model beside each other one, (1 + B,): of all images, then of each resample."""
Geometry = dict[str, "tuple[np.ndarray, np.ndarray] | str"]
"""Depth -> Gram matrix of the forgotten images (f, f) and distances between class means for all
images and each bootstrap, (1 + B, C, C); or why there are none."""


def geometry(
    evidence: Evidence, observation: Observation, *, rows: int, replicates: int
) -> Geometry:
    """What the comparison needs of one model, at every depth."""
    chosen = sampling.capped(evidence, rows, "similarity.rows")
    labels = evidence.test_labels[chosen]
    weights = _weights(evidence, labels, replicates)  # (1 + B, n)
    geometries: Geometry = {}
    for depth in (*observation.features, LOGITS):
        features = depths.at(evidence, observation, depth)[chosen]
        geometries[depth] = gates.unusable(features) or _geometry(
            evidence, features, labels, weights
        )
    return geometries


def _weights(evidence: Evidence, labels: np.ndarray, replicates: int) -> np.ndarray:
    """Counts of each row, (1 + B, n): all rows once first, then resampled within each class."""
    drawn = bootstrap_weights(labels, replicates, evidence.rng("similarity"))
    return np.concatenate([np.ones((1, len(labels)), dtype=np.int64), drawn])


def _geometry(
    evidence: Evidence, features: np.ndarray, labels: np.ndarray, weights: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    retain = np.isin(labels, evidence.retain)
    centred = features - features[retain].mean(0)  # (n, D)
    own = centred[~retain]
    # (1 + B, C, D)
    means = np.stack(
        [_weighted_mean(centred[labels == c], weights[:, labels == c]) for c in evidence.live], 1
    )
    square = (means**2).sum(-1)  # (1 + B, C)
    cross = means @ means.transpose(0, 2, 1)  # (1 + B, C, C)
    # |a - b|^2 = |a|^2 + |b|^2 - 2 a'b; rounding may leave it below 0
    distances = np.sqrt(np.maximum(square[:, :, None] + square[:, None] - 2 * cross, 0.0))
    return own @ own.T, distances


def _weighted_mean(rows: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Means of rows (n, D) by counts (B, n): (B, D)."""
    means: np.ndarray = (weights @ rows) / weights.sum(1, keepdims=True)
    return means


def _compared(evidence: Evidence, levels: Sequence[str], *, rows: int, replicates: int) -> Models:
    """Candidate and original against all references; the references counted alike."""
    settings = {"levels": tuple(levels), "rows": rows, "replicates": replicates}
    null = evidence.references
    images = len(evidence.test_rows(evidence.forget))  # units of the bootstrap

    def against(own: Observation, others: Sequence[Observation]) -> dict[str, Pairs]:
        pairs = [evidence.between(likeness, own, other, **settings) for other in others]
        return {name: [pair[name] for pair in pairs] for name in pairs[0]}

    candidate, original = against(evidence.candidate, null), against(evidence.original, null)
    # each pair once, and each reference with some other one
    among = [against(own, null[i + 1 :]) for i, own in enumerate(null[:-1])]
    last = against(null[-1], null[:-1])
    models = Models(
        candidate={name: _mean(pairs, images) for name, pairs in candidate.items()},
        original={name: _mean(pairs, images) for name, pairs in original.items()},
        references=tuple(
            {name: _mean(pairs, images) for name, pairs in own.items()} for own in (*among, last)
        ),
    )
    paired = {
        name: null_of(
            np.stack(_values(candidate[name])),
            np.stack(_values(original[name])),
            table([_values(own[name]) for own in among]),
            units=images,
        )
        for name in candidate
        if not name.startswith(f"{AUDIT}.distance") and not models.missing(name)
    }
    references = tuple(
        {**own, **{name: pairs.members[place] for name, pairs in paired.items()}}
        for place, own in enumerate(models.references)
    )
    return replace(models, references=references, pairs=paired)


def _mean(pairs: Pairs, images: int) -> Estimate | str:
    """Mean over the other models, with its bootstrap: (1 + B,) each, all images first."""
    broken = [pair for pair in pairs if isinstance(pair, str)]
    return broken[0] if broken else mean_over_pairs(np.stack(_values(pairs)), units=images)


def _values(pairs: Pairs) -> list[np.ndarray]:
    return [pair for pair in pairs if not isinstance(pair, str)]


def likeness(
    evidence: Evidence,
    one: Observation,
    other: Observation,
    *,
    levels: Sequence[str],
    rows: int,
    replicates: int,
) -> dict[str, np.ndarray | str]:
    """The three figures of one model beside another, for all images and each bootstrap."""
    settings = {"rows": rows, "replicates": replicates}
    pair = [evidence.of(geometry, observation, **settings) for observation in (one, other)]
    weights = evidence.of(_forgotten_weights, one, **settings)
    figures: dict[str, np.ndarray | str] = {}
    for depth in levels:
        mine, theirs = (geometries.get(depth, depths.LACKING) for geometries in pair)
        if isinstance(mine, str) or isinstance(theirs, str):
            why = next(entry for entry in (mine, theirs) if isinstance(entry, str))
            figures |= {f"{AUDIT}.{figure}@{depth}": why for figure in FIGURES}
            continue
        figures[f"{AUDIT}.cka@{depth}"] = kernel_alignment(mine[0], theirs[0], weights)
        figures[f"{AUDIT}.profile@{depth}"] = _correlation(
            _profile(evidence, mine[1]), _profile(evidence, theirs[1])
        )
        figures[f"{AUDIT}.distance@{depth}"] = _relative(evidence, mine[1])
    return figures


def _forgotten_weights(
    evidence: Evidence, observation: Observation, *, rows: int, replicates: int
) -> np.ndarray:
    """Counts of the forgotten images in each bootstrap, (1 + B, f): the same for every model."""
    labels = evidence.test_labels[sampling.capped(evidence, rows, "similarity.rows")]
    return _weights(evidence, labels, replicates)[:, np.isin(labels, evidence.forget)]


def kernel_alignment(one: np.ndarray, other: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Linear CKA of two Gram matrices (f, f) for each row of image counts, (B, f) -> (B,).

    <K, L> / (|K| |L|) over pairs of images. The features were centred on the retain classes, not on
    these images: where they lie counts, not only how they spread.

    Source: Kornblith et al. 2019, arXiv:1905.00414.

    >>> gram = np.array([[1.0, 0.5], [0.5, 2.0]])
    >>> kernel_alignment(gram, 3 * gram, np.ones((1, 2)))
    array([1.])
    """

    def product(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        # sum_ij w_i w_j a_ij b_ij, (B,)
        products: np.ndarray = ((weights @ (a * b)) * weights).sum(1)
        return products

    scale = np.sqrt(product(one, one) * product(other, other))  # (B,)
    return np.divide(product(one, other), scale, out=np.zeros(len(weights)), where=scale > 0)


def _profile(evidence: Evidence, distances: np.ndarray) -> np.ndarray:
    """Distances from each forgotten class to the retain classes, (B, f, r)."""
    forget = [evidence.live.index(c) for c in evidence.forget]
    retain = [evidence.live.index(c) for c in evidence.retain]
    return distances[:, forget][:, :, retain]


def _correlation(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Pearson correlation over retain classes, mean over forgotten ones: (B, f, r) -> (B,)."""
    # (B, f, r) each
    a, b = one - one.mean(-1, keepdims=True), other - other.mean(-1, keepdims=True)
    scale = np.sqrt((a**2).sum(-1) * (b**2).sum(-1))
    correlations: np.ndarray = np.divide(
        (a * b).sum(-1), scale, out=np.zeros(scale.shape), where=scale > 0
    )
    return correlations.mean(-1)


def _relative(evidence: Evidence, distances: np.ndarray) -> np.ndarray:
    """Nearest retain class of the forgotten over the mean nearest of the retain classes, (B,)."""
    retain = [evidence.live.index(c) for c in evidence.retain]
    among = distances[:, retain][:, :, retain].copy()
    among[:, range(len(retain)), range(len(retain))] = np.inf  # a class is not its own neighbour
    usual = among.min(-1).mean(-1)  # (B, r, r) -> (B,): how far apart learned classes stand
    nearest = _profile(evidence, distances).min(-1).mean(-1)  # (B, f, r) -> (B,)
    return np.divide(nearest, usual, out=np.zeros(len(usual)), where=usual > 0)


def _series(models: Models, levels: Sequence[str]) -> dict[str, JSON]:
    """CKA and distance by depth, for the picture."""
    series: dict[str, JSON] = {}
    for figure in ("cka", "distance"):
        usable = [d for d in levels if not models.missing(f"{AUDIT}.{figure}@{d}")]
        columns = models.columns([f"{AUDIT}.{figure}@{depth}" for depth in usable])
        series[figure] = {"depths": list(usable), **columns}
    return series
