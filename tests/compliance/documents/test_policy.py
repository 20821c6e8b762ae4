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
