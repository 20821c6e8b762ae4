"""The depth before the last features at which the original knows most of the class.

A policy can name no layer, as every network has other ones: it says `@earlier`. Which depth that is
follows from the original and the retrained models alone (without these, from the classes that the
original never saw), so that it stands fast before a candidate is looked at.
"""

from __future__ import annotations

from statistics import fmean

from audits import catalogue, depth_probe, depths
from audits.comparison import Models
from audits.estimates import Estimate
from audits.evidence import Evidence
from audits.observation import PENULTIMATE

NAME = catalogue.EARLIER
NONE = "no depth before the last features tells how far the original stands from its baseline"
"""Why there is no such depth."""


def depth(evidence: Evidence) -> str | None:
    """Where d' of the original exceeds the baseline's mean by most; None where none is measured.

    d' is in units of the features' own spread, so that depths compare. It is not divided by the
    retrained models' spread: the depth at which a few of them happen to agree is none to prefer.
    """
    models = Models.of(
        evidence.with_candidate(evidence.original),
        depth_probe.probed,
        by_class=True,
        **depth_probe.SETTINGS,
    )
    inner = [d for d in depths.available(evidence) if d not in (PENULTIMATE, depths.LOGITS)]
    gaps = {d: _gap(models, f"linear_probe.dprime@{d}") for d in inner}
    measured = {d: gap for d, gap in gaps.items() if gap is not None}
    return max(measured, key=lambda d: measured[d], default=None)


def _gap(models: Models, name: str) -> float | None:
    own = models.of_original(name)
    baseline = [figures.get(name) for figures in (models.references or models.novel_class_null)]
    values = [other.value for other in baseline if isinstance(other, Estimate)]
    if own is None or not values or len(values) < len(baseline):
        return None
    return own.value - fmean(values)


def words(depth_: str | None) -> str:
    """The depth in plain words."""
    if depth_ is None:
        return "an earlier depth"
    return f"{depths.words(depth_)}, of the earlier depths the one where the original knows most"
