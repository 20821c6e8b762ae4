"""How much of a class is natural: the separability that a network without it would show.

A retrained network does not make the class inseparable; it keeps what follows from features that
other classes have taught. That share is estimated from the original alone: a ridge regression on
retain samples predicts the features of one depth from those of the depth before. What it does not
predict of the forget prototype was learnt for the class. With the prototype where it is predicted,
the class is as separable as it naturally is.

Source: docs/method.md, "The natural share".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from damp.accumulator import add_gram, mirror
from damp.residuals import mixture_weights, relative
from damp.whitening import Metric, Whole, ridged

WIDEST_MAP = 2048
"""Features of a map that the regression reads at most: coarser cells where it has more."""

MAP_RIDGE = 0.01
"""Added to the diagonal of the map's covariance, as a share of its mean diagonal."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RowGeometry:
    """Where the classes to forget lie among rows of features.

    Attributes:
        targets: Their prototypes, (f, D).
        retain: Prototypes of the classes to keep, (r, D).
        residuals: What the nearest mixtures do not explain, (f, D).
        metric: The one in which retain rows are round.
        squared: s^2 of each class less what the noise of its mean adds, at least 0, (f,).
        noise: What the noise of a mean adds to s^2, tr(S^-1 S_f) / n_f, (f,).
    """

    targets: Tensor
    retain: Tensor
    residuals: Tensor
    metric: Metric
    squared: Tensor
    noise: Tensor

    @property
    def reference(self) -> Tensor:
        """m, the mean of the retain prototypes, (D,)."""
        return self.retain.mean(0)

    @property
    def separability(self) -> Tensor:
        """s of each class, (f,)."""
        return self.squared.sqrt()

    @classmethod
    def from_rows(
        cls,
        rows: Tensor,
        labels: Tensor,
        forget: Sequence[int],
        *,
        targets: Tensor | None = None,
    ) -> RowGeometry:
        """From features (n, D), float64, and labels (n,).

        Args:
            rows: Features.
            labels: Of all rows; every class to forget has some.
            forget: Classes to forget.
            targets: Prototypes to take in the place of the forget rows' means, (f, D); those have
                no noise.
        """
        gone = torch.isin(labels, torch.tensor(list(forget)))  # (n,)
        kept = labels[~gone].unique().tolist()
        retain = torch.stack([rows[labels == label].mean(0) for label in kept])  # (r, D)
        metric = Whole(matrix=torch.cov(rows[~gone].T, correction=0)).metric()
        own = [rows[labels == label] for label in forget]
        means = torch.stack([part.mean(0) for part in own])
        noise = torch.stack(
            [
                metric.whiten(part - part.mean(0)).square().sum(1).mean() / (len(part) - 1)
                for part in own
            ]
        )  # (f,)
        if targets is not None:
            means, noise = targets, torch.zeros_like(noise)
        residuals = means - mixture_weights(means, retain, metric) @ retain  # (f, D)
        squared = metric.whiten(residuals).square().sum(1)  # (f,)
        return cls(
            targets=means,
            retain=retain,
            residuals=residuals,
            metric=metric,
            squared=(squared - noise).clamp_min(0),
            noise=noise,
        )


def discriminability(rows: Tensor, labels: Tensor, forget: Sequence[int]) -> Tensor:
    """d' of each class against the rows to keep, (f,), less what the noise of its mean adds.

    |mean_f - mean_r| in the metric of the mean of both covariances. Where `separability` asks how
    far a class is from mixtures of the others, this asks how well one linear reader tells it from
    them: a class may lie between the others and be told all the same.

    Source: W. Tanner and J. Swets 1954; Fisher's discriminant, R. Fisher 1936.

    Args:
        rows: (n, D), float64.
        labels: (n,).
        forget: Classes to forget, each with two rows or more.
    """
    gone = torch.isin(labels, torch.tensor(list(forget)))
    retain = rows[~gone]
    distances = []
    for label in forget:
        own = rows[labels == label]
        metric = _between(retain, torch.cov(own.T, correction=0))
        apart = metric.whiten((own.mean(0) - retain.mean(0))[None]).square().sum()
        noise = metric.whiten(own - own.mean(0)).square().sum(1).mean() / (len(own) - 1)
        distances.append((apart - noise).clamp_min(0).sqrt())
    return torch.stack(distances)


def _between(retain: Tensor, spread: Tensor) -> Metric:
    """The metric of the mean of two covariances: of rows to keep, and that of a class."""
    return Whole(matrix=(torch.cov(retain.T, correction=0) + spread) / 2).metric()


def cells_of(features: Tensor) -> Tensor:
    """Features as vectors: maps in cells as fine as `WIDEST_MAP` allows.

    >>> cells_of(torch.ones(2, 64, 8, 8)).shape, cells_of(torch.ones(2, 64)).shape
    (torch.Size([2, 1024]), torch.Size([2, 64]))
    """
    if features.ndim == 2:
        return features
    side = features.shape[-1]
    while side > 1 and features.shape[1] * side * side > WIDEST_MAP:
        side = (side + 1) // 2
    return functional.adaptive_avg_pool2d(features, side).flatten(1)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LinearMap:
    """y = (x - centre) weights + offset, from one depth's features to the next one's."""

    weights: Tensor
    centre: Tensor
    offset: Tensor

    def __call__(self, rows: Tensor) -> Tensor:
        """Predicted features, (n, E)."""
        return (rows - self.centre) @ self.weights + self.offset

    @classmethod
    def fitted(cls, features: Tensor, *targets: Tensor) -> list[LinearMap]:
        """Ridge regressions of each of the targets (n, E) on features (n, D), all float64.

        Source: ridge regression, A. Hoerl and R. Kennard 1970.
        """
        centre = features.mean(0)
        x = features - centre
        gram = x.new_zeros(x.shape[1], x.shape[1])
        add_gram(gram, x)
        mirror(gram)
        spread = ridged(gram / len(x), MAP_RIDGE)  # (D, D)
        # features that do not vary predict nothing but the mean
        varies = float(spread.diagonal().sum()) > 0
        factor = torch.linalg.cholesky(spread) if varies else None
        maps = []
        for each in targets:
            offset = each.mean(0)
            if factor is None:
                weights = x.new_zeros(x.shape[1], each.shape[1])
            else:
                weights = torch.cholesky_solve(x.T @ (each - offset) / len(x), factor)
            maps.append(cls(weights=weights, centre=centre, offset=offset))
        return maps


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Goal:
    """What a class is to be at one depth, carried as an absolute value.

    Attributes:
        before: s of the original, (f,).
        goal: s*, what a network without the class would show by estimate, at most `before`, (f,).
        apart: d'* in the same way, (f,): of the class where it is predicted, as wide as predicted.
        places: Where each row of each class is predicted to lie, pooled, (n_f, E).
        noise: What the noise of the class's mean would show as s by itself, (f,).
        residual: |d_f| / |mu_f|, the largest over the classes.
    """

    before: Tensor
    goal: Tensor
    apart: Tensor
    places: tuple[Tensor, ...]
    noise: Tensor
    residual: float

    @property
    def share(self) -> Tensor:
        """s* / s, (f,)."""
        return self.goal / self.before.clamp_min(torch.finfo(self.before.dtype).tiny)


def natural_goals(
    maps: Sequence[Tensor], pooled: Sequence[Tensor], labels: Tensor, forget: Sequence[int]
) -> list[Goal]:
    """Goals of every depth but the first, in forward order, once and on the original.

    The forget prototype of the first depth is taken as it is; at each later depth it is where the
    map from the depth before puts the prototype that was predicted *there*: so what was learnt for
    the class at one depth has no part in what is natural at the next.

    Args:
        maps: Features of each depth as vectors, (n, D_l), float64: what the maps read and give.
        pooled: The same pooled, in which s is measured, (n, E_l); None where nothing is asked.
        labels: (n,).
        forget: Classes to forget.
    Returns:
        One goal for each of `maps[1:]`.
    """
    gone = torch.isin(labels, torch.tensor(list(forget)))
    # (n_f, D) of each class, where no map has been applied yet
    predicted = [maps[0][labels == label] for label in forget]
    goals = []
    for place in range(1, len(maps)):
        wanted = [pooled[place][~gone]]
        if place + 1 < len(maps):  # what the last depth's map gives, nothing reads
            wanted.append(maps[place][~gone])
        to_pooled, *to_map = LinearMap.fitted(maps[place - 1][~gone], *wanted)
        now = RowGeometry.from_rows(pooled[place], labels, forget)
        rows = [to_pooled(own) for own in predicted]
        targets = torch.stack([own.mean(0) for own in rows])
        natural = RowGeometry.from_rows(pooled[place], labels, forget, targets=targets)
        # what no map predicts of any row spreads this class's rows too
        missed = pooled[place][~gone] - to_pooled(maps[place - 1][~gone])
        apart = _predicted_apart(pooled[place][~gone], rows, torch.cov(missed.T, correction=0))
        goals.append(
            Goal(
                before=now.separability,
                goal=torch.minimum(natural.separability, now.separability),
                apart=torch.minimum(apart, discriminability(pooled[place], labels, forget)),
                places=tuple(rows),
                noise=now.noise.sqrt(),
                residual=float(relative(now.residuals, now.targets).max()),
            )
        )
        predicted = [to_map[0](own) for own in predicted] if to_map else predicted
    return goals


def _predicted_apart(retain: Tensor, predicted: Sequence[Tensor], missed: Tensor) -> Tensor:
    """d' of each class where it is predicted, (f,).

    Args:
        retain: Rows to keep, (n_r, E).
        predicted: Rows of each class, (n_f, E).
        missed: Covariance of what the prediction misses, (E, E).
    """
    distances = []
    for own in predicted:
        metric = _between(retain, torch.cov(own.T, correction=0) + missed)
        apart = metric.whiten((own.mean(0) - retain.mean(0))[None])
        distances.append(apart.square().sum().sqrt())
    return torch.stack(distances)
