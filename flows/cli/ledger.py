"""`damp ledger`: look at the ledger, check it, and give others what they need to check it later."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from flows.cli import console
from flows.cli.options import DONE, FILE, INVALID, as_json, home, trust
from flows.state.errors import EventError

if TYPE_CHECKING:
    from rich.text import Text

    from compliance.ledger import Entry
    from compliance.signing import Trust

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
def verify(
    ledger: Path | None, checkpoints: tuple[Path, ...], trust: Path | None, as_json: bool
) -> int:
    """Compute every hash anew, and hold the ledger against checkpoints.

    \b
    Examples:
      damp ledger verify
      damp ledger verify --checkpoint kept-by-the-auditor.txt
    """
    from compliance.ledger import chain, checkpoint
    from compliance.ledger.append_file import must_read
    from compliance.verification import against_ledger

    content = must_read(ledger or home().ledger)
    entries, check = chain.read(content)
    lines = chain.split(content)[0]
    problems = [check.problem] if check.problem else []
    if not problems and checkpoints:
        trusted = _trust(trust)
        for held in (checkpoint.load(path, trusted) for path in checkpoints):
            problems += against_ledger.against(held, lines, entries)
    result = {
        "valid": not problems,
        "origin": entries[0]["body"].get("origin") if entries else None,
        "entries": check.count,
        "head": check.head,
        "broken": check.broken,
        "checkpoints": len(checkpoints),
        "problems": problems,
    }
    console.answer(result, _verified(result), as_json=as_json)
    return INVALID if problems else DONE


def _verified(result: Mapping[str, Any]) -> Iterator[Text | str]:
    if result["problems"]:
        yield console.mark(good=False, words="does not hold")
        yield from (f"  {problem}" for problem in result["problems"])
        return
    count = f", {result['entries']} entries of {result['origin']}"
    yield console.mark(good=True, words="holds", rest=count)
    if result["checkpoints"]:
        yield f"  continues {result['checkpoints']} checkpoint(s)"
    else:
        yield (
            "  A chain alone cannot see that its end was cut off: give a checkpoint that somebody "
            "else kept with --checkpoint."
        )


@ledger.command()
@click.option("--event", help="Entries of one event only.")
@click.option("--last", type=click.IntRange(1), help="Only the last so many.")
@as_json
def show(event: str | None, last: int | None, as_json: bool) -> int:
    """Print the entries, oldest first.

    \b
    Examples:
      damp ledger show --last 20
      damp ledger show --event 5f0c7c2e-4a53-4d0b-9f3e-1f4f5f0a9c11 --json
    """
    from compliance.ledger import Ledger

    entries = Ledger(home().ledger).entries()
    chosen = [entry for entry in entries if event in (None, entry.event)]
    if event is not None and not chosen:
        raise EventError(f"The ledger knows no event {event}. `damp status` lists them.")
    chosen = chosen[-last:] if last else chosen
    console.answer(
        [e.to_json() for e in chosen], _in_words(chosen, named=event is None), as_json=as_json
    )
    return DONE


def _in_words(entries: Sequence[Entry], *, named: bool) -> Iterator[str]:
    """A line for each entry; its event is named unless all are of one."""
    from compliance.ledger import entry_text

    for entry in entries:
        what, detail = entry_text.words(entry)
        event = f" {entry.event[:8]}" if entry.event and named else ""
        line = f"{entry.seq:>5}  {entry.time[:19]}Z{event}  {what}"
        yield f"{line}. {detail}" if detail else line


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
    from flows.records import checkpoints
    from flows.state.files import write_atomically

    head, note = checkpoints.make(home())
    if output is not None:
        write_atomically(output, note.encode())
    if as_json:
        console.emit(head.to_json() | {"note": note})
    elif output is None:
        console.raw(note)
    else:
        console.say(
            f"{output}: {head.size} entries of {head.origin}. Give it to somebody who does not run "
            "this ledger."
        )
    return DONE


@ledger.command()
@click.option("--since", type=FILE, help="Show growth since this checkpoint.")
@click.option("--statement", type=FILE, help="Show that this statement stands in the ledger.")
@output
def prove(since: Path | None, statement: Path | None, output: Path | None) -> int:
    """Write a proof of some hashes that others can check without seeing the ledger.

    \b
    Examples:
      damp ledger prove --since for-the-auditor.txt -o growth.txt
      damp ledger prove --statement statement.dsse.json -o statement.tlog-proof
    """
    from compliance.ledger import checkpoint, proofs
    from compliance.verification import against_ledger
    from flows.records import checkpoints
    from flows.state import keyring
    from flows.state.files import write_atomically

    if (since is None) == (statement is None):
        raise EventError("Give either --since CHECKPOINT or --statement FILE.")
    place = home()
    entries, lines = checkpoints.whole(place.ledger)
    head = checkpoint.of(str(entries[0]["body"]["origin"]), lines)
    signed = checkpoint.sign(head, keyring.signing_key(place, "executor"))
    if since is not None:
        held = checkpoint.load(since, keyring.trusted(place))
        problems = list(against_ledger.against(held, lines, entries))
        if problems:
            raise EventError(" ".join(problems))
        proof = proofs.between(lines, held.size, signed)
    else:
        proof = proofs.inclusion(lines, _entry_of(entries, Path(str(statement))), signed)
    if output is None:
        console.raw(proof)
    else:
        write_atomically(output, proof.encode())
        console.say(f"{output}: {len(proof)} bytes.")
    return DONE


@ledger.command()
@click.argument("held", type=FILE)
@click.argument("proof", type=FILE)
@trust
@as_json
def consistent(held: Path, proof: Path, trust: Path | None, as_json: bool) -> int:
    """Check that the ledger only grew since the checkpoint HELD, as PROOF says.

    Needs neither the ledger nor the state folder, only the trust file.

    \b
    Examples:
      damp ledger consistent for-the-auditor.txt growth.txt --trust trust.json
    """
    from compliance.formats.errors import NoteError
    from compliance.ledger import checkpoint, proofs
    from compliance.ledger.append_file import must_read
    from compliance.ledger.checkpoint import Checkpoint

    trusted = _trust(trust)
    old = checkpoint.load(held, trusted)
    try:
        new: Checkpoint | None = proofs.check_between(old, must_read(proof), trusted)
        problem = ""
    except NoteError as error:
        new, problem = None, str(error)
    if new is None:
        line = console.mark(good=False, words="not shown", rest=f"  {problem}")
    else:
        sizes = f": {new.origin} from {old.size} to {new.size} entries"
        line = console.mark(good=True, words="only grew", rest=sizes)
    later = new.to_json() if new else None
    result = {"consistent": new is not None, "later": later, "problem": problem}
    console.answer(result, [line], as_json=as_json)
    return DONE if new else INVALID


def _entry_of(entries: list[Entry], statement: Path) -> int:
    """The number of the entry that logged a statement."""
    from compliance.ledger.append_file import must_read
    from compliance.signing import envelope

    digest = envelope.digest(must_read(statement))
    for entry in entries:
        if entry.kind == "statement_signed" and entry.body.get("statement") == digest:
            return int(entry.seq)
    raise EventError(f"The ledger does not hold the statement in {statement} ({digest[:16]}).")


def _trust(file: Path | None) -> Trust:
    from compliance.signing import load_trust

    return load_trust(file or home().trust)
