"""Which model came from which, on which data, with which verdict: MLflow's registry.

Tags and aliases are believed only after the bytes were checked; the alias moves last.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flows.registry import client as tracking
from flows.registry import versions
from flows.registry.packing import Spec
from flows.registry.resolve import CHAMPION, Resolved, ancestry, champion_of, resolve, version_of
from flows.registry.versions import Job
from flows.state.errors import RegistryError
from flows.state.files import digest_file
from flows.state.paths import Home

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

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
        model_id: Of the MLflow model that holds the files.
        run_id: Of the MLflow run that holds lineage and artifacts.
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
) -> Registered:
    """Register a model that no event made; the same bytes on the same data are found again.

    It becomes `champion` only where the name has none.

    Raises:
        RegistryError: A name that cannot be one, or MLflow refused.
    """
    _check_name(name)
    sha256 = digest_file(weights)
    job = Job(
        name=name,
        title=f"{name}, base model",
        identity={
            "damp.kind": "base",
            "damp.weights_sha256": sha256,
            "damp.data_version": data_version,
        },
        tags={},
        weights=weights,
        spec=_spec(architecture, classes, input_shape, retired),
        parent=None,
        data_name=data_name,
        data={"training": data_version},
    )
    with tracking.opened(home) as client:
        version = _found_or_made(client, home, job)
        if champion_of(client, name) is None:
            client.set_registered_model_alias(name, CHAMPION, str(version.version))
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
    metrics: Mapping[str, float] | None = None,
    description: str = "",
) -> Registered:
    """Register what an attempt of an event made, whatever its verdict; find it on a second call.

    Args:
        parent_version: The version that it was made from.
        move_alias: Whether it becomes `champion`; only a PASSED one may.
        metrics: Figures of its audits, by name.
        description: For people, Markdown.

    Raises:
        RegistryError: The alias may not move, other bytes are registered for this attempt, or
            MLflow refused.
    """
    if move_alias and verdict != PASSED:
        raise RegistryError(
            f"The verdict on event {event}, attempt {attempt} is {verdict}: its model cannot "
            f"become '{CHAMPION}'. Only {PASSED} moves the alias."
        )
    with tracking.opened(home) as client:
        parent = version_of(client, name, str(parent_version))
        job = Job(
            name=name,
            title=f"event {event}, attempt {attempt}",
            identity={"damp.event_id": event, "damp.attempt": str(attempt)},
            tags={
                "damp.kind": "successor",
                "damp.parent_version": str(parent.version),
                "damp.data_version": data_after,
                "damp.data_before": data_before,
                "damp.verdict": verdict,
                "damp.weights_sha256": digest_file(weights),
                "damp.statement_sha256": digest_file(statement),
            },
            weights=weights,
            spec=_spec(architecture, classes, input_shape, retired),
            parent=versions.model_id(parent),
            data_name=data_name,
            data={"before": data_before, "after": data_after},
            artifacts=(report, statement),
            metrics=metrics or {},
            description=description,
        )
        version = _found_or_made(client, home, job)
        if move_alias:
            _move_alias(client, version, parent)
        return _registered(version)


def champion(home: Home, name: str) -> int | None:
    """The version that the alias `champion` points to; None without alias, model or registry."""
    if not tracking.exists(home):
        return None
    with tracking.opened(home) as client:
        return champion_of(client, name)


def _found_or_made(client: MlflowClient, home: Home, job: Job) -> ModelVersion:
    version = versions.find(client, job.name, job.identity)
    if version is None:
        version = versions.make(client, home, job)
    told = {key: version.tags.get(key) for key in job.all_tags()}
    if other := [key for key, value in job.all_tags().items() if told[key] != value]:
        raise RegistryError(
            f"Version {version.version} of '{job.name}' is already registered as {job.title}, but "
            f"differs in {', '.join(other)}. Versions never change; run a new attempt or event."
        )
    versions.link(client, version)
    return version


def _move_alias(client: MlflowClient, version: ModelVersion, parent: ModelVersion) -> None:
    """Compare and swap: from the parent, never from a model that another event has promoted."""
    now = champion_of(client, version.name)
    if now in (None, int(parent.version)):
        client.set_registered_model_alias(version.name, CHAMPION, str(version.version))
    elif int(version.version) not in ancestry(client, version.name, now):
        raise RegistryError(
            f"'{version.name}@{CHAMPION}' is now version {now}, which was not made from version "
            f"{version.version} nor is it the version {parent.version} that this was made from. "
            f"To erase the class from the model in use, request it of '{version.name}@{CHAMPION}'."
        )


def _registered(version: ModelVersion) -> Registered:
    return Registered(
        name=version.name,
        version=int(version.version),
        model_id=versions.model_id(version),
        run_id=str(version.run_id),
    )


def _spec(architecture: str, classes: int, shape: Sequence[int], retired: Sequence[int]) -> Spec:
    return Spec(
        architecture=architecture,
        classes=classes,
        input_shape=tuple(shape),
        retired=tuple(sorted(set(retired))),
    )


def _check_name(name: str) -> None:
    if not NAME.fullmatch(name):
        raise RegistryError(
            f"'{name}' cannot name a model: use letters, digits, '_', '-' and '.', at most 100."
        )
