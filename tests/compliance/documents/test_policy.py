"""Policies: the shipped ones, and those that could not judge."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from compliance.documents.policy import Policy, Rule, load_policy, shipped
from compliance.formats.errors import PolicyError

RULES = """\
rules:
  - {measurement: accuracy.retain, below: 0.02, above: 1.0, required: true}
  - {measurement: few_shot.1@penultimate, below: 0.3, above: 0.2, required: true}
"""
GOOD = f"apiVersion: damp/v1\nkind: Policy\nname: own\nassurance: L3\nreferences: 3\n{RULES}"


def written(tmp_path: Path, text: str) -> Path:
    file = tmp_path / "policy.yaml"
    file.write_text(text)
    return file


@pytest.mark.parametrize("name", shipped())
def test_the_shipped_policies_are_valid_and_reach_the_level_they_are_named_for(name: str) -> None:
    policy = load_policy(name)
    assert policy.name == name
    assert policy.assurance == ("L2" if name.startswith("l2-") else "L3")
    assert set(policy.clocks) == {"gdpr", "ccpa", "contract", "recall", "other"}


def test_there_are_a_default_and_a_demo_policy() -> None:
    assert {"default-v1", "demo-v1"} <= set(shipped())


def test_a_policy_is_read_from_a_file_and_survives_json(tmp_path: Path) -> None:
    policy = load_policy(written(tmp_path, GOOD))
    assert Policy.model_validate(policy.model_dump(mode="json")) == policy


def test_the_same_rules_have_the_same_digest(tmp_path: Path) -> None:
    first = load_policy(written(tmp_path, GOOD)).digest()
    again = GOOD.replace("name: own\n", "").replace("kind: Policy\n", "kind: Policy\nname: own\n")
    assert load_policy(written(tmp_path, again + "alpha: 0.05\n")).digest() == first
    assert load_policy(written(tmp_path, GOOD.replace("0.02", "0.03"))).digest() != first


def test_what_decides_about_figures_has_a_digest_of_its_own(tmp_path: Path) -> None:
    policy = load_policy(written(tmp_path, GOOD))
    same = policy.model_copy(update={"name": "another", "keep_days": policy.keep_days + 1})
    assert same.rules_digest() == policy.rules_digest()
    assert same.digest() != policy.digest()
    for other in ({"alpha": 0.01}, {"references": policy.references + 1}, {"kinds": ("probe",)}):
        assert policy.model_copy(update=other).rules_digest() != policy.rules_digest(), other


def test_the_first_rule_that_names_a_measurement_counts(example: ModuleType) -> None:
    content: dict[str, Any] = example.policy().model_dump(mode="json")
    content["rules"].insert(0, {"measurement": "few_shot.1@fc1", "below": 9.0, "above": 9.0})
    content["rules"].append({"measurement": "few_shot.*", "below": 0.1, "above": 0.1})
    policy = Policy.model_validate(content)

    def margin(name: str) -> float | None:
        rule = policy.rule_for(name)
        return rule.below if rule else None

    assert margin("few_shot.1@fc1") == 9.0
    assert margin("few_shot.20@fc1") == 0.1
    assert policy.rule_for("utility.ece") is None


@pytest.mark.parametrize(
    ("old", "new", "line", "words"),
    [
        ("references: 3", "references: 2", 5, "at least 3"),
        ("few_shot.1@penultimate", "few_shot.1@logits", 6, "inside of the network"),
        ("above: 0.2, required: true", "above: 0.2", 6, "inside of the network"),
        ("required: true", "required: false", 6, "no rule is required"),
        ("accuracy.retain,", "'few_shot.*',", 6, "never reached"),
        ("below: 0.02, above: 1.0", "at_most: 0.1, above: 1.0", 7, "give either"),
        ("below: 0.02, above: 1.0, ", "", 7, "give either"),
        ("below: 0.02, above: 1.0", "below: 0, above: 0", 7, "allow nothing"),
        ("below: 0.02", "below: -0.02", 7, "greater than or equal to 0"),
        ("below: 0.02", "belov: 0.02", 7, "Did you mean `below`"),
        ("assurance: L3", "assurance: L4", 4, "'L1', 'L2' or 'L3'"),
        ("references: 3", "references: 3\nalpha: 0.5", 6, "less than or equal to 0.1"),
        ("references: 3", "references: 3\nsignoffs: [owner]", 6, "'reviewer' or 'auditor'"),
        ("references: 3", "references: 3\nclocks: {gdpr: 0}", 6, "greater than 0"),
        ("references: 3", "references: 3\nlimit: [x]", 6, "Did you mean `limits`"),
    ],
)
def test_a_policy_that_cannot_judge_is_refused_with_its_place(
    tmp_path: Path, old: str, new: str, line: int, words: str
) -> None:
    with pytest.raises(PolicyError) as caught:
        load_policy(written(tmp_path, GOOD.replace(old, new)))
    assert any(f"line {line}, " in p and words in p for p in caught.value.problems), caught.value


def test_an_unknown_policy_is_refused_with_the_known_names() -> None:
    with pytest.raises(PolicyError, match="default-v5, demo-v1"):
        load_policy("defualt-v1")


def test_l1_and_l2_need_fewer_references(tmp_path: Path) -> None:
    text = GOOD.replace("references: 3", "references: 0")
    for level in ("L1", "L2"):
        assert load_policy(written(tmp_path, text.replace("L3", level))).references == 0


@pytest.mark.parametrize(
    ("name", "digest"),
    [
        ("default-v1", "4f2b12750fe6"),
        ("demo-v1", "efe6f90211c7"),
        ("l2-v1", "c21e7c0f5db6"),
        ("default-v2", "64a0d1616cd1"),
        ("demo-v2", "36b622fe0199"),
        ("l2-v2", "f6a8e920fa90"),
    ],
)
def test_a_policy_of_before_keeps_the_digest_that_records_name(name: str, digest: str) -> None:
    """As the ledgers and statements have it that were written before there were newer keys."""
    assert load_policy(name).digest().startswith(digest)


def test_a_key_of_today_is_part_of_the_digest() -> None:
    before = load_policy("default-v1")
    assert before.model_copy(update={"kinds": ("probe",)}).digest() != before.digest()
    assert before.model_copy(update={"near_margin": 0.6}).digest() != before.digest()


def test_a_rule_is_required_or_has_a_veto() -> None:
    with pytest.raises(ValueError, match="leave `veto` out"):
        Rule(measurement="few_shot.1", above=0.1, required=True, veto=True)


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"above": 0.1}, "the 90% interval of the difference lies below +0.1"),
        ({"below": 0.2}, "the 90% interval of the difference lies above -0.2"),
        (
            {"spreads_above": 5},
            "the 90% interval of the difference lies below +5 standard deviations of the baseline",
        ),
        ({"at_most": 0.05}, "the upper end of its interval is at most 0.05"),
        (
            {"above": 0.1, "veto": True},
            "the 90% interval of the difference lies below +0.1; outside fails, undecided holds "
            "nothing up",
        ),
    ],
)
def test_a_rule_says_the_side_that_it_limits(given: dict[str, Any], sentence: str) -> None:
    assert Rule(measurement="few_shot.1@penultimate", **given).sentence() == sentence


@pytest.mark.parametrize(("count", "allowed"), [(0, True), (6, False), (8, True), (9, False)])
def test_shadows_come_in_pairs_from_eight_on(tmp_path: Path, count: int, allowed: bool) -> None:
    text = GOOD.replace("references: 3", f"references: 3\nshadows: {count}")
    if allowed:
        assert load_policy(written(tmp_path, text)).shadows == count
        return
    with pytest.raises(PolicyError, match="an even number from 8"):
        load_policy(written(tmp_path, text))


def test_outside_is_tested_at_the_policys_own_level_in_each_attempt(example: ModuleType) -> None:
    policy = example.policy()
    assert policy.outside_at == policy.alpha
    attempt = policy.at_level(policy.alpha / 4)
    assert (attempt.alpha, attempt.outside_at) == (policy.alpha / 4, policy.alpha)
    again = attempt.at_level(policy.alpha / 8)
    assert (again.alpha, again.outside_at) == (policy.alpha / 8, policy.alpha)


INSIDE = {"measurement": "few_shot.1@penultimate", "above": 0.2, "required": True}
LEAST: dict[str, Any] = {"name": "own", "assurance": "L2", "references": 0, "rules": [INSIDE]}


def test_what_a_policy_does_not_say_has_its_stated_default() -> None:
    content = Policy.model_validate(LEAST)
    assert (content.shadows, content.edited_shadows, content.shadows_cost) == (0, False, None)
    assert (content.alpha, content.near_margin, content.unseen_classes) == (0.05, None, 0)
    assert (content.fallback, content.max_attempts, content.fallback_on) == ("none", 2, ("FAILED",))
    assert (content.reaudit_days, content.keep_days) == (90, 2190)
    assert (content.days("gdpr"), content.extension("gdpr")) == (30, 0)
    (rule,) = content.rules
    assert (rule.required, rule.veto, rule.same_architecture, rule.tested) == (
        True,
        False,
        False,
        True,
    )
    shown = Rule(measurement="few_shot.1", above=0.1)
    assert (shown.required, shown.tested, shown.relative, shown.in_spreads) == (False,) * 4


@pytest.mark.parametrize(
    ("key", "last", "beyond"),
    [
        ("references", 0, -1),
        ("references", 50, 51),
        ("shadows", 512, 514),
        ("shadows_cost", 0.001, 0),
        ("alpha", 0.1, 0.11),
        ("alpha", 1e-9, 0),
        ("near_margin", 0.999, 1),
        ("near_margin", 0.001, 0),
        ("unseen_classes", 0, -1),
        ("unseen_classes", 1000, 1001),
        ("max_attempts", 1, 0),
        ("max_attempts", 10, 11),
        ("minimum_samples", {"a": 1}, {"a": 0}),
        ("clocks", {"gdpr": 1}, {"gdpr": 0}),
        ("extensions", {"gdpr": 1}, {"gdpr": 0}),
        ("reaudit_days", 1, 0),
        ("keep_days", 1, 0),
        ("name", "n" * 80, "n" * 81),
        ("name", "n", ""),
        ("rules", [INSIDE], []),
        ("fallback_on", ["INCONCLUSIVE"], []),
        ("signoffs", ["reviewer"], []),
    ],
)
def test_values_at_their_bounds_are_read_and_those_beyond_refused(
    key: str, last: Any, beyond: Any
) -> None:
    policy = Policy.model_validate(LEAST | {key: last})
    assert policy.model_dump(mode="json").get(key, last) == (
        last if key != "rules" else policy.model_dump(mode="json")["rules"]
    )
    with pytest.raises(ValueError, match=key):
        Policy.model_validate(LEAST | {key: beyond})


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"assurance": "L3", "references": 2}, "at least 3"),
        ({"assurance": "L3", "references": 3}, ""),
        ({"edited_shadows": True}, "no shadow models to edit"),
        ({"shadows": 8, "edited_shadows": True}, ""),
        ({"attempts": ["mended", "mended"]}, "declared twice"),
        ({"attempts": ["retrain", "mended"]}, "declare it last"),
        ({"attempts": ["mended", "retrain"]}, ""),
        ({"attempts": ["mended"], "fallback": "none"}, "leave out fallback$|leave out fallback"),
        ({"attempts": ["mended"], "max_attempts": 2}, "leave out max_attempts"),
        ({"fallback": "retrain", "max_attempts": 3}, ""),
        ({"levels": [0.01]}, "each of the attempts: 0, not 1"),
        ({"attempts": ["mended", "retrain"], "levels": [0.02, 0.03]}, ""),
        # parts of alpha that add up to it but for rounding
        ({"attempts": ["mended", "retrain"], "levels": [0.02, 0.03 + 4e-11]}, ""),
        ({"attempts": ["mended", "retrain"], "levels": [0.02, 0.03 + 1e-10]}, "more than alpha"),
        ({"rules": [INSIDE | {"measurement": "few_shot.1@logits"}]}, "inside of the network"),
        (
            {"rules": [INSIDE | {"measurement": "few_shot.1@logits"}], "assurance": "L1"},
            "",
        ),
        ({"rules": [INSIDE | {"measurement": "accuracy.retain@fc"}]}, "inside of the network"),
        ({"rules": [INSIDE | {"required": False}, INSIDE]}, "never reached"),
        ({"rules": [INSIDE, INSIDE | {"measurement": "few_shot.*"}]}, ""),
    ],
)
def test_what_does_not_go_together_is_refused(changed: dict[str, Any], words: str) -> None:
    if not words:
        assert Policy.model_validate(LEAST | changed).name == "own"
        return
    with pytest.raises(ValueError, match=words):
        Policy.model_validate(LEAST | changed)


UNDER = {"yardstick": {"qualification": "a" * 64}, "attempts": ["mended"]}


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({}, ""),
        # what a qualification's study looked at is the inside for all
        ({"rules": [INSIDE | {"measurement": "accuracy.retain"}]}, ""),
        ({"assurance": "L1"}, "no model is trained to compare with"),
        ({"references": 1}, "no model is trained to compare with"),
        ({"shadows": 8}, "no model is trained to compare with"),
        ({"unseen_classes": 1}, "no model is trained to compare with"),
        ({"attempts": []}, "of a ladder of cuts"),
        ({"attempts": ["mended", "retrain"]}, "of a ladder of cuts"),
        ({"yardstick": {"qualification": "a" * 63}}, "qualification"),
    ],
)
def test_under_a_qualification_nothing_is_trained(changed: dict[str, Any], words: str) -> None:
    if not words:
        assert Policy.model_validate(LEAST | UNDER | changed).yardstick is not None
        return
    with pytest.raises(ValueError, match=words):
        Policy.model_validate(LEAST | UNDER | changed)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"above": 0.1, "same_architecture": True}, "it needs `required` or `veto`"),
        ({"above": 0.1, "same_architecture": True, "veto": True}, ""),
        ({"above": 0.1, "same_architecture": True, "required": True}, ""),
        ({}, "give either"),
        ({"above": 0.1, "at_most": 0.1}, "give either"),
        ({"spreads_above": 2.0, "at_most": 0.1}, "give either"),
        ({"above": 0.1, "remainder": 0.5}, "give either"),
        ({"at_most": 0.1, "remainder": 0.5}, "give either"),
        ({"above": 0.1, "spreads_below": 2.0}, ""),
        ({"overshoot": 1.0}, "alone lets the original pass"),
        ({"remainder": 0.5, "overshoot": 1.0}, ""),
        ({"above": 0.0}, "margins of 0 allow nothing"),
        ({"below": 0.0, "above": 0.0}, "margins of 0 allow nothing"),
        ({"below": 0.0, "above": 0.1}, ""),
        ({"below": 0.1, "above": 0.0}, ""),
        ({"at_most": 0.0}, ""),
        ({"remainder": 0.0}, "greater than 0"),
        ({"remainder": 1.0}, "less than 1"),
        ({"remainder": 0.5, "overshoot": 0.0}, "greater than 0"),
        ({"spreads_below": 0.0}, "greater than 0"),
        ({"spreads_above": 0.0}, "greater than 0"),
    ],
)
def test_a_rule_has_one_kind_of_margin(given: dict[str, Any], words: str) -> None:
    if not words:
        assert Rule(measurement="few_shot.1", **given).measurement == "few_shot.1"
        return
    with pytest.raises(ValueError, match=words):
        Rule(measurement="few_shot.1", **given)


@pytest.mark.parametrize(
    ("given", "confidence", "sentence"),
    [
        (
            {"remainder": 0.5, "overshoot": 1.5},
            0.95,
            "the 95% interval of the difference shows that at most 50% of what the original "
            "differs from the baseline remains and at most 150% of it is lost beyond",
        ),
        (
            {"remainder": 0.5},
            0.975,
            "the 97.5% interval of the difference shows that at most 50% of what the original "
            "differs from the baseline remains",
        ),
        (
            {"below": 0.2, "spreads_below": 2, "above": 0.1, "required": True}
            | {"same_architecture": True},
            0.9,
            "the 90% interval of the difference lies between -0.2 or -2 standard deviations of the "
            "baseline, whichever is wider and +0.1; of another architecture, outside is undecided "
            "and no pass",
        ),
    ],
)
def test_a_rule_in_words_says_its_confidence_and_all_its_widths(
    given: dict[str, Any], confidence: float, sentence: str
) -> None:
    assert Rule(measurement="few_shot.1", **given).sentence(confidence) == sentence


def test_keys_that_came_later_are_written_only_where_they_are_used() -> None:
    later = {"attempts", "levels", "fallback_on", "yardstick"}
    former = {"fallback", "max_attempts"}
    content = Policy.model_validate(LEAST).model_dump(mode="json")
    assert not later & content.keys()
    assert former <= content.keys()
    used = {"attempts": ["mended", "retrain"], "levels": [0.02, 0.03]}
    content = Policy.model_validate(LEAST | used | {"fallback_on": ["INCONCLUSIVE"]})
    written_out = content.model_dump(mode="json")
    assert later & written_out.keys() == later - {"yardstick"}
    assert not former & written_out.keys()
    under = Policy.model_validate(LEAST | UNDER).model_dump(mode="json")
    assert under["yardstick"] == UNDER["yardstick"]


def test_clocks_and_extensions_are_those_of_the_regulation() -> None:
    policy = Policy.model_validate(
        LEAST | {"clocks": {"gdpr": 20}, "extensions": {"ccpa": 45, "gdpr": 60}}
    )
    assert [policy.days(name) for name in ("gdpr", "ccpa")] == [20, 30]
    assert [policy.extension(name) for name in ("gdpr", "ccpa", "other")] == [60, 45, 0]
