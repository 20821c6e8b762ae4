"""Commands about what is left behind: statements, signatures, keys."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import click

from flows.cli.options import FILE, as_json, home


@click.command()
@click.argument("statement", type=FILE)
@click.option("--trust", type=FILE, help="Trusted keys. [default: trust.json of the state folder]")
@click.option("--model", type=FILE, help="The model file that the statement must be about.")
@click.option("--ledger", type=FILE, help="The ledger that must hold the statement.")
@click.option("--checkpoint", type=FILE, help="A checkpoint that the ledger must continue.")
@click.option("--proof", type=FILE, help="Instead of the ledger: `damp ledger prove --statement`.")
@as_json
def verify(as_json: bool, **asked: Any) -> int:
    """Check a signed statement offline.

    Exit codes: 0 valid and PASSED, 1 invalid, 2 valid but not PASSED, 3 unsupported schema.

    \b
    Examples:
      damp verify .damp/events/ID/attempt-1/statement.dsse.json
      damp verify statement.dsse.json --trust trust.json --model after.safetensors
      damp verify statement.dsse.json --trust trust.json --proof statement.tlog-proof
    """
    from flows.cli import verifying

    return verifying.verify(home=home(), as_json=as_json, **asked)


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

    return keyring.show(home(), as_json=as_json)


@keys.command("new")
@click.option(
    "--role", default="executor", show_default=True, help="executor, reviewer or auditor."
)
@click.option("--days", default=365, show_default=True, type=click.IntRange(1), help="Validity.")
@as_json
def keys_new(role: str, days: int, as_json: bool) -> int:
    """Make an Ed25519 key pair and trust it.

    A passphrase for the private half is taken from DAMP_KEY_PASSPHRASE.

    \b
    Examples:
      damp keys new --role executor --days 365
    """
    from flows.state import keyring

    return keyring.make(home(), role=role, days=days, as_json=as_json)


@keys.command("rotate")
@click.option(
    "--role", default="executor", show_default=True, help="executor, reviewer or auditor."
)
@click.option("--days", default=365, show_default=True, type=click.IntRange(1), help="Validity.")
@as_json
def keys_rotate(role: str, days: int, as_json: bool) -> int:
    """Make a new key for a role and end those that it follows.

    What the old keys have signed still holds.

    \b
    Examples:
      damp keys rotate --role executor --days 365
    """
    from flows.state import keyring

    return keyring.tell_rotated(home(), role=role, days=days, as_json=as_json)


@keys.command("revoke")
@click.argument("keyid")
@click.option(
    "--since",
    type=click.DateTime(["%Y-%m-%dT%H:%M:%S%z", "%Y-%m-%dT%H:%M:%SZ"]),
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

    return keyring.tell_revoked(home(), keyid, since=since, as_json=as_json)


@click.command()
@click.argument("statement", type=FILE)
@click.option("--role", default="reviewer", show_default=True, help="What the key signs as.")
@click.option("--trust", type=FILE, help="Trusted keys. [default: trust.json of the state folder]")
@click.option("--output", "-o", type=FILE, help="Where to write it. [default: the same file]")
@as_json
def sign(as_json: bool, **asked: Any) -> int:
    """Add a signature to a statement that holds: the same bytes, a second role.

    \b
    Examples:
      damp sign statement.dsse.json --role reviewer --trust trust.json -o signed.dsse.json
    """
    from flows.cli import answering

    return answering.sign(home(), as_json=as_json, **asked)


@click.command()
@click.argument("statement", type=FILE)
@click.option("--trust", type=FILE, help="Trusted keys. [default: trust.json of the state folder]")
@click.option("--before", type=FILE, help="The model before. [default: beside the statement]")
@click.option("--request", type=FILE, help="The request. [default: reproduce.yaml beside it]")
@click.option("--output", "-o", type=FILE, help="[default: replay.dsse.json]")
@as_json
def replay(as_json: bool, **asked: Any) -> int:
    """Run an attempt again from its pinned inputs and compare digests and figures.

    The result is signed by an auditor's key (`damp keys new --role auditor`). Exit codes: 0 all is
    the same, 1 something is not.

    \b
    Examples:
      damp --home my-audit replay attempt-1/statement.dsse.json --trust trust.json
    """
    from flows.operations import replay as replaying

    return replaying.tell(home(), as_json=as_json, **asked)


COMMANDS = (verify, sign, replay, keys)
