"""Folders of a stranger's, each with something that would be run by whoever is careless there.

    python -m benchmarks.robustness.hostile_folders

Every kind writes its name into one file when it is run. Commands are typed in the folder, as by
somebody who has unpacked an archive to look at the claim in it; afterwards the file must not exist.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

SECONDS = 600.0
Files = Mapping[str, str]
CLAIM = """\
apiVersion: damp/v1
kind: ForgettingClaim
scope: {type: class, selector: {index: 3}}
original: {file: before.safetensors, architecture: "theirs:network"}
edited: {file: after.safetensors, architecture: "theirs:network"}
data: {name: "theirs:data"}
recipe: digits
policy: demo-v1
"""


@dataclass(frozen=True, slots=True)
class Payload:
    """What a kind does when it is run: it appends its name to a file.

    Attributes:
        kind: Its name.
        marker: The file.
    """

    kind: str
    marker: Path

    @property
    def python(self) -> str:
        return f"open({str(self.marker)!r}, 'a').write({self.kind + chr(10)!r})\n"

    @property
    def shell(self) -> str:
        return f"echo {self.kind} >> {self.marker}"

    @property
    def logging(self) -> str:
        """A configuration of logging whose handler is made by a shell."""
        handler = {"()": "os.system", "command": self.shell}
        return json.dumps({"version": 1, "handlers": {"h": handler}, "root": {"handlers": ["h"]}})


def _module(name: str) -> Callable[[Payload], Files]:
    return lambda payload: {f"{name}.py": payload.python}


def _package(name: str) -> Callable[[Payload], Files]:
    def files(payload: Payload) -> Files:
        return {f"{name}/{each}.py": payload.python for each in ("__init__", "__main__")}

    return files


def _with_logging(name: str, text: str) -> Callable[[Payload], Files]:
    """A file of settings that names a configuration of logging beside it."""
    return lambda payload: {name: text, "logs.yml": payload.logging}


def _git(payload: Payload) -> Files:
    hook = f"#!/bin/sh\n{payload.shell}\n"
    config = (
        "[core]\n\trepositoryformatversion = 0\n\tfsmonitor = ./monitor\n\thooksPath = hooks\n"
        f"\tpager = ./monitor\n\tsshCommand = ./monitor\n[alias]\n\trev-parse = !{payload.shell}\n"
    )
    objects = {".git/HEAD": "ref: refs/heads/main\n", ".git/objects/x": "", ".git/refs/x": ""}
    return objects | {".git/config": config, "monitor": hook, "hooks/post-index-change": hook}


def _dvc(payload: Payload) -> Files:
    stage = {"stages": {"s": {"cmd": payload.shell, "always_changed": True}}}
    config = f"[core]\n    no_scm = true\n['remote \"r\"']\n    ask_password = {payload.shell}\n"
    return {".dvc/config": config, "dvc.yaml": json.dumps(stage)}


def _state(payload: Payload) -> Files:
    """A state folder where `damp` looks for one."""
    return {
        ".damp/prefect/logging.yml": payload.logging,
        ".damp/prefect/profiles.toml": 'active = "x"\n[profiles.x]\n'
        'PREFECT_LOGGING_CONFIG_PATH = "logs.yml"\n',
        ".damp/data/dvc.yaml": _dvc(payload)["dvc.yaml"],
        "logs.yml": payload.logging,
    }


def _plugin(payload: Payload) -> Files:
    """A distribution whose entry points libraries load by themselves."""
    groups = ("mlflow.app", "mlflow.tracking_store", "mlflow.run_context_provider")
    groups += ("prefect.collections", "mlflow.default_experiment_provider", "mlflow.deployments")
    points = "".join(f"[{group}]\nx = plugged_in:x\n" for group in groups)
    return {
        "plugged_in.py": payload.python + "def x(*_, **__): ...\n",
        "plugged-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: plugged\nVersion: 1.0\n",
        "plugged-1.0.dist-info/entry_points.txt": points,
    }


def _programs(payload: Payload) -> Files:
    names = ("git", "dvc", "python", "python3", "chromium", "sh", "uvicorn", "prefect", "ps")
    return dict.fromkeys(names, f"#!/bin/sh\n{payload.shell}\n")


KINDS: Mapping[str, Callable[[Payload], Files]] = {
    **{
        f"{name}.py": _module(name)
        for name in (
            *("uvicorn", "json", "__future__", "logging", "os", "sitecustomize", "usercustomize"),
            *("prefect", "dvc", "torch", "click", "pydantic", "theirs", "gunicorn.conf"),
        )
    },
    **{
        f"{name}/": _package(name)
        for name in ("flows", "damp", "audits", "compliance", "mlflow", "multiprocessing")
    },
    "a .pth file": lambda payload: {"x.pth": f"import os; os.system({payload.shell!r})\n"},
    ".env": _with_logging(
        ".env", "PREFECT_LOGGING_CONFIG_PATH=logs.yml\nPREFECT_API_URL=http://192.0.2.1/api\n"
    ),
    "prefect.toml": _with_logging("prefect.toml", '[logging]\nconfig_path = "logs.yml"\n'),
    "pyproject.toml": _with_logging(
        "pyproject.toml", '[tool.prefect.logging]\nconfig_path = "logs.yml"\n'
    ),
    "a broken prefect.toml": lambda _: {"prefect.toml": "[[["},
    "logging.conf": lambda payload: {"logging.conf": payload.logging},
    "matplotlibrc": lambda payload: {
        "matplotlibrc": "backend: module://their_backend\n",
        "their_backend.py": payload.python,
    },
    ".git/config": _git,
    ".dvc/config": _dvc,
    "a plug-in": _plugin,
    "programs": _programs,
    "pip.conf": lambda _: {"pip.conf": "[global]\nindex-url = http://192.0.2.1/\n"},
    "a state folder": _state,
}
"""What lies in a folder, by its name."""
NOT_BY_MODULE = ("flows/",)
"""Kinds that `python -m flows` runs whatever damp does: it means the first `flows` on the path."""
ALONE = ("a broken prefect.toml", "a state folder", "pyproject.toml", ".env", "prefect.toml")
"""Kinds whose files have names that others have too, or that say what another one's would."""


def lay(kind: str, folder: Path, marker: Path) -> None:
    """Put what a kind consists of into a folder, and the claim that it is about."""
    files = {"claim.yaml": CLAIM} | dict(KINDS[kind](Payload(kind, marker)))
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(0o755)


def executed(marker: Path) -> list[str]:
    """The kinds that were run."""
    return sorted(set(marker.read_text().split("\n")) - {""}) if marker.exists() else []


def typed(
    folder: Path, *arguments: str, by_module: bool = False, **variables: str
) -> subprocess.CompletedProcess[str]:
    """A command, typed in that folder."""
    script = [str(Path(sys.executable).with_name("damp"))]
    start = [sys.executable, "-m", "flows"] if by_module else script
    plain = {name: text for name, text in os.environ.items() if name != "PYTHONSAFEPATH"}
    return subprocess.run(
        [*start, *arguments],
        cwd=folder,
        env=plain | {"DAMP_KEYS": str(folder.parent / "keys")} | variables,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )


def tried(kind: str, folder: Path, commands: Sequence[Sequence[str]]) -> list[str]:
    """What was run of a kind when commands were typed in its folder, in both ways."""
    marker = folder.parent / f"{folder.name}.run"
    folder.mkdir()
    lay(kind, folder, marker)
    for by_module in (False, True):
        if by_module and kind in NOT_BY_MODULE:
            continue
        for arguments in commands:
            done = typed(folder, *arguments, by_module=by_module)
            if "Traceback" in done.stderr:
                return [f"{kind}: {' '.join(arguments)}: {done.stderr[-400:]}"]
    return executed(marker)


QUICK = (("--help",), ("status",), ("audit", "claim.yaml"))


def main() -> None:
    """Every kind, by the commands that are quick."""
    executions: list[str] = []
    with tempfile.TemporaryDirectory() as place:
        for number, kind in enumerate(KINDS):
            executions += tried(kind, Path(place) / str(number), QUICK)
    print(json.dumps({"folders": len(KINDS), "executed": executions}))
    sys.exit(bool(executions))


if __name__ == "__main__":
    main()
