"""The record in the order of a law and of a standard: all points, and text that stays text."""

from __future__ import annotations

import re
import runpy
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from compliance.formats import plain_text
from compliance.report import dossiers

PAGES = SimpleNamespace(**runpy.run_path(str(Path(__file__).parents[1] / "report_examples.py")))
DIGEST = "ab" * 32
VIEWS = (dossiers.annex_iv, dossiers.iso_42001)


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("kind", list(PAGES.KINDS))
def test_a_view_has_every_point_and_the_verdict(example: ModuleType, view: Any, kind: str) -> None:
    page = view(PAGES.KINDS[kind](example), DIGEST)
    points = dossiers.ANNEX_IV if view is dossiers.annex_iv else dossiers.ISO_42001
    heads = re.findall(r"^## (\S+) (.+)$", page, flags=re.MULTILINE)
    assert heads == [(point.number, point.title) for point in points]
    assert f"Verdict: **{kind}**." in page
    assert DIGEST in page
    assert "Not legal advice" in page


def test_the_annex_has_nine_points() -> None:
    assert [point.number for point in dossiers.ANNEX_IV] == [str(n) for n in range(1, 10)]


def test_what_the_record_has_nothing_on_is_left_to_the_author(example: ModuleType) -> None:
    page = dossiers.annex_iv(PAGES.passed(example), DIGEST)
    for title in ("Risk management system", "EU declaration of conformity"):
        assert f"{title}\n\n*This record says nothing of it.*" in page


def test_every_required_figure_stands_in_the_view(example: ModuleType) -> None:
    statement = PAGES.inconclusive(example)
    page = dossiers.iso_42001(statement, DIGEST)
    required = [row for row in statement["predicate"]["audits"] if row.get("required")]
    assert required
    for row in required:
        said = row["outcome"] if row["status"] == "RUN" else row["reason"]
        name = plain_text.markdown(row.get("label") or row.get("name") or row["audit"])
        lines = [line for line in page.splitlines() if line.startswith(f"- {name}: ")]
        assert any(plain_text.markdown(said) in line for line in lines), name


@pytest.mark.parametrize("view", VIEWS)
def test_hostile_text_stays_text(example: ModuleType, view: Any) -> None:
    statement = PAGES.passed(example)
    own = statement["predicate"]
    hostile = "<script>x</script> [a](javascript:b) `c` **d**"
    own["inputs"]["dataBefore"]["name"] = hostile
    own["verdict"]["limits"] = [hostile]
    own["verdict"]["claim"] = hostile
    for row in own["audits"]:
        row["label"] = hostile
    page = view(statement, DIGEST)
    assert "<script" not in page
    assert "](" not in page.replace("\\](", "")
    assert "**d**" not in page
