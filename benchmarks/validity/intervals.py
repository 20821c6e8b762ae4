"""Intervals of shares whose units come in events: candidates of one are no independent trials.

They share an original, references and audit rows, so that they pass or fail together. Counting
them one by one would make an interval several times too narrow.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from scipy.stats import beta, t

LEVEL = 0.95


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """The candidates of one event that are counted.

    Attributes:
        hits: How many of them came out as asked for.
        of: How many there are, at least one.
    """

    hits: int
    of: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """A share with its interval.

    Attributes:
        hits: Over all events.
        of: Candidates over all events.
        events: That have such candidates.
        low: Lower bound of the two-sided interval.
        high: Upper bound.
    """

    hits: int
    of: int
    events: int
    low: float
    high: float

    @property
    def share(self) -> float:
        return self.hits / self.of

    def to_json(self) -> dict[str, object]:
        return {
            "share": round(self.share, 4),
            "hits": self.hits,
            "of": self.of,
            "events": self.events,
            "interval": [round(self.low, 4), round(self.high, 4)],
        }


def exact(hits: float, of: float, level: float = LEVEL) -> tuple[float, float]:
    """The two-sided interval of Clopper and Pearson (1934); both counts may be effective ones.

    Raises:
        ValueError: there are no trials, or more hits than trials.
    """
    if of <= 0 or not 0 <= hits <= of:
        raise ValueError(f"{hits} of {of} is no share: count at least one trial.")
    tail = (1 - level) / 2
    low = float(beta.ppf(tail, hits, of - hits + 1)) if hits > 0 else 0.0
    high = float(beta.ppf(1 - tail, hits + 1, of - hits)) if hits < of else 1.0
    return low, high


def by_event(clusters: Sequence[Cluster]) -> Share:
    """Share of the events in which at least one candidate is a hit: events are the trials."""
    hits = sum(cluster.hits > 0 for cluster in clusters)
    low, high = exact(hits, len(clusters))
    return Share(hits=hits, of=len(clusters), events=len(clusters), low=low, high=high)


def clustered(clusters: Sequence[Cluster]) -> Share:
    """Share of all candidates, with the interval that their events allow.

    The exact interval at an effective number of trials (Korn and Graubard, Survey Methodology 24,
    1998): n over the design effect, the variance of the ratio estimator between events over the
    binomial one, with the quantiles of t at m - 1 degrees of freedom for those at n - 1. A design
    effect below 1 is taken for 1. Where all or none are hits nothing shows how candidates of one
    event hang together, and the events are the trials.

    Raises:
        ValueError: there is no candidate.
    """
    used = [cluster for cluster in clusters if cluster.of > 0]
    hits, of, events = sum(c.hits for c in used), sum(c.of for c in used), len(used)
    if not of:
        raise ValueError("There is no candidate to count: measure an event first.")
    share = hits / of
    effective = float(events)
    if 0 < hits < of and events > 1:
        between = sum((c.hits - share * c.of) ** 2 for c in used) * events / (events - 1) / of**2
        design = max(1.0, between / (share * (1 - share) / of))
        tail = (1 + LEVEL) / 2
        effective = of / design * float(t.ppf(tail, of - 1) / t.ppf(tail, events - 1)) ** 2
    low, high = exact(share * effective, effective)
    return Share(hits=hits, of=of, events=events, low=low, high=high)
