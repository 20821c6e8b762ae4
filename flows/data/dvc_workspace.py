"""The DVC workspace under the state folder: written through DVC's command line, read as files.

Shards are hard links into DVC's cache, so a successor version takes no space of its own.

The workspace has a cache of its own, below it. What the user, the site or the system has configured
for DVC does not count here: a cache that others share is no place for rows that are to be deleted,
and `dvc gc` would delete the others' rows with them.
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
    dir = cache
    type = "hardlink,copy"
"""
REMOTE = "damp"
CLIENTS = ("AWS_", "AZURE_", "GOOGLE_", "GCP_", "OSS_", "SSH_", "HTTP_", "HTTPS_", "http", "HDFS_")
"""Beginnings of the variables that clients of DVC's remotes read."""


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
        DataVersionError: The cache lies elsewhere, or DVC refused.
    """
    here = workspace(home)
    _refuse_foreign_cache(home)
    _dvc(here, "gc", "--workspace", "--force")


def outside_caches() -> list[Path]:
    """Caches that the user or the system has configured for DVC; rows may lie there from before.

    Read as DVC reads them, and for a list only: nothing of ours goes there or is deleted there.
    """
    from dvc.dirs import global_config_dir, system_config_dir

    files = (Path(folder) / "config" for folder in (global_config_dir(), system_config_dir()))
    named = ((file, _cache_dir(file)) for file in files if file.is_file())
    caches = [(file.parent / place.expanduser()).resolve() for file, place in named if place]
    return list(dict.fromkeys(caches))


def _cache_dir(file: Path) -> Path | None:
    """The cache that a configuration file names, if it names one."""
    from dvc.config import Config, ConfigError

    try:
        named = Config.load_file(str(file)).get("cache", {}).get("dir")
    except (OSError, ConfigError) as problem:
        raise DataVersionError(
            f"Cannot read DVC's configuration {file} ({problem}), which may name a cache with "
            "forgotten rows in it. Fix it, then run the same command again."
        ) from problem
    return Path(str(named)) if named else None


def cache_of(home: Home) -> Path:
    """The workspace's own cache."""
    return workspace(home) / ".dvc" / "cache"


def _refuse_foreign_cache(home: Home) -> None:
    """Collecting is deleting: only in a cache below the state folder, links followed."""
    root = home.root.resolve()
    named = _dvc(workspace(home), "cache", "dir").strip()
    for cache in (Path(named), Path(named) / "files", Path(named) / "files" / "md5"):
        if not cache.resolve().is_relative_to(root):
            raise DataVersionError(
                f"DVC's cache of {workspace(home)} is {cache.resolve()}, outside the state folder: "
                "others may keep their data there, so nothing is collected. Take `dir` out of "
                f"{workspace(home) / '.dvc'}/config and config.local, or the link, and move what "
                "is damp's back."
            )


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


def _dvc(folder: Path, *arguments: str) -> str:
    """What DVC prints."""
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
    return done.stdout


def _remedy(reason: str, folder: Path) -> str:
    """What to do: a path that cannot be used is another fault than a workspace that is broken."""
    if "Errno" in reason or "Permission denied" in reason:
        return (
            "A folder that it uses, such as its cache, cannot be read or written: make it usable "
            f"for you, or correct `cache.dir` (`dvc config --list --show-origin` in {folder})."
        )
    return f"Run it there by hand to see more; deleting {folder} starts it afresh."


def _environment(folder: Path) -> dict[str, str]:
    """What DVC sees: no telemetry, no stage that damp runs in, no configuration but ours."""
    nowhere = str(folder / ".dvc" / "no-configuration")
    own = {
        "DVC_NO_ANALYTICS": "1",
        "DVC_GLOBAL_CONFIG_DIR": nowhere,
        "DVC_SYSTEM_CONFIG_DIR": nowhere,
        "DVC_SITE_CACHE_DIR": str(folder / ".dvc" / "site"),
    }
    remote = credentials() if settings().dvc_remote else {}
    return children.environment() | remote | own


def credentials() -> dict[str, str]:
    """What the clients of remotes read, their keys included: a remote is reached with them."""
    return {name: text for name, text in os.environ.items() if name.startswith(CLIENTS)}
