"""Keeps Prefect from reading settings out of the working folder.

Prefect takes `.env`, `prefect.toml` and `pyproject.toml` from wherever a command is typed. One of
its settings names a file of logging whose entries are called. So these sources are emptied as soon
as Prefect defines them, before the first setting is read; variables of the environment still count.
"""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import sys
from collections.abc import Sequence
from types import ModuleType
from typing import Any

MODULE = "prefect.settings.sources"


def ignore_those_of_the_folder() -> None:
    """From now on, in this process; Prefect must not have been imported."""
    if MODULE in sys.modules:
        _empty(sys.modules[MODULE])
    elif not any(isinstance(finder, _Watch) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Watch())


class _Watch(importlib.abc.MetaPathFinder):
    """Waits for the one module."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname != MODULE:
            return None
        spec = importlib.machinery.PathFinder.find_spec(fullname, path)
        if spec is not None and isinstance(spec.loader, importlib.machinery.SourceFileLoader):
            spec.loader = _Loader(fullname, spec.loader.path)
        return spec


class _Loader(importlib.machinery.SourceFileLoader):
    def exec_module(self, module: ModuleType) -> None:
        super().exec_module(module)
        _empty(module)


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
