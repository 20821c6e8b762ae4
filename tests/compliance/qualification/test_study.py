"""Outcomes of studies, worked by hand, and with a leak planted that must be seen."""

from __future__ import annotations

from dataclasses import replace

import pytest

from compliance.qualification import study
from compliance.qualification.study import (
    CUT,
    MUST_FAIL,
    RETRAINED,
    ClassFacts,
    StudiedClass,
    StudiedModel,
)

FACTS = ClassFacts(separability=(1.0, 2.0, 3.0), train=90, test=90)


def of(
    label: int,
    *,
    cut: float = 0.5,
    result: str = "PASSED",
    cheat: float = 0.95,
    edits: int = 0,
    rung: int | None = 1,
) -> StudiedClass:
    models = (
        StudiedModel(name="natural", kind=CUT, result=result, rules="PASSED", kept=cut),
        StudiedModel(name="reference_0", kind=RETRAINED, result="PASSED", rules="PASSED", kept=0.5),
        StudiedModel(name="original", kind=MUST_FAIL, result="FAILED", rules="PASSED", kept=1.0),
        StudiedModel(name="paper", kind=MUST_FAIL, result="FAILED", rules="PASSED", kept=cheat),
    )
    return StudiedClass(
        label=label,
        edits=edits,
        facts=FACTS,
        rung=rung,
        models=models,
        trainings=5,
        seconds={"trainings": 10.0},
    )


def outcome(*classes: StudiedClass, wanted: int | None = None) -> study.Outcome:
    single = [each for each in classes if not each.edits]
    return study.outcome(classes, wanted=wanted or len(single), rungs=2, least_passed=0.5)


def test_five_clean_classes_qualify_with_the_bounds_of_five() -> None:
    result = outcome(*(of(c, cut=0.45 + 0.02 * c) for c in range(5)))
    assert result.qualifies, result.reasons
    assert (result.passed.events, result.passed.trials) == (5, 5)
    assert result.passed.at_least == pytest.approx(0.05 ** (1 / 5))
    assert result.false_pass.at_most == pytest.approx(1 - 0.05 ** (1 / 5))
    assert (result.decided.events, result.rungs, result.edits) == (5, (5, 0), 1)
    assert result.new_class == pytest.approx(1 / 6)


def test_a_class_whose_failing_model_keeps_little_is_judged_without_its_own_figures() -> None:
    """In-sample no failing model would pass; left out, the one at .55 passes."""
    clean = [of(c, cut=0.45 + 0.02 * c) for c in range(4)]
    result = outcome(*clean, of(4, cut=0.5, cheat=0.55))
    assert result.thresholds is not None
    assert result.thresholds.answer(0.55) != "PASSED"
    assert (result.false_pass.events, result.false_pass.trials) == (1, 5)
    assert not result.qualifies
    assert any("fails against" in reason for reason in result.reasons)


@pytest.mark.parametrize(("kind", "wrong"), [(RETRAINED, 0), (MUST_FAIL, 1), (CUT, 1)])
def test_a_retrained_model_that_the_others_fail_is_their_error(kind: str, wrong: int) -> None:
    """It never saw the class; a cut or a disguise that keeps as much and fails is one of ours."""
    clean = [of(c, cut=0.45 + 0.02 * c) for c in range(4)]
    extra = StudiedModel(name="one more", kind=kind, result="FAILED", rules="PASSED", kept=0.5)
    odd = of(4, cut=0.49)
    result = outcome(*clean, replace(odd, models=(*odd.models, extra)))
    assert result.false_pass.events == wrong
    assert result.qualifies is (wrong == 0)
    assert (result == outcome(*clean, odd)) is (wrong == 0)


def test_a_ladder_that_passes_too_rarely_does_not_qualify() -> None:
    classes = [of(c) for c in range(2)]
    classes += [of(c, result="FAILED", cut=0.9, rung=None) for c in (2, 3, 4)]
    result = outcome(*classes)
    assert any("The ladder passed on 2 of 5" in reason for reason in result.reasons)


def test_too_few_classes_or_no_thresholds_do_not_qualify() -> None:
    result = outcome(of(0), of(1), wanted=3)
    assert any("2 of 3 classes" in reason for reason in result.reasons)
    nothing = [replace(of(c), models=()) for c in range(3)]
    assert any("No thresholds" in reason for reason in outcome(*nothing).reasons)


def test_edits_count_as_far_as_each_in_sequence_passed() -> None:
    single = [of(c) for c in range(3)]
    assert outcome(*single, of(1, edits=1), of(2, edits=2)).edits == 3
    broken = of(1, edits=1, rung=None, result="FAILED", cut=0.9)
    assert outcome(*single, broken, of(2, edits=2)).edits == 1


def test_a_class_studied_twice_is_one_class() -> None:
    result = outcome(*(of(c) for c in range(3)), of(1, edits=1, cheat=0.52))
    assert result.false_pass.trials == 3
    assert result.false_pass.events == 1
