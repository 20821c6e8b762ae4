"""From what was measured on each model to audit figures beside their baseline."""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from audits import catalogue, novel_class_null
from audits.depths import LACKING
from audits.errors import BadFigure
from audits.estimates import Beside, Comparison, Estimate, compare, compare_apart
from audits.evidence import LEAST_NOVEL_CLASSES, Evidence
from audits.finding import JSON, NOT_RUN, RUN, Figure, Finding
from audits.observation import Observation
from audits.pair_null import PairNull

Measured = Mapping[str, "Estimate | str"]
"""Figure name -> estimate, or the reason (a str) why there is none."""
Signal = Callable[..., Measured]
"""`signal(evidence, observation, **settings)`: what one model shows."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Models:
    """One signal of every model: the candidate's, the original's, each reference's.

    Attributes:
        novel_class_null: The same signal of the candidate for each class that nobody was trained
            on, the baseline where there are no references; empty where there are, or where the
            signal is not about a class.
        novel_class_null_original: The same on the original.
        pairs: Figures of a model beside each reference, with what the null is to each.
    """

    candidate: Measured
    original: Measured
    references: tuple[Measured, ...]
    novel_class_null: tuple[Measured, ...] = ()
    novel_class_null_original: tuple[Measured, ...] = ()
    pairs: Mapping[str, PairNull] = field(default_factory=dict)

    @classmethod
    def of(
        cls, evidence: Evidence, signal: Signal, *, by_class: bool = False, **settings: Any
    ) -> Models:
        """Measured through the evidence's memo: each model once.

        Args:
            by_class: Whether the signal may be measured on unseen classes in the forgotten's place.
        """
        # retrained models are the better baseline: novel classes only stand in for them
        apart = by_class and len(evidence.references) < evidence.least_references
        return cls(
            candidate=evidence.of(signal, evidence.candidate, **settings),
            original=evidence.of(signal, evidence.original, **settings),
            references=tuple(evidence.of(signal, r, **settings) for r in evidence.references),
            novel_class_null=_on_novel_classes(
                evidence, signal, evidence.candidate if apart else None, settings
            ),
            novel_class_null_original=_on_novel_classes(
                evidence, signal, evidence.original if apart else None, settings
            ),
        )

    def also_at(self, alias: str, depth: str | None, *, why: str) -> Models:
        """The same with every figure at a depth under another name of that depth as well.

        Args:
            alias: The other name.
            depth: The depth; None where there is none.
            why: Why there is none.
        """

        def named(figures: Measured) -> Measured:
            if isinstance(figures, _Reason):
                return figures
            kinds = {name.partition("@")[0] for name in figures if "@" in name}
            of_alias: Measured = {
                f"{kind}@{alias}": why if depth is None else figures.get(f"{kind}@{depth}", LACKING)
                for kind in kinds
            }
            return {**figures, **of_alias}

        return Models(
            candidate=named(self.candidate),
            original=named(self.original),
            references=tuple(map(named, self.references)),
            novel_class_null=tuple(map(named, self.novel_class_null)),
            novel_class_null_original=tuple(map(named, self.novel_class_null_original)),
            pairs=self.pairs,
        )

    def missing(self, name: str, *, of_original: bool = True) -> str:
        """Why a figure cannot be measured on one of the models; empty where it can."""
        models = [("the candidate", self.candidate)]
        models += [("the original", self.original)] if of_original else []
        models += [(f"reference {i}", figures) for i, figures in enumerate(self.references)]
        models += [
            (f"unseen class {i}", figures) for i, figures in enumerate(self.novel_class_null)
        ]
        for who, figures in models:
            value = figures.get(name, LACKING)
            if isinstance(value, str):
                return f"not measured on {who}: {value}"
        return ""

    def of_original(self, name: str) -> Estimate | None:
        """The original's estimate, None where the figure means nothing on it."""
        estimate = self.original.get(name)
        return estimate if isinstance(estimate, Estimate) else None

    def all_of(self, name: str) -> tuple[Estimate, Estimate, list[Estimate]]:
        """Candidate's, original's and references' estimates of a figure that none misses."""
        chosen = [self.candidate[name], self.original[name]]
        chosen += [figures[name] for figures in self.references]
        candidate, original, *references = [e for e in chosen if isinstance(e, Estimate)]
        return candidate, original, references

    def columns(self, names: Sequence[str]) -> dict[str, JSON]:
        """Values of figures that no model misses, side by side, for a picture."""
        rows = [self.all_of(name) for name in names]
        return {
            "candidate": rounded([candidate.value for candidate, _, _ in rows]),
            "original": rounded([original.value for _, original, _ in rows]),
            "retrained": [rounded([r.value for r in null]) for _, _, null in rows],
        }

    def novel_class_estimates(self, name: str, *, of_original: bool = False) -> list[Estimate]:
        """The unseen classes' estimates, on the candidate or on the original; there none where one
        of them lacks."""
        null = self.novel_class_null_original if of_original else self.novel_class_null
        estimates = [e for e in (figures.get(name) for figures in null) if isinstance(e, Estimate)]
        return estimates if len(estimates) == len(null) else []


def _on_novel_classes(
    evidence: Evidence, signal: Signal, observation: Observation | None, settings: Mapping[str, Any]
) -> tuple[Measured, ...]:
    """The signal for each novel class in turn; none where no model is given."""
    if observation is None:
        return ()
    return tuple(
        _on_novel_class(evidence, signal, observation, c, settings) for c in evidence.novel_classes
    )


def _on_novel_class(
    evidence: Evidence,
    signal: Signal,
    observation: Observation,
    c: int,
    settings: Mapping[str, Any],
) -> Measured:
    stand_in = novel_class_null.stand_in(evidence, observation, c)
    if isinstance(stand_in, str):
        return _Reason(stand_in)
    return stand_in[0].of(signal, stand_in[1], **settings)


class _Reason(dict[str, "Estimate | str"]):
    """Every figure is missing for one and the same reason."""

    def __init__(self, reason: str) -> None:
        super().__init__()
        self.reason = reason

    def get(self, key: str, default: Any = None) -> Any:
        return self.reason


def measure(
    evidence: Evidence,
    models: Models,
    name: str,
    label: str,
    *,
    sizes: Mapping[str, int],
    against: str = "retrained",
) -> Figure:
    """One figure of the candidate with its null, difference and errors.

    Args:
        against: "retrained": the references, or the unseen classes where those lack, or nothing;
            "original": the original; "none".
    """
    candidate = _estimate(models.candidate[name], name)
    references = [_estimate(figures[name], name) for figures in models.references]
    original = models.of_original(name)
    enough = len(references) >= evidence.least_references
    apart = models.novel_class_estimates(name)
    # too few references give no null distribution: novel classes, or no comparison at all
    if against == "retrained" and not enough:
        against = "unseen" if len(apart) >= LEAST_NOVEL_CLASSES else "none"
    only = [original] if original else []
    baseline = {"retrained": references, "unseen": apart, "original": only, "none": []}[against]
    # the null is shown even where the difference is to the original
    null = baseline if against in ("retrained", "unseen") else references
    with_null = against in ("retrained", "unseen")
    own_null = models.novel_class_estimates(name, of_original=True) if against == "unseen" else []
    pairs = models.pairs.get(name) if against == "retrained" else None
    # the null is one and the same for both, but for classes and pairs that are measured on each
    to_candidate = pairs.to_candidate if pairs else baseline
    to_original = pairs.to_original if pairs else own_null or baseline
    beside = Beside(original=original, baseline=to_original) if original and with_null else None
    compared = _compared(candidate, to_candidate, against, beside)
    # what the power to catch the original rests on
    null_error = _compared(original, to_original, against) if with_null else None
    return Figure(
        name=name,
        label=label,
        value=candidate.value,
        interval=candidate.interval(),
        null=tuple(reference.value for reference in null),
        original=original.value if original else None,
        difference=compared.difference if compared else None,
        standard_error=compared.standard_error if compared else None,
        degrees_of_freedom=compared.degrees_of_freedom if compared else None,
        against=against,
        sizes={**sizes, "references": len(references)}
        | ({"unseen_classes": len(apart)} if against == "unseen" else {}),
        standard_error_original=null_error.standard_error if null_error else None,
        null_original=tuple(e.value for e in own_null),
        budget=compared.budget if compared else None,
        trials=candidate.trials,
    )


def _estimate(estimate: Estimate | str, name: str) -> Estimate:
    if isinstance(estimate, str):
        raise BadFigure(f"{name} was not measured ({estimate}): ask `missing` first.")
    return estimate


def _compared(
    estimate: Estimate | None,
    baseline: Sequence[Estimate],
    against: str,
    beside: Beside | None = None,
) -> Comparison | None:
    if estimate is None or not baseline:
        return None
    # novel classes are other images than the forgotten ones: nothing is paired there
    compare_with = compare_apart if against == "unseen" else compare
    return compare_with(estimate, baseline, beside)


def measure_all(
    evidence: Evidence, models: Models, labels: Mapping[str, str], *, sizes: Mapping[str, int]
) -> tuple[list[Figure], dict[str, str]]:
    """Every figure that all models have, and the reason for each that is left out."""
    reasons = {name: models.missing(name) for name in labels}
    measurements = [
        measure(evidence, models, name, label, sizes=sizes)
        for name, label in labels.items()
        if not reasons[name]
    ]
    return measurements, {name: reason for name, reason in reasons.items() if reason}


def conclude(
    audit: str,
    evidence: Evidence,
    measurements: Sequence[Figure],
    *,
    parameters: Mapping[str, JSON],
    left_out: Mapping[str, str],
    series: Mapping[str, JSON],
) -> Finding:
    """The finding; NOT_RUN where nothing could be measured."""
    reason = "" if measurements else _why_nothing(left_out)
    against = {figure.against for figure in measurements}
    return Finding(
        audit=audit,
        question=catalogue.AUDITS[audit].question,
        status=RUN if measurements else NOT_RUN,
        reason=f"Nothing could be measured. {reason}. Check these models." if reason else "",
        measurements=tuple(measurements),
        parameters={
            **parameters,
            "left_out": dict(left_out),
            **_about_novel_classes(evidence, against),
        },
        seed=evidence.seed,
        series=dict(series) if measurements else {},
    )


def _about_novel_classes(evidence: Evidence, against: Container[str]) -> dict[str, JSON]:
    """How far the novel classes can stand for the forgotten one, and the limits of that."""
    if "unseen" not in against:
        return {}
    comparability = evidence.of(novel_class_null.comparability, evidence.original)
    return {"unseen": comparability.to_json(), "limits": list(comparability.limits())}


def _why_nothing(left_out: Mapping[str, str]) -> str:
    """The reasons, each once, with the names of what it kept from being measured."""
    names: dict[str, list[str]] = {}  # one reason often holds for many figures: say it once
    for name, why in left_out.items():
        names.setdefault(why, []).append(name)
    if len(names) == 1:
        only = next(iter(names))
        return only[0].upper() + only[1:]
    return "; ".join(f"{', '.join(unmeasured)}: {why}" for why, unmeasured in names.items())


def sizes(evidence: Evidence, *, train: bool = False) -> dict[str, int]:
    """How many rows of each kind the evidence holds."""
    counts = {
        "forget_test": len(evidence.test_rows(evidence.forget)),
        "retain_test": len(evidence.test_rows(evidence.retain)),
    }
    if train:
        counts["forget_train"] = len(evidence.train_rows(evidence.forget))
        counts["retain_train"] = len(evidence.train_rows(evidence.retain))
    return counts


def band(null: Sequence[np.ndarray]) -> dict[str, JSON]:
    """Mean and range of the retrained models' curves, for a picture; empty without any."""
    if not null:
        return {}
    return {
        "retrained": rounded(np.mean(null, axis=0)),
        "retrained_low": rounded(np.min(null, axis=0)),
        "retrained_high": rounded(np.max(null, axis=0)),
    }


def side_by_side(models: Models, names: Sequence[str]) -> dict[str, JSON]:
    """Figures that no model misses, side by side, for a picture."""
    return {"figures": {"names": list(names), **models.columns(names)}}


def rounded(values: np.ndarray | Sequence[float]) -> list[JSON]:
    """Numbers for a picture: four digits are more than it can show."""
    return [round(float(value), 4) for value in np.asarray(values)]  # JSON has no float64 arrays
