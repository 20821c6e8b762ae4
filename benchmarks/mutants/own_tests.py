"""Which tests are a module's own: its examples, those named after it, those that import it."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
TESTS = ROOT / "tests"
TABLES = {
    Path("audits/catalogue.py"): ('"{}": ', Path("tests/audits/test_catalogue.py")),
    Path("damp/methods/catalogue.py"): (".{}:", Path("tests/damp/methods/test_interface.py")),
}
"""Tables of modules, how each names one, and the tests that go through all its entries."""


def of(module: Path) -> list[Path]:
    """What pytest is to run, the most likely to notice first; from the repository's root.

    The module itself comes first where its docstrings hold examples, then the files named after it
    and those of its room that import it, then those of a table that names it. Where there are no
    such files: those of the modules beside it that import it, else those of other rooms that do,
    else all of the room's.

    Args:
        module: From the root, as `audits/equivalence.py`.
    """
    folder = TESTS / module.parent
    while not folder.is_dir():  # a room below may have its tests in the one above
        folder = folder.parent
    named = sorted(folder.glob(f"test_{module.stem}.py")) + sorted(
        folder.glob(f"test_{module.stem}_*.py")
    )
    # a room's door passes names on: whoever takes one of this module's from it means this module
    wanted = {".".join(module.with_suffix("").parts), *_passed_on(module)}
    files = sorted(folder.rglob("test_*.py"))
    importing = [file for file in files if wanted & _imported(file)]
    selection = list(dict.fromkeys([*named, *importing]))
    selection = selection or _of_importers(module, files)
    selection = selection or [
        file for file in sorted(TESTS.rglob("test_*.py")) if wanted & _imported(file)
    ]
    selection = selection or files
    # a table's own tests run whatever it names
    listed = [
        ROOT / tests
        for table, (named_so, tests) in TABLES.items()
        if table.parent in module.parents
        and named_so.format(module.stem) in (ROOT / table).read_text()
    ]
    selection = list(dict.fromkeys([*selection, *listed]))
    examples = [module] if "\n    >>> " in (ROOT / module).read_text() else []
    return [*examples, *(file.relative_to(ROOT) for file in selection)]


def _of_importers(module: Path, files: list[Path]) -> list[Path]:
    """Tests named after the modules of the room that import this one."""
    dotted = ".".join(module.with_suffix("").parts)
    importers = {
        path.stem
        for path in (ROOT / module.parent).glob("*.py")
        if path.stem != "__init__" and dotted in _imported(path)
    }
    return [file for file in files if file.stem.removeprefix("test_") in importers]


def _passed_on(module: Path) -> set[str]:
    """Names of the module that its room's door exports, as `package.name`."""
    package = ".".join(module.parent.parts)
    doors = (ROOT / module.parent / f"__init__.{kind}" for kind in ("pyi", "py"))
    return {
        f"{package}.{alias.name}"
        for door in doors
        if door.exists()
        for node in ast.walk(ast.parse(door.read_text()))
        if isinstance(node, ast.ImportFrom) and (node.module or "").endswith(module.stem)
        for alias in node.names
    }


@cache
def _imported(file: Path) -> frozenset[str]:
    """Modules that a test imports, and `package.name` of each name that it takes from one."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
    return frozenset(names)
