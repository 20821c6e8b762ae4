"""Which version came from which, by which event, on which data: one tree per registered model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from html import escape
from typing import TYPE_CHECKING, Any

from compliance.formats import strict_json
from compliance.formats.errors import JsonError
from flows.registry import client as tracking
from flows.state.errors import RegistryError
from flows.state.paths import Home

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion, RegisteredModel

ROW, COLUMN, LEFT = 64, 300, 24
"""Pixels of the drawing: height of a version, width of a generation, margin."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A version as its tags tell; `damp audit-registry` says whether they are true.

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
        told = f"version {self.version}"
        return f"{told} ({', '.join(self.aliases)})" if self.aliases else told

    def lines(self) -> list[str]:
        """What is known of it, line by line."""
        made = f"{self.verdict or 'no verdict'}: event {self.event}, attempt {self.attempt}"
        forgot = f", without {', '.join(map(str, self.retired))}" if self.retired else ""
        return [made if self.event else "base model", f"data {self.data[:8]}{forgot}"]


def nodes(home: Home, name: str) -> list[Node]:
    """All versions of a model, oldest first.

    Raises:
        RegistryError: No such model, or tags that damp did not write.
    """
    if not tracking.exists(home):
        raise RegistryError(
            f"There is no registry at {home.mlflow_db}. `damp train` makes one with a first model."
        )
    with tracking.opened(home) as client:
        known = {model.name: model for model in client.search_registered_models()}
        if name not in known:
            told = ", ".join(sorted(known)) or "none"
            raise RegistryError(f"No model '{name}' is registered. There are: {told}.")
        versions = client.search_model_versions(f"name = '{name}'")
    return sorted((_node(known[name], v) for v in versions), key=lambda node: node.version)


def _node(model: RegisteredModel, version: ModelVersion) -> Node:
    tags = version.tags
    try:
        parent = tags.get("damp.parent_version")
        return Node(
            version=int(version.version),
            parent=int(parent) if parent else None,
            aliases=tuple(
                sorted(a for a, v in model.aliases.items() if int(v) == int(version.version))
            ),
            event=tags.get("damp.event_id", ""),
            attempt=int(tags.get("damp.attempt", 0)),
            verdict=tags.get("damp.verdict", ""),
            data=tags.get("damp.data_version", "unknown"),
            retired=tuple(strict_json.loads(tags.get("damp.retired", "[]"))),
        )
    except (ValueError, TypeError, JsonError) as problem:
        raise RegistryError(
            f"The tags of version {version.version} of '{version.name}' are damaged ({problem}). "
            "`damp audit-registry` says what else is wrong."
        ) from problem


def svg(name: str, found: Sequence[Node]) -> str:
    """The versions as a drawing that stands alone: no script, no outside address."""
    depth = _depths(found)
    width = LEFT + COLUMN * (max(depth.values(), default=0) + 1)
    height = LEFT + ROW * max(len(found), 1)
    parts = "\n".join(_drawn(found, depth))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        f'width="{width}" height="{height}" role="img" font-family="sans-serif" font-size="13">\n'
        f"<title>Versions of {escape(name)}</title>\n"
        f"<desc>{escape('; '.join(_sentence(node) for node in found))}</desc>\n{parts}\n</svg>\n"
    )


def _depths(found: Sequence[Node]) -> dict[int, int]:
    depth: dict[int, int] = {}
    for node in found:
        depth[node.version] = depth.get(node.parent or 0, -1) + 1
    return depth


def _sentence(node: Node) -> str:
    made = f", made from version {node.parent}" if node.parent else ""
    return f"{node.title()}{made}: {', '.join(node.lines())}"


def _drawn(found: Sequence[Node], depth: dict[int, int]) -> Iterator[str]:
    row = {node.version: index for index, node in enumerate(found)}
    colours = {"PASSED": "#1a7f37", "FAILED": "#b42318", "INCONCLUSIVE": "#8a6100"}
    for node in found:
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
