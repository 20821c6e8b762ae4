"""What damp asks of a model registry, and what it answers: another registry is one file.

A class with the methods of `Registry` is all that gate, lineage, registration, promotion, purge
and inventory need; `backend.py` names the one in use. Nothing that a registry answers is believed
before its bytes were checked.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from flows.registry.packing import Spec
from flows.registry.tags import PREFIX, TagError, VersionTags
from flows.state.errors import RegistryError


@dataclass(frozen=True, slots=True, kw_only=True)
class RegisteredModel:
    """A name with its aliases.

    Attributes:
        name: Of the model.
        aliases: Alias to the number of the version that it points to.
    """

    name: str
    aliases: Mapping[str, int]

    def aliases_of(self, number: int) -> tuple[str, ...]:
        """The aliases that point to a version, in alphabetical order."""
        return tuple(sorted(alias for alias, version in self.aliases.items() if version == number))


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelVersion:
    """A version of a registered model, as the registry has it.

    Attributes:
        name: Of the registered model.
        number: Counted from 1.
        source: Where the registry says that it is from.
        model_id: Of the logged model that holds its files; None where its source is no such model.
        run_id: Of the run that holds its lineage and artifacts; "" where it has none.
        raw_tags: Its tags as they are stored: anybody may have written them.
        stage: Of MLflow's legacy stages, "Production" or "Staging", by which it is loaded as by an
            alias; "" in none.
    """

    name: str
    number: int
    source: str
    model_id: str | None
    run_id: str
    raw_tags: Mapping[str, str]
    stage: str = ""

    @property
    def title(self) -> str:
        """How messages name it."""
        return f"version {self.number} of '{self.name}'"

    @property
    def is_claimed(self) -> bool:
        """Whether a tag says that it is damp's."""
        return any(key.startswith(PREFIX) for key in self.raw_tags)

    def tags(self) -> VersionTags:
        """What its tags claim.

        Raises:
            RegistryError: One of them is not of its form.
        """
        try:
            return VersionTags.parse(self.raw_tags)
        except TagError as problem:
            raise damaged_tags(self, problem) from problem

    def logged_model_id(self) -> str:
        """Id of the logged model that holds its files.

        Raises:
            RegistryError: It has none: damp did not register it.
        """
        if self.model_id is None:
            raise RegistryError(
                f"Version {self.number} of '{self.name}' was not registered by damp: its source "
                f"is {self.source}. `damp adopt` takes in a version that holds safetensors; else "
                "give its weights to damp as a file."
            )
        return self.model_id


def damaged_tags(version: ModelVersion, problem: TagError) -> RegistryError:
    """The refusal of a version whose tags cannot be read."""
    return RegistryError(
        f"The tags of {version.title} are damaged or not damp's ({problem}). Name a version that "
        "damp registered; `damp audit-registry` lists what is wrong with each."
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class LoggedModel:
    """The files of a version.

    Attributes:
        model_id: In the registry.
        run_id: Of the run that made it.
        location: Where its files lie, as a URI.
    """

    model_id: str
    run_id: str
    location: str

    @property
    def is_local(self) -> bool:
        """Whether its files lie on this machine, where damp may delete them."""
        return self.location.startswith("file:")


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenRun:
    """A run that nobody has ended yet.

    Attributes:
        run_id: In the registry.
        event: The event that began it; None where it is of no event.
    """

    run_id: str
    event: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class NewVersion:
    """What to register.

    Attributes:
        name: Of the registered model.
        title: Of the run, for people.
        identity: Fields of the tags that no other version shares: a second call finds the first
            version by them.
        tags: Of the version and of its run.
        weights: safetensors file.
        spec: What must be known beside the weights.
        parent: Id of the logged model that this one was made from; None for a base model.
        data_name: Of the data set.
        data: Role ("before", "after", "training") to `<md5>.dir`.
        artifacts: Files that the run keeps, by their own names.
        metrics: Figures that the pages compare versions by.
        description: Of run and version, for people; Markdown.
    """

    name: str
    title: str
    identity: VersionTags
    tags: VersionTags
    weights: Path
    spec: Spec
    parent: str | None
    data_name: str
    data: Mapping[str, str]
    artifacts: tuple[Path, ...] = ()
    metrics: Mapping[str, float] = field(default_factory=dict)
    description: str = ""


class ReadRegistry(Protocol):
    """The reading half of a registry: all that looking a model up needs.

    A method raises `RegistryError` where the one thing that it is asked for is not there or cannot
    be read.
    """

    def models(self) -> list[RegisteredModel]:
        """All registered models, however many."""

    def model(self, name: str) -> RegisteredModel | None:
        """One of them; None where there is none of that name."""

    def versions(self, name: str) -> list[ModelVersion]:
        """All versions of a model, oldest first."""

    def versions_of_weights(self, sha256: str) -> list[ModelVersion]:
        """Versions of any model whose tag claims these weights, by name and number."""

    def logged_model(self, model_id: str) -> LoggedModel:
        """Where the files of a version lie."""

    def model_file(self, model: LoggedModel, name: str, folder: Path) -> Path | None:
        """A file of a logged model: where it lies, or fetched into `folder`; None if gone."""


class Registry(ReadRegistry, Protocol):
    """A model registry that is open, with no other damp process in it.

    A method raises `RegistryError` where the one thing that it is asked for is not there or cannot
    be read. Where the registry itself fails, its own error ends the block of `open_registry`, which
    makes it a `RegistryError` or `ServerError` of the whole.
    """

    def location(self, version: ModelVersion) -> str:
        """Where whoever loads a version by its name gets its files, as a URI."""

    def files(self, location: str, folder: Path) -> Mapping[str, Path]:
        """Every file below a location by its relative name: where it lies, or fetched."""

    def run_file(self, run_id: str, name: str, folder: Path) -> Path | None:
        """A file that a run keeps: where it lies, or fetched into `folder`; None if gone."""

    def add_run_file(self, run_id: str, file: Path) -> None:
        """Let a run keep a file under its own name, in place of one of that name."""

    def register(self, new: NewVersion) -> ModelVersion:
        """The version with the new one's identity, registered where there is none.

        Killed anywhere, a second call completes it; a version that exists is whole.
        """

    def set_alias(self, name: str, alias: str, number: int) -> None:
        """Let an alias point to a version."""

    def set_tags(self, version: ModelVersion, tags: VersionTags) -> None:
        """Write these tags of a version; its others stay."""

    def open_runs(self) -> list[OpenRun]:
        """Runs that were begun and not ended."""

    def end_run(self, run_id: str) -> None:
        """Mark a run as ended from outside."""
