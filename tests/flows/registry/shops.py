"""A registry with the demo's two versions: in MLflow, and in memory behind the same door."""

from __future__ import annotations

import shutil
import sqlite3
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file

from compliance.ledger import Ledger
from compliance.signing import SigningKey
from compliance.signing import envelope as signing
from flows.registry import (
    STATEMENT,
    WEIGHTS,
    ModelVersion,
    Registry,
    gate,
    mlflow_registry,
    open_registry,
    promotions,
    registration,
    version_of,
)
from flows.state import keyring
from flows.state.files import canonical, digest_bytes, digest_file
from flows.state.paths import Home
from tests.flows.registry import memory_registry
from tests.flows.registry.memory_registry import MemoryRegistry
from tests.flows.world import EVENT, World

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
