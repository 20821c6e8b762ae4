"""Whatever documents damp reads, mangled: what people write, what is signed, what is replayed."""

from __future__ import annotations

import json
import random
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.robustness import mutating
from compliance.documents.claim import load_claim
from compliance.documents.policy import load_policy
from compliance.documents.request import load_request
from compliance.formats import strict_json
from compliance.formats.errors import ComplianceError
from compliance.ledger import Ledger, checkpoint, proofs, verify
from compliance.signing import Trust, envelope, load_trust
from compliance.verdict import load_findings
from compliance.verification.verify import verify_statement
from flows.models import architectures, recipes
from flows.operations import replay
from flows.state.settings import overridden, settings

Mutation = tuple[str, bytes]


@dataclass(frozen=True)
class Document:
    """A kind of file, a good one, and what reads it.

    Attributes:
        name: Of the kind.
        content: A good file.
        read: Reads a path; refuses by one of damp's errors.
        tree: Its content as JSON values, where mutating the tree makes sense.
        ending: Of the files' names.
    """

    name: str
    content: bytes
    read: Callable[[Path], Any]
    tree: Any = None
    ending: str = ""

    def mutations(self, count: int, seed: int) -> Iterator[Mutation]:
        """So many mutations: every other one of the bytes, the others of the tree."""
        draw = random.Random(f"{self.name} {seed}")  # noqa: S311 - not for secrets
        for number in range(count):
            if self.tree is not None and number % 2:
                content = json.dumps(mutating.of_tree(self.tree, draw)).encode()
            else:
                content = mutating.of_bytes(self.content, draw)
            yield f"{self.name}-{number}{self.ending}", content


def all_of(
    request: str, policy: Path, statement: Path, trust: Path, ledger: Path
) -> list[Document]:
    """Every kind, from good files of each."""
    from ruamel.yaml import YAML

    yaml = YAML(typ="safe")
    trusted_keys = load_trust(trust)
    findings = statement.parent / "findings.json"
    policy_text = policy.read_text()
    rows = [
        Document("request", request.encode(), load_request, _plain(yaml.load(request))),
        Document("policy", policy_text.encode(), load_policy, _plain(yaml.load(policy_text))),
        Document(
            "statement",
            statement.read_bytes(),
            _reader(trusted_keys),
            json.loads(statement.read_bytes()),
        ),
        Document("trust", trust.read_bytes(), load_trust, json.loads(trust.read_bytes())),
        Document("ledger", ledger.read_bytes(), _read_ledger),
    ]
    if findings.is_file():
        rows.append(
            Document(
                "findings", findings.read_bytes(), load_findings, json.loads(findings.read_bytes())
            )
        )
    return rows


CLAIM = """\
apiVersion: damp/v1
kind: ForgettingClaim
scope: {type: class, selector: {indices: [3, 5]}}
original: {file: before.safetensors, architecture: "damp:cnn"}
edited: {file: after.safetensors, architecture: "damp:cnn", retired: [3, 5]}
data: {name: "imagefolder:photos", root: photos}
recipe: recipe.yaml
policy: default-v1
references: [r0.safetensors, r1.safetensors, r2.safetensors]
unseen: {name: "letters:load"}
"""
RECIPE = """\
apiVersion: damp/v1
kind: Recipe
architecture: shop:network
epochs: 30
batch_size: 64
learning_rate: 0.005
optimizer: sgd
label_smoothing: 0.1
"""
SETTINGS = """\
mlflow_uri = "http://10.1.2.3:5000"
prefect_api_url = "http://10.1.2.3:4200/api"
locks_url = "postgresql://damp@10.1.2.3/locks"
allow_cloud = false
runner = "dask"
workers = 4
device = "cuda"
threads = 2
"""
NETWORK = {
    "model_type": "vit",
    "architectures": ["ViTForImageClassification"],
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "image_size": 32,
    "patch_size": 8,
    "num_channels": 3,
    "hidden_act": "gelu",
    "id2label": {"0": "ant", "1": "bee"},
    "label2id": {"ant": 0, "bee": 1},
}


PLAN = {
    "attempt": 1,
    "dataBefore": f"{'0' * 32}.dir",
    "dataAfter": f"{'1' * 32}.dir",
    "method": {"preset": "mixture", "gain": 1, "sequential": False, "skip": []},
    "model": "2" * 64,
    "policyDigest": "4" * 64,
    "references": ["3" * 64] * 3,
    "seed": 7,
}


def of_people() -> list[Document]:
    """What is brought beside a request and a policy: a claim, a recipe, settings, a network, and
    the plan that lies beside a statement that is replayed."""
    from ruamel.yaml import YAML

    yaml = YAML(typ="safe")
    claim, recipe = (_plain(yaml.load(text)) for text in (CLAIM, RECIPE))
    network = json.dumps(NETWORK).encode()
    return [
        Document("claim", CLAIM.encode(), load_claim, claim),
        Document("recipe", RECIPE.encode(), lambda p: recipes.get(str(p)), recipe, ".yaml"),
        Document("settings", SETTINGS.encode(), _read_settings),
        Document("network", network, _read_network, NETWORK),
        Document("plan", json.dumps(PLAN).encode(), _read_plan, PLAN),
    ]


def of_the_ledger(ledger: Path, key: envelope.SigningKey, trust: Trust) -> list[Document]:
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
        verification = verify_statement(path, trust)
        if verification.problems:
            raise ComplianceError(" ".join(verification.problems))
        return verification

    return read


def _read_ledger(path: Path) -> Any:
    verification = verify(path)
    if verification.problem:
        raise ComplianceError(verification.problem)
    return Ledger(path).entries()


def _read_settings(path: Path) -> Any:
    """The settings, as every command reads them."""
    with overridden("DAMP_SETTINGS", str(path)):
        return settings()


def _read_plan(path: Path) -> Any:
    """The plan beside a statement that pins this one."""
    return replay.pinned_plan(path, strict_json.digest(PLAN))


def _read_network(path: Path) -> Any:
    """The network of a Hugging Face configuration, which lies in a folder of its own."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "config.json").write_bytes(path.read_bytes())
        return architectures.build(f"hf:{folder}", 2, (3, 32, 32))


def signed_mutations(
    statement: Path, key: envelope.SigningKey, count: int, seed: int
) -> Iterator[Mutation]:
    """Statements whose content was changed and signed anew by a trusted key: the schema's turn."""
    content = json.loads(envelope.open_envelope(statement.read_bytes()).payload)
    draw = random.Random(f"signed {seed}")  # noqa: S311 - not for secrets
    number = 0
    while number < count:
        changed = mutating.of_tree(content, draw)
        try:
            payload = strict_json.canonical(changed)
        except ComplianceError:
            continue  # no canonical form: nobody can sign it
        yield f"signed-{number}", envelope.sign_bytes(payload, envelope.PAYLOAD_TYPE, key)
        number += 1
