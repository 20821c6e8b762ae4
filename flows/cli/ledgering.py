"""`damp ledger`: look at the ledger, check it, and give others what they need to check it later."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from compliance.formats.errors import LedgerBroken, NoteError
from compliance.ledger import Entry, Ledger, chain, checkpoint, entry_text, proofs
from compliance.ledger.append_file import must_read
from compliance.ledger.checkpoint import Checkpoint
from compliance.signing import Trust, envelope
from compliance.verification import against_ledger
from flows.cli import console
from flows.state import keyring
from flows.state.errors import EventError, StoreError
from flows.state.files import write_atomically
from flows.state.paths import Home

Facts = dict[str, Any]

VALID, INVALID = 0, 1


def verify(
    root: Path,
    *,
    ledger: Path | None,
    trust: Path | None,
    checkpoints: tuple[Path, ...],
    as_json: bool,
) -> int:
    """Compute every hash anew and hold the ledger against checkpoints that others kept."""
    home = Home(root)
    content = must_read(ledger or home.ledger)
    entries, check = chain.read(content)
    lines = chain.split(content)[0]
    problems = [check.problem] if check.problem else []
    if not problems and checkpoints:
        known = _trust(home, trust)
        for held in (checkpoint.load(path, known) for path in checkpoints):
            problems += against_ledger.against(held, lines, entries)
    told = {
        "valid": not problems,
        "origin": entries[0]["body"].get("origin") if entries else None,
        "entries": check.count,
        "head": check.head,
        "broken": check.broken,
        "checkpoints": len(checkpoints),
        "problems": problems,
    }
    if as_json:
        console.emit(told)
    else:
        _tell_check(told)
    return INVALID if problems else VALID


def _tell_check(told: Facts) -> None:
    if told["problems"]:
        console.out.print("[bold red]✘ does not hold[/bold red]")
        for problem in told["problems"]:
            console.out.print(f"  {problem}", markup=False, soft_wrap=True)
        return
    console.out.print(f"[bold]✔ holds[/bold], {told['entries']} entries of {told['origin']}")
    if told["checkpoints"]:
        console.out.print(f"  continues {told['checkpoints']} checkpoint(s)")
    else:
        console.out.print(
            "  A chain alone cannot see that its end was cut off: give a checkpoint that somebody "
            "else kept with --checkpoint.",
            soft_wrap=True,
        )


def show(root: Path, *, event: str | None, last: int | None, as_json: bool) -> int:
    """Print entries, oldest first, in words or as they are."""
    entries = Ledger(Home(root).ledger).entries()
    found = [entry for entry in entries if event in (None, entry["event"])]
    if event is not None and not found:
        raise EventError(f"The ledger knows no event {event}. `damp status` lists them.")
    found = found[-last:] if last else found
    if as_json:
        console.emit([entry.to_json() for entry in found])
        return VALID
    for entry in found:
        what, detail = entry_text.words(entry)
        whose = f" {entry['event'][:8]}" if entry["event"] and event is None else ""
        told = f"{entry['seq']:>5}  {entry['time'][:19]}Z{whose}  {what}"
        console.out.print(f"{told}. {detail}" if detail else told, markup=False, soft_wrap=True)
    return VALID


def sign_checkpoint(root: Path, *, output: Path | None, as_json: bool) -> int:
    """Sign where the ledger stands, for somebody else to keep."""
    home = Home(root)
    entries, lines = _whole(home.ledger)
    origin = str(entries[0]["body"]["origin"])
    _refuse_a_fork(home, lines, entries)
    made = checkpoint.of(origin, lines)
    told = checkpoint.sign(made, keyring.signing_key(home, "executor"))
    write_atomically(home.checkpoints / f"{made.size:08d}.txt", told.encode())
    if output is not None:
        write_atomically(output, told.encode())
    if as_json:
        console.emit(made.to_json() | {"note": told})
    elif output is None:
        sys.stdout.write(told)
    else:
        console.out.print(
            f"{output}: {made.size} entries of {origin}. Give it to somebody who does not run this "
            "ledger.",
            soft_wrap=True,
        )
    return VALID


def prove(root: Path, *, since: Path | None, statement: Path | None, output: Path | None) -> int:
    """Show growth since a checkpoint, or that a statement stands in the ledger, with few hashes."""
    home = Home(root)
    if (since is None) == (statement is None):
        raise EventError("Give either --since CHECKPOINT or --statement FILE.")
    entries, lines = _whole(home.ledger)
    made = checkpoint.of(str(entries[0]["body"]["origin"]), lines)
    signed = checkpoint.sign(made, keyring.signing_key(home, "executor"))
    if since is not None:
        held = checkpoint.load(since, keyring.trusted(home))
        problems = list(against_ledger.against(held, lines, entries))
        if problems:
            raise EventError(" ".join(problems))
        told = proofs.between(lines, held.size, signed)
    else:
        told = proofs.inclusion(lines, _entry_of(entries, Path(str(statement))), signed)
    if output is None:
        sys.stdout.write(told)
    else:
        write_atomically(output, told.encode())
        console.out.print(f"{output}: {len(told)} bytes.", soft_wrap=True)
    return VALID


def consistent(root: Path, *, held: Path, proof: Path, trust: Path | None, as_json: bool) -> int:
    """Whether a proof shows that the ledger only grew since a checkpoint; needs no ledger."""
    known = _trust(Home(root), trust)
    old = checkpoint.load(held, known)
    try:
        new: Checkpoint | None = proofs.check_between(old, must_read(proof), known)
        problem = ""
    except NoteError as error:
        new, problem = None, str(error)
    if as_json:
        later = new.to_json() if new else None
        console.emit({"consistent": new is not None, "later": later, "problem": problem})
    elif new is None:
        console.out.print(f"[bold red]✘ not shown[/bold red]  {problem}", soft_wrap=True)
    else:
        console.out.print(
            f"[bold]✔ only grew[/bold]: {new.origin} from {old.size} to {new.size} entries"
        )
    return VALID if new else INVALID


def _whole(path: Path) -> tuple[list[Entry], list[bytes]]:
    """Entries and lines of a ledger that holds and is not empty."""
    content = must_read(path)
    entries, check = chain.read(content)
    if check.broken is not None:
        raise LedgerBroken(f"{path}: {check.problem}", check.broken)
    if not entries:
        raise EventError(f"{path} has no entries yet: nothing to sign or to show.")
    return entries, chain.split(content)[0]


def _refuse_a_fork(home: Home, lines: list[bytes], entries: list[Entry]) -> None:
    """Never sign a ledger that does not continue the one that was signed last from here."""
    kept = sorted(home.checkpoints.glob("*.txt")) if home.checkpoints.is_dir() else []
    if not kept:
        return
    last = checkpoint.load(kept[-1], keyring.trusted(home))
    problems = list(against_ledger.against(last, lines, entries))
    if problems:
        raise StoreError(
            f"This ledger does not continue the checkpoint {kept[-1]} that was signed here: "
            f"{' '.join(problems)} Was it restored from an older copy? Bring the newer one back; "
            "two histories under one name must never both be signed."
        )


def _entry_of(entries: list[Entry], statement: Path) -> int:
    digest = envelope.digest(must_read(statement))
    for entry in entries:
        if entry["kind"] == "statement_signed" and entry["body"].get("statement") == digest:
            return int(entry["seq"])
    raise EventError(f"The ledger does not hold the statement in {statement} ({digest[:16]}).")


def _trust(home: Home, trust: Path | None) -> Trust:
    from compliance.signing import load_trust

    return load_trust(trust or home.trust)
