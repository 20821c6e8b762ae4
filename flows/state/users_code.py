"""Code of the user's own, from the one folder that was named for it (`damp --code`, `DAMP_CODE`).

A project may have packages called `flows`, `data` or `audits` as well. So what it holds is loaded
by its place in that folder, and under a name of its own where the name is taken: its modules import
each other as they always did, ours import ours, and neither sees the other's.
"""

from __future__ import annotations

import builtins
import contextlib
import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import os
import sys
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

from flows.state.errors import SettingsError

VARIABLE = "DAMP_CODE"
PREFIX = "damp_users_code_"
"""Begins the name of a package whose own name is taken."""


def folder() -> Path | None:
    """The folder that was named for code of the user's own.

    Raises:
        SettingsError: It is no folder.
    """
    given = os.environ.get(VARIABLE)
    if not given:
        return None
    place = Path(given).expanduser().absolute()
    if not place.is_dir():
        raise SettingsError(
            f"{place} is no folder: --code (or {VARIABLE}) names the one that your module lies in."
        )
    return place


def import_module(name: str) -> ModuleType:
    """Import a module of that folder; where it holds none of this name, an installed one.

    Raises:
        ImportError: There is none, or it cannot be imported. And whatever its code raises.
    """
    place = folder()
    if place is None:
        return importlib.import_module(name)
    code = finder_of(place)
    return importlib.import_module(code.name_here(name) if code.holds(name) else name)


class UsersCode(importlib.abc.MetaPathFinder):
    """Finds what lies in the folder; `sys.meta_path` has one for each folder.

    Args:
        place: The folder.
    """

    def __init__(self, place: Path) -> None:
        self.place = place
        self._taken: dict[str, bool] = {}
        self._loaded: set[str] = set()

    def holds(self, name: str) -> bool:
        """Whether the folder has a module or package of this first name."""
        return self._spec(name.partition(".")[0]) is not None

    def name_here(self, name: str) -> str:
        """What a module of the folder is called in this process."""
        first, dot, rest = name.partition(".")
        return f"{PREFIX}{first}{dot}{rest}" if self._is_taken(first) else name

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """The module of this name, if it lies in the folder."""
        first = fullname.partition(".")[0]
        if path is None:
            plain = first.removeprefix(PREFIX)
            spec = self._spec(plain)
            if spec is None or self.name_here(plain) != first or _is_same(spec, _elsewhere(first)):
                return None
            self._loaded.add(first)
            return self._named(spec, fullname)
        if first not in self._loaded:
            return None
        spec = importlib.machinery.PathFinder.find_spec(fullname, path)
        return None if spec is None else self._named(spec, fullname)

    def imports(
        self,
        name: str,
        globals: Mapping[str, Any] | None = None,
        locals: Mapping[str, Any] | None = None,
        fromlist: Sequence[str] | None = (),
        level: int = 0,
    ) -> ModuleType:
        """`import` as the folder's modules do it: what lies beside them comes first."""
        if level or not self.holds(name) or (here := self.name_here(name)) == name:
            return builtins.__import__(name, globals, locals, fromlist or (), level)
        whole = importlib.import_module(here)
        if not fromlist:
            return sys.modules[here.partition(".")[0]]
        for each in fromlist:  # `from package import module`
            if each != "*" and not hasattr(whole, each) and hasattr(whole, "__path__"):
                with contextlib.suppress(ModuleNotFoundError):
                    importlib.import_module(f"{here}.{each}")
        return whole

    def _spec(self, first: str) -> importlib.machinery.ModuleSpec | None:
        return importlib.machinery.PathFinder.find_spec(first, [str(self.place)])

    def _is_taken(self, first: str) -> bool:
        """Whether the name means something else outside of the folder."""
        if first not in self._taken:
            there, elsewhere = self._spec(first), _elsewhere(first)
            self._taken[first] = elsewhere is not None and not _is_same(there, elsewhere)
        return self._taken[first]

    def _named(
        self, spec: importlib.machinery.ModuleSpec, name: str
    ) -> importlib.machinery.ModuleSpec:
        """A spec under the name here, whose module goes to the folder first when it imports."""
        if isinstance(spec.loader, importlib.machinery.SourceFileLoader):
            loader = _Loader(name, spec.loader.path, self)
            own = importlib.util.spec_from_file_location(
                name,
                spec.loader.path,
                loader=loader,
                submodule_search_locations=spec.submodule_search_locations,
            )
            return own or spec
        if spec.loader is None:  # a folder without __init__.py
            own = importlib.machinery.ModuleSpec(name, None, is_package=True)
            own.submodule_search_locations = list(spec.submodule_search_locations or ())
            return own
        return spec


class _Loader(importlib.machinery.SourceFileLoader):
    """Runs a module whose `import` statements go to the folder first."""

    def __init__(self, name: str, path: str, code: UsersCode) -> None:
        super().__init__(name, path)
        self._code = code

    def exec_module(self, module: ModuleType) -> None:
        code: CodeType | None = self.get_code(module.__name__)
        if code is None:
            raise ImportError(f"{self.path} holds no code.")
        module.__dict__["__builtins__"] = vars(builtins) | {"__import__": self._code.imports}
        exec(code, module.__dict__)  # noqa: S102 - what `import` does, of a folder that was named


def _elsewhere(first: str) -> importlib.machinery.ModuleSpec | None:
    """What a name means without any folder of the user's own."""
    for finder in sys.meta_path:
        if not isinstance(finder, UsersCode):
            spec = finder.find_spec(first, None)
            if spec is not None:
                return spec
    return None


def _is_same(
    one: importlib.machinery.ModuleSpec | None, other: importlib.machinery.ModuleSpec | None
) -> bool:
    if one is None or other is None:
        return False
    if one.origin is not None or other.origin is not None:
        return one.origin == other.origin
    folders = [list(spec.submodule_search_locations or ()) for spec in (one, other)]
    return folders[0] == folders[1]


@lru_cache(maxsize=8)
def finder_of(place: Path) -> UsersCode:
    """The finder of a folder; made and put in its place at the first call."""
    finder = UsersCode(place)
    sys.meta_path.insert(0, finder)  # before that of `sys.path`: modules get their own `import`
    return finder
