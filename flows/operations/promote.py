"""Promotion: past every check, then the alias, then the ledger."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from compliance.formats.errors import EnvelopeError
from compliance.ledger import Ledger, states
from compliance.signing import envelope
from flows.records import event_index
from flows.registry import client as tracking
from flows.registry import gate, resolve, versions
from flows.registry.gate import Checked
from flows.registry.gate_ledger import Known
from flows.registry.gate_statement import STATEMENT
from flows.state.errors import GateError
from flows.state.files import digest_file
from flows.state.paths import Attempt, Home

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion


def promote(home: Home, name: str, version: int) -> Checked:
    """Let the alias `champion` point to a version, and log it: only past all checks.

    Raises:
        GateError: What is wrong with it, all together; nothing was moved.
    """
    with tracking.opened(home) as client:
        _bring_signatures(client, home, resolve.version_of(client, name, str(version)))
    found = gate.check(home, name, version)
    # an alias that was moved past the gate is what a promotion puts right
    problems = [p for p in found.problems if not p.startswith("Alias ")]
    if found.kind != gate.SUCCESSOR:
        problems.append("no event made it, so no statement vouches for it")
    elif found.verdict != "PASSED" and not problems:
        problems.append(f"its verdict is {found.verdict}")
    with tracking.opened(home) as client:
        problems += _order_problems(client, home, name, version)
        if problems:
            raise GateError(
                f"Version {version} of '{name}' cannot become '{resolve.CHAMPION}': "
                f"{'; '.join(p.rstrip('.') for p in problems)}. Nothing was moved; "
                "`damp audit-registry` shows all versions."
            )
        client.set_registered_model_alias(name, resolve.CHAMPION, str(version))
        made = resolve.version_of(client, name, str(version))
    _log(home, made)
    return gate.check(home, name, version)


def _bring_signatures(client: MlflowClient, home: Home, version: ModelVersion) -> None:
    """Put the event's statement beside the version where others have signed it since.

    The same signed bytes with more signatures: `damp approve` adds them to the event's file.
    """
    tags = version.tags
    event, attempt = tags.get("damp.event_id", ""), tags.get("damp.attempt", "")
    if not attempt.isdigit() or event not in {path.name for path in home.events.glob("*")}:
        return
    here = Attempt(home, event, int(attempt)).statement
    with tempfile.TemporaryDirectory() as folder:
        run = client.get_run(str(version.run_id))
        kept = versions.fetched(client, run.info.artifact_uri, STATEMENT, Path(folder))
        if kept is None or not here.is_file() or here.read_bytes() == kept.read_bytes():
            return
        try:
            same = envelope.digest(here.read_bytes()) == envelope.digest(kept.read_bytes())
        except EnvelopeError:
            return  # one of them is no statement: the check says which
    if same:
        client.log_artifact(str(version.run_id), str(here))
        client.set_model_version_tag(
            version.name, str(version.version), "damp.statement_sha256", digest_file(here)
        )


def _log(home: Home, version: ModelVersion) -> None:
    """Enter the promotion once, as the event flow does, and close what waited for it."""
    tags, attempt = version.tags, int(version.tags["damp.attempt"])
    event, key, ledger = tags["damp.event_id"], f"attempt-{attempt}", Ledger(home.ledger)
    body = {"attempt": attempt, "name": version.name, "version": str(version.version)}
    promoted = body | {"alias": resolve.CHAMPION, "model": tags["damp.weights_sha256"]}
    ledger.append_once("model_promoted", event, key, promoted)
    if states.current(ledger.entries(), event).state is states.State.DEPLOYED:
        verdict = {"attempt": attempt, "verdict": tags["damp.verdict"]}
        ledger.append_once("event_closed", event, key, verdict)
    event_index.refresh(home)


def _order_problems(client: MlflowClient, home: Home, name: str, version: int) -> list[str]:
    """A version may not take the place of one that has forgotten more."""
    last = Known(home, Ledger(home.ledger).entries()).promoted.get(name)
    if last is None or int(last["version"]) in resolve.ancestry(client, name, version):
        return []
    return [
        f"version {last['version']} was promoted before and this was not made from it, so that "
        "what it has forgotten would come back"
    ]
