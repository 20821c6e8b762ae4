"""Make every position of a sum's writers write against a class, channel by channel, behind gates.

The pooled output of a rectifier moves with what is written into it only where the rectifier lets it
through. For channel c, each cell q of the map that the sum's reader takes (one, where it takes the
mean of all positions) and joint patches x_p of all writers (the last entry is 1, for the bias),

    phi_cq = mean_{p in q} g(z_cp)     moves with a change w of the weights by  G_cq w,
    G_cq   = mean_{p in q} g'(z_cp) x_p                                           (D,)

so that what is wanted of the pooled output is one least squares problem for each channel:

    minimise  E_r |G w|^2 + mean_f E_f |(G - mean G) w - t_c|^2 + ridge |w|^2   G w: of all cells
    subject to  mean_f G w = -a d_c for each class f to forget, mean_k G w = 0 for each class k kept

Retain samples are held where they are, their class means exactly. First the samples of a class to
forget move around its mean, towards where earlier depths predict each of them (t, and a = 0): a
network that never saw the class scatters them by what it has learnt for others. Then its mean moves
along its residual d, and they keep their places around it (t = 0). Gates open and close on the way:
class means are gated anew in each round, and the sum is known without another evaluation.

Source: docs/method.md, "Writers behind gates".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import torch
from torch import Tensor, nn
from torch.nn import functional

from damp.natural_share import RowGeometry
from damp.parts import part_rows
from damp.sum_writers import (
    alternate,
    approach,
    middle_inputs,
    middle_position,
    padded_inputs,
    slopes,
    weak_channels,
)
from damp.sums import Sum, Writer, cell_means

HELD = 5.0
"""Weight of the forget samples' deviations beside the retain samples' places."""

OTHERS = 2 / 3
"""Weight, in what says when to stop, of the rows that did not choose the change."""

SCATTERED = 0.5
"""Share of the way, from where a forget sample lies around its mean to where it is predicted to."""

ROUNDS = 16
"""Corrections at most; each is arithmetic on cached rows."""

RIDGE = 0.2
"""Added to the diagonal of a channel's second moments, as a share of its mean."""

SOFT = 1e-3
"""Added to the diagonal of the conditions, as a share of its mean: class means may agree."""

MOST_OPERATIONS = 4 * 10**11
"""Multiplications with an addition that all channels' second moments may take: some ten seconds."""

MOST_BYTES = 1 << 30
"""What the patches of all rows may take."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class GatedWriting:
    """The change that was found for one sum.

    Attributes:
        change: Of the joint weights in units of the sum, (C, D + 1); the last column is the bias's.
        whole: Whether patches are those of all kernel positions, not of the middle ones alone.
        values: z with the change, as it was given.
        before, after: s of each class, of both halves of the rows as `OTHERS` weighs them, (f,).
        rounds: Corrections that were made.
    """

    change: Tensor
    whole: bool
    values: Tensor
    before: Tensor
    after: Tensor
    rounds: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Patches:
    """What the writers of a sum read together at each of its positions.

    Attributes:
        joint: (n, D + 1, P), the last entry of each being 1.
        whole: Whether of all kernel positions.
    """

    joint: Tensor
    whole: bool


def patches_of(place: Sum, inputs: Sequence[Tensor]) -> Patches | None:
    """Joint patches of a sum's writers; None where they would take too much time or room.

    Of all kernel positions where that can be afforded, else of the middle ones.

    Args:
        place: The sum, with its writers.
        inputs: What each of them reads, (n, I) or (n, I, H, W).
    """
    layers = [writer.operator.layer for writer in place.writers]
    rows, channels = len(inputs[0]), place.channels
    for whole in (True, False):
        read = _unfolded if whole else middle_inputs
        first = [read(layer, given[:1]) for layer, given in zip(layers, inputs, strict=True)]
        width = sum(part.shape[1] for part in first) + 1
        operations = rows * place.side**2 * width**2 * channels
        size = 4 * rows * width * first[0].shape[2]
        if operations > MOST_OPERATIONS or size > MOST_BYTES:
            continue
        joint = first[0].new_ones(rows, width, first[0].shape[2])
        columns = joint[:, :-1].split([one.shape[1] for one in first], 1)
        for layer, given, own in zip(layers, inputs, columns, strict=True):
            step = part_rows(own)
            for part, patches in zip(given.split(step), own.split(step), strict=True):
                patches.copy_(read(layer, part))
        return Patches(joint=joint, whole=whole)
    return None


def _unfolded(layer: nn.Module, inputs: Tensor) -> Tensor:
    """What a layer's kernel reads at each output position, (n, I * K, P), as its weight has it.

    >>> _unfolded(nn.Conv2d(2, 3, 3, stride=2, padding=1), torch.ones(1, 2, 4, 4)).shape
    torch.Size([1, 18, 4])
    """
    if not isinstance(layer, nn.Conv2d):
        return inputs[..., None]
    return functional.unfold(
        padded_inputs(layer, inputs),
        layer.kernel_size,
        dilation=layer.dilation,
        stride=layer.stride,
    )


def find_gated_writing(
    place: Sum,
    values: Tensor,
    patches: Patches,
    labels: Tensor,
    forget: Sequence[int],
    goals: Tensor,
    places: Sequence[Tensor] | None = None,
) -> GatedWriting:
    """The change that brings the separability of each class behind the rectifier to its goal.

    Before that, the samples of each class go `SCATTERED` of the way to where they are predicted to
    lie around its mean.

    Every second row of each class chooses it; when to stop is said by both halves, the others by
    `OTHERS`. Rows that chose a change overstate what it does to images that nobody was trained on;
    the others, on which the network was trained as well, understate it.

    Args:
        place: The sum.
        values: z, (n, C) or (n, C, H, W).
        patches: What its writers read.
        labels: (n,).
        forget: Classes to forget.
        goals: s* of each, (f,).
        places: Where the samples of each class are predicted to lie behind the rectifier, pooled,
            (n_f, C q) each in the order of its rows; None keeps them where they are.
    """
    chosen = alternate(labels)  # (n,)
    z = values.flatten(2) if values.ndim > 2 else values[..., None]  # (n, C, P)
    cells = _cells(values.shape[2:], place.side)
    problem = _Problem.of(place, cells, z[chosen], patches.joint[chosen], labels[chosen], forget)

    def written(z: Tensor, step: Tensor) -> Tensor:
        after, change = torch.empty_like(z), step.to(z)
        size = part_rows(patches.joint)
        parts = (tensor.split(size) for tensor in (after, z, patches.joint))
        for moved, own, joint in zip(*parts, strict=True):
            torch.add(own, torch.einsum("cd,ndp->ncp", change, joint), out=moved)
        return after

    def separability(z: Tensor) -> Tensor:
        return _separability(_pooled(place, cells, z), labels, chosen, forget)

    start, change = z, torch.zeros(z.shape[1], patches.joint.shape[1], dtype=torch.float64)
    if places is not None:
        # of the rows that choose, as z is
        own = [each[chosen[labels == c]] for c, each in zip(forget, places, strict=True)]
        change = problem.scatter(z[chosen], patches.joint[chosen], own)
        start = written(z, change)
    way = approach(
        start,
        change,
        goals,
        step_from=lambda z, share: problem.step(z[chosen], share),
        written=written,
        separability=separability,
        rounds=ROUNDS,
    )
    return GatedWriting(
        change=way.change,
        whole=patches.whole,
        values=way.values.reshape(values.shape),
        before=way.before if places is None else separability(z),
        after=way.after,
        rounds=way.rounds + (places is not None),
    )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Problem:
    """The least squares problems of all channels of one sum.

    Attributes:
        place: The sum.
        cells: How each cell averages positions, (q, P).
        labels: Of the rows that choose, (n,).
        forget: Classes to forget.
        classes: These, then the classes to keep.
        groups: Patches of each of `classes`, (n_k P, D + 1).
        factors: Cholesky factors of each channel's second moments, (D + 1, D + 1); None for
            channels that some writer cannot move.
    """

    place: Sum
    cells: Tensor
    labels: Tensor
    forget: tuple[int, ...]
    classes: tuple[int, ...]
    groups: tuple[Tensor, ...]
    factors: tuple[Tensor | None, ...]

    @classmethod
    def of(
        cls,
        place: Sum,
        cells: Tensor,
        z: Tensor,
        joint: Tensor,
        labels: Tensor,
        forget: Sequence[int],
    ) -> _Problem:
        """From the rows that choose: z (n, C, P) and joint patches (n, D + 1, P)."""
        kept = [int(label) for label in labels.unique() if label not in forget]
        classes = (*forget, *kept)
        gates = slopes(place, z)  # g', (n, C, P)
        weak = weak_channels(place.writers)
        factors = [
            None if bool(weak[c]) else _factor(_gated(joint, gates[:, c], cells), labels, forget)
            for c in range(z.shape[1])
        ]
        groups = [joint[labels == label].transpose(1, 2).flatten(0, 1) for label in classes]
        return cls(
            place=place,
            cells=cells,
            labels=labels,
            forget=tuple(forget),
            classes=classes,
            groups=tuple(groups),
            factors=tuple(factors),
        )

    def step(self, z: Tensor, share: Tensor) -> Tensor:
        """The change that moves each class by a share of its residual, (C, D + 1), float64.

        Args:
            z: As it is now, (n, C, P).
            share: a of each class to forget, (f,).
        """
        pooled = _pooled(self.place, self.cells, z)  # (n, C q)
        behind = RowGeometry.from_rows(pooled, self.labels, self.forget)
        wanted = -share[:, None] * behind.residuals  # (f, C q)
        wanted = wanted.reshape(len(self.forget), z.shape[1], -1)  # (f, C, q)
        means = self._means(slopes(self.place, z))  # (C, k q, D + 1)
        change = torch.zeros(means.shape[0], means.shape[2], dtype=torch.float64)
        for c, factor in enumerate(self.factors):
            if factor is None:
                continue
            answer = torch.zeros(means.shape[1], dtype=torch.float64)
            answer[: wanted[:, c].numel()] = wanted[:, c].flatten()
            change[c] = _conditioned(factor, means[c], answer)
        return change

    def scatter(self, z: Tensor, joint: Tensor, places: Sequence[Tensor]) -> Tensor:
        """The change that moves forget samples around their means, (C, D + 1), float64.

        Args:
            z: As the factors were taken from, (n, C, P).
            joint: Patches, (n, D + 1, P).
            places: Where the samples of each class are predicted to lie, (n_f, C q).
        """
        gates = slopes(self.place, z)  # (n, C, P)
        means = self._means(gates)  # (C, k q, D + 1)
        rows = [self.labels == label for label in self.forget]
        own = [
            (joint[part], gates[part], self._missing(z[part], each))
            for part, each in zip(rows, places, strict=True)
        ]
        change = torch.zeros(means.shape[0], means.shape[2], dtype=torch.float64)
        for c, factor in enumerate(self.factors):
            if factor is None:
                continue
            pull = torch.zeros(means.shape[2], dtype=torch.float64)
            for patches, slope, missing in own:
                gated = _gated(patches, slope[:, c], self.cells)  # (n_f, q, D + 1)
                around = (gated - gated.mean(0)).flatten(0, 1).double()  # (n_f q, D + 1)
                pull += around.T @ missing[:, c].flatten() / len(missing)
            free = torch.cholesky_solve(HELD / len(own) * pull[:, None], factor)[:, 0]
            # of all class means none moves
            change[c] = free - _conditioned(factor, means[c], means[c] @ free)
        return change

    def _missing(self, z: Tensor, places: Tensor) -> Tensor:
        """What is wanted of samples of one class around their mean, (n_f, C, q)."""
        now = _pooled(self.place, self.cells, z)  # (n_f, C q)
        wanted = SCATTERED * ((places - places.mean(0)) - (now - now.mean(0)))
        return wanted.reshape(len(z), z.shape[1], -1)

    def _means(self, gates: Tensor) -> Tensor:
        """Mean of G over each class, (C, k q, D + 1), float64, from g' of all rows (n, C, P)."""
        means = []
        for label, group in zip(self.classes, self.groups, strict=True):
            own = gates[self.labels == label].transpose(0, 1)  # (C, n_k, P)
            means += [
                (own * cell).flatten(1) @ group / own.shape[1] for cell in self.cells.to(gates)
            ]
        return torch.stack(means, 1).double()


def _conditioned(factor: Tensor, conditions: Tensor, answer: Tensor) -> Tensor:
    """The change of one channel that moves least of what is held and gives an answer, (D + 1,).

    Args:
        factor: Of what is held, (D + 1, D + 1).
        conditions: Means of G, (k q, D + 1).
        answer: What they are to give, (k q,).
    """
    spread = torch.cholesky_solve(conditions.T, factor)  # (D + 1, k q)
    inner = conditions @ spread
    inner.diagonal().add_(SOFT * inner.diagonal().mean() + TINY)
    return spread @ torch.linalg.solve(inner, answer)


TINY = torch.finfo(torch.float32).tiny
"""Keeps what is all zeros, a channel whose gates are closed, solvable: its change is nothing."""


def separability_of(place: Sum, values: Tensor, labels: Tensor, forget: Sequence[int]) -> Tensor:
    """s of each class, (f,), as writing measures it: of both halves of the rows, by `OTHERS`."""
    return _separability(place.pooled(values).double(), labels, alternate(labels), forget)


def _cells(shape: Sequence[int], side: int) -> Tensor:
    """How each cell averages the positions of a map, (side^2, P); a vector is one position.

    >>> _cells((2, 2), 1).tolist(), _cells((), 1).tolist()
    ([[0.25, 0.25, 0.25, 0.25]], [[1.0]])
    """
    if not shape:
        return torch.ones(1, 1)
    single = torch.eye(prod(shape)).reshape(-1, 1, *shape)  # (P, 1, H, W)
    return cell_means(single, side).T.contiguous()


def _gated(joint: Tensor, gates: Tensor, cells: Tensor) -> Tensor:
    """G of one channel, (n, q, D + 1), from patches (n, D + 1, P) and g' (n, P)."""
    return (gates[:, None] * cells.to(gates)) @ joint.transpose(1, 2)


def _factor(gated: Tensor, labels: Tensor, forget: Sequence[int]) -> Tensor:
    """Cholesky factor of what the change of one channel shall not move, (D + 1, D + 1)."""
    gone = torch.isin(labels, torch.tensor(list(forget)))
    moments = _moments(gated[~gone])
    for label in forget:
        own = gated[labels == label]
        moments += HELD * _moments(own - own.mean(0)) / len(forget)
    mean = moments.diagonal().mean()
    moments.diagonal().add_(RIDGE * mean + TINY)
    return torch.linalg.cholesky(moments)


def _moments(gated: Tensor) -> Tensor:
    """Mean over rows of the sum over cells of G G', (D + 1, D + 1), float64."""
    flat = gated.flatten(0, 1)  # (n q, D + 1)
    return (flat.T @ flat).double() / len(gated)


def _pooled(place: Sum, cells: Tensor, z: Tensor) -> Tensor:
    """X, (n, C q), float64, of z (n, C, P)."""
    averages = cells.to(z).T
    return place.behind(z, lambda after: after @ averages).flatten(1).double()


def _separability(pooled: Tensor, labels: Tensor, chosen: Tensor, forget: Sequence[int]) -> Tensor:
    """s of each class, (f,): of the rows that chose, and of the others."""
    own, others = (
        RowGeometry.from_rows(pooled[part], labels[part], forget).separability
        for part in (chosen, ~chosen)
    )
    return (1 - OTHERS) * own + OTHERS * others


def fold_gated_writing(writers: Sequence[Writer], writing: GatedWriting) -> None:
    """Into the weights: W += change / k, and the last column into the first writer's bias."""
    start = 0
    for number, writer in enumerate(writers):
        operator = writer.operator
        operator.ensure_biases()
        factor = writer.factor.double()
        # channels that were left alone have no change: any factor but 0 will do
        scaled = writing.change / torch.where(factor == 0, 1.0, factor)[:, None]  # (O, D + 1)
        weight = operator.weight()  # (O, I, K), sharing memory
        own = weight if writing.whole else weight[:, :, middle_position(operator.layer)]
        part = scaled[:, start : start + own[0].numel()].reshape(own.shape)
        own.copy_((own.double() + part.to(own.device)).to(own))
        if number == 0:
            (bias,) = operator.biases()
            if bias is not None:
                bias.copy_(bias.double() + scaled[:, -1].to(bias.device))
        start += own[0].numel()
