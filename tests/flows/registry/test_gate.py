"""No way round the gate: whoever can write to the registry cannot make an alias look deserved.

The registry holds what the demo's event left: version 1 as it was trained, version 2 without the
class. Each test does to it what somebody with full access could do, in MLflow and in a second
registry behind the same door (`memory_registry.py`).
"""

from __future__ import annotations

import base64
import json
import shutil
import sqlite3
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from compliance.ledger import Ledger, checkpoint
from compliance.signing import SigningKey
from compliance.signing import envelope as signing
from flows import models
from flows.operations import promote
from flows.registry import (
    STATEMENT,
    WEIGHTS,
    ModelVersion,
    Registry,
    backend,
    gate,
    gate_files,
    lineage,
    mlflow_registry,
    open_registry,
    promotions,
    reaudits,
    registration,
    version_of,
)
from flows.state import keyring, locks
from flows.state.errors import BusyError, GateError, RegistryError
from flows.state.files import canonical, digest_bytes, digest_file
from flows.state.paths import Attempt, Home
from tests.flows.conftest import Damp
from tests.flows.registry import memory_registry
from tests.flows.registry.memory_registry import MemoryRegistry
from tests.flows.world import EVENT, World

pytestmark = pytest.mark.slow

NAME = "digits"
MODEL: dict[str, Any] = {
    "name": NAME,
    "architecture": "damp:cnn",
    "classes": 10,
    "input_shape": (1, 8, 8),
    "data_name": "digits",
}
OTHER = "0d9a7d52-7c1c-4f0e-8f41-6f7a5f6c2b11"


@dataclass(frozen=True)
class Shop(ABC):
    """A registry with the demo's two versions, and hands that may do anything to it."""

    home: Home
    world: World

    def registry(self) -> AbstractContextManager[Registry]:
        return open_registry(self.home)

    def problems(self) -> list[str]:
        return [problem for each in gate.audit_registry(self.home) for problem in each.problems]

    def alias(self, alias: str, version: int, name: str = NAME) -> None:
        with self.registry() as registry:
            registry.set_alias(name, alias, version)

    def version(self, number: int) -> ModelVersion:
        with self.registry() as registry:
            return version_of(registry, NAME, number)

    def weights(self, version: int) -> Path:
        with self.registry() as registry:
            model = registry.logged_model(version_of(registry, NAME, version).logged_model_id())
            kept = registry.model_file(model, WEIGHTS, self.home.root / "nowhere")
        assert kept is not None
        return kept

    def statement(self, version: int) -> Path:
        with self.registry() as registry:
            run_id = version_of(registry, NAME, version).run_id
            kept = registry.run_file(run_id, STATEMENT, self.home.root / "nowhere")
        assert kept is not None
        return kept

    def copied(self, version: int, **changed: str) -> int:
        """A version made by hand with the tags, source and run of another."""
        of = self.version(version)
        return self.put(
            NAME,
            source=changed.get("source", of.source),
            run_id=changed.get("run_id", of.run_id),
            tags=dict(of.raw_tags),
        )

    def beside(self, version: int, name: str) -> Path:
        """A file beside the weights, which may not be there yet."""
        return self.weights(version).with_name(name)

    def aside(self, name: str) -> Path:
        """A path outside the registry, in a folder that is there."""
        path = self.home.root.parent / "aside" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def disguised(self, name: str = "model.safetensors") -> Path:
        """The weights before the event, in a file that has one key of metadata more."""
        path = self.aside(name)
        save_file(load_file(self.weights(1)), path, metadata={"format": "pt"})
        return path

    def successor(self, key: SigningKey, weights: Path, signoffs: list[str]) -> int:
        """One attempt more with all that belongs to it, its plan asking for these roles."""
        ledger, statement = Ledger(self.home.ledger), self.world.statement
        predicate = statement["predicate"]
        number = self.world.attempts + 1
        first = ledger.of(EVENT, "statement_signed")[-1]
        plan = {"policy": {"signoffs": signoffs}, "modelBefore": digest_file(self.weights(1))}
        digest = digest_bytes(canonical(plan))
        entry = ledger.append(
            "plan_registered", EVENT, {"plan": plan, "digest": digest, "attempt": number}
        )
        earlier = [
            *predicate["event"]["previousAttempts"],
            {
                "attempt": number - 1,
                "statementDigest": first.body["statement"],
                "verdict": "PASSED",
            },
        ]
        predicate["event"] |= {"attempt": number, "previousAttempts": earlier}
        predicate["event"]["ledger"] = ledger.position()
        predicate["auditPlan"] |= {"digest": digest, "ledgerSequence": entry.seq}
        statement["subject"][0]["digest"]["sha256"] = digest_file(weights)
        path = self.aside(STATEMENT)
        path.write_bytes(signing.sign(statement, key))
        signed = {"verdict": "PASSED", "statement": signing.digest(path.read_bytes())}
        ledger.append("statement_signed", EVENT, {"attempt": number} | signed)
        version = self.registered(attempt=number, weights=weights, statement=path, move_alias=False)
        self.alias("champion", version)
        self.promotion(version, attempt=number)
        return version

    def promotion(self, version: int, *, attempt: int | None = None) -> None:
        """An entry that says so, and nothing more."""
        number = self.world.attempts if attempt is None else attempt
        body = {"attempt": number, "name": NAME, "version": str(version), "alias": "champion"}
        Ledger(self.home.ledger).append("model_promoted", EVENT, body)

    def promoted_by_an_earlier_damp(self) -> dict[str, Any]:
        """The promotion as it was entered before the digest over all files stood with it."""
        ledger = Ledger(self.home.ledger)
        entry = ledger.find("model_promoted", EVENT, f"attempt-{self.world.attempts}")
        assert entry is not None
        lines = self.home.ledger.read_text().splitlines(keepends=True)
        self.home.ledger.write_text("".join(lines[: entry.seq]))
        kept = {name: entry.body[name] for name in ("attempt", "name", "version", "alias", "model")}
        ledger.append_once("model_promoted", EVENT, f"attempt-{self.world.attempts}", kept)
        return kept

    def registered(self, *, attempt: int, weights: Path, statement: Path, move_alias: bool) -> int:
        """What an attempt of the demo's event made, as a version."""
        inputs = self.world.predicate["inputs"]
        return registration.register_successor(
            self.home,
            parent_version=1,
            event=EVENT,
            attempt=attempt,
            weights=weights,
            statement=statement,
            report=self.world.attempt.report,
            verdict="PASSED",
            data_before=inputs["dataBefore"]["version"],
            data_after=inputs["dataAfter"]["version"],
            retired=[3],
            move_alias=move_alias,
            **MODEL,
        ).version

    def key(self) -> SigningKey:
        """The executor's."""
        return keyring.signing_key(self.home, "executor")

    def signed(self, change: Callable[[dict[str, Any]], None]) -> bytes:
        """The demo's statement with something changed, signed by its own key."""
        statement = self.world.statement
        change(statement)
        return signing.sign(statement, self.key())

    @abstractmethod
    def put(self, name: str, *, source: str, run_id: str, tags: dict[str, str]) -> int:
        """A version with whatever source, run and tags; its number."""

    @abstractmethod
    def tag(self, version: int, key: str, value: str) -> None:
        """Write a tag, whatever it says."""

    @abstractmethod
    def untag(self, version: int, key: str) -> None: ...

    @abstractmethod
    def serve_from(self, version: int, location: str) -> None:
        """Let whoever loads a version by its name get its files from there."""

    @abstractmethod
    def dangling(self, alias: str, version: int) -> None:
        """An alias of a version that there is none of."""

    @abstractmethod
    def stage(self, version: int, stage: str) -> None: ...

    @abstractmethod
    def remove_alias(self, alias: str) -> None: ...

    @abstractmethod
    def delete(self, version: int) -> None: ...

    @abstractmethod
    def rename(self, name: str) -> None: ...


class MlflowShop(Shop):
    """By MLflow's own client."""

    def put(self, name: str, *, source: str, run_id: str, tags: dict[str, str]) -> int:
        with mlflow_registry.opened(self.home) as registry:
            if registry.model(name) is None:
                registry.client.create_registered_model(name)
            with mlflow_registry.as_default(registry.client):
                version = registry.client.create_model_version(
                    name, source=source, run_id=run_id or None, tags=tags, await_creation_for=0
                )
        return int(version.version)

    def tag(self, version: int, key: str, value: str) -> None:
        with mlflow_registry.opened(self.home) as registry:
            registry.client.set_model_version_tag(NAME, str(version), key, value)

    def untag(self, version: int, key: str) -> None:
        with mlflow_registry.opened(self.home) as registry:
            registry.client.delete_model_version_tag(NAME, str(version), key)

    def serve_from(self, version: int, location: str) -> None:
        self._sql(
            "UPDATE model_versions SET storage_location = ? WHERE version = ?", location, version
        )

    def dangling(self, alias: str, version: int) -> None:
        self.alias(alias, 1)
        self._sql("UPDATE registered_model_aliases SET version = ? WHERE alias = ?", version, alias)

    def stage(self, version: int, stage: str) -> None:
        self._sql("UPDATE model_versions SET current_stage = ? WHERE version = ?", stage, version)

    def _sql(self, statement: str, *values: str | int) -> None:
        with sqlite3.connect(self.home.mlflow_db) as database:
            database.execute(statement, values)
        database.close()

    def remove_alias(self, alias: str) -> None:
        with mlflow_registry.opened(self.home) as registry:
            registry.client.delete_registered_model_alias(NAME, alias)

    def delete(self, version: int) -> None:
        with mlflow_registry.opened(self.home) as registry:
            registry.client.delete_model_version(NAME, str(version))

    def rename(self, name: str) -> None:
        with mlflow_registry.opened(self.home) as registry:
            registry.client.rename_registered_model(NAME, name)


class MemoryShop(Shop):
    """By the registry in memory itself."""

    @property
    def memory(self) -> MemoryRegistry:
        return memory_registry.REGISTRIES[self.home.root]

    def put(self, name: str, *, source: str, run_id: str, tags: dict[str, str]) -> int:
        return self.memory.put(name, source=source, run_id=run_id, tags=tags).number

    def tag(self, version: int, key: str, value: str) -> None:
        self.memory.tag(NAME, version, {key: value})

    def untag(self, version: int, key: str) -> None:
        stored = self.memory.stored[NAME, version]
        tags = {name: text for name, text in stored.raw_tags.items() if name != key}
        self.memory.stored[NAME, version] = replace(stored, raw_tags=tags)

    def serve_from(self, version: int, location: str) -> None:
        self.memory.served_from[NAME, version] = location

    def dangling(self, alias: str, version: int) -> None:
        self.memory.aliases[NAME][alias] = version

    def stage(self, version: int, stage: str) -> None:
        self.memory.stored[NAME, version] = replace(self.memory.stored[NAME, version], stage=stage)

    def remove_alias(self, alias: str) -> None:
        del self.memory.aliases[NAME][alias]

    def delete(self, version: int) -> None:
        del self.memory.stored[NAME, version]
        aliases = self.memory.aliases[NAME]
        self.memory.aliases[NAME] = {
            a: number for a, number in aliases.items() if number != version
        }

    def rename(self, name: str) -> None:
        for version in self.memory.versions(NAME):
            self.put(
                name,
                source=version.source,
                run_id=version.run_id,
                tags=dict(version.raw_tags),
            )
            del self.memory.stored[NAME, version.number]
        self.memory.aliases[name] = self.memory.aliases.pop(NAME)


@pytest.fixture(params=["mlflow", "memory"])
def shop(
    request: pytest.FixtureRequest,
    empty_registry: Path,
    world: World,
    home: Home,
    monkeypatch: pytest.MonkeyPatch,
) -> Shop:
    home.root.mkdir()
    if request.param == "memory":
        monkeypatch.setattr(backend, "implementation", memory_registry)
        return filled(MemoryShop(home, world))
    shutil.copy(empty_registry, home.mlflow_db)
    return filled(MlflowShop(home, world))


@pytest.fixture
def mlflow_shop(empty_registry: Path, world: World, home: Home) -> Shop:
    home.root.mkdir()
    shutil.copy(empty_registry, home.mlflow_db)
    return filled(MlflowShop(home, world))


def filled(shop: Shop) -> Shop:
    """With the demo's two versions registered."""
    home, world = shop.home, shop.world
    shutil.copy(world.home.trust, home.trust)
    lines = world.home.ledger.read_text().splitlines(keepends=True)
    signed = 1 + max(n for n, kind in enumerate(world.kinds()) if kind == "statement_signed")
    home.ledger.write_text("".join(lines[:signed]))  # the promotion is of the version made below
    shutil.copytree(world.home.keys, home.keys)
    attempt = world.attempt
    registration.register_base(
        home,
        weights=attempt.folder / "before.safetensors",
        data_version=world.predicate["inputs"]["dataBefore"]["version"],
        **MODEL,
    )
    number = world.attempts
    shop.registered(
        attempt=number, weights=attempt.after, statement=attempt.statement, move_alias=True
    )
    with shop.registry() as registry:
        promotions.enter(home, registry, version_of(registry, NAME, 2))
    closed = {"attempt": number, "verdict": "PASSED"}
    Ledger(home.ledger).append_once("event_closed", EVENT, f"attempt-{number}", closed)
    return shop


def test_what_an_event_left_has_nothing_wrong(shop: Shop) -> None:
    """The control of everything below."""
    checks = gate.audit_registry(shop.home)
    assert [(each.version, each.kind, each.aliases, each.verdict) for each in checks] == [
        (1, "base", (), ""),
        (2, "successor", ("champion",), "PASSED"),
    ]
    assert shop.problems() == []
    entries = Ledger(shop.home.ledger).entries()
    assert promote.promote(shop.home, NAME, 2).problems == ()
    assert Ledger(shop.home.ledger).entries() == entries  # it was promoted before


def alias_to_the_model_before(shop: Shop) -> int:
    shop.alias("champion", 1)
    return 1


def another_alias_to_the_model_before(shop: Shop) -> int:
    shop.alias("production", 1)
    return 1


def no_alias_at_all(shop: Shop) -> int:
    shop.remove_alias("champion")
    return 1


def weights_replaced_by_the_model_before(shop: Shop) -> int:
    shutil.copy(shop.weights(1), shop.weights(2))
    return 2


def weights_and_their_tag_replaced(shop: Shop) -> int:
    torch.manual_seed(5)
    sha256 = models.save_weights(models.build("damp:cnn", 10, (1, 8, 8)), shop.weights(2), {})
    shop.tag(2, "damp.weights_sha256", sha256)
    return 2


def weights_gone(shop: Shop) -> int:
    shop.weights(2).unlink()
    return 2


def specification_that_brings_the_class_back(shop: Shop) -> int:
    spec = shop.weights(2).with_name("spec.json")
    spec.write_text(spec.read_text().replace("[3]", "[]"))
    return 2


def serving_code_replaced(shop: Shop) -> int:
    with shop.weights(2).with_name("serving.py").open("a") as code:
        code.write("\nimport this\n")
    return 2


def statement_gone(shop: Shop) -> int:
    shop.statement(2).unlink()
    return 2


def statement_with_a_changed_verdict(shop: Shop) -> int:
    kept = shop.statement(2)
    envelope = json.loads(kept.read_text())
    payload = base64.b64decode(envelope["payload"]).replace(b"demo-v3", b"best-v9")
    envelope["payload"] = base64.b64encode(payload).decode()
    kept.write_text(json.dumps(envelope))
    return 2


def statement_signed_again_after_a_change(shop: Shop) -> int:
    def longer(statement: dict[str, Any]) -> None:
        statement["predicate"]["retention"]["reauditDue"] = "2036-01-01T00:00:00Z"

    shop.statement(2).write_bytes(shop.signed(longer))
    return 2


def statement_of_another_model(shop: Shop) -> int:
    def about_another(statement: dict[str, Any]) -> None:
        statement["subject"][0]["digest"]["sha256"] = "ab" * 32

    shop.statement(2).write_bytes(shop.signed(about_another))
    return 2


def statement_by_a_key_of_the_attackers(shop: Shop) -> int:
    own = shop.home.root.parent / "attacker"
    key = keyring.new(Home(own), role="executor", days=30, demo=True)
    shop.statement(2).write_bytes(signing.sign(shop.world.statement, key))
    return 2


def key_expired_before_the_event(shop: Shop) -> int:
    trust = json.loads(shop.home.trust.read_text())
    for key in trust["keys"].values():
        key |= {"not_before": "2020-01-01T00:00:00+00:00", "not_after": "2021-01-01T00:00:00+00:00"}
    shop.home.trust.write_text(json.dumps(trust))
    return 2


def key_of_another_role(shop: Shop) -> int:
    trust = json.loads(shop.home.trust.read_text())
    for key in trust["keys"].values():
        key["role"] = "reviewer"
    shop.home.trust.write_text(json.dumps(trust))
    return 2


def verdict_tag_on_the_model_before(shop: Shop) -> int:
    shop.tag(1, "damp.verdict", "PASSED")
    shop.alias("champion", 1)
    return 1


def tags_copied_to_a_new_version_of_the_model_before(shop: Shop) -> int:
    copy = shop.copied(2, source=shop.version(1).source)
    shop.alias("champion", copy)
    return copy


def a_copy_of_the_version_with_all_its_tags(shop: Shop) -> int:
    copy = shop.copied(2)
    shop.alias("champion", copy)
    return copy


def tags_that_name_another_event(shop: Shop) -> int:
    shop.tag(2, "damp.event_id", OTHER)
    return 2


def tags_that_name_another_parent(shop: Shop) -> int:
    shop.tag(2, "damp.parent_version", "7")
    return 2


def tags_that_name_other_data(shop: Shop) -> int:
    shop.tag(2, "damp.data_version", "0" * 32 + ".dir")
    return 2


def ledger_without_the_statement(shop: Shop) -> int:
    lines = shop.home.ledger.read_text().splitlines(keepends=True)
    shop.home.ledger.write_text("".join(lines[:4]))
    return 2


# Files beside the weights


def weights_replaced_by_the_ones_before_and_their_tag(shop: Shop) -> int:
    sha256 = digest_file(shop.weights(1))
    shutil.copy(shop.weights(1), shop.weights(2))
    shop.tag(2, "damp.weights_sha256", sha256)
    return 2


def a_promoted_version_that_says_it_is_a_base_model(shop: Shop) -> int:
    shutil.copy(shop.disguised(), shop.weights(2))
    shop.tag(2, "damp.weights_sha256", digest_file(shop.weights(2)))
    shop.tag(2, "damp.kind", "base")
    for key in ("event_id", "attempt", "verdict", "statement_sha256", "parent_version"):
        shop.untag(2, f"damp.{key}")
    return 2


def a_description_that_names_other_weights(shop: Shop) -> int:
    described(shop, "weights.safetensors", "../other.safetensors")
    return 2


def a_description_that_names_other_code(shop: Shop) -> int:
    described(shop, "mlflow.pyfunc.loaders.code_model", "antigravity")
    return 2


def described(shop: Shop, old: str, new: str) -> None:
    path = shop.beside(2, "MLmodel")
    text = path.read_text() if path.exists() else f"flavors: {{python_function: {{a: {old}}}}}"
    path.write_text(text.replace(old, new))


def a_second_file_of_weights(shop: Shop) -> int:
    path = shop.beside(2, "more") / "weights.safetensors"
    path.parent.mkdir()
    shutil.copy(shop.weights(1), path)
    return 2


def requirements_that_install_something_else(shop: Shop) -> int:
    shop.beside(2, "requirements.txt").write_text("damp-unlearning==1.0\nantigravity\n")
    return 2


def an_environment_that_installs_something_else(shop: Shop) -> int:
    shop.beside(2, "python_env.yaml").write_text("python: 3.11.1\ndependencies:\n- antigravity\n")
    return 2


def files_served_from_elsewhere(shop: Shop) -> int:
    shop.serve_from(2, shop.weights(1).parent.as_uri())
    return 2


# Specification and lineage, edited in two places


def specified(shop: Shop, key: str, value: Any, tag: str) -> int:
    path = shop.beside(2, "spec.json")
    path.write_bytes(canonical(json.loads(path.read_text()) | {key: value}))
    shop.tag(2, f"damp.{key}", tag)
    return 2


def retired_outputs_edited_with_their_specification(shop: Shop) -> int:
    return specified(shop, "retired", [], "[]")


def architecture_edited_with_its_specification(shop: Shop) -> int:
    return specified(shop, "architecture", "os:abort", "os:abort")


def outputs_edited_with_their_specification(shop: Shop) -> int:
    return specified(shop, "classes", 11, "11")


def a_parent_that_is_not_the_model_before(shop: Shop) -> int:
    torch.manual_seed(6)
    sha256 = models.save_weights(models.build("damp:cnn", 10, (1, 8, 8)), shop.weights(1), {})
    shop.tag(1, "damp.weights_sha256", sha256)
    return 2


def a_base_model_that_claims_a_parent(shop: Shop) -> int:
    shop.tag(1, "damp.parent_version", "2")
    return 1


def the_model_before_as_another_base_model(shop: Shop) -> int:
    data = shop.world.predicate["inputs"]["dataAfter"]["version"]
    base = registration.register_base(
        shop.home, weights=shop.disguised(), data_version=data, **MODEL
    )
    shop.alias("champion", base.version)
    shop.promotion(base.version)
    return base.version


def the_model_before_in_production(shop: Shop) -> int:
    shop.stage(1, "Production")
    return 1


def an_alias_of_a_version_that_is_gone(shop: Shop) -> int:
    shop.dangling("production", 7)
    return 7


# Entries of the ledger, which nobody has signed


def reaudit(shop: Shop, verdict: str, signature: str = "") -> dict[str, Any]:
    number = shop.world.attempts
    body: dict[str, Any] = {"attempt": number, "verdict": verdict, "findings": "ab" * 32}
    Ledger(shop.home.ledger).append("reaudited", EVENT, body | {"signed": signature})
    return body


def a_failed_reaudit_that_an_appended_pass_hides(shop: Shop) -> int:
    reaudit(shop, "FAILED")
    reaudit(shop, "PASSED")
    return 2


def a_failed_reaudit_that_a_pass_signed_before_hides(shop: Shop) -> int:
    body = {"attempt": shop.world.attempts, "verdict": "PASSED", "findings": "ab" * 32}
    earlier = reaudits.sign(shop.home, EVENT, shop.key(), model="cd" * 32, body=body)
    reaudit(shop, "FAILED")
    reaudit(shop, "PASSED", earlier)
    return 2


def a_failed_reaudit_that_was_cut_off_behind_a_checkpoint(shop: Shop) -> int:
    reaudit(shop, "FAILED")
    lines = Ledger(shop.home.ledger).lines()
    head = checkpoint.of(Ledger(shop.home.ledger).position()["origin"], lines)
    shop.home.checkpoints.mkdir()
    note = checkpoint.sign(head, shop.key())
    (shop.home.checkpoints / f"{head.size:08d}.txt").write_text(note)
    shop.home.ledger.write_bytes(b"".join(line + b"\n" for line in lines[:-1]))
    return 2


def a_second_plan_that_asks_for_nobody(shop: Shop) -> int:
    attacker = Home(shop.home.root.parent / "attacker")
    key = keyring.new(attacker, role="executor", days=30, demo=True)
    return shop.successor(key, shop.disguised(), signoffs=[])


def a_fork_whose_promotion_was_appended(shop: Shop) -> int:
    torch.manual_seed(7)
    weights = shop.aside("fork.safetensors")
    models.save_weights(models.build("damp:cnn", 10, (1, 8, 8)), weights, {})
    key = shop.key()
    return shop.successor(key, weights, signoffs=["executor"])


# The model before under another name


def elsewhere(shop: Shop, source: str) -> tuple[str, int]:
    version = shop.put("innocent", source=source, run_id="", tags={})
    shop.alias("champion", version, "innocent")
    return "innocent", version


def by_the_uri_of_its_file(shop: Shop) -> tuple[str, int]:
    return elsewhere(shop, shop.weights(1).as_uri())


def by_the_path_of_its_folder(shop: Shop) -> tuple[str, int]:
    return elsewhere(shop, str(shop.weights(1).parent))


def by_another_name_of_its_file(shop: Shop) -> tuple[str, int]:
    shutil.copy(shop.weights(1), shop.aside("data/pytorch_model.bin"))
    return elsewhere(shop, str(shop.aside("")))


def with_one_key_of_metadata_more(shop: Shop) -> tuple[str, int]:
    return elsewhere(shop, shop.disguised().parent.as_uri())


def with_other_names_of_tensors(shop: Shop) -> tuple[str, int]:
    tensors = {f"module.{name}": value for name, value in load_file(shop.weights(1)).items()}
    save_file(tensors, shop.aside("model.safetensors"))
    return elsewhere(shop, str(shop.aside("")))


def in_double_precision(shop: Shop) -> tuple[str, int]:
    tensors = {name: value.double() for name, value in load_file(shop.weights(1)).items()}
    save_file(tensors, shop.aside("model.safetensors"))
    return elsewhere(shop, str(shop.aside("")))


def in_brain_floats(shop: Shop) -> tuple[str, int]:
    tensors = {name: value.bfloat16() for name, value in load_file(shop.weights(1)).items()}
    save_file(tensors, shop.aside("model.safetensors"))
    return elsewhere(shop, str(shop.aside("")))


def as_a_pickle_of_pytorch(shop: Shop) -> tuple[str, int]:
    torch.save(load_file(shop.weights(1)), shop.aside("model.pth"))
    return elsewhere(shop, str(shop.aside("")))


def with_one_tensor_more_and_one_changed(shop: Shop) -> tuple[str, int]:
    tensors = load_file(shop.weights(1))
    tensors[max(tensors)] = tensors[max(tensors)] + 1
    save_file(tensors | {"more": torch.ones(3)}, shop.aside("model.safetensors"))
    return elsewhere(shop, str(shop.aside("")))


def behind_a_second_plan_about_another_model(shop: Shop) -> tuple[str, int]:
    body = {"plan": {"modelBefore": "ab" * 32}, "digest": "cd" * 32, "attempt": shop.world.attempts}
    Ledger(shop.home.ledger).append("plan_registered", EVENT, body)
    return elsewhere(shop, str(shop.weights(1).parent))


def where_nobody_can_look(shop: Shop) -> tuple[str, int]:
    return elsewhere(shop, "s3://bucket/model")


def behind_a_link_to_a_folder(shop: Shop) -> tuple[str, int]:
    shop.aside("model").symlink_to(shop.weights(1).parent)
    return elsewhere(shop, str(shop.aside("")))


WAYS: list[Callable[[Shop], int | tuple[str, int]]] = [
    alias_to_the_model_before,
    another_alias_to_the_model_before,
    no_alias_at_all,
    weights_replaced_by_the_model_before,
    weights_and_their_tag_replaced,
    weights_gone,
    specification_that_brings_the_class_back,
    serving_code_replaced,
    statement_gone,
    statement_with_a_changed_verdict,
    statement_signed_again_after_a_change,
    statement_of_another_model,
    statement_by_a_key_of_the_attackers,
    key_expired_before_the_event,
    key_of_another_role,
    verdict_tag_on_the_model_before,
    tags_copied_to_a_new_version_of_the_model_before,
    a_copy_of_the_version_with_all_its_tags,
    tags_that_name_another_event,
    tags_that_name_another_parent,
    tags_that_name_other_data,
    ledger_without_the_statement,
    weights_replaced_by_the_ones_before_and_their_tag,
    a_promoted_version_that_says_it_is_a_base_model,
    a_description_that_names_other_weights,
    a_description_that_names_other_code,
    a_second_file_of_weights,
    requirements_that_install_something_else,
    an_environment_that_installs_something_else,
    files_served_from_elsewhere,
    retired_outputs_edited_with_their_specification,
    architecture_edited_with_its_specification,
    outputs_edited_with_their_specification,
    a_parent_that_is_not_the_model_before,
    a_base_model_that_claims_a_parent,
    the_model_before_as_another_base_model,
    the_model_before_in_production,
    an_alias_of_a_version_that_is_gone,
    a_failed_reaudit_that_an_appended_pass_hides,
    a_failed_reaudit_that_a_pass_signed_before_hides,
    a_failed_reaudit_that_was_cut_off_behind_a_checkpoint,
    a_second_plan_that_asks_for_nobody,
    a_fork_whose_promotion_was_appended,
    by_the_uri_of_its_file,
    by_the_path_of_its_folder,
    by_another_name_of_its_file,
    with_one_key_of_metadata_more,
    with_other_names_of_tensors,
    in_double_precision,
    in_brain_floats,
    as_a_pickle_of_pytorch,
    with_one_tensor_more_and_one_changed,
    behind_a_second_plan_about_another_model,
    where_nobody_can_look,
    behind_a_link_to_a_folder,
]


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__.replace("_", " "))
def test_a_way_round_the_gate_is_named_and_leads_nowhere(
    way: Callable[[Shop], int | tuple[str, int]], shop: Shop
) -> None:
    target = way(shop)
    name, version = (NAME, target) if isinstance(target, int) else target
    assert shop.problems() != []
    before = registration.champion(shop.home, name)
    with pytest.raises((GateError, RegistryError)):
        promote.promote(shop.home, name, version)
    assert registration.champion(shop.home, name) == before


def test_a_file_of_the_right_form_that_changed_since_is_named(shop: Shop) -> None:
    shop.beside(2, "requirements.txt").write_text("damp-unlearning==0.0.1\n")
    (problem,) = shop.problems()
    assert "not those that were promoted, by the ledger" in problem


def test_only_a_signed_reaudit_takes_back_one_that_did_not_pass(shop: Shop) -> None:
    body = reaudit(shop, "FAILED") | {"verdict": "PASSED"}
    reaudit(shop, "PASSED")
    assert any("re-audit" in problem for problem in shop.problems())
    reaudit(shop, "PASSED", reaudits.sign(shop.home, EVENT, shop.key(), model="cd" * 32, body=body))
    assert shop.problems() == []


def test_old_weights_are_recognised_after_the_last_copy_of_them_was_purged(shop: Shop) -> None:
    disguised = shop.disguised()
    shop.weights(1).unlink()
    Ledger(shop.home.ledger).append("artefacts_purged", EVENT, {"artefacts": []})
    assert shop.problems() == []
    shop.put("innocent", source=str(disguised), run_id="", tags={})
    assert any("very weights that an event was to make forget" in p for p in shop.problems())


def test_a_promotion_of_before_without_a_digest_of_files_is_enough(shop: Shop) -> None:
    ledger = Ledger(shop.home.ledger)
    kept = shop.promoted_by_an_earlier_damp()
    assert shop.problems() == []
    entries = ledger.entries()
    assert promote.promote(shop.home, NAME, 2).problems == ()
    assert [e.body for e in ledger.entries() if e.kind == "model_promoted"] == [kept]
    assert entries == ledger.entries()[: len(entries)]


def test_entries_that_are_not_of_their_form_say_nothing(shop: Shop) -> None:
    ledger = Ledger(shop.home.ledger)
    for kind in ("plan_registered", "model_promoted", "statement_signed", "artefacts_purged"):
        ledger.append(kind, EVENT, {"attempt": "one", "plan": ["nothing"]})
    assert shop.problems() == []


# Compare, then set


def test_promote_waits_for_no_running_event_and_moves_nothing_under_it(shop: Shop) -> None:
    with locks.lineage(shop.home, NAME), pytest.raises(BusyError, match=NAME):
        promote.promote(shop.home, NAME, 2)


def test_an_alias_that_is_moved_during_the_checks_stays(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    check = promote.check_version

    def moved(registry: Registry, *rest: Any) -> gate.VersionCheck:
        registry.set_alias(NAME, "champion", 1)
        return check(registry, *rest)

    monkeypatch.setattr(promote, "check_version", moved)
    with pytest.raises(RegistryError, match="was moved to version 1 meanwhile"):
        promote.promote(shop.home, NAME, 2)
    assert registration.champion(shop.home, NAME) == 1


def test_a_deleted_version_is_missed(shop: Shop) -> None:
    shop.delete(2)
    assert any("has no such version" in problem for problem in shop.problems())


def test_a_renamed_model_is_missed(shop: Shop) -> None:
    shop.rename("numbers")
    assert any("deleted or renamed" in problem for problem in shop.problems())


def test_old_weights_that_were_purged_are_not_missed(shop: Shop) -> None:
    shop.weights(1).unlink()
    assert any("weights are gone" in problem for problem in shop.problems())
    Ledger(shop.home.ledger).append("artefacts_purged", EVENT, {"artefacts": []})
    assert shop.problems() == []


def test_a_database_from_before_the_event_is_noticed(
    mlflow_shop: Shop, empty_registry: Path
) -> None:
    shutil.copy(empty_registry, mlflow_shop.home.mlflow_db)
    mlflow_registry._client.cache_clear()
    assert any("older copy of the database" in problem for problem in mlflow_shop.problems())


def test_the_old_weights_under_another_name_are_named(shop: Shop) -> None:
    shop.put("innocent", source=shop.version(1).source, run_id="", tags={})
    shop.alias("champion", 1, "innocent")
    assert any("very weights that an event was to make forget" in p for p in shop.problems())


def test_models_of_others_are_left_alone(shop: Shop) -> None:
    torch.save(torch.nn.Linear(30, 30).state_dict(), shop.aside("data/model.pth"))
    shop.put("weather", source=str(shop.aside("")), run_id="", tags={})
    shop.alias("champion", 1, "weather")
    checks = gate.audit_registry(shop.home)
    assert [(each.kind, each.problems) for each in checks if each.name == "weather"] == [
        ("foreign", ())
    ]


def test_an_alias_that_was_moved_by_hand_is_put_back(shop: Shop) -> None:
    shop.alias("champion", 1)
    assert promote.promote(shop.home, NAME, 2).problems == ()
    assert registration.champion(shop.home, NAME) == 2
    assert shop.problems() == []


def test_a_version_without_its_promotion_in_the_ledger_is_entered_by_promote(shop: Shop) -> None:
    """As when the policy waits for a sign-off: the event has passed, nobody has promoted it yet."""
    lines = shop.home.ledger.read_text().splitlines(keepends=True)
    shop.home.ledger.write_text("".join(lines[:5]))  # up to the signed statement
    assert shop.problems() == []  # the alias is between its move and its entry: `damp run` goes on
    assert promote.promote(shop.home, NAME, 2).problems == ()
    kinds = [entry["kind"] for entry in Ledger(shop.home.ledger).entries()]
    assert kinds[-2:] == ["model_promoted", "event_closed"]


def test_a_signature_that_came_later_is_brought_to_the_registry(shop: Shop) -> None:
    reviewer = keyring.new(shop.home, role="reviewer", days=30, demo=True)
    here = Attempt(shop.home, EVENT, shop.world.attempts).statement
    here.parent.mkdir(parents=True)
    here.write_bytes(signing.countersign(shop.world.attempt.statement.read_bytes(), reviewer))
    assert promote.promote(shop.home, NAME, 2).problems == ()
    assert shop.statement(2).read_bytes() == here.read_bytes()
    assert shop.problems() == []


def test_a_statement_of_another_event_is_not_brought_along(shop: Shop) -> None:
    here = Attempt(shop.home, EVENT, shop.world.attempts).statement
    here.parent.mkdir(parents=True)

    def longer(statement: dict[str, Any]) -> None:
        statement["predicate"]["retention"]["reauditDue"] = "2036-01-01T00:00:00Z"

    here.write_bytes(shop.signed(longer))
    kept = shop.statement(2).read_bytes()
    promote.promote(shop.home, NAME, 2)
    assert shop.statement(2).read_bytes() == kept


# Each version by itself


def test_a_version_that_cannot_be_read_is_one_finding_and_the_others_are_checked(
    shop: Shop,
) -> None:
    shop.tag(1, "damp.attempt", "\N{SUPERSCRIPT TWO}")
    shutil.copy(shop.weights(1), shop.weights(2))
    first, second = gate.audit_registry(shop.home)
    assert (first.version, first.kind, first.aliases) == (1, "base", ())
    (problem,) = first.problems
    assert "It could not be checked" in problem
    assert "damp.attempt is '\N{SUPERSCRIPT TWO}'" in problem
    assert any("not the ones that were registered" in problem for problem in second.problems)


def test_a_version_whose_run_is_gone_is_one_finding(shop: Shop) -> None:
    copy = shop.put(
        NAME,
        source=shop.version(2).source,
        run_id="f" * 32,
        tags=dict(shop.version(2).raw_tags),
    )
    checks = {each.version: each.problems for each in gate.audit_registry(shop.home)}
    assert (checks[1], checks[2]) == ((), ())
    (problem,) = checks[copy]
    assert "It could not be checked" in problem
    assert "f" * 32 in problem


def test_whatever_goes_wrong_with_one_version_the_others_are_checked(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    check = gate.check_files

    def fails(registry: Registry, ledger: Any, version: ModelVersion, *rest: Any) -> Any:
        if version.number == 1:
            raise LookupError("a defect")
        return check(registry, ledger, version, *rest)

    monkeypatch.setattr(gate, "check_files", fails)
    first, second = gate.audit_registry(shop.home)
    assert first.problems == ("It could not be checked: LookupError: a defect",)
    assert second.problems == ()


def test_a_model_with_a_quotation_mark_in_its_name_is_checked_like_others(shop: Shop) -> None:
    for name in ("it's", 'the "old" one'):
        shop.put(name, source=shop.version(1).source, run_id="", tags={})
    problems = [
        p for each in gate.audit_registry(shop.home) if each.name != NAME for p in each.problems
    ]
    assert len(problems) == 2
    assert all("very weights that an event was to make forget" in each for each in problems)


def test_a_model_whose_name_cannot_be_searched_for_is_one_finding(mlflow_shop: Shop) -> None:
    mlflow_shop.put("""it's "new\"""", source="/elsewhere", run_id="", tags={})
    (check,) = (each for each in gate.audit_registry(mlflow_shop.home) if each.problems)
    assert (check.version, check.kind) == (None, "name")
    assert "both quotation marks" in check.problems[0]


def test_models_beyond_the_first_hundred_are_checked(
    mlflow_shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mlflow_registry, "PAGE", 2)
    for number in range(3):
        mlflow_shop.put(f"a{number}", source="/elsewhere", run_id="", tags={})
    checks = gate.audit_registry(mlflow_shop.home)
    assert [(each.name, each.version) for each in checks] == [
        *[(f"a{number}", 1) for number in range(3)],
        *[(NAME, 1), (NAME, 2)],
    ]


# Serving code


def test_serving_code_that_an_earlier_damp_wrote_is_accepted(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.promoted_by_an_earlier_damp()
    code = shop.weights(2).with_name("serving.py")
    code.write_bytes(b"# as an earlier damp wrote it\n")
    assert any("serving code" in problem for problem in shop.problems())
    digest = digest_bytes(code.read_bytes())
    monkeypatch.setattr(gate_files, "EARLIER_SERVING", frozenset({digest}))
    assert shop.problems() == []


def test_lineage_is_read_from_the_tags(shop: Shop) -> None:
    first, second = lineage.nodes(shop.home, NAME)
    assert (first.version, first.parent, first.event, first.retired) == (1, None, "", ())
    number = shop.world.attempts
    assert (second.version, second.parent, second.event, second.attempt) == (2, 1, EVENT, number)
    assert (second.verdict, second.retired, second.aliases) == ("PASSED", (3,), ("champion",))
    with pytest.raises(RegistryError, match="No model 'nothing' is registered"):
        lineage.nodes(shop.home, "nothing")


def test_the_commands_say_what_is_wrong_and_what_to_do(shop: Shop, damp: Damp) -> None:
    assert damp("audit-registry").code == 0
    checks = damp("audit-registry", "--json").json()
    assert [(each["version"], each["problems"]) for each in checks] == [(1, []), (2, [])]
    shop.alias("champion", 1)
    scan = damp("audit-registry")
    assert scan.code == 1
    assert "moved past the gate" in scan.out
    assert f"damp promote {NAME}/2" in scan.out
    damp("promote", f"{NAME}/1").refused("no event made it", "Nothing was moved")
    assert damp("promote", f"{NAME}/2").code == 0
    assert damp("audit-registry").code == 0


def test_lineage_is_drawn_as_a_tree(shop: Shop, damp: Damp, tmp_path: Path) -> None:
    drawn = damp("lineage", NAME)
    assert drawn.code == 0
    for word in ("version 1", "version 2", "champion", "PASSED", EVENT[:8]):
        assert word in drawn.out
    tree = damp("lineage", NAME, "--json").json()
    assert [(each["version"], each["parent"]) for each in tree] == [(1, None), (2, 1)]
    picture = tmp_path / "lineage.svg"
    assert damp("lineage", NAME, "--svg", picture).code == 0
    assert "<title" in picture.read_text()
    damp("lineage", "nothing").refused("No model 'nothing' is registered")
