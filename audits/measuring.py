"""From what was measured on each model to measurements with their yardstick."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from audits.estimates import Estimate, compare
from audits.evidence import Evidence
from audits.finding import JSON, NOT_RUN, RUN, Finding, Measurement

Measured = Mapping[str, "Estimate | str"]
"""Measurement name -> estimate, or the reason (a str) why there is none."""
Signal = Callable[..., Measured]
"""`signal(evidence, observation, **settings)`: what one model shows."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Models:
    """One signal of every model: the candidate's, the original's, each reference's."""

    candidate: Measured
    original: Measured
    references: tuple[Measured, ...]

    @classmethod
    def of(cls, evidence: Evidence, signal: Signal, **settings: Any) -> Models:
        """Measured through the evidence's memo: each model once."""
        return cls(
            candidate=evidence.of(signal, evidence.candidate, **settings),
            original=evidence.of(signal, evidence.original, **settings),
            references=tuple(evidence.of(signal, r, **settings) for r in evidence.references),
        )

    def missing(self, name: str) -> str:
        """Why a figure cannot be measured on one of the models; empty where it can."""
        named = [("the candidate", self.candidate), ("the original", self.original)]
        named += [(f"reference {i}", found) for i, found in enumerate(self.references)]
        for who, found in named:
            value = found.get(name, "it has no such depth")
            if isinstance(value, str):
                return f"not measured on {who}: {value}"
        return ""

    def all_of(self, name: str) -> tuple[Estimate, Estimate, list[Estimate]]:
        """Candidate's, original's and references' estimates of a figure that none misses."""
        chosen = [self.candidate[name], self.original[name]]
        chosen += [found[name] for found in self.references]
        candidate, original, *references = [e for e in chosen if isinstance(e, Estimate)]
        return candidate, original, references


def measure(
    evidence: Evidence,
    models: Models,
    name: str,
    label: str,
    *,
    sizes: Mapping[str, int],
    against: str = "retrained",
) -> Measurement:
    """One figure of the candidate with its null, difference and errors."""
    candidate, original, references = models.all_of(name)
    enough = len(references) >= evidence.least_references
    if against == "retrained" and not enough:
        against = "none"
    judges = {"retrained": references, "original": [original], "none": []}[against]
    found = compare(candidate, judges) if judges else None
    null_error = compare(original, references).standard_error if enough else None
    return Measurement(
        name=name,
        label=label,
        value=candidate.value,
        interval=candidate.interval(),
        null=tuple(reference.value for reference in references),
        original=original.value,
        difference=found.difference if found else None,
        standard_error=found.standard_error if found else None,
        degrees_of_freedom=found.degrees_of_freedom if found else None,
        against=against,
        sizes={**sizes, "references": len(references)},
        standard_error_original=null_error if against == "retrained" else None,
    )


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
    reason = "" if measurements else "; ".join(f"{n}: {why}" for n, why in left_out.items())
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
