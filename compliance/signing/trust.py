"""Whose signatures count: `trust.json`, which maps key ids to roles and validity.

    {"format": "damp/trust/v1",
     "keys": {"<id>": {"role": "executor", "public_key": "-----BEGIN PUBLIC KEY-----...",
                       "not_before": "2026-09-01T00:00:00Z", "not_after": "2027-09-01T00:00:00Z",
                       "demo": false}}}

Whoever checks a statement must have this file from a place that they trust, not from the one who
made the statement.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from compliance.formats import files, strict_json
from compliance.formats.errors import JsonError, SigningError, TrustError
from compliance.formats.timestamps import parse_utc
from compliance.signing import keys

FORMAT = "damp/trust/v1"
ROLES = ("executor", "reviewer", "auditor")


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustedKey:
    """A public key and what it may vouch for.

    Attributes:
        role: "executor" signs what was done; "reviewer" signs it off; "auditor" signs what came of
            doing it again.
        public_key: PEM.
        not_before: UTC, when its validity starts.
        not_after: UTC, when it ends.
        demo: A key of the demonstration, which nobody should rely on.
    """

    role: str
    public_key: str
    not_before: str
    not_after: str
    demo: bool = False

    def covers(self, time: datetime) -> bool:
        """Whether a moment lies in its validity."""
        return parse_utc(self.not_before) <= time <= parse_utc(self.not_after)


@dataclass(frozen=True, slots=True, kw_only=True)
class Trust:
    """The trusted keys by id."""

    keys: Mapping[str, TrustedKey]

    def with_key(self, keyid: str, key: TrustedKey) -> Trust:
        """The same and one key more.

        Raises:
            TrustError: it is listed already, or does not fit its id.
        """
        if keyid in self.keys:
            raise TrustError(f"Key {keyid} is trusted already: remove the old line first.")
        return Trust(keys={**self.keys, keyid: _checked(keyid, asdict(key))})


def load_trust(path: str | Path) -> Trust:
    """The trust file, every id recomputed from its public key.

    Raises:
        TrustError: unreadable, unknown parts, an id that is not its key's, a key listed twice.
    """
    try:
        content = strict_json.loads(files.read(Path(path)), str(path))
    except OSError as error:
        raise TrustError(
            f"{path}: cannot be read: {error.strerror}. Without it no signature can be judged."
        ) from error
    except JsonError as error:
        raise TrustError(str(error)) from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise TrustError(f"{path}: no trust file of format {FORMAT}.")
    if content.keys() != {"format", "keys"} or not isinstance(content["keys"], dict):
        raise TrustError(f"{path}: holds `format` and `keys`, and nothing else.")
    return Trust(keys={keyid: _checked(keyid, key) for keyid, key in content["keys"].items()})


def save_trust(path: Path, trust: Trust) -> None:
    """Write the trust file in one rename.

    Raises:
        TrustError: the disk refused.
    """
    content = {"format": FORMAT, "keys": {k: asdict(v) for k, v in trust.keys.items()}}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        files.write(path, (json.dumps(content, indent=2) + "\n").encode())
    except OSError as error:
        raise TrustError(f"{path}: cannot be written: {error.strerror}.") from error


def change_trust(path: Path, change: Callable[[Trust], Trust]) -> Trust:
    """Change the trust file while nobody else does; where there is none yet, make it.

    Args:
        path: The file.
        change: From what it holds now to what it holds then; what it raises leaves the file as is.
    Returns:
        What it holds then.
    Raises:
        TrustError: it cannot be read, locked or written.
    """
    try:
        with files.locked(path):
            after = change(load_trust(path) if path.exists() else Trust(keys={}))
            save_trust(path, after)
    except OSError as error:
        raise TrustError(f"{path}: cannot be locked: {error.strerror}.") from error
    return after


def _checked(keyid: str, key: Any) -> TrustedKey:
    named = f"Key {keyid[:16]} of the trust file"
    fields = {"role": str, "public_key": str, "not_before": str, "not_after": str, "demo": bool}
    if not isinstance(key, dict) or key.keys() != fields.keys():
        raise TrustError(f"{named} must hold exactly: {', '.join(fields)}.")
    if any(not isinstance(key[name], kind) for name, kind in fields.items()):
        raise TrustError(f"{named} holds a value of the wrong type.")
    if key["role"] not in ROLES:
        raise TrustError(f"{named} has role {key['role']!r}: known are {', '.join(ROLES)}.")
    _check_times(named, key)
    _check_id(named, keyid, key["public_key"])
    return TrustedKey(**key)


def _check_times(named: str, key: Mapping[str, Any]) -> None:
    try:
        ordered = parse_utc(key["not_before"]) < parse_utc(key["not_after"])
    except ValueError as error:
        raise TrustError(f"{named} has no proper validity: {error}.") from error
    if not ordered:
        raise TrustError(f"{named} ends before it starts: fix not_before or not_after.")


def _check_id(named: str, keyid: str, pem: str) -> None:
    try:
        own = keys.key_id(keys.public_from_pem(pem))
    except SigningError as error:
        raise TrustError(f"{named}: {error}") from error
    if own != keyid:
        raise TrustError(
            f"{named} holds the public key whose id is {own}: the line was changed, or one key is "
            "listed twice under two names."
        )
