"""How much of what the original knows of the class remains, by all readers taken together?"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean, stdev
from typing import Any

import numpy as np
from scipy import special

from audits import (
    catalogue,
    depth_probe,
    few_shot,
    gates,
    head_refit,
    linear_probe,
    perturbation,
    second_moments,
)
from audits.comparison import Models, Signal
from audits.error_budget import combined
from audits.errors import BadStatistic
from audits.estimates import Beside, Estimate, Part, Units, compare
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
    "nonlinear": ("second_moments.dprime@penultimate",),
}
"""Figures by kind of reader: what all labels show, what a few do, and what is no matter of means.

A small network (`mlp_probe`) has no share: it reads a model that was trained longer, without the
class, as it reads the original."""
BOTH = ("probes", "few_labels")
"""Kinds of which `all` is the mean."""
LABELS = {
    "all": "Share of what the original knows of the class that remains, mean over both kinds of "
    "readers",
    "probes": "Share of what the original knows of the class that remains, by probes",
    "few_labels": "Share of what the original knows of the class that remains, by readers of a few "
    "labels",
    "nonlinear": "Share of what the original knows of the class that remains, by nonlinear readers",
}


def audit(evidence: Evidence, *, apart: float = 2.0) -> Finding:
    """Each figure as a share, 0 at the retrained mean and 1 at the original, and their mean.

    One figure on ninety images hardly tells half of what the original knows from nothing, and a
    model can be made to look right to one of them. Their mean scatters less than each, and every
    reader has a say: figures of a kind are averaged first, then the kinds.

    Counted are the figures by which the original stands apart from the retrained models; that is
    known before a candidate is looked at. Where no figure of probes or of few labels counts, there
    is no mean over the kinds: nothing is left that could have told the original to such a reader.
    The nonlinear readers stand by themselves: where the original is not told by them, their share
    says nothing and decides nothing, and whether a model shows them what no retrained one shows is
    asked of each by itself.

    Args:
        apart: Distance of the original from the retrained mean that a figure needs to be counted,
            in standard deviations (of one more retrained model and of the original's measurement).
    """
    parameters: dict[str, JSON] = {"apart": apart}
    obstacle = gates.obstacle(AUDIT, evidence)
    if obstacle:
        return gates.not_run(AUDIT, evidence, obstacle, parameters)
    readings = [
        Reading(figure=measured, models=models)
        for finding, models in _measured(evidence)
        for measured in finding.measurements
    ]
    return pooled(readings, seed=evidence.seed, apart=apart)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Reading:
    """A figure and the estimates of all models that it came from.

    Attributes:
        figure: Of another audit.
        models: Of the same; they hold what each image adds.
    """

    figure: Figure
    models: Models


POOLED: tuple[tuple[Callable[..., Finding], Signal, tuple[str, ...]], ...] = (
    (linear_probe.audit, depth_probe.probed, ("folds", "shrinkage", "rows", "widest")),
    (perturbation.audit, perturbation.perturbed, ("folds", "shrinkage")),
    (few_shot.audit, few_shot.recognised, ("shots", "draws", "levels")),
    (head_refit.audit, head_refit.refitted, ("shots", "draws", "penalty", "rows", "steps")),
    (second_moments.audit, second_moments.squared, ("levels", *second_moments.SETTINGS)),
)
"""The audits that are pooled, what each measures of a model, and the settings of that."""


def _measured(evidence: Evidence) -> Iterator[tuple[Finding, Models]]:
    """The findings that are pooled, each with what they were made from: read from the memo."""
    for run, signal, names in POOLED:
        finding = run(evidence)
        if finding.status == RUN:
            settings: dict[str, Any] = {name: finding.parameters[name] for name in names}
            # the memo's keys are hashed, and lists are not
            hashed = {k: tuple(v) if isinstance(v, list) else v for k, v in settings.items()}
            yield finding, Models.of(evidence, signal, by_class=False, **hashed)


def pooled(readings: Sequence[Reading], *, seed: int, apart: float) -> Finding:
    """The finding made of other audits' figures; see `audit`."""
    by_name = {reading.figure.name: reading for reading in readings}
    shares: dict[str, list[Share]] = {kind: [] for kind in READERS}
    left_out: dict[str, JSON] = {}
    for kind, names in READERS.items():
        for name in names:
            share = _share(by_name.get(name), apart)
            if isinstance(share, Share):
                shares[kind].append(share)
            else:
                left_out[f"share of {name}"] = share
    groups = {"all": [shares[kind] for kind in BOTH]} | {kind: [shares[kind]] for kind in READERS}
    # a kind without figures would make `all` the mean of the other kind alone
    silent = [kind for kind in BOTH if not shares[kind]]
    for group in ("all", *silent) if silent else ():
        left_out[f"{AUDIT}.{group}"] = f"no figure counts of: {', '.join(silent)}"
    means = [_mean(group, kinds) for group, kinds in groups.items() if all(kinds)]
    if not shares["nonlinear"]:
        blind = _blind(by_name)
        means += [] if blind is None else [blind]
        left_out |= {f"{AUDIT}.nonlinear": "no figure was measured"} if blind is None else {}
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
    counted: dict[str, JSON] = {
        s.figure.name: round(s.value, 4) for own in shares.values() for s in own
    }
    return Finding(
        audit=AUDIT,
        question=question,
        status=RUN,
        measurements=tuple(means),
        parameters=parameters | {"counted": list(counted)},
        seed=seed,
        series={"shares": counted},
    )


NOT_APART = (
    "No nonlinear reader tells the original from the retrained models here, so that there is "
    "nothing of which a share could remain by them."
)


def _blind(by_name: Mapping[str, Reading]) -> Figure | None:
    """The nonlinear share where the original stands apart by no reader: shown, set aside.

    None where none of them was measured, or the original is just like the retrained models.
    """
    every = [_share(by_name.get(name), 0.0) for name in READERS["nonlinear"]]
    measured = [share for share in every if isinstance(share, Share) and share.gap != 0]
    if not measured:
        return None
    return replace(_mean("nonlinear", [measured]), aside=NOT_APART)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Share:
    """A figure in units of what the original differs from the retrained mean.

    Attributes:
        figure: The figure itself.
        candidate: The candidate's estimate.
        original: The original's.
        references: Each retrained model's.
        mean: Of the retrained models.
        gap: The original less that; negative where the original's figure is the lower one.
    """

    figure: Figure
    candidate: Estimate
    original: Estimate
    references: tuple[Estimate, ...]
    mean: float
    gap: float

    @property
    def value(self) -> float:
        """The candidate's share: 0 is the retrained mean, 1 the original."""
        return (self.candidate.value - self.mean) / self.gap


def _share(reading: Reading | None, apart: float) -> Share | str:
    """The figure as a share, or why it is not counted."""
    if reading is None:
        return "it was not measured"
    figure = reading.figure
    gap, own = figure.gap, figure.standard_error_original
    if gap is None or own is None:
        return "there is nothing to compare with it"
    if figure.against != "retrained" or len(figure.null) < 2:
        return "there are no retrained models to compare it with"
    # 1e-12: references that agree exactly have no spread to divide by
    distance = abs(gap) / max(math.hypot(stdev(figure.null), own), 1e-12)
    if distance < apart:
        return (
            f"the original stands {distance:.1f} standard deviations apart and {apart:g} are needed"
        )
    candidate, original, references = reading.models.all_of(figure.name)
    return Share(
        figure=figure,
        candidate=candidate,
        original=original,
        references=tuple(references),
        mean=fmean(figure.null),
        gap=gap,
    )


def _mean(group: str, kinds: Sequence[Sequence[Share]]) -> Figure:
    """Mean over kinds of the mean over their figures, with its own error.

    Each model has one pooled share, so that the retrained models show how far such shares scatter.
    What an image adds to several figures adds up in it, and what one reader loses by it another may
    gain. The error is that of the share itself, a ratio: (c - m) - share (o - m), over o - m.

    Source: Fieller 1954 (ratios); Hampel 1974 (influence of one observation).
    """
    # kinds count alike, then the figures within a kind
    weighed = [(1 / len(kinds) / len(own) / s.gap, s) for own in kinds for s in own]
    candidate = _pool([(weight, share.candidate, share.mean) for weight, share in weighed])
    original = _pool([(weight, share.original, share.mean) for weight, share in weighed])
    references = [
        _pool([(weight, share.references[place], share.mean) for weight, share in weighed])
        for place in range(len(weighed[0][1].references))
    ]
    compared = compare(candidate, references, Beside(original=original, baseline=references))
    error, freedom = compared.budget.of_share(candidate.value)
    of_images, images = combined(
        [(part.of_share(candidate.value), part.freedom) for part in compared.budget.sampling]
    )
    reach = of_images * float(special.stdtrit(images, 0.975))
    return Figure(
        name=f"{AUDIT}.{group}",
        label=LABELS[group],
        value=candidate.value,
        interval=(candidate.value - reach, candidate.value + reach),
        null=tuple(reference.value for reference in references),
        original=original.value,
        difference=compared.difference,
        standard_error=error,
        degrees_of_freedom=freedom,
        against="retrained",
        sizes={**weighed[0][1].figure.sizes, "figures": len(weighed)},
        standard_error_original=compare(original, references).standard_error,
        budget=compared.budget,
    )


def _pool(weighed: Sequence[tuple[float, Estimate, float]]) -> Estimate:
    """The weighed sum of one model's figures, each less its null's mean.

    Args:
        weighed: Weight, figure, mean of the null.
    """
    sources: dict[str, list[tuple[float, Part, Units]]] = {}
    for weight, estimate, _ in weighed:
        for part in estimate.parts:
            if part.units is None:
                raise BadStatistic("These figures do not say of which images they are.")
            sources.setdefault(part.units.source, []).append((weight, part, part.units))
    return Estimate(
        value=sum(weight * (estimate.value - mean) for weight, estimate, mean in weighed),
        parts=tuple(map(_pooled_part, sources.values())),
    )


def _pooled_part(parts: Sequence[tuple[float, Part, Units]]) -> Part:
    """What each unit adds to a sum of figures, over all units that any of them has."""
    rows = np.unique(np.concatenate([units.rows for _, _, units in parts]))  # (m,)
    influence = np.zeros(len(rows))
    for weight, part, units in parts:
        centred = part.contributions - part.contributions.mean()
        # scaled so that the sum of squares is the figure's variance
        scale = math.sqrt(part.divisor * (len(centred) - 1))
        influence[np.searchsorted(rows, units.rows)] += weight * centred / scale
    return Part(
        contributions=influence * math.sqrt(len(rows) - 1),
        divisor=1.0,
        # the least certain figure decides
        freedom=min(part.freedom for _, part, _ in parts),
        floor=sum(abs(weight) * math.sqrt(part.floor) for weight, part, _ in parts) ** 2,
    )
