"""The report as its readers meet it: complete, in order, harmless, and the same each time."""

from __future__ import annotations

import json
import os
import re
import runpy
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from compliance.charts import charts
from compliance.presentation import glossary, palette
from compliance.presentation.glossary import GLOSSARY
from compliance.presentation.numbers import figure, signed, span
from compliance.presentation.palette import COLOURS
from compliance.report.render import render_html, render_markdown, report_json
from compliance.signing import Statement
from compliance.signing.facts import Predicate

HERE = Path(__file__).parents[1]
PAGES = SimpleNamespace(**runpy.run_path(str(HERE / "report_examples.py")))
ROOT = HERE.parents[1]
ALLOWED_TAGS = {
    *("html", "head", "meta", "title", "style", "body", "header", "main", "nav", "section"),
    *("footer", "h1", "h2", "h3", "p", "ul", "ol", "li", "dl", "dt", "dd", "div", "span", "b"),
    *("small", "br", "wbr", "a", "code", "pre", "dfn", "figure", "figcaption", "details"),
    *("summary", "table", "caption", "thead", "tbody", "tr", "th", "td", "svg", "desc", "g"),
    *("path", "rect", "circle", "text", "defs", "use", "clippath"),
}


TEN = (
    *("Verdict", "Asked and done", "Evidence", "Controls", "Coverage", "Limits"),
    *("Attempt history", "Propagation", "Sign-off", "Reproduce"),
)


class Reader(HTMLParser):
    """Tags with attributes, headings, and the text of table rows and of groups of rows."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.headings: list[tuple[int, str]] = []
        self.rows: list[str] = []
        self.groups: list[str] = []
        self.texts: list[str] = []
        self._into: list[str] | None = None
        self._grouped = False
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {k: v or "" for k, v in attrs}))
        if re.fullmatch("h[1-6]", tag):
            self.headings.append((int(tag[1]), ""))
            self._into = []
        if tag == "tr":
            self._into = []
        if tag == "tbody":
            self.groups.append("")
            self._grouped = True

    def handle_endtag(self, tag: str) -> None:
        self._grouped = self._grouped and tag != "tbody"
        if self._into is not None and re.fullmatch("h[1-6]", tag):
            self.headings[-1] = (int(tag[1]), " ".join("".join(self._into).split()))
            self._into = None
        if self._into is not None and tag == "tr":
            self.rows.append(" ".join(" ".join(self._into).split()))
            self._into = None

    def handle_data(self, data: str) -> None:
        self.texts.append(data)
        if self._into is not None:
            self._into.append(data)
        if self._grouped:
            self.groups[-1] += data

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.texts).split())


def render(statement: Any, example: ModuleType, **more: Any) -> str:
    given = {"findings": PAGES.findings(example), **PAGES.COMMANDS} | more
    return render_html(statement, **given)


DRAWN: dict[str, Any] = {}
draw = charts.draw


@pytest.fixture(autouse=True)
def _draw_the_same_pictures_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Most tests change words only; test_plots.py draws anew each time."""

    def remembered(predicate: Predicate, findings: Any) -> Any:
        key = repr([predicate.audits, predicate.method.operators]) + json.dumps(findings)
        if key not in DRAWN:
            DRAWN[key] = draw(predicate, findings)
        return DRAWN[key]

    monkeypatch.setattr(charts, "draw", remembered)


@pytest.fixture(scope="module", params=list(PAGES.KINDS))
def shown(request: pytest.FixtureRequest, example: ModuleType) -> tuple[str, Any, str]:
    """Result, statement and page of each kind of verdict."""
    statement = PAGES.KINDS[request.param](example)
    return request.param, statement, render(statement, example)


@pytest.fixture(scope="module")
def passing(example: ModuleType) -> str:
    """The page of an attempt that passed."""
    return render(PAGES.passed(example), example)


def test_the_ten_parts_stand_in_the_order_of_the_record(shown: tuple[str, Any, str]) -> None:
    parts = [text for level, text in Reader(shown[2]).headings if level == 2]
    assert parts == [
        "Verdict",  # the officer's pages; the rest is their annex
        *(f"{number}. {title}" for number, title in enumerate(TEN, 1)),
        "What this record supports",
        "What the words mean",
    ]


def test_headings_skip_no_level_and_there_is_one_title(shown: tuple[str, Any, str]) -> None:
    levels = [level for level, _ in Reader(shown[2]).headings]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))


def test_the_verdict_is_a_word_an_icon_and_a_colour(shown: tuple[str, Any, str]) -> None:
    result, _, page = shown
    tone = {"PASSED": "good", "FAILED": "bad", "INCONCLUSIVE": "open"}[result]
    box = page[page.index('<section id="verdict"') :][:1200]
    assert f'class="{tone}"' in box
    assert f"<span>{result}</span>" in box
    assert '<svg class="icon"' in box
    assert page.index('id="verdict"') < page.index("<nav")


def test_each_verdict_has_an_icon_of_its_own_shape(example: ModuleType) -> None:
    shapes = set()
    for make in PAGES.KINDS.values():
        page = render(make(example), example)
        shapes.add(page[page.index('<p class="word">') :].split("</svg>")[0])
    assert len(shapes) == 3


def test_what_the_audits_cost_is_shown_and_may_be_missing(example: ModuleType) -> None:
    statement = PAGES.passed(example)
    text = Reader(render(statement, example)).text
    assert "10.2 forward passes over the audits" in text
    assert "9.9 seconds of processor time: similarity 5.2, observe 4.1, few_shot 0.6." in text
    del statement["predicate"]["event"]["cost"]
    assert "forward passes" not in Reader(render(statement, example)).text


def test_reasons_claim_and_limits_are_shown_word_for_word(shown: tuple[str, Any, str]) -> None:
    _, statement, page = shown
    verdict, text = statement["predicate"]["verdict"], Reader(page).text
    powerless, limits = [], []
    for line in verdict["limits"]:  # those without power are one sentence with all their figures
        (powerless if " has no power here: " in line else limits).append(line)
    for line in (verdict["claim"], *verdict["reasons"], *limits):
        assert " ".join(line.split()) in text
    for line in powerless:
        name, chance = line.split()[0], line.removesuffix(" only.").split()[-1]
        assert f"{name} would detect the original with a chance of {chance}" in text or (
            f"{name} of {chance}" in text
        )


def test_every_row_is_there_with_all_its_figures(shown: tuple[str, Any, str]) -> None:
    _, statement, page = shown
    groups = Reader(page).groups
    for row in statement["predicate"]["audits"]:
        if row["status"] != "RUN":
            continue
        line = next(g for g in groups if row["name"] in g and row["label"] in g)
        assert figure(row["value"]) in line
        assert span(row["interval"]) in line
        assert figure(row["nullMean"]) in line
        assert figure(row["original"]) in line
        assert signed(row["difference"]) in line
        assert span(row["differenceInterval"], sign=True) in line
        assert ("required" in line) is row["required"]
        assert _outcome_words(row) in line


def _outcome_words(row: dict[str, Any]) -> str:
    words = {"within": "within", "outside": "outside", "undecided": "cannot tell"}
    return words.get(row["outcome"], "for information")


def test_what_was_not_run_is_shown_with_its_reason(example: ModuleType) -> None:
    statement = PAGES.inconclusive(example)
    missing = [r for r in statement["predicate"]["audits"] if r["status"] == "NOT_RUN"]
    assert missing
    text = Reader(render(statement, example)).text
    for row in missing:
        assert row["reason"] in text
    assert text.count("not run") >= 2  # under the audit and under coverage


def test_figures_that_an_audit_left_out_stand_under_coverage(passing: str) -> None:
    text = Reader(passing).text
    assert "needs 1000 images outside training, got 90" in text


def test_shadow_models_are_an_attack_outside_the_plan_only_where_none_was_run(
    example: ModuleType,
) -> None:
    statement = PAGES.passed(example)
    outside = "Membership with shadow models (RMIA, LiRA)"
    assert outside in Reader(render(statement, example)).text
    rows = statement["predicate"]["audits"]
    (attack,) = [row for row in rows if row["name"] == "membership.forget.entropy"]
    rows.append(attack | {"name": "membership.forget.lira"})
    assert outside not in Reader(render(statement, example)).text


def test_every_control_is_shown_with_expected_and_found(shown: tuple[str, Any, str]) -> None:
    _, statement, page = shown
    for control in statement["predicate"]["controls"]:
        line = next(x for x in Reader(page).rows if x.startswith(control["name"]))
        assert control["found"] in line
        assert ("not as expected" in line) is not control["asExpected"]


def test_a_demo_key_is_named_in_the_verdict_box_and_only_then(example: ModuleType) -> None:
    statement = PAGES.passed(example)
    boxes = []
    for demo in (True, False):
        statement["predicate"]["demoKey"] = demo
        page = render(statement, example)
        boxes.append(page[page.index('id="verdict"') : page.index("<nav")])
    assert "Demonstration key." in boxes[0]
    assert "Demonstration" not in boxes[1]


def test_an_edit_of_the_last_layer_only_is_named_in_the_verdict_box(example: ModuleType) -> None:
    statement = PAGES.passed(example)
    assert "Only the last layer was changed" not in render(statement, example)
    statement["predicate"]["method"]["headOnly"] = True
    assert "Only the last layer was changed" in render(statement, example)


@pytest.mark.parametrize(
    ("kind", "older", "words"),
    [
        ("head_refit", "mended", "fitted anew, so that its rows for the classes to keep"),
        ("low_rank_update", "rewritten", "updated against what was left of the classes"),
    ],
)
def test_a_layer_repaired_beside_the_cuts_is_shown_in_every_form(
    example: ModuleType, kind: str, older: str, words: str
) -> None:
    statement = PAGES.passed(example)
    method = statement["predicate"]["method"]
    assert words not in render(statement, example)
    method["repairs"] = [{"kind": kind, "layer": "layer4.conv2"}]
    shown = statement_in_every_form(statement, example)
    assert f"layer layer4.conv2 {words}" in shown
    assert f"Layer `layer4.conv2` {words}" in shown
    del method["repairs"]  # as in statements of before
    method[older] = "layer4.conv2"
    assert statement_in_every_form(statement, example) == shown
    del method[older]  # as in the first ones
    assert words not in statement_in_every_form(statement, example)


def test_a_preset_that_stood_in_is_named_with_its_reason_in_every_form(
    example: ModuleType,
) -> None:
    statement = PAGES.passed(example)
    assert "stood in" not in statement_in_every_form(statement, example)
    reason = "class 3 has 9 rows, too few"
    statement["predicate"]["method"]["standIn"] = {"preset": "mended", "reason": reason}
    words = f"stood in for the one that was asked for, because {reason}"
    shown = statement_in_every_form(statement, example)
    assert f"preset mended {words}" in shown
    assert f"Preset `mended` {words}" in shown


def statement_in_every_form(statement: Any, example: ModuleType) -> str:
    page = report_json(statement, findings=PAGES.findings(example), **PAGES.COMMANDS)
    return Reader(render(statement, example)).text + render_markdown(page)


def test_a_record_that_contradicts_itself_is_called_so(example: ModuleType) -> None:
    statement = PAGES.failed(example)
    assert "contradicts itself" not in render(statement, example)
    statement["predicate"]["verdict"]["result"] = "PASSED"
    assert "contradicts itself" in render(statement, example)


def test_attempts_missing_from_the_record_are_noticed(example: ModuleType) -> None:
    statement = PAGES.failed(example)
    statement["predicate"]["event"]["attempt"] = 4
    assert "2 earlier attempts are missing" in Reader(render(statement, example)).text


def test_low_power_is_said_where_it_matters(example: ModuleType) -> None:
    statement = PAGES.passed(example)
    rows = {r["name"]: r for r in statement["predicate"]["audits"] if r.get("name")}
    for row in rows.values():
        row["power"] = {"acceptRetrained": 0.9, "detectOriginal": 0.99}
    assert "Low power" not in render(statement, example)
    rows["accuracy.retain"]["power"]["detectOriginal"] = 0.0  # the original is no leak here
    assert "Low power" not in render(statement, example)
    rows["membership.forget.loss"]["power"]["detectOriginal"] = 0.0
    assert "Low power" in render(statement, example)


def test_the_verdict_box_says_how_many_measurements_could_have_noticed(
    example: ModuleType,
) -> None:
    statement = PAGES.passed(example)
    rows = [r for r in statement["predicate"]["audits"] if r.get("required")]
    for row in rows:
        row["power"]["detectOriginal"] = 0.9
    rows[-1]["power"]["detectOriginal"] = 0.2
    text = Reader(render(statement, example)).text
    able, total = len(rows) - 1, len(rows)
    assert f"{able} of the {total} required measurements could have shown the original" in text
    assert f"1 looks for the class and hardly could : {rows[-1]['label']}" in text


@pytest.mark.parametrize("weak", [0, 1, 3])
def test_claim_first_page_and_annex_count_the_same_measurements(
    example: ModuleType, weak: int
) -> None:
    statement = PAGES.passed(example)
    required = [r for r in statement["predicate"]["audits"] if r.get("required")]
    for row in required:
        row["power"]["detectOriginal"] = 0.95
    for row in required[:weak]:
        row["power"]["detectOriginal"] = 0.1
    able, total = len(required) - weak, len(required)
    text = Reader(render(statement, example)).text
    assert f"{able} of the {total} required measurements could have shown the original" in text
    first = f"{able} of the {total} required measurements could have recognised a model"
    assert (first in text) is (weak > 0)
    assert f"{total} of {total} within their margin" in text


@pytest.mark.parametrize(
    ("finished", "result", "words"),
    [
        ("2026-09-20T08:04:02Z", "PASSED", "On course"),
        ("2026-09-20T08:04:02Z", "FAILED", "Not yet"),
        ("2026-11-01T00:00:00Z", "PASSED", "No, late"),
    ],
)
def test_the_deadline_is_answered(
    example: ModuleType, finished: str, result: str, words: str
) -> None:
    statement = PAGES.passed(example)
    statement["predicate"]["event"]["finishedAt"] = finished
    statement["predicate"]["verdict"]["result"] = result
    assert words in Reader(render(statement, example)).text


def test_sober_words_stand_on_every_page_and_bold_ones_nowhere(shown: tuple[str, Any, str]) -> None:
    text = Reader(shown[2]).text.lower()
    assert "evidence against the attacks listed" in text
    assert "does not satisfy an order to delete the model" in text
    assert "not legal advice" in text
    for word in ("anonymous", "compliant", "guarantee", "proves that", "safe "):
        assert word not in text


def test_a_page_can_be_made_without_registration_keeping_or_pictures(example: ModuleType) -> None:
    statement = PAGES.passed(example)
    predicate = statement["predicate"]
    predicate |= {"registration": None, "propagation": [], "byproducts": []}
    predicate["retention"] = {"keepUntil": None, "reauditDue": None}
    predicate["request"]["verifiedBy"] = None
    predicate["inputs"]["modelBefore"]["registry"] = None
    predicate["inputs"]["code"] |= {"revision": None, "dirty": None}
    predicate["method"] |= {"operators": [], "skipped": [], "recalibrated": []}
    for row in predicate["audits"]:
        row |= {"null": [], "nullMean": None, "nullSd": None, "original": None}
        row |= {"difference": None, "differenceInterval": None, "against": "none"}
    page = render(statement, example, findings=[])
    assert "No artefact is recorded" in page
    assert "None" not in re.sub(r"None (known|of|:)|None: ", "", Reader(page).text)


@pytest.mark.parametrize(
    ("method", "words"), [("retrain", "trained anew, without the class"), ("other", "not known")]
)
def test_a_model_whose_layers_are_not_listed_is_not_said_to_be_unchanged(
    example: ModuleType, method: str, words: str
) -> None:
    statement = PAGES.passed(example)
    statement["predicate"]["method"] |= {"name": method, "operators": []}
    assert words in Reader(render(statement, example)).text


RENEWED = {
    "trainings": [
        {"start": "conv2", "operators": ["conv2", "fc1", "fc2"], "epochs": 10, "operations": 9},
        {"start": "fc1", "operators": ["fc1", "fc2"], "epochs": 30, "operations": 1},
    ],
    "skips": False, "recalibrated": ["bn1"], "seed": 3002, "rows": 807, "augmentation": "none",
    "operations": 10, "retraining": 40, "accuracy": [0.99, 0.985], "share": 0.25,
}  # fmt: skip
ATTEMPTS = {
    "place": 3,
    "declared": ["mended", "renewed", "retrain"],
    "level": 0.05 / 3,
    "skipped": [{"preset": "renewed", "reason": "The model has 2 layers that mix features."}],
    "costs": [
        {"attempt": 1, "operations": 4, "retrainingOperations": 40, "share": 0.1, "seconds": 2.5,
         "retrainingSeconds": None},
        {"attempt": 2, "operations": None, "retrainingOperations": 40, "share": None,
         "seconds": 3.5, "retrainingSeconds": 9.0},
    ],
}  # fmt: skip


@pytest.mark.parametrize("markdown", [False, True])
def test_the_attempts_that_were_declared_are_told_with_what_each_took(
    example: ModuleType, markdown: bool
) -> None:
    def page_of(statement: Any) -> str:
        if markdown:
            given = {"findings": PAGES.findings(example), **PAGES.COMMANDS}
            return render_markdown(report_json(statement, **given))
        return Reader(render(statement, example)).text

    statement = PAGES.passed(example)
    statement["predicate"]["event"]["attempts"] = ATTEMPTS
    page = page_of(statement)
    assert "mended, renewed, retrain" in page
    assert "number 3" in page
    assert "The model has 2 layers that mix features." in page
    assert "not counted" in page
    assert "policy declared" not in page_of(PAGES.passed(example))


def test_a_renewed_top_is_told_in_a_sentence(example: ModuleType) -> None:
    statement = PAGES.passed(example)
    statement["predicate"]["method"] |= {"name": "renewed", "operators": [], "renewed": RENEWED}
    text = Reader(render(statement, example)).text
    assert "on the 807 rows to keep for 10 epochs from conv2 on, then 30 epochs from fc1 on" in text
    assert "no row to forget gave a gradient" in text


def test_signatures_and_awaited_ones_are_told_apart(example: ModuleType) -> None:
    signatures = [{"role": "executor", "keyId": "ab" * 32}, {"role": "reviewer", "keyId": None}]
    page = render(PAGES.failed(example), example, signatures=signatures)
    lines = Reader(page).rows
    assert any("executor" in x and "ab" * 32 in x for x in lines)
    assert any("reviewer" in x and "not signed yet" in x for x in lines)
    assert "awaited: reviewer" in Reader(page).text


# What the page must not do


def test_the_page_runs_nothing_loads_nothing_and_names_no_address(
    shown: tuple[str, Any, str],
) -> None:
    page = shown[2]
    assert "http://" not in page
    assert "https://" not in page
    assert "//" not in re.sub(r"//-->", "", page)
    tags = Reader(page).tags
    assert {tag for tag, _ in tags} <= ALLOWED_TAGS
    for _, attributes in tags:
        assert not [k for k in attributes if k.startswith("on") or k in ("src", "srcset", "action")]
        assert attributes.get("href", "#").startswith("#")
    assert "@import" not in page
    assert set(re.findall(r"url\(.", page)) <= {"url(#"}


def test_the_policy_of_the_page_forbids_everything_but_its_own_style(passing: str) -> None:
    head = passing[: passing.index("<style>")]
    policy = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
    assert f'<meta http-equiv="Content-Security-Policy" content="{policy}' in head
    assert '<html lang="en">' in head


def texts(node: Any) -> Iterator[tuple[Any, Any]]:
    """Every place of a JSON tree that holds free text, as container and key."""
    items = node.items() if isinstance(node, dict) else enumerate(node)
    for key, value in list(items):
        if isinstance(value, str):
            yield node, key
        elif isinstance(value, dict | list):
            yield from texts(value)


KEPT = {
    *("result", "status", "outcome", "found", "expected", "verdict", "assurance", "against"),
    *("audit", "dueAt", "finishedAt", "regulation", "_type", "predicateType", "sha256"),
}


@pytest.fixture(scope="module")
def drawn(example: ModuleType) -> dict[str, Any]:
    """Pictures drawn once; test_plots.py gives hostile names to the pictures themselves."""
    return charts.draw(Statement.of(PAGES.passed(example)).predicate, PAGES.findings(example))


@pytest.mark.parametrize("text", PAGES.HOSTILE, ids=range(len(PAGES.HOSTILE)))
def test_hostile_text_stays_text_wherever_it_stands(
    example: ModuleType, drawn: dict[str, Any], monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.setattr(charts, "draw", lambda *_: drawn)
    statement, findings = PAGES.inconclusive(example), PAGES.findings(example)
    places = [(n, k) for n, k in texts([statement, findings]) if k not in KEPT]
    for node, key in places:
        node[key] = text
    statement["predicate"]["method"]["parameters"][text] = text
    statement["predicate"]["inputs"]["environment"]["packages"][text] = text
    findings[2]["parameters"]["left_out"] = {text: text}
    assert len(places) > 150
    reader = Reader(render(statement, example, findings=findings, verify_command=text))
    assert {tag for tag, _ in reader.tags} <= ALLOWED_TAGS
    for _, attributes in reader.tags:
        assert not [k for k in attributes if k.startswith("on") or k in ("src", "action")]
        assert attributes.get("href", "#").startswith("#")
        assert "position" not in attributes.get("style", "")


def test_invisible_and_turning_signs_are_spelled_out(example: ModuleType) -> None:
    statement = PAGES.passed(example)
    statement["predicate"]["propagation"][0]["artefact"] = "\u202eDETELED\x1b\ud800"
    page = render(statement, example)
    assert "\\u202eDETELED\\u001b\\ud800" in page
    assert "\u202e" not in page
    page.encode("utf-8")


def test_what_stands_between_backticks_is_set_as_code(example: ModuleType) -> None:
    statement = PAGES.passed(example)
    statement["predicate"]["propagation"][0]["note"] = "run `dvc gc <x>` there"
    assert "run <code>dvc gc &lt;x&gt;</code> there" in render(statement, example)


def test_the_digests_of_the_report_itself_are_left_out_so_that_it_can_be_made_again(
    example: ModuleType,
) -> None:
    statement = PAGES.passed(example)
    before = render(statement, example)
    for name in ("report.html", "report.json"):
        statement["predicate"]["byproducts"].append({"name": name, "sha256": "ab" * 32})
    assert render(statement, example) == before


# Size and sameness


def test_the_page_stays_under_a_megabyte_for_a_large_network(example: ModuleType) -> None:
    statement, findings = PAGES.passed(example), PAGES.findings(example)
    predicate = statement["predicate"]
    operator = predicate["method"]["operators"][0]
    predicate["method"]["operators"] = [operator | {"name": f"block.{i}"} for i in range(300)]
    judged = [r for r in predicate["audits"] if r["status"] == "RUN"]
    predicate["audits"] = [
        row | {"name": f"{row['name']}.{i}", "null": row["null"] * 4}
        for i in range(4)
        for row in judged
    ]
    findings[0]["series"] = PAGES.per_class(1000)
    page = render(statement, example, findings=findings)
    assert len(page.encode()) < 1_000_000
    assert "more rows are in findings.json" in page


SAME = """
import hashlib, importlib.util, pathlib, runpy, sys
here = pathlib.Path(sys.argv[1])
spec = importlib.util.spec_from_file_location("example", here / "example.py")
example = importlib.util.module_from_spec(spec)
sys.modules["example"] = example
spec.loader.exec_module(example)
pages = runpy.run_path(str(here / "report_examples.py"))
from compliance.report.render import render_html
page = render_html(pages["passed"](example), findings=pages["findings"](example),
                   **pages["COMMANDS"])
print(hashlib.sha256(page.encode()).hexdigest())
"""


def in_new_process(code: str, *arguments: str, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        env={**os.environ, **environment},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_the_same_input_gives_the_same_bytes_in_another_process_and_under_other_settings(
    passing: str, tmp_path: Path
) -> None:
    import hashlib

    (tmp_path / "matplotlibrc").write_text("font.size: 23\nsvg.hashsalt: other\n")
    digest = in_new_process(
        SAME, str(HERE), PYTHONHASHSEED="7", TZ="Asia/Tokyo", MATPLOTLIBRC=str(tmp_path)
    )
    assert digest == hashlib.sha256(passing.encode()).hexdigest()


def test_importing_the_report_loads_no_heavy_library() -> None:
    heavy = ("torch", "matplotlib", "jinja2", "sklearn", "mlflow", "prefect", "numpy")
    code = f"import sys, compliance.report.render; print([m for m in {heavy} if m in sys.modules])"
    assert in_new_process(code) == "[]"


# For every reader


def test_text_has_a_contrast_of_four_and_a_half_and_marks_of_three() -> None:
    assert palette.contrast("#000000", "#ffffff") == 21
    assert palette.contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)
    for ink, paper in palette.TEXT_PAIRS:
        assert palette.contrast(COLOURS[ink], COLOURS[paper]) >= 4.5, (ink, paper)
    for mark, paper in palette.MARK_PAIRS:
        assert palette.contrast(COLOURS[mark], COLOURS[paper]) >= 3, (mark, paper)


def test_style_and_pictures_use_no_colour_outside_the_palette(passing: str) -> None:
    written = (ROOT / "compliance/templates/report.css").read_text()
    assert not re.findall(r"#[0-9a-fA-F]{3,8}\b(?![^{]*\{)", written.replace("#verdict", ""))
    assert set(re.findall(r"var\(--([a-z-]+)\)", passing)) <= set(COLOURS)
    inks = {c for c in COLOURS if f"color: var(--{c})" in written.replace("-color: var", "")}
    assert inks <= {ink for ink, _ in palette.TEXT_PAIRS}
    body = passing[passing.index("<body>") :]
    assert {c.lower() for c in re.findall(r"#[0-9a-fA-F]{6}\b", body)} <= set(COLOURS.values())


def test_ids_are_unique_and_every_reference_leads_somewhere(shown: tuple[str, Any, str]) -> None:
    tags = Reader(shown[2]).tags
    ids = [a["id"] for _, a in tags if "id" in a]
    assert len(ids) == len(set(ids))
    for _, attributes in tags:
        for key in ("aria-labelledby", "aria-describedby"):
            assert set(attributes.get(key, "").split()) <= set(ids)
        if "href" in attributes:
            assert attributes["href"][1:] in ids
        assert set(re.findall(r"url\(#([^)]+)\)", " ".join(attributes.values()))) <= set(ids)


def test_every_picture_has_one_title_and_one_description(shown: tuple[str, Any, str]) -> None:
    pictures = re.findall(r"<svg.*?</svg>", shown[2], flags=re.S)
    rows = [p for p in pictures if 'aria-hidden="true"' not in p.split(">")[0]]
    assert len(rows) > 10
    for picture in rows:
        assert 'role="img"' in picture.split(">")[0]
        assert len(re.findall(r"<title id=[^>]*>[^<]+</title>", picture)) == 1
        assert len(re.findall(r"<desc id=[^>]*>[^<]+</desc>", picture)) == 1


def test_tables_have_captions_and_scoped_headers(shown: tuple[str, Any, str]) -> None:
    page = shown[2]
    assert page.count("<caption>") == page.count("<table")
    for tag, attributes in Reader(page).tags:
        if tag == "th":
            assert attributes["scope"] in ("col", "row", "rowgroup")


def test_larger_pictures_have_their_table_and_are_six_at_most(passing: str) -> None:
    figures = re.findall(r"<figure>.*?</figure>", passing, flags=re.S)
    assert len(figures) == 6
    assert all("<table" in f and "<details" in f and "<figcaption>" in f for f in figures)


def test_every_word_of_the_glossary_is_on_the_page_and_in_the_documentation(passing: str) -> None:
    text, table = Reader(passing).text, (ROOT / "docs/glossary.md").read_text()
    for term, meaning in GLOSSARY.values():
        assert " ".join(meaning.split()) in text
        assert f"| {term} | {meaning} |" in table


def test_the_glossary_in_the_documentation_says_each_term_once() -> None:
    page = (ROOT / "docs/glossary.md").read_text()
    assert page == glossary.as_markdown()
    named = [term.term.lower() for term in glossary.terms()]
    assert named == sorted(set(named))
    assert len({term.id for term in glossary.terms()}) == len(named)


# For machines


def test_the_json_says_what_the_page_says(shown: tuple[str, Any, str], example: ModuleType) -> None:
    result, statement, _ = shown
    page = report_json(statement, findings=PAGES.findings(example), **PAGES.COMMANDS)
    assert json.loads(json.dumps(page, allow_nan=False)) == page
    assert page["verdict"]["result"] == result
    named = {r["name"] for audit in page["evidence"] for r in audit["rows"] + audit["notRun"]}
    assert named == {r.get("name") for r in statement["predicate"]["audits"]}
    required = [r for r in statement["predicate"]["audits"] if r.get("required")]
    assert page["verdict"]["required"]["total"] == len(required)


def test_making_a_report_leaves_its_input_alone(example: ModuleType) -> None:
    statement, findings = PAGES.passed(example), PAGES.findings(example)
    before = json.dumps([statement, findings])
    render(statement, example, findings=findings)
    assert json.dumps([statement, findings]) == before
