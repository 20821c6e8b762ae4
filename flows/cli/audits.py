"""Commands that audit what was made elsewhere, and train the retrained references ahead of time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from flows.cli import console
from flows.cli.options import DONE, FILE, allow_code, as_json, data_root


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
    with console.bars():
        if file is not None:
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
