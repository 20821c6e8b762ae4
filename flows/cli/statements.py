"""Commands about signed statements: verify offline, run the attempt again, add a signature."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click

from flows.cli import console
from flows.cli.options import DONE, FILE, INVALID, allow_code, as_json, event, home, trust
from flows.state.errors import EventError

if TYPE_CHECKING:
    from rich.text import Text

    from compliance.verification.verify import Verification
    from flows.intake.signoff import Countersigned


tsa_roots = click.option(
    "--tsa-roots", type=FILE, help="Root certificates (PEM) of time-stamp authorities."
)


@click.command()
@click.argument("statement", type=FILE)
@trust
@click.option("--model", type=FILE, help="The model file that the statement must be about.")
@click.option("--ledger", type=FILE, help="The ledger that must hold the statement.")
@click.option("--checkpoint", type=FILE, help="A checkpoint that the ledger must continue.")
@click.option("--proof", type=FILE, help="Instead of the ledger: `damp ledger prove --statement`.")
@click.option("--time-stamp", type=FILE, help="What `damp stamp` wrote, which must hold.")
@tsa_roots
@click.option("--qualification", type=FILE, help="That it rests on. [default: beside it]")
@as_json
def verify(statement: Path, trust: Path | None, as_json: bool, **against: Any) -> int:
    """Check a signed statement offline.

    Exit codes: 0 valid and PASSED, 1 invalid, 2 valid but not PASSED, 3 unsupported schema, 5
    cannot judge: trust file or statement cannot be read, which says nothing against it.

    \b
    Examples:
      damp verify .damp/events/ID/attempt-1/statement.dsse.json
      damp verify statement.dsse.json --trust trust.json --model after.safetensors
      damp verify statement.dsse.json --trust trust.json --proof statement.tlog-proof
      damp verify statement.dsse.json --time-stamp statement.tsr --tsa-roots tsa.pem
    """
    from compliance.verification.verify import verify_statement

    verification = verify_statement(statement, trust or home().trust, **against)
    lines = _verified(verification, statement, against)
    console.answer(verification.to_json(), lines, as_json=as_json)
    return verification.exit_code


def _verified(
    verification: Verification, file: Path, against: Mapping[str, Path | None]
) -> Iterator[Text | str]:
    """What holds, what does not, and what was not checked."""
    from compliance.verification.verify import CANNOT_JUDGE, UNSUPPORTED

    if verification.statement is None:
        words = {UNSUPPORTED: "UNSUPPORTED", CANNOT_JUDGE: "CANNOT JUDGE"}
        word = words.get(verification.exit_code, "INVALID")
        yield console.mark(good=False, words=word, rest=f"  {console.short(file)}")
        yield from (f"  {problem}" for problem in verification.problems)
        return
    verdict, statement = verification.verdict, verification.statement
    head = console.mark(good=True, words="valid", rest=", and the verdict is ")
    yield head.append(verdict, style=f"bold {console.VERDICTS[verdict][1]}")
    signatures = (s for s in verification.signatures if s.holds)
    checks = {
        "signed by": ", ".join(f"{s.keyid[:16]} ({s.role})" for s in signatures),
        "claim": statement["predicate"]["verdict"]["claim"],
        "model after": statement["subject"][0]["digest"]["sha256"],
        "model bytes": "match" if against["model"] else "not checked: give --model",
        "ledger": _against_ledger(against),
    }
    yield from (f"  {name:<12} {value}" for name, value in checks.items())
    yield from (f"  note: {note}" for note in verification.notes)


def _against_ledger(against: Mapping[str, Path | None]) -> str:
    held = "holds plan and statement" if against["ledger"] else ""
    if against["checkpoint"]:
        return f"{held}, and continues the checkpoint"
    if not held and against["proof"]:
        return "proved to hold the statement"
    return held or "not checked: give --ledger or --proof"


@click.command()
@click.argument("statement", type=FILE)
@click.option("--tsa", metavar="URL", help="Ask this authority.")
@click.option("--query", type=FILE, help="Instead: write the query, to be sent from elsewhere.")
@click.option("--answer", type=FILE, help="Instead: an answer that was fetched elsewhere.")
@tsa_roots
@click.option("--output", "-o", type=FILE, help="[default: statement.tsr beside the statement]")
@as_json
def stamp(
    statement: Path,
    tsa: str | None,
    query: Path | None,
    answer: Path | None,
    tsa_roots: Path | None,
    output: Path | None,
    as_json: bool,
) -> int:
    """Have a time-stamp authority say when a statement was there (RFC 3161).

    The authority is sent a digest, nothing else. Its answer is checked before it is written.

    \b
    Examples:
      damp stamp statement.dsse.json --tsa http://tsa.example/ --tsa-roots tsa.pem
      damp stamp statement.dsse.json --query statement.tsq
      damp stamp statement.dsse.json --answer answer.tsr --tsa-roots tsa.pem
    """
    from flows.operations import time_stamps
    from flows.state.files import write_atomically

    if sum(given is not None for given in (tsa, query, answer)) != 1:
        raise EventError("Give one of --tsa, --query and --answer.")
    if query is not None:
        write_atomically(query, time_stamps.query(statement))
        sent = (
            f"curl -H 'Content-Type: {time_stamps.TYPE}' --data-binary @{query} URL -o answer.tsr"
        )
        taken = f"damp stamp {statement} --answer answer.tsr --tsa-roots tsa.pem"
        lines = [f"{console.short(query)}: the query", f"Send it: {sent}", f"Then: {taken}"]
        console.answer({"query": str(query)}, lines, as_json=as_json)
        return DONE
    if tsa_roots is None:
        raise EventError("Name the roots that you trust: --tsa-roots tsa.pem.")
    target = output or statement.with_name("statement.tsr")
    if tsa is not None:
        stamped = time_stamps.fetch(statement, tsa, tsa_roots, target)
    else:
        stamped = time_stamps.take(statement, cast("Path", answer), tsa_roots, target)
    lines = [
        f"Time-stamped {stamped.time:%Y-%m-%dT%H:%M:%SZ} by {stamped.authority}.",
        f"{console.short(target)}: keep it beside the statement",
        f"Next: damp verify {statement} --time-stamp {target} --tsa-roots {tsa_roots}",
    ]
    page = {
        "time": stamped.time.isoformat(),
        "authority": stamped.authority,
        "serial": stamped.serial,
        "file": str(target),
    }
    console.answer(page, lines, as_json=as_json)
    return DONE


@click.command()
@click.argument("statement", type=FILE)
@trust
@click.option("--before", type=FILE, help="The model before. [default: beside the statement]")
@click.option("--request", type=FILE, help="The request. [default: reproduce.yaml beside it]")
@click.option("--output", "-o", type=FILE, help="[default: replay.dsse.json]")
@allow_code
@as_json
def replay(
    statement: Path,
    trust: Path | None,
    output: Path | None,
    allow: tuple[str, ...],
    as_json: bool,
    **inputs: Path | None,
) -> int:
    """Run an attempt again from its pinned inputs and compare digests and figures.

    The result is signed by an auditor's key (`damp keys new --role auditor`). Exit codes: 0 all is
    the same, 1 something is not. Code that the record names is the other side's, and does not run
    unless --allow-code names its module.

    \b
    Examples:
      damp --home my-audit replay attempt-1/statement.dsse.json --trust trust.json
    """
    from flows.operations.replay import replay as run_again

    place, target = home(), output or Path("replay.dsse.json")
    with console.bars():
        result = run_again(
            place,
            statement,
            trust=trust or place.trust,
            output=target.absolute(),
            allow=allow,
            **inputs,
        )
    console.answer(result, _compared(result, target), as_json=as_json)
    return DONE if result["same"] else INVALID


def _compared(result: Mapping[str, Any], target: Path) -> Iterator[Text | str]:
    checks, same = result["checks"], result["same"]
    differences = [check for check in checks if not check["same"]]
    count = f": {len(checks) - len(differences)} of {len(checks)}"
    yield console.mark(good=same, words="the same" if same else "not the same", rest=count)
    for check in differences:
        yield f"  {check['name']}: the statement says {check['told']}, found {check['found']}"
    yield f"Signed: {console.short(target)}"


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
    from flows.cli import requests
    from flows.intake import signoff

    place = home()
    signature = signoff.approve(place, event, role=role, signed=signed)
    row = requests.current_row(place, signature.event)
    lines = [_words("Signed off", signature), *requests.following(row)]
    console.answer(row.to_json() | signature.to_json(), lines, as_json=as_json)
    return DONE


@click.command()
@click.argument("statement", type=FILE)
@click.option("--role", default="reviewer", show_default=True, help="What the key signs as.")
@trust
@click.option("--output", "-o", type=FILE, help="Where to write it. [default: the same file]")
@as_json
def sign(statement: Path, as_json: bool, **options: Any) -> int:
    """Add a signature to a statement that holds: the same bytes, a second role.

    \b
    Examples:
      damp sign statement.dsse.json --role reviewer --trust trust.json -o signed.dsse.json
    """
    from flows.intake import signoff

    signature = signoff.sign(home(), statement, **options)
    lines = [_words("Signed", signature), f"Written to {signature.file}"]
    console.answer(signature.to_json(), lines, as_json=as_json)
    return DONE


def _words(what: str, signature: Countersigned) -> str:
    return (
        f"{what} as {signature.role} with key {signature.keyid[:16]}:\n"
        f"  verdict {signature.verdict}, statement {signature.digest[:16]}, model "
        f"{signature.subject[:16]}\n  {signature.claim}"
    )
