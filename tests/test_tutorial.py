"""docs/tutorial.md: what it tells the reader to type is typed here, in a folder of its own."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[1] / "docs" / "tutorial.md"
BLOCK = re.compile(r"```(sh|python|yaml)\n(.*?)```", flags=re.DOTALL)


@pytest.mark.long
@pytest.mark.timeout(900)
def test_the_tutorial_does_what_it_says(tmp_path: Path) -> None:
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = os.environ | {"PATH": path, "HOME": str(tmp_path / "home")}
    told = ""
    for language, code in BLOCK.findall(PAGE.read_text()):
        if language != "sh":
            name = re.match(r"# file: (\S+)", code)
            assert name is not None, "what is no command names its file"
            (tmp_path / name[1]).write_text(code)
            continue
        done = subprocess.run(
            ["bash", "-euc", code], cwd=tmp_path, env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, f"{code}\n{done.stdout}\n{done.stderr}"
        told += done.stdout
    assert "valid, and the verdict is" in told
    decided = _status(tmp_path)
    assert len(decided) == 2
    assert {event["verdict"] for event in decided} <= {"PASSED", "FAILED", "INCONCLUSIVE"}
    assert all(Path(str(event["report"])).is_file() for event in decided)


def _status(folder: Path) -> list[dict[str, object]]:
    command = [sys.executable, "-m", "flows", "--home", str(folder / ".damp"), "status"]
    done = subprocess.run([*command, "--json"], capture_output=True, text=True, check=True)
    found: list[dict[str, object]] = json.loads(done.stdout)
    return found
