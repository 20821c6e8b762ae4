"""What the words mean, each said once: for a reader who is not an engineer, and for one who is.

`glossary.json` beside this file holds the terms; docs/glossary.md is made of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from types import MappingProxyType

from compliance.formats import strict_json, typed


@dataclass(frozen=True, slots=True, kw_only=True)
class Term:
    """One term: its id in the page, what it means, and whether the report uses it."""

    id: str
    term: str
    meaning: str
    in_report: bool


def terms() -> tuple[Term, ...]:
    """All terms in alphabetical order."""
    content = files("compliance.presentation").joinpath("glossary.json").read_bytes()
    rows = strict_json.loads(content, "glossary.json")
    return tuple(typed.read(Term, row, "A term of the glossary") for row in rows)


GLOSSARY: Mapping[str, tuple[str, str]] = MappingProxyType(
    {term.id: (term.term, term.meaning) for term in terms() if term.in_report}
)
"""Id in the page -> term and meaning, of those that the report uses."""


def as_markdown() -> str:
    """The whole glossary as a page, docs/glossary.md."""
    lines = [f"| {term.term} | {term.meaning} |" for term in terms()]
    return "\n".join([_HEAD, "| term | meaning |", "|---|---|", *lines]) + "\n"


_HEAD = """# Glossary

Each term once, as the code, the commands, the report and these pages use it. Made of
`compliance/presentation/glossary.json`; the report's own list holds those terms that it uses.
"""
