"""What the commands on audits do: a claim from its file to its report, references ahead of time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from flows.cli import commands, console
from flows.data.dataset import DataSpec
from flows.records import status

Facts = dict[str, Any]


def audit(file: Path, *, as_json: bool) -> int:
    """Audit a claim: check it, log it, run the audits, show the verdict."""
    from flows.intake import claims

    home = commands.prepared()
    with console.bars():
        answer = claims.file_claim(home, file)
    commands.carry_out(home, [answer["id"]])
    outcome = status.one_event(home, answer["id"])
    if as_json:
        console.emit(outcome)
    else:
        commands.show(home, outcome)
    return commands.DONE if outcome["verdict"] == "PASSED" else commands.NOT_PASSED


def references(
    file: Path | None,
    *,
    data: str | None,
    data_root: Path | None,
    recipe: str | None,
    forget: tuple[int, ...],
    count: int,
    as_json: bool,
) -> int:
    """Train references ahead of time where some are asked for; list those that are kept."""
    from flows.models import recipes
    from flows.operations import prepare_references

    home = commands.prepared()
    with console.bars():
        if file is not None:
            prepare_references.train_for_file(home, file)
        elif data is not None and forget:
            root = str(data_root.resolve()) if data_root else None
            prepare_references.train(
                home,
                spec=DataSpec(name=data, root=root),
                recipe=recipe or recipes.of_data(data),
                forget=list(forget),
                count=count,
            )
    found = prepare_references.listed(home)
    if as_json:
        console.emit(found)
    elif not found:
        console.out.print(
            "No references yet. `damp references --data digits --forget 3` trains five.",
            soft_wrap=True,
        )
    else:
        console.out.print(_told(found), soft_wrap=True)
    return commands.DONE


def _told(found: list[Facts]) -> str:
    lines = []
    for one in found:
        left_out = ", ".join(map(str, one["exclude"])) or "no class"
        whole = "" if one["intact"] else "   (changed or missing: it will be trained again)"
        lines.append(
            f"{one['data']}  without {left_out}  seed {one['seed']}  {one['architecture']}  "
            f"{one['path']}{whole}"
        )
    return "\n".join(lines)
