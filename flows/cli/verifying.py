"""`damp verify`: what an auditor sees who trusts nobody but the keys in a trust file."""

from __future__ import annotations

from pathlib import Path

from compliance.verification.verify import Verification, verify_statement
from flows.cli import console
from flows.state.paths import Home


def verify(
    statement: Path,
    trust: Path | None,
    *,
    model: Path | None,
    ledger: Path | None,
    checkpoint: Path | None,
    proof: Path | None,
    home: Path,
    as_json: bool,
) -> int:
    """Check a statement offline and say what was found.

    Returns:
        0 valid and PASSED, 1 invalid, 2 valid but not PASSED, 3 unsupported schema.
    """
    found = verify_statement(
        statement,
        trust or Home(home).trust,
        model=model,
        ledger=ledger,
        checkpoint=checkpoint,
        proof=proof,
    )
    if as_json:
        console.emit(found.to_json())
    else:
        checked = "holds plan and statement" if ledger else ""
        checked += ", and continues the checkpoint" if checkpoint else ""
        checked = checked or ("proved to hold the statement" if proof else "")
        _tell(found, statement, checked_model=model is not None, ledger=checked)
    return found.exit_code


def _tell(found: Verification, statement: Path, *, checked_model: bool, ledger: str) -> None:
    """The finding for a person: what holds, what does not, and what was not looked at."""
    if found.statement is None:
        word = "UNSUPPORTED" if found.exit_code == 3 else "INVALID"
        console.out.print(f"[bold red]✘ {word}[/bold red]  {console.short(statement)}")
        for problem in found.problems:
            console.out.print(f"  {problem}", markup=False, soft_wrap=True)
        return
    colour = console.LOOKS[found.verdict][1]
    console.out.print(
        f"[bold]✔ valid[/bold], and the verdict is [bold {colour}]{found.verdict}[/bold {colour}]"
    )
    told = found.statement
    checks = {
        "signed by": ", ".join(f"{s.keyid[:16]} ({s.role})" for s in found.signatures if s.holds),
        "claim": told["predicate"]["verdict"]["claim"],
        "model after": told["subject"][0]["digest"]["sha256"],
        "model bytes": "match" if checked_model else "not checked: give --model",
        "ledger": ledger or "not checked: give --ledger or --proof",
    }
    for name, value in checks.items():
        console.out.print(f"  {name:<12} {value}", markup=False, soft_wrap=True)
    for note in found.notes:
        console.out.print(f"  note: {note}", markup=False, soft_wrap=True)
