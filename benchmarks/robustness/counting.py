"""Counts of several runs of one part, taken together."""

from __future__ import annotations

from typing import Any

Facts = dict[str, Any]

SAME = (
    *("machine", "command", "seed", "processes", "seconds_of_an_undisturbed_event"),
    *("target", "failures_below_percent_at_95_confidence"),
)
"""What two runs have in common, or the last one tells."""


def added(before: Facts, now: Facts) -> Facts:
    """Counts of two runs together.

    >>> added({"kills": 2, "by": {"cut": 1}, "bad": []}, {"kills": 3, "by": {"plan": 2}, "bad": []})
    {'kills': 5, 'by': {'cut': 1, 'plan': 2}, 'bad': []}
    """
    both: Facts = {}
    for key, value in now.items():
        old = before.get(key)
        if key in SAME or old is None:
            both[key] = value
        elif isinstance(value, dict):
            both[key] = {k: old.get(k, 0) + value.get(k, 0) for k in sorted({*old, *value})}
        else:
            both[key] = old + value
    return both


def bound(trials: int, failures: int, confidence: float = 0.95) -> float:
    """The rate that so many failures in so many trials leave possible: upper limit of Clopper and
    Pearson, one-sided. Without a failure it is 1 - 0.05 ** (1 / trials).

    >>> round(bound(300, 0), 4)
    0.0099
    """
    from scipy.stats import beta

    return float(beta.ppf(confidence, failures + 1, trials - failures))
