"""`damp replay`: the same bytes again from the pinned inputs, and what is not the same is named."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from compliance.signing import envelope, load_trust
from flows.state.paths import Attempt
from tests.flows.world import World

pytestmark = [pytest.mark.long, pytest.mark.timeout(600)]


class Auditor:
    """Somebody else: a state folder and an auditor's key of their own, and a copy of the record."""

    def __init__(self, folder: Path, record: Attempt) -> None:
        self.folder, self.copy = folder, folder / "record"
        shutil.copytree(record.folder, self.copy)
        shutil.copy(record.home.trust, folder / "their-trust.json")
        self.damp("keys", "new", "--role", "auditor")

    def damp(self, *words: str) -> subprocess.CompletedProcess[str]:
        """A command of the auditor's."""
        plain = {name: os.environ[name] for name in ("PATH", "PYTHONPATH") if name in os.environ}
        return subprocess.run(
            [sys.executable, "-m", "flows", *words],
            cwd=self.folder,
            capture_output=True,
            text=True,
            check=False,
            env=plain
            | {"HOME": str(self.folder), "DAMP_CODE": str(self.folder), "OMP_NUM_THREADS": "1"},
        )

    def replay(self, *more: str) -> subprocess.CompletedProcess[str]:
        statement = str(self.copy / "statement.dsse.json")
        return self.damp("replay", statement, "--trust", "their-trust.json", "--json", *more)


@pytest.fixture
def auditor(tmp_path: Path, world: World) -> Auditor:
    return Auditor(tmp_path, world.attempt)


def test_on_the_same_platform_everything_is_the_same_and_signed(
    auditor: Auditor, world: World
) -> None:
    """By the request as it was filed: plain YAML that names the model by its alias."""
    result = auditor.replay("--request", str(world.home.request(world.attempt.event)))
    assert result.returncode == 0, result.stdout[-2000:] + result.stderr[-2000:]
    replayed: dict[str, Any] = json.loads(result.stdout)
    assert replayed["same"]
    names = {check["name"] for check in replayed["checks"]}
    assert {"model after", "verdict", "retain set", "few_shot.1@penultimate"} <= names
    content = (auditor.folder / "replay.dsse.json").read_bytes()
    trust = load_trust(auditor.folder / ".damp" / "trust.json")
    (signature,) = envelope.verify_signatures(envelope.open_envelope(content), trust)
    assert (signature.role, signature.holds) == ("auditor", True)
    signed = json.loads(envelope.open_envelope(content).payload)
    assert signed["predicate"]["result"] == "PASSED"
    assert signed["subject"][0]["digest"]["sha256"] == next(
        check["told"] for check in replayed["checks"] if check["name"] == "model after"
    )


def test_inputs_that_are_not_the_pinned_ones_are_refused(auditor: Auditor, world: World) -> None:
    plan = auditor.copy / "plan.json"
    kept = plan.read_text()
    plan.write_text(kept.replace('"seed": ', '"seed": 1'))
    result = auditor.replay()
    assert (result.returncode, "is not the plan" in result.stderr + result.stdout) == (1, True)
    plan.write_text("[" * 100_000)
    result = auditor.replay()
    assert (result.returncode, "nested too deeply" in result.stderr) == (1, True)
    plan.write_text(kept)
    request = auditor.copy / "reproduce.yaml"
    asked = request.read_text()
    request.write_text("model: {")
    result = auditor.replay()
    assert (result.returncode, "reproduce.yaml, line 1" in result.stderr) == (1, True)
    request.write_text(asked.replace(world.attempt.event, "5f0c7c2e-4a53-4d0b-9f3e-1f4f5f0a9c11"))
    result = auditor.replay()
    assert (result.returncode, "the statement is about" in result.stderr) == (1, True)
    request.write_text(asked)
    shutil.copy(auditor.copy / "after.safetensors", auditor.copy / "before.safetensors")
    result = auditor.replay()
    assert (result.returncode, "is not the model before" in result.stderr + result.stdout) == (
        1,
        True,
    )
    assert not (auditor.folder / "replay.dsse.json").exists()


def test_a_statement_that_claims_another_figure_is_found_out(
    auditor: Auditor, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The owner signs, with the right key, a statement that improves one figure."""
    from flows.state import keyring

    statement = auditor.copy / "statement.dsse.json"
    claimed = json.loads(envelope.open_envelope(statement.read_bytes()).payload)
    row = next(r for r in claimed["predicate"]["audits"] if r["name"] == "accuracy.retain")
    row["value"] += 1e-4
    keys = world.folder / "home" / ".config" / "damp" / "keys"
    monkeypatch.setenv("DAMP_KEYS", str(keys))
    statement.write_bytes(
        envelope.sign_payload(claimed, keyring.signing_key(world.home, "executor"))
    )
    done = auditor.replay()
    assert done.returncode == 1, done.stdout + done.stderr
    replayed = json.loads(done.stdout)
    assert [check["name"] for check in replayed["checks"] if not check["same"]] == [
        "accuracy.retain"
    ]
    result = json.loads(
        envelope.open_envelope((auditor.folder / "replay.dsse.json").read_bytes()).payload
    )
    assert result["predicate"]["failedTests"] == ["accuracy.retain"]


def test_code_that_a_record_names_does_not_run_unless_it_was_allowed(
    auditor: Auditor, world: World
) -> None:
    """The request beside a statement may name any callable as its data, or one in its recipe."""
    reproduce, mark = auditor.copy / "reproduce.yaml", auditor.folder / "ran"
    (auditor.folder / "theirs.py").write_text(f"open({str(mark)!r}, 'w')\n")
    request = json.loads(reproduce.read_text())
    recipe = {"apiVersion": "damp/v1", "kind": "Recipe", "architecture": "theirs:net", "epochs": 1}
    (auditor.copy / "theirs.yaml").write_text(json.dumps(recipe))
    for change in ({"data": {"name": "theirs:data"}}, {"recipe": "theirs.yaml"}):
        reproduce.write_text(json.dumps(request | change))
        process = auditor.replay()
        assert (process.returncode, "--allow-code theirs" in process.stderr) == (1, True), (
            process.stderr
        )
        assert not mark.exists()
    reproduce.write_text(json.dumps(request | {"data": {"name": "os:abort"}}))
    process = auditor.replay("--allow-code", "os")
    assert (process.returncode, "signal 6" in process.stderr) == (1, True), process.stderr
    assert not (auditor.folder / "replay.dsse.json").exists()


def test_code_that_was_allowed_runs_apart_and_is_named_in_the_signed_result(
    auditor: Auditor, world: World
) -> None:
    reproduce = auditor.copy / "reproduce.yaml"
    (auditor.folder / "theirs.py").write_text(DATA)
    request = json.loads(reproduce.read_text())
    reproduce.write_text(json.dumps(request | {"data": {"name": "theirs:data"}}))
    process = auditor.replay("--allow-code", "theirs")
    assert process.returncode == 0, process.stdout[-2000:] + process.stderr[-2000:]
    assert json.loads(process.stdout)["same"]
    content = (auditor.folder / "replay.dsse.json").read_bytes()
    result = json.loads(envelope.open_envelope(content).payload)
    named = {one["name"]: one["digest"] for one in result["predicate"]["configuration"]}
    digest = hashlib.sha256(DATA.encode()).hexdigest()
    assert named["code of the other side: theirs"] == {"sha256": digest}


DATA = """
import os
from flows.data.dataset import DataSpec
from flows.data.loaders import load
assert "DAMP_KEYS" not in os.environ
def data():
    return load(DataSpec(name="digits"))
"""
