"""What is said of a request when it is filed: what sizes rule out, what a plan expected before."""

from __future__ import annotations

import runpy
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from compliance.documents.policy import Policy, load_policy
from compliance.ledger import Ledger
from flows.data.dataset import Dataset
from flows.intake import forecasts
from flows.state import keyring
from flows.state.errors import EventError
from flows.state.paths import Home

RECORDS = SimpleNamespace(**runpy.run_path(str(Path(__file__).parents[1] / "decided.py")))
MODEL = "ab" * 32
SENTENCE = "No pass can be reached."


def data(held_out: int, trained: int = 60) -> Dataset:
    """Two classes of empty images."""

    def part(count: int) -> tuple[torch.Tensor, torch.Tensor]:
        labels = torch.arange(2).repeat_interleave(count)
        return torch.zeros(len(labels), 1, 2, 2), labels

    (train, train_labels), (test, test_labels) = part(trained), part(held_out)
    return Dataset(
        name="empty",
        train_inputs=train,
        train_labels=train_labels,
        test_inputs=test,
        test_labels=test_labels,
        classes=2,
        description="",
    )


@pytest.fixture
def policy() -> Policy:
    return load_policy("demo-v1")


def test_sizes_that_rule_a_pass_out_are_said_and_refused(home: Home, policy: Policy) -> None:
    foreseen = forecasts.foresee(home, policy, data(20), [1], MODEL)
    assert any("bring 59 images" in gap for gap in foreseen.out_of_reach)
    with pytest.raises(EventError, match="--go-on"):
        forecasts.refuse_hopeless(foreseen)


def test_enough_images_are_let_through_without_a_forecast(home: Home, policy: Policy) -> None:
    foreseen = forecasts.foresee(home, policy, data(90), [1], MODEL)
    assert (foreseen.out_of_reach, foreseen.chance, foreseen.hopeless) == ((), None, False)
    forecasts.refuse_hopeless(foreseen)


@pytest.mark.parametrize("can_reach", [True, False])
def test_an_earlier_plan_about_the_same_says_how_likely_a_pass_is(
    home: Home, policy: Policy, can_reach: bool
) -> None:
    keyring.new(home, role="executor", days=30)
    event = RECORDS.put(home)
    power = {"acceptAll": 0.5, "canReach": can_reach, "told": "Half of them."}
    plan = {
        "modelBefore": MODEL,
        "policyDigest": policy.digest(),
        "forget": [1],
        "expectedPower": power,
    }
    ledger = Ledger(home.ledger)
    ledger.append("attempt_started", event, {"attempt": 1})
    ledger.append("plan_registered", event, {"attempt": 1, "plan": plan, "digest": "cd" * 32})
    foreseen = forecasts.foresee(home, policy, data(90), [1], MODEL)
    assert (foreseen.chance, foreseen.hopeless) == (0.5, not can_reach)
    for other in ([0], [0, 1]):
        elsewhere = forecasts.foresee(home, policy, data(90), other, MODEL)
        assert (elsewhere.chance, elsewhere.others) == (None, (0.5,))
    unknown = forecasts.foresee(home, policy, data(90), [1], "cd" * 32)
    assert (unknown.chance, unknown.others) == (None, ())


def test_of_several_plans_about_the_same_the_last_one_counts(home: Home, policy: Policy) -> None:
    keyring.new(home, role="executor", days=30)
    ledger, digest = Ledger(home.ledger), policy.digest()
    for attempt, (forget, chance) in enumerate([([1], 0.25), ([0], 0.75), ([1], 0.5)], 1):
        power = {"acceptAll": chance, "canReach": True, "told": f"{chance}"}
        plan = {
            "modelBefore": MODEL,
            "policy": policy.model_dump(mode="json"),
            "policyDigest": digest,
            "forget": forget,
            "expectedPower": power,
        }
        if chance == 0.5:  # the last one about class 1
            rows = [("renewed", 0.03, True, "It can."), ("retrain", 0.02, False, SENTENCE)]
            plan["laterAttempts"] = [
                {"attempt": place, "method": m, "level": level, "canReach": can, "told": sentence}
                for place, (m, level, can, sentence) in enumerate(rows, 2)
            ]
        event = RECORDS.put(home)
        ledger.append("attempt_started", event, {"attempt": 1})
        body = {"attempt": 1, "plan": plan, "digest": f"{attempt:02}" * 32}
        ledger.append("plan_registered", event, body)
    plans = forecasts.of_model(home, MODEL)
    assert [each.later for each in plans] == [
        (),
        ("Attempt 3 by retrain, at level 0.02: No pass can be reached.",),
    ]
    assert [(each.policy, each.forget, each.chance) for each in plans] == [
        ("demo-v1", (0,), 0.75),
        ("demo-v1", (1,), 0.5),
    ]
    assert forecasts.of_model(home, "cd" * 32) == ()


def test_what_steps_took_is_that_of_the_last_event(home: Home) -> None:
    keyring.new(home, role="executor", days=30)
    assert forecasts.seconds_of_last(home) == {}
    event = RECORDS.put(home)
    attempt = RECORDS.decide(home, event)
    note = '{"step": "audit", "number": 7, "of": 10, "title": "Audit", "what": "%s"%s}\n'
    attempt.journal.write_text(note % ("began", "") + note % ("done", ', "seconds": 2.5'))
    assert forecasts.seconds_of_last(home) == {"Audit": 2.5}
