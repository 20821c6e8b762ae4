"""Keeps Prefect from reading settings out of the working folder, and code out of its results.

Prefect takes `.env`, `prefect.toml` and `pyproject.toml` from wherever a command is typed. One of
its settings names a file of logging whose entries are called. So these sources are emptied as soon
as Prefect defines them, before the first setting is read; variables of the environment still count.

What a step gave is kept as a file of the state folder, and the file itself names how it is to be
read: as a pickle, or as JSON that names callables. Whoever can write there could have code run
where the signing key is. Ours are plain JSON, and nothing is read in another way.
"""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import sys
from collections.abc import Callable, Mapping, Sequence
from types import ModuleType
from typing import Any

from compliance.formats import strict_json
from flows.state.errors import FactsError


def ignore_those_of_the_folder() -> None:
    """From now on, in this process; Prefect must not have been imported."""
    for name, change in CHANGES.items():
        if name in sys.modules:
            change(sys.modules[name])
    if not any(isinstance(finder, _Watch) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Watch())


class _Watch(importlib.abc.MetaPathFinder):
    """Waits for the modules that are changed."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname not in CHANGES:
            return None
        spec = importlib.machinery.PathFinder.find_spec(fullname, path)
        if spec is not None and isinstance(spec.loader, importlib.machinery.SourceFileLoader):
            spec.loader = _Loader(fullname, spec.loader.path)
        return spec


class _Loader(importlib.machinery.SourceFileLoader):
    def exec_module(self, module: ModuleType) -> None:
        super().exec_module(module)
        CHANGES[module.__name__](module)


def _empty(sources: Any) -> None:
    """Let the sources that lie in the working folder hold nothing.

    Raises:
        AttributeError: This Prefect reads them in another way: then nothing may be read at all.
    """
    for owner, method in (
        (sources.TomlConfigSettingsSourceBase, "_read_files"),
        (sources.FilteredDotEnvSettingsSource, "_read_env_files"),
    ):
        getattr(owner, method)
        setattr(owner, method, _nothing)


def _nothing(*_: Any, **__: Any) -> dict[str, Any]:
    return {}


def _read_plainly(serializers: Any) -> None:
    """Let results be read as plain JSON, whatever their files say.

    Raises:
        AttributeError: This Prefect reads them in another way: then nothing may be read at all.
    """
    for name, reader in (
        ("JSONSerializer", _as_json),
        ("PickleSerializer", _not_at_all),
        ("CompressedSerializer", _not_at_all),
    ):
        owner = getattr(serializers, name)
        getattr(owner, "loads")  # noqa: B009 - it must be there to be replaced
        owner.loads = reader


def _as_json(_: Any, blob: bytes) -> Any:
    return strict_json.loads(blob, "A result that was kept")


def _not_at_all(serializer: Any, _: bytes) -> Any:
    raise FactsError(
        f"A result that was kept asks to be read by {type(serializer).__name__}, which can run "
        "code, and damp writes none of that kind. Delete prefect/results in the state folder: its "
        "steps then run again. Find out who wrote it."
    )


CHANGES: Mapping[str, Callable[[Any], None]] = {
    "prefect.settings.sources": _empty,
    "prefect.serializers": _read_plainly,
}
"""What is changed of Prefect, by the module that defines it."""
