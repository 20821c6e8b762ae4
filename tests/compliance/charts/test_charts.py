"""The pictures: right places, right tables, clean markup, and none where there is no data."""

from __future__ import annotations

import re
import runpy
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

from audits import accuracy, membership, routing
from audits.evidence import Evidence
from audits.observation import Observation
from compliance.charts import charts, classes, depth, overview, strength, svg
from compliance.charts import roc as plots_roc
from compliance.charts.picture import Picture
from compliance.presentation import strip
from compliance.signing import Statement, facts
from compliance.signing.facts import AuditRow, Operator, Predicate

PAGES = SimpleNamespace(**runpy.run_path(str(Path(__file__).parents[1] / "report_examples.py")))


CURVE = {
    "steps": [0, 4, 8],
    "candidate": [0.0, 0.1, 0.5],
    "original": [0.0, 0.3, 0.9],
    "retrained": [[0.0, 0.1, 0.4], [0.0, 0.2, 0.6]],
}
RELEARNING = {"audit": "relearning", "series": {"curves": {"few": CURVE, "retain_only": CURVE}}}


def predicate_of(example: ModuleType) -> Predicate:
    return Statement.of(PAGES.passed(example)).predicate


@pytest.fixture(scope="module")
def drawn(example: ModuleType) -> dict[str, Picture]:
    """All pictures by name."""
    pictures = charts.draw(predicate_of(example), [*PAGES.findings(example), RELEARNING])
    return {**pictures.pop("audits"), **pictures}


def row(**more: Any) -> AuditRow:
    given = {
        "audit": "few_shot",
        "name": "few_shot.1@penultimate",
        "label": "From one image",
        "status": "RUN",
        "value": 0.5,
        "interval": [0.4, 0.6],
        "null": [0.5, 0.6, 0.7],
        "nullMean": 0.6,
        "original": 0.9,
        "difference": -0.1,
        "differenceInterval": [-0.15, -0.05],
        "against": "retrained",
        "margin": {"below": 0.2, "above": 0.1, "atMost": None},
        "required": True,
        "outcome": "within",
    }
    return facts.row(given | more)


def test_every_picture_is_drawn_when_the_data_are_there(drawn: dict[str, Picture]) -> None:
    own = {"accuracy", "routing", "membership", "relearning"}
    assert set(drawn) == {"overview", "strength", "depth"} | own
    assert all(isinstance(picture, Picture) for picture in drawn.values())


def test_a_picture_is_parsable_and_has_one_title_and_one_description(
    drawn: dict[str, Picture],
) -> None:
    for picture in drawn.values():
        root = ElementTree.fromstring(picture.svg)  # noqa: S314  our own
        assert root.tag == "svg"
        assert root.attrib["role"] == "img"
        assert root[0].tag == "title"
        assert root[0].text == picture.title
        assert root[1].tag == "desc"
        assert root[1].text == picture.caption
        assert [e.tag for e in root.iter()].count("title") == 1
        assert [e.tag for e in root.iter()].count("desc") == 1


def test_a_picture_carries_no_address_no_date_and_no_metadata(drawn: dict[str, Picture]) -> None:
    for picture in drawn.values():
        for unwanted in ("http", "xmlns", "metadata", "doctype", "<?xml", "xlink"):
            assert unwanted not in picture.svg.lower()


def test_no_id_is_used_twice_over_all_pictures(drawn: dict[str, Picture]) -> None:
    ids = [x for picture in drawn.values() for x in re.findall(r' id="([^"]+)"', picture.svg)]
    assert len(ids) == len(set(ids))
    for picture in drawn.values():
        own = set(re.findall(r' id="([^"]+)"', picture.svg))
        assert set(re.findall(r'href="#([^"]+)"', picture.svg)) <= own
        assert set(re.findall(r"url\(#([^)]+)\)", picture.svg)) <= own


def test_drawing_twice_gives_the_same_bytes(drawn: dict[str, Picture], example: ModuleType) -> None:
    again = charts.draw(predicate_of(example), PAGES.findings(example))
    assert again["overview"] == drawn["overview"]
    assert again["audits"]["membership"] == drawn["membership"]


def test_importing_the_plots_does_not_import_matplotlib() -> None:
    code = "import sys, compliance.charts.charts; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_global_settings_of_matplotlib_are_left_alone(drawn: dict[str, Picture]) -> None:
    import matplotlib

    assert matplotlib.rcParams["svg.hashsalt"] != svg.SALT
    assert drawn


def test_hostile_names_stay_names_in_every_picture() -> None:
    operators = [
        Operator(name=t, kind=t, strength=(0.5,), separability=(1.0,), relative_change=0.1)
        for t in PAGES.HOSTILE
    ]
    rows = [row(name=f"few_shot.1@{t}") for t in PAGES.HOSTILE]
    entries = [
        {
            "audit": "accuracy",
            "series": {
                "per_class": {
                    "classes": list(PAGES.HOSTILE),
                    "candidate": [0.5] * len(PAGES.HOSTILE),
                }
            },
        }
    ]
    for picture in (
        strength.picture_of(operators),
        overview.picture_of(rows),
        depth.picture_of(rows),
        classes.accuracy(entries),
    ):
        assert picture is not None
        root = ElementTree.fromstring(picture.svg)  # noqa: S314  our own
        tags = {e.tag for e in root.iter()}
        assert tags <= {"svg", "title", "desc", "defs", "style", "g", "path", "use", "text"} | {
            "clipPath",
            "rect",
        }


def test_a_picture_without_data_is_left_out() -> None:
    assert overview.picture_of([]) is None
    assert overview.picture_of([row(required=False)]) is None
    assert overview.picture_of([AuditRow(audit="a", status="NOT_RUN", required=True)]) is None
    assert depth.picture_of([row()]) is None  # one depth is no profile
    assert strength.picture_of([]) is None
    for findings in ([], [{"audit": "accuracy"}], [{"audit": "accuracy", "series": {}}]):
        assert classes.accuracy(findings) is None
        assert classes.routing(findings) is None
        assert plots_roc.picture_of(findings) is None


def test_missing_references_leave_gaps_and_no_invented_values() -> None:
    data = {"classes": [0, 1], "candidate": [0.9, None], "original": [0.8]}
    rows = [{"audit": "accuracy", "series": {"per_class": data}}]
    picture = classes.accuracy(rows)
    assert picture is not None
    assert picture.rows == (("0", 0.9, None, None, None, 0.8), ("1", *(None,) * 5))


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({}, (-0.5, -0.75, -0.25)),
        ({"difference": 0.05, "differenceInterval": [-0.1, 0.2]}, (0.5, -0.5, 2.0)),
        ({"margin": {"below": 0.2, "above": None}}, (-0.5, -0.75, -0.25)),
        ({"margin": {"below": None, "above": 0.1}}, (0.0, 0.0, 0.0)),
        ({"margin": {"atMost": 0.5}}, (1.0, 0.8, 1.2)),
        ({"margin": {}}, None),
        ({"difference": None}, None),
    ],
)
def test_the_overview_counts_in_margins(
    more: dict[str, Any], expected: tuple[float, ...] | None
) -> None:
    position = overview.place(row(**more))
    assert position == (None if expected is None else pytest.approx(expected))


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({}, 2.0),  # original 0.9, mean 0.6, above 0.15
        ({"original": 0.3}, -1.5),
        ({"margin": {"atMost": 0.5}}, 1.8),
        ({"margin": {"below": None, "above": 0.1}, "original": 0.3}, 0.0),
        ({"against": "original"}, None),
        ({"name": "accuracy.retain"}, None),  # what must stay: the original is no case there
        ({"original": None}, None),
        ({"nullMean": None}, None),
    ],
)
def test_the_overview_places_the_original_in_margins_too(
    more: dict[str, Any], expected: float | None
) -> None:
    given = {"margin": {"below": 0.2, "above": 0.15}, "nullMean": 0.6, "original": 0.9}
    position = overview.original(row(**given | more))
    assert position == (None if expected is None else pytest.approx(expected))


def test_the_depth_picture_keeps_the_order_of_the_statement_and_its_numbers() -> None:
    rows = [row(name=f"few_shot.1@{d}", value=v) for d, v in (("conv1", 0.3), ("fc1", 0.5))]
    picture = depth.picture_of(rows)
    assert picture is not None
    assert picture.rows == (
        ("few_shot.1@conv1", 0.3, 0.6, 0.5, 0.7, 0.9),
        ("few_shot.1@fc1", 0.5, 0.6, 0.5, 0.7, 0.9),
    )


def test_many_classes_are_cut_to_those_that_matter() -> None:
    rows = [{"audit": "accuracy", "series": PAGES.per_class(400)}]
    picture = classes.accuracy(rows)
    assert picture is not None
    assert ">398*<" in picture.svg  # the forgotten one
    assert "Drawn are the 40 classes" in picture.caption
    assert len(picture.rows) == 120
    assert picture.left_out == "280 more rows are in findings.json."


def test_a_roc_on_log_axes_starts_above_zero_and_stays_small() -> None:
    grid = [i / 9999 for i in range(10_000)]
    data = {"fpr": grid, "candidate": grid, "original": grid}
    picture = plots_roc.picture_of([{"audit": "membership", "series": {"roc": data}}])
    assert picture is not None
    assert len(picture.svg) < 60_000
    assert len(picture.rows) == 16
    assert picture.rows[-1] == (1.0, 1.0, None, None, None, 1.0)


def test_a_roc_whose_columns_do_not_match_is_not_drawn() -> None:
    data = {"fpr": [0.0, 0.5, 1.0], "candidate": [0.1, 0.2]}
    assert plots_roc.picture_of([{"audit": "membership", "series": {"roc": data}}]) is None


def made_up_evidence() -> Evidence:
    """Random models with six classes: enough for the audits to run and to write their series."""
    generator = np.random.default_rng(0)
    labels = np.arange(180) % 6

    def model(name: str) -> Observation:
        inside, outside = generator.standard_normal((2, 180, 6))
        features = {d: generator.standard_normal((180, 8)) for d in ("body", "penultimate")}
        return Observation(digest=name, train_logits=inside, test_logits=outside, features=features)

    return Evidence(
        original=model("original"),
        candidate=model("candidate"),
        references=tuple(model(f"reference {i}") for i in range(3)),
        train_labels=labels,
        test_labels=labels,
        forget=(2,),
        seed=1,
    )


def test_the_series_of_the_real_audits_fill_the_pictures() -> None:
    evidence = made_up_evidence()
    rows = [audit(evidence).to_json() for audit in (accuracy.audit, routing.audit)]
    rows.append(membership.audit(evidence).to_json())
    assert {f["status"] for f in rows} == {"RUN"}
    per_class, shares = classes.accuracy(rows), classes.routing(rows)
    roc = plots_roc.picture_of(rows)
    assert per_class is not None
    assert shares is not None
    assert roc is not None
    assert [line[0] for line in per_class.rows] == ["0", "1", "2*", "3", "4", "5"]
    assert all(None not in line for line in (*per_class.rows, *shares.rows, *roc.rows))


# The small pictures


def test_the_strip_puts_every_mark_in_the_order_of_its_value() -> None:
    marks = strip.strip(row())
    assert marks is not None
    assert marks["value"] < marks["mean"] < marks["original"]
    assert marks["retrained"] == sorted(marks["retrained"])
    assert marks["sampled"][0] < marks["judged"][0] < marks["value"] < marks["judged"][1]
    assert all(0 <= x <= strip.WIDTH for x in (*marks["sampled"], marks["original"]))


def test_the_strip_shows_the_comparison_that_is_judged() -> None:
    """The bar crosses the edge of the band exactly where the interval crosses the margin."""
    for interval, crosses in (([-0.15, -0.05], False), ([-0.25, 0.05], True)):
        marks = strip.strip(row(differenceInterval=interval))
        assert marks is not None
        assert marks["allowed"]["left_edge"]
        assert (marks["judged"][0] < marks["allowed"]["left"]) is crosses


def test_a_limit_allows_everything_below_it() -> None:
    assert strip.allowed(row(margin={"atMost": 0.05})) == (None, 0.05)
    assert strip.allowed(row(margin={})) == (None, None)
    assert strip.allowed(row(against="original")) == pytest.approx((0.7, 1.0))


def test_equal_points_and_missing_values_still_make_a_strip() -> None:
    same = {"value": 0.0, "interval": [0.0, 0.0], "null": [0.0], "nullMean": 0.0, "original": 0.0}
    marks = strip.strip(row(**same, difference=0.0, differenceInterval=[0.0, 0.0]))
    assert marks is not None
    assert marks["value"] == marks["original"]
    bare = row(null=[], nullMean=None, original=None, difference=None, differenceInterval=None)
    assert strip.strip(bare) is not None
    assert strip.strip(AuditRow(audit="a")) is None
    assert strip.strip(row(value=float("nan"))) is None


@pytest.mark.parametrize("scale", [1e-5, 0.003, 1.0, 7.7, 4e4])
def test_ticks_are_round_inside_the_axis_and_not_too_many(scale: float) -> None:
    for start in (-3.3, 0.0, 1.7):
        ticks = strip.ticks(start * scale, (start + 1) * scale)
        assert 2 <= len(ticks) <= 6
        assert all(start * scale - 1e-12 <= t <= (start + 1) * scale + 1e-12 for t in ticks)
        steps = {round((b - a) / scale, 6) for a, b in pairwise(ticks)}
        assert len(steps) == 1
