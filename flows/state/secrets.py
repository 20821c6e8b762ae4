"""Passphrase and database passwords: taken out of the environment, before a child can inherit it.

Commands are given them as variables. `withdraw` moves them into a file that exists in memory only;
what is started later, and is damp itself, reads them there by the path in `DAMP_SECRETS`. The same
variable names a file of your own, for a service: one JSON object of names and values, mode 0600.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import MutableMapping
from functools import lru_cache
from pathlib import Path

from compliance.formats import files, strict_json
from compliance.formats.errors import JsonError
from flows.state.errors import SettingsError

POINTER = "DAMP_SECRETS"
PASSPHRASE = "DAMP_KEY_PASSPHRASE"  # noqa: S105 - the variable's name
TOKEN_PIN = "DAMP_PKCS11_PIN"  # noqa: S105 - the same
NAMES = (
    PASSPHRASE,
    TOKEN_PIN,
    "DAMP_LOCKS_URL",
    "DAMP_PREFECT_DATABASE_URL",
    "DAMP_MLFLOW_DATABASE_URL",
    "DAMP_PREFECT_AUTH",
    "DAMP_MLFLOW_AUTH",
)
"""Variables whose values are secrets, or may hold one."""
LONGEST = 1 << 16
"""Bytes of such a file at most."""

_held: list[int] = []
"""Descriptors of the files in memory: they live as long as this process."""


def value(name: str) -> str | None:
    """A secret of this process: of its environment, else of the file that `DAMP_SECRETS` names.

    Raises:
        SettingsError: That file cannot be read, is open to others, or is no such file.
    """
    given = os.environ.get(name)
    if given is not None:
        return given
    pointer = os.environ.get(POINTER)
    return None if pointer is None else _read(pointer).get(name)


def withdraw(environ: MutableMapping[str, str]) -> None:
    """Move the secrets of an environment into memory, and point to them there.

    Raises:
        SettingsError: `DAMP_SECRETS` names a file that cannot be used.
    """
    secrets = {name: environ[name] for name in NAMES if name in environ}
    if not secrets or not hasattr(os, "memfd_create"):  # only Linux has such files
        return
    if POINTER in environ:
        secrets = _read(environ[POINTER]) | secrets
    descriptor = os.memfd_create("damp-secrets")  # closed in children: they open it by its path
    os.fchmod(descriptor, 0o600)
    os.write(descriptor, json.dumps(secrets).encode())
    _held.append(descriptor)
    for name in secrets:
        environ.pop(name, None)
    environ[POINTER] = f"/proc/{os.getpid()}/fd/{descriptor}"


def hidden(text: str) -> str:
    """A text for people, with no password of an address in it.

    >>> hidden("no answer from postgresql://damp:s3cret@db/locks")
    'no answer from postgresql://damp:***@db/locks'
    """
    shown = re.sub(r"(\w://[^\s/:@]*):[^\s/]*@", r"\1:***@", text)
    return re.sub(r"(?i)(\bpassword\s*=\s*)('[^']*'|\S+)", r"\1***", shown)


@lru_cache(maxsize=4)
def _read(path: str) -> dict[str, str]:
    """The names and values of such a file."""
    remedy = f"Correct {POINTER}: it names a file of mode 0600 with one JSON object."
    try:
        content = files.read(Path(path), LONGEST)
        mode = Path(path).stat().st_mode
    except OSError as error:
        raise SettingsError(f"{path} cannot be read: {error.strerror}. {remedy}") from error
    by_systemd = os.environ.get("CREDENTIALS_DIRECTORY")  # read by its group, which is the user's
    if mode & (0o037 if by_systemd and Path(path).is_relative_to(by_systemd) else 0o077):
        raise SettingsError(f"{path} is open to others: chmod 600 {path}.")
    try:
        secrets = strict_json.loads(content)
    except JsonError:
        raise SettingsError(f"{path} holds no JSON. {remedy}") from None  # without what it holds
    good = isinstance(secrets, dict) and all(isinstance(each, str) for each in secrets.values())
    if not good or not secrets.keys() <= set(NAMES):
        raise SettingsError(
            f"{path} holds other things than {', '.join(NAMES)}, each with a text. {remedy}"
        )
    return dict(secrets)
