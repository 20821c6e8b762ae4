"""Which errors are refusals made for people, and which are defects."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import audits.errors
import compliance.formats.errors
import damp.errors
from flows.state import errors

ROOT = Path(__file__).parents[3]
BUILDINGS = {path.parent.name for path in ROOT.glob("*/__init__.py")} & {
    "damp",
    "audits",
    "compliance",
    "flows",
}


def rooms() -> list[str]:
    """Every package of the four buildings, as an import path."""
    return sorted(
        ".".join(path.parent.relative_to(ROOT).parts)
        for building in BUILDINGS
        for path in (ROOT / building).rglob("__init__.py")
    )


def raised_in(module: str) -> BaseException:
    kind: type[BaseException] = type("SomeError", (Exception,), {"__module__": module})
    return kind("message")


@pytest.mark.parametrize("room", rooms())
def test_an_error_of_each_room_is_a_refusal(room: str) -> None:
    assert errors.is_refusal(raised_in(f"{room}.errors"))


@pytest.mark.parametrize(
    "error",
    [
        errors.StoreError("message"),
        compliance.formats.errors.TrustError("message"),
        audits.errors.BadRecipe("message"),
        damp.errors.BadMeasurement("message"),
    ],
)
def test_our_own_errors_are_refusals(error: BaseException) -> None:
    assert errors.is_refusal(error)


@pytest.mark.parametrize(
    "module", ["flowsx.errors", "data", "data.errors", "state", "models.weights", "shop.damp"]
)
def test_an_error_of_a_users_package_is_a_defect(module: str) -> None:
    assert not errors.is_refusal(raised_in(module))


def test_an_error_of_pythons_is_a_defect() -> None:
    assert not errors.is_refusal(ValueError("message"))


def test_the_tree_in_the_docstring_lists_every_error_once() -> None:
    tree = ast.parse(Path(errors.__file__).read_text())
    classes = [node.name for node in tree.body if isinstance(node, ast.ClassDef)]
    drawing = (ast.get_docstring(tree) or "").split()
    assert [drawing.count(name) for name in classes] == [1] * len(classes)
