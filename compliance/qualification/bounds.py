"""How sure counts of classes and of spot checks are. Pure: quantiles by halving an interval, not by
`audits.statistics`, because who verifies a qualification offline need not load scipy.

Classes are the units: models of one class are alike, so that a hundred of them are no hundred
observations.
"""

from __future__ import annotations

import math
from collections.abc import Callable

CONFIDENCE = 0.95
"""Of each bound, one-sided; stated wherever a bound is."""
STEPS = 60
"""Halvings of an interval: as fine as a double is."""


def at_most(events: int, trials: int, confidence: float = CONFIDENCE) -> float:
    """Upper bound of a rate, exact: with so many events in so many trials. 1 without any trial.

    Source: Clopper and Pearson 1934, one-sided. Without an event it is 1 - (1 - confidence)^(1/n).

    >>> round(at_most(0, 10), 4), round(at_most(0, 42), 4)
    (0.2589, 0.0688)
    """
    _check(events, trials)
    if events == trials:
        return 1.0
    return _quantile(lambda rate: 1 - _tail(events + 1, trials, rate), 1 - confidence)


def at_least(events: int, trials: int, confidence: float = CONFIDENCE) -> float:
    """Lower bound of a rate, exact; 0 without any trial.

    Source: Clopper and Pearson 1934, one-sided. Where all are events it is (1 - confidence)^(1/n).

    >>> round(at_least(10, 10), 4), at_least(0, 5)
    (0.7411, 0.0)
    """
    _check(events, trials)
    return 1 - at_most(trials - events, trials, confidence) if trials else 0.0


def _tail(events: int, trials: int, rate: float) -> float:
    """Chance of so many events or more."""
    return math.fsum(
        math.comb(trials, k) * rate**k * (1 - rate) ** (trials - k)
        for k in range(events, trials + 1)
    )


def _quantile(chance: Callable[[float], float], level: float) -> float:
    """Where a falling chance of a rate comes down to a level."""
    low, high = 0.0, 1.0
    for _ in range(STEPS):
        middle = (low + high) / 2
        low, high = (middle, high) if chance(middle) > level else (low, middle)
    return (low + high) / 2


def _check(events: int, trials: int) -> None:
    if not 0 <= events <= trials:
        raise ValueError(f"{events} events in {trials} trials cannot be: count again.")


def of_a_new_class(classes: int) -> float:
    """Chance that a new class's lowest score lies below those of so many classes before it.

    Exact on average over draws where the classes are exchangeable, as those of a random draw are:
    of k + 1 equally likely places for the lowest, one is the new class's.

    Source: conformal prediction, Vovk, Gammerman and Shafer 2005, section 2.

    >>> of_a_new_class(9)
    0.1
    """
    return 1 / (classes + 1)


def anytime(events: int, trials: int, level: float = 1 - CONFIDENCE) -> float:
    """Upper bound of a rate that holds at every look at once, whenever one stops looking.

    The mixture over all rates with equal weight is a martingale under the true rate p:

        M(n) = B(f + 1, n - f + 1) / (p^f (1 - p)^(n - f))

    By Ville's inequality it reaches 1 / level with a chance of at most `level`, ever; the bound is
    the largest p that has not been ruled out. Without events it is 1 - (level / (n + 1))^(1 / n).

    Source: Robbins 1970; Howard, Ramdas, McAuliffe and Sekhon 2021, arXiv:1810.08240.

    >>> round(anytime(0, 10), 4), anytime(0, 0)
    (0.4169, 1.0)
    """
    _check(events, trials)
    if not trials or events == trials:
        return 1.0
    successes = trials - events
    mixture = (
        math.lgamma(events + 1) + math.lgamma(successes + 1) - math.lgamma(trials + 2)
    )  # log B

    def kept(rate: float) -> bool:
        likelihood = successes * math.log1p(-rate) + (events * math.log(rate) if events else 0.0)
        return mixture - likelihood < -math.log(level)

    low, high = events / trials, 1.0  # the likelihood falls beyond its maximum
    for _ in range(STEPS):
        middle = (low + high) / 2
        if middle >= 1.0:
            break
        low, high = (middle, high) if kept(middle) else (low, middle)
    return low


def anytime_least(events: int, trials: int, level: float = 1 - CONFIDENCE) -> float:
    """Lower bound of a rate that holds at every look at once.

    >>> round(anytime_least(10, 10), 4)
    0.5831
    """
    return 1 - anytime(trials - events, trials, level) if trials else 0.0


def rules_out(events: int, trials: int, promised: float, level: float = 1 - CONFIDENCE) -> bool:
    """Whether checks have shown a rate above the promised one, at whatever look this is.

    The sequential test: false alarms have a chance of at most `level` over all looks together.

    >>> rules_out(0, 50, 0.2), rules_out(8, 10, 0.2)
    (False, True)
    """
    return anytime_least(events, trials, level) > promised
