"""The attempts that a policy declares: read, ordered, skipped, and what that leaves unchanged."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from compliance.documents import ladder
from compliance.documents.policy import Policy, load_policy
from compliance.documents.request import Method

THREE = ("mended", "renewed", "retrain")
KEYS = {"name": "own", "assurance": "L1", "references": 3}
RULES = [{"measurement": "accuracy.retain", "below": 0.1, "required": True}]


def policy(**changed: object) -> Policy:
    return Policy.model_validate(KEYS | {"rules": RULES} | changed)


@pytest.mark.parametrize(
    ("name", "attempts"),
    [
        ("default-v2", ("natural", "renewed", "retrain")),
        ("default-v5", ("natural", "renewed", "retrain")),
        ("demo-v3", ("natural", "renewed", "retrain")),
    ],
)
def test_the_shipped_policies_declare_attempts_within_their_level(
    name: str, attempts: tuple[str, ...]
) -> None:
    shipped = load_policy(name)
    assert shipped.attempts == attempts
    assert sum(ladder.levels(shipped, attempts)) == pytest.approx(shipped.alpha)


def test_a_policy_of_before_keeps_its_content_and_digest() -> None:
    old = policy(fallback="retrain", max_attempts=2)
    content = old.model_dump(mode="json")
    assert {"attempts", "fallback_on"} & set(content) == set()
    assert content["fallback"] == "retrain"
    assert Policy.model_validate(content).digest() == old.digest()


def test_a_ladder_comes_back_from_its_own_content() -> None:
    own = policy(attempts=THREE, fallback_on=["FAILED", "INCONCLUSIVE"])
    again = Policy.model_validate(own.model_dump(mode="json"))
    assert (again, again.digest()) == (own, own.digest())


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"attempts": ["mended", "mended"]}, "declared twice"),
        ({"attempts": ["retrain", "mended"]}, "declare it last"),
        ({"attempts": ["sponge"]}, "Input should be"),
        ({"attempts": THREE, "fallback": "retrain"}, "leave out fallback"),
        ({"attempts": THREE, "max_attempts": 3}, "leave out max_attempts"),
        ({"attempts": THREE, "levels": [0.02, 0.02, 0.02]}, "add up to 0.06, more than alpha"),
        ({"attempts": THREE, "levels": [0.02, 0.02]}, "3, not 2"),
        ({"attempts": THREE, "levels": [0.03, 0.02, 0.0]}, "greater than 0"),
        ({"levels": [0.05]}, "0, not 1"),
        ({"fallback_on": []}, "at least 1 item"),
        ({"fallback_on": ["PASSED"]}, "Input should be"),
    ],
)
def test_mistakes_are_refused(changed: dict[str, object], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        policy(**changed)


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({}, THREE),
        ({"preset": "mended"}, THREE),
        ({"preset": "mended", "gain": 3.0}, THREE),
        ({"preset": "paper"}, ("paper", "renewed", "retrain")),
        ({"preset": "renewed"}, ("renewed", "retrain")),
        ({"preset": "retrain"}, ("retrain",)),
    ],
)
def test_a_request_takes_the_first_place(asked: dict[str, object], expected: tuple) -> None:
    assert ladder.declared(policy(attempts=THREE), Method(**asked)) == expected
    assert ladder.declared(policy(fallback="retrain"), Method(**asked)) == ()


def following(place: int, **changed: object) -> tuple[int | None, list[str]]:
    due = ladder.following(THREE, place, **({"impossible": {}} | changed))
    return (None, []) if due is None else (due.place, [preset for preset, _ in due.skipped])


def test_attempts_follow_one_another_to_the_end() -> None:
    assert [following(place)[0] for place in range(4)] == [1, 2, 3, None]


def test_what_the_model_forbids_is_left_out_with_its_reason() -> None:
    due = ladder.following(THREE, 1, impossible={"renewed": "a skip goes round"})
    assert due == ladder.Next(place=3, skipped=(("renewed", "a skip goes round"),))
    assert ladder.following(THREE[:2], 1, impossible={"renewed": "a skip goes round"}) is None


def test_without_power_only_the_last_follows_and_only_a_failure() -> None:
    assert following(0, can_reach=False) == (1, [])
    assert following(1, can_reach=False) == (3, ["renewed"])
    both = policy(attempts=THREE, fallback_on=["FAILED", "INCONCLUSIVE"])
    assert ladder.goes_on(both, "INCONCLUSIVE")
    assert not ladder.goes_on(both, "INCONCLUSIVE", can_reach=False)
    assert ladder.goes_on(both, "FAILED", can_reach=False)
    assert not ladder.goes_on(policy(attempts=THREE), "INCONCLUSIVE")
    assert not ladder.goes_on(both, "PASSED")


def test_in_a_hurry_only_retraining_is_tried() -> None:
    assert following(0, hurry="5 days left") == (3, ["mended", "renewed"])
    due = ladder.following(("mended", "renewed"), 0, impossible={}, hurry="5 days left")
    assert due is not None
    assert due.place == 1


def test_each_attempt_is_judged_at_its_share_of_the_level() -> None:
    own = policy(attempts=THREE, alpha=0.06)
    levels = ladder.levels(own, THREE)
    assert levels == pytest.approx((0.02, 0.02, 0.02))
    assert own.at_level(levels[0]).alpha == pytest.approx(0.02)
    assert "96% interval" in own.rules[0].sentence(1 - 2 * own.at_level(levels[0]).alpha)


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({}, (0.01, 0.025, 0.015)),
        ({"preset": "paper"}, (0.01, 0.025, 0.015)),
        ({"preset": "renewed"}, (0.035, 0.015)),
        ({"preset": "retrain"}, (0.05,)),
    ],
)
def test_what_a_request_leaves_out_leaves_its_level_to_the_first(
    asked: dict[str, object], expected: tuple[float, ...]
) -> None:
    own = policy(attempts=THREE, levels=[0.01, 0.025, 0.015])
    attempts = ladder.declared(own, Method(**asked))
    assert ladder.levels(own, attempts) == pytest.approx(expected)


def test_levels_are_part_of_the_digest_and_come_back() -> None:
    plain = policy(attempts=THREE)
    own = policy(attempts=THREE, levels=[0.01, 0.025, 0.015])
    again = Policy.model_validate(own.model_dump(mode="json"))
    assert (again, again.digest()) == (own, own.digest())
    assert own.digest() != plain.digest()
    assert "levels" not in plain.model_dump(mode="json")


@pytest.mark.parametrize(
    ("own", "later", "reachable"),
    [
        (None, None, True),  # before there is a plan, or of a damp that forecast nothing
        (False, None, False),
        (True, [], True),  # it was the last one
        (True, [True, False], True),
        (True, [False, False], False),  # the levels get stricter from attempt to attempt
    ],
)
def test_what_comes_next_counts_where_the_plan_forecasts_it(
    own: bool | None, later: list[bool] | None, reachable: bool
) -> None:
    plan: dict[str, object] = {} if own is None else {"expectedPower": {"canReach": own}}
    if later is not None:
        plan["laterAttempts"] = [{"canReach": can} for can in later]
    assert ladder.reachable(plan) is reachable
