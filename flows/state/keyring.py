"""Signing keys: where the private halves lie, which one signs, new and ended ones."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from compliance.formats.errors import TrustError
from compliance.formats.timestamps import parse_utc
from compliance.signing import ROLES, Trust, TrustedKey, change_trust, keys, load_trust, tokens
from flows.state import secrets
from flows.state.errors import EventError
from flows.state.paths import Home
from flows.state.settings import settings

if TYPE_CHECKING:
    from compliance.signing import SigningKey

DEMO_DAYS = 3650
LONGEST = 36500
"""Days of a key's validity at most."""


def folders(home: Home) -> list[Path]:
    """Where private keys are looked for: the user's folder, then the demo's."""
    own = os.environ.get("DAMP_KEYS")
    default = Path(os.environ.get("XDG_CONFIG_HOME") or "~/.config") / "damp" / "keys"
    return [Path(own or default).expanduser().absolute(), home.keys]


def signing_key(home: Home, role: str, trust: Trust | None = None) -> SigningKey:
    """The private key that signs in a role: trusted, valid now, here; demo keys last.

    Where the settings name a PKCS#11 token and it holds such a key, that one signs.

    Args:
        home: The state folder.
        role: What it signs as.
        trust: Trusted keys other than those of the state folder.

    Raises:
        EventError: There is none.
        SigningError: Its file is readable by others, the passphrase is wrong, or the token cannot
            be used.
    """
    now = datetime.now(UTC)
    valid = {
        keyid: key
        for keyid, key in (trust or trusted(home)).keys.items()
        if key.role == role and key.covers(now)
    }
    here = [
        (key.demo, folder / f"{keyid}.pem")
        for keyid, key in valid.items()
        for folder in folders(home)
        if (folder / f"{keyid}.pem").exists()
    ]
    token = _token()
    if token is not None and (on_token := sorted(valid.keys() & tokens.ids(token))):
        return tokens.load(token, on_token[0], valid[on_token[0]].public_key)
    if not here:
        raise EventError(
            f"No key here can sign as {role}: make one with `damp keys new --role {role}`. It is "
            f"trusted in {home.trust}; its private half goes to {folders(home)[0]}."
        )
    demo, path = min(here)
    return keys.load(path, passphrase=_passphrase(), demo=demo)


def signs_here(home: Home, keyid: str) -> bool:
    """Whether the private half of a key lies on this machine, or on the token of the settings."""
    if any((folder / f"{keyid}.pem").exists() for folder in folders(home)):
        return True
    token = _token()
    return token is not None and keyid in tokens.ids(token)


def _token() -> tokens.Token | None:
    """The PKCS#11 token of the settings; None where they name none."""
    named = settings()
    if named.pkcs11_module is None:
        return None
    return tokens.Token(
        module=named.pkcs11_module,
        label=named.pkcs11_token,
        pin=secrets.value(secrets.TOKEN_PIN),
    )


def trusted(home: Home) -> Trust:
    """The trust file; empty where there is none yet."""
    return load_trust(home.trust) if home.trust.exists() else Trust(keys={})


def new(
    home: Home, *, role: str, days: int, demo: bool = False, on_token: bool = False
) -> SigningKey:
    """Make a key pair and trust it.

    Args:
        home: The state folder.
        role: What it may sign as.
        days: Of validity.
        demo: Marks it as one that nobody should rely on.
        on_token: Make it on the PKCS#11 token of the settings instead of in a file.
    Raises:
        EventError: There is no such role, the days are out of range, or no token is named.
        SigningError: The folder cannot be written, or lies in a git repository; or the trust file
            cannot be written, and then there is no private half left without its public one.
    """
    _check(role, days)
    return _add(
        home, role=role, days=days, demo=demo, on_token=on_token, change=lambda trust: trust
    )


def _check(role: str, days: int) -> None:
    if role not in ROLES:
        raise EventError(f"'{role}' is no role. Keys are for {' or '.join(ROLES)}.")
    if not 1 <= days <= LONGEST:
        raise EventError(f"A key cannot be valid for {days} days. Say 1 to {LONGEST} with --days.")


def _add(
    home: Home,
    *,
    role: str,
    days: int,
    demo: bool,
    on_token: bool,
    change: Callable[[Trust], Trust],
) -> SigningKey:
    """Make a key pair and trust it, together with another change of the trust file."""
    token = _named_token() if on_token else None
    folder = home.keys if demo else folders(home)[0]
    if token is None:
        pair = keys.generate(folder, passphrase=_passphrase(), demo=demo)
    else:
        pair = tokens.generate(token)
    entry = _entry(pair, role=role, days=days, demo=demo)
    try:
        change_trust(home.trust, lambda trust: change(trust).with_key(pair.keyid, entry))
    except (TrustError, EventError):
        if token is None:
            (folder / f"{pair.keyid}.pem").unlink()
        else:
            tokens.remove(token, pair.keyid)
        raise
    return pair


def _named_token() -> tokens.Token:
    """The PKCS#11 token of the settings.

    Raises:
        EventError: They name none.
    """
    token = _token()
    if token is None:
        raise EventError(
            "No token is named: set `pkcs11_module` (the vendor's library) and `pkcs11_token` (the "
            "token's label) in settings.toml, and its PIN as DAMP_PKCS11_PIN."
        )
    return token


def _entry(pair: SigningKey, *, role: str, days: int, demo: bool) -> TrustedKey:
    """The line of the trust file for a new key, valid from now on."""
    now = datetime.now(UTC).replace(microsecond=0)
    return TrustedKey(
        role=role,
        public_key=pair.public_key,
        not_before=now.isoformat(),
        not_after=(now + timedelta(days=days)).isoformat(),
        demo=demo,
    )


def rotate(
    home: Home, *, role: str, days: int, on_token: bool = False
) -> tuple[SigningKey, list[str]]:
    """Make a new key for a role; those that it follows end now, and what they signed still holds.

    Args:
        home: The state folder.
        role: Whose keys.
        days: Of the new one's validity.
        on_token: Make it on the PKCS#11 token of the settings.

    Returns:
        The new key, and the ids of those that ended.
    """
    _check(role, days)
    now = datetime.now(UTC).replace(microsecond=0)
    before = _valid(trusted(home), role, now)
    demo = all(trusted(home).keys[keyid].demo for keyid in before)
    ended: list[str] = []

    def end_those_before(trust: Trust) -> Trust:
        ended[:] = _valid(trust, role, now)
        # what was signed within this second still holds
        return _ended(trust, ended, now + timedelta(seconds=1))

    key = _add(home, role=role, days=days, demo=demo, on_token=on_token, change=end_those_before)
    return key, ended


def _valid(trust: Trust, role: str, now: datetime) -> list[str]:
    """Ids of the keys that may sign in a role now, one or more."""
    valid = [i for i, key in trust.keys.items() if key.role == role and key.covers(now)]
    if not valid:
        raise EventError(f"No key of role {role} is valid now: `damp keys new --role {role}`.")
    return valid


def revoke(home: Home, keyid: str, *, since: datetime | None) -> TrustedKey:
    """End a key's validity; statements of attempts that ended later do not hold any more.

    Args:
        home: The state folder.
        keyid: Its id, or the beginning of it.
        since: When it stopped being trustworthy; None for now.
    Raises:
        EventError: There is no such key, or it had ended before.
    """
    moment_of_end = (since or datetime.now(UTC)).astimezone(UTC).replace(microsecond=0)
    meant = _meant(home, trusted(home), keyid)  # what is refused leaves no lock behind

    def end_it(trust: Trust) -> Trust:
        nonlocal meant
        meant = _meant(home, trust, keyid)
        key = trust.keys[meant]
        if not key.covers(moment_of_end) or moment_of_end == parse_utc(key.not_before):
            raise EventError(
                f"Key {meant[:16]} is valid from {key.not_before} to {key.not_after}: it can only "
                "end between the two."
            )
        return _ended(trust, [meant], moment_of_end)

    return change_trust(home.trust, end_it).keys[meant]


def _meant(home: Home, trust: Trust, prefix: str) -> str:
    """The one id that begins so."""
    matches = [each for each in trust.keys if each.startswith(prefix)] if len(prefix) >= 8 else []
    if len(matches) != 1:
        raise EventError(
            f"{len(matches)} keys in {home.trust} begin with '{prefix}': write 8 characters or "
            "more of its id. `damp keys list` shows them."
        )
    return matches[0]


def _ended(trust: Trust, keyids: list[str], moment_of_end: datetime) -> Trust:
    """The same with some keys' validity ended; nothing is put off that ends earlier."""
    ends = {i: min(parse_utc(trust.keys[i].not_after), moment_of_end) for i in keyids}
    ended = {i: replace(trust.keys[i], not_after=end.isoformat()) for i, end in ends.items()}
    return Trust(keys={**trust.keys, **ended})


def ensure_demo_key(home: Home) -> None:
    """Give the demo something to sign with, unless there is a key already."""
    if not any(key.role == "executor" for key in trusted(home).keys.values()):
        new(home, role="executor", days=DEMO_DAYS, demo=True)


def _passphrase() -> bytes | None:
    passphrase = secrets.value(secrets.PASSPHRASE)
    return passphrase.encode() if passphrase else None
