"""Commands of a request's life: who asks, whether it is carried out, by when, who signs it off."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from flows.cli.options import FILE, as_json, home

event = click.argument("event")
because = click.option("--reason", required=True, help="Why; no person's name.")


@click.command()
@click.option("--all", "ended", is_flag=True, help="Ended events too.")
@as_json
def inbox(ended: bool, as_json: bool) -> int:
    """Show what is due: open events, the nearest deadline first, and what comes next.

    \b
    Examples:
      damp inbox
      damp inbox --all --json
    """
    from flows.cli import answering

    return answering.inbox(home(), ended=ended, as_json=as_json)


@click.command("verify-identity")
@event
@click.option("--role", required=True, help="The role that verified it, as in privacy-desk.")
@as_json
def verify_identity(as_json: bool, **asked: Any) -> int:
    """Log that the requester's identity was verified.

    A policy with `identity: required` runs nothing before.

    \b
    Examples:
      damp verify-identity 5f0c7c2e --role privacy-desk
    """
    return _step("verify_identity", as_json=as_json, **asked)


@click.command()
@event
@click.option("--reason", required=True, help="unverifiable, not-the-person, exempt, ...")
@click.option("--note", default="", help="More about it; no person's name.")
@as_json
def deny(as_json: bool, **asked: Any) -> int:
    """Deny a request before it is carried out, on a ground that is counted.

    Grounds: unverifiable, not-the-person, exempt, out-of-scope, other (with a note).

    \b
    Examples:
      damp deny 5f0c7c2e --reason unverifiable
      damp deny 5f0c7c2e --reason other --note "withdrawn by phone, letter of 12 May on file"
    """
    return _step("deny", as_json=as_json, **asked)


@click.command()
@event
@click.option("--of", required=True, help="The event that does the same already.")
@as_json
def duplicate(as_json: bool, **asked: Any) -> int:
    """Mark a request as a duplicate of another.

    \b
    Examples:
      damp duplicate 5f0c7c2e --of 20c4cb83
    """
    return _step("duplicate", as_json=as_json, **asked)


@click.command()
@event
@because
@as_json
def cancel(as_json: bool, **asked: Any) -> int:
    """Cancel a request that was withdrawn.

    \b
    Examples:
      damp cancel 5f0c7c2e --reason "withdrawn by the requester"
    """
    return _step("cancel", as_json=as_json, **asked)


@click.command()
@event
@because
@as_json
def pause(as_json: bool, **asked: Any) -> int:
    """Keep a request from being carried out; its clock goes on.

    \b
    Examples:
      damp pause 5f0c7c2e --reason "waiting for the contract"
    """
    return _step("pause", as_json=as_json, **asked)


@click.command()
@event
@as_json
def resume(as_json: bool, **asked: Any) -> int:
    """Let a paused request go on.

    \b
    Examples:
      damp resume 5f0c7c2e
    """
    return _step("resume", as_json=as_json, **asked)


@click.command()
@event
@click.option("--days", required=True, type=int, help="By how many days.")
@because
@as_json
def extend(as_json: bool, **asked: Any) -> int:
    """Move the due date, once, as far as the policy allows, before it has gone by.

    \b
    Examples:
      damp extend 5f0c7c2e --days 30 --reason "forty requests on one model"
    """
    return _step("extend", as_json=as_json, **asked)


@click.command()
@event
@click.option("--role", default="reviewer", show_default=True, help="Whose sign-off.")
@click.option("--signed", type=FILE, help="A copy of the statement that `damp sign` has signed.")
@as_json
def approve(event: str, role: str, signed: Path | None, as_json: bool) -> int:
    """Sign off a PASSED statement, or take over a signature made elsewhere.

    \b
    Examples:
      damp approve 5f0c7c2e
      damp approve 5f0c7c2e --signed statement-signed-by-the-reviewer.dsse.json
    """
    from flows.cli import answering

    return answering.approve(home(), event, role=role, signed=signed, as_json=as_json)


@click.command()
@event
@because
@as_json
def close(as_json: bool, **asked: Any) -> int:
    """Close an event by hand, after its verdict.

    \b
    Examples:
      damp close 5f0c7c2e --reason "the model was taken out of use and deleted"
    """
    return _step("close", as_json=as_json, **asked)


def _step(name: str, *, as_json: bool, **asked: Any) -> int:
    from flows.cli import answering

    return answering.step(home(), name, as_json=as_json, **asked)


COMMANDS = (
    *(inbox, verify_identity, extend, pause, resume, deny, duplicate, cancel),
    *(approve, close),
)
