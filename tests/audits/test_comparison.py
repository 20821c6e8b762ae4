"""From what every model shows to figures beside their baseline."""

from dataclasses import replace

import numpy as np
import pytest

from audits import comparison, novel_class_null
from audits.comparison import Models, measure
from audits.errors import BadFigure
from audits.estimates import Estimate, images
from audits.evidence import LEAST_NOVEL_CLASSES
from audits.pair_null import PairNull

NAME = "few_shot.1@penultimate"
LABELS = {NAME: "one figure"}
SIZES = {"forget_test": 60}


def estimate(value, error=0.02, rows=50, seed=0):
    """A mean of `rows` images with exactly this standard error."""
    drawn = np.random.default_rng(seed).standard_normal(rows)
    drawn = (drawn - drawn.mean()) / drawn.std(ddof=1) * error * np.sqrt(rows)
    return Estimate(value=value, parts=(images(value + drawn),))


def models(candidate=0.55, original=0.9, references=(0.4, 0.5, 0.6, 0.5, 0.45), **changes):
    return Models(
        candidate={NAME: estimate(candidate)},
        original={NAME: estimate(original, seed=1)},
        references=tuple({NAME: estimate(r, seed=2 + i)} for i, r in enumerate(references)),
        **changes,
    )


def unseen(count, value=0.5, spread=0.01):
    """The same figure of so many classes that nobody was trained on."""
    return tuple({NAME: estimate(value + spread * i, seed=20 + i)} for i in range(count))


def of_class(evidence, observation):
    """A signal: the accuracy on the forgotten class."""
    rows = evidence.test_rows(evidence.forget)
    right = observation.test_logits[rows].argmax(1) == evidence.test_labels[rows]
    return {NAME: Estimate(value=float(right.mean()), parts=(images(right.astype(float)),))}


@pytest.mark.parametrize(
    ("by_class", "few", "apart"),
    [(True, True, True), (True, False, False), (False, True, False), (False, False, False)],
)
def test_novel_classes_stand_in_for_references_that_lack(world, by_class, few, apart):
    """Only a signal about a class can be asked of another class."""
    evidence = world.evidence(**({"references": ()} if few else {}))
    every = Models.of(evidence, of_class, **({"by_class": True} if by_class else {}))
    expected = len(evidence.novel_classes) if apart else 0
    assert len(every.novel_class_null) == expected
    assert len(every.novel_class_null_original) == expected
    assert len(every.references) == len(evidence.references)
    assert every.candidate[NAME].value == of_class(evidence, evidence.candidate)[NAME].value
    assert every.original[NAME].value == of_class(evidence, evidence.original)[NAME].value
    # every class in turn, each by its own rows
    for place, of_novel in enumerate(every.novel_class_null):
        rows, shown = novel_class_null.stand_in(evidence, evidence.candidate, place)
        assert of_novel[NAME].value == of_class(rows, shown)[NAME].value


def test_a_model_that_was_not_shown_the_unseen_classes_lacks_every_figure_of_them(world):
    shown = world.model("retrained", knows=False)
    evidence = world.evidence(replace(shown, digest="not shown", unseen=None), references=())
    every = Models.of(evidence, of_class, by_class=True).also_at("earlier", "body", why="")
    why = "not measured on unseen class 0: it was not shown the unseen classes"
    assert every.missing(NAME) == why
    assert every.missing("few_shot.1@earlier", of_original=False).endswith("no such depth")
    assert every.novel_class_null[0].get("few_shot.1@earlier") == why.partition(": ")[2]


def test_exactly_as_many_references_as_are_needed_are_enough(world):
    evidence = world.evidence()
    least = evidence.least_references
    for count in (least - 1, least):
        chosen = replace(evidence, references=evidence.references[:count])
        every = Models.of(chosen, of_class, by_class=True)
        assert bool(every.novel_class_null) == (count < least)
        figure = measure(
            chosen, models(references=(0.4, 0.5, 0.6, 0.5)[:count]), NAME, NAME, sizes=SIZES
        )
        assert figure.against == ("retrained" if count >= least else "none")


def test_another_name_of_a_depth_has_that_depths_figures():
    every = models(novel_class_null=unseen(2), novel_class_null_original=unseen(2, 0.8))
    named = every.also_at("earlier", "penultimate", why="there is none")
    alias = "few_shot.1@earlier"
    for one in ("candidate", "original"):
        assert getattr(named, one) == {
            **getattr(every, one),
            alias: getattr(every, one)[NAME],
        }
    for several in ("references", "novel_class_null", "novel_class_null_original"):
        own, more = getattr(every, several), getattr(named, several)
        assert [each[alias] for each in more] == [each[NAME] for each in own]
    assert named.pairs is every.pairs


def test_where_there_is_no_such_depth_its_figures_say_so():
    every = models()
    none = every.also_at("earlier", None, why="too few rows")
    assert none.candidate["few_shot.1@earlier"] == "too few rows"
    other = every.also_at("earlier", "body", why="too few rows")
    assert other.candidate["few_shot.1@earlier"] == "it has no such depth"
    # a figure without a depth has no other name
    plain = replace(every, candidate={"membership.forget.loss": estimate(0.5)})
    assert list(plain.also_at("earlier", "body", why="").candidate) == ["membership.forget.loss"]


def test_a_figure_that_one_model_lacks_is_named_with_that_model():
    every = models(novel_class_null=unseen(2))
    assert every.missing(NAME) == ""
    lacking = {NAME: "the features hold NaN"}
    said = "not measured on {}: the features hold NaN"
    cases = {
        "the candidate": replace(every, candidate=lacking),
        "the original": replace(every, original=lacking),
        "reference 1": replace(
            every, references=(every.references[0], lacking, *every.references[2:])
        ),
        "unseen class 1": replace(every, novel_class_null=(every.novel_class_null[0], lacking)),
    }
    for who, case in cases.items():
        assert case.missing(NAME) == said.format(who)
    assert cases["the original"].missing(NAME, of_original=False) == ""
    assert cases["the original"].of_original(NAME) is None
    assert every.of_original(NAME) is every.original[NAME]
    absent = "not measured on the candidate: it has no such depth"
    assert every.missing("few_shot.1@body") == absent


def test_the_estimates_of_all_models_side_by_side():
    every = models(candidate=0.123456)
    candidate, original, references = every.all_of(NAME)
    assert (candidate.value, original.value) == (0.123456, 0.9)
    assert [r.value for r in references] == [0.4, 0.5, 0.6, 0.5, 0.45]
    assert comparison.side_by_side(every, [NAME]) == {
        "figures": {
            "names": [NAME],
            "candidate": [0.1235],
            "original": [0.9],
            "retrained": [[0.4, 0.5, 0.6, 0.5, 0.45]],
        }
    }


def test_unseen_classes_count_only_where_none_of_them_lacks():
    every = models(novel_class_null=unseen(3), novel_class_null_original=unseen(3, 0.8))
    assert [e.value for e in every.novel_class_estimates(NAME)] == [0.5, 0.51, 0.52]
    assert [e.value for e in every.novel_class_estimates(NAME, of_original=True)] == [
        0.8,
        0.81,
        0.8200000000000001,
    ]
    partly = replace(every, novel_class_null=(*unseen(2), {NAME: "too few rows"}))
    assert partly.novel_class_estimates(NAME) == []


def test_against_the_retrained_models_the_difference_is_to_their_mean(world):
    figure = measure(world.evidence(), models(), NAME, "label", sizes=SIZES)
    null = np.array([0.4, 0.5, 0.6, 0.5, 0.45])
    assert figure.against == "retrained"
    assert figure.null == pytest.approx(null)
    assert figure.difference == pytest.approx(0.55 - null.mean())
    # the mean of five models scatters as they do, and the candidate by its images
    assert figure.standard_error**2 >= null.var(ddof=1) / 5
    assert (figure.value, figure.original, figure.label) == (0.55, 0.9, "label")
    assert figure.sizes == {"forget_test": 60, "references": 5}
    assert figure.standard_error_original is not None
    assert figure.budget is not None
    assert figure.null_original == ()
    assert figure.interval == models().candidate[NAME].interval()


def test_a_figure_that_means_nothing_on_the_original_has_no_power_to_catch_it(world):
    every = replace(models(), original={NAME: "it has lost nothing"})
    figure = measure(world.evidence(), every, NAME, NAME, sizes=SIZES)
    assert figure.difference == pytest.approx(0.55 - 0.49)
    assert (figure.original, figure.standard_error_original) == (None, None)
    assert figure.budget.baseline.original == 0.0


def test_figures_of_pairs_have_a_null_of_their_own_for_candidate_and_original(world):
    """The mean and the spread that count are those of what the pairs are to each."""
    to_candidate, to_original = (
        tuple(estimate(value, seed=40 + i) for i, value in enumerate(values))
        for values in ((0.1, 0.2, 0.3, 0.2, 0.2), (0.0, 0.4, 0.2, 0.1, 0.3))
    )
    pairs = {NAME: PairNull(members=(), to_candidate=to_candidate, to_original=to_original)}
    figure = measure(world.evidence(), models(pairs=pairs), NAME, NAME, sizes=SIZES)
    assert figure.difference == pytest.approx(0.55 - 0.2)
    baseline = figure.budget.baseline
    assert baseline.candidate == pytest.approx(np.var((0.1, 0.2, 0.3, 0.2, 0.2), ddof=1) / 5)
    assert baseline.original == pytest.approx(np.var((0.0, 0.4, 0.2, 0.1, 0.3), ddof=1) / 5)
    assert figure.null == pytest.approx((0.4, 0.5, 0.6, 0.5, 0.45))
    other = measure(
        world.evidence(), models(pairs=pairs), NAME, NAME, sizes=SIZES, against="original"
    )
    assert other.difference == pytest.approx(0.55 - 0.9)


def test_against_the_original_the_null_is_shown_beside_it(world):
    figure = measure(world.evidence(), models(), NAME, NAME, sizes=SIZES, against="original")
    assert figure.against == "original"
    assert figure.difference == pytest.approx(0.55 - 0.9)
    assert figure.null == pytest.approx((0.4, 0.5, 0.6, 0.5, 0.45))
    assert figure.standard_error_original is None
    # the original is the baseline there, not what shares are taken of
    answers = (np.arange(8) % 2 == 0).astype(float)
    share = Estimate(value=0.5, parts=(images(answers, bounded=True),))
    every = replace(models(), candidate={NAME: share}, original={NAME: share})
    of_shares = measure(world.evidence(), every, NAME, NAME, sizes=SIZES, against="original")
    assert [part.original for part in of_shares.budget.sampling] == [0.0]
    shown = measure(world.evidence(), models(), NAME, NAME, sizes=SIZES, against="none")
    assert (shown.difference, shown.standard_error, shown.budget) == (None, None, None)
    assert shown.degrees_of_freedom is None
    assert shown.null == pytest.approx((0.4, 0.5, 0.6, 0.5, 0.45))


def test_without_references_as_many_unseen_classes_as_are_needed_are_the_baseline(world):
    evidence = world.evidence(references=())
    for count in (LEAST_NOVEL_CLASSES - 1, LEAST_NOVEL_CLASSES):
        every = models(
            references=(),
            novel_class_null=unseen(count),
            novel_class_null_original=unseen(count, 0.8),
        )
        figure = measure(evidence, every, NAME, NAME, sizes=SIZES)
        if count < LEAST_NOVEL_CLASSES:
            assert (figure.against, figure.difference) == ("none", None)
            assert "unseen_classes" not in figure.sizes
            assert figure.null_original == ()
            continue
        mean = 0.5 + 0.01 * (count - 1) / 2
        assert figure.against == "unseen"
        assert figure.sizes == {**SIZES, "references": 0, "unseen_classes": count}
        assert figure.difference == pytest.approx(0.55 - mean)
        assert figure.null == pytest.approx([0.5 + 0.01 * i for i in range(count)])
        assert figure.null_original == pytest.approx([0.8 + 0.01 * i for i in range(count)])
        assert figure.standard_error_original is not None


def test_a_figure_that_was_not_measured_cannot_be_compared(world):
    every = replace(models(), candidate={NAME: "too few rows"})
    with pytest.raises(BadFigure, match=r"was not measured \(too few rows\)"):
        measure(world.evidence(), every, NAME, NAME, sizes=SIZES)
    measured, left_out = comparison.measure_all(world.evidence(), every, LABELS, sizes=SIZES)
    assert measured == []
    assert left_out == {NAME: "not measured on the candidate: too few rows"}
    (figure,), none = comparison.measure_all(world.evidence(), models(), LABELS, sizes=SIZES)
    assert (figure.name, figure.label, none) == (NAME, "one figure", {})


def concluded(evidence, measurements, left_out):
    return comparison.conclude(
        "few_shot",
        evidence,
        measurements,
        parameters={"shots": 1},
        left_out=left_out,
        series={"curve": {"x": [1]}},
    )


def test_a_finding_of_nothing_says_why_each_reason_once(world):
    evidence = world.evidence()
    one = concluded(evidence, [], {"a": "too few rows", "b": "too few rows"})
    assert one.status == "NOT_RUN"
    assert one.reason == "Nothing could be measured. Too few rows. Check these models."
    assert one.series == {}
    two = concluded(evidence, [], {"a": "too few", "b": "too few", "c": "no depth"})
    said = "Nothing could be measured. a, b: too few; c: no depth. Check these models."
    assert two.reason == said


def test_a_finding_of_something_holds_it_with_what_was_left_out(world):
    evidence = world.evidence()
    figure = measure(evidence, models(), NAME, NAME, sizes=SIZES)
    finding = concluded(evidence, [figure], {"other": "no depth"})
    assert (finding.status, finding.reason, finding.seed) == ("RUN", "", evidence.seed)
    assert finding.measurements == (figure,)
    assert finding.parameters == {"shots": 1, "left_out": {"other": "no depth"}}
    assert finding.series == {"curve": {"x": [1]}}


def test_a_finding_against_unseen_classes_says_how_far_they_can_stand_in(world):
    evidence = world.evidence(references=())
    every = models(references=(), novel_class_null=unseen(4), novel_class_null_original=unseen(4))
    figure = measure(evidence, every, NAME, NAME, sizes=SIZES)
    parameters = concluded(evidence, [figure], {}).parameters
    assert {"unseen", "limits"} <= parameters.keys()
    assert isinstance(parameters["limits"], list)


def test_rows_of_each_kind_are_counted(world):
    evidence = world.evidence(train_labels=world.train_labels)
    expected = {"forget_test": 60, "retain_test": 300}
    assert comparison.sizes(evidence) == expected
    assert comparison.sizes(evidence, train=True) == {
        **expected,
        "forget_train": 60,
        "retain_train": 300,
    }


def test_the_band_of_the_retrained_models_is_mean_and_range():
    curves = [np.array([0.0, 0.3]), np.array([0.5, 0.1]), np.array([0.1, 0.2])]
    assert comparison.band(curves) == {
        "retrained": [0.2, 0.2],
        "retrained_low": [0.0, 0.1],
        "retrained_high": [0.5, 0.3],
    }
    assert comparison.band([]) == {}
    assert comparison.rounded([0.123449, 0.12345001]) == [0.1234, 0.1235]
