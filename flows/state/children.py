"""How processes are started: none imports, reads or inherits what the caller's folder holds.

Python puts the working folder first on its path, so that a stranger's `json.py` beside a harmless
claim would be run by every `python -m`. Children of ours get a safe path, a folder of ours to work
in, and an environment made of what they need: no passphrase, no password, no library to preload.
"""

from __future__ import annotations

import os
import site
import subprocess
import sys
import sysconfig
from collections.abc import Iterator, Mapping, MutableMapping
from pathlib import Path

OUR_ROOMS = Path(__file__).resolve().parents[2]
"""The folder that `flows` was imported from: a checkout's root, or site-packages."""

EVERYWHERE = frozenset(
    (
        *("PATH", "HOME", "USER", "LOGNAME", "LANG", "LANGUAGE", "TZ", "TMPDIR", "TMP", "TEMP"),
        *("LD_LIBRARY_PATH", "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE"),
        *("PYTHONDONTWRITEBYTECODE", "PYTHONPYCACHEPREFIX", "PYTHONUTF8", "PYTHONIOENCODING"),
        *("DO_NOT_TRACK", "DAMP_HOME", "NO_PROXY", "no_proxy", "COVERAGE_PROCESS_START"),
        *("GIT_PYTHON_REFRESH", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"),
    )
)
"""Variables that every child may see."""
FAMILIES = ("LC_", "XDG_", "MALLOC_")
"""Beginnings of others."""


def environment(*families: str, **extra: str) -> dict[str, str]:
    """The environment of a child: what all need, and what this one does.

    Args:
        families: Beginnings of names that this child needs too, such as `DVC_`.
        extra: Variables that it gets on top.
    """
    wanted = (*FAMILIES, *families)
    kept = {
        name: value
        for name, value in os.environ.items()
        if name in EVERYWHERE or (name.startswith(wanted) and not is_secret(name))
    }
    return kept | safe_path() | extra


def is_secret(name: str) -> bool:
    """Whether a variable's name says that its value is for few eyes.

    >>> is_secret("DAMP_KEY_PASSPHRASE"), is_secret("PREFECT_API_URL")
    (True, False)
    """
    words = ("PASS", "SECRET", "TOKEN", "CREDENTIAL", "_KEY", "AUTH_STRING", "CONNECTION_URL")
    return any(word in name.upper() for word in words) or name.upper().endswith(
        ("DATABASE_URL", "LOCKS_URL", "STORE_URI")
    )


def python(module: str, *arguments: str) -> list[str]:
    """The command that runs a module of ours or of a package, with a safe path."""
    return [sys.executable, "-P", "-m", module, *arguments]


def safe_path() -> dict[str, str]:
    """The variables that keep the working folder off a child's path, and ours on it."""
    entries = [*_our_rooms(), *_users_entries(os.environ)]
    return {"PYTHONSAFEPATH": "1"} | (
        {"PYTHONPATH": os.pathsep.join(dict.fromkeys(entries))} if entries else {}
    )


def leave_callers_folder(environ: MutableMapping[str, str]) -> None:
    """Keep what libraries start by themselves, spawned workers too, from the caller's folder."""
    safe = safe_path()
    environ.pop("PYTHONPATH", None)
    environ.update(safe)


def git(folder: Path, *arguments: str) -> str | None:
    """What git says in a folder; None where it is not installed, slow, or refuses.

    Nothing that the folder's own configuration names is run: no hook, no monitor of files.
    """
    own = ("core.fsmonitor=false", "core.hooksPath=/dev/null", "core.pager=cat")
    options = [part for each in own for part in ("-c", each)]
    try:
        done = subprocess.run(
            ["git", *options, "-C", str(folder.absolute()), *arguments],
            cwd=OUR_ROOMS,
            env=environment(GIT_OPTIONAL_LOCKS="0", GIT_TERMINAL_PROMPT="0"),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=10,
            check=False,
        )
    except (FileNotFoundError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def _our_rooms() -> Iterator[str]:
    installed = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
    installed |= {*site.getsitepackages(), site.getusersitepackages()}
    if str(OUR_ROOMS) not in {os.path.realpath(path) for path in installed if path}:
        yield str(OUR_ROOMS)


def _users_entries(environ: Mapping[str, str]) -> Iterator[str]:
    """Those of PYTHONPATH that mean one folder wherever they are read; an empty one means here."""
    for entry in environ.get("PYTHONPATH", "").split(os.pathsep):
        if os.path.isabs(entry):
            yield entry
