"""Commands that audit what was made elsewhere, train references ahead, and qualify procedures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from flows.cli import console
from flows.cli.options import DONE, FILE, NOT_PASSED, allow_code, as_json, data_root

if TYPE_CHECKING:
    from rich.text import Text

    from flows.qualification.qualify import Studied
    from flows.qualification.spot_checks import SpotCheck
    from flows.state.paths import Home


@click.command()
@click.argument("files", metavar="FILE...", type=FILE, nargs=-1, required=True)
@allow_code
@as_json
def audit(files: tuple[Path, ...], allow: tuple[str, ...], as_json: bool) -> int:
    """Audit a claim that a model has forgotten a class, by whatever method.

    The claim names both models, the data and a policy; the retrained models are trained by its
    recipe, or handed in. The same claim about the same bytes again shows the first answer.

    Several claims are audited in turn. Those about one original, class and data share what is
    observed of the original, of the retrained models and of the controls, which takes most of the
    time. All are received, and checked, before the first is audited.

    Code that the claim names is the other side's, and does not run unless --allow-code names its
    module. Read it first: what it says of its own answers is what is audited.

    \b
    Examples:
      damp audit claim.yaml
      damp audit claim.yaml --allow-code theirs
      damp audit one.yaml other.yaml third.yaml
      damp audit claim.yaml --json
    """
    from flows.cli import outcomes
    from flows.intake import claims
    from flows.orchestration import engine
    from flows.records import status
    from flows.state.settings import prepared

    home = prepared()
    with console.bars():
        receipts = [claims.file_claim(home, file, allow=allow) for file in files]
        for warning in dict.fromkeys(w for receipt in receipts for w in receipt.warnings):
            console.note(warning)
        events = list(dict.fromkeys(receipt.id for receipt in receipts))
        engine.carry_out(home, events)
    answers = [status.one_event(home, event) for event in events]
    if len(files) == 1:
        return outcomes.answer(home, answers[0], as_json=as_json)
    if as_json:
        console.emit([answer.to_json() for answer in answers])
    else:
        outcomes.show(home, answers)
    return outcomes.exit_code(answers)


@click.command()
@click.argument("file", type=FILE, required=False)
@click.option("--data", help="Instead of a file: the data set.")
@data_root
@click.option("--recipe", help="How to train; default: the recipe of the data set.")
@click.option("--forget", multiple=True, type=int, help="Class index to leave out; repeatable.")
@click.option("--count", default=5, show_default=True, type=click.IntRange(1, 50))
@allow_code
@as_json
def references(
    file: Path | None,
    data: str | None,
    data_root: Path | None,
    recipe: str | None,
    forget: tuple[int, ...],
    count: int,
    allow: tuple[str, ...],
    as_json: bool,
) -> int:
    """List the retrained models that are kept; train those of a request or claim ahead of time.

    The model's weights are not needed for it, only its recipe, its architecture and the data.

    \b
    Examples:
      damp references
      damp references request.yaml
      damp references --data digits --forget 3 --count 5
    """
    from flows.data.dataset import DataSpec
    from flows.models import recipes
    from flows.operations import prepare_references
    from flows.state.settings import prepared

    home = prepared()
    with console.bars(steps=0):
        if file is not None:
            if taken := prepare_references.assumed(home, file):
                console.note(taken)
            prepare_references.train_for_file(home, file, allow=allow)
        elif data is not None and forget:
            prepare_references.train(
                home,
                spec=DataSpec(name=data, root=str(data_root.resolve()) if data_root else None),
                recipe=recipe or recipes.of_data(data),
                forget=list(forget),
                count=count,
            )
    kept = prepare_references.listed(home)
    console.answer(kept, _listed(kept), as_json=as_json)
    return DONE


@click.command()
@click.argument("file", type=FILE, required=False)
@click.option("--again", metavar="REASON", default="", help="Why cuts that failed are tried anew.")
@as_json
def qualify(file: Path | None, again: str, as_json: bool) -> int:
    """Qualify a ladder of cuts on one model, against retrained models of drawn classes.

    Events whose policy names the qualification then train none. The study names model, data,
    recipe, policy and how many classes; which classes is drawn by the ledger. A study that is
    killed goes on by the same command. Without a file: the qualifications that there are. Exit
    codes: 0 qualified, 2 not.

    \b
    Examples:
      damp qualify study.yaml
      damp qualify
    """
    from flows.state.settings import prepared

    home = prepared()
    if file is None:
        rows = _qualifications(home)
        lines = (
            [console.table(rows)] if rows else ["None yet. `damp qualify study.yaml` makes one."]
        )
        console.answer(rows, lines, as_json=as_json)
        return DONE
    from flows.qualification import qualify as studies

    with console.bars(steps=0):
        studied = studies.qualify(home, file, again=again)
    console.answer(studied.to_json(), _ended(home, studied), as_json=as_json)
    return DONE if studied.content.outcome.qualifies else NOT_PASSED


@click.command(name="spot-check")
@click.argument("event", required=False)
@as_json
def spot_check(event: str | None, as_json: bool) -> int:
    """Audit events under a qualification against retrained models: those drawn, or one by its id.

    The schedule does the same for those that are drawn. A check that fails suspends the
    qualification, and the events since the last good one are named. Exit codes: 0 nothing failed, 2
    a qualification is suspended.

    \b
    Examples:
      damp spot-check
      damp spot-check 5f0c7c2e-4a53-4d0b-9f3e-1f4f5f0a9c11
    """
    from flows.qualification import spot_checks
    from flows.state.settings import prepared

    home = prepared()
    with console.bars(steps=0):
        done = spot_checks.carry_out(home, event)
    console.answer([one.to_json() for one in done], _checked(done), as_json=as_json)
    return NOT_PASSED if any(one.in_doubt for one in done) else DONE


def _qualifications(home: Home) -> list[dict[str, Any]]:
    """Every qualification as it stands now."""
    from datetime import UTC, datetime

    from compliance.ledger import Ledger
    from compliance.qualification import standing
    from flows.records import qualifications

    entries, now = Ledger(home.ledger).entries(), datetime.now(UTC)
    rows = []
    for digest, checked in qualifications.studies(home):
        content = checked.content
        if content is None:
            rows.append({"name": "?", "qualification": digest, "state": " ".join(checked.problems)})
            continue
        problems = list(standing.problems(content, digest, at=now, edits=0, entries=entries))
        rows.append(
            {
                "name": content.name,
                "qualification": digest,
                "state": " ".join(problems) or "holds",
                "passed": f"{content.outcome.passed.events} of {content.outcome.passed.trials}",
                "until": content.valid_until[:10],
                "events": str(len(standing.runs(entries, digest))),
            }
        )
    return rows


def _ended(home: Home, studied: Studied) -> Iterator[Text | str]:
    """What came of a study, and what to do with it."""
    from flows.qualification.qualify import details, why_not

    outcome = studied.content.outcome
    words = "qualified" if outcome.qualifies else "not qualified"
    yield console.mark(good=outcome.qualifies, words=words, rest=f"  {studied.content.name}")
    yield from (f"  {reason}" for reason in outcome.reasons)
    yield from (f"  {line}" for line in why_not(home, studied.content))
    yield from (f"  {name:<26} {value}" for name, value in details(studied.content))
    yield f"Report: {console.short(studied.report)}"
    yield f"Statement: {console.short(studied.statement)}"
    if studied.policy is None:
        yield "It is entered in the ledger as that. Change the cuts, or bring more images."
    else:
        yield f"Policy of events under it: {console.short(studied.policy)}"
        yield console.next_step(
            f"write `policy: {console.short(studied.policy)}` into a request, then damp submit."
        )


def _checked(done: Sequence[SpotCheck]) -> Iterator[Text | str]:
    if not done:
        yield "No event is drawn that was not checked yet."
    for one in done:
        good = one.verdict == "PASSED"
        yield console.mark(good=good, words=one.verdict, rest=f"  event {one.event}  {one.why}")
        if one.in_doubt:
            yield (
                f"  Qualification {one.qualification[:16]} is suspended. In doubt: "
                f"{', '.join(one.in_doubt)}. Audit these against retrained models."
            )


def _listed(kept: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    if not kept:
        yield "No references yet. `damp references --data digits --forget 3` trains five."
    for model in kept:
        left_out = ", ".join(map(str, model["exclude"])) or "no class"
        damage = "" if model["intact"] else "   (changed or missing: it will be trained again)"
        yield (
            f"{model['data']}  without {left_out}  seed {model['seed']}  {model['architecture']}  "
            f"{model['path']}{damage}"
        )
