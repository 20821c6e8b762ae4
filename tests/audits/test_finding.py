import math
import subprocess
import sys

import pytest

import audits
from audits.errors import BadFigure
from audits.finding import Figure, Finding, not_run


def measurement(**changes: object) -> Figure:
    given: dict[str, object] = {
        "name": "few_shot.1@penultimate",
        "label": "Forgotten class from one image",
        "value": 0.5,
        "interval": (0.4, 0.6),
        "null": (0.45, 0.55, 0.5),
        "original": 0.9,
        "difference": 0.0,
        "standard_error": 0.02,
        "degrees_of_freedom": 12.0,
        "against": "retrained",
        "sizes": {"forget_test": 90, "references": 3},
        "standard_error_original": 0.03,
    }
    return Figure(**{**given, **changes})  # type: ignore[arg-type]


def test_a_finding_survives_json() -> None:
    import json

    finding = Finding(
        audit="few_shot",
        question="How ready is it?",
        status="RUN",
        measurements=(measurement(),),
        parameters={"shots": [1, 5], "left_out": {}},
        seed=3,
        series={"depths": {"penultimate": {"shots": [1]}}},
    )
    assert Finding.from_json(json.loads(json.dumps(finding.to_json()))) == finding


@pytest.mark.parametrize("field", ["value", "original", "difference", "standard_error"])
@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_no_measurement_holds_nan_or_infinity(field: str, bad: float) -> None:
    with pytest.raises(BadFigure, match=r"few_shot\.1@penultimate.*leave it out"):
        measurement(**{field: bad})


def test_a_finding_that_did_not_run_says_why() -> None:
    finding = not_run("routing", "Where?", "Two references: train one more.", seed=1)
    assert (finding.status, finding.measurements) == ("NOT_RUN", ())
    with pytest.raises(BadFigure, match="a reason belongs to NOT_RUN"):
        Finding(audit="routing", question="Where?", status="NOT_RUN")
    with pytest.raises(BadFigure, match="a reason belongs to NOT_RUN"):
        Finding(audit="routing", question="Where?", status="RUN", reason="but why")


def test_an_unknown_status_and_unknown_fields_are_refused() -> None:
    with pytest.raises(BadFigure, match="'PASSED'"):
        Finding(audit="routing", question="Where?", status="PASSED")
    content = not_run("routing", "Where?", "why", seed=1).to_json() | {"verdict": "PASSED"}
    with pytest.raises(BadFigure, match="no field verdict"):
        Finding.from_json(content)


def test_reading_findings_needs_none_of_the_heavy_tools() -> None:
    code = (
        "import sys, audits, audits.finding;"
        "print([m for m in ('torch', 'numpy', 'sklearn', 'scipy') if m in sys.modules])"
    )
    process = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert process.stdout.strip() == "[]"


def test_the_audits_themselves_need_no_torch() -> None:
    code = "import sys, audits; audits.AUDITS, audits.Evidence; print('torch' in sys.modules)"
    process = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert process.stdout.strip() == "False"


def test_the_door_is_what_it_says() -> None:
    assert sorted(audits.__all__) == sorted(dir(audits))
    assert all(getattr(audits, name) is not None for name in audits.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        audits.nothing  # noqa: B018


def test_every_audit_is_filed_under_its_own_name() -> None:
    for name, audit in audits.AUDITS.items():
        assert audit.__module__ == f"audits.{name}"


def test_the_old_name_of_a_figure_still_serves_and_warns() -> None:
    with pytest.warns(DeprecationWarning, match=r"audits\.Figure"):
        assert audits.Measurement is Figure


@pytest.mark.parametrize("missing", ["standard_error", "degrees_of_freedom"])
def test_half_an_error_is_none(missing: str) -> None:
    assert measurement().error_of_share(0.5) == (0.02, 12.0)
    assert measurement(**{missing: None}).error_of_share(0.5) is None


def test_a_finding_that_says_nothing_more_has_no_figures_and_the_seed_0():
    plain = Finding(audit="routing", question="Where to?", status="RUN")
    assert (plain.reason, plain.measurements, plain.parameters) == ("", (), {})
    assert (plain.seed, plain.series) == (0, {})
