"""`damp keys`: signing keys, and which keys are trusted."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from flows.cli import console
from flows.cli.options import DONE, as_json, home

if TYPE_CHECKING:
    from compliance.signing import TrustedKey
    from flows.state.paths import Home

role = click.option(
    "--role", default="executor", show_default=True, help="executor, reviewer or auditor."
)
days = click.option(
    "--days", default=365, show_default=True, type=click.IntRange(1), help="Validity."
)
token = click.option(
    "--token", is_flag=True, help="On the PKCS#11 token of the settings, not in a file."
)
SINCE = click.DateTime(["%Y-%m-%dT%H:%M:%S%z", "%Y-%m-%dT%H:%M:%SZ"])


@click.group()
def keys() -> None:
    """Signing keys, and which keys are trusted."""


@keys.command("list")
@as_json
def keys_list(as_json: bool) -> int:
    """Show the keys in trust.json: role, validity, whether it can sign here.

    \b
    Examples:
      damp keys list
    """
    from flows.state import keyring

    place = home()
    rows = [_row(place, keyid, key) for keyid, key in keyring.trusted(place).keys.items()]
    nothing = f"No key is trusted in {place.trust}. `damp keys new` makes one."
    console.answer(rows, [console.table(rows) if rows else nothing], as_json=as_json)
    return DONE


def _row(home: Home, keyid: str, key: TrustedKey) -> dict[str, Any]:
    from flows.state import keyring

    return {
        "keyid": keyid,
        "role": key.role,
        "from": key.not_before[:10],
        "until": key.not_after[:10],
        "valid": key.covers(datetime.now(UTC)),
        "signs_here": keyring.signs_here(home, keyid),
        "demo": key.demo,
    }


@keys.command("new")
@role
@days
@token
@as_json
def keys_new(role: str, days: int, token: bool, as_json: bool) -> int:
    """Make an Ed25519 key pair and trust it.

    A passphrase for the private half is taken from DAMP_KEY_PASSPHRASE; the PIN of a token from
    DAMP_PKCS11_PIN.

    \b
    Examples:
      damp keys new --role executor --days 365
      damp keys new --role reviewer --token
    """
    from flows.state import keyring
    from flows.state.settings import settings

    place = home()
    key = keyring.new(place, role=role, days=days, on_token=token)
    trust = str(place.trust)
    private = f"token {settings().pkcs11_token}" if token else str(keyring.folders(place)[0])
    keep = "it never leaves it" if token else "mode 0600; back it up, share it with nobody"
    lines = [
        f"Key {key.keyid}",
        f"role {role}, valid {days} days",
        f"private half: {private} ({keep})",
        f"trusted in:   {trust} (give this file to those who verify)",
    ]
    page = {"keyid": key.keyid, "role": role, "private": private, "trust": trust}
    console.answer(page, lines, as_json=as_json)
    return DONE


@keys.command("rotate")
@role
@days
@token
@as_json
def keys_rotate(role: str, days: int, token: bool, as_json: bool) -> int:
    """Make a new key for a role and end those that it follows.

    What the old keys have signed still holds.

    \b
    Examples:
      damp keys rotate --role executor --days 365
    """
    from flows.state import keyring

    place = home()
    key, ended = keyring.rotate(place, role=role, days=days, on_token=token)
    lines = [
        f"Key {key.keyid} signs as {role} from now on, for {days} days.",
        f"Ended: {', '.join(keyid[:16] for keyid in ended)}; what they signed still holds.",
        f"Give {place.trust} anew to those who verify.",
    ]
    page = {"keyid": key.keyid, "role": role, "ended": ended, "trust": str(place.trust)}
    console.answer(page, lines, as_json=as_json)
    return DONE


@keys.command("revoke")
@click.argument("keyid")
@click.option(
    "--since",
    type=SINCE,
    help="When it stopped being trustworthy, in UTC: 2026-09-20T08:00:00Z. [default: now]",
)
@as_json
def keys_revoke(keyid: str, since: datetime | None, as_json: bool) -> int:
    """End a key's validity, now or at a moment in the past.

    Statements of attempts that ended later do not hold any more.

    \b
    Examples:
      damp keys revoke 0496b10ed3a376ab --since 2026-09-20T08:00:00Z
    """
    from flows.state import keyring

    place = home()
    zoned = since.replace(tzinfo=UTC) if since and since.tzinfo is None else since
    ended = keyring.revoke(place, keyid, since=zoned)
    line = (
        f"Key {keyid[:16]} ({ended.role}) counts until {ended.not_after}; statements of attempts "
        f"that ended later do not hold any more. Give {place.trust} anew to those who verify."
    )
    page = {"keyid": keyid, "role": ended.role, "until": ended.not_after}
    console.answer(page, [line], as_json=as_json)
    return DONE
