"""The report as Markdown: the same facts, and nothing in it that is markup of somebody else."""

from __future__ import annotations

import re
import runpy
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from compliance.presentation.numbers import figure, signed, span
from compliance.report.render import render_markdown, report_json

PAGES = SimpleNamespace(**runpy.run_path(str(Path(__file__).parents[1] / "report_examples.py")))


def as_markdown(statement: Any, example: ModuleType, **more: Any) -> str:
    given = {"findings": PAGES.findings(example), **PAGES.COMMANDS} | more
    return render_markdown(report_json(statement, **given))


def plain(text: str) -> str:
    """The text as a reader sees it: without escapes."""
    return re.sub(r"\\([\\`*_\[\]#|~$@:.])", r"\1", text)


@pytest.mark.parametrize("kind", list(PAGES.KINDS))
def test_every_figure_of_the_statement_is_there(example: ModuleType, kind: str) -> None:
    statement = PAGES.KINDS[kind](example)
    text = as_markdown(statement, example)
    assert text.startswith(f"# {kind}: unlearning of class 8")
    lines = plain(text).splitlines()
    for row in statement["predicate"]["audits"]:
        if row["status"] != "RUN":
            assert any(row["reason"] in line for line in lines)
            continue
        line = next(x for x in lines if f"<br>`{row['name']}`" in x)
        for shown in (figure(row["value"]), span(row["interval"]), figure(row["nullMean"])):
            assert shown in line
        assert signed(row["difference"]) in line
        assert ("**required**" in line) is row["required"]
    for control in statement["predicate"]["controls"]:
        line = next(x for x in lines if x.startswith(f"| {control['name']} |"))
        assert control["found"] in line
        assert ("not as expected" in line) is not control["asExpected"]
    for reason in statement["predicate"]["verdict"]["reasons"]:
        assert f"- Reason: {' '.join(reason.split())}" in plain(text)


def test_the_ten_parts_stand_in_order(example: ModuleType) -> None:
    numbers = re.findall(r"^## (\d+)\. ", as_markdown(PAGES.passed(example), example), flags=re.M)
    assert numbers == [str(n) for n in range(1, 11)]


def test_tables_have_as_many_cells_in_each_row_as_in_their_head(example: ModuleType) -> None:
    for table in re.findall(
        r"(?:^\|.*\|$\n?)+", as_markdown(PAGES.failed(example), example), flags=re.M
    ):
        rows = table.splitlines()
        cells = {len(re.findall(r"(?<!\\)\|", row)) for row in rows}
        assert len(cells) == 1
        assert re.fullmatch(r"(\|---)+\|", rows[1])


@pytest.mark.parametrize(
    "text",
    [
        "<script>alert(1)</script>",
        "[click](javascript:alert(1))",
        "![x](https://example.org/x.png)",
        "a | b | c",
        "`code` **bold** _it_ ~~gone~~ $x$",
        "line one\n\n# a heading\n- an item",
        "https://example.org www.example.org somebody@example.org @somebody #12",
        "&lt;b&gt; \\",
    ],
)
def test_hostile_text_means_only_itself(example: ModuleType, text: str) -> None:
    statement = PAGES.inconclusive(example)
    predicate = statement["predicate"]
    before = as_markdown(statement, example)
    predicate["propagation"][0] |= {"artefact": text, "location": text, "note": text}
    predicate["verdict"]["reasons"] = [text]
    predicate["audits"][3] |= {"label": text, "name": text}
    predicate["method"]["operators"][0] |= {"name": text, "kind": text}
    predicate["inputs"]["modelBefore"]["architecture"] = text
    after = as_markdown(statement, example, verify_command=text)
    # code spans and blocks mean only themselves in Markdown anyway; they must just not be left
    prose = re.sub(r"```.*?```|`[^`\n]*`", "", after, flags=re.S)
    unescaped = re.sub(r"\\[\\`*_\[\]#|~$@:.]", "", prose)
    assert "`" not in unescaped
    assert not re.search(r"<(?!br>)|\]\(|!\[|://|www\.|@", unescaped)
    headings = [len(re.findall(r"^#", t, flags=re.M)) for t in (before, after)]
    assert headings[0] == headings[1]
    for table in re.findall(r"(?:^\|.*\|$\n?)+", after, flags=re.M):
        assert len({len(re.findall(r"(?<!\\)\|", row)) for row in table.splitlines()}) == 1
