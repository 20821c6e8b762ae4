"""What requests cost by three ways, in full trainings: retrain, edit at L3, edit under a study.

    retrain        n
    L3             n (e + a + K)
    qualified      m (K + p) + n (e + a' + s (K + a))

n requests, K retrained models of a class, p partly retrained ones of a studied class, m classes
studied, s the share of events that are spot-checked, e the cut, a and a' the audits with and
without retrained models. A class can be asked to be forgotten once: n is at most the number of
classes, so that with few of them a study can cost more than it ever saves.
"""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Prices:
    """Of one request, in full trainings of the model.

    Attributes:
        cut: The edit.
        audit: With retrained models, without training them.
        alone: Without.
    """

    cut: float
    audit: float
    alone: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """Of a study and of L3.

    Attributes:
        references: Retrained models of a class.
        studied: Classes, those of a sequence counted again.
        partly: Partly retrained models of each of them.
        spot_checks: Share of the events.
    """

    references: int = 5
    studied: int = 10
    partly: int = 1
    spot_checks: float = 0.1

    @property
    def study(self) -> float:
        """Trainings of a study."""
        return float(self.studied * (self.references + self.partly))


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Full trainings for some requests, and from how many on a study pays.

    Attributes:
        requests: How many.
        retrain: By retraining for each.
        level_3: By cuts that are compared with retrained models.
        qualified: Under a qualification, its study included.
        beats_level_3: Requests from which on it costs less than L3; None where it never does.
        beats_retraining: The same against retraining for each.
    """

    requests: int
    retrain: float
    level_3: float
    qualified: float
    beats_level_3: int | None
    beats_retraining: int | None


def compare(requests: int, prices: Prices, setting: Setting) -> Comparison:
    """The three ways side by side.

    By hand, with cut .05, audits .15 and .1, K = 5, ten classes and one partly retrained each,
    a tenth checked: 60 for the study, .665 a request; L3 takes 5.2, so that it pays from
    60 / 4.535 = 13.2 on, against retraining from 60 / .335 = 179.1 on.

    >>> prices = Prices(cut=0.05, audit=0.15, alone=0.1)
    >>> result = compare(100, prices, Setting())
    >>> round(result.level_3, 6), round(result.qualified, 6)
    (520.0, 126.5)
    >>> result.beats_level_3, result.beats_retraining
    (14, 180)
    """
    each = of_event(prices, setting)
    level_3 = prices.cut + prices.audit + setting.references
    return Comparison(
        requests=requests,
        retrain=float(requests),
        level_3=requests * level_3,
        qualified=setting.study + requests * each,
        beats_level_3=_from(setting.study, level_3 - each),
        beats_retraining=_from(setting.study, 1.0 - each),
    )


def of_event(prices: Prices, setting: Setting) -> float:
    """One request under a qualification, its part of the spot checks included."""
    return prices.cut + prices.alone + setting.spot_checks * (setting.references + prices.audit)


def _from(once: float, saved: float) -> int | None:
    """Requests that it takes to save what was spent once; None where nothing is saved."""
    return math.floor(once / saved) + 1 if saved > 0 else None
