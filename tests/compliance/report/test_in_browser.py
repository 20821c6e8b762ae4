"""The report in a real browser: nothing of it runs or loads, it fits its window and its paper.

Set DAMP_REQUIRE_BROWSER=1 where a missing Chromium must be a failure (CI); elsewhere these tests
are skipped, and say so.
"""

from __future__ import annotations

import base64
import html
import os
import re
import runpy
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any
from urllib.parse import unquote

import pytest

from compliance.report.index import render_comparison, render_index
from compliance.report.officer import LANGUAGES, Reader, catalogue
from compliance.report.render import render_html, report_json

PAGES = SimpleNamespace(**runpy.run_path(str(Path(__file__).parents[1] / "report_examples.py")))
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    *("--no-proxy-server", "--hide-scrollbars", "--force-device-scale-factor=1"),
)
HIT = "document.documentElement.setAttribute('data-hit','1')"
PAYLOADS = (
    f"<script>{HIT}</script>",
    f"<img src=x onerror={HIT}>",
    f'"><img src=x onerror="{HIT}">',
    f"'><svg onload={HIT}>",
    f"</svg><svg><script>{HIT}</script></svg>",
    f"</title></style><script>{HIT}</script>",
    f"</desc></svg><iframe srcdoc='<script>parent.{HIT}</script>'></iframe>",
    f"<details open ontoggle={HIT}>",
    f"<input autofocus onfocus={HIT}>",
    f"<!--><script>{HIT}</script-->",
)

TAGS = (
    *(f"<script>{HIT}</script>", f"<img src=x onerror={HIT}>", f"<svg onload={HIT}>"),
    *(f"<body onload={HIT}>", f'<iframe srcdoc="<script>parent.{HIT}</script>"></iframe>'),
    *(f"<details open ontoggle={HIT}>x</details>", f"<video src=x onerror={HIT}></video>"),
    *(f"<input autofocus onfocus={HIT}>", f"<style onload={HIT}></style>"),
    f"<object data='data:text/html,<script>parent.{HIT}</script>'></object>",
)
"""Markup that runs something without a click."""
BREAKERS = (
    "",
    '">',
    "'>",
    "</title>",
    "</style>",
    "</svg>",
    "</desc>",
    "-->",
    "]]>",
    "</code></pre>",
)
"""What could end the place that the text stands in."""
HUNDRED = tuple(f"{breaker}{tag}" for breaker in BREAKERS for tag in TAGS)

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def browser() -> str:
    """The path of Chromium; the tests are skipped, or fail, where there is none."""
    program = next((path for name in NAMES if (path := shutil.which(name))), None)
    if program is None:
        message = "Chromium is not installed, so the report was NOT seen in a real browser"
        if os.environ.get("DAMP_REQUIRE_BROWSER") == "1":
            pytest.fail(f"{message}, and DAMP_REQUIRE_BROWSER=1 asks for it.")
        pytest.skip(f"{message}. Install it (apt-get install chromium) and run again.")
    return program


Run = Callable[..., str]


@pytest.fixture
def run(browser: str, tmp_path: Path) -> Run:
    """Runs Chromium with a fresh profile on a page given as text; returns what it prints."""

    def start(page: str, *options: str) -> str:
        file = tmp_path / "page.html"
        file.write_text(page, encoding="utf-8")
        profile = tmp_path / f"profile{len(list(tmp_path.iterdir()))}"
        done = subprocess.run(
            [browser, *FLAGS, f"--user-data-dir={profile}", *options, file.as_uri()],
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        return done.stdout

    return start


def page_of(example: ModuleType, kind: str = "INCONCLUSIVE", **more: Any) -> str:
    return render_html(
        PAGES.KINDS[kind](example), findings=PAGES.findings(example), **PAGES.COMMANDS | more
    )


def poisoned(example: ModuleType, payloads: tuple[str, ...]) -> str:
    """A page with every payload in many places, names of layers and figures included."""
    statement, findings = PAGES.inconclusive(example), PAGES.findings(example)
    predicate = statement["predicate"]
    predicate["verdict"] |= {"claim": payloads[0], "reasons": payloads, "limits": payloads}
    predicate["propagation"] = [
        {"artefact": p, "location": p, "status": "UNKNOWN", "note": p} for p in payloads
    ]
    operator = predicate["method"]["operators"][0]
    predicate["method"]["operators"] = [operator | {"name": p, "kind": p} for p in payloads]
    for row, payload in zip(predicate["audits"], payloads * 9, strict=False):
        row |= {"name": payload, "label": payload, "reason": payload}
    for finding, payload in zip(findings, payloads, strict=False):
        finding["question"] = payload
        finding["parameters"] = {"left_out": {payload: payload}}
    findings[0]["series"]["per_class"]["classes"] = list(payloads)[:10]
    predicate["inputs"]["environment"]["packages"] = {p: p for p in payloads}
    return render_html(
        statement,
        findings=findings,
        controls={payloads[0]: findings},
        verify_command=payloads[1],
        reproduce_command=payloads[2],
    )


def test_hostile_text_executes_nowhere(run: Run, example: ModuleType) -> None:
    page = poisoned(example, PAYLOADS)
    dom = run(page, "--dump-dom", "--virtual-time-budget=2000")
    assert "data-hit" not in dom.partition("<head")[0]
    assert "1. Verdict" in dom


def test_a_hundred_hostile_strings_are_inert(run: Run, example: ModuleType) -> None:
    """All of them in one page, each in a dozen places, names of layers and figures included."""
    assert len(set(HUNDRED)) == 100
    page = poisoned(example, HUNDRED)
    dom = run(page, "--dump-dom", "--virtual-time-budget=3000")
    assert "data-hit" not in dom.partition("<head")[0]
    assert dom.count("onerror") > 100  # they are there, as text


def test_hostile_strings_are_inert_in_the_comparison_and_in_the_index(
    run: Run, example: ModuleType
) -> None:
    """Names of layers, policies, methods, reasons; and a ledger that somebody wrote by hand."""
    statement = PAGES.inconclusive(example)
    predicate = statement["predicate"]
    predicate["verdict"]["reasons"] = HUNDRED
    predicate["event"]["id"] = HUNDRED[1]
    predicate["method"] |= {"name": HUNDRED[0], "parameters": {"preset": HUNDRED[11]}}
    for row, payload in zip(predicate["audits"], HUNDRED * 9, strict=False):
        row |= {"name": payload, "label": payload, "reason": payload}
    written = report_json(statement, findings=PAGES.findings(example), **PAGES.COMMANDS)
    for page in (render_comparison([written, written]), render_index(hostile_index(example))):
        dom = run(page, "--dump-dom", "--virtual-time-budget=3000")
        assert "data-hit" not in dom.partition("<head")[0]
        assert dom.count("onerror") > 50


def hostile_index(example: ModuleType) -> dict[str, Any]:
    content: dict[str, Any] = PAGES.index(example)
    event, keys = content["events"][1], ("id", "state", "regulation", "received", "next", "verdict")
    links = [
        {"number": text, "verdict": text, "report": text, "statement": f"javascript:{HIT}//{text}"}
        for text in HUNDRED
    ]
    content["events"] = [event | dict.fromkeys(keys, text) for text in HUNDRED]
    content["events"].append(event | {"attempts": links})
    return content


def test_a_link_of_the_index_is_a_path_below_it(example: ModuleType) -> None:
    """Spaces, newlines, markup, a scheme, a question mark: all of it is a name of a file."""
    content = PAGES.index(example)
    names = ("a b", "a\nb", "<b>", "javascript:alert(1)", "a?b#c", "//host/x", "50%")
    attempt = content["events"][1]["attempts"][0]
    content["events"][1]["attempts"] = [attempt | {"report": name} for name in names]
    page = render_index(content)
    links = re.findall(r'href="([^"]*)"', page)
    assert [unquote(link.removeprefix("./")) for link in links] == list(names)
    assert all(re.fullmatch(r"\./[\w%/.-]*", link) for link in links)


def test_each_kind_of_markup_would_have_run(run: Run) -> None:
    """The positive control: on a page that escapes nothing, most kinds do each time."""
    for tag in TAGS[:7]:  # focus and objects depend on the moment and on the browser
        page = f"<!doctype html><html><head><title>x</title></head><body>{tag}</body></html>"
        dom = run(page, "--dump-dom", "--virtual-time-budget=2000")
        assert "data-hit" in dom.partition("<head")[0], tag


def test_the_check_itself_sees_what_executes(run: Run) -> None:
    """The positive control: each payload does execute on a page that escapes nothing."""
    for payload in PAYLOADS[:4]:
        page = f"<!doctype html><html><head><title>x</title></head><body>{payload}</body></html>"
        dom = run(page, "--dump-dom", "--virtual-time-budget=2000")
        assert "data-hit" in dom.partition("<head")[0]


def test_the_policy_stops_what_escaping_would_miss(run: Run, example: ModuleType) -> None:
    broken = page_of(example).replace("<main>", f"<main>{''.join(PAYLOADS[:4])}", 1)
    root = run(broken, "--dump-dom", "--virtual-time-budget=2000").partition("<head")[0]
    assert "data-hit" not in root


@pytest.fixture
def listener() -> Iterator[tuple[str, list[str]]]:
    """A local server that writes down who asks for what."""
    asked: list[str] = []

    class Note(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Silent."""

    server = HTTPServer(("127.0.0.1", 0), Note)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/", asked
    server.shutdown()
    thread.join()
    server.server_close()


def test_the_page_asks_nobody_for_anything(
    run: Run, example: ModuleType, listener: tuple[str, list[str]]
) -> None:
    address, asked = listener
    payloads = (
        f"<img src={address}a>",
        f"<link rel=stylesheet href={address}b>",
        f"<style>@import url({address}c)</style>",
        f"</style><iframe src={address}d>",
        f"<object data={address}e>",
    )
    run(poisoned(example, payloads), "--dump-dom", "--virtual-time-budget=2000")
    broken = page_of(example).replace("<main>", f"<main>{''.join(payloads)}", 1)
    run(broken, "--dump-dom", "--virtual-time-budget=2000")
    assert asked == []
    run(f"<!doctype html><body>{payloads[0]}", "--dump-dom", "--virtual-time-budget=2000")
    assert asked == ["/a"]  # the listener does hear a page that asks


MEASURE = """<script>
const wide = document.documentElement.scrollWidth, visible = document.documentElement.clientWidth;
document.documentElement.setAttribute("data-wide", wide + " " + visible);
</script></body>"""


@pytest.mark.parametrize("width", [1200, 600])
def test_the_page_fits_its_window_also_at_twice_the_size(
    run: Run, example: ModuleType, width: int
) -> None:
    """600 pixels are a window of 1200 at 200% zoom; wide tables scroll inside themselves."""
    statement = PAGES.failed(example)
    statement["predicate"]["propagation"][0]["artefact"] = "x" * 300
    statement["predicate"]["verdict"]["reasons"] = ["y" * 300]
    page = render_html(statement, findings=PAGES.findings(example), **PAGES.COMMANDS)
    page = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", page)
    page = page.replace("</body>", MEASURE)
    match = re.search(
        r'data-wide="(\d+) (\d+)"', run(page, "--dump-dom", f"--window-size={width},900")
    )
    assert match is not None
    wide, visible = map(int, match.groups())
    assert visible <= width
    assert wide <= visible


PHONE = """<script>
addEventListener("load", () => {
  const inner = document.querySelector("iframe").contentDocument;
  const wide = [...inner.querySelectorAll("*")].filter(e => e.clientWidth > 1
    && e.scrollWidth > e.clientWidth + 1 && getComputedStyle(e).overflowX !== "visible");
  document.documentElement.setAttribute("data-phone", inner.documentElement.scrollWidth + " "
    + wide.map(e => e.tagName + "." + e.className).join(",") + ";");
});
</script>"""


@pytest.mark.parametrize("language", LANGUAGES)
def test_on_a_phone_no_table_scrolls_sideways(run: Run, example: ModuleType, language: str) -> None:
    """390 pixels; a window of this browser is 500 at least, so the page is shown in a frame."""
    page = page_of(example, reader=Reader(language=language))
    page = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", page)
    frame = "<iframe style='width:390px;height:3000px;border:0' srcdoc=\"{}\"></iframe>"
    framed = f"<!doctype html><body>{frame.format(html.escape(page))}{PHONE}</body>"
    match = re.search(r'data-phone="(\d+) ([^;]*);', run(framed, "--dump-dom"))
    assert match is not None
    assert (int(match[1]), match[2]) == (390, "")


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("kind", list(PAGES.KINDS))
def test_the_officer_s_part_is_two_pages_of_paper(
    run: Run, example: ModuleType, tmp_path: Path, kind: str, language: str
) -> None:
    from pypdf import PdfReader

    paper = tmp_path / "report.pdf"
    words = {key: " ".join(text.split()) for key, text in catalogue(language).items()}
    page = page_of(example, kind, reader=Reader(language=language))
    run(page, f"--print-to-pdf={paper}", "--no-pdf-header-footer")
    texts = [" ".join(each.extract_text().split()) for each in PdfReader(paper).pages]
    assert words[f"word.{kind}"] in texts[0]
    assert words["sign.signature"] in texts[1]
    assert words["annex"] in texts[2]
    assert "Required measurements" not in " ".join(texts[:2])
    assert min(len(text) for text in texts) > 400  # no page with one row on it


@pytest.mark.parametrize("width", [1200, 600])
def test_comparison_and_index_fit_their_window(run: Run, example: ModuleType, width: int) -> None:
    rows = [
        report_json(make(example), findings=PAGES.findings(example), **PAGES.COMMANDS)
        for make in PAGES.KINDS.values()
    ]
    for page in (render_comparison(rows * 2), render_index(PAGES.index(example))):
        measured = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", page)
        measured = measured.replace("</body>", MEASURE)
        match = re.search(
            r'data-wide="(\d+) (\d+)"', run(measured, "--dump-dom", f"--window-size={width},900")
        )
        assert match is not None
        wide, visible = map(int, match.groups())
        assert wide <= visible <= width


@pytest.mark.parametrize("kind", list(PAGES.KINDS))
def test_the_print_is_a4_starts_with_the_verdict_and_numbers_its_pages(
    run: Run, example: ModuleType, tmp_path: Path, kind: str
) -> None:
    from pypdf import PdfReader

    paper = tmp_path / "report.pdf"
    run(page_of(example, kind), f"--print-to-pdf={paper}", "--no-pdf-header-footer")
    pages = PdfReader(paper).pages
    assert 5 < len(pages) < 25
    for page in pages:
        assert float(page.mediabox.width) == pytest.approx(595, abs=2)
        assert float(page.mediabox.height) == pytest.approx(842, abs=2)
    first = pages[0].extract_text()
    assert kind in first
    assert f"Page 1 of {len(pages)}" in first
    whole = " ".join(page.extract_text() for page in pages)
    assert "10. Reproduce" in whole
    assert whole.count("This model") > 5  # the heads of the tables are repeated


def test_the_print_starts_with_the_verdict_however_much_it_has_to_say(
    run: Run, example: ModuleType, tmp_path: Path
) -> None:
    from pypdf import PdfReader

    statement = PAGES.KINDS["INCONCLUSIVE"](example)
    statement["predicate"]["verdict"]["reasons"] = [f"Reason {n}. " * 40 for n in range(30)]
    paper = tmp_path / "report.pdf"
    page = render_html(statement, findings=PAGES.findings(example), **PAGES.COMMANDS)
    run(page, f"--print-to-pdf={paper}", "--no-pdf-header-footer")
    first, _, annex, *_ = (page.extract_text() for page in PdfReader(paper).pages)
    assert "INCONCLUSIVE" in first
    assert "Reason 0" in annex


# Tables on paper: no wider than a sheet, no row on two of them

PAPER = 695
"""Pixels between the margins of an A4 sheet: 184 of its 210 mm, at 96 to the inch."""
TOO_WIDE = "<table style='width:900px'><tr><td>x</td></tr></table></main>"


def pages_of_tables(example: ModuleType) -> dict[str, str]:
    """Report, comparison and index, without the policy that keeps measurements out."""
    rows = [
        report_json(make(example), findings=PAGES.findings(example), **PAGES.COMMANDS)
        for make in PAGES.KINDS.values()
    ]
    by_name = {
        "report": page_of(example, "FAILED"),
        "comparison": render_comparison(rows),
        "index": render_index(PAGES.index(example)),
    }
    policy = r'<meta http-equiv="Content-Security-Policy"[^>]*>'
    return {name: re.sub(policy, "", page) for name, page in by_name.items()}


def measured(run: Run, page: str) -> tuple[int, int]:
    """How wide a page is and how wide it may be, laid out as for paper."""
    laid_out = page.replace("@media print", "@media all").replace("</body>", MEASURE)
    match = re.search(
        r'data-wide="(\d+) (\d+)"', run(laid_out, "--dump-dom", f"--window-size={PAPER},900")
    )
    assert match is not None
    return int(match[1]), int(match[2])


@pytest.mark.parametrize("name", ["report", "comparison", "index"])
def test_no_table_is_wider_than_a_sheet(run: Run, example: ModuleType, name: str) -> None:
    page = pages_of_tables(example)[name]
    wide, visible = measured(run, page)
    assert wide <= visible <= PAPER
    wide, visible = measured(run, page.replace("</main>", TOO_WIDE))
    assert wide > visible  # the check sees one that is


def marked(page: str) -> str:
    """The page with a number at the begin and the end of every row that belongs together."""
    count = 0

    def mark(match: re.Match[str]) -> str:
        nonlocal count
        count += 1
        begin, end = (f"<i>{sign}{count:04}{sign}</i>" for sign in "QZ")
        row = re.sub(r"(<t[hd][^>]*>)", rf"\1{begin}", match[0], count=1)
        head, closing, rest = row.rpartition("</td>")
        return f"{head}{end}{closing}{rest}"

    page = re.sub(r'<tbody[^>]*>\s*<tr class="head".*?</tbody>', mark, page, flags=re.DOTALL)
    tables = r'(?<=<table class="plain)[^"]*".*?</table>'

    def rows(table: re.Match[str]) -> str:
        return re.sub(r"<tr[^>]*>(?:(?!</tr>).)*</td></tr>", mark, table[0], flags=re.DOTALL)

    return re.sub(tables, rows, page, flags=re.DOTALL)


def cut_rows(run: Run, page: str, paper: Path) -> tuple[int, list[int]]:
    """How many rows there are, and which begin on one sheet and end on another."""
    from pypdf import PdfReader

    run(marked(page), f"--print-to-pdf={paper}", "--no-pdf-header-footer")
    sheets = [re.sub(r"\s", "", sheet.extract_text()) for sheet in PdfReader(paper).pages]
    begin = {int(n): i for i, text in enumerate(sheets) for n in re.findall(r"Q(\d{4})Q", text)}
    end = {int(n): i for i, text in enumerate(sheets) for n in re.findall(r"Z(\d{4})Z", text)}
    shown = begin.keys() & end.keys()
    return len(shown), [n for n in sorted(shown) if begin[n] != end[n]]


@pytest.mark.parametrize("name", ["report", "comparison"])
def test_no_row_of_a_table_is_cut_between_two_sheets(
    run: Run, example: ModuleType, tmp_path: Path, name: str
) -> None:
    page = pages_of_tables(example)[name]
    careless = page.replace("tbody, .plain tr, figure", "figure")
    assert careless != page
    noticed = []
    for spread in ("", "td { padding-bottom: 2rem; }"):  # other rows stand at the edges
        set_so = f"{spread}</style>"
        rows, cut = cut_rows(run, page.replace("</style>", set_so, 1), tmp_path / "paper.pdf")
        assert rows > 30
        assert cut == []
        noticed += cut_rows(run, careless.replace("</style>", set_so, 1), tmp_path / "cut.pdf")[1]
    assert noticed  # the check sees rows that are cut


def test_the_verdict_can_be_read_without_colour(
    run: Run, example: ModuleType, tmp_path: Path
) -> None:
    """In greys the three boxes still differ: other word, other icon."""
    pictures = set()
    for kind in PAGES.KINDS:
        shot = tmp_path / f"{kind}.png"
        grey = page_of(example, kind).replace("</style>", "html{filter:grayscale(1)}</style>", 1)
        run(grey, f"--screenshot={shot}", "--window-size=1200,420")
        pictures.add(base64.b64encode(shot.read_bytes()))
    assert len(pictures) == len(PAGES.KINDS)
