"""A pytest plugin: one module is imported with one change in it, in memory. Standard library only.

`DAMP_MUTANT=audits/equivalence.py:17` names the file, from the working directory, and the change's
number; no file is written, and nothing is cached. Processes that a test starts see the module as it
stands, so that a change only they would notice counts as alive.
"""

from __future__ import annotations

import importlib.machinery
import os
import types
from pathlib import Path

from benchmarks.mutants import mutation

VARIABLE = "DAMP_MUTANT"


def install(wanted: str) -> None:
    """Have the import system change that module; it must not have been imported yet."""
    name, _, index = wanted.rpartition(":")
    path = str(Path(name).absolute())
    loader = importlib.machinery.SourceFileLoader
    plain = loader.get_code

    def get_code(
        self: importlib.machinery.SourceFileLoader, fullname: str
    ) -> types.CodeType | None:
        if os.path.abspath(self.path) != path:
            return plain(self, fullname)
        # the source itself, never bytecode that was kept of it
        tree = mutation.mutated(Path(path).read_text(), int(index))
        code: types.CodeType = compile(tree, path, "exec")
        return code

    loader.get_code = get_code  # type: ignore[method-assign]


if VARIABLE in os.environ:
    install(os.environ[VARIABLE])
