"""Commands of a request's life: who asks, whether it is carried out, by when, how it ends."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from compliance.ledger import Entry
from flows.cli import console
from flows.cli.options import DONE, as_json, event, home

if TYPE_CHECKING:
    from rich.table import Table

    from compliance.ledger.inbox import Row
    from compliance.presentation.next_steps import NextStep
    from flows.state.paths import Home

Facts = Mapping[str, Any]

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
    from compliance.ledger import Ledger, states
    from compliance.ledger import inbox as due

    ledger = home().ledger
    entries = Ledger(ledger).entries() if ledger.exists() else []
    rows = due.rows(states.events(entries).values(), datetime.now(UTC), ended=ended)
    steps = _steps(rows)
    page = [row.to_json() | {"steps": [s.to_json() for s in steps[row.id]]} for row in rows]
    console.answer(page, _open(rows, steps), as_json=as_json)
    return DONE


def _steps(rows: Sequence[Row]) -> dict[str, tuple[NextStep, ...]]:
    """What to do about each that is not PASSED, also about what stopped; empty for the others."""
    from flows.records import status

    asked = any(row.verdict != "PASSED" for row in rows)
    every = {event.id: event.next for event in status.all_events(home())} if asked else {}
    return {row.id: every.get(row.id, ()) if row.verdict != "PASSED" else () for row in rows}


def _open(rows: Sequence[Row], steps: Mapping[str, tuple[NextStep, ...]]) -> Iterator[Table | str]:
    if not rows:
        yield "Nothing is open. `damp submit request.yaml` files a request."
        return
    yield _table(rows)
    for row in rows:
        if row.next and not steps[row.id]:
            yield f"{row.id[:8]}  {row.next}"
        for number, step in enumerate(steps[row.id]):
            yield f"{'' if number else row.id[:8]:8}  {step.text}"
            if step.command:
                yield f"{'':10}{step.command}"


def _table(rows: Sequence[Row]) -> Table:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    drawn = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in ("event", "due", "left", "state", "ground", "verdict", "awaited"):
        drawn.add_column(name, no_wrap=name in ("event", "due", "left"))
    for row in rows:
        left, colour = _left(row)
        drawn.add_row(
            row.id[:8],
            (row.due or "-")[:10] + ("*" if row.extended else ""),
            Text(left, style=colour),
            row.state,
            row.regulation or "-",
            row.verdict or "-",
            ", ".join(row.awaited) or "-",
        )
    if any(row.extended for row in rows):
        drawn.caption = "* extended"
    return drawn


def _left(row: Row) -> tuple[str, str]:
    """Days left in words that need no colour, and a colour."""
    days, warning = row.days_left, row.warning
    if days is None:
        return "-", "default"
    if days < 0:
        return f"{-days - 1} days LATE", "bold red"
    text = f"{days} days" + (f" (day {warning})" if warning else "")
    return text, "yellow" if warning else "default"


@click.command("verify-identity")
@event
@click.option("--role", required=True, help="The role that verified it, as in privacy-desk.")
@as_json
def verify_identity(event: str, as_json: bool, **details: Any) -> int:
    """Log that the requester's identity was verified.

    A policy with `identity: required` runs nothing before.

    \b
    Examples:
      damp verify-identity 5f0c7c2e --role privacy-desk
    """
    from flows.intake import lifecycle

    return transition(lifecycle.verify_identity, event, as_json=as_json, **details)


@click.command()
@event
@click.option("--reason", required=True, help="unverifiable, not-the-person, exempt, ...")
@click.option("--note", default="", help="More about it; no person's name.")
@as_json
def deny(event: str, as_json: bool, **details: Any) -> int:
    """Deny a request before it is carried out, on a ground that is counted.

    Grounds: unverifiable, not-the-person, exempt, out-of-scope, other (with a note).

    \b
    Examples:
      damp deny 5f0c7c2e --reason unverifiable
      damp deny 5f0c7c2e --reason other --note "withdrawn by phone, letter of 12 May on file"
    """
    from flows.intake import lifecycle

    return transition(lifecycle.deny, event, as_json=as_json, **details)


@click.command()
@event
@click.option("--of", required=True, help="The event that does the same already.")
@as_json
def duplicate(event: str, as_json: bool, **details: Any) -> int:
    """Mark a request as a duplicate of another.

    \b
    Examples:
      damp duplicate 5f0c7c2e --of 20c4cb83
    """
    from flows.intake import lifecycle

    return transition(lifecycle.duplicate, event, as_json=as_json, **details)


@click.command()
@event
@because
@as_json
def cancel(event: str, as_json: bool, **details: Any) -> int:
    """Cancel a request that was withdrawn.

    \b
    Examples:
      damp cancel 5f0c7c2e --reason "withdrawn by the requester"
    """
    from flows.intake import lifecycle

    return transition(lifecycle.cancel, event, as_json=as_json, **details)


@click.command()
@event
@because
@as_json
def pause(event: str, as_json: bool, **details: Any) -> int:
    """Keep a request from being carried out; its clock goes on.

    \b
    Examples:
      damp pause 5f0c7c2e --reason "waiting for the contract"
    """
    from flows.intake import lifecycle

    return transition(lifecycle.pause, event, as_json=as_json, **details)


@click.command()
@event
@as_json
def resume(event: str, as_json: bool, **details: Any) -> int:
    """Let a paused request go on.

    \b
    Examples:
      damp resume 5f0c7c2e
    """
    from flows.intake import lifecycle

    return transition(lifecycle.resume, event, as_json=as_json, **details)


@click.command()
@event
@click.option("--days", required=True, type=int, help="By how many days.")
@because
@as_json
def extend(event: str, as_json: bool, **details: Any) -> int:
    """Move the due date, once, as far as the policy allows, before it has gone by.

    \b
    Examples:
      damp extend 5f0c7c2e --days 30 --reason "forty requests on one model"
    """
    from flows.intake import lifecycle

    return transition(lifecycle.extend, event, as_json=as_json, **details)


@click.command()
@event
@because
@as_json
def close(event: str, as_json: bool, **details: Any) -> int:
    """Close an event by hand, after its verdict.

    \b
    Examples:
      damp close 5f0c7c2e --reason "the model was taken out of use and deleted"
    """
    from flows.intake import lifecycle

    return transition(lifecycle.close, event, as_json=as_json, **details)


@click.command()
@event
@click.option("--preset", help="A method that is left; default: the next one.")
@as_json
def retry(event: str, as_json: bool, preset: str | None) -> int:
    """Open the next attempt of an event that ended FAILED or INCONCLUSIVE.

    As far as its policy allows: of the attempts that it declares, those after the last one; else up
    to its `max_attempts`. `damp status` names what is left.

    \b
    Examples:
      damp retry 5f0c7c2e
      damp retry 5f0c7c2e --preset retrain
    """
    from flows.intake import lifecycle

    return transition(lifecycle.retry, event, as_json=as_json, preset=preset)


def transition(change: Callable[..., Entry], event: str, *, as_json: bool, **details: Any) -> int:
    """Change an event's state by one ledger entry, and say what follows."""
    from compliance.ledger import entry_text
    from flows.state import event_ids

    place = home()
    whole = event_ids.whole(place, event)
    entry = change(place, whole, **details)
    row = current_row(place, whole)
    what, detail = entry_text.words(entry)
    line = (
        f"{what}{f' ({detail})' if detail else ''}. Event {whole} is {row.state}, ledger entry "
        f"{entry['seq']}."
    )
    console.answer(row.to_json() | {"entry": entry.seq}, [line, *following(row)], as_json=as_json)
    return DONE


def current_row(home: Home, event: str) -> Row:
    """The event as `damp inbox` lists it."""
    from compliance.ledger import Ledger, states
    from compliance.ledger import inbox as due

    return due.row(states.current(Ledger(home.ledger).entries(), event), datetime.now(UTC))


def following(row: Row) -> Iterator[str]:
    """The line that says what comes next for an event, where something does."""
    if row.next:
        yield console.next_step(row.next)
