"""Attacks on membership that know how hard each image is, from models trained without that image.

A sure answer on an easy image says nothing; these scores hold each image against what shadow models
say about the same image, those that were not trained on it. Retrained references will not do: they
never saw the *class*, so that their answers on it say little of how hard one of its images is, and
an attack by them is no better than the plain loss. Higher means: more like a member.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import special

from audits.evidence import Shadow

GAMMA = 2.0
"""RMIA: how many times likelier than a population image an image must be."""
OFFLINE = 0.3
"""RMIA: what models trained with an image are taken to add to the chance of models without it."""
FEW_SHADOWS = "an image was in, or out of, fewer than two shadows: train more"


Pair = tuple[np.ndarray, np.ndarray]
"""Of one model: what it says of members (n,) and of held-out images (m,)."""


def difficulty(own: Pair, shadows: Sequence[Pair], inside: Sequence[Pair]) -> Pair | str:
    """Log odds of the true class beyond those of shadows that were not trained on the image.

    Args:
        own: Log odds on the audited model, of members (n,) and of held-out images (m,).
        shadows: The same on each shadow.
        inside: Whether each shadow was trained on each.
    Returns:
        Scores of both, or why there are none.
    Source: Watson et al. 2022, arXiv:2111.08440.
    """
    excess: list[np.ndarray] = []
    for part, odds in enumerate(own):
        outside = _outside(inside, part)
        if isinstance(outside, str):
            return outside
        scores = np.stack([shadow[part] for shadow in shadows])  # (shadows, n)
        excess.append(odds - (scores * outside).sum(0) / outside.sum(0))
    return excess[0], excess[1]


def rmia(
    own: Pair,
    shadows: Sequence[Pair],
    inside: Sequence[Pair],
    *,
    gamma: float = GAMMA,
    offline: float = OFFLINE,
) -> Pair | str:
    """Share of population images that each image beats by `gamma` in relative likelihood.

    The population are the held-out images: every second one for the members and held-out images at
    odd places, the others for those at even places, so that none is compared with itself and both
    sides are compared with the same.

    Args:
        own: Log probabilities of the true class on the audited model, of members (n,) and of
            held-out images (m,), at least two.
        shadows: The same on each shadow.
        inside: Whether each shadow was trained on each.
    Returns:
        Scores of members (n,) and of held-out images (m,), in [0, 1], or why there are none.
    Source: Zarifzadeh, Liu and Shokri 2024, arXiv:2312.03262, offline (equations 4 and 10).
    """
    ratios: list[np.ndarray] = []
    for part, mine in enumerate(own):
        outside = _outside(inside, part)
        if isinstance(outside, str):
            return outside
        chances = np.stack([shadow[part] for shadow in shadows])  # (shadows, n)
        # log Pr(x | model) - log Pr(x): how much likelier the audited model makes the image
        ratios.append(mine - _log_mixed(chances, outside, offline))
    shares = [np.empty(len(ratio)) for ratio in ratios]
    for half in (0, 1):
        population = np.sort(ratios[1][1 - half :: 2]) + np.log(gamma)  # (m / 2,) of held-out rows
        for scores, ratio in zip(shares, ratios, strict=True):
            # Pr_z[ratio(x) / ratio(z) >= gamma] by sorting once, not by comparing all pairs
            beaten = np.searchsorted(population, ratio[half::2], side="right")
            scores[half::2] = beaten / len(population)
    return shares[0], shares[1]


def _outside(inside: Sequence[Pair], part: int) -> np.ndarray | str:
    """Which shadows were not trained on each image, (shadows, n); or why there are too few."""
    outside: np.ndarray = ~np.stack([kept[part] for kept in inside])
    # one model's answer is as much its own chance as the image's difficulty
    return outside if int(outside.sum(0).min(initial=2)) >= 2 else FEW_SHADOWS


def _log_mixed(chances: np.ndarray, outside: np.ndarray, offline: float) -> np.ndarray:
    """log((1 + a) / 2 * mean p_out + (1 - a) / 2), from log probabilities (shadows, n)."""
    # (n,), log of the mean chance on the shadows without the image
    mean = special.logsumexp(chances, axis=0, b=outside) - np.log(outside.sum(0))
    constant = np.full(len(mean), np.log((1 - offline) / 2))
    mixed: np.ndarray = np.logaddexp(np.log((1 + offline) / 2) + mean, constant)
    return mixed


def likelihood_ratio(
    own: tuple[np.ndarray, np.ndarray],
    shadows: Sequence[tuple[np.ndarray, np.ndarray]],
    inside: Sequence[tuple[np.ndarray, np.ndarray]],
) -> tuple[np.ndarray, np.ndarray] | str:
    """log N(score; shadows trained with the image) - log N(score; shadows without it).

    The scores of the *audited* model are judged; shadows only say what to expect. Scores are log
    odds, which are near normal; one spread for all images of a side, as few shadows give no spread
    of each. The audited model's scores are first moved so that their median on held-out images is
    that of shadows without the image: a model that was edited answers on another level.

    Args:
        own: Log odds on the audited model, of members (n,) and of held-out images (m,).
        shadows: The same on each shadow.
        inside: Whether each shadow was trained on each.
    Returns:
        Scores of both, or why there are none.
    Source: Carlini et al. 2022, arXiv:2112.03570; with edited shadows this is U-LiRA, Hayes et al.
        2024, arXiv:2403.01218.
    """
    ratios: list[np.ndarray] = []
    members, others = (_expected(shadows, inside, part) for part in (0, 1))
    if isinstance(members, str):
        return members
    if isinstance(others, str):
        return others
    # an edit lowers all answers on the class alike: that level is no sign of membership
    move = float(np.median(others[1]) - np.median(own[1]))
    # one spread for members and one for held-out images, pooled over images
    spreads = [np.sqrt(np.mean(np.append(members[side], others[side]))) for side in (2, 3)]
    if not all(spread > 0 for spread in spreads):
        return "the shadows give every image one and the same score: there is no spread to judge by"
    for part, (with_it, without, _, _) in enumerate((members, others)):
        score = own[part] + move
        ratios.append(
            _log_normal(score, with_it, spreads[0]) - _log_normal(score, without, spreads[1])
        )
    return ratios[0], ratios[1]


def _expected(
    shadows: Sequence[tuple[np.ndarray, np.ndarray]],
    inside: Sequence[tuple[np.ndarray, np.ndarray]],
    part: int,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray] | str:
    """Mean score with and without each image, and the squared deviations on both sides."""
    scores = np.stack([shadow[part] for shadow in shadows])  # (shadows, n)
    member = np.stack([kept[part] for kept in inside])  # (shadows, n) of bool
    counts = member.sum(0), (~member).sum(0)
    # a variance needs two shadows on each side of every image
    if min(int(count.min()) for count in counts) < 2:
        return FEW_SHADOWS
    means = [(scores * side).sum(0) / n for side, n in zip((member, ~member), counts, strict=True)]
    variances = [
        ((scores - mean) ** 2 * side).sum(0) / (n - 1)
        for mean, side, n in zip(means, (member, ~member), counts, strict=True)
    ]
    return means[0], means[1], variances[0], variances[1]


def _log_normal(score: np.ndarray, mean: np.ndarray, spread: float) -> np.ndarray:
    # without log(2 pi) / 2, which cancels in the ratio
    density: np.ndarray = -np.log(spread) - ((score - mean) / spread) ** 2 / 2
    return density


def kind(shadows: Sequence[Shadow]) -> str:
    """The name of the attack that these shadows make: on edited ones it is U-LiRA."""
    return "u_lira" if shadows and all(shadow.edited for shadow in shadows) else "lira"
