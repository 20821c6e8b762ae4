"""The password of the servers that damp starts: one for each state folder, for its owner's eyes.

Prefect's API can start programs, so whoever reaches its port could run code as the damp user. The
same string guards both servers: a client of ours sends it, a page asks for it.
"""

from __future__ import annotations

import base64
import os
import secrets
import tempfile
from pathlib import Path

from compliance.formats import files
from flows.state.errors import ServerError

FILE = "servers.auth"
USER = "damp"
LONGEST = 4096
"""Bytes of such a file at most."""


def auth_string(home: Path) -> str:
    """`user:password` of this state folder's servers; made at the first call.

    Raises:
        ServerError: It cannot be read or written, or others can read it.
    """
    path = home / FILE
    try:
        if not path.exists():
            _make(path)
        if path.stat().st_mode & 0o077:
            raise ServerError(f"{path} is open to others: remove it, and run `damp down`.")
        text = files.read(path, LONGEST).decode(errors="replace").strip()
    except OSError as error:
        raise ServerError(
            f"{path} cannot be used: {error.strerror}. Make the state folder writable for you, or "
            "name another one with --home or DAMP_HOME."
        ) from error
    if not text.startswith(f"{USER}:") or len(text) < 40:
        raise ServerError(f"{path} holds no password: remove it, then `damp down` and `damp up`.")
    return text


def header(auth: str) -> dict[str, str]:
    """How a client sends it."""
    return {"Authorization": f"Basic {base64.b64encode(auth.encode()).decode()}"}


def _make(path: Path) -> None:
    """Write it aside and link it: of two that do so at once, the first one counts."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, aside = tempfile.mkstemp(dir=path.parent, prefix=f".{FILE}.")  # of mode 0600
    try:
        with os.fdopen(handle, "w") as file:
            file.write(f"{USER}:{secrets.token_urlsafe(32)}\n")
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(aside, path)
        except FileExistsError:
            return
    finally:
        os.unlink(aside)
