"""Of a registered version: its statement, and what its tags claim beside it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from compliance.verification.verify import Verification, verify_statement
from flows.registry.gate_ledger import LedgerFacts
from flows.registry.interface import ModelVersion, Registry
from flows.registry.tags import VersionTags
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
    tags: VersionTags,
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
    verification = _verified(ledger, tags, kept, weights)
    problems = [f"Its statement: {problem}" for problem in verification.problems]
    if verification.statement is None:
        return StatementCheck(problems=tuple(problems))
    signed = _signed_tags(verification.statement, digest_file(kept))
    problems += _differences(version, signed)
    if time := ledger.failed_again.get(str(signed.event)):
        problems.append(f"A re-audit at {time} did not pass. Open a new event.")
    return StatementCheck(
        verdict=verification.verdict, digest=verification.digest, problems=tuple(problems)
    )


def _verified(
    ledger: LedgerFacts, tags: VersionTags, statement: Path, weights: Path | None
) -> Verification:
    """The statement's check, with the sign-offs that the event's policy asks for."""
    plan = ledger.plans.get((tags.event or "", tags.attempt or 0))
    roles = EITHER if plan is None or plan.signoffs is None else plan.signoffs
    home = ledger.home
    return verify_statement(
        statement, home.trust, model=weights, ledger=home.ledger, roles=tuple(roles)
    )


def _signed_tags(statement: Mapping[str, Any], digest: str) -> VersionTags:
    """The tags that a version of this statement has."""
    predicate = statement["predicate"]
    event, inputs = predicate["event"], predicate["inputs"]
    parent = inputs["modelBefore"]["registry"]
    return VersionTags(
        event=event["id"],
        attempt=event["attempt"],
        verdict=predicate["verdict"]["result"],
        data_version=inputs["dataAfter"]["version"],
        data_before=inputs["dataBefore"]["version"],
        weights_sha256=statement["subject"][0]["digest"]["sha256"],
        statement_sha256=digest,
        parent_version=None if parent is None else parent["version"],
    )


def _differences(version: ModelVersion, signed: VersionTags) -> Iterator[str]:
    """Tags that say something else than the signed statement."""
    for key, value in signed.to_tags().items():
        text = version.raw_tags.get(key, "nothing")
        if text != value:
            yield f"Its tag {key} says {text!r}, the signed statement {value!r}."
