"""Promotion: past every check, then the alias, then the ledger."""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from pathlib import Path

from compliance.formats.errors import EnvelopeError
from compliance.ledger import Ledger, states
from compliance.signing import envelope
from flows.intake import requests
from flows.records import checkpoints, event_index
from flows.registry import (
    CHAMPION,
    STATEMENT,
    SUCCESSOR,
    LedgerFacts,
    ModelVersion,
    Registry,
    VersionCheck,
    VersionTags,
    champion_of,
    check_version,
    gate,
    open_registry,
    promotions,
    registry_exists,
    resolve,
    version_of,
)
from flows.state import locks
from flows.state.errors import GateError, RegistryError
from flows.state.files import digest_file
from flows.state.paths import Attempt, Home


def promote(home: Home, name: str, version: int | None = None) -> VersionCheck:
    """Let the alias `champion` point to a version, and log it: only past all checks.

    Args:
        home: State folder.
        name: Of the registered model.
        version: The number to promote; without one, the newest version that passed its audits.
    Raises:
        GateError: What is wrong with it, all together; nothing was moved.
        BusyError: An event is running on this model.
        RegistryError: No such model or version, none that passed, or somebody else has moved the
            alias meanwhile.
    """
    if not registry_exists(home):
        raise RegistryError(
            f"There is no registry at {home.mlflow_db}, so no '{name}'. `damp train` makes one "
            "with a first model; --home or DAMP_HOME names another state folder."
        )
    with open_registry(home) as registry, ExitStack() as held:
        if version is None:
            candidate = resolve.newest_passed(registry, name)
            version = candidate.number
        else:
            candidate = version_of(registry, name, version)
        for lineage in _lineages(home, candidate):
            held.enter_context(locks.lineage(home, lineage))
        before = champion_of(registry, name)
        _copy_signatures(registry, home, candidate)
        ledger = LedgerFacts.read(home)
        problems = [*ledger.problems, *_problems(check_version(registry, ledger, name, version))]
        problems += gate.order_problems(registry, ledger, candidate)
        if problems:
            raise GateError(
                f"Version {version} of '{name}' cannot become '{CHAMPION}': "
                f"{'; '.join(p.rstrip('.') for p in problems)}. Nothing was moved; "
                "`damp audit-registry` shows all versions."
            )
        resolve.move_champion(registry, name, version, expected=before)
        promoted = version_of(registry, name, version)
        promotions.enter(home, registry, promoted)
        _close(home, promoted)
        return check_version(registry, LedgerFacts.read(home), name, version)


def _lineages(home: Home, version: ModelVersion) -> set[str]:
    """What an event on this model locks: its name, or the file that its request names."""
    event = version.tags().event
    if event is None or not home.request(event).exists():
        return {version.name}
    return {version.name, requests.lineage_of(home, event)}


def _problems(check: VersionCheck) -> list[str]:
    """What keeps a checked version from being promoted."""
    # an alias that was moved past the gate is what a promotion puts right
    problems = [problem for problem in check.problems if not problem.startswith("Alias ")]
    if check.kind != SUCCESSOR:
        problems.append("no event made it, so no statement vouches for it")
    elif check.verdict != "PASSED" and not problems:
        problems.append(f"its verdict is {check.verdict}")
    return problems


def _copy_signatures(registry: Registry, home: Home, version: ModelVersion) -> None:
    """Put the event's statement beside the version where others have signed it since.

    The same signed bytes with more signatures: `damp approve` adds them to the event's file.
    """
    tags = version.tags()
    events = {path.name for path in home.events.glob("*")}
    if tags.event is None or tags.attempt is None or tags.event not in events:
        return
    here = Attempt(home, tags.event, tags.attempt).statement
    with tempfile.TemporaryDirectory() as folder:
        kept = registry.run_file(version.run_id, STATEMENT, Path(folder))
        if kept is None or not here.is_file() or here.read_bytes() == kept.read_bytes():
            return
        try:
            same = envelope.digest(here.read_bytes()) == envelope.digest(kept.read_bytes())
        except EnvelopeError:
            return  # one of them is no statement: the check says which
    if same:
        registry.add_run_file(version.run_id, here)
        registry.set_tags(version, VersionTags(statement_sha256=digest_file(here)))


def _close(home: Home, version: ModelVersion) -> None:
    """Close the event that waited for the promotion."""
    tags, ledger = version.tags(), Ledger(home.ledger)
    event, key = str(tags.event), f"attempt-{tags.attempt}"
    if states.current(ledger.entries(), event).state is states.State.DEPLOYED:
        verdict = {"attempt": tags.attempt, "verdict": tags.verdict}
        ledger.append_once("event_closed", event, key, verdict)
    checkpoints.at_close(home)
    event_index.refresh(home)
