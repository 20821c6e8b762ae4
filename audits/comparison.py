"""From what was measured on each model to measurements with their yardstick."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from audits import novel_class_null
from audits.depths import LACKING
from audits.errors import BadMeasurement
from audits.estimates import Comparison, Estimate, compare, compare_apart
from audits.evidence import LEAST_UNSEEN, Evidence
from audits.finding import JSON, NOT_RUN, RUN, Finding, Measurement
from audits.observation import Observation

Measured = Mapping[str, "Estimate | str"]
"""Measurement name -> estimate, or the reason (a str) why there is none."""
Signal = Callable[..., Measured]
"""`signal(evidence, observation, **settings)`: what one model shows."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Models:
    """One signal of every model: the candidate's, the original's, each reference's.

    Attributes:
        unseen: The same signal of the candidate for each class that nobody was trained on, the
            yardstick where there are no references; empty where there are, or where the signal is
            not about a class.
    """

    candidate: Measured
    original: Measured
    references: tuple[Measured, ...]
    unseen: tuple[Measured, ...] = ()

    @classmethod
    def of(
        cls, evidence: Evidence, signal: Signal, *, by_class: bool = False, **settings: Any
    ) -> Models:
        """Measured through the evidence's memo: each model once.

        Args:
            by_class: Whether the signal may be measured on unseen classes in the forgotten's place.
        """
        apart = by_class and len(evidence.references) < evidence.least_references
        return cls(
            candidate=evidence.of(signal, evidence.candidate, **settings),
            original=evidence.of(signal, evidence.original, **settings),
            references=tuple(evidence.of(signal, r, **settings) for r in evidence.references),
            unseen=tuple(
                _stood_in(evidence, signal, evidence.candidate, c, settings)
                for c in (evidence.unseen if apart else ())
            ),
        )

    def missing(self, name: str, *, of_original: bool = True) -> str:
        """Why a figure cannot be measured on one of the models; empty where it can."""
        named = [("the candidate", self.candidate)]
        named += [("the original", self.original)] if of_original else []
        named += [(f"reference {i}", found) for i, found in enumerate(self.references)]
        named += [(f"unseen class {i}", found) for i, found in enumerate(self.unseen)]
        for who, found in named:
            value = found.get(name, LACKING)
            if isinstance(value, str):
                return f"not measured on {who}: {value}"
        return ""

    def of_original(self, name: str) -> Estimate | None:
        """The original's estimate, None where the figure means nothing on it."""
        found = self.original.get(name)
        return found if isinstance(found, Estimate) else None

    def all_of(self, name: str) -> tuple[Estimate, Estimate, list[Estimate]]:
        """Candidate's, original's and references' estimates of a figure that none misses."""
        chosen = [self.candidate[name], self.original[name]]
        chosen += [found[name] for found in self.references]
        candidate, original, *references = [e for e in chosen if isinstance(e, Estimate)]
        return candidate, original, references

    def unseen_of(self, name: str) -> list[Estimate]:
        """The unseen classes' estimates."""
        return [e for e in (found[name] for found in self.unseen) if isinstance(e, Estimate)]


def _stood_in(
    evidence: Evidence, signal: Signal, seen: Observation, c: int, settings: Mapping[str, Any]
) -> Measured:
    found = novel_class_null.case(evidence, seen, c)
    if isinstance(found, str):
        return _Reason(found)
    return found[0].of(signal, found[1], **settings)


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
) -> Measurement:
    """One figure of the candidate with its null, difference and errors.

    Args:
        against: "retrained": the references, or the unseen classes where those lack, or nothing;
            "original": the original; "none".
    """
    candidate = _estimate(models.candidate[name], name)
    references = [_estimate(found[name], name) for found in models.references]
    original = models.of_original(name)
    enough = len(references) >= evidence.least_references
    apart = models.unseen_of(name)
    if against == "retrained" and not enough:
        against = "unseen" if len(apart) >= LEAST_UNSEEN else "none"
    only = [original] if original else []
    judges = {"retrained": references, "unseen": apart, "original": only, "none": []}[against]
    null = judges if against in ("retrained", "unseen") else references
    with_null = against in ("retrained", "unseen")
    found = _compared(candidate, judges, against)
    null_error = _compared(original, judges, against) if with_null and original else None
    return Measurement(
        name=name,
        label=label,
        value=candidate.value,
        interval=candidate.interval(),
        null=tuple(reference.value for reference in null),
        original=original.value if original else None,
        difference=found.difference if found else None,
        standard_error=found.standard_error if found else None,
        degrees_of_freedom=found.degrees_of_freedom if found else None,
        against=against,
        sizes={**sizes, "references": len(references)}
        | ({"unseen_classes": len(apart)} if against == "unseen" else {}),
        standard_error_original=null_error.standard_error if null_error else None,
    )


def _estimate(found: Estimate | str, name: str) -> Estimate:
    if isinstance(found, str):
        raise BadMeasurement(f"{name} was not measured ({found}): ask `missing` first.")
    return found


def _compared(estimate: Estimate, judges: Sequence[Estimate], against: str) -> Comparison | None:
    if not judges:
        return None
    return compare_apart(estimate, judges) if against == "unseen" else compare(estimate, judges)


def measure_all(
    evidence: Evidence, models: Models, labels: Mapping[str, str], *, sizes: Mapping[str, int]
) -> tuple[list[Measurement], dict[str, str]]:
    """Every figure that all models have, and the reason for each that is left out."""
    reasons = {name: models.missing(name) for name in labels}
    made = [
        measure(evidence, models, name, label, sizes=sizes)
        for name, label in labels.items()
        if not reasons[name]
    ]
    return made, {name: reason for name, reason in reasons.items() if reason}


def conclude(
    audit: str,
    question: str,
    evidence: Evidence,
    measurements: Sequence[Measurement],
    *,
    parameters: Mapping[str, JSON],
    left_out: Mapping[str, str],
    series: Mapping[str, JSON],
) -> Finding:
    """The finding; NOT_RUN where nothing could be measured."""
    reason = "" if measurements else _why_nothing(left_out)
    return Finding(
        audit=audit,
        question=question,
        status=RUN if measurements else NOT_RUN,
        reason=f"Nothing could be measured. {reason}. Check these models." if reason else "",
        measurements=tuple(measurements),
        parameters={**parameters, "left_out": dict(left_out)},
        seed=evidence.seed,
        series=dict(series) if measurements else {},
    )


def _why_nothing(left_out: Mapping[str, str]) -> str:
    """The reasons, each once, with the names of what it kept from being measured."""
    names: dict[str, list[str]] = {}
    for name, why in left_out.items():
        names.setdefault(why, []).append(name)
    if len(names) == 1:
        only = next(iter(names))
        return only[0].upper() + only[1:]
    return "; ".join(f"{', '.join(found)}: {why}" for why, found in names.items())


def sizes(evidence: Evidence, *, train: bool = False) -> dict[str, int]:
    """How many rows of each kind the evidence holds."""
    found = {
        "forget_test": len(evidence.test_rows(evidence.forget)),
        "retain_test": len(evidence.test_rows(evidence.retain)),
    }
    if train:
        found["forget_train"] = len(evidence.train_rows(evidence.forget))
        found["retain_train"] = len(evidence.train_rows(evidence.retain))
    return found


def rounded(values: np.ndarray | Sequence[float]) -> list[JSON]:
    """Numbers for a picture: four digits are more than it can show."""
    return [round(float(value), 4) for value in np.asarray(values)]
