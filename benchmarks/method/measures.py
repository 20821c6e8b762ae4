"""What a network knows of a class, read at several depths: the figures of the tables.

All figures come from one forward pass over the rows of a part. The readers are those of the audits
(`audits/few_shot.py`, `audits/linear_probe.py`), with the same draws for every network.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from torch import Tensor, nn

from audits import sampling
from audits.discriminant import held_out_scores
from audits.few_shot import nearest_prototypes
from audits.statistics import jensen_shannon

RETAIN = "retain"
PROBES = ("few1", "few5", "refit")
EARLIER = ("last", "earlier")
JUDGED = (
    RETAIN,
    "forget",
    *(f"{probe}@{depth}" for depth in EARLIER for probe in PROBES),
    "routing",
)
"""Figures that a target speaks of."""

SHOTS = (1, 5)
DRAWS = 100
FITTED = 250
"""Images a class, at most, that a fresh head is fitted on; half of a part at most."""

LAYERS: Mapping[str, Mapping[str, str]] = {
    "cnn": {"last": "fc2", "earlier": "fc1", "early": "conv3"},
    "resnet": {"last": "head", "earlier": "blocks.2.conv1", "early": "blocks.1.conv1"},
    "resnet16": {"last": "head", "earlier": "blocks.2.conv1", "early": "blocks.1.conv1"},
    "vit": {"last": "head", "earlier": "blocks.3.qkv", "early": "blocks.2.qkv"},
}
"""Operators whose pooled inputs are read: the head's, that of the last block, one before it."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Observation:
    """What a network made of the rows of a part: logits (n, C), depth -> pooled features (n, D)."""

    logits: np.ndarray
    features: Mapping[str, np.ndarray]


def observe(model: nn.Module, net: str, inputs: Tensor, *, batch: int = 500) -> Observation:
    """One forward pass in evaluation mode."""
    kept: dict[str, list[Tensor]] = {depth: [] for depth in LAYERS[net]}
    handles = [_keep(model.get_submodule(name), kept[depth]) for depth, name in LAYERS[net].items()]
    with torch.no_grad():
        logits = torch.cat([model(part) for part in inputs.split(batch)])
    for handle in handles:
        handle.remove()
    return Observation(
        logits=logits.double().numpy(),
        features={depth: torch.cat(parts).double().numpy() for depth, parts in kept.items()},
    )


def _keep(layer: nn.Module, kept: list[Tensor]) -> torch.utils.hooks.RemovableHandle:
    def hook(_: nn.Module, arguments: tuple[Tensor, ...]) -> None:
        features = arguments[0]
        if features.ndim > 2:
            features = features.mean((2, 3) if isinstance(layer, nn.Conv2d) else 1)
        kept.append(features.clone())

    return layer.register_forward_pre_hook(hook)


Figures = dict[str, float]


def measured(
    observation: Observation, labels: np.ndarray, forget: Sequence[int], *, refit: bool = True
) -> Figures:
    """All figures of one network that need no other network.

    Keys: `retain`, `forget` (accuracy before retiring), and per depth `few1@last`, `few5@last`,
    `dprime@last`, `refit@last`, `refit-retain@last`. Several forget classes are averaged.
    """
    classes = np.unique(labels)
    gone = np.isin(labels, forget)
    retired = observation.logits.copy()
    retired[:, list(forget)] = -np.inf
    figures = {
        "retain": float((retired.argmax(1) == labels)[~gone].mean()),
        "forget": float((observation.logits.argmax(1) == labels)[gone].mean()),
    }
    for depth, features in observation.features.items():
        for shots in SHOTS:
            figures[f"few{shots}@{depth}"] = few_shot(features, labels, classes, forget, shots)
        figures[f"dprime@{depth}"] = dprime(features, labels, forget)
        if refit:
            own, others = refitted(features, labels, gone)
            figures[f"refit@{depth}"], figures[f"refit-retain@{depth}"] = own, others
    return figures


def few_shot(
    features: np.ndarray,
    labels: np.ndarray,
    classes: np.ndarray,
    forget: Sequence[int],
    shots: int,
) -> float:
    """Share of forgotten images nearest to their own prototype, of `shots` images a class."""
    chosen = sampling.supports(
        labels, classes.tolist(), shots=shots, draws=DRAWS, generator=np.random.default_rng(shots)
    )
    queries = np.flatnonzero(np.isin(labels, forget))
    hits = nearest_prototypes(features, chosen, queries) == np.searchsorted(
        classes, labels[queries]
    )
    used = np.stack([np.isin(queries, support) for support in chosen])
    return float(hits[~used].mean())


def dprime(features: np.ndarray, labels: np.ndarray, forget: Sequence[int]) -> float:
    """Distance of a forgotten class from the others along a held-out discriminant, in sd.

    0 where a method has made all features alike.
    """
    if not float(features.var(0).sum()) > 0:
        return 0.0
    fold = sampling.folds(labels, 5, np.random.default_rng(5))
    by_class = held_out_scores(features, labels, fold, forget, 0.01)
    rest = ~np.isin(labels, forget)
    values = []
    for label, scores in by_class.items():
        own, others = scores[labels == label], scores[rest]
        spread = np.sqrt((own.var() + others.var()) / 2)
        values.append((own.mean() - others.mean()) / spread)
    return float(np.mean(values))


def refitted(features: np.ndarray, labels: np.ndarray, gone: np.ndarray) -> tuple[float, float]:
    """Accuracy of a fresh logistic head, all classes, on forgotten and on other images."""
    least = int(np.bincount(labels)[np.unique(labels)].min())
    shots = min(FITTED, least // 2)
    classes = np.unique(labels).tolist()
    generator = np.random.default_rng(2)
    rows = sampling.supports(labels, classes, shots=shots, draws=1, generator=generator).ravel()
    centre, spread = features[rows].mean(0), features[rows].std(0)
    scaled = (features - centre) / np.where(spread > 0, spread, 1.0)
    head = LogisticRegression(C=1.0, max_iter=300, tol=1e-3).fit(scaled[rows], labels[rows])
    hits = head.predict(scaled) == labels
    held = np.ones(len(labels), dtype=bool)
    held[rows] = False
    return float(hits[held & gone].mean()), float(hits[held & ~gone].mean())


def shares(observation: Observation, labels: np.ndarray, forget: Sequence[int]) -> np.ndarray:
    """Where the images of each forgotten class go among the others, (f, r)."""
    kept = [c for c in range(observation.logits.shape[1]) if c not in forget]
    routes = [
        np.bincount(observation.logits[labels == c][:, kept].argmax(1), minlength=len(kept))
        for c in forget
    ]
    return np.stack([route / route.sum() for route in routes])


def routing(own: np.ndarray, others: Sequence[np.ndarray]) -> float:
    """Jensen-Shannon divergence from the retrained networks' mean shares, mean over classes."""
    return float(jensen_shannon(own, np.mean(others, axis=0)).mean())
