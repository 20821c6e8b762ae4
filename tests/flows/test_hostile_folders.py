"""Typed in a stranger's folder, damp and what it starts run nothing that lies there."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.robustness.hostile_folders import ALONE, KINDS, QUICK, executed, lay, tried, typed

CAN_LIE_TOGETHER = [kind for kind in KINDS if kind not in ALONE]


@pytest.fixture
def marker(tmp_path: Path) -> Path:
    return tmp_path / "executed"


@pytest.fixture
def all_together(tmp_path: Path, marker: Path) -> Path:
    folder = tmp_path / "unpacked"
    folder.mkdir()
    for kind in CAN_LIE_TOGETHER:
        lay(kind, folder, marker)
    return folder


SETTINGS = "import prefect, os; from prefect.logging.configuration import setup_logging"
CARELESS = {
    "json.py": "import json",
    "flows/": "import flows",
    "prefect.toml": f"{SETTINGS}; setup_logging()",
    ".env": f"{SETTINGS}; setup_logging()",
    "a plug-in": (
        "from importlib.metadata import entry_points\n"
        "for point in entry_points().select(group='mlflow.app'):\n    point.load()"
    ),
}
"""What runs some of the kinds."""


@pytest.mark.parametrize("kind", CARELESS)
def test_what_lies_there_is_run_by_whoever_is_careless(
    tmp_path: Path, marker: Path, kind: str
) -> None:
    """The watch sees what is run: without that, nothing that follows would mean anything."""
    lay(kind, tmp_path, marker)
    command = [sys.executable, "-c", CARELESS[kind]]
    # as somebody else would: what this process has set for Prefect may be set for its children
    plain = {name: text for name, text in os.environ.items() if not name.startswith("PREFECT_")}
    subprocess.run(command, cwd=tmp_path, env=plain, capture_output=True, check=False)
    assert executed(marker) == [kind]


def test_there_are_more_than_twenty() -> None:
    assert len(KINDS) > 20
    assert set(ALONE) <= set(KINDS)


@pytest.mark.parametrize("by_module", [False, True])
def test_commands_in_a_folder_of_all_kinds_run_nothing(
    all_together: Path, marker: Path, by_module: bool
) -> None:
    if by_module:
        shutil.rmtree(all_together / "flows")  # it would be what `python -m flows` means
    for arguments in QUICK:
        done = typed(all_together, *arguments, by_module=by_module)
        assert "Traceback" not in done.stderr
    assert executed(marker) == []


@pytest.mark.parametrize("path", [":/opt", "."])
def test_a_path_of_pythons_that_means_the_folder_runs_nothing(
    tmp_path: Path, marker: Path, path: str
) -> None:
    """What Python itself runs at its start, `sitecustomize` there, nobody after it can stop."""
    folder = tmp_path / "unpacked"
    folder.mkdir()
    for kind in ("click.py", "torch.py", "prefect.py", "dvc.py", "pydantic.py", "uvicorn.py"):
        lay(kind, folder, marker)
    for arguments in QUICK:
        done = typed(folder, *arguments, PYTHONPATH=f"{path}:{Path(__file__).parents[2]}")
        assert "Traceback" not in done.stderr
    assert executed(marker) == []


@pytest.mark.parametrize("kind", [".env", "prefect.toml", "pyproject.toml"])
def test_prefect_reads_no_settings_of_the_folder(tmp_path: Path, marker: Path, kind: str) -> None:
    lay(kind, tmp_path, marker)
    for name in (".env", "prefect.toml", "pyproject.toml"):
        if (tmp_path / name).exists():
            more = {".env": "PREFECT_RESULTS_PERSIST_BY_DEFAULT=true\n"}
            table = "[tool.prefect.results]" if name == "pyproject.toml" else "[results]"
            with (tmp_path / name).open("a") as file:
                file.write(more.get(name, f"{table}\npersist_by_default = true\n"))
    code = (
        "from pathlib import Path\n"
        "from flows.state.settings import prepare_environment\n"
        "prepare_environment(Path('state').absolute())\n"
        "from prefect.settings import get_current_settings as now\n"
        "from prefect.logging.configuration import setup_logging\n"
        "setup_logging(); print(now().api.url, now().results.persist_by_default)"
    )
    command = [sys.executable, "-c", code]
    said = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert said.stdout.split() == ["None", "False"]
    assert executed(marker) == []


@pytest.mark.slow
@pytest.mark.timeout(120)
@pytest.mark.parametrize("kind", KINDS)
def test_commands_in_a_folder_of_each_kind_run_nothing(tmp_path: Path, kind: str) -> None:
    assert tried(kind, tmp_path / "unpacked", QUICK) == []


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    "kind", ["all", *(pytest.param(kind, marks=pytest.mark.long) for kind in ALONE)]
)
def test_servers_that_are_started_there_run_nothing(
    tmp_path: Path, all_together: Path, marker: Path, kind: str
) -> None:
    folder = all_together
    if kind != "all":
        folder = tmp_path / "alone"
        folder.mkdir()
        lay(kind, folder, marker)
    try:
        done = typed(folder, "up", "--json")
        assert done.returncode == 0, done.stderr
    finally:
        typed(folder, "down")
    assert executed(marker) == []


@pytest.mark.long
@pytest.mark.timeout(900)
def test_a_whole_event_there_runs_nothing(all_together: Path, marker: Path) -> None:
    """Its children: the private Prefect server, DVC, git, and workers that train references."""
    done = typed(all_together, "demo", "--json")
    assert done.returncode in (0, 2), done.stderr
    assert executed(marker) == []
