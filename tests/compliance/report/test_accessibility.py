"""The pages before axe-core, the accessibility checker: no violation of WCAG or its advice.

axe-core comes from npm, once, into .cache; where npm or Chromium is missing these tests are skipped
and say so. Set DAMP_REQUIRE_AXE=1 where that must be a failure.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
import os
import re
import runpy
import shutil
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from compliance.report.index import render_comparison, render_index
from compliance.report.officer import Reader
from compliance.report.render import render_html, report_json
from flows.records import pdf
from flows.state.errors import BrowserError

PAGES = SimpleNamespace(**runpy.run_path(str(Path(__file__).parents[1] / "report_examples.py")))
VERSION = "4.11.1"
INTEGRITY = (
    "BASOg+YwO2C+346x3LZOeoovTIoTrRqEsqMa6fmfAV0P+U9mFr9NsyOEpiYvFjbc64NMrSswhV50WdXzdb/Z5A=="
)
CACHE = Path(__file__).parents[3] / ".cache" / "axe-core"

pytestmark = pytest.mark.browser


def missing(why: str) -> None:
    if os.environ.get("DAMP_REQUIRE_AXE") == "1":
        pytest.fail(f"{why}, and DAMP_REQUIRE_AXE=1 asks for it.")
    pytest.skip(f"NOT TESTED for accessibility: {why}.")


@pytest.fixture(scope="module")
def axe() -> str:
    """The source of axe-core, with the digest that npm published."""
    archive = CACHE / f"axe-core-{VERSION}.tgz"
    if not archive.is_file():
        npm = shutil.which("npm")
        if npm is None:
            missing("there is no npm to fetch axe-core with")
        CACHE.mkdir(parents=True, exist_ok=True)
        done = subprocess.run(
            [str(npm), "pack", "--silent", f"axe-core@{VERSION}"],
            cwd=CACHE,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            missing(f"npm could not fetch axe-core ({done.stderr.strip()[-200:]})")
    text = base64.b64encode(hashlib.sha512(archive.read_bytes()).digest()).decode()
    assert text == INTEGRITY
    with tarfile.open(archive) as packed:
        source = packed.extractfile("package/axe.min.js")
        assert source is not None
        return source.read().decode()


Violations = list[dict[str, Any]]


@pytest.fixture
def check(axe: str, tmp_path: Path) -> Callable[[str], Violations]:
    """Runs axe-core on a page in Chromium; returns its violations."""
    try:
        program = pdf.find()
    except BrowserError:
        missing("there is no Chromium")

    def run(page: str) -> Violations:
        page = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", page)
        script = (
            f"<script>{axe}</script><script>axe.run(document).then(results => {{"
            "const failed = results.violations.map(v => ({id: v.id, impact: v.impact,"
            " nodes: v.nodes.slice(0, 3).map(n => n.html)}));"
            "document.documentElement.setAttribute('data-axe', JSON.stringify(failed));});</script>"
        )
        file = tmp_path / "page.html"
        file.write_text(page.replace("</body>", f"{script}</body>"), encoding="utf-8")
        profile = tmp_path / f"profile-{len(list(tmp_path.iterdir()))}"
        done = subprocess.run(
            [
                program,
                *pdf.FLAGS,
                f"--user-data-dir={profile}",
                "--window-size=1200,900",
                "--virtual-time-budget=60000",
                "--dump-dom",
                file.as_uri(),
            ],
            capture_output=True,
            text=True,
            timeout=120,
            check=True,
        )
        match = re.search(r'data-axe="([^"]*)"', done.stdout)
        assert match is not None, "axe-core did not finish"
        content: Violations = json.loads(html.unescape(match[1]))
        return content

    return run


def page_of(example: ModuleType, kind: str, language: str = "en") -> str:
    statement, reader = PAGES.KINDS[kind](example), Reader(language=language)
    return render_html(statement, findings=PAGES.findings(example), reader=reader, **PAGES.COMMANDS)


def test_axe_sees_what_is_wrong(check: Callable[[str], Violations]) -> None:
    """The positive control."""
    bad = (
        "<!doctype html><html><head><title>x</title></head><body><img src='data:,x'>"
        "<p style='color:#999;background:#fff'>pale</p><a href='#a'></a></body></html>"
    )
    names = {violation["id"] for violation in check(bad)}
    assert {"image-alt", "color-contrast", "html-has-lang", "link-name"} <= names


@pytest.mark.parametrize("kind", list(PAGES.KINDS))
def test_the_report_has_no_violation(
    check: Callable[[str], Violations], example: ModuleType, kind: str
) -> None:
    assert check(page_of(example, kind)) == []


@pytest.mark.parametrize("language", ["de", "fr"])
def test_the_report_has_no_violation_in_another_language(
    check: Callable[[str], Violations], example: ModuleType, language: str
) -> None:
    assert check(page_of(example, "INCONCLUSIVE", language)) == []


def test_with_every_table_open_the_report_has_no_violation(
    check: Callable[[str], Violations], example: ModuleType
) -> None:
    assert check(page_of(example, "FAILED").replace("<details", "<details open")) == []


def test_comparison_and_index_have_no_violation(
    check: Callable[[str], Violations], example: ModuleType
) -> None:
    pages = [
        report_json(make(example), findings=PAGES.findings(example), **PAGES.COMMANDS)
        for make in PAGES.KINDS.values()
    ]
    assert check(render_comparison(pages)) == []
    assert check(render_index(PAGES.index(example))) == []
