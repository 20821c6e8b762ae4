"""What is put before the audits: models as observed, labels, what was to be forgotten."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import numpy as np

from audits.errors import BadEvidence
from audits.observation import Observation
from audits.tuning import Tuning

LEAST_REFERENCES = 3
"""Fewer retrained models than this give no null distribution."""
LEAST_NOVEL_CLASSES = 3
"""Fewer classes that nobody was trained on than this give none either."""

Signal = TypeVar("Signal")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Shadow:
    """A model trained on a random half of training and held-out rows, to calibrate an attack.

    Attributes:
        train_logits: (n_train, C), of the audit's training rows.
        test_logits: (n_test, C), of the audit's test rows.
        train_inside: (n_train,), whether it was trained on each.
        test_inside: (n_test,).
        edited: Whether the class was then taken out of it as it was out of the candidate.
    """

    train_logits: np.ndarray
    test_logits: np.ndarray
    train_inside: np.ndarray
    test_inside: np.ndarray
    edited: bool = False


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Evidence:
    """One candidate, the original it came from and the retrained models that are the baseline.

    Attributes:
        original: The model before.
        candidate: The model that is audited.
        references: Models trained from scratch without the forget classes, several seeds.
        train_labels: (n_train,), int64; members of the training set.
        test_labels: (n_test,), int64; held out.
        forget: Classes that were to be forgotten.
        seed: Where all draws of all audits come from.
        memo: What was measured on each model; shared by the evidences of one event, so that each
            model is measured once however often it is compared.
        least_references: References below which an audit that needs them does not run.
        fresh_labels: Classes of the perturbed rows, (m,); None where no model was shown any.
        unseen_labels: Which of the classes that nobody was trained on each such row shows, (u,).
        tuning: How copies were fine-tuned; None where none was.
        shadows: Models for the calibrated attacks on membership.
        trained_here: Whether the references were trained by whoever runs the audits, so that their
            provenance, not their answers, says that they are trainings of their own.
        alone: Whether figures stand without a baseline where there is none, on candidate and
            original side by side: a qualification of the procedure says what they mean.
    """

    original: Observation
    candidate: Observation
    references: tuple[Observation, ...]
    train_labels: np.ndarray
    test_labels: np.ndarray
    forget: tuple[int, ...]
    seed: int
    memo: dict[Hashable, Any] = field(default_factory=dict)
    least_references: int = LEAST_REFERENCES
    fresh_labels: np.ndarray | None = None
    unseen_labels: np.ndarray | None = None
    tuning: Tuning | None = None
    shadows: tuple[Shadow, ...] = ()
    trained_here: bool = False
    alone: bool = False

    def __post_init__(self) -> None:
        problems = list(_problems(self))
        if problems:
            raise BadEvidence(" ".join(problems))

    def with_candidate(
        self, candidate: Observation, references: Sequence[Observation] | None = None
    ) -> Evidence:
        """The same evidence with another candidate: a control, or a reference left out.

        A reference compared with the others has one reference less, so one less is enough then.
        """
        baseline = self.references if references is None else tuple(references)
        left_out = len(baseline) == len(self.references) - 1  # a bool, counted as 1 below
        least = min(self.least_references, LEAST_REFERENCES - left_out)
        return replace(self, candidate=candidate, references=baseline, least_references=least)

    def of(
        self, signal: Callable[..., Signal], observation: Observation, **settings: Any
    ) -> Signal:
        """`signal(evidence, observation, **settings)`, computed once per model and settings."""
        name = f"{signal.__module__}.{signal.__qualname__}"
        # retired outputs change what a model answers, not its weights' digest
        key = (name, observation.digest, observation.retired, tuple(sorted(settings.items())))
        if key not in self.memo:
            self.memo[key] = signal(self, observation, **settings)
        value: Signal = self.memo[key]
        return value

    def between(
        self, signal: Callable[..., Signal], one: Observation, other: Observation, **settings: Any
    ) -> Signal:
        """`signal(evidence, one, other, **settings)`, computed once per pair and settings."""
        name = f"{signal.__module__}.{signal.__qualname__}"
        pair = (one.digest, one.retired, other.digest, other.retired)
        # in this order: a signal between two models need not be symmetric
        key = (name, *pair, tuple(sorted(settings.items())))
        if key not in self.memo:
            self.memo[key] = signal(self, one, other, **settings)
        value: Signal = self.memo[key]
        return value

    def rng(self, purpose: str) -> np.random.Generator:
        """The draws of one purpose: the same for every model, so that all are compared paired."""
        # a stream per purpose: a new audit moves no other audit's draws
        return np.random.default_rng([self.seed, *purpose.encode()])

    @property
    def classes(self) -> int:
        """Number of outputs, C."""
        return int(self.original.test_logits.shape[1])  # (n_test, C)

    @property
    def live(self) -> tuple[int, ...]:
        """Classes of the original's label space: all but those retired by an earlier event."""
        return tuple(c for c in range(self.classes) if c not in self.original.retired)

    @property
    def retain(self) -> tuple[int, ...]:
        """Classes that are to stay."""
        return tuple(c for c in self.live if c not in self.forget)

    def train_rows(self, classes: Sequence[int]) -> np.ndarray:
        """Row numbers of the training rows of these classes."""
        return np.flatnonzero(np.isin(self.train_labels, classes))

    def test_rows(self, classes: Sequence[int]) -> np.ndarray:
        """Row numbers of the test rows of these classes."""
        return np.flatnonzero(np.isin(self.test_labels, classes))

    @property
    def novel_classes(self) -> tuple[int, ...]:
        """The classes that nobody was trained on."""
        labels = () if self.unseen_labels is None else np.unique(self.unseen_labels).tolist()
        return tuple(int(c) for c in labels)

    def models(self) -> Iterator[tuple[str, Observation]]:
        """Every model with its name, for reasons that must say which one."""
        yield "the candidate", self.candidate
        yield "the original", self.original
        for index, reference in enumerate(self.references):
            yield f"reference {index}", reference


def _problems(evidence: Evidence) -> Iterator[str]:
    """Everything that does not fit, each with its remedy."""
    classes = evidence.classes
    for who, observation in evidence.models():
        for part, logits, labels in (
            ("training", observation.train_logits, evidence.train_labels),
            ("test", observation.test_logits, evidence.test_labels),
        ):
            if logits.shape != (len(labels), classes):
                yield (
                    f"The {part} logits of {who} are {logits.shape}, {len(labels)} labels and "
                    f"{classes} classes are given: observe all models on the same rows."
                )
        for part, readout, row_labels in (
            ("perturbed", observation.fresh, evidence.fresh_labels),
            ("unseen", observation.unseen, evidence.unseen_labels),
        ):
            if readout is not None and (
                row_labels is None or len(readout.logits) != len(row_labels)
            ):
                given = "no" if row_labels is None else len(row_labels)
                yield (
                    f"{len(readout.logits)} {part} rows were shown to {who} and {given} labels are "
                    "given: observe all models on the same rows."
                )
        cells = observation.cells
        if cells is not None and (cells.ndim != 4 or len(cells) != len(evidence.test_labels)):
            yield (
                f"The cells of {who} are {cells.shape}: give ({len(evidence.test_labels)}, C, a, "
                "b), one row per test label."
            )
        for depth, features in observation.features.items():
            if features.ndim != 2 or len(features) != len(evidence.test_labels):
                yield (
                    f"The features {depth!r} of {who} are {features.shape}: give "
                    f"({len(evidence.test_labels)}, D), one row per test label."
                )
    unknown = sorted(set(evidence.forget) - set(evidence.live))
    if unknown or not evidence.forget:
        yield f"Classes to forget {list(evidence.forget)}: name at least one of {evidence.live}."
    if len(evidence.retain) < 2:
        yield "Fewer than two classes are kept: there is nothing to compare with."
