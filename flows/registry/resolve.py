"""From `name@alias` or `name/3` to weights on disk, with their bytes checked."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from compliance.documents.preprocessing import Preprocessing, content_of
from flows.registry.backend import read_registry, registry_exists
from flows.registry.interface import (
    LoggedModel,
    ModelVersion,
    ReadRegistry,
    RegisteredModel,
    Registry,
    damaged_tags,
)
from flows.registry.packing import WEIGHTS, Spec
from flows.registry.tags import TAGS, TagError, VersionTags
from flows.state.errors import RegistryError
from flows.state.files import digest_file
from flows.state.paths import Home

CHAMPION = "champion"
"""The alias of the model in use."""
_NAME = r"(?P<name>[A-Za-z0-9][A-Za-z0-9_.-]{0,99})"
_VERSION = r"/(?P<version>[1-9][0-9]{0,8})"
REFERENCE = re.compile(rf"{_NAME}(?:@(?P<alias>[A-Za-z][A-Za-z0-9_-]{{0,99}})|{_VERSION})")
PROMOTABLE = re.compile(rf"{_NAME}(?:{_VERSION})?")
"""NAME/VERSION, or NAME for the newest version that passed."""


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
        model_id: Of the logged model that holds the files.
        preprocessing: What the model sees of an image; None where it sees it as it is.
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
    preprocessing: Preprocessing | None = None

    def to_json(self) -> dict[str, Any]:
        lists = {"input_shape": list(self.input_shape), "retired": list(self.retired)}
        view = content_of(self.preprocessing)
        return asdict(self) | lists | {"weights": str(self.weights), "preprocessing": view}


def resolve(home: Home, reference: str) -> Resolved:
    """The model that `name@alias` or `name/version` stands for now.

    Raises:
        RegistryError: No such model, alias or version; not registered by damp; or its bytes are
            not the ones that were registered.
    """
    with _opened_at(home, reference) as (registry, version):
        return _checked(registry, home, version)


def spec_of(home: Home, reference: str) -> Spec:
    """What `name@alias` or `name/version` is by its tags; its weights are neither asked nor read.

    Raises:
        RegistryError: No such model, alias or version, or tags that damp did not write.
    """
    with _opened_at(home, reference) as (_, version):
        try:
            return version.tags().spec()
        except TagError as problem:
            raise damaged_tags(version, problem) from problem


@contextmanager
def _opened_at(home: Home, reference: str) -> Iterator[tuple[ReadRegistry, ModelVersion]]:
    """The registry, open, and the version that a reference stands for."""
    match = REFERENCE.fullmatch(reference)
    if match is None:
        raise RegistryError(
            f"'{reference}' names no registered model. Write NAME@ALIAS, as in "
            f"digits@{CHAMPION}, or NAME/VERSION, as in digits/3."
        )
    if not registry_exists(home):
        raise RegistryError(
            f"There is no registry at {home.mlflow_db}, so no '{reference}'. Train and register a "
            "model with `damp train`, or set DAMP_HOME to the folder that has one."
        )
    with read_registry(home) as registry:
        yield registry, version_at(registry, match)


def version_at(registry: ReadRegistry, match: re.Match[str]) -> ModelVersion:
    """The version that a reference stands for.

    Args:
        registry: Open.
        match: Of `REFERENCE`.
    Raises:
        RegistryError: There is no such model, alias or version.
    """
    name, alias, number = match.group("name", "alias", "version")
    if alias is None:
        return version_of(registry, name, int(number))
    return version_of(registry, name, _under_alias(model_of(registry, name), alias))


def export_hint(version: ModelVersion) -> str:
    """How a model comes in of which MLflow has logged a pickle: the command to type."""
    address = f"models:/{version.name}/{version.number}"
    return (
        "What `mlflow.pytorch` logs is a pickle, which runs code when it is opened, so damp opens "
        'none. Where it is trusted, export it: python -c "import mlflow, safetensors.torch as st; '
        f"st.save_model(mlflow.pytorch.load_model('{address}'), 'model.safetensors')\", then "
        "`damp request --model model.safetensors --architecture ...`."
    )


def champion_of(registry: ReadRegistry, name: str) -> int | None:
    """The version under the alias `champion`, if there is one."""
    model = registry.model(name)
    return None if model is None else model.aliases.get(CHAMPION)


def newest_passed(registry: ReadRegistry, name: str) -> ModelVersion:
    """The newest version of a model whose verdict is PASSED, by its tags.

    Raises:
        RegistryError: No such model, none of its versions passed, or tags that damp did not write.
    """
    model_of(registry, name)
    for version in sorted(registry.versions(name), key=lambda each: each.number, reverse=True):
        if version.tags().verdict == "PASSED":
            return version
    raise RegistryError(
        f"No version of '{name}' has passed its audits, so none can become '{CHAMPION}'. "
        f"`damp lineage {name}` shows all versions with their verdicts."
    )


def model_of(registry: ReadRegistry, name: str) -> RegisteredModel:
    """A registered model.

    Raises:
        RegistryError: There is none of that name; the message lists those that there are.
    """
    model = registry.model(name)
    if model is None:
        names = sorted(each.name for each in registry.models())
        raise RegistryError(
            f"No model '{name}' is registered. There are: {', '.join(names) or 'none'}."
        )
    return model


def version_of(registry: ReadRegistry, name: str, number: int) -> ModelVersion:
    """A version of a registered model.

    Raises:
        RegistryError: There is none.
    """
    model_of(registry, name)
    versions = {version.number: version for version in registry.versions(name)}
    if number not in versions:
        raise RegistryError(
            f"Model '{name}' has no version {number}. It has: "
            f"{', '.join(map(str, versions)) or 'none'}."
        )
    return versions[number]


def line_of(registry: ReadRegistry, version: ModelVersion) -> list[int]:
    """A version and those it was made from: a base model ends the line, whatever its tags claim."""
    versions = {each.number: each for each in registry.versions(version.name)}
    line: list[int] = []
    number: int | None = version.number
    while number in versions and number not in line:
        line.append(number)
        try:
            tags = versions[number].tags()
        except RegistryError:
            return line  # a finding of that version, and no reason to leave out this one
        number = None if tags.kind == "base" else tags.parent_version
    return line


def move_champion(registry: Registry, name: str, number: int, *, expected: int | None) -> None:
    """Let the alias `champion` point to a version, if it still points where it was expected.

    Raises:
        RegistryError: It was moved meanwhile.
    """
    now = champion_of(registry, name)
    if now != expected:
        raise RegistryError(
            f"'{name}@{CHAMPION}' was moved to {f'version {now}' if now else 'nothing'} meanwhile. "
            "Nothing was moved; `damp audit-registry` shows what is in use now."
        )
    registry.set_alias(name, CHAMPION, number)


def ancestry(registry: ReadRegistry, name: str, number: int | None) -> list[int]:
    """A version and those it was made from, as their tags claim."""
    line: list[int] = []
    while number is not None and number not in line:
        line.append(number)
        number = version_of(registry, name, number).tags().parent_version
    return line


def _under_alias(model: RegisteredModel, alias: str) -> int:
    if alias not in model.aliases:
        raise RegistryError(
            f"Model '{model.name}' has no alias '{alias}'. It has: "
            f"{', '.join(sorted(model.aliases)) or 'none'}."
        )
    return model.aliases[alias]


def _checked(registry: ReadRegistry, home: Home, version: ModelVersion) -> Resolved:
    model = registry.logged_model(version.logged_model_id())
    weights = registry.model_file(model, WEIGHTS, home.fetched / model.model_id)
    if weights is None and version.tags().weights_sha256 is None:
        raise RegistryError(
            f"{version.title} holds no {WEIGHTS}: damp has not registered it. If it holds a "
            f"safetensors file, `damp adopt {version.name}/{version.number}` takes it in. "
            f"{export_hint(version)}"
        )
    if weights is None:
        raise RegistryError(
            f"The weights of {version.title} are gone from {model.location}. Restore them; was "
            "the state folder moved?"
        )
    sha256 = digest_file(weights)
    tags = version.tags()
    try:
        if sha256 != _present(tags, "weights_sha256"):
            raise RegistryError(
                f"The weights of {version.title} are not the ones that were registered: sha256 "
                f"{sha256}, registered {tags.weights_sha256}. Restore {weights}; nothing is run on "
                "them."
            )
        return _resolved(version, model, weights, sha256, tags)
    except TagError as problem:
        raise damaged_tags(version, problem) from problem


def _resolved(
    version: ModelVersion, model: LoggedModel, weights: Path, sha256: str, tags: VersionTags
) -> Resolved:
    spec = tags.spec()
    return Resolved(
        name=version.name,
        version=version.number,
        weights=weights,
        sha256=sha256,
        architecture=spec.architecture,
        classes=spec.classes,
        input_shape=spec.input_shape,
        data_version=_present(tags, "data_version"),
        retired=spec.retired,
        model_id=model.model_id,
        preprocessing=spec.preprocessing,
    )


def _present(tags: VersionTags, field: str) -> str:
    """A field of the tags that must be there.

    Raises:
        TagError: The version has no such tag.
    """
    value: str | None = getattr(tags, field)
    if value is None:
        raise TagError(f"{TAGS[field].key} missing")
    return value
