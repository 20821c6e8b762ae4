"""What an audit hands over: figures beside their baseline, or the reason why there are none.

This module needs the standard library only: `compliance` reads findings without numpy or torch.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from statistics import fmean
from typing import Any

from audits.error_budget import ErrorBudget
from audits.errors import BadFigure

JSON = None | bool | int | float | str | list["JSON"] | dict[str, "JSON"]

RUN = "RUN"
NOT_RUN = "NOT_RUN"


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One figure of one audit, with everything needed to judge it.

    Attributes:
        name: Stable and unique, "few_shot.1@penultimate"; `@` precedes the depth.
        label: The same in plain words.
        value: What was measured on the candidate.
        interval: 95% interval of `value`, sampling error only.
        null: The same figure of each retrained reference; empty where there is none.
        original: The same figure of the original model, None where it has no meaning.
        difference: `value` minus the mean of `null` (or minus `original`, see `against`); None
            where there is nothing to compare with.
        standard_error: Of `difference`: paired sampling error and, against retrained models, the
            error of their mean.
        degrees_of_freedom: Of `standard_error`, by Welch and Satterthwaite.
        against: "retrained", "unseen" (`null` is then the figure of each class that nobody was
            trained on, on the candidate itself), "original" or "none".
        sizes: Sample sizes, {"forget_test": 90, "references": 5}.
        standard_error_original: Of `original` minus the mean of its own null; None where either
            lacks.
        null_original: Where `against` is "unseen", the figure of each of those classes on the
            original: what an edit did to all classes alike is then no part of what it removed.
        budget: What the errors are made of, for tests of shares; None where there is nothing to
            compare with, and in findings of before.
        trials: Images of which `value` is the share, where it is one: its bounds are exact then.
        aside: Why it decides nothing, whatever a rule says; empty where it may.
    """

    name: str
    label: str
    value: float
    interval: tuple[float, float]
    null: tuple[float, ...] = ()
    original: float | None = None
    difference: float | None = None
    standard_error: float | None = None
    degrees_of_freedom: float | None = None
    against: str = "none"
    sizes: dict[str, int] = field(default_factory=dict)
    standard_error_original: float | None = None
    null_original: tuple[float, ...] = ()
    budget: ErrorBudget | None = None
    trials: int | None = None
    aside: str = ""

    def __post_init__(self) -> None:
        nulls = (*self.null, *self.null_original)
        values = (self.value, *self.interval, *nulls, self.original, self.difference)
        parts = self.budget.numbers() if self.budget else ()
        errors = (
            self.standard_error,
            self.degrees_of_freedom,
            self.standard_error_original,
            *parts,
        )
        # NaN compares false with every margin, so that it would come out undecided
        if any(x is not None and not math.isfinite(x) for x in (*values, *errors)):
            raise BadFigure(
                f"Measurement {self.name!r} holds NaN or infinity: leave it out and say why."
            )

    @property
    def gap(self) -> float | None:
        """How far the original stands from its own null, of which shares are taken; None without.

        The null of the candidate, unless the same was measured on the original as well.

        >>> Figure(name="a", label="a", value=1.0, interval=(0, 2), null=(1.0, 2.0), original=5.0,
        ...        null_original=(2.0, 3.0)).gap
        2.5
        """
        null = self.null_original or self.null
        return None if self.original is None or not null else self.original - fmean(null)

    def error_of_share(self, share: float) -> tuple[float, float] | None:
        """Standard error of `difference` minus this share of `gap`, and its degrees of freedom.

        Findings of before hold only the error of `difference`, which is then taken for every share:
        mostly too wide, as the null's mean enters with one minus the share. None without a null.
        """
        if self.budget is not None:
            return self.budget.of_share(share)
        if self.standard_error is None or self.degrees_of_freedom is None:
            return None
        return self.standard_error, self.degrees_of_freedom

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Figure:
        """The measurement that `dataclasses.asdict` and JSON have taken apart."""
        _refuse_unknown(cls, content)
        arguments = dict(content)
        arguments["interval"] = tuple(arguments["interval"])
        arguments["null"] = tuple(arguments["null"])
        arguments["null_original"] = tuple(arguments.get("null_original", ()))
        budget = arguments.get("budget")
        arguments["budget"] = None if budget is None else ErrorBudget.from_json(budget)
        return cls(**arguments)


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What one audit found on one candidate. It stands alone.

    Attributes:
        audit: Name of the audit, "few_shot".
        question: What it asks, in one sentence.
        status: "RUN" or "NOT_RUN".
        reason: Why it did not run and what to do about it; empty where it did.
        measurements: The figures; empty where it did not run.
        parameters: Every setting, and under "left_out" the figures that could not be measured
            with the reason of each.
        seed: Where its random draws came from.
        series: Data for pictures, small and JSON-able.

    >>> finding = not_run("routing", "Where to?", "No reference was given: train three.", seed=1)
    >>> Finding.from_json(finding.to_json()) == finding
    True
    """

    audit: str
    question: str
    status: str
    reason: str = ""
    measurements: tuple[Figure, ...] = ()
    parameters: dict[str, JSON] = field(default_factory=dict)
    seed: int = 0
    series: dict[str, JSON] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.status not in (RUN, NOT_RUN):
            raise BadFigure(f"Audit {self.audit!r} has status {self.status!r}: RUN or NOT_RUN.")
        # a silent gap reads like a figure that was fine
        if (self.status == NOT_RUN) != bool(self.reason):
            raise BadFigure(f"Audit {self.audit!r}: a reason belongs to NOT_RUN and only there.")

    def to_json(self) -> dict[str, Any]:
        """Plain dicts, lists, strings and numbers; `from_json` brings the finding back."""
        content = asdict(self)
        for measurement in content["measurements"]:
            # JSON knows no tuples: what is written and what is read must be equal
            measurement["interval"] = list(measurement["interval"])
            measurement["null"] = list(measurement["null"])
            measurement["null_original"] = list(measurement["null_original"])
            if measurement["budget"] is not None:
                measurement["budget"]["sampling"] = list(measurement["budget"]["sampling"])
        content["measurements"] = list(content["measurements"])
        return content

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Finding:
        """The finding that `to_json` has taken apart.

        Raises:
            BadFigure: unknown keys, or figures that are not finite.
        """
        _refuse_unknown(cls, content)
        arguments = dict(content)
        arguments["measurements"] = tuple(Figure.from_json(m) for m in arguments["measurements"])
        return cls(**arguments)


def not_run(
    audit: str,
    question: str,
    reason: str,
    *,
    seed: int,
    parameters: Mapping[str, JSON] | None = None,
) -> Finding:
    """A finding that says what is missing and what to do about it."""
    return Finding(
        audit=audit,
        question=question,
        status=NOT_RUN,
        reason=reason,
        parameters=dict(parameters or {}),
        seed=seed,
    )


def _refuse_unknown(kind: type, content: Mapping[str, Any]) -> None:
    unknown = sorted(set(content) - {f.name for f in fields(kind)})
    if unknown:
        raise BadFigure(
            f"A {kind.__name__} has no field {', '.join(unknown)}: it was written by another "
            "version of this package, or changed by hand."
        )
