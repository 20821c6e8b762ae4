"""Commands on the model registry: lineage, promotion past the gate, the audit of all versions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from flows.cli import console
from flows.cli.options import DONE, FILE, as_json

if TYPE_CHECKING:
    from rich.text import Text
    from rich.tree import Tree

    from flows.registry import VersionCheck
    from flows.registry.lineage import Node


@click.command()
@click.argument("model")
@click.option("--svg", type=FILE, help="Write a drawing to this file.")
@as_json
def lineage(model: str, svg: Path | None, as_json: bool) -> int:
    """Draw which version of MODEL came from which: events, verdicts, data versions.

    \b
    Examples:
      damp lineage digits
      damp lineage digits --svg lineage.svg
    """
    from flows.registry import lineage as registered
    from flows.state.files import write_atomically
    from flows.state.settings import prepared

    nodes = registered.nodes(prepared(), model)
    if svg is not None:
        write_atomically(svg.absolute(), registered.svg(model, nodes).encode())
    drawing = [_tree(model, nodes)] if svg is None else [f"Drawn in {svg}."]
    console.answer([node.to_json() for node in nodes], drawing, as_json=as_json)
    return DONE


def _tree(name: str, nodes: Sequence[Node]) -> Tree:
    from rich.text import Text
    from rich.tree import Tree

    root = Tree(Text(name, style="bold"))
    branches: dict[int | None, Tree] = {}
    for node in nodes:
        sign, colour = console.VERDICTS.get(node.verdict, ("●", "default"))
        label = Text.assemble((f"{sign} ", colour), "\n  ".join([node.title(), *node.lines()]))
        branches[node.version] = branches.get(node.parent, root).add(label)
    return root


@click.command()
@click.argument("version", metavar="NAME[/VERSION]")
@as_json
def promote(version: str, as_json: bool) -> int:
    """Let NAME@champion point to a version, past every check.

    Without a number, to the newest version that passed its audits.
    Fetches the bytes from the registry, computes their digests, verifies statement, signatures,
    roles and ledger, and only then moves the alias.

    \b
    Examples:
      damp promote digits
      damp promote digits/3
    """
    from flows.operations import promote as gated
    from flows.registry import resolve
    from flows.state.errors import GateError
    from flows.state.settings import prepared

    named = resolve.PROMOTABLE.fullmatch(version)
    if named is None:
        raise GateError(
            f"'{version}' is no version. Write NAME/VERSION, as in digits/3, or NAME alone for the "
            "newest version that passed."
        )
    number = None if named["version"] is None else int(named["version"])
    champion = gated.promote(prepared(), named["name"], number)
    line = (
        f"{champion.name}@{resolve.CHAMPION} is version {champion.version} of event "
        f"{champion.event}: weights, statement, signatures and ledger agree."
    )
    console.answer(champion.to_json(), [line], as_json=as_json)
    return DONE


@click.command("audit-registry")
@as_json
def audit_registry(as_json: bool) -> int:
    """Name every version and alias that has no valid statement behind it.

    Exit code 1 where there is one.

    \b
    Examples:
      damp audit-registry
      damp audit-registry --json
    """
    from flows.registry import gate
    from flows.state.settings import prepared

    versions = gate.audit_registry(prepared())
    pages = [version.to_json() for version in versions]
    console.answer(pages, _checked(versions), as_json=as_json)
    return int(any(version.problems for version in versions))


def _checked(versions: Sequence[VersionCheck]) -> Iterator[Text | str]:
    from rich.text import Text

    for version in versions:
        name = version.name if version.version is None else f"{version.name}/{version.version}"
        aliases = f" @{' @'.join(version.aliases)}" if version.aliases else ""
        plain = console.VERDICTS.get(version.verdict, ("●", "default"))
        sign = ("✘", "red") if version.problems else plain
        yield Text.assemble(sign, f" {name}{aliases}  {version.kind} {version.verdict}")
        for problem in version.problems:
            yield f"    {problem}"
    wrong = sum(bool(version.problems) for version in versions)
    yield f"{len(versions)} checked, {wrong} with problems."
