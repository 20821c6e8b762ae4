"""What can go wrong in an edit. Every message names the thing, the reason and the remedy.

DampError (a ValueError)
├── BadOption             a setting that has no meaning: preset, gain, device, a name in `skip`
├── BadMeasurement        statistics of another model, of another format, or damaged
├── BadBatches            the data cannot be read: not re-iterable, labels that are no integers
├── UnknownClass          a class to forget that the model has no output for
├── AllClassesForgotten   nothing would be left to keep
├── NoSamples             a class to forget, or everything to keep, without one sample
├── SortedBatches         batches of one class each: batch norms cannot be re-estimated on them
├── NonFinite             NaN or infinity in inputs, activations, logits or weights
├── Unsupported           a model that cannot be edited: no operator, half precision, no logits,
│                         quantised, compiled
├── NoConvergence         the nearest mixture was not found
└── SeveralProblems       more than one of the above; `problems` lists them
"""
# ruff: noqa: N818  (a name says what is wrong, its base that it is an error)

from __future__ import annotations

from collections.abc import Sequence


class DampError(ValueError):
    """Anything that an edit, a measurement or a prediction of costs refuses."""


class BadOption(DampError):
    """A setting that has no meaning."""


class BadMeasurement(DampError):
    """Statistics that do not belong to the model, or that cannot be read."""


class BadBatches(DampError):
    """Data that cannot be read as (inputs, labels)."""


class UnknownClass(DampError):
    """A class to forget that the model has no output for."""


class AllClassesForgotten(DampError):
    """A request that would leave nothing to keep."""


class NoSamples(DampError):
    """A class to forget, or everything to keep, without one sample."""


class SortedBatches(DampError):
    """Batches of one class each, on which batch norms cannot be re-estimated."""


class NonFinite(DampError):
    """NaN or infinity where a number belongs."""


class Unsupported(DampError):
    """A model that cannot be edited."""


class NoConvergence(DampError):
    """The solver gave up on the nearest mixture."""


class SeveralProblems(DampError):
    """More than one problem, all of them listed.

    Attributes:
        problems: The single problems, in the order in which they came up.
    """

    def __init__(self, problems: Sequence[DampError]) -> None:
        self.problems = tuple(problems)
        lines = "\n".join(f"- {problem}" for problem in self.problems)
        super().__init__(f"{len(self.problems)} problems, nothing was changed:\n{lines}")


def raise_together(problems: Sequence[DampError]) -> None:
    """Raise nothing, the one problem, or all of them as one.

    >>> raise_together([])
    >>> raise_together([BadOption("gain is -1: give a number above 0")])
    Traceback (most recent call last):
    damp.errors.BadOption: gain is -1: give a number above 0
    """
    # a single problem keeps its own class, so that callers can catch it by that
    if len(problems) == 1:
        raise problems[0]
    if problems:
        raise SeveralProblems(problems)
