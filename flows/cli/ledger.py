"""`damp ledger`: the log of everything that happened, and what others need to check it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from flows.cli.options import FILE, as_json, home

trust = click.option(
    "--trust", type=FILE, help="Trusted keys. [default: trust.json of the state folder]"
)
output = click.option("--output", "-o", type=FILE, help="File to write instead of printing.")


@click.group()
def ledger() -> None:
    """The append-only log of everything that happened.

    \b
    Examples:
      damp ledger show --last 20
      damp ledger checkpoint -o for-the-auditor.txt
    """


@ledger.command()
@click.option("--ledger", type=FILE, help="Another ledger than that of the state folder.")
@click.option(
    "--checkpoint", "checkpoints", type=FILE, multiple=True, help="One kept by others; repeatable."
)
@trust
@as_json
def verify(as_json: bool, **asked: Any) -> int:
    """Compute every hash anew, and hold the ledger against checkpoints.

    \b
    Examples:
      damp ledger verify
      damp ledger verify --checkpoint kept-by-the-auditor.txt
    """
    from flows.cli import ledgering

    return ledgering.verify(home(), as_json=as_json, **asked)


@ledger.command()
@click.option("--event", help="Entries of one event only.")
@click.option("--last", type=click.IntRange(1), help="Only the last so many.")
@as_json
def show(as_json: bool, **asked: Any) -> int:
    """Print the entries, oldest first.

    \b
    Examples:
      damp ledger show --last 20
      damp ledger show --event 5f0c7c2e-4a53-4d0b-9f3e-1f4f5f0a9c11 --json
    """
    from flows.cli import ledgering

    return ledgering.show(home(), as_json=as_json, **asked)


@ledger.command()
@output
@as_json
def checkpoint(output: Path | None, as_json: bool) -> int:
    """Sign where the ledger stands, for somebody else to keep.

    Whoever holds it can see later whether an entry before it was changed or the end cut off.

    \b
    Examples:
      damp ledger checkpoint -o for-the-auditor.txt
    """
    from flows.cli import ledgering

    return ledgering.sign_checkpoint(home(), output=output, as_json=as_json)


@ledger.command()
@click.option("--since", type=FILE, help="Show growth since this checkpoint.")
@click.option("--statement", type=FILE, help="Show that this statement stands in the ledger.")
@output
def prove(**asked: Any) -> int:
    """Write a proof of some hashes that others can check without seeing the ledger.

    \b
    Examples:
      damp ledger prove --since for-the-auditor.txt -o growth.txt
      damp ledger prove --statement statement.dsse.json -o statement.tlog-proof
    """
    from flows.cli import ledgering

    return ledgering.prove(home(), **asked)


@ledger.command()
@click.argument("held", type=FILE)
@click.argument("proof", type=FILE)
@trust
@as_json
def consistent(as_json: bool, **asked: Any) -> int:
    """Check that the ledger only grew since the checkpoint HELD, as PROOF says.

    Needs neither the ledger nor the state folder, only the trust file.

    \b
    Examples:
      damp ledger consistent for-the-auditor.txt growth.txt --trust trust.json
    """
    from flows.cli import ledgering

    return ledgering.consistent(home(), as_json=as_json, **asked)


COMMANDS = (ledger,)
