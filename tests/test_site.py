"""The site of docs/: it is built strictly, has every page, and asks no other host for anything."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

pytest.importorskip("mkdocs", reason="needs the extra `docs`")

ROOT = Path(__file__).parents[1]
LOADING = {
    *(("script", "src"), ("img", "src"), ("iframe", "src"), ("source", "src"), ("video", "src")),
    *(("audio", "src"), ("embed", "src"), ("object", "data"), ("image", "href"), ("use", "href")),
}
LINKS_THAT_LOAD = {"stylesheet", "preconnect", "preload", "prefetch", "icon", "modulepreload"}


class Loads(HTMLParser):
    """Addresses that a browser asks for by itself when it opens a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attributes}
        self.addresses += [given[name] for of, name in LOADING if of == tag and name in given]
        if tag == "link" and LINKS_THAT_LOAD & set(given.get("rel", "").split()):
            self.addresses.append(given.get("href", ""))


def outside(addresses: list[str]) -> list[str]:
    return [each for each in addresses if re.match(r"(?i)([a-z]+:)?//", each)]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)],
        cwd=ROOT,
        env=os.environ | {"NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.slow
def test_every_page_of_docs_is_a_page_of_the_site(site: Path) -> None:
    pages = [page.relative_to(ROOT / "docs") for page in (ROOT / "docs").rglob("*.md")]
    assert len(pages) > 25
    for page in (*pages, Path("index.md")):
        assert (site / page.with_suffix(".html")).is_file(), page


@pytest.mark.slow
def test_no_page_asks_another_host_for_anything(site: Path) -> None:
    pages = list(site.rglob("*.html"))
    assert pages
    for page in pages:
        text = page.read_text()
        assert outside(Loads(text).addresses) == [], page.relative_to(site)
        # the theme's script asks elsewhere for two things alone: diagrams, figures of a repository
        assert 'class="mermaid"' not in text
        assert 'data-md-component="source"' not in text
    for sheet in site.rglob("*.css"):
        assert not re.search(r"(url\(|@import)\s*['\"]?\s*(https?:)?//", sheet.read_text()), sheet


def test_a_page_that_asks_another_host_would_be_seen() -> None:
    """The positive control of the test above."""
    page = "<link rel='stylesheet' href='https://fonts.example/x.css'><script src='//cdn/x.js'>"
    assert len(outside(Loads(page).addresses)) == 2
    assert outside(Loads("<script src='assets/x.js'><a href='https://x'>").addresses) == []


@pytest.mark.slow
def test_every_heading_of_a_page_is_a_heading_of_the_site(site: Path) -> None:
    """A fence that is not understood swallows what follows it."""
    for page in (ROOT / "docs").glob("*.md"):
        text = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
        written = len(re.findall(r"^#{1,4} ", text, flags=re.MULTILINE))
        shown = (site / page.with_suffix(".html").name).read_text()
        assert len(re.findall(r"<h[1-4] id=", shown)) == written, page.name


@pytest.mark.slow
def test_the_api_pages_have_the_docstrings(site: Path) -> None:
    for name, words in (
        ("damp", "Predicted strengths per class and operator"),
        ("audits", "One figure of one audit, with everything needed to judge it"),
        ("compliance", "The check of a signed statement"),
    ):
        assert words in (site / "api" / f"{name}.html").read_text(), name
