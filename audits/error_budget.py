"""What a figure's error is made of, so that any share of what the original knows can be tested.

Candidate `c`, original `o` and the null's mean `m` err together: they saw the same images, and the
mean is the same. Whether a share `r` of what the original knows remains is asked of the statistic

    (c - m) - r (o - m)  =  c - r o - (1 - r) m,

in which the mean enters with `1 - r`. Its variance is that of a difference of two differences, for
which each source of error keeps three numbers. This module needs the standard library only.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

from audits.errors import BadFigure


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorPart:
    """One independent source of error of `c - m` and of `o - m`.

    Attributes:
        candidate: Variance of `c - m` that it causes.
        original: Variance of `o - m`; 0 where the figure means nothing on the original.
        shared: Their covariance.
        freedom: Degrees of freedom with which these were estimated.
        floor: Least variance: perfect agreement on n images does not prove a zero error.
    """

    candidate: float
    original: float = 0.0
    shared: float = 0.0
    freedom: float
    floor: float = 0.0

    def of_share(self, share: float) -> float:
        """Variance of `(c - m) - share (o - m)`.

        >>> mean = ErrorPart(candidate=0.2, original=0.2, shared=0.2, freedom=4)
        >>> round(mean.of_share(0.5), 3)  # a mean that enters with 1 - 0.5
        0.05
        """
        variance = self.candidate - 2 * share * self.shared + share**2 * self.original
        return max(variance, self.floor, 0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorBudget:
    """All sources of a figure's error.

    Attributes:
        sampling: Of the candidate and the original: their images and draws.
        baseline: Of the null's mean: another set of retrained models (or of classes that nobody was
            trained on) would have another. None where the baseline is one fixed model.
        members: Models or classes in the null.
        population: Whether the candidate is one more member of the null, and deviates from its mean
            by nature (classes that nobody was trained on).
    """

    sampling: tuple[ErrorPart, ...]
    baseline: ErrorPart | None = None
    members: int = 1
    population: bool = False

    def of_share(self, share: float) -> tuple[float, float]:
        """Standard error of `(c - m) - share (o - m)`, and its degrees of freedom.

        Source: Welch 1947, Satterthwaite 1946; one more member of a population, Fisher 1935.

        >>> part = ErrorPart(candidate=1.0, freedom=9)
        >>> ErrorBudget(sampling=(part, part)).of_share(0.0)
        (1.4142135623730951, 18.0)
        """
        own = [(part.of_share(share), part.freedom) for part in self.sampling]
        if self.baseline is None:
            return combined(own)
        of_mean, freedom = self.baseline.of_share(share), self.baseline.freedom
        # the spread of the members holds sampling error: the larger of both counts, not their sum
        if self.population and sum(variance for variance, _ in own) <= of_mean * self.members:
            return math.sqrt(of_mean * (1 + self.members)), freedom
        return combined([*own, (of_mean, freedom)])

    def of_original(self) -> ErrorBudget:
        """The same for a model that knows the class as the original does, measured by itself.

        Only the null's mean is in common with the original then, not what its images show.
        """
        return replace(
            self,
            sampling=tuple(
                replace(part, candidate=part.original, shared=0.0) for part in self.sampling
            ),
            baseline=None
            if self.baseline is None
            else replace(
                self.baseline, candidate=self.baseline.original, shared=self.baseline.original
            ),
        )

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> ErrorBudget:
        """The budget that `dataclasses.asdict` has taken apart.

        Raises:
            BadFigure: unknown keys.
        """
        unknown = sorted(set(content) - {f.name for f in fields(cls)})
        if unknown:
            raise BadFigure(f"An error budget has no {', '.join(unknown)}: another version's file.")
        baseline = content["baseline"]
        return cls(
            sampling=tuple(ErrorPart(**part) for part in content["sampling"]),
            baseline=None if baseline is None else ErrorPart(**baseline),
            members=content["members"],
            population=content["population"],
        )

    def numbers(self) -> list[float]:
        """Every number in it, which must all be finite."""
        parts = [*self.sampling, *([self.baseline] if self.baseline else [])]
        return [float(getattr(part, f.name)) for part in parts for f in fields(part)]


def combined(errors: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """Standard error and degrees of freedom of a sum of independent variances.

    Args:
        errors: Variance and degrees of freedom of each.
    Source: Welch 1947, Satterthwaite 1946.
    """
    total = sum(variance for variance, _ in errors)
    if total <= 0:
        return 0.0, min(freedom for _, freedom in errors)
    # (sum v)^2 / sum(v^2 / freedom)
    spread = sum(variance**2 / freedom for variance, freedom in errors)
    return math.sqrt(total), total**2 / spread
