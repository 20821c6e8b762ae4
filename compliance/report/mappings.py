"""Which duties the parts of a record support, by clause: a dated data file, never a judgement.

mappings/<date>.json holds the lines and where each clause was read. The wording is "supports": that
a duty is met is for a controller and a lawyer to say.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.resources import files
from typing import Any

from compliance.formats import strict_json, typed

Json = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A rule, and where its clauses were read."""

    name: str
    title: str
    read_in: str = field(metadata={"key": "read_in"})
    address: str
    applies: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One clause, and what of the record supports it."""

    source: str
    clause: str
    supports: str
    fields: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Mappings:
    """All lines of a day."""

    date: str
    notice: str
    sources: Mapping[str, Source]
    rows: tuple[Row, ...]


def latest() -> Mappings:
    """The newest mapping that ships with the package."""
    folder = files("compliance").joinpath("mappings")
    name = max(item.name for item in folder.iterdir() if item.name.endswith(".json"))
    return typed.read(Mappings, strict_json.loads(folder.joinpath(name).read_bytes(), name), name)


def for_regulation(regulation: str) -> Json:
    """The lines whose source can matter under the ground that a request named.

    Returns:
        `date`, `notice`, `rows`: each `source` (short name), `clause`, `supports`, `fields`.
    """
    every = latest()
    rows = [
        typed.plain(row) | {"source": every.sources[row.source].name}
        for row in every.rows
        if regulation in every.sources[row.source].applies
    ]
    return {"date": every.date, "notice": every.notice, "rows": rows}


def as_markdown() -> str:
    """The whole mapping as a page, docs/mappings.md."""
    every = latest()
    lines = [
        "# What the record supports",
        "",
        f"**{every.notice}**",
        "",
        f"Made of `compliance/mappings/{every.date}.json`. `fields` are parts of the statement "
        "(docs/record.md), kinds of ledger entries, or commands.",
        "",
    ]
    for key, source in every.sources.items():
        lines += [f"## {source.name}", "", f"{source.title}.", ""]
        lines += [f"Read in: {source.read_in}. Official text: <{source.address}>.", ""]
        lines += ["| clause | what is supported | fields |", "|---|---|---|"]
        for row in every.rows:
            if row.source == key:
                fields = ", ".join(f"`{name}`" for name in row.fields)
                lines.append(f"| {row.clause} | {row.supports} | {fields} |")
        lines.append("")
    return "\n".join(lines).rstrip() + "\n"
