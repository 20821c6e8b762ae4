from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score, roc_curve

from audits import membership
from audits.evidence import Shadow

FORGET = 2


def test_members_that_stand_out_are_found_and_a_clean_model_shows_none(world, figures, judge):
    clean = figures(membership.audit(world.evidence()))
    leaky = world.model("leaky", knows=False, overfit=6.0)
    planted = figures(membership.audit(world.evidence(leaky)))
    for signal in ("loss", "margin"):
        name = f"membership.forget.{signal}"
        assert judge(clean[name], 0.15, 0.15) == "within"
        assert judge(planted[name], 0.15, 0.15) == "outside"
        assert planted[name].value > 0.75


def test_over_forgetting_leaks_as_well(world, figures, judge):
    """Members pushed below the held-out images: an AUC under one half, outside the other margin."""
    pushed = world.model("pushed", knows=False, overfit=-3.0)
    measured = figures(membership.audit(world.evidence(pushed)))["membership.forget.loss"]
    assert measured.value < 0.3
    assert judge(measured, 0.15, 0.15) == "outside"


def test_the_retain_classes_are_attacked_too(world, figures):
    """An edit can make the leak of those who stay worse."""
    model = world.model("retrained", knows=False)
    lifted = model.train_logits.copy()
    rows = np.flatnonzero(world.train_labels != FORGET)
    lifted[rows, world.train_labels[rows]] += 3.0
    measured = figures(
        membership.audit(world.evidence(replace(model, digest="leaks others", train_logits=lifted)))
    )
    assert measured["membership.retain.loss"].value > 0.75
    assert abs(measured["membership.forget.loss"].difference) < 0.1


def test_a_model_that_only_knows_the_class_is_no_membership(world, figures):
    """The published mistake: forget against retain classes is class detection, AUC near 1 here."""
    original = world.model("original", knows=True)
    evidence = world.evidence(original)
    logits, labels = original.test_logits, world.test_labels
    detection = roc_auc_score(labels == FORGET, logits[:, FORGET])
    assert detection > 0.95
    assert figures(membership.audit(evidence))["membership.forget.loss"].value == pytest.approx(
        0.5, abs=0.1
    )


def test_the_scores_agree_with_torch(world):
    model = world.model("original", knows=True)
    evidence = world.evidence()
    logits, labels = torch.tensor(model.test_logits), torch.tensor(world.test_labels)
    ours = membership.scores(evidence, model.test_logits, world.test_labels)
    loss = torch.nn.functional.cross_entropy(logits, labels, reduction="none")
    chance = torch.softmax(logits, 1)
    own = chance.gather(1, labels[:, None])[:, 0]
    assert ours["loss"] == pytest.approx((own / (1 - own)).log().numpy())
    assert (np.argsort(ours["loss"]) == np.argsort(-loss.numpy())).all()
    top = chance.max(1).values
    assert ours["confidence"] == pytest.approx((top / (1 - top)).log().numpy())
    assert ours["entropy"] == pytest.approx((chance * chance.log()).sum(1).numpy())
    others = logits.scatter(1, labels[:, None], -torch.inf)
    expected = logits.gather(1, labels[:, None])[:, 0] - others.max(1).values
    assert ours["margin"] == pytest.approx(expected.numpy())


@pytest.mark.parametrize("signal", membership.SIGNALS)
def test_the_area_is_sklearns_with_members_and_others_of_one_class(world, figures, signal):
    model = world.model("leaky", knows=False, overfit=1.0)
    evidence = world.evidence(model)
    inside = membership.scores(evidence, model.train_logits, world.train_labels)[signal]
    outside = membership.scores(evidence, model.test_logits, world.test_labels)[signal]
    measured = figures(membership.audit(evidence))
    areas = [
        roc_auc_score(
            np.repeat([1, 0], 60),
            np.concatenate([inside[world.train_labels == c], outside[world.test_labels == c]]),
        )
        for c in range(6)
    ]
    assert measured[f"membership.forget.{signal}"].value == pytest.approx(areas[FORGET])
    assert measured[f"membership.retain.{signal}"].value == pytest.approx(
        np.mean(areas[:FORGET] + areas[FORGET + 1 :])
    )


def test_an_output_pushed_down_without_end_saturates_nothing(world, figures):
    """A bias of -1e9 makes every softmax 0: the scores still rank members as they did before."""
    leaky = world.model("leaky", knows=True, overfit=3.0)
    train, test = leaky.train_logits.copy(), leaky.test_logits.copy()
    train[:, FORGET] -= 1e9
    test[:, FORGET] -= 1e9
    hidden = replace(leaky, digest="hidden", train_logits=train, test_logits=test)
    before = figures(membership.audit(world.evidence(leaky)))["membership.forget.loss"].value
    after = figures(membership.audit(world.evidence(hidden)))["membership.forget.loss"].value
    assert before > 0.75
    assert after == pytest.approx(before, abs=0.02)


def test_low_false_alarm_rates_are_left_out_below_a_hundred_non_members(world):
    reasons = membership.audit(world.evidence()).parameters["left_out"]
    assert (
        "needs 100 non-members, 60 are given" in reasons["membership.tpr_at_1_percent.forget.loss"]
    )


def test_the_rate_at_one_percent_is_sklearns(make_world, figures):
    world = make_world(per_class=150)
    model = world.model("leaky", knows=False, overfit=9.0)
    evidence = world.evidence(model)
    measured = figures(membership.audit(evidence))["membership.tpr_at_1_percent.forget.loss"]
    inside = membership.scores(evidence, model.train_logits, world.train_labels)["loss"]
    outside = membership.scores(evidence, model.test_logits, world.test_labels)["loss"]
    fpr, tpr, _ = roc_curve(
        np.repeat([1, 0], 150),
        np.concatenate(
            [inside[world.train_labels == FORGET], outside[world.test_labels == FORGET]]
        ),
    )
    assert measured.value == pytest.approx(tpr[fpr <= 0.01].max())
    assert measured.value > 10 * 0.01


def test_two_forgotten_classes_are_averaged_each_within_itself(world, figures):
    """Classes of different difficulty thrown together look like members where there are none."""
    model = world.model("uneven", knows=False)
    train, test = model.train_logits.copy(), model.test_logits.copy()
    easy = 4
    for logits, labels in ((train, world.train_labels), (test, world.test_labels)):
        logits[labels == easy, easy] += 10.0
    uneven = replace(model, digest="uneven", train_logits=train, test_logits=test)
    few = world.train_labels.copy()
    few[np.flatnonzero(few == FORGET)[:40]] = 0
    evidence = world.evidence(uneven, forget=(FORGET, easy), train_labels=few)
    measured = figures(membership.audit(evidence))["membership.forget.loss"].value
    inside = membership.scores(evidence, train, few)["loss"]
    outside = membership.scores(evidence, test, world.test_labels)["loss"]
    chosen = np.isin(few, (FORGET, easy)), np.isin(world.test_labels, (FORGET, easy))
    pooled = roc_auc_score(
        np.repeat([1, 0], [chosen[0].sum(), chosen[1].sum()]),
        np.concatenate([inside[chosen[0]], outside[chosen[1]]]),
    )
    assert pooled > 0.6
    assert measured == pytest.approx(0.5, abs=0.08)


def test_too_few_members_do_not_run(make_world):
    finding = membership.audit(make_world(per_class=8).evidence())
    assert finding.status == "NOT_RUN"
    assert "Class 2 has 8 training rows and 10 are needed" in finding.reason
    assert "Class 2 has 8 test rows and 10 are needed" in finding.reason


def with_shadows(world, *, edited=False, gain=4.0, count=16):
    """Shadows that saw a random half of all rows, each lifting what it saw."""
    rng = np.random.default_rng(8)
    shadows = []
    for i in range(count):
        model = world.model(f"shadow {i}", knows=not edited)
        inside = rng.random(360) < 0.5, rng.random(360) < 0.5
        logits = model.train_logits.copy(), model.test_logits.copy()
        for values, labels, kept in zip(
            logits, (world.train_labels, world.test_labels), inside, strict=True
        ):
            values[np.flatnonzero(kept), labels[kept]] += gain
        shadows.append(
            Shadow(
                train_logits=logits[0],
                test_logits=logits[1],
                train_inside=inside[0],
                test_inside=inside[1],
                edited=edited,
            )
        )
    return tuple(shadows)


@pytest.mark.parametrize("edited", [False, True])
def test_shadows_find_members_and_none_in_a_clean_model(world, figures, edited):
    shadows = with_shadows(world, edited=edited)
    leaky = world.model("leaky", knows=False, overfit=4.0)
    planted = membership.audit(world.evidence(leaky, shadows=shadows))
    clean = membership.audit(world.evidence(shadows=shadows))
    assert planted.parameters["shadows"] == {"count": 16, "kind": "u_lira" if edited else "lira"}
    assert figures(planted)["membership.forget.lira"].value > 0.75
    assert abs(figures(clean)["membership.forget.lira"].difference) < 0.12
    assert figures(planted)["membership.retain.lira"].value > 0.7


@pytest.mark.parametrize("signal", membership.CALIBRATED)
def test_without_shadows_a_calibrated_attack_is_left_out_with_the_remedy(world, signal):
    """Retrained models never saw the class: by them no attack is better than the plain loss."""
    finding = membership.audit(world.evidence())
    reason = "0 shadow models were given and 8 are needed: set `shadows` in the policy"
    assert reason in finding.parameters["left_out"][f"membership.forget.{signal}"]
    (limit,) = finding.parameters["limits"]
    assert limit.startswith("Membership was not tested by calibrated attacks")
    assert signal in limit


def test_with_shadows_nothing_of_it_is_among_the_limits(world):
    finding = membership.audit(world.evidence(shadows=with_shadows(world)))
    assert finding.parameters["limits"] == []


def test_shadows_that_did_not_converge_are_named(world):
    shadows = list(with_shadows(world))
    shadows[3] = replace(shadows[3], train_logits=-shadows[3].train_logits)
    shadows[5] = replace(shadows[5], test_logits=shadows[5].test_logits * np.nan)
    finding = membership.audit(world.evidence(shadows=tuple(shadows)))
    reason = finding.parameters["left_out"]["membership.forget.rmia"]
    assert "shadow models 3, 5 answer less than 50%" in reason
    assert "train them longer" in reason


@pytest.mark.parametrize("signal", membership.CALIBRATED)
def test_attacks_calibrated_by_shadows_find_members(world, figures, judge, signal):
    shadows = with_shadows(world)
    leaky = world.model("leaky", knows=False, overfit=4.0)
    name = f"membership.forget.{signal}"
    clean = figures(membership.audit(world.evidence(shadows=shadows)))[name]
    planted = figures(membership.audit(world.evidence(leaky, shadows=shadows)))[name]
    assert judge(clean, 0.15, 0.15) == "within"
    assert judge(planted, 0.15, 0.15) == "outside"


@pytest.mark.parametrize("signal", ["difficulty", "rmia"])
def test_they_attack_the_classes_that_stay_as_well(world, figures, signal):
    model = world.model("retrained", knows=False)
    lifted = model.train_logits.copy()
    rows = np.flatnonzero(world.train_labels != FORGET)
    lifted[rows, world.train_labels[rows]] += 4.0
    leaky = replace(model, digest="leaks others", train_logits=lifted)
    shadows, name = with_shadows(world), f"membership.retain.{signal}"
    clean = figures(membership.audit(world.evidence(shadows=shadows)))[name]
    planted = figures(membership.audit(world.evidence(leaky, shadows=shadows)))[name]
    # these models are sure of all images, and chances near 1 tell little apart
    assert planted.value > clean.value + (0.15 if signal == "difficulty" else 0.01)


class Halves:
    """Sixteen shadows, each trained on half of images of very different difficulty.

    Training with an image lifts its log odds by `gain`; difficulty spreads by `spread`.
    """

    def __init__(self, gain, spread=3.0, count=400, seed=0):
        rng = np.random.default_rng(seed)
        self.hard = rng.normal(0, spread, count), rng.normal(0, spread, count)
        self.gain, self.rng = gain, rng
        halves = [(rng.random(count) < 0.5, rng.random(count) < 0.5) for _ in range(8)]
        # two by two on opposite halves, so that every image is in half of them
        self.inside = [*halves, *((~members, ~others) for members, others in halves)]
        self.shadows = [self.answers(*kept) for kept in self.inside]

    def answers(self, members, others):
        """Log odds of both sides on a model trained on these of them."""
        return tuple(
            hard + self.gain * kept + self.rng.normal(0, 1, len(hard))
            for hard, kept in zip(self.hard, (members, others), strict=True)
        )


def test_a_leak_that_the_plain_loss_hardly_sees_is_seen_by_calibrated_attacks():
    """They see .66 to .8 where the loss sees .6, and nothing on a clean model."""
    halves, attacks = Halves(gain=1.3), membership.ATTACKS
    nobody, everybody = np.zeros(400, bool), np.ones(400, bool)
    leaky, clean = halves.answers(everybody, nobody), halves.answers(nobody, nobody)

    def area(scored):
        return roc_auc_score(np.repeat([1, 0], 400), np.concatenate(scored))

    assert area(leaky) < 0.63
    for attack, kind in attacks.values():
        shadows = [membership.by_kind(s)[kind] for s in halves.shadows]
        scored = attack(membership.by_kind(leaky)[kind], shadows, halves.inside)
        unmoved = attack(membership.by_kind(clean)[kind], shadows, halves.inside)
        assert area(scored) > 0.66
        assert area(unmoved) == pytest.approx(0.5, abs=0.05)


def test_worst_case_figures_say_the_rate_that_was_attained(make_world):
    world = make_world(per_class=150)
    finding = membership.audit(world.evidence())
    attained = finding.parameters["attained"]
    assert attained == {"membership.tpr_at_1_percent.forget.loss": 1 / 150}
    (worst,) = [m for m in finding.measurements if m.name in attained]
    assert worst.label.endswith("at 1.0% false alarms (measured at 0.67%)")


def test_without_references_the_population_attacks_still_run(world, figures):
    measured = figures(membership.audit(world.evidence(references=())))
    assert measured["membership.forget.loss"].against == "none"
    assert "membership.forget.difficulty" not in measured


def test_every_score_is_one_of_the_probabilities_over_the_live_classes(world):
    """By hand from the softmax, without the class that an earlier event retired."""
    original = replace(world.model("original", knows=True), retired=(5,))
    evidence = world.evidence(original=original)
    rng = np.random.default_rng(3)
    logits, labels = rng.normal(size=(40, 6)), rng.integers(0, 5, 40)
    scored = membership.scores(evidence, logits, labels)
    for row, label, *values in zip(logits, labels, *scored.values(), strict=True):
        chances = np.exp(row[:5]) / np.exp(row[:5]).sum()
        top, second = np.sort(chances)[::-1][:2]
        own = chances[label]
        others = np.delete(np.log(chances), label)
        expected = [
            np.log(own / (1 - own)),
            np.log(top / (1 - top)),
            (chances * np.log(chances)).sum(),
            np.log(own) - others.max(),
        ]
        assert values == pytest.approx(expected)
        assert second <= top
    assert list(scored) == ["loss", "confidence", "entropy", "margin"]


def test_log_chances_follow_from_log_odds():
    odds = np.array([-800.0, -1.0, 0.0, 2.0, 800.0])
    (same, _), (chances, again) = membership.by_kind((odds, odds))
    assert np.array_equal(same, odds)
    expected = [-800.0, np.log(1 / (1 + np.e)), np.log(0.5), np.log(1 / (1 + np.exp(-2))), 0.0]
    assert chances == pytest.approx(expected)
    assert again == pytest.approx(expected)


def test_scores_of_a_class_are_about_its_own_held_out_median(world):
    evidence = world.evidence(forget=(2, 4))
    rng = np.random.default_rng(4)
    inside, outside = rng.normal(size=(2, 360))
    members, others, groups = membership._centred(evidence, inside, outside)
    expected = [
        [values[labels == c] - np.median(outside[world.test_labels == c]) for c in (2, 4)]
        for values, labels in ((inside, world.train_labels), (outside, world.test_labels))
    ]
    assert members == pytest.approx(np.concatenate(expected[0]))
    assert others == pytest.approx(np.concatenate(expected[1]))
    assert groups.tolist() == [0] * 60 + [1] * 60


def test_the_area_of_several_classes_is_their_mean_with_both_groups_errors():
    rng = np.random.default_rng(5)
    pairs = [(rng.normal(size=n) + 0.5, rng.normal(size=m)) for n, m in ((30, 20), (15, 40))]
    whole = membership._averaged(pairs)
    single = [membership._averaged([pair]) for pair in pairs]
    assert whole.value == pytest.approx(np.mean([one.value for one in single]))
    expected = [part.variance() / 4 for one in single for part in one.parts]
    assert [part.variance() for part in whole.parts] == pytest.approx(expected)
    assert whole.bounds == (0.0, 1.0)


@pytest.mark.parametrize(
    ("least", "part", "usable"),
    [(60, "forget", True), (61, "forget", False), (61, "retain", False)],
)
def test_a_class_with_as_many_rows_as_are_needed_is_attacked(world, least, part, usable):
    evidence = world.evidence()
    figures = membership.attacked(evidence, evidence.original, least=least, replicates=3)
    why = f"no class has {least} members and {least} held-out rows: give more rows"
    for signal in membership.SIGNALS:
        figure = figures[f"membership.{part}.{signal}"]
        assert isinstance(figure, str) is not usable
        assert usable or figure == why


def test_the_curve_is_read_off_at_or_below_each_rate(world):
    evidence = world.evidence()
    rates = membership.curve(evidence, evidence.original)
    own = [
        membership.scores(evidence, logits, labels)["loss"][labels == 2]
        for logits, labels in (
            (evidence.original.train_logits, world.train_labels),
            (evidence.original.test_logits, world.test_labels),
        )
    ]
    thresholds = np.sort(np.concatenate(own))[::-1]
    for rate, value in zip(membership.GRID, rates, strict=True):
        allowed = [t for t in thresholds if (own[1] >= t).mean() <= rate]
        expected = max(((own[0] >= t).mean() for t in allowed), default=0.0)
        assert value == pytest.approx(expected)


@pytest.mark.parametrize(("part", "converged"), [(1.0, True), (0.0, False)])
def test_a_shadow_converged_where_it_learned_as_the_original_did(world, part, converged):
    """Right on all of its own rows of the classes that stay, or on none of them."""
    evidence = world.evidence()
    logits = np.zeros((360, 6))
    wanted = (world.train_labels + (0 if part else 1)) % 6
    logits[np.arange(360), wanted] = 5.0
    shadow = Shadow(
        train_logits=logits,
        test_logits=logits,
        train_inside=np.ones(360, bool),
        test_inside=np.zeros(360, bool),
    )
    assert membership._converged(evidence, shadow) is converged
    nobody = replace(shadow, train_inside=world.train_labels == 2)
    assert not membership._converged(evidence, nobody)
    for name in ("train_logits", "test_logits"):
        broken = logits.copy()
        broken[3, 2] = np.nan
        assert not membership._converged(evidence, replace(shadow, **{name: broken}))


@pytest.mark.parametrize("count", [99, 100, 101])
def test_a_rate_of_one_in_a_hundred_is_attained_from_a_hundred_held_out_images_on(world, count):
    labels = world.test_labels.copy()
    labels[labels == FORGET] = 0
    labels[:count] = FORGET
    attained = membership._attained(world.evidence(test_labels=labels))
    name = "membership.tpr_at_1_percent.forget.loss"
    assert attained == ({} if count < 100 else {name: 1 / count})


def test_the_curve_is_read_at_no_false_alarm_and_at_ten_rates_a_decade():
    assert membership.GRID[0] == 0.0
    assert membership.GRID[1:] == pytest.approx([10 ** (k / 10 - 3) for k in range(31)])
