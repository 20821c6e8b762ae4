"""The rooms: each has a tour, each is entered by its door."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ROOMS = sorted(
    path.parent.relative_to(ROOT).as_posix()
    for building in ("flows", "compliance")
    for path in (ROOT / building).glob("*/__init__.py")
)


def exported(room: str) -> set[str]:
    """The names in the room's `__all__`."""
    for node in ast.parse((ROOT / room / "__init__.py").read_text()).body:
        targets = node.targets if isinstance(node, ast.Assign) else []
        targets = [node.target] if isinstance(node, ast.AnnAssign) else targets
        if any(isinstance(target, ast.Name) and target.id == "__all__" for target in targets):
            return set(ast.literal_eval(node.value))  # type: ignore[union-attr, arg-type]
    raise AssertionError(f"{room}/__init__.py has no __all__")


def imported_modules(file: Path) -> Iterator[tuple[str, str]]:
    """`(room, module)` of each import of a module that lies in a room."""
    for node in ast.walk(ast.parse(file.read_text())):
        names: list[str] = []
        if isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        for name in names:
            first, *rest = name.split(".")
            if rest and f"{first}/{rest[0]}" in ROOMS and len(rest) > 1:
                yield f"{first}/{rest[0]}", rest[1]


@pytest.mark.parametrize("room", ROOMS)
def test_the_tour_names_every_file(room: str) -> None:
    tour = ast.get_docstring(ast.parse((ROOT / room / "__init__.py").read_text())) or ""
    files = {path.name for path in (ROOT / room).glob("*.py")} - {"__init__.py"}
    assert {name for name in files if name not in tour} == set()
    mentioned = {word for word in tour.split() if word.endswith(".py")}
    assert mentioned <= files


@pytest.mark.parametrize("building", ["damp", "audits", "compliance", "flows"])
def test_rooms_are_entered_by_their_doors(building: str) -> None:
    around = []
    for file in (ROOT / building).rglob("*.py"):
        here = file.relative_to(ROOT).as_posix()
        for room, module in imported_modules(file):
            if not here.startswith(f"{room}/") and module not in exported(room):
                around.append(f"{here} imports {room}/{module}, which is not in its __all__")
    assert around == []


def test_no_room_has_more_than_twenty_files() -> None:
    crowded = {
        room: count for room in ROOMS if (count := len(list((ROOT / room).glob("*.py"))) - 1) > 20
    }
    assert crowded == {}
