"""What "never learned" looks like on one and the same model: classes that it was never trained on.

Where no retrained model is at hand, the rows of such a class take the place of the forgotten ones,
and every figure is measured again on the same model, and on the original. The band is wide, so that
it says less than retrained models do. Novel classes stand for the forgotten one only as far as they
are of its kind; how readable each is before much was learned says something of that.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from scipy import linalg, special

from audits.errors import BadStatistic, TooFewSamples
from audits.evidence import Evidence
from audits.finding import JSON
from audits.observation import PENULTIMATE, Observation, Readout
from audits.statistics import dprime

RECOMMENDED = 8
"""Novel classes from which their spread is known well enough to decide by."""
USUAL = 0.95
"""Share of a population of classes within which one must lie to be of its kind."""
SHRINKAGE = 0.1


def stand_in(
    evidence: Evidence, observation: Observation, novel_class: int
) -> tuple[Evidence, Observation] | str:
    """The model before the rows of the classes that stay and of one that it never saw.

    Args:
        evidence: As put before the audits; gives rows and labels.
        observation: The model.
        novel_class: Class of `evidence.unseen_labels`.
    Returns:
        An evidence in which that class stands where the first forgotten one stood, with as many
        rows at most, and the observation that belongs to it; or why there is none.
    """
    readout = observation.unseen
    if readout is None or evidence.unseen_labels is None:
        return "it was not shown the unseen classes"
    retain = evidence.test_rows(evidence.retain)
    rows = np.flatnonzero(evidence.unseen_labels == novel_class)  # (u,)
    # as many as the forgotten class has: fewer images scatter more
    rows = evidence.rng("unseen").permutation(rows)[: _fewest(evidence)]
    shown = replace(
        observation,
        digest=f"{observation.digest} unseen {novel_class}",
        # (r + u, C): retain rows first
        test_logits=np.concatenate([observation.test_logits[retain], readout.logits[rows]]),
        features=_features(observation, readout, retain, rows),
        # of several forgotten classes one is replaced, the others leave the label space
        retired=(*evidence.original.retired, *evidence.forget[1:]),
        fresh=None,
        unseen=None,
        relearned={},
        cells=None,
        record=None,
    )
    labels = np.full(len(rows), evidence.forget[0])
    substituted = replace(
        evidence,
        original=shown,  # no figure is relative to an original here
        candidate=shown,
        references=(),
        forget=evidence.forget[:1],
        test_labels=np.concatenate([evidence.test_labels[retain], labels]),
        fresh_labels=None,
        unseen_labels=None,
        tuning=None,
        shadows=(),
    )
    return substituted, shown


def _fewest(evidence: Evidence) -> int:
    return min(len(evidence.test_rows([c])) for c in evidence.forget)


def _features(
    observation: Observation, readout: Readout, retain: np.ndarray, rows: np.ndarray
) -> dict[str, np.ndarray]:
    return {
        depth: np.concatenate([features[retain], readout.features[depth][rows]])
        for depth, features in observation.features.items()
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparability:
    """How readable classes are at the first inner features of the original.

    There little is particular to the classes that were learned, and what differs is mostly the
    classes' own nature.

    Attributes:
        classes: The novel classes.
        depth: Name of those features; empty where nothing could be read there.
        forgotten: d' of each forgotten class from those that stay, empty like the next two where
            nothing could be read.
        retained: Class that stays -> its d' from the others.
        novel: Novel class -> its d' from those that stay.
    """

    classes: tuple[int, ...]
    depth: str = ""
    forgotten: Mapping[int, float] = field(default_factory=dict)
    retained: Mapping[int, float] = field(default_factory=dict)
    novel: Mapping[int, float] = field(default_factory=dict)

    def to_json(self) -> dict[str, JSON]:
        """For the finding's parameters: JSON has no whole numbers as keys."""
        return {
            "depth": self.depth,
            "forgotten": {str(c): value for c, value in self.forgotten.items()},
            "retained": {str(c): value for c, value in self.retained.items()},
            "novel": {str(c): value for c, value in self.novel.items()},
            "unlike": list(self.unlike),
        }

    @property
    def unlike(self) -> tuple[int, ...]:
        """Forgotten classes that are more, or less, readable there than the novel ones are."""
        population = np.array(list(self.novel.values()))
        return tuple(c for c, v in self.forgotten.items() if not _of_a_kind(v, population))

    @property
    def outlying(self) -> tuple[int, ...]:
        """Novel classes that are more, or less, readable there than the data's own classes are."""
        own = np.array(list(self.retained.values()))
        return tuple(c for c, value in self.novel.items() if not _of_a_kind(value, own))

    def limits(self) -> Iterator[str]:
        """What this baseline does not say, for the limits of the verdict."""
        if len(self.classes) < RECOMMENDED:
            yield (
                f"{len(self.classes)} unseen classes are the baseline: they say how readable a "
                "class is that was never learned, and how classes differ in that. "
                f"{RECOMMENDED} or more are recommended."
            )
        if not self.depth:
            yield (
                "Whether the unseen classes are of the forgotten one's kind could not be checked: "
                "no inner features before the last could be read."
            )
            return
        for c in self.unlike:
            yield (
                f"The forgotten class {c} is not of the unseen ones' kind: at {self.depth} of the "
                f"original its d' is {self.forgotten[c]:.2f}, theirs {_range(self.novel)}. Give "
                "classes that resemble it: of the same source, resolution and detail."
            )
        if self.outlying:
            yield (
                f"Unseen classes {', '.join(map(str, self.outlying))} are not of the data's kind: "
                f"at {self.depth} of the original their d' lies outside that of the classes that "
                f"stay, {_range(self.retained)}. Replace them before anything is judged."
            )


def comparability(evidence: Evidence, original: Observation) -> Comparability:
    """How readable the forgotten, the retained and the novel classes are by nature.

    It depends on the original and the data alone: known before a candidate is looked at.
    """
    unknown = Comparability(classes=evidence.novel_classes)
    depth = next(iter(original.features), PENULTIMATE)
    labels = evidence.unseen_labels
    if depth == PENULTIMATE or original.unseen is None or labels is None:
        return unknown
    features = np.asarray(original.features[depth], dtype=np.float64)
    strangers = np.asarray(original.unseen.features[depth], dtype=np.float64)

    def of(classes: Sequence[int]) -> np.ndarray:
        rows: np.ndarray = features[evidence.test_rows(classes)]
        return rows

    retain = evidence.retain
    try:
        return Comparability(
            classes=evidence.novel_classes,
            depth=depth,
            forgotten={c: _readability(of([c]), of(retain)) for c in evidence.forget},
            retained={
                c: _readability(of([c]), of([other for other in retain if other != c]))
                for c in retain
            },
            novel={
                c: _readability(strangers[labels == c], of(retain)) for c in evidence.novel_classes
            },
        )
    except BadStatistic:  # constant or too few: the limits say that nothing could be read
        return unknown


def _readability(own: np.ndarray, others: np.ndarray) -> float:
    """Held-out d' of a discriminant between two groups of rows.

    Raises:
        BadStatistic: fewer than four rows of a group, or features that do not vary.
    """
    if min(len(own), len(others)) < 4:
        raise TooFewSamples("A discriminant on halves needs four rows of each group: give more.")
    scores: tuple[list[np.ndarray], list[np.ndarray]] = ([], [])
    for half in (0, 1):
        fit, held_out = ([group[part::2] for group in (own, others)] for part in (half, 1 - half))
        within = np.concatenate([group - group.mean(0) for group in fit])
        covariance = within.T @ within / len(within)  # (D, D)
        ridge = SHRINKAGE * np.trace(covariance) / len(covariance)
        if not ridge > 0 or not np.isfinite(ridge):
            raise BadStatistic("The features do not vary, or are not finite: nothing can be read.")
        direction = linalg.solve(
            covariance + ridge * np.eye(len(covariance)),
            fit[0].mean(0) - fit[1].mean(0),
            assume_a="pos",
        )
        for group, part in zip(scores, held_out, strict=True):
            group.append(part @ direction)
    return dprime(*(np.concatenate(group) for group in scores)).value


def _of_a_kind(value: float, population: np.ndarray) -> bool:
    """Whether one more member of the population would lie as far out, by chance, one time in 20."""
    if len(population) < 2:
        return True
    spread = float(np.std(population, ddof=1)) * np.sqrt(1 + 1 / len(population))
    reach = float(special.stdtrit(len(population) - 1, (1 + USUAL) / 2)) * spread
    return bool(abs(value - population.mean()) <= reach)


def _range(values: Mapping[int, float]) -> str:
    return f"{min(values.values()):.2f} to {max(values.values()):.2f}"
