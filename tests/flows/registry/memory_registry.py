"""A second registry behind the same door: dictionaries and a folder, nothing of MLflow.

What a registry of one's own has to bring is this file: a class with the methods of `Registry`, and
`opened`, `read` and `exists` for `flows.registry.backend`.
"""

from __future__ import annotations

import itertools
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from flows.registry import packing
from flows.registry.interface import (
    LoggedModel,
    ModelVersion,
    NewVersion,
    OpenRun,
    RegisteredModel,
)
from flows.registry.packing import files_below
from flows.registry.tags import VersionTags
from flows.state.errors import RegistryError
from flows.state.paths import Home

REGISTRIES: dict[Path, MemoryRegistry] = {}


@contextmanager
def opened(home: Home) -> Iterator[MemoryRegistry]:
    yield REGISTRIES.setdefault(home.root, MemoryRegistry(home.root / "memory"))


read = opened


def exists(home: Home) -> bool:
    return home.root in REGISTRIES


@dataclass
class MemoryRegistry:
    """`flows.registry.interface.Registry` in memory, its files in a folder."""

    folder: Path
    aliases: dict[str, dict[str, int]] = field(default_factory=dict)
    stored: dict[tuple[str, int], ModelVersion] = field(default_factory=dict)
    runs: dict[str, str] = field(default_factory=dict)
    running: set[str] = field(default_factory=set)
    served_from: dict[tuple[str, int], str] = field(default_factory=dict)
    numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def models(self) -> list[RegisteredModel]:
        return [RegisteredModel(name=n, aliases=dict(a)) for n, a in sorted(self.aliases.items())]

    def model(self, name: str) -> RegisteredModel | None:
        return next((model for model in self.models() if model.name == name), None)

    def versions(self, name: str) -> list[ModelVersion]:
        return [version for (of, _), version in sorted(self.stored.items()) if of == name]

    def versions_of_weights(self, sha256: str) -> list[ModelVersion]:
        tags = VersionTags(weights_sha256=sha256).to_tags()
        return [version for _, version in sorted(self.stored.items()) if self._has(version, tags)]

    def logged_model(self, model_id: str) -> LoggedModel:
        if model_id not in self.runs:
            raise RegistryError(f"There is no model {model_id}.")
        location = (self.folder / model_id).absolute().as_uri()
        return LoggedModel(model_id=model_id, run_id=self.runs[model_id], location=location)

    def location(self, version: ModelVersion) -> str:
        served = self.served_from.get((version.name, version.number))
        if served is None and version.model_id is not None:
            return self.logged_model(version.model_id).location
        return served or version.source

    def files(self, location: str, folder: Path) -> Mapping[str, Path]:
        return files_below(Path(location.removeprefix("file://")))

    def model_file(self, model: LoggedModel, name: str, folder: Path) -> Path | None:
        return self._file(model.model_id, name)

    def run_file(self, run_id: str, name: str, folder: Path) -> Path | None:
        if run_id not in self.runs.values():
            raise RegistryError(f"There is no run {run_id}.")
        return self._file(run_id, name)

    def add_run_file(self, run_id: str, file: Path) -> None:
        (self.folder / run_id).mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, self.folder / run_id / file.name)

    def register(self, new: NewVersion) -> ModelVersion:
        identity = new.identity.to_tags()
        for version in self.versions(new.name):
            if self._has(version, identity):
                return version
        model_id, run_id = f"m-{next(self.numbers)}", f"run-{next(self.numbers)}"
        self.runs[model_id] = run_id
        for file in new.artifacts:
            self.add_run_file(run_id, file)
        with tempfile.TemporaryDirectory() as folder:
            packing.write_files(Path(folder), new.weights, new.spec)
            shutil.copytree(folder, self.folder / model_id)
        return self.put(
            new.name, source=f"memory:{model_id}", run_id=run_id, tags=new.tags.to_tags()
        )

    def set_alias(self, name: str, alias: str, number: int) -> None:
        self.aliases[name][alias] = number

    def set_tags(self, version: ModelVersion, tags: VersionTags) -> None:
        self.tag(version.name, version.number, tags.to_tags())

    def open_runs(self) -> list[OpenRun]:
        return [OpenRun(run_id=run_id, event=None) for run_id in sorted(self.running)]

    def end_run(self, run_id: str) -> None:
        self.running.discard(run_id)

    # What somebody with full access can do past damp

    def put(self, name: str, *, source: str, run_id: str, tags: dict[str, str]) -> ModelVersion:
        """A version with whatever source, run and tags."""
        number = max((v.number for v in self.versions(name)), default=0) + 1
        model_id = source.partition(":")[2]
        self.aliases.setdefault(name, {})
        self.stored[name, number] = ModelVersion(
            name=name,
            number=number,
            source=source,
            model_id=model_id if model_id in self.runs else None,
            run_id=run_id,
            raw_tags=tags,
        )
        return self.stored[name, number]

    def tag(self, name: str, number: int, tags: dict[str, str]) -> None:
        """Write tags, whatever they say."""
        version = self.stored[name, number]
        self.stored[name, number] = replace(version, raw_tags={**version.raw_tags, **tags})

    def _has(self, version: ModelVersion, tags: dict[str, str]) -> bool:
        return tags.items() <= version.raw_tags.items()

    def _file(self, folder: str, name: str) -> Path | None:
        path = self.folder / folder / name
        return path if path.is_file() else None
