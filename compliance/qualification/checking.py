"""The check of a qualification's envelope: offline, by a trust file, and by a ledger where there is
one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from compliance.formats import files, strict_json
from compliance.formats.errors import ComplianceError, JsonError
from compliance.formats.timestamps import parse_utc
from compliance.ledger.chain import Entry
from compliance.qualification import qualification as statements
from compliance.qualification import standing
from compliance.qualification.qualification import Qualification
from compliance.signing import Signature, Trust, envelope

ROLE = "executor"


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """A qualification, as far as it can be believed.

    Attributes:
        digest: SHA-256 of the signed bytes; "" where there is no envelope.
        content: None where it cannot be believed.
        signatures: Whose they are.
        problems: Why it cannot be believed; empty where it can.
    """

    digest: str = ""
    content: Qualification | None = None
    signatures: tuple[Signature, ...] = ()
    problems: tuple[str, ...] = ()


def check(path: Path, trust: Trust, *, entries: Sequence[Entry] | None = None) -> Checked:
    """Read an envelope and believe nothing of it before a trusted executor's signature holds.

    Args:
        path: The file.
        trust: Whose signatures count.
        entries: The ledger that it says it is of; None where that is not at hand.
    """
    try:
        opened = envelope.open_envelope(files.read(path, envelope.LARGEST + 1))
    except OSError as error:
        return Checked(problems=(f"{path}: cannot be read: {error.strerror}.",))
    except ComplianceError as error:
        return Checked(problems=(f"{path}: {error}",))
    signatures = envelope.verify_signatures(opened, trust)
    unsigned = Checked(digest=opened.digest, signatures=signatures)
    if opened.payload_type != envelope.PAYLOAD_TYPE:
        return replace(unsigned, problems=("It is signed as something else than a statement.",))
    if not any(s.role == ROLE and s.holds for s in signatures) or any(
        s.holds is False for s in signatures
    ):
        whose = ", ".join(s.keyid[:16] for s in signatures)
        why = f"No trusted executor has signed it, or a signature does not hold: {whose}."
        return replace(unsigned, problems=(why,))
    return _content(unsigned, opened.payload, trust, entries)


def _content(
    unsigned: Checked, payload: bytes, trust: Trust, entries: Sequence[Entry] | None
) -> Checked:
    try:
        content = statements.of(strict_json.loads(payload, "The qualification"))
    except JsonError as error:
        return replace(unsigned, problems=(str(error),))
    problems = statements.contradictions(content)
    finished = parse_utc(content.finished_at)
    for one in unsigned.signatures:
        key = trust.keys.get(one.keyid)
        if key is not None and not key.covers(finished):
            problems.append(f"Key {one.keyid[:16]} was not valid when the study ended.")
        if one.demo and not content.demo_key:
            problems.append(f"Key {one.keyid[:16]} is a demo key, and the study hides it.")
    if entries is not None:
        problems += standing.registered_problems(content, unsigned.digest, entries)
    if problems:
        return replace(unsigned, problems=tuple(problems))
    return replace(unsigned, content=content)


def find(folder: Path, digest: str) -> Path:
    """Where a qualification of a digest is kept in a folder of them."""
    return folder / f"{digest}.dsse.json"
