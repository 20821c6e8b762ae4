"""docs/record.md: what it shows is run, and does what it says."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from compliance import yamlfile
from compliance.documents import check
from compliance.errors import PolicyError
from compliance.policy import Policy
from compliance.request import parse_request
from compliance.rows import JudgedRow

PAGE = (Path(__file__).parents[2] / "docs" / "record.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, flags=re.DOTALL)


def shell(folder: Path) -> subprocess.CompletedProcess[str]:
    (script,) = blocks("sh")
    command = ["bash", "-c", script]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def test_openssl_agrees_with_the_lines_of_the_page(desk: Any) -> None:
    told = shell(desk.folder).stdout
    assert "Signature Verified Successfully" in told
    assert desk.executor.keyid in told


def test_openssl_refuses_a_changed_statement_by_the_same_lines(desk: Any) -> None:
    told = json.loads(desk.statement.read_bytes())
    told["payload"] = told["payload"].replace("A", "B", 1)
    desk.statement.write_text(json.dumps(told))
    assert "Signature Verified Successfully" not in shell(desk.folder).stdout


def test_the_request_and_the_policy_of_the_page_are_valid() -> None:
    request, policy = blocks("yaml")
    assert parse_request(request).forget == (3,)
    assert check(Policy, yamlfile.parse(policy, "page", PolicyError), PolicyError).name == "own-v1"


@pytest.mark.parametrize("number", range(len(blocks("python"))))
def test_the_python_of_the_page_runs(tmp_path: Path, number: int) -> None:
    code = blocks("python")[number]
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout in ("", "None\n")


def test_the_row_of_the_page_has_the_keys_of_a_row(example: ModuleType) -> None:
    shown = json.loads(blocks("json")[1])
    rows: tuple[JudgedRow, ...] = example.verdict().rows
    (row,) = [r.to_json() for r in rows if r.name == shown["name"]]
    assert shown.keys() == row.keys()
