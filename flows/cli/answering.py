"""What the commands of a request's life answer: one line for people, the new state for machines."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from compliance.ledger import Ledger, entry_text, states
from compliance.ledger import inbox as due
from flows.cli import console
from flows.intake import lifecycle, signoff
from flows.state import event_ids
from flows.state.paths import Home

Facts = dict[str, Any]

STEPS: Mapping[str, Any] = {
    "verify_identity": lifecycle.verify_identity,
    "deny": lifecycle.deny,
    "duplicate": lifecycle.duplicate,
    "cancel": lifecycle.cancel,
    "pause": lifecycle.pause,
    "resume": lifecycle.resume,
    "extend": lifecycle.extend,
    "close": lifecycle.close,
    "declare": lifecycle.declare,
    "declare_complete": lifecycle.declare_complete,
}


def step(root: Path, name: str, event: str, *, as_json: bool, **asked: Any) -> int:
    """Take a step of an event's life and say what follows."""
    home = Home(root)
    whose = event_ids.whole(home, event)
    entry = STEPS[name](home, whose, **asked)
    row = _row(home, whose)
    if as_json:
        console.emit(row | {"entry": entry["seq"]})
        return 0
    what, detail = entry_text.words(entry)
    console.out.print(
        f"{what}{f' ({detail})' if detail else ''}. Event {whose} is {row['state']}, ledger entry "
        f"{entry['seq']}.",
        markup=False,
        soft_wrap=True,
    )
    _say_next(row)
    return 0


def approve(root: Path, event: str, *, role: str, signed: Path | None, as_json: bool) -> int:
    """`damp approve`: show what is signed, then what follows."""
    home = Home(root)
    told = signoff.approve(home, event, role=role, signed=signed)
    row = _row(home, told["event"])
    if as_json:
        console.emit(row | told)
        return 0
    _say_signed(told, "Signed off")
    _say_next(row)
    return 0


def sign(
    root: Path,
    statement: Path,
    *,
    role: str,
    trust: Path | None,
    output: Path | None,
    as_json: bool,
) -> int:
    """`damp sign`: add a signature to a statement's file."""
    told = signoff.sign(Home(root), statement, role=role, trust=trust, output=output)
    if as_json:
        console.emit(told)
        return 0
    _say_signed(told, "Signed")
    console.out.print(f"Written to {told['file']}", markup=False, soft_wrap=True)
    return 0


def inbox(root: Path, *, ended: bool, as_json: bool) -> int:
    """`damp inbox`: what is due, as a table."""
    home = Home(root)
    entries = Ledger(home.ledger).entries() if home.ledger.exists() else []
    rows = due.rows(states.events(entries).values(), datetime.now(UTC), ended=ended)
    if as_json:
        console.emit(rows)
    elif not rows:
        console.out.print("Nothing is open. `damp submit request.yaml` files a request.")
    else:
        console.out.print(_table(rows))
        for row in rows:
            if row["next"]:
                console.out.print(f"{row['id'][:8]}  {row['next']}", markup=False, soft_wrap=True)
    return 0


def _table(rows: list[Facts]) -> Any:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    shown = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in ("event", "due", "left", "state", "ground", "verdict", "awaited"):
        shown.add_column(name, no_wrap=name in ("event", "due", "left"))
    for row in rows:
        left, colour = _left(row)
        shown.add_row(
            row["id"][:8],
            (row["due"] or "-")[:10] + ("*" if row["extended"] else ""),
            Text(left, style=colour),
            row["state"],
            row["regulation"] or "-",
            row["verdict"] or "-",
            ", ".join(row["awaited"]) or "-",
        )
    if any(row["extended"] for row in rows):
        shown.caption = "* extended"
    return shown


def _left(row: Facts) -> tuple[str, str]:
    """Days left in words that need no colour, and a colour."""
    days, warned = row["days_left"], row["warning"]
    if days is None:
        return "-", "default"
    if days < 0:
        return f"{-days - 1} days LATE", "bold red"
    told = f"{days} days" + (f" (day {warned})" if warned else "")
    return told, "yellow" if warned else "default"


def _row(home: Home, event: str) -> Facts:
    return due.row(states.current(Ledger(home.ledger).entries(), event), datetime.now(UTC))


def _say_next(row: Facts) -> None:
    if row["next"]:
        console.out.print(f"Next: {row['next']}", markup=False, soft_wrap=True)


def _say_signed(told: Facts, word: str) -> None:
    console.out.print(
        f"{word} as {told['role']} with key {told['keyid'][:16]}:\n  verdict {told['verdict']}, "
        f"statement {told['digest'][:16]}, model {told['subject'][:16]}\n  {told['claim']}",
        markup=False,
        soft_wrap=True,
    )
