"""The files that a process has read as code, below the places of the modules that were allowed.

A module that may run imports others: what lies beside it ran as well. Python's audit hook sees
every file that is opened, and no Python code can take it off again; so sources, bytecode,
libraries and archives are written down when they are read, whatever `sys.modules` says later. It is
kept in the process of that code all the same: whoever reaches into its memory can change it.
"""

from __future__ import annotations

import importlib.machinery
import json
import os
import re
import sysconfig
import threading
from collections.abc import Iterable, Mapping
from pathlib import Path

from flows.state.errors import EventError
from flows.state.files import digest_file

SUFFIXES = (
    *importlib.machinery.all_suffixes(),
    *(".so", ".dylib", ".dll", ".zip", ".egg", ".whl", ".pyz"),
)
"""Endings of what Python runs or imports from."""
EVENTS = {"open": 0, "import": 1, "ctypes.dlopen": 0}
"""Audit events that name a file, and which of their arguments does."""
ROOMS = Path(__file__).resolve().parents[2]
"""The folder that damp was imported from."""
OURS = tuple(ROOMS / name for name in ("damp", "audits", "compliance", "flows"))


def places(modules: Mapping[str, Path], folder: Path | None) -> tuple[Path, ...]:
    """Where the code of the other side lies: what is read there as code is written down.

    Args:
        modules: The file of each module that may run, by its name.
        folder: The folder that was named for such code, if one was.
    Returns:
        Folders, or files where a module stands alone among those of others.
    """
    shared = {Path(sysconfig.get_path(name)) for name in ("stdlib", "platstdlib", "purelib")}
    shared |= {Path(sysconfig.get_path("platlib")), ROOMS}
    folders = [folder.absolute()] if folder else []
    for name, file in modules.items():
        first, *deeper = name.split(".")
        root = file.absolute().parents[len(deeper) + (file.stem == "__init__")]
        if root in shared:
            package = root / first
            folders.append(package if package.is_dir() else file.absolute())
        else:
            folders.append(root)
    return tuple(dict.fromkeys(folders))


def below(path: str, within: Iterable[Path]) -> bool:
    """Whether a file lies at one of those places, by its name or by where its links lead."""
    for form in (os.path.abspath(path), os.path.realpath(path)):
        if any(Path(form).is_relative_to(ours) for ours in OURS):
            return False
        if any(Path(form).is_relative_to(place) for place in within):
            return True
    return False


class Watch:
    """An audit hook that writes down what is read as code at some places.

    Args:
        within: The places.
        record: The file that path and SHA-256 of each are appended to, as they were when it was
            read; processes that this one starts append to it too.
    """

    def __init__(self, within: tuple[Path, ...], record: Path) -> None:
        self._within = within
        self._record = os.open(record, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        self._written: set[str] = set()
        self._at_work = threading.local()

    def __call__(self, event: str, arguments: tuple[object, ...]) -> None:
        """What Python calls.

        Raises:
            FileNotFoundError: Bytecode beside a source there: Python then compiles the source,
                whose digest is written down.
        """
        if event not in EVENTS or getattr(self._at_work, "digesting", False):
            return
        given = arguments[EVENTS[event]]
        if not isinstance(given, str | bytes | os.PathLike):
            return
        path = os.fsdecode(given)
        if not path.endswith(SUFFIXES) or not below(path, self._within):
            return
        if path.endswith(".pyc") and os.path.basename(os.path.dirname(path)) == "__pycache__":
            raise FileNotFoundError(path)
        self._at_work.digesting = True
        try:
            if os.path.isfile(path):  # else it is not read either
                line = json.dumps([os.path.abspath(path), digest_file(Path(path))])
                if line not in self._written:
                    os.write(self._record, f"{line}\n".encode())
                    self._written.add(line)
        finally:
            self._at_work.digesting = False


def recorded(record: Path, within: tuple[Path, ...], before: Mapping[str, str]) -> dict[str, str]:
    """SHA-256 by path of what was read as code, `before` with it.

    Args:
        record: What watches have written.
        within: Where it can lie.
        before: What earlier processes read.
    Raises:
        EventError: The record says what no watch writes, or a file changed in between.
    """
    read = dict(before)
    for line in record.read_text().splitlines() if record.exists() else ():
        path, digest = _pair(line)
        if not below(path, within):
            raise EventError(f"{path} lies elsewhere than the code that was allowed. {FORGED}")
        if read.setdefault(path, digest) != digest:
            raise EventError(
                f"{path} was read as code twice and had changed in between. Code that writes "
                "itself anew cannot be pinned: nothing was signed."
            )
    require(read)
    return read


FORGED = "The record of what ran was written by that code itself: nothing was signed."


def _pair(line: str) -> tuple[str, str]:
    try:
        path, digest = json.loads(line)
    except (ValueError, TypeError, RecursionError) as problem:
        raise EventError(FORGED) from problem
    if not isinstance(path, str) or not re.fullmatch("[0-9a-f]{64}", str(digest)):
        raise EventError(FORGED)
    return path, digest


def require(read: Mapping[str, str]) -> None:
    """Refuse files that are no longer what they were when they were read as code.

    Args:
        read: SHA-256 by path.
    Raises:
        EventError: One has changed, or is gone.
    """
    for path, digest in read.items():
        if not os.path.isfile(path) or digest_file(Path(path)) != digest:
            raise EventError(
                f"{path} has changed since it was read as code of the other side: its sha256 is no "
                f"longer {digest[:16]}... Restore it, or hand the document in again."
            )


def named(read: Mapping[str, str], within: tuple[Path, ...]) -> dict[str, str]:
    """The same by names for a record: each starts at its place and says nothing of the machine.

    >>> named({"/a/theirs/net.py": "00ff"}, (Path("/a"),))
    {'theirs/net.py': '00ff'}
    """
    digests: dict[str, str] = {}
    for path, digest in sorted(read.items()):
        place = next((p for p in within if Path(path).is_relative_to(p)), Path(path))
        root = place.parent if Path(path) == place else place
        name = Path(path).relative_to(root).as_posix()
        if name in digests:  # another place has one of this name
            name = f"{root.name}/{name}"
        digests[name] = digest
    return digests
