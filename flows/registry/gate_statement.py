"""Of a registered version: its statement, and what its tags say beside it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from compliance.verification.verify import Verification, verify_statement
from flows.registry import versions
from flows.registry.gate_ledger import Known
from flows.state.files import digest_file

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

STATEMENT = "statement.dsse.json"
"""Its name among the artifacts of a version's run."""


def verdict(
    client: MlflowClient,
    known: Known,
    version: ModelVersion,
    weights: Path | None,
    folder: Path,
    statements: set[str],
    problems: list[str],
) -> str:
    """The verdict of the version's statement; "" where it has no valid one."""
    run = client.get_run(str(version.run_id))
    kept = versions.fetched(client, run.info.artifact_uri, STATEMENT, folder)
    if kept is None:
        problems.append("It has no statement. Restore it beside its run, from the event's folder.")
        return ""
    told = _verified(known, version, kept, weights)
    problems += [f"Its statement: {problem}" for problem in told.problems]
    if told.statement is None:
        return ""
    problems += _tag_problems(version.tags, told.statement, digest_file(kept))
    predicate = told.statement["predicate"]
    if told.digest in statements:
        problems.append("Another version has this very statement: tags or artifacts were copied.")
    statements.add(told.digest)
    if again := known.failed_again.get(predicate["event"]["id"]):
        problems.append(f"A re-audit at {again} did not pass. Open a new event.")
    return told.verdict


def _verified(
    known: Known, version: ModelVersion, statement: Path, weights: Path | None
) -> Verification:
    """The statement's check, with the sign-offs that the event's policy asks for."""
    attempt = version.tags.get("damp.attempt", "")
    key = (version.tags.get("damp.event_id", ""), int(attempt) if attempt.isdigit() else 0)
    plan = known.plans.get(key)
    roles = plan["policy"]["signoffs"] if plan else ["executor", "reviewer"]
    home = known.home
    return verify_statement(
        statement, home.trust, model=weights, ledger=home.ledger, roles=tuple(roles)
    )


def _tag_problems(tags: Mapping[str, str], statement: Mapping[str, Any], digest: str) -> list[str]:
    """Tags that say something else than the signed statement."""
    predicate = statement["predicate"]
    signed = {
        "damp.event_id": predicate["event"]["id"],
        "damp.attempt": str(predicate["event"]["attempt"]),
        "damp.verdict": predicate["verdict"]["result"],
        "damp.data_version": predicate["inputs"]["dataAfter"]["version"],
        "damp.data_before": predicate["inputs"]["dataBefore"]["version"],
        "damp.weights_sha256": statement["subject"][0]["digest"]["sha256"],
        "damp.statement_sha256": digest,
    }
    parent = predicate["inputs"]["modelBefore"]["registry"]
    if parent is not None:
        signed["damp.parent_version"] = str(parent["version"])
    return [
        f"Its tag {name} says {tags.get(name, 'nothing')!r}, the signed statement {value!r}."
        for name, value in signed.items()
        if tags.get(name) != value
    ]
