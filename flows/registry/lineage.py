"""Which version came from which, by which event, on which data: one tree per registered model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from html import escape
from typing import Any

from flows.registry.backend import read_registry, registry_exists
from flows.registry.interface import ModelVersion, RegisteredModel
from flows.registry.resolve import model_of
from flows.state.errors import RegistryError
from flows.state.paths import Home

ROW, COLUMN, LEFT = 64, 300, 24
"""Pixels of the drawing: height of a version, width of a generation, margin."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A version as its tags claim; `damp audit-registry` says whether they are true.

    Attributes:
        version: Counted from 1.
        parent: The version that it was made from; None for a base model.
        aliases: That point to it.
        event: The event that made it, "" for a base model.
        attempt: Of that event; 0 for a base model.
        verdict: Of that attempt, "" for a base model.
        data: Version of its data, `<md5>.dir`.
        retired: Classes that it has forgotten.
    """

    version: int
    parent: int | None
    aliases: tuple[str, ...]
    event: str
    attempt: int
    verdict: str
    data: str
    retired: tuple[int, ...]

    def to_json(self) -> dict[str, Any]:
        lists = {"aliases": list(self.aliases), "retired": list(self.retired)}
        return asdict(self) | lists

    def title(self) -> str:
        """Its number and aliases."""
        number = f"version {self.version}"
        return f"{number} ({', '.join(self.aliases)})" if self.aliases else number

    def lines(self) -> list[str]:
        """Origin, data and retired classes, line by line."""
        origin = f"{self.verdict or 'no verdict'}: event {self.event}, attempt {self.attempt}"
        forgot = f", without {', '.join(map(str, self.retired))}" if self.retired else ""
        return [origin if self.event else "base model", f"data {self.data[:8]}{forgot}"]


def nodes(home: Home, name: str) -> list[Node]:
    """All versions of a model, oldest first.

    Raises:
        RegistryError: No such model, or tags that damp did not write.
    """
    if not registry_exists(home):
        raise RegistryError(
            f"There is no registry at {home.mlflow_db}. `damp train` makes one with a first model."
        )
    with read_registry(home) as registry:
        model = model_of(registry, name)
        return [_node(model, version) for version in registry.versions(name)]


def _node(model: RegisteredModel, version: ModelVersion) -> Node:
    tags = version.tags()
    return Node(
        version=version.number,
        parent=tags.parent_version,
        aliases=model.aliases_of(version.number),
        event=tags.event or "",
        attempt=tags.attempt or 0,
        verdict=tags.verdict or "",
        data=tags.data_version or "unknown",
        retired=tags.retired or (),
    )


def svg(name: str, versions: Sequence[Node]) -> str:
    """The versions as a drawing that stands alone: no script, no outside address."""
    depth = _depths(versions)
    width = LEFT + COLUMN * (max(depth.values(), default=0) + 1)
    height = LEFT + ROW * max(len(versions), 1)
    parts = "\n".join(_drawn(versions, depth))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        f'width="{width}" height="{height}" role="img" font-family="sans-serif" font-size="13">\n'
        f"<title>Versions of {escape(name)}</title>\n"
        f"<desc>{escape('; '.join(_sentence(node) for node in versions))}</desc>\n{parts}\n</svg>\n"
    )


def _depths(versions: Sequence[Node]) -> dict[int, int]:
    depth: dict[int, int] = {}
    for node in versions:
        depth[node.version] = depth.get(node.parent or 0, -1) + 1
    return depth


def _sentence(node: Node) -> str:
    origin = f", made from version {node.parent}" if node.parent else ""
    return f"{node.title()}{origin}: {', '.join(node.lines())}"


def _drawn(versions: Sequence[Node], depth: dict[int, int]) -> Iterator[str]:
    row = {node.version: index for index, node in enumerate(versions)}
    colours = {"PASSED": "#1a7f37", "FAILED": "#b42318", "INCONCLUSIVE": "#8a6100"}
    for node in versions:
        x, y = LEFT + COLUMN * depth[node.version], LEFT + ROW * row[node.version]
        if node.parent in row:
            from_x = LEFT + COLUMN * depth[node.parent] + 6
            from_y = LEFT + ROW * row[node.parent] + 6
            yield f'<path d="M{from_x} {from_y}V{y}H{x - 6}" fill="none" stroke="#666"/>'
        colour = colours.get(node.verdict, "#444")
        yield f'<circle cx="{x}" cy="{y}" r="6" fill="{colour}"/>'
        lines = [node.title(), *node.lines()]
        for index, line in enumerate(lines):
            weight = ' font-weight="bold"' if index == 0 else ""
            yield f'<text x="{x + 12}" y="{y + 4 + 16 * index}"{weight}>{escape(line)}</text>'
