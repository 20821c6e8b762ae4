"""What the audits cost is counted, beside the findings and never in them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from audits import AUDITS
from audits.observation import Observation
from flows.records import audit_cost
from flows.state.paths import Attempt, Home
from tests.flows.conftest import Damp
from tests.flows.world import World


def observation(**passes: float) -> Observation:
    return Observation(
        digest="d",
        train_logits=np.zeros((2, 3)),
        test_logits=np.zeros((2, 3)),
        features={"penultimate": np.zeros((2, 4))},
        passes=passes,
    )


def test_a_model_that_was_known_costs_no_pass() -> None:
    meter = audit_cost.Meter()
    meter.count(observation(observe=1.5, relearning=8.0), kept=False)
    meter.count(observation(observe=1.5, relearning=8.0), kept=True)
    cost = meter.to_json()
    assert (cost["forwardPasses"], cost["modelsObserved"], cost["modelsKept"]) == (9.5, 1, 1)


def test_seconds_are_of_the_processor_and_add_up_by_audit() -> None:
    meter = audit_cost.Meter()
    for _ in range(2):
        with meter.timed("few_shot"):
            sum(range(200_000))
    with meter.timed("routing"):
        pass
    assert list(meter.seconds) == ["few_shot", "routing"]
    assert meter.seconds["few_shot"] > meter.seconds["routing"] >= 0


def test_steps_add_up_and_one_that_is_done_again_replaces_itself(tmp_path: Path) -> None:
    attempt = Attempt(Home(tmp_path), "e", 1)
    attempt.folder.mkdir(parents=True)
    first, again, other = audit_cost.Meter(), audit_cost.Meter(), audit_cost.Meter()
    first.seconds, first.passes, first.observed = {"few_shot": 9.0}, 30.0, 6
    again.seconds, again.kept = {"few_shot": 1.0}, 6
    other.seconds, other.passes, other.observed = {"few_shot": 0.25, "routing": 0.5}, 10.24, 1
    other.candidate = {"observe": 1.61, "relearning": 8.63}
    for step, meter in (("yardstick", first), ("yardstick", again), ("audit", other)):
        audit_cost.keep(attempt, step, [meter.to_json()])
    cost = audit_cost.of_attempt(attempt)
    assert cost == {
        "cpuSeconds": {"few_shot": 1.25, "routing": 0.5},
        "forwardPasses": 10.24,
        "modelsObserved": 1,
        "modelsKept": 6,
        "candidateForwardPasses": {"observe": 1.61, "relearning": 8.63},
    }
    words = audit_cost.AuditCost.from_json(cost).in_words()
    assert words.startswith("10.2 forward passes for this model, 10.2 for the 1 models")
    assert "1.8 s of processor time, most of it few_shot (1.2 s)" in words


@pytest.mark.slow
def test_an_event_says_what_its_audits_cost_and_they_keep_their_budget(
    world: World, damp: Damp
) -> None:
    cost = world.predicate["event"]["cost"]
    assert set(cost["cpuSeconds"]) == {audit_cost.OBSERVE, *AUDITS}
    assert sum(cost["candidateForwardPasses"].values()) <= 12
    # original, seven references, candidate and three controls, each looked at once
    assert (cost["modelsObserved"], cost["modelsKept"]) == (12, 8)
    assert "cpuSeconds" not in world.attempt.findings.read_text()
    (event,) = damp("--home", world.home.root, "status", "--json").json()
    assert event["cost"] == cost
    page = json.loads(world.attempt.report_json.read_text())
    assert page["done"]["cost"]["candidateTotal"] == pytest.approx(
        sum(cost["candidateForwardPasses"].values())
    )
