"""What the gate takes from the ledger: an entry that anybody can append decides nothing alone."""

from __future__ import annotations

import runpy
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from compliance.formats import strict_json
from compliance.ledger import Ledger, since_signed, states
from compliance.signing import load_trust
from flows.registry import reaudits
from flows.registry.gate_ledger import LedgerFacts
from flows.state import keyring
from flows.state.paths import Home

DECIDED = SimpleNamespace(**runpy.run_path(str(Path(__file__).parents[1] / "decided.py")))
Damp = Callable[..., Any]
EVENT = "e"


def reaudited(home: Home, verdict: str, *, role: str | None) -> None:
    """Log a re-audit, signed by a role's key or by nobody."""
    ledger = Ledger(home.ledger)
    body = body_of(verdict)
    ledger.append("reaudited", EVENT, body if role is None else signed(home, EVENT, body, role))


def body_of(verdict: str) -> dict[str, Any]:
    return {"attempt": 1, "verdict": verdict, "findings": "f" * 64}


def signed(home: Home, event: str, body: dict[str, Any], role: str) -> dict[str, Any]:
    key = keyring.signing_key(home, role)
    return body | {"signed": reaudits.sign(home, event, key, model="cd" * 32, body=body)}


def failed(home: Home) -> bool:
    return EVENT in LedgerFacts.read(home).failed_again


@pytest.fixture
def keys(home: Home) -> Home:
    for role in ("executor", "reviewer", "auditor"):
        keyring.new(home, role=role, days=30)
    Ledger(home.ledger).append("request_received", EVENT, {})
    return home


@pytest.mark.parametrize("role", ["auditor", "executor", None])
def test_a_failure_counts_signed_or_not(keys: Home, role: str | None) -> None:
    reaudited(keys, "FAILED", role=role)
    assert failed(keys)


@pytest.mark.parametrize("failing", ["auditor", "executor", None])
def test_a_signed_pass_takes_it_back(keys: Home, failing: str | None) -> None:
    reaudited(keys, "FAILED", role=failing)
    reaudited(keys, "PASSED", role="executor")
    assert not failed(keys)


@pytest.mark.parametrize("role", [None, "reviewer", "auditor"])
def test_an_appended_pass_hides_nothing(keys: Home, role: str | None) -> None:
    reaudited(keys, "FAILED", role="executor")
    reaudited(keys, "PASSED", role=role)
    assert failed(keys)


def test_a_pass_of_before_is_not_replayed(keys: Home) -> None:
    reaudited(keys, "PASSED", role="executor")
    genuine = Ledger(keys.ledger).of(EVENT, "reaudited")[0].body
    reaudited(keys, "FAILED", role="executor")
    Ledger(keys.ledger).append("reaudited", EVENT, genuine)
    assert failed(keys)


def test_a_pass_of_another_event_or_with_another_verdict_is_none(keys: Home) -> None:
    reaudited(keys, "FAILED", role="executor")
    ledger = Ledger(keys.ledger)
    ledger.append("reaudited", EVENT, signed(keys, "another", body_of("PASSED"), "executor"))
    failing = signed(keys, EVENT, body_of("FAILED"), "executor")
    ledger.append("reaudited", EVENT, failing | {"verdict": "PASSED"})
    for broken in ({"signed": 5}, {"signed": "{}"}):
        ledger.append("reaudited", EVENT, failing | {"verdict": "PASSED"} | broken)
    assert failed(keys)


@pytest.mark.parametrize("place", [[], {"sequence": -1}, {"sequence": 99, "previous": ""}])
def test_a_pass_of_no_place_of_this_ledger_is_none(
    keys: Home, place: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    reaudited(keys, "FAILED", role="executor")
    monkeypatch.setattr(Ledger, "position", lambda self: place)
    body = signed(keys, EVENT, body_of("PASSED"), "executor")
    monkeypatch.undo()
    Ledger(keys.ledger).append("reaudited", EVENT, body)
    assert failed(keys)


def test_a_report_shows_which_re_audit_nobody_has_signed(keys: Home) -> None:
    for role in ("executor", None):
        reaudited(keys, "PASSED", role=role)
    entries, trust = Ledger(keys.ledger).entries(), load_trust(keys.trust)
    facts = since_signed.since(entries, EVENT, "", [], trust=trust)["facts"]
    assert ["unverified" in row["what"] for row in facts if "again" in row["what"]] == [False, True]


def test_a_second_plan_chooses_no_other_roles(keys: Home) -> None:
    ledger = Ledger(keys.ledger)
    plans = [
        {"policy": {"signoffs": roles}, "modelBefore": "a" * 64}
        for roles in (["executor", "reviewer"], ["executor"])
    ]
    for plan in plans:
        ledger.append("plan_registered", EVENT, {"plan": plan, "digest": "d", "attempt": 1})
    named = strict_json.digest(plans[0])  # a statement names the plan that it follows
    assert LedgerFacts.read(keys).signoffs(named) == ("executor", "reviewer")


def test_a_second_statement_of_an_attempt_is_a_problem_and_changes_nothing(home: Home) -> None:
    event = DECIDED.put(home)
    DECIDED.decide(home, event, verdict="FAILED")
    ledger = Ledger(home.ledger)
    ledger.append("plan_registered", event, {"attempt": 1, "plan": {}, "digest": "d"})
    ledger.append("statement_signed", event, {"attempt": 1, "verdict": "PASSED", "statement": "f"})
    current = states.current(ledger.entries(), event)
    assert current.verdict == "FAILED"
    assert "cannot replace what was decided" in current.problem


def test_each_close_leaves_a_checkpoint_that_a_cut_tail_contradicts(damp: Damp, home: Home) -> None:
    event = DECIDED.put(home)
    DECIDED.decide(home, event, verdict="FAILED")
    assert not home.checkpoints.exists()
    assert damp("close", event, "--reason", "deleted").code == 0
    (kept,) = home.checkpoints.glob("*.txt")
    check = ("ledger", "verify", "--checkpoint", kept)
    assert damp(*check).code == 0
    lines = home.ledger.read_bytes().splitlines(keepends=True)
    home.ledger.write_bytes(b"".join(lines[:-1]))
    assert damp(*check).code == 1


def test_without_a_key_an_event_is_closed_without_checkpoint(damp: Damp, home: Home) -> None:
    event = DECIDED.put(home)
    assert damp("deny", event, "--reason", "exempt").code == 0
    assert not home.checkpoints.exists()


def test_a_trust_file_outside_is_the_only_one_that_counts(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    outside = tmp_path / "elsewhere" / "trust.json"
    monkeypatch.setenv("DAMP_TRUST", str(outside))
    monkeypatch.setenv("DAMP_HOME", str(home.root))
    key = keyring.new(home, role="executor", days=30).keyid
    assert set(load_trust(outside).keys) == {key}
    assert not (home.root / "trust.json").exists()
    home.root.mkdir(exist_ok=True)
    (home.root / "trust.json").write_text("{}")  # what an attacker puts there is not read
    assert set(keyring.trusted(home).keys) == {key}
    assert Home(tmp_path / "another").trust == tmp_path / "another" / "trust.json"
