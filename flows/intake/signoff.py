"""Sign-offs: a second signature over the same bytes, by a key of another role.

The reviewer's key need not be on the machine that ran the event: `damp sign` adds the signature to
a copy of the statement, `damp approve --signed COPY` takes it over.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from compliance.formats.errors import EnvelopeError
from compliance.ledger import Ledger, states
from compliance.ledger.append_file import must_read
from compliance.signing import Trust, envelope, load_trust
from compliance.verification.verify import (
    NOT_PASSED,
    VALID_AND_PASSED,
    Verification,
    verify_statement,
)
from flows.state import event_ids, keyring
from flows.state.errors import EventError
from flows.state.files import write_atomically
from flows.state.paths import Attempt, Home


@dataclass(frozen=True, slots=True, kw_only=True)
class Countersigned:
    """A statement with one more signature, and what it says.

    Attributes:
        verdict: Of the statement.
        claim: Its sentence.
        subject: SHA-256 of the model after.
        digest: SHA-256 of the signed bytes.
        role: Of the signature.
        keyid: Of the key.
    """

    verdict: str
    claim: str
    subject: str
    digest: str
    role: str
    keyid: str

    def to_json(self) -> dict[str, Any]:
        """As `--json` prints it."""
        return asdict(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedFile(Countersigned):
    """Where `damp sign` has written it."""

    file: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SignOff(Countersigned):
    """For which event `damp approve` has logged it, and which roles are still awaited."""

    event: str
    awaited: list[str]


def sign(
    home: Home, statement: Path, *, role: str, trust: Path | None, output: Path | None
) -> SignedFile:
    """Add a role's signature to a statement that holds without it.

    Raises:
        EventError: It does not hold, or no key here can sign in that role.
    """
    keys = load_trust(trust or home.trust)
    verification = _holding(verify_statement(statement, keys), statement)
    key = keyring.signing_key(home, role, keys)
    content = envelope.countersign(must_read(statement), key)
    target = output or statement
    write_atomically(target, content)
    return SignedFile(**_content(verification), role=role, keyid=key.keyid, file=str(target))


def approve(home: Home, event: str, *, role: str, signed: Path | None) -> SignOff:
    """Take a role's sign-off of the event's PASSED statement into file and ledger.

    Args:
        home: The state folder.
        event: Which event.
        role: Whose sign-off.
        signed: A copy of the statement that already has the signature; None to sign here.
    Raises:
        StateError: The event is not at a PASSED that waits for sign-offs.
        EventError: The statement does not hold, or the signature is not there.
    """
    whose = event_ids.whole(home, event)
    ledger = Ledger(home.ledger)
    current = states.current(ledger.entries(), whose)
    body = {"attempt": current.attempt, "role": role}
    if role not in current.signed_off:
        states.check(ledger.entries(), "signed_off", whose, body)
    attempt = Attempt(home, whose, current.attempt)
    checked = verify_statement(
        attempt.statement, home.trust, model=attempt.after, ledger=home.ledger
    )
    verification = _holding(checked, attempt.statement)
    content, keyid = _signed(home, attempt, role, signed)
    write_atomically(attempt.statement, content)
    ledger.append_once(
        "signed_off",
        whose,
        f"attempt-{current.attempt}-{role}",
        body | {"keyid": keyid, "statement": verification.digest},
        checked=True,
    )
    after = states.current(ledger.entries(), whose)
    return SignOff(
        **_content(verification),
        role=role,
        keyid=keyid,
        event=whose,
        awaited=list(after.awaited),
    )


def _signed(home: Home, attempt: Attempt, role: str, copy: Path | None) -> tuple[bytes, str]:
    """The statement's file with the role's signature, and whose it is."""
    trust = load_trust(home.trust)
    content = must_read(attempt.statement)
    if copy is None:
        there = _signer(content, trust, role)
        if there is not None:
            return content, there
        key = keyring.signing_key(home, role, trust)
        return envelope.countersign(content, key), key.keyid
    merged = envelope.merge(content, must_read(copy))
    keyid = _signer(merged, trust, role)
    if keyid is None:
        raise EventError(
            f"{copy} has no signature of a trusted {role} that holds: sign it with `damp sign "
            f"--role {role}`, by a key that {home.trust} lists."
        )
    return merged, keyid


def _signer(content: bytes, trust: Trust, role: str) -> str | None:
    signatures = envelope.verify_signatures(envelope.open_envelope(content), trust)
    return next((s.keyid for s in signatures if s.role == role and s.holds), None)


def _holding(verification: Verification, statement: Path) -> Verification:
    if verification.exit_code not in (VALID_AND_PASSED, NOT_PASSED):
        raise EventError(
            f"{statement} does not hold, so it is not signed: {' '.join(verification.problems)}"
        )
    return verification


def _content(verification: Verification) -> dict[str, str]:
    if verification.statement is None:
        raise EnvelopeError("A statement that holds has content.")
    predicate = verification.statement["predicate"]
    return {
        "verdict": verification.verdict,
        "claim": predicate["verdict"]["claim"],
        "subject": verification.statement["subject"][0]["digest"]["sha256"],
        "digest": verification.digest,
    }
