"""The tutorials: what they tell the reader to type is typed here, in a folder of its own."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from compliance.signing.envelope import decoded

DOCS = Path(__file__).parents[1] / "docs"
BLOCK = re.compile(r"```(sh|python|yaml)\n(.*?)```", flags=re.DOTALL)


@pytest.mark.long
@pytest.mark.timeout(900)
def test_the_tutorial_does_what_it_says(tmp_path: Path) -> None:
    output = _typed(DOCS / "tutorial.md", tmp_path)
    assert "valid, and the verdict is" in output
    decided = _status(tmp_path)
    assert len(decided) == 2
    assert {event["verdict"] for event in decided} <= {"PASSED", "FAILED", "INCONCLUSIVE"}
    assert all(Path(str(event["report"])).is_file() for event in decided)


@pytest.mark.long
@pytest.mark.timeout(900)
def test_a_claim_of_another_method_is_audited_and_does_not_pass(tmp_path: Path) -> None:
    output = _typed(DOCS / "tutorial-audit-a-claim.md", tmp_path)
    assert "edited: digit 3 0%" in output
    assert "valid, and the verdict is FAILED" in output
    (event,) = _status(tmp_path)
    assert (event["verdict"], event["state"]) == ("FAILED", "closed")
    assert "damp" not in "".join((tmp_path / f).read_text() for f in ("theirs.py", "forget.py"))


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_a_folder_of_photographs_leads_to_a_signed_report(tmp_path: Path) -> None:
    output = _typed(DOCS / "tutorial-photographs.md", tmp_path)
    assert "4 classes, 352 training and 88 held-out images" in output
    assert "Preprocessing (given): 32x32, 3 channels, bilinear" in output
    assert "valid, and the verdict is" in output
    (event,) = _status(tmp_path)
    assert event["verdict"] in {"PASSED", "FAILED", "INCONCLUSIVE"}
    (envelope,) = (tmp_path / ".damp" / "events").glob("*/attempt-1/statement.dsse.json")
    predicate = decoded(envelope)["predicate"]
    preprocessing = predicate["inputs"]["modelBefore"]["preprocessing"]
    assert (preprocessing["spec"]["resize"], preprocessing["spec"]["crop"]) == (36, 32)
    assert any(
        "start from the weights pretrained" in each for each in predicate["verdict"]["limits"]
    )
    assert any(each["artefact"] == "decoded images" for each in predicate["propagation"])


@pytest.mark.long
@pytest.mark.timeout(5400)
def test_a_queue_of_requests_runs_under_one_qualification(tmp_path: Path) -> None:
    """The ledger draws the classes: a study that does not qualify is an honest end, and entered."""
    output = _typed(DOCS / "tutorial-qualification.md", tmp_path, may_end="not qualified")
    entries = (tmp_path / ".damp" / "ledger.jsonl").read_text()
    assert entries.count('"kind":"qualification_signed"') == 1
    if "not qualified" in output:
        return
    events = _status(tmp_path)
    assert len(events) == 3
    assert {event["verdict"] for event in events} <= {"PASSED", "FAILED", "INCONCLUSIVE"}
    assert "not compared with retrained models" in output
    statements = (tmp_path / ".damp" / "events").glob("*/attempt-*/statement.dsse.json")
    for envelope in statements:
        predicate = decoded(envelope)["predicate"]
        assert predicate["verdict"]["assurance"] == "L2"
        assert predicate["qualification"]["classes"] == 5
        assert predicate["auditPlan"]["expectedPower"]["references"] == {}


def _typed(page: Path, tmp_path: Path, *, may_end: str = "") -> str:
    """Write the page's files and run its commands; what they said.

    Args:
        may_end: What a command says that may end the page with exit code 2.
    """
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = os.environ | {"PATH": path, "HOME": str(tmp_path / "home")}
    output = ""
    for language, code in BLOCK.findall(page.read_text()):
        if language != "sh":
            name = re.match(r"# file: (\S+)", code)
            assert name is not None, "what is no command names its file"
            (tmp_path / name[1]).write_text(code)
            continue
        done = subprocess.run(
            ["bash", "-euc", code], cwd=tmp_path, env=environment, capture_output=True, text=True
        )
        output += done.stdout
        if may_end and may_end in done.stdout and done.returncode == 2:
            return output
        assert done.returncode == 0, f"{code}\n{done.stdout}\n{done.stderr}"
    return output


def _status(folder: Path) -> list[dict[str, object]]:
    command = [sys.executable, "-m", "flows", "--home", str(folder / ".damp"), "status"]
    done = subprocess.run([*command, "--json"], capture_output=True, text=True, check=True)
    content: list[dict[str, object]] = json.loads(done.stdout)
    return content
