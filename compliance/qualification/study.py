"""A study: classes of one family that were cut and compared with retrained models, and its outcome.

Pure: from the models of each class, with what they came out, to how often the ladder passed, the
thresholds, and how often these would have been wrong on classes that had no part in setting them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from compliance.qualification import bounds, thresholds
from compliance.qualification.thresholds import FAILED, INCONCLUSIVE, PASSED, Score, Thresholds

CUT, RETRAINED, MUST_FAIL = "cut", "retrained", "must fail"
"""Kinds of models: made as an event makes them, never trained on the class, and those that hold it
behind some disguise."""
LEAST_DECIDED = 0.5
"""Share of the cuts that passed of which thresholds must be able to say so."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StudiedModel:
    """One model of a class.

    Attributes:
        name: The preset of a cut; what else was done.
        kind: `CUT`, `RETRAINED` or `MUST_FAIL`.
        result: Against retrained models: "PASSED", "FAILED" or "INCONCLUSIVE".
        rules: By the rules of events, which need no retrained model.
        kept: Its share, see `kept`; None where it could not be read.
    """

    name: str
    kind: str
    result: str
    rules: str
    kept: float | None

    @property
    def score(self) -> Score | None:
        """For thresholds and what they answer; None where it could not be read, or is no evidence.

        A retrained model that others failed is none: it never saw the class. That is an error of
        the comparison, of one such model in fifty or fewer by design, and there are some fifty in a
        study.
        """
        if self.kept is None or (self.kind, self.result) == (RETRAINED, FAILED):
            return None
        return Score(kept=self.kept, result=self.result, rules=self.rules)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassFacts:
    """What the statistics and the data say of a class, before anything is cut.

    Attributes:
        separability: Of the first, middle and last third of the layers, the middle one's of each.
        train: Training rows.
        test: Held-out rows.
    """

    separability: tuple[float, ...]
    train: int
    test: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StudiedClass:
    """A class of a study.

    Attributes:
        label: Its index.
        edits: Classes that were cut out of the model before it.
        facts: Of the class, on that model.
        rung: Which cut of the ladder passed, from 1; None where none did.
        models: All models that were audited.
        trainings: Whole trainings that it took.
        seconds: Of trainings, of cuts, of audits, by these names.
    """

    label: int
    edits: int
    facts: ClassFacts
    rung: int | None
    models: tuple[StudiedModel, ...]
    trainings: int
    seconds: Mapping[str, float]

    @property
    def scores(self) -> list[Score]:
        """Of its models, those that have one."""
        return [score for model in self.models if (score := model.score) is not None]

    @property
    def passing(self) -> list[Score]:
        """Its cuts that passed."""
        cuts = (m.score for m in self.models if (m.kind, m.result) == (CUT, PASSED))
        return [score for score in cuts if score is not None]

    def with_result(self, result: str) -> list[Score]:
        """Its models that came out so, whatever they are."""
        return [score for score in self.scores if score.result == result]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """A count with its bounds at 95%, each one-sided.

    Attributes:
        events: Of the trials.
        trials: Classes.
        at_least: Lower bound of the rate.
        at_most: Upper bound.
    """

    events: int
    trials: int
    at_least: float
    at_most: float

    @classmethod
    def of(cls, events: int, trials: int) -> Rate:
        """With exact bounds.

        >>> round(Rate.of(3, 3).at_least, 6)
        0.368403
        """
        return cls(
            events=events,
            trials=trials,
            at_least=bounds.at_least(events, trials),
            at_most=bounds.at_most(events, trials),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a study amounts to.

    Attributes:
        passed: Classes of which a cut passed against retrained models, of the classes studied.
        rungs: How many passed at each rung, in the ladder's order.
        edits: How many edits of the model one after the other the study bears out.
        thresholds: Set on all of its classes; None where they support none.
        false_pass: Classes of which a model passes by thresholds set on the others, that fails
            against retrained models.
        false_fail: Classes of which a cut fails by them that passes against retrained models.
        decided: Classes of which a cut passes by both.
        left_open: Classes of which a model passes by them that retrained models left undecided.
        new_class: Chance that a model of a new class that must fail keeps less than all of these.
        reasons: Why the family is not qualified; empty where it is.
    """

    passed: Rate
    rungs: tuple[int, ...]
    edits: int
    thresholds: Thresholds | None
    false_pass: Rate
    false_fail: Rate
    decided: Rate
    left_open: int
    new_class: float
    reasons: tuple[str, ...]

    @property
    def qualifies(self) -> bool:
        """Whether events may run under it."""
        return not self.reasons


def outcome(
    classes: Sequence[StudiedClass], *, wanted: int, rungs: int, least_passed: float
) -> Outcome:
    """What the studied classes amount to.

    Args:
        classes: Those of single edits, and those of edits in sequence.
        wanted: How many single ones were to be studied.
        rungs: Of the ladder.
        least_passed: Share of the classes of which a cut must have passed.
    """
    single = [each for each in classes if each.edits == 0]
    places = [each.rung for each in single if each.rung is not None]
    passed = Rate.of(len(places), len(single))
    answers = list(left_out(classes))
    first = Outcome(
        passed=passed,
        rungs=tuple(places.count(place) for place in range(1, rungs + 1)),
        edits=_in_sequence(classes),
        thresholds=thresholds.of([score for each in classes for score in each.scores]),
        false_pass=_rate(answers, "wrong"),
        false_fail=_rate(answers, "refused"),
        decided=_rate(answers, "right"),
        left_open=sum(answer.left_open for answer in answers),
        new_class=bounds.of_a_new_class(len(single)),
        reasons=(),
    )
    return _with_reasons(first, wanted=wanted, least_passed=least_passed)


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftOut:
    """How thresholds of the other classes judge a class; None where it has no such model.

    Attributes:
        label: The class.
        wrong: Whether a model passes that failed.
        right: Whether its cut that passed passes.
        refused: Whether that cut fails.
        left_open: Whether a model passes that retrained models left undecided.
    """

    label: int
    wrong: bool | None
    right: bool | None
    refused: bool | None
    left_open: bool


def left_out(classes: Sequence[StudiedClass]) -> Iterator[LeftOut]:
    """Each class by thresholds that were set without it: none is judged by its own figures."""
    for label in dict.fromkeys(each.label for each in classes):
        own = [each for each in classes if each.label == label]
        others = [each for each in classes if each.label != label]
        limits = thresholds.of([score for each in others for score in each.scores])
        failing = _answers(limits, (s for each in own for s in each.with_result(FAILED)))
        passing = _answers(limits, (s for each in own for s in each.passing))
        undecided = _answers(limits, (s for each in own for s in each.with_result(INCONCLUSIVE)))
        yield LeftOut(
            label=label,
            wrong=PASSED in failing if failing else None,
            right=all(answer == PASSED for answer in passing) if passing else None,
            refused=FAILED in passing if passing else None,
            left_open=PASSED in undecided,
        )


def _answers(limits: Thresholds | None, every: Iterable[Score]) -> list[str]:
    return [INCONCLUSIVE if limits is None else limits.of_model(score) for score in every]


def _rate(answers: Sequence[LeftOut], name: str) -> Rate:
    given = [value for answer in answers if (value := getattr(answer, name)) is not None]
    return Rate.of(sum(given), len(given))


def _in_sequence(classes: Sequence[StudiedClass]) -> int:
    """Edits one after the other of which each passed; 1 where none was studied in sequence."""
    count = 1
    while any(each.edits == count and each.rung is not None for each in classes):
        count += 1
    return count


def _with_reasons(outcome: Outcome, *, wanted: int, least_passed: float) -> Outcome:
    from dataclasses import replace

    return replace(outcome, reasons=tuple(_reasons(outcome, wanted, least_passed)))


def _reasons(outcome: Outcome, wanted: int, least_passed: float) -> Iterator[str]:
    passed, decided = outcome.passed, outcome.decided
    if passed.trials < wanted:
        yield f"{passed.trials} of {wanted} classes were studied to the end."
    if passed.events < least_passed * passed.trials:
        yield (
            f"The ladder passed on {passed.events} of {passed.trials} classes, fewer than the "
            f"{least_passed:.0%} that were asked for: declare further cuts, or bring more images."
        )
    if outcome.thresholds is None:
        yield (
            "No thresholds exist: what is still readable does not part models that passed against "
            "retrained ones from those that failed."
        )
    if outcome.thresholds and outcome.thresholds.answer(1.0) != FAILED:
        yield "By its thresholds the original itself would not fail."
    if outcome.false_pass.events:
        yield (
            f"By thresholds of the other classes, {outcome.false_pass.events} of "
            f"{outcome.false_pass.trials} classes have a model that passes and fails against "
            "retrained ones."
        )
    if decided.events < LEAST_DECIDED * decided.trials:
        yield (
            f"Of {decided.trials} cuts that passed against retrained models {decided.events} could "
            "be passed without: too few to be of use."
        )
