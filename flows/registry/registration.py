"""Registering models: which came from which, on which data, with which verdict.

Tags and aliases are believed only after the bytes were checked; the alias moves last.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from compliance.documents.preprocessing import Preprocessing
from flows.registry.backend import open_registry, read_registry, registry_exists
from flows.registry.interface import ModelVersion, NewVersion, Registry
from flows.registry.packing import Spec
from flows.registry.resolve import (
    CHAMPION,
    Resolved,
    ancestry,
    champion_of,
    move_champion,
    resolve,
    version_of,
)
from flows.registry.tags import VersionTags
from flows.state.errors import RegistryError
from flows.state.files import digest_file
from flows.state.paths import Home

__all__ = [
    "CHAMPION",
    "Registered",
    "Resolved",
    "champion",
    "register_base",
    "register_successor",
    "resolve",
]

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")
PASSED = "PASSED"


@dataclass(frozen=True, slots=True, kw_only=True)
class Registered:
    """A version of a registered model.

    Attributes:
        name: Of the registered model.
        version: Counted from 1.
        model_id: Of the logged model that holds the files.
        run_id: Of the run that holds lineage and artifacts.
    """

    name: str
    version: int
    model_id: str
    run_id: str

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def register_base(
    home: Home,
    *,
    name: str,
    weights: Path,
    architecture: str,
    classes: int,
    input_shape: Sequence[int],
    data_version: str,
    data_name: str,
    retired: Sequence[int] = (),
    preprocessing: Preprocessing | None = None,
) -> Registered:
    """Register a model that no event made; the same bytes on the same data are found again.

    It becomes `champion` only where the name has none.

    Raises:
        RegistryError: A name that cannot be one, or MLflow refused.
    """
    _check_name(name)
    spec = _spec(architecture, classes, input_shape, retired, preprocessing)
    identity = VersionTags(
        kind="base", weights_sha256=digest_file(weights), data_version=data_version
    )
    new = NewVersion(
        name=name,
        title=f"{name}, base model",
        identity=identity,
        tags=_described(identity, spec),
        weights=weights,
        spec=spec,
        parent=None,
        data_name=data_name,
        data={"training": data_version},
    )
    with open_registry(home) as registry:
        version = _register(registry, new)
        if champion_of(registry, name) is None:
            registry.set_alias(name, CHAMPION, version.number)
        return _registered(version)


def register_successor(
    home: Home,
    *,
    name: str,
    parent_version: int | str,
    event: str,
    attempt: int,
    weights: Path,
    statement: Path,
    report: Path,
    verdict: str,
    data_before: str,
    data_after: str,
    data_name: str,
    architecture: str,
    classes: int,
    input_shape: Sequence[int],
    retired: Sequence[int],
    move_alias: bool,
    preprocessing: Preprocessing | None = None,
    metrics: Mapping[str, float] | None = None,
    description: str = "",
    more: Sequence[Path] = (),
) -> Registered:
    """Register what an attempt of an event made, whatever its verdict; find it on a second call.

    Args:
        parent_version: The version that it was made from.
        preprocessing: What the model sees of an image.
        move_alias: Whether it becomes `champion`; only a PASSED one may.
        metrics: Figures of its audits, by name.
        description: For people, Markdown.
        more: Further files that its run keeps.

    Raises:
        RegistryError: The alias may not move, other bytes are registered for this attempt, or
            MLflow refused.
    """
    if move_alias and verdict != PASSED:
        raise RegistryError(
            f"The verdict on event {event}, attempt {attempt} is {verdict}: its model cannot "
            f"become '{CHAMPION}'. Only {PASSED} moves the alias."
        )
    spec = _spec(architecture, classes, input_shape, retired, preprocessing)
    with open_registry(home) as registry:
        parent = version_of(registry, name, int(parent_version))
        tags = VersionTags(
            kind="successor",
            event=event,
            attempt=attempt,
            parent_version=parent.number,
            verdict=verdict,
            data_before=data_before,
            data_version=data_after,
            weights_sha256=digest_file(weights),
            statement_sha256=digest_file(statement),
        )
        new = NewVersion(
            name=name,
            title=f"event {event}, attempt {attempt}",
            identity=VersionTags(event=event, attempt=attempt),
            tags=_described(tags, spec),
            weights=weights,
            spec=spec,
            parent=parent.logged_model_id(),
            data_name=data_name,
            data={"before": data_before, "after": data_after},
            artifacts=(report, statement, *more),
            metrics=metrics or {},
            description=description,
        )
        version = _register(registry, new)
        if move_alias:
            _move_alias(registry, version, parent)
        return _registered(version)


def champion(home: Home, name: str) -> int | None:
    """The version that the alias `champion` points to; None without alias, model or registry."""
    if not registry_exists(home):
        return None
    with read_registry(home) as registry:
        return champion_of(registry, name)


def _register(registry: Registry, new: NewVersion) -> ModelVersion:
    """The version, which is what was asked for in all its tags."""
    version = registry.register(new)
    wanted = new.tags.to_tags()
    if other := [key for key, text in wanted.items() if version.raw_tags.get(key) != text]:
        raise RegistryError(
            f"Version {version.number} of '{new.name}' is already registered as {new.title}, but "
            f"differs in {', '.join(other)}. Versions never change; run a new attempt or event."
        )
    return version


def _move_alias(registry: Registry, version: ModelVersion, parent: ModelVersion) -> None:
    """Compare and swap: from the parent, never from a model that another event has promoted."""
    now = champion_of(registry, version.name)
    if now in (None, parent.number):
        move_champion(registry, version.name, version.number, expected=now)
    elif version.number not in ancestry(registry, version.name, now):
        raise RegistryError(
            f"'{version.name}@{CHAMPION}' is now version {now}, which was not made from version "
            f"{version.number} nor is it the version {parent.number} that this was made from. "
            f"To erase the class from the model in use, request it of '{version.name}@{CHAMPION}'."
        )


def _registered(version: ModelVersion) -> Registered:
    return Registered(
        name=version.name,
        version=version.number,
        model_id=version.logged_model_id(),
        run_id=version.run_id,
    )


def _described(tags: VersionTags, spec: Spec) -> VersionTags:
    """The tags with what must be known beside the weights."""
    return replace(
        tags,
        architecture=spec.architecture,
        classes=spec.classes,
        input_shape=spec.input_shape,
        retired=spec.retired,
        preprocessing=spec.preprocessing,
    )


def _spec(
    architecture: str,
    classes: int,
    shape: Sequence[int],
    retired: Sequence[int],
    preprocessing: Preprocessing | None,
) -> Spec:
    return Spec(
        architecture=architecture,
        classes=classes,
        input_shape=tuple(shape),
        retired=tuple(sorted(set(retired))),
        preprocessing=preprocessing,
    )


def _check_name(name: str) -> None:
    if not NAME.fullmatch(name):
        raise RegistryError(
            f"'{name}' cannot name a model: use letters, digits, '_', '-' and '.', at most 100."
        )
