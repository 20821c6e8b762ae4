"""The room is entered through its door, and entering it costs nothing."""

from __future__ import annotations

import pkgutil
import subprocess
import sys

import pytest

import compliance

HEAVY = ["torch", "mlflow", "prefect", "sklearn", "matplotlib"]
MODULES = [m.name for m in pkgutil.walk_packages(compliance.__path__, "compliance.")]


def test_the_door_shows_what_it_names() -> None:
    assert dir(compliance) == sorted(compliance.__all__)
    for name in compliance.__all__:
        assert getattr(compliance, name) is not None
    with pytest.raises(AttributeError):
        _ = compliance.nothing


def imported(code: str, watched: list[str]) -> str:
    text = f"{code}\nimport sys\nprint([m for m in {watched} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_no_file_of_the_room_imports_what_is_heavy() -> None:
    names = MODULES
    assert imported(f"import {', '.join(names)}", HEAVY) == "[]"


def test_the_door_and_the_check_import_still_less() -> None:
    light = [*HEAVY, "numpy", "scipy", "pydantic", "ruamel", "jsonschema", "cryptography", "jinja2"]
    assert imported("import compliance, compliance.verification.verify", light) == "[]"
