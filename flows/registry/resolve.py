"""From `name@alias` or `name/3` to weights on disk, with their bytes checked."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from compliance.formats import strict_json
from compliance.formats.errors import JsonError
from flows.registry import client as tracking
from flows.registry import versions as registering
from flows.state.errors import RegistryError
from flows.state.files import digest_file
from flows.state.paths import Home

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

CHAMPION = "champion"
"""The alias of the model in use."""
REFERENCE = re.compile(
    r"(?P<name>[A-Za-z0-9][A-Za-z0-9_.-]{0,99})"
    r"(?:@(?P<alias>[A-Za-z][A-Za-z0-9_-]{0,99})|/(?P<version>[1-9][0-9]{0,8}))"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolved:
    """A registered model whose bytes are the ones that were registered.

    Attributes:
        name: Of the registered model.
        version: Counted from 1.
        weights: safetensors file.
        sha256: Of that file, computed now.
        architecture: As `flows.models.architectures.build` takes it.
        classes: Outputs.
        input_shape: (channels, height, width).
        data_version: `<md5>.dir` of the data that it is registered with.
        retired: Classes whose outputs are masked.
        model_id: Of the MLflow model that holds the files.
    """

    name: str
    version: int
    weights: Path
    sha256: str
    architecture: str
    classes: int
    input_shape: tuple[int, ...]
    data_version: str
    retired: tuple[int, ...]
    model_id: str

    def to_json(self) -> dict[str, Any]:
        lists = {"input_shape": list(self.input_shape), "retired": list(self.retired)}
        return asdict(self) | lists | {"weights": str(self.weights)}


def resolve(home: Home, reference: str) -> Resolved:
    """The model that `name@alias` or `name/version` stands for now.

    Raises:
        RegistryError: No such model, alias or version; not registered by damp; or its bytes are
            not the ones that were registered.
    """
    named = REFERENCE.fullmatch(reference)
    if named is None:
        raise RegistryError(
            f"'{reference}' names no registered model. Write NAME@ALIAS, as in "
            f"digits@{CHAMPION}, or NAME/VERSION, as in digits/3."
        )
    if not tracking.exists(home):
        raise RegistryError(
            f"There is no registry at {home.mlflow_db}, so no '{reference}'. Train and register a "
            "model with `damp train`, or set DAMP_HOME to the folder that has one."
        )
    with tracking.opened(home) as client:
        version = _named(client, named["name"], named["alias"], named["version"])
        return _checked(client, home, version)


def champion_of(client: MlflowClient, name: str) -> int | None:
    """The version under the alias `champion`, if there is one."""
    found = client.search_registered_models(f"name = '{name}'")
    told = found[0].aliases.get(CHAMPION) if found else None
    return None if told is None else int(told)


def version_of(client: MlflowClient, name: str, number: str) -> ModelVersion:
    """A version of a registered model.

    Raises:
        RegistryError: There is none.
    """
    return _named(client, name, None, number)


def ancestry(client: MlflowClient, name: str, version: int | None) -> list[int]:
    """A version and those it was made from, as their tags say."""
    line: list[int] = []
    while version is not None and version not in line:
        line.append(version)
        parent = version_of(client, name, str(version)).tags.get("damp.parent_version")
        version = int(parent) if parent else None
    return line


def _named(client: MlflowClient, name: str, alias: str | None, number: str | None) -> ModelVersion:
    known = client.search_registered_models(f"name = '{name}'")
    if not known:
        names = sorted(model.name for model in client.search_registered_models())
        raise RegistryError(
            f"No model '{name}' is registered. There are: {', '.join(names) or 'none'}."
        )
    aliases = known[0].aliases
    if alias is not None and alias not in aliases:
        raise RegistryError(
            f"Model '{name}' has no alias '{alias}'. It has: "
            f"{', '.join(sorted(aliases)) or 'none'}."
        )
    number = str(number if alias is None else aliases[alias])
    versions = {str(v.version): v for v in client.search_model_versions(f"name = '{name}'")}
    if number not in versions:
        raise RegistryError(
            f"Model '{name}' has no version {number}. It has: "
            f"{', '.join(sorted(versions, key=int)) or 'none'}."
        )
    return versions[number]


def _checked(client: MlflowClient, home: Home, version: ModelVersion) -> Resolved:
    model_id = registering.model_id(version)
    model = client.get_logged_model(model_id)
    weights = registering.weights_of(client, model, home.fetched / model_id)
    title = f"version {version.version} of '{version.name}'"
    if weights is None:
        raise RegistryError(
            f"The weights of {title} are gone from {model.artifact_location}. Restore them; was "
            "the state folder moved?"
        )
    sha256 = digest_file(weights)
    told = _told(version, title)
    if sha256 != told["sha256"]:
        raise RegistryError(
            f"The weights of {title} are not the ones that were registered: sha256 {sha256}, "
            f"registered {told['sha256']}. Restore {weights}; nothing is run on them."
        )
    return Resolved(
        name=version.name,
        version=int(version.version),
        weights=weights,
        model_id=model_id,
        **told,
    )


def _told(version: ModelVersion, title: str) -> dict[str, Any]:
    """What the tags say, in their types."""
    tags = version.tags
    try:
        return {
            "sha256": tags["damp.weights_sha256"],
            "architecture": tags["damp.architecture"],
            "classes": int(tags["damp.classes"]),
            "input_shape": tuple(int(side) for side in strict_json.loads(tags["damp.input_shape"])),
            "data_version": tags["damp.data_version"],
            "retired": tuple(int(c) for c in strict_json.loads(tags["damp.retired"])),
        }
    except (KeyError, ValueError, TypeError, JsonError) as problem:
        raise RegistryError(
            f"The tags of {title} are damaged or not damp's ({problem}): name a version "
            "that damp registered."
        ) from problem
