"""The check of a signed statement: offline, from the envelope and a trust file alone.

Exit codes: 0 valid and PASSED, 1 invalid, 2 valid but not PASSED, 3 of a version that this one
cannot read. Nothing is believed before its signature holds; then every problem is told at once.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from compliance.formats import strict_json
from compliance.formats.errors import EnvelopeError, JsonError, TrustError
from compliance.formats.timestamps import parse_utc
from compliance.signing import Opened, Signature, Trust, envelope, load_trust, statement
from compliance.verification import against_ledger
from damp.version import __version__

VALID_AND_PASSED, INVALID, NOT_PASSED, UNSUPPORTED = 0, 1, 2, 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Verification:
    """What the check found.

    Attributes:
        exit_code: See the head of this module.
        problems: Why the statement is invalid or unsupported; empty where it is valid.
        notes: What a reader should know all the same.
        verdict: "PASSED", "FAILED", "INCONCLUSIVE"; "" where nothing could be believed.
        digest: SHA-256 of the signed bytes, "" where there is no envelope.
        signatures: Each signature, whose it is and whether it holds.
        statement: The decoded statement where it is valid, else None.
    """

    exit_code: int
    problems: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    verdict: str = ""
    digest: str = ""
    signatures: tuple[Signature, ...] = ()
    statement: Mapping[str, Any] | None = None

    @property
    def roles(self) -> frozenset[str]:
        """Roles that have signed, by signatures that hold."""
        return frozenset(s.role for s in self.signatures if s.holds)

    def to_json(self) -> dict[str, Any]:
        """For machines: all but the statement itself, with its subject and claim."""
        told = self.statement
        return {
            "exit_code": self.exit_code,
            "valid": self.exit_code in (VALID_AND_PASSED, NOT_PASSED),
            "verdict": self.verdict,
            "claim": told["predicate"]["verdict"]["claim"] if told else "",
            "subject": told["subject"][0]["digest"]["sha256"] if told else "",
            "digest": self.digest,
            "problems": list(self.problems),
            "notes": list(self.notes),
            "signatures": [
                {"keyid": s.keyid, "role": s.role, "holds": s.holds, "demo": s.demo}
                for s in self.signatures
            ],
        }


def verify_statement(
    path: str | Path,
    trust: Trust | str | Path,
    *,
    model: str | Path | None = None,
    ledger: str | Path | None = None,
    checkpoint: str | Path | None = None,
    proof: str | Path | None = None,
    roles: Sequence[str] = ("executor",),
) -> Verification:
    """Check a statement's file.

    Args:
        path: The envelope, `statement.dsse.json`.
        trust: Trusted keys, or the path of their file.
        model: The model file that the statement must be about.
        ledger: The ledger that must hold the statement, and its plan before it.
        checkpoint: A signed checkpoint of that ledger, which it must continue.
        proof: Instead of the ledger, the proof that its entry stands behind a checkpoint.
        roles: Roles that must have signed.
    """
    if checkpoint is not None and ledger is None:
        told = "A checkpoint says nothing without its ledger: give both, or a proof of the entry."
        return Verification(exit_code=INVALID, problems=(told,))
    try:
        known = trust if isinstance(trust, Trust) else load_trust(trust)
        opened = envelope.open_envelope(_bytes(Path(path)))
    except (EnvelopeError, TrustError) as error:
        return Verification(exit_code=INVALID, problems=(str(error),))
    signatures = envelope.verify_signatures(opened, known)
    found = Verification(exit_code=INVALID, digest=opened.digest, signatures=signatures)
    problems = _signature_problems(signatures, roles)
    if problems:
        return replace(found, problems=tuple(problems))
    asked = {"model": model, "ledger": ledger, "checkpoint": checkpoint, "proof": proof}
    given = {name: Path(path) for name, path in asked.items() if path is not None}
    return _content(found, opened, known, given)


def _bytes(path: Path) -> bytes:
    try:
        with path.open("rb") as stream:
            return stream.read(envelope.LARGEST + 1)
    except OSError as error:
        raise EnvelopeError(f"{path}: cannot be read: {error.strerror}.") from error


def _signature_problems(signatures: Sequence[Signature], roles: Sequence[str]) -> list[str]:
    problems = [
        f"The signature of key {s.keyid[:16]} does not hold: statement or signature was changed."
        for s in signatures
        if s.holds is False
    ]
    held = {s.role for s in signatures if s.holds}
    whose = ", ".join(f"{s.keyid[:16]} ({s.role or 'not in the trust file'})" for s in signatures)
    for role in roles:
        if role not in held:
            problems.append(f"No trusted {role} has signed. Signed with: {whose}.")
    return problems


def _content(
    found: Verification,
    opened: Opened,
    trust: Trust,
    given: Mapping[str, Path],
) -> Verification:
    """The statement itself, whose signatures hold, and what was given to check it against."""
    try:
        told = strict_json.loads(opened.payload, "The statement")
        same = strict_json.canonical(told) == opened.payload
    except JsonError as error:
        return replace(found, problems=(str(error),))
    unsupported = _unsupported(opened, told)
    if unsupported:
        return replace(found, exit_code=UNSUPPORTED, problems=(unsupported,))
    problems = statement.schema_problems(told) or statement.contradictions(told)
    if not same:
        problems.insert(0, "The statement is not in canonical form: another tool has written it.")
    if problems:
        return replace(found, problems=tuple(problems))
    problems = [
        *_validity_problems(found.signatures, trust, told["predicate"]),
        *_model_problems(told, given.get("model")),
        *_ledger_problems(told, opened.digest, trust, given),
    ]
    return _concluded(replace(found, problems=tuple(problems)), told)


def _concluded(found: Verification, told: Mapping[str, Any]) -> Verification:
    if found.problems:
        return found
    verdict = told["predicate"]["verdict"]["result"]
    code = VALID_AND_PASSED if verdict == "PASSED" else NOT_PASSED
    notes = [
        f"Key {s.keyid[:16]} is not in the trust file." for s in found.signatures if not s.role
    ]
    if told["predicate"]["demoKey"]:
        notes.append("Signed with a demo key: it shows how things work, and vouches for nothing.")
    return replace(found, exit_code=code, verdict=verdict, notes=tuple(notes), statement=told)


def _unsupported(opened: Opened, told: Any) -> str:
    """Which version could read it, where this one cannot; else empty."""
    told = told if isinstance(told, dict) else {}
    types = (
        ("payload type", opened.payload_type, envelope.PAYLOAD_TYPE),
        ("statement type", told.get("_type"), statement.STATEMENT_TYPE),
        ("predicate type", told.get("predicateType"), statement.PREDICATE_TYPE),
    )
    for what, given, known in types:
        if given != known:
            return (
                f"The {what} is {given!r}. damp {__version__} reads {known!r}: use a version of "
                "damp that ships the schema of the other."
            )
    return ""


def _validity_problems(
    signatures: Sequence[Signature], trust: Trust, predicate: Mapping[str, Any]
) -> list[str]:
    """Keys must have been valid when the attempt ended; a reviewer's may have become so later."""
    finished = parse_utc(predicate["event"]["finishedAt"])
    problems = []
    for one in signatures:
        key = trust.keys.get(one.keyid)
        if key is None:
            continue
        late = one.role == "reviewer" and finished <= parse_utc(key.not_after)
        if not key.covers(finished) and not late:
            problems.append(
                f"Key {one.keyid[:16]} was valid from {key.not_before} to {key.not_after}; the "
                f"attempt ended at {predicate['event']['finishedAt']}."
            )
        if one.demo and not predicate["demoKey"]:
            problems.append(f"Key {one.keyid[:16]} is a demo key, and the statement hides it.")
    return problems


def _ledger_problems(
    told: Mapping[str, Any], digest: str, trust: Trust, given: Mapping[str, Path]
) -> list[str]:
    found = []
    if "ledger" in given:
        held = given.get("checkpoint")
        found += against_ledger.problems(given["ledger"], told, digest, trust=trust, held=held)
    if "proof" in given:
        found += against_ledger.proof_problems(given["proof"], told, digest, trust=trust)
    return found


def _model_problems(told: Mapping[str, Any], model: Path | None) -> list[str]:
    if model is None:
        return []
    wanted = told["subject"][0]["digest"]["sha256"]
    try:
        with model.open("rb") as stream:
            found = hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        return [f"{model}: cannot be read: {error.strerror}."]
    if found == wanted:
        return []
    before = told["predicate"]["inputs"]["modelBefore"]["digest"]["sha256"]
    which = " It is the model before the event." if found == before else ""
    return [f"{model} has sha256 {found}, the statement is about {wanted}.{which}"]
