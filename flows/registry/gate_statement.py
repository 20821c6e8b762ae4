"""Of a registered version: its statement, and what its tags claim beside it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from compliance.verification.verify import INVALID, Verification, verify_statement
from flows.registry.gate_ledger import LedgerFacts
from flows.registry.interface import ModelVersion, Registry
from flows.registry.tags import TAGS, VersionTags
from flows.state.files import digest_file

STATEMENT = "statement.dsse.json"
"""Its name among the artifacts of a version's run."""
EITHER = ("executor", "reviewer")
"""Roles that must have signed where no plan of the ledger says which."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StatementCheck:
    """What the statement of a version says.

    Attributes:
        verdict: "" where there is no valid one.
        digest: SHA-256 of the signed bytes; "" where there is no valid one.
        problems: Each with its remedy.
    """

    verdict: str = ""
    digest: str = ""
    problems: tuple[str, ...] = ()


def check_statement(
    registry: Registry,
    ledger: LedgerFacts,
    version: ModelVersion,
    *,
    weights: Path | None,
    folder: Path,
) -> StatementCheck:
    """The statement's check, and the version's tags against it; fetched into `folder`.

    Raises:
        RegistryError: The version's run, which keeps it, cannot be read.
    """
    kept = registry.run_file(version.run_id, STATEMENT, folder)
    if kept is None:
        gone = "It has no statement. Restore it beside its run, from the event's folder."
        return StatementCheck(problems=(gone,))
    verification = _verified(ledger, kept, weights)
    problems = [f"Its statement: {problem}" for problem in verification.problems]
    if verification.statement is None:
        return StatementCheck(problems=tuple(problems))
    signed = _signed_tags(verification.statement, digest_file(kept))
    problems += _differences(version, signed)
    problems += _parent_problems(registry, version, verification.statement["predicate"])
    if str(signed.event) in ledger.in_doubt:
        problems.append(
            "Its qualification was suspended by a spot check since, and no good check covers it: "
            "audit it against retrained models, or open a new event."
        )
    if time := ledger.failed_again.get(str(signed.event)):
        problems.append(f"A re-audit at {time} did not pass. Open a new event.")
    return StatementCheck(
        verdict=verification.verdict, digest=verification.digest, problems=tuple(problems)
    )


def _verified(ledger: LedgerFacts, statement: Path, weights: Path | None) -> Verification:
    """The statement's check, with the sign-offs that the plan asks for whose digest it signs.

    The executor's is always asked for: without it, the digest too is anybody's word.
    """
    home = ledger.home
    verification = verify_statement(
        statement,
        home.trust,
        model=weights,
        ledger=home.ledger,
        qualification=home.qualifications,
    )
    if verification.statement is None:
        return verification
    plan = verification.statement["predicate"]["auditPlan"]["digest"]
    roles = ledger.signoffs(plan) or EITHER
    missing = [role for role in roles if role not in verification.roles]
    if not missing:
        return verification
    return replace(
        verification,
        exit_code=INVALID,
        problems=tuple(f"No trusted {role} has signed." for role in missing),
        verdict="",
        statement=None,
    )


def _signed_tags(statement: Mapping[str, Any], digest: str) -> VersionTags:
    """The tags that a version of this statement has."""
    predicate = statement["predicate"]
    event, inputs = predicate["event"], predicate["inputs"]
    parent = inputs["modelBefore"]["registry"]
    retired = predicate["method"]["parameters"].get("retired")
    return VersionTags(
        event=event["id"],
        attempt=event["attempt"],
        verdict=predicate["verdict"]["result"],
        data_version=inputs["dataAfter"]["version"],
        data_before=inputs["dataBefore"]["version"],
        kind="successor",
        weights_sha256=statement["subject"][0]["digest"]["sha256"],
        statement_sha256=digest,
        architecture=inputs["modelBefore"]["architecture"],
        retired=None if retired is None else tuple(retired),
        parent_version=None if parent is None else parent["version"],
    )


def _parent_problems(
    registry: Registry, version: ModelVersion, predicate: Mapping[str, Any]
) -> Iterator[str]:
    """The version that it names as its parent must be the model before of its statement."""
    before = predicate["inputs"]["modelBefore"]
    if before["registry"] is not None and before["registry"]["name"] != version.name:
        yield f"Its statement is of a model of '{before['registry']['name']}'."
    number = version.raw_tags.get(TAGS["parent_version"].key)
    parent = next((v for v in registry.versions(version.name) if str(v.number) == number), None)
    sha256 = before["digest"]["sha256"]
    if parent is not None and parent.raw_tags.get(TAGS["weights_sha256"].key) != sha256:
        yield f"Version {number} is not the model before of its statement: {sha256[:16]}."


def _differences(version: ModelVersion, signed: VersionTags) -> Iterator[str]:
    """Tags that say something else than the signed statement."""
    for key, value in signed.to_tags().items():
        text = version.raw_tags.get(key, "nothing")
        if text != value:
            yield f"Its tag {key} says {text!r}, the signed statement {value!r}."
