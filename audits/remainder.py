"""How much of what the original knows of the class remains, by all readers taken together?"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

from audits import catalogue, few_shot, gates, head_refit, linear_probe, perturbation
from audits.evidence import Evidence
from audits.finding import JSON, RUN, Figure, Finding, not_run

AUDIT = "remainder"
READERS: Mapping[str, tuple[str, ...]] = {
    "probes": (
        "linear_probe.dprime@penultimate",
        "linear_probe.dprime@logits",
        "perturbation.dprime@penultimate",
        "perturbation.dprime@logits",
    ),
    "few_labels": (
        "few_shot.1@penultimate",
        "few_shot.5@penultimate",
        "few_shot.1@logits",
        "few_shot.5@logits",
        "head_refit.forget",
    ),
}
"""Figures by kind of reader: what all labels show, and what a few do."""
LABELS = {
    "all": "Share of what the original knows of the class that remains, mean over both kinds of "
    "readers",
    "probes": "Share of what the original knows of the class that remains, by probes",
    "few_labels": "Share of what the original knows of the class that remains, by readers of a few "
    "labels",
}


def audit(evidence: Evidence, *, apart: float = 2.0) -> Finding:
    """Each figure as a share, 0 at the retrained mean and 1 at the original, and their mean.

    One figure on ninety images hardly tells half of what the original knows from nothing, and a
    model can be made to look right to one of them. Their mean scatters less than each, and every
    reader has a say: figures of a kind are averaged first, then the kinds.

    Counted are the figures by which the original stands apart from the retrained models; that is
    known before a candidate is looked at. Where no figure of a kind counts, there is no mean over
    the kinds: nothing is left that could have told the original to such a reader.

    Args:
        apart: Distance of the original from the retrained mean that a figure needs to be counted,
            in standard deviations (of one more retrained model and of the original's measurement).
    """
    parameters: dict[str, JSON] = {"apart": apart}
    obstacle = gates.obstacle(AUDIT, evidence)
    if obstacle:
        return gates.not_run(AUDIT, evidence, obstacle, parameters)
    audits = (linear_probe.audit, perturbation.audit, few_shot.audit, head_refit.audit)
    measurements = [measured for run in audits for measured in run(evidence).measurements]
    return pooled(measurements, seed=evidence.seed, apart=apart)


def pooled(measurements: Sequence[Figure], *, seed: int, apart: float) -> Finding:
    """The finding made of other audits' figures; see `audit`."""
    by_name = {measured.name: measured for measured in measurements}
    shares: dict[str, list[Share]] = {kind: [] for kind in READERS}
    left_out: dict[str, JSON] = {}
    for kind, names in READERS.items():
        for name in names:
            share = _share(by_name.get(name), apart)
            if isinstance(share, Share):
                shares[kind].append(share)
            else:
                left_out[f"share of {name}"] = share
    groups = {"all": list(shares.values())} | {kind: [own] for kind, own in shares.items()}
    # a kind without figures would make `all` the mean of the other kind alone
    silent = [kind for kind, own in shares.items() if not own]
    for group in ("all", *silent) if silent else ():
        left_out[f"{AUDIT}.{group}"] = f"no figure counts of: {', '.join(silent)}"
    means = [_mean(group, kinds) for group, kinds in groups.items() if all(kinds)]
    parameters: dict[str, JSON] = {"apart": apart, "left_out": left_out}
    question = catalogue.AUDITS[AUDIT].question
    if not means:
        return not_run(
            AUDIT,
            question,
            "No figure tells the original from the retrained models, so that there is nothing of "
            "which a share could remain: bring more samples or references.",
            seed=seed,
            parameters=parameters,
        )
    counted: dict[str, JSON] = {s.name: round(s.value, 4) for own in shares.values() for s in own}
    return Finding(
        audit=AUDIT,
        question=question,
        status=RUN,
        measurements=tuple(means),
        parameters=parameters | {"counted": list(counted)},
        seed=seed,
        series={"shares": counted},
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """A figure in units of what the original differs from the retrained mean.

    Attributes:
        name: Of the figure.
        value: The candidate's: 0 is the retrained mean, 1 the original.
        null: Of each retrained model.
        reach: Half the width of the candidate's 95% interval.
        error: Standard error of `value`.
        error_original: The same on the original.
        freedom: Degrees of freedom of both.
        sizes: Sample sizes of the figure.
    """

    name: str
    value: float
    null: tuple[float, ...]
    reach: float
    error: float
    error_original: float
    freedom: float
    sizes: Mapping[str, int]


def _share(measurement: Figure | None, apart: float) -> Share | str:
    """The figure as a share, or why it is not counted."""
    if measurement is None:
        return "it was not measured"
    error, own, freedom = (
        measurement.standard_error,
        measurement.standard_error_original,
        measurement.degrees_of_freedom,
    )
    if error is None or own is None or freedom is None or measurement.original is None:
        return "there is nothing to compare it with"
    if measurement.against != "retrained" or len(measurement.null) < 2:
        return "there are no retrained models to compare it with"
    mean = fmean(measurement.null)
    # may be negative: a share is 1 at the original on either side
    gap = measurement.original - mean
    # 1e-12: references that agree exactly have no spread to divide by
    distance = abs(gap) / max(math.hypot(stdev(measurement.null), own), 1e-12)
    if distance < apart:
        return (
            f"the original stands {distance:.1f} standard deviations apart and {apart:g} are needed"
        )
    low, high = measurement.interval
    return Share(
        name=measurement.name,
        value=(measurement.value - mean) / gap,
        null=tuple((value - mean) / gap for value in measurement.null),
        reach=(high - low) / 2 / abs(gap),
        error=error / abs(gap),
        error_original=own / abs(gap),
        freedom=freedom,
        sizes=measurement.sizes,
    )


def _mean(group: str, kinds: Sequence[Sequence[Share]]) -> Figure:
    """Mean over kinds of the mean over their figures.

    Its standard error is the mean of theirs, as if all erred together: the figures are of the same
    images and models, how much they have in common is not asked.
    """
    # kinds count alike, then the figures within a kind
    weighed = [(1 / len(kinds) / len(own), share) for own in kinds for share in own]
    value = sum(weight * share.value for weight, share in weighed)
    reach = sum(weight * share.reach for weight, share in weighed)
    # one column per reference
    nulls = zip(*(share.null for _, share in weighed), strict=True)
    first = weighed[0][1]
    return Figure(
        name=f"{AUDIT}.{group}",
        label=LABELS[group],
        value=value,
        interval=(value - reach, value + reach),
        null=tuple(
            sum(weight * own for (weight, _), own in zip(weighed, column, strict=True))
            for column in nulls
        ),
        original=1.0,
        difference=value,
        standard_error=sum(weight * share.error for weight, share in weighed),
        # the least certain figure decides
        degrees_of_freedom=min(share.freedom for _, share in weighed),
        against="retrained",
        sizes={**first.sizes, "figures": len(weighed)},
        standard_error_original=sum(weight * share.error_original for weight, share in weighed),
    )
