"""Attempts that a policy declares, on real digits: one fails, the next starts the top afresh."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from compliance.documents.policy import Policy, load_policy
from compliance.ledger import Ledger
from compliance.signing import envelope
from flows.state.paths import Attempt
from tests.flows.running import Office, opened, submitted

DECLARED = ("paper", "renewed")

KILLED_IN_TRAINING = """
import os, signal
from audits import references
from flows import __main__
from flows.models import renewal
fresh, step, steps = renewal._fresh, references._step, []
def counted(*arguments):
    steps.append(1)
    if len(steps) == 30:
        os.kill(os.getpid(), signal.SIGKILL)
    return step(*arguments)
def within(*arguments, **named):
    references._step = counted
    return fresh(*arguments, **named)
renewal._fresh = within
__main__.main()
"""
"""Runs a command that is killed in the middle of the training of a fresh top."""


def ladder(name: str, *attempts: str, **changed: Any) -> Policy:
    content = load_policy("demo-v1").model_dump(mode="json")
    del content["fallback"], content["max_attempts"]  # attempts say what they say
    both = {"attempts": list(attempts), "fallback_on": ["FAILED", "INCONCLUSIVE"]}
    return Policy.model_validate(content | {"name": name, "references": 3} | both | changed)


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> Office:
    """A registered digit classifier, a key, policies of two attempts and of one."""
    folder = tmp_path_factory.mktemp("ladder")
    both = opened(folder)
    (folder / "two.yaml").write_text(ladder("two", *DECLARED).model_dump_json())
    waits = ladder("waits", "renewed", signoffs=["executor", "reviewer"])
    (folder / "waits.yaml").write_text(waits.model_dump_json())
    return both


@pytest.fixture(scope="module")
def decided(office: Office) -> str:
    event = submitted(office, 3, policy="two.yaml", method={"preset": "paper"})
    done = office.damp("run", "--event", event)
    assert done.returncode in (0, 2), done.stderr
    return event


def predicate(office: Office, event: str, number: int) -> Any:
    return envelope.decoded(Attempt(office.home, event, number).statement)["predicate"]


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_failed_attempt_is_followed_by_the_next_that_was_declared(
    office: Office, decided: str
) -> None:
    first, second = (predicate(office, decided, number) for number in (1, 2))
    assert first["verdict"]["result"] != "PASSED"
    assert second["verdict"]["result"] != "FAILED"
    assert (first["method"]["name"], second["method"]["name"]) == ("damp", "renewed")
    assert [each["verdict"] for each in second["event"]["previousAttempts"]] == [
        first["verdict"]["result"]
    ]
    kinds = [entry.kind for entry in Ledger(office.home.ledger).of(decided)]
    assert kinds.count("attempt_started") == 2
    assert "next_attempt" in kinds
    assert "retrain_required" not in kinds


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_statement_says_which_attempt_of_how_many_and_what_each_took(
    office: Office, decided: str
) -> None:
    both = [predicate(office, decided, number)["event"]["attempts"] for number in (1, 2)]
    assert [each["place"] for each in both] == [1, 2]
    for each in both:
        assert tuple(each["declared"]) == DECLARED
        assert each["level"] == pytest.approx(0.025)
    closed, renewed = both[1]["costs"]
    assert (closed["attempt"], renewed["attempt"]) == (1, 2)
    assert 0 < closed["share"] < 0.1 < renewed["share"] < 0.4
    assert renewed["share"] == renewed["operations"] / renewed["retrainingOperations"]
    assert renewed["seconds"] > 0
    assert renewed["retrainingSeconds"] > 0
    method = predicate(office, decided, 2)["method"]
    assert method["parameters"]["seed"] == 3002
    assert method["renewed"]["trainings"][0]["start"] == "conv2"
    plan = json.loads(Attempt(office.home, decided, 2).plan.read_text())
    assert plan["attempts"]["declared"] == list(DECLARED)
    report = Attempt(office.home, decided, 2).report.read_text()
    assert "number 2 of 2" in report
    assert "no row to forget gave a gradient" in report
    rows = json.dumps(predicate(office, decided, 2)["audits"])
    assert "95% interval of the difference" in rows
    assert "90% interval of the difference" not in rows


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_both_statements_verify_and_the_second_is_replayed_to_the_byte(
    office: Office, decided: str, tmp_path: Path
) -> None:
    for number in (1, 2):
        statement = Attempt(office.home, decided, number).statement
        done = office.damp("verify", statement, "--ledger", office.home.ledger)
        assert done.returncode in (0, 2), done.stdout + done.stderr
    assert office.damp("keys", "new", "--role", "auditor").returncode == 0
    statement = Attempt(office.home, decided, 2).statement
    done = office.damp("replay", statement, "--trust", office.home.trust)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.long
@pytest.mark.timeout(900)
def test_killed_while_the_top_is_trained_it_begins_again_with_the_same_end(office: Office) -> None:
    digests = []
    for code in (None, KILLED_IN_TRAINING):
        event = submitted(office, 8, policy="waits.yaml", method={"preset": "renewed"})
        if code is not None:
            assert office.damp("run", "--event", event, code=code).returncode == -9
            assert office.is_pending(event)
        assert office.damp("run", "--event", event).returncode in (0, 2)
        statement = envelope.decoded(Attempt(office.home, event, 1).statement)
        digests.append(statement["subject"][0]["digest"]["sha256"])
        leftover = list(Attempt(office.home, event, 1).folder.glob("features-*"))
        assert leftover == []
    assert digests[0] == digests[1]


@pytest.mark.parametrize("changed", [{"method": {"preset": "renewed"}}, {"policy": "waits.yaml"}])
def test_a_model_without_such_a_place_is_refused_before_anything_is_logged(
    office: Office, changed: dict[str, Any]
) -> None:
    import torch
    from torch import nn

    from flows import models

    code = office.home.root.parent / "nets.py"
    code.write_text(
        "from torch import nn\n"
        "def two_layers(classes, input_shape):\n"
        "    return nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, 10))\n"
    )
    torch.manual_seed(0)
    network = nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, 10))
    file = office.home.root.parent / "two.safetensors"
    models.save_weights(network, file, {})
    before = office.home.ledger.read_bytes()
    request = office.home.root.parent / "refused.yaml"
    content = {
        "apiVersion": "damp/v1",
        "kind": "ErasureRequest",
        "subject_request_id": "5f0c7c2e-4a53-4d0b-9f3e-1f4f5f0a9c11",
        "regulation": "other",
        "submitted_time": "2026-11-01T08:00:00Z",
        "scope": {"type": "class", "selector": {"index": 3}},
        "model": {"file": str(file), "architecture": "nets:two_layers", "name": "two"},
        "data": {"name": "digits"},
        "recipe": "digits",
        "policy": "two.yaml",
    } | changed
    request.write_text(json.dumps(content))
    arguments = ("submit", request, "--accept-low-accuracy")
    done = office.damp("--code", office.home.root.parent, *arguments)
    assert done.returncode == 1, done.stdout
    assert "2 layers that mix features" in done.stderr
    assert office.home.ledger.read_bytes() == before
