"""The DVC workspace under the state folder: written through DVC's command line, read as files.

Shards are hard links into DVC's cache, so a successor version takes no space of its own.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

from flows.state import children
from flows.state.errors import DataVersionError
from flows.state.files import write_atomically
from flows.state.paths import Home
from flows.state.settings import settings

CONFIG = """\
[core]
    no_scm = True
    analytics = false
    check_update = false
[cache]
    type = "hardlink,copy"
"""
REMOTE = "damp"
CLIENTS = ("AWS_", "AZURE_", "GOOGLE_", "GCP_", "OSS_", "SSH_", "HTTP_", "HTTPS_", "http", "HDFS_")
"""Beginnings of the variables that clients of DVC's remotes read."""
KEPT = {"DVC_GLOBAL_CONFIG_DIR", "DVC_SYSTEM_CONFIG_DIR"}
"""Of the variables that DVC reads. The others describe a stage that damp may be running in."""


def workspace(home: Home) -> Path:
    """Where the data versions lie."""
    return home.root / "data"


def note(folder: Path) -> Path:
    """The file in which DVC records a folder's version."""
    return folder.with_name(f"{folder.name}.dvc")


def recorded(folder: Path) -> str | None:
    """The version `<md5>.dir` that DVC has recorded of a folder; None where there is none."""
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    try:
        out = YAML(typ="safe").load(note(folder))["outs"][0]
        return str(out["md5"]) if out["path"] == folder.name else None
    except (OSError, YAMLError, KeyError, IndexError, TypeError):
        return None  # missing or cut short by a kill: DVC records it anew


def add(home: Home, folders: Sequence[Path]) -> None:
    """Record the folders' versions, all in one call of DVC (each costs a second).

    Raises:
        DataVersionError: DVC refused.
    """
    here = workspace(home)
    config = here / ".dvc" / "config"
    if not config.is_file():
        _dvc(here, "init", "--no-scm", "--force")
        write_atomically(config, CONFIG.encode())
    for torn in here.glob("*.dvc"):
        if torn.is_file() and recorded(torn.with_suffix("")) is None:
            torn.unlink()  # DVC reads all notes, and stops at one that a kill cut short
    _dvc(here, "--wait-for-lock", "add", *(folder.name for folder in folders))


def collect(home: Home) -> None:
    """Take out of DVC's cache what no version in the workspace holds any more.

    Raises:
        DataVersionError: DVC refused.
    """
    _dvc(workspace(home), "gc", "--workspace", "--force")


def push(home: Home, folder: Path) -> None:
    """Push one recorded folder to the remote of the settings, if they name one.

    Only what is named goes there: the rows that a successor lacks are not among its files.

    Raises:
        DataVersionError: DVC refused, or the remote is gone.
    """
    remote = settings().dvc_remote
    if remote is None or not note(folder).is_file():
        return
    here = workspace(home)
    _dvc(here, "remote", "add", "--force", REMOTE, remote)
    _dvc(here, "--wait-for-lock", "push", "--remote", REMOTE, folder.name)


def _dvc(folder: Path, *arguments: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(
        children.python("dvc", *arguments),
        cwd=folder,
        env=_environment(folder),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        errors = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
        reason = " ".join(errors) or done.stderr.strip() or f"exit code {done.returncode}"
        raise DataVersionError(
            f"DVC refused `dvc {' '.join(arguments)}` in {folder}: {reason}. "
            f"{_remedy(reason, folder)}"
        )


def _remedy(reason: str, folder: Path) -> str:
    """What to do: a path that cannot be used is another fault than a workspace that is broken."""
    if "Errno" in reason or "Permission denied" in reason:
        return (
            "A folder that it uses, such as its cache, cannot be read or written: make it usable "
            f"for you, or correct `cache.dir` (`dvc config --list --show-origin` in {folder})."
        )
    return f"Run it there by hand to see more; deleting {folder} starts it afresh."


def _environment(folder: Path) -> dict[str, str]:
    """What DVC sees: no telemetry, no stage that damp runs in, its own files in the workspace."""
    kept = {name: os.environ[name] for name in KEPT if name in os.environ}
    own = {"DVC_NO_ANALYTICS": "1", "DVC_SITE_CACHE_DIR": str(folder / ".dvc" / "site")}
    remote = credentials() if settings().dvc_remote else {}
    return children.environment() | remote | kept | own


def credentials() -> dict[str, str]:
    """What the clients of remotes read, their keys included: a remote is reached with them."""
    return {name: text for name, text in os.environ.items() if name.startswith(CLIENTS)}
