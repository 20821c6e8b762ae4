"""What Prefect has kept of a step is read as plain JSON: it never says how it wants to be read."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

KEPT = """
import json, sys
from pathlib import Path
mark, kind, is_ours = Path(sys.argv[1]), sys.argv[2], sys.argv[3] == "ours"
if is_ours:
    from flows.state.settings import prepare_environment
    prepare_environment(mark.parent)
import base64, cloudpickle
from prefect.results import ResultRecord
class Runs:
    def __reduce__(self):
        return (open, (str(mark), "w"))
def pickled(value):
    return base64.encodebytes(cloudpickle.dumps(value)).decode()
kinds = {
    "pickle": ({"type": "pickle"}, pickled(Runs())),
    "class": ({"type": "json"}, json.dumps(
        {"__class__": "subprocess.getoutput", "data": {"cmd": f"touch {mark}"}})),
    "library": ({"type": "json", "jsonlib": "theirs", "object_decoder": None}, "{}"),
    "plain": ({"type": "json"}, json.dumps({"a": [1, None]})),
}
(mark.parent / "theirs.py").write_text(f"def loads(*a, **k): open({str(mark)!r}, 'w')")
sys.path.append(str(mark.parent))
serializer, result = kinds[kind]
content = {"metadata": {"storage_key": "k", "expiration": None, "serializer": serializer},
           "result": result}
try:
    print(json.dumps(ResultRecord.deserialize(json.dumps(content).encode()).result))
except Exception as error:
    print(type(error).__name__, error)
"""


def kept(folder: Path, kind: str, whose: str) -> tuple[str, bool]:
    """What is read of a kept result of some kind, and whether code of it ran."""
    mark = folder / "ran"
    command = [sys.executable, "-c", KEPT, str(mark), kind, whose]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return done.stdout.strip(), mark.exists()


@pytest.mark.parametrize("kind", ["pickle", "class", "library"])
def test_a_kept_result_runs_no_code(tmp_path: Path, kind: str) -> None:
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    for folder in (ours, theirs):
        folder.mkdir()
    assert kept(theirs, kind, "theirs")[1]  # Prefect by itself does: the watch sees it
    said, ran = kept(ours, kind, "ours")
    assert not ran
    if kind == "pickle":
        assert "which can run code" in said


def test_what_damp_keeps_is_read_as_it_was(tmp_path: Path) -> None:
    assert kept(tmp_path, "plain", "ours") == ('{"a": [1, null]}', False)
