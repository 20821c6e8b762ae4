"""Which duties the parts of a record support, by clause: a dated data file, never a judgement.

mappings/<date>.json holds the lines and where each clause was read. The wording is "supports": that
a duty is met is for a controller and a lawyer to say.
"""

from __future__ import annotations

from importlib.resources import files
from typing import Any

from compliance.formats import strict_json

Json = dict[str, Any]


def latest() -> Json:
    """The newest mapping that ships with the package: `date`, `notice`, `sources`, `rows`."""
    folder = files("compliance").joinpath("mappings")
    name = max(item.name for item in folder.iterdir() if item.name.endswith(".json"))
    found: Json = strict_json.loads(folder.joinpath(name).read_bytes(), name)
    return found


def for_regulation(regulation: str) -> Json:
    """The lines whose source can matter under the ground that a request named.

    Returns:
        `date`, `notice`, `rows`: each `source` (short name), `clause`, `supports`, `fields`.
    """
    told = latest()
    sources = told["sources"]
    rows = [
        row | {"source": sources[row["source"]]["name"]}
        for row in told["rows"]
        if regulation in sources[row["source"]]["applies"]
    ]
    return {"date": told["date"], "notice": told["notice"], "rows": rows}


def as_markdown() -> str:
    """The whole mapping as a page, docs/mappings.md."""
    told = latest()
    lines = [
        "# What the record supports",
        "",
        f"**{told['notice']}**",
        "",
        f"Made of `compliance/mappings/{told['date']}.json`. `fields` are parts of the statement "
        "(docs/record.md), kinds of ledger entries, or commands.",
        "",
    ]
    for key, source in told["sources"].items():
        lines += [f"## {source['name']}", "", f"{source['title']}.", ""]
        lines += [f"Read in: {source['read_in']}. Official text: <{source['address']}>.", ""]
        lines += ["| clause | what is supported | fields |", "|---|---|---|"]
        for row in told["rows"]:
            if row["source"] == key:
                fields = ", ".join(f"`{field}`" for field in row["fields"])
                lines.append(f"| {row['clause']} | {row['supports']} | {fields} |")
        lines.append("")
    return "\n".join(lines).rstrip() + "\n"
