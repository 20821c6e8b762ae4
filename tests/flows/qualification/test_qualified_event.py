"""An event under a qualification, from request to spot check: nothing is retrained for it."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import sys
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest import mock

import pytest

from compliance.ledger import Ledger
from compliance.qualification import kept, standing
from compliance.signing import envelope
from compliance.verification.verify import verify_statement
from flows.data import loaders
from flows.qualification import spot_checks
from flows.qualification.qualify import Studied
from flows.records import qualifications
from flows.state.errors import EventError, GateError
from flows.state.paths import Attempt, Home
from flows.state.settings import prepared, settings

pytestmark = [pytest.mark.long, pytest.mark.timeout(1800)]
CLASS = 3


def _loaded() -> ModuleType:
    name = "qualification_studies"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name("studies.py"))
        assert spec is not None
        assert spec.loader is not None
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    return sys.modules[name]


studies = _loaded()


@dataclass(frozen=True)
class World:
    """A state folder with a qualification and one event under it."""

    home: Home
    folder: Path
    studied: Studied
    event: str
    closed: Any

    @property
    def attempt(self) -> Attempt:
        return Attempt(self.home, self.event, self.closed.attempt)

    @property
    def predicate(self) -> dict[str, Any]:
        content: dict[str, Any] = envelope.decoded(self.attempt.statement)["predicate"]
        return content

    def verify(self, **more: Any) -> Any:
        return verify_statement(
            self.attempt.statement, self.home.trust, ledger=self.home.ledger, **more
        )


def carried_out(home: Home, event: str) -> Any:
    """The steps of an event, called plainly."""
    from flows.steps import audit, conclude, edit, plan, prepare, references, register

    at = Attempt(home, event, 1)
    accepted = prepare.accept(at)
    data = prepare.version_data(at, accepted)
    model = prepare.pin_model(at, accepted, data)
    trained = references.train_references(at, accepted, data, model)
    assert trained.models == ()
    planned = plan.register_plan(at, accepted, data, model, trained)
    edited = edit.edit(at, accepted, data, model, trained)
    findings = audit.audit(at, data, model, trained, planned, edited)
    record = conclude.conclude(at, accepted, data, model, planned, edited, findings)
    registration = register.register(at, accepted, data, model, edited, record)
    return register.close(at, accepted, record, registration)


def submitted(home: Home, folder: Path, label: int) -> str:
    from flows.intake import requests
    from flows.intake.model_checks import LENIENT

    event = str(uuid.uuid4())
    (folder / f"{label}.yaml").write_text(
        "apiVersion: damp/v1\nkind: ErasureRequest\n"
        f"subject_request_id: {event}\nregulation: gdpr\n"
        "submitted_time: 2026-09-20T08:00:00Z\n"
        f"scope: {{type: class, selector: {{index: {label}}}}}\n"
        'model: {registry: "digits@champion"}\ndata: {name: digits}\n'
        "recipe: recipe.yaml\npolicy: under.yaml\n"
    )
    requests.submit(home, folder / f"{label}.yaml", LENIENT)
    return event


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("qualified")
    values = {"DAMP_HOME": str(folder / "state"), "DAMP_KEYS": str(folder / "keys")}
    with mock.patch.dict(os.environ, values | {"DAMP_WORKERS": "1"}):
        settings.cache_clear()
        loaders.load.cache_clear()
        home = prepared()
        studies.base(home, folder, epochs=12)
        policy = json.loads(json.dumps(_three_references()))
        (folder / "l3.yaml").write_text(json.dumps(policy))
        studied = studies.carried_out(home, folder, policy="l3.yaml", sequence=2)
        assert studied.policy is not None
        shutil.copy(studied.policy, folder / "under.yaml")
        event = submitted(home, folder, CLASS)
        yield World(
            home=home,
            folder=folder,
            studied=studied,
            event=event,
            closed=carried_out(home, event),
        )
    settings.cache_clear()


def _three_references() -> dict[str, Any]:
    from compliance.documents.policy import load_policy

    content = load_policy("demo-v1").model_dump(mode="json")
    return content | {"references": 3, "name": "three"}


def test_it_passes_under_the_qualification_and_says_what_that_means(world: World) -> None:
    assert world.closed.verdict == "PASSED", world.closed.reasons
    verdict = world.predicate["verdict"]
    assert verdict["assurance"] == "L2"
    assert "PASSED under qualification small" in verdict["claim"]
    assert "this class itself was not compared with retrained models" in verdict["claim"]
    assert any("not compared with retrained models" in limit for limit in verdict["limits"])
    page = world.attempt.report.read_text()
    assert "this class itself was not compared with retrained models" in page
    assert not list(world.home.references.glob("*.safetensors"))


def test_the_share_is_that_of_the_rows_and_the_original_fails_by_it(world: World) -> None:
    basis, rows = world.predicate["qualification"], world.predicate["audits"]
    figures = {row["name"]: (row.get("value"), row.get("original")) for row in rows}
    assert basis["kept"] == pytest.approx(kept.of_figures(figures))
    results = {c["name"]: c["found"] for c in world.predicate["controls"]}
    assert results["original"] == results["head_refitted"] == "FAILED"
    assert results["random_direction"] != "PASSED"


def test_the_chain_is_followed_offline(world: World, tmp_path: Path) -> None:
    result = world.verify(model=world.attempt.after)
    assert result.exit_code == 0, result.problems
    alone = tmp_path / "statement.dsse.json"
    shutil.copy(world.attempt.statement, alone)
    assert verify_statement(alone, world.home.trust).exit_code == 5


def test_gate_and_scan_let_it_through(world: World) -> None:
    from flows.registry import gate

    checks = {c.version: c for c in gate.audit_registry(world.home) if c.name == "digits"}
    assert [c.problems for c in checks.values() if c.kind == "successor"] == [()]
    assert checks[2].aliases == ("champion",)


def test_edits_are_counted_and_the_next_event_is_the_second(world: World) -> None:
    entries = Ledger(world.home.ledger).entries()
    content, digest = world.studied.content, world.studied.digest
    base = (content.family.model, content.family.data)
    after = envelope.decoded(world.attempt.statement)
    model = after["subject"][0]["digest"]["sha256"]
    data = after["predicate"]["inputs"]["dataAfter"]["version"]
    assert qualifications.edits_of(entries, content, digest, base) == 0
    assert qualifications.edits_of(entries, content, digest, (model, data)) == 1


def test_a_replay_computes_family_and_class_anew(world: World, tmp_path: Path) -> None:
    from flows.operations import replay

    copy = tmp_path / "record"
    shutil.copytree(world.attempt.folder, copy)
    auditor = Home(tmp_path / "auditor")
    values = {"DAMP_HOME": str(auditor.root), "DAMP_KEYS": str(tmp_path / "keys")}
    with mock.patch.dict(os.environ, values):
        settings.cache_clear()
        from flows.state import keyring

        keyring.new(auditor, role="auditor", days=10)
        result = replay.replay(
            auditor,
            copy / "statement.dsse.json",
            trust=world.home.root / "trust.json",
            before=None,
            request=None,
            output=tmp_path / "replay.dsse.json",
        )
    settings.cache_clear()
    names = {check["name"] for check in result["checks"]}
    assert {"qualification: family", "qualification: statement", kept.NAME} <= names
    assert result["same"], [c for c in result["checks"] if not c["same"]]


def test_a_class_outside_what_was_studied_is_inconclusive_with_its_cost(world: World) -> None:
    """The same event, whose class is said to lie elsewhere by what was measured."""
    from compliance.qualification.study import ClassFacts
    from flows.steps import qualified

    facts = ClassFacts(separability=(0.0, 0.0, 1e9), train=90, test=90)
    content = world.studied.content
    own = content.family
    problems = qualified.not_covered(content, own, CLASS, facts)
    assert len(problems) == 3
    assert "3 whole trainings" in qualified.cost_of_l3(content)


def test_a_spot_check_compares_with_retrained_models_once(world: World) -> None:
    """All events are drawn here. A small net on few images often ends undecided: that is said."""
    assert spot_checks.due(world.home) == [(world.event, world.studied.digest)]
    check = spot_checks.check(world.home, world.event, world.studied.digest)
    assert check.verdict in ("PASSED", "INCONCLUSIVE", "FAILED")
    assert spot_checks.due(world.home) == []
    entries = Ledger(world.home.ledger).entries()
    (entry,) = [e for e in entries if e.kind == standing.CHECKED]
    assert standing.holds(entry, entries, qualifications.trusted(world.home))
    with pytest.raises(EventError, match="was spot-checked before"):
        spot_checks.check(world.home, world.event, world.studied.digest)
    assert "1 checked" in world.studied.report.read_text()


def test_a_failed_check_suspends_names_and_fails_the_run(world: World) -> None:
    """Comes last: the qualification holds no more."""
    from flows.orchestration import schedule
    from flows.registry import gate

    in_doubt = spot_checks.SpotCheck(
        event=world.event,
        qualification=world.studied.digest,
        verdict="FAILED",
        why="it remembers",
        in_doubt=(world.event,),
    )
    body = {"qualification": world.studied.digest, "event": world.event, "reason": "failed"}
    Ledger(world.home.ledger).append_once(standing.SUSPENDED, "", "last", body)
    with (
        mock.patch.object(spot_checks, "carry_out", return_value=[in_doubt]),
        mock.patch.object(schedule, "create_table_artifact"),
        pytest.raises(GateError, match=world.event),
    ):
        schedule.spot_check_run.fn(str(world.home.root))
    problems = [p for c in gate.audit_registry(world.home) for p in c.problems]
    assert any("suspended by a spot check" in problem for problem in problems)
    with pytest.raises(EventError, match="was suspended"):
        submitted(world.home, world.folder, 5)
