"""Requests, policies, statements, trust files, checkpoints and ledgers, mangled."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.robustness import mutating
from compliance import checkpoint, proofs, signing, strictjson
from compliance.errors import ComplianceError
from compliance.findings import load_findings
from compliance.ledger import Ledger, verify
from compliance.policy import load_policy
from compliance.request import load_request
from compliance.trust import Trust, load_trust
from compliance.verify import verify_statement

Mutation = tuple[str, bytes]


@dataclass(frozen=True)
class Document:
    """A kind of file, a good one, and what reads it.

    Attributes:
        name: Of the kind.
        content: A good file.
        read: Reads a path; refuses by one of damp's errors.
        tree: Its content as JSON values, where mutating the tree makes sense.
    """

    name: str
    content: bytes
    read: Callable[[Path], Any]
    tree: Any = None

    def mutations(self, count: int, seed: int) -> Iterator[Mutation]:
        """So many mutations: every other one of the bytes, the others of the tree."""
        draw = random.Random(f"{self.name} {seed}")  # noqa: S311 - not for secrets
        for number in range(count):
            if self.tree is not None and number % 2:
                changed = mutating.of_tree(self.tree, draw)
                yield f"{self.name}-{number}", json.dumps(changed).encode()
            else:
                yield f"{self.name}-{number}", mutating.of_bytes(self.content, draw)


def all_of(
    request: str, policy: Path, statement: Path, trust: Path, ledger: Path
) -> list[Document]:
    """Every kind, from good files of each."""
    from ruamel.yaml import YAML

    yaml = YAML(typ="safe")
    known = load_trust(trust)
    findings = statement.parent / "findings.json"
    policy_text = policy.read_text()
    found = [
        Document("request", request.encode(), load_request, _plain(yaml.load(request))),
        Document("policy", policy_text.encode(), load_policy, _plain(yaml.load(policy_text))),
        Document(
            "statement", statement.read_bytes(), _reader(known), json.loads(statement.read_bytes())
        ),
        Document("trust", trust.read_bytes(), load_trust, json.loads(trust.read_bytes())),
        Document("ledger", ledger.read_bytes(), _read_ledger),
    ]
    if findings.is_file():
        found.append(
            Document(
                "findings", findings.read_bytes(), load_findings, json.loads(findings.read_bytes())
            )
        )
    return found


def of_the_ledger(ledger: Path, key: signing.SigningKey, trust: Trust) -> list[Document]:
    """Checkpoint and proofs."""
    lines = Ledger(ledger).lines()
    origin = Ledger(ledger).position()["origin"]
    held = checkpoint.of(origin, lines[:2])
    signed = checkpoint.sign(checkpoint.of(origin, lines), key)
    return [
        Document("checkpoint", signed.encode(), lambda p: checkpoint.load(p, trust)),
        Document(
            "growth_proof",
            proofs.between(lines, 2, signed).encode(),
            lambda p: proofs.check_between(held, p.read_bytes(), trust),
        ),
        Document(
            "entry_proof",
            proofs.inclusion(lines, 1, signed).encode(),
            lambda p: proofs.check_inclusion(p.read_bytes(), trust),
        ),
    ]


def _plain(value: Any) -> Any:
    """YAML content as JSON has it: times as text."""
    return json.loads(json.dumps(value, default=str))


def _reader(trust: Trust) -> Callable[[Path], Any]:
    """Reads a statement as `damp verify` does: a refusal is an answer there, not an error."""

    def read(path: Path) -> Any:
        found = verify_statement(path, trust)
        if found.problems:
            raise ComplianceError(" ".join(found.problems))
        return found

    return read


def _read_ledger(path: Path) -> Any:
    found = verify(path)
    if found.problem:
        raise ComplianceError(found.problem)
    return Ledger(path).entries()


def signed_mutations(
    statement: Path, key: signing.SigningKey, count: int, seed: int
) -> Iterator[Mutation]:
    """Statements whose content was changed and signed anew by a trusted key: the schema's turn."""
    told = json.loads(signing.open_envelope(statement.read_bytes()).payload)
    draw = random.Random(f"signed {seed}")  # noqa: S311 - not for secrets
    number = 0
    while number < count:
        changed = mutating.of_tree(told, draw)
        try:
            payload = strictjson.canonical(changed)
        except ComplianceError:
            continue  # no canonical form: nobody can sign it
        yield f"signed-{number}", signing.sign_bytes(payload, signing.PAYLOAD_TYPE, key)
        number += 1
