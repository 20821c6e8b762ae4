"""The wheel: it holds every file of the four packages, and works alone, away from the checkout."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest

CHECKOUT = Path(__file__).parents[1]
PACKAGES = ("damp", "audits", "compliance", "flows")
BUILD = "from setuptools import build_meta; build_meta.build_wheel('dist')"
"""What every front end calls; the environment's own setuptools, so no network is needed."""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from a copy: a `build` folder left in the checkout would get into it."""
    copy = tmp_path_factory.mktemp("checkout")
    for name in (*tree_files(*PACKAGES), "pyproject.toml", "README.md", "LICENSE"):
        target = copy / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(CHECKOUT / name, target)
    run(sys.executable, "-c", BUILD, cwd=copy)
    (built,) = (copy / "dist").glob("*.whl")
    return built


def test_the_wheel_has_every_file_of_the_four_packages_and_no_other(wheel: Path) -> None:
    with ZipFile(wheel) as archive:
        packed = {name for name in archive.namelist() if ".dist-info/" not in name}
    expected = tree_files(*PACKAGES)
    assert packed - expected == set()
    assert expected - packed == set(), "no __init__.py beside it, or not in package-data"


def test_the_wheel_declares_the_command_and_both_mlflow_plugins(wheel: Path) -> None:
    with ZipFile(wheel) as archive:
        (declared,) = (n for n in archive.namelist() if n.endswith("entry_points.txt"))
        text = archive.read(declared).decode()
    for group in ("[console_scripts]", "[mlflow.dataset_source]", "[mlflow.model_evaluator]"):
        assert group in text


@pytest.mark.long
@pytest.mark.timeout(900)
def test_the_wheel_installed_alone_runs_the_demo_from_another_folder(
    wheel: Path, tmp_path: Path
) -> None:
    binaries = installed(wheel, tmp_path / "venv")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    home = {"HOME": str(elsewhere)}  # keys and settings of whoever runs the suite stay out of it
    origin = run(binaries / "python", "-c", "import flows; print(flows.__file__)", cwd=elsewhere)
    assert Path(origin.strip()).is_relative_to(tmp_path / "venv"), "the checkout's code is imported"
    shown = run(binaries / "damp", "demo", "--json", cwd=elsewhere, extra=home)
    event: dict[str, Any] = json.loads(shown)
    assert event["state"] == "closed"
    assert (elsewhere / event["report"]).is_file()


def installed(wheel: Path, environment: Path) -> Path:
    """A new environment that holds this wheel only and borrows its dependencies from ours.

    Folders named in a .pth file are searched, but their own .pth files are not read: an editable
    install of the checkout cannot be imported by way of them.
    """
    run(sys.executable, "-m", "venv", "--without-pip", environment, cwd=environment.parent)
    paths = sysconfig.get_paths("venv", vars={"base": str(environment)})
    pip = [sys.executable, "-m", "pip", "--python", environment, "--disable-pip-version-check"]
    run(*pip, "install", "--quiet", "--no-index", "--no-deps", wheel, cwd=environment.parent)
    borrowed = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
    (Path(paths["purelib"]) / "borrowed.pth").write_text("\n".join(sorted(borrowed)))
    return Path(paths["scripts"])


def tree_files(*folders: str) -> set[str]:
    """What git tracks or would track below the folders, as far as it is there."""
    listing = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", *folders]
    names = run(*listing, cwd=CHECKOUT).split("\0")
    return {name for name in names if name and (CHECKOUT / name).is_file()}


def run(*command: str | Path, cwd: Path, extra: Mapping[str, str] | None = None) -> str:
    """What a command prints, without this environment's settings and import path."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("DAMP_", "PYTHON"))}
    process = subprocess.run(
        list(map(str, command)),
        cwd=cwd,
        env=kept | dict(extra or {}),
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.returncode == 0, process.stderr
    return process.stdout
