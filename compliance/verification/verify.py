"""The check of a signed statement: offline, from the envelope and a trust file alone.

Exit codes: 0 valid and PASSED, 1 invalid, 2 valid but not PASSED, 3 of a version that this one
cannot read, 5 cannot be judged: what it would be judged by is not there, which says nothing against
the statement. Nothing is believed before its signature holds; then every problem is listed at once.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from compliance.formats import files, strict_json
from compliance.formats.errors import EnvelopeError, JsonError, SigningError, TrustError
from compliance.formats.timestamps import parse_utc
from compliance.signing import (
    Opened,
    Signature,
    Statement,
    Trust,
    envelope,
    load_trust,
    statement,
)
from compliance.signing import time_stamp as stamps
from compliance.signing.facts import Predicate, QualifiedBy
from compliance.verification import against_ledger
from damp.version import __version__

VALID_AND_PASSED, INVALID, NOT_PASSED, UNSUPPORTED, CANNOT_JUDGE = 0, 1, 2, 3, 5
NOT_CANONICAL = "The statement is not in canonical form: another tool has written it."


@dataclass(frozen=True, slots=True, kw_only=True)
class Verification:
    """What the check found.

    Attributes:
        exit_code: See the head of this module.
        problems: Why the statement is invalid, unsupported or cannot be judged; else empty.
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

    @property
    def facts(self) -> Statement | None:
        """The statement as typed facts."""
        return Statement.of(self.statement) if self.statement else None

    def to_json(self) -> dict[str, Any]:
        """For machines: all but the statement itself, with its subject and claim."""
        facts = self.facts
        return {
            "exit_code": self.exit_code,
            "valid": None if self.exit_code == CANNOT_JUDGE else self.statement is not None,
            "verdict": self.verdict,
            "claim": facts.predicate.verdict.claim if facts else "",
            "subject": facts.model_after if facts else "",
            "digest": self.digest,
            "problems": list(self.problems),
            "notes": list(self.notes),
            "signatures": [
                {"keyid": s.keyid, "role": s.role, "holds": s.holds, "demo": s.demo}
                for s in self.signatures
            ],
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class _Against:
    """Files that a statement is checked against; None where one was not given."""

    model: Path | None
    ledger: Path | None
    checkpoint: Path | None
    proof: Path | None
    time_stamp: Path | None
    tsa_roots: Path | None
    qualification: Path | None


def verify_statement(
    path: str | Path,
    trust: Trust | str | Path,
    *,
    model: str | Path | None = None,
    ledger: str | Path | None = None,
    checkpoint: str | Path | None = None,
    proof: str | Path | None = None,
    time_stamp: str | Path | None = None,
    tsa_roots: str | Path | None = None,
    qualification: str | Path | None = None,
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
        time_stamp: An RFC 3161 answer over the signed bytes, which must hold.
        tsa_roots: Certificates (PEM) of the roots that its authority must lie below.
        qualification: The qualification that it rests on, or a folder of them; else the one beside
            the statement. Only where it rests on one.
        roles: Roles that must have signed.
    """
    if checkpoint is not None and ledger is None:
        why = "A checkpoint says nothing without its ledger: give both, or a proof of the entry."
        return Verification(exit_code=CANNOT_JUDGE, problems=(why,))
    if (time_stamp is None) != (tsa_roots is None):
        why = "A time stamp is judged by the roots of its authority: give both files, or neither."
        return Verification(exit_code=CANNOT_JUDGE, problems=(why,))
    if time_stamp is not None and not stamps.can_judge():
        why = "Time stamps need rfc3161-client: pip install 'damp-unlearning[timestamps]'."
        return Verification(exit_code=CANNOT_JUDGE, problems=(why,))
    try:
        content = files.read(Path(path), envelope.LARGEST + 1)
        trusted = trust if isinstance(trust, Trust) else load_trust(trust)
    except (OSError, TrustError) as error:
        return Verification(exit_code=CANNOT_JUDGE, problems=(_unreadable(path, error),))
    try:
        opened = envelope.open_envelope(content)
    except EnvelopeError as error:
        return Verification(exit_code=INVALID, problems=(str(error),))
    signatures = envelope.verify_signatures(opened, trusted)
    result = Verification(exit_code=INVALID, digest=opened.digest, signatures=signatures)
    problems = _signature_problems(signatures, roles)
    if problems:
        return replace(result, problems=tuple(problems))
    given = (model, ledger, checkpoint, proof, time_stamp, tsa_roots, qualification)
    paths = (None if path is None else Path(path) for path in given)
    names = ("model", "ledger", "checkpoint", "proof", "time_stamp", "tsa_roots", "qualification")
    against = _Against(**dict(zip(names, paths, strict=True)))
    return _content(result, opened, trusted, against, Path(path))


def _unreadable(path: str | Path, error: OSError | TrustError) -> str:
    """Why there is nothing to judge, or nothing to judge by."""
    if isinstance(error, TrustError):
        return f"{error} Give the file of the keys that you trust: --trust trust.json."
    return f"{path}: cannot be read: {error.strerror}."


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


@dataclass(frozen=True, slots=True)
class _Form:
    """What signed bytes say by themselves: why they are no statement, else its facts."""

    problems: tuple[str, ...]
    facts: Statement | None


@lru_cache(maxsize=4)
def _kept(payload: bytes) -> list[_Form]:
    """Where the form of these bytes is kept once it is known: a gate asks several times about one
    statement, and working out that of a large one takes most of a second."""
    return []


def _form(payload: bytes, content: Any) -> _Form:
    """Form and consistency of signed bytes.

    Args:
        payload: The bytes.
        content: What they decode to. It is the caller's: nothing of it is kept.
    """
    kept = _kept(payload)
    if not kept:
        kept.append(_worked_out(payload, content))
    return kept[0]


def _worked_out(payload: bytes, content: Any) -> _Form:
    problems = [] if strict_json.canonical(content) == payload else [NOT_CANONICAL]
    if malformed := statement.schema_problems(content):
        return _Form((*problems, *malformed), None)
    facts = Statement.of(content)
    problems += statement.contradictions(facts)
    return _Form(tuple(problems), None if problems else facts)


def _content(
    result: Verification, opened: Opened, trust: Trust, against: _Against, path: Path
) -> Verification:
    """The statement itself, whose signatures hold, and what was given to check it against."""
    try:
        content = strict_json.loads(opened.payload, "The statement")
    except JsonError as error:
        return replace(result, problems=(str(error),))
    unsupported = _unsupported(opened, content)
    if unsupported:
        return replace(result, exit_code=UNSUPPORTED, problems=(unsupported,))
    try:
        form = _form(opened.payload, content)
    except JsonError as error:
        return replace(result, problems=(str(error),))
    if form.facts is None:
        return replace(result, problems=form.problems)
    facts = form.facts
    problems = [
        *_validity_problems(result.signatures, trust, facts.predicate),
        *_model_problems(facts, against.model),
        *_ledger_problems(facts, opened.digest, trust, against),
    ]
    stamped, refused = _time_stamp(opened.payload, against)
    if problems := [*problems, *refused]:
        return replace(result, problems=tuple(problems))
    basis = facts.predicate.qualification
    if basis is not None:
        lacking, problems = _qualified(facts, basis, trust, against, path)
        if lacking:
            return replace(result, exit_code=CANNOT_JUDGE, problems=(lacking,))
        if problems:
            return replace(result, problems=tuple(problems))
    concluded = _concluded(replace(result, statement=content), facts.predicate)
    return replace(concluded, notes=(*concluded.notes, *stamped))


def _time_stamp(payload: bytes, against: _Against) -> tuple[list[str], list[str]]:
    """When an authority saw the signed bytes, as a note; or what is wrong with its stamp."""
    if against.time_stamp is None or against.tsa_roots is None:
        return [], []
    try:
        roots = stamps.certificates(files.read(against.tsa_roots), str(against.tsa_roots))
        stamp = stamps.check(files.read(against.time_stamp), payload, roots)
    except OSError as error:
        return [], [f"{error.filename}: cannot be read: {error.strerror}."]
    except SigningError as error:
        return [], [str(error)]
    return [f"Time-stamped {stamp.time:%Y-%m-%dT%H:%M:%SZ} by {stamp.authority}."], []


def _qualified(
    facts: Statement, basis: QualifiedBy, trust: Trust, against: _Against, path: Path
) -> tuple[str, list[str]]:
    """Why the chain to its qualification cannot be followed, and what speaks against it there."""
    from compliance.verification import qualified  # brings the policy's reader: for these alone

    file = qualified.source_of(path, against.qualification, basis.statement)
    if file is None or not file.exists():
        return (
            f"It rests on qualification {basis.statement[:16]}, which is not beside it: give its "
            "file, --qualification qualification.dsse.json."
        ), []
    return "", qualified.problems(file, facts, trust, ledger=against.ledger)


def _concluded(result: Verification, predicate: Predicate) -> Verification:
    """A valid statement's exit code, and what a reader should know all the same."""
    verdict = predicate.verdict.result
    code = VALID_AND_PASSED if verdict == "PASSED" else NOT_PASSED
    notes = [
        f"Key {s.keyid[:16]} is not in the trust file." for s in result.signatures if not s.role
    ]
    if predicate.qualification is not None:
        basis = predicate.qualification
        notes.append(
            f"No model was retrained: it rests on qualification {basis.name}, of whose "
            f"{basis.classes} classes {basis.passed} passed against retrained models; this class "
            "itself was not compared with retrained models."
        )
    if predicate.demo_key:
        notes.append("Signed with a demo key: it shows how things work, and vouches for nothing.")
    return replace(result, exit_code=code, verdict=verdict, notes=tuple(notes))


def _unsupported(opened: Opened, content: Any) -> str:
    """Which version could read it, where this one cannot; else empty."""
    types = content if isinstance(content, dict) else {}
    checks = (
        ("payload type", opened.payload_type, envelope.PAYLOAD_TYPE),
        ("statement type", types.get("_type"), statement.STATEMENT_TYPE),
        ("predicate type", types.get("predicateType"), statement.PREDICATE_TYPE),
    )
    for what, given, supported in checks:
        if given != supported:
            return (
                f"The {what} is {given!r}. damp {__version__} reads {supported!r}: use a version "
                "of damp that ships the schema of the other."
            )
    return ""


def _validity_problems(
    signatures: Sequence[Signature], trust: Trust, predicate: Predicate
) -> Iterator[str]:
    """Keys must have been valid when the attempt ended; a reviewer's may have become so later."""
    finished = parse_utc(predicate.event.finished_at)
    for one in signatures:
        key = trust.keys.get(one.keyid)
        if key is None:
            continue
        late = one.role == "reviewer" and finished <= parse_utc(key.not_after)
        if not key.covers(finished) and not late:
            yield (
                f"Key {one.keyid[:16]} was valid from {key.not_before} to {key.not_after}; the "
                f"attempt ended at {predicate.event.finished_at}."
            )
        if one.demo and not predicate.demo_key:
            yield f"Key {one.keyid[:16]} is a demo key, and the statement hides it."


def _ledger_problems(
    facts: Statement, digest: str, trust: Trust, against: _Against
) -> Iterator[str]:
    if against.ledger:
        held = against.checkpoint
        yield from against_ledger.problems(against.ledger, facts, digest, trust=trust, held=held)
    if against.proof:
        yield from against_ledger.proof_problems(against.proof, facts, digest, trust=trust)


def _model_problems(facts: Statement, model: Path | None) -> Iterator[str]:
    if model is None:
        return
    try:
        files.refuse_special(model)
        with model.open("rb") as stream:
            actual = hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        yield f"{model}: cannot be read: {error.strerror}."
        return
    if actual == facts.model_after:
        return
    before = facts.predicate.inputs.model_before.digest.sha256
    which = " It is the model before the event." if actual == before else ""
    yield f"{model} has sha256 {actual}, the statement is about {facts.model_after}.{which}"
