"""docs/record.md: what it shows is run, and does what it says."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import click
import pytest
from jsonschema import Draft202012Validator

from compliance.documents.policy import Policy
from compliance.documents.request import parse_request
from compliance.formats import yaml_reader
from compliance.formats.errors import PolicyError
from compliance.formats.validation import check
from compliance.signing import statement
from compliance.verdict import JudgedRow

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "record.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, flags=re.DOTALL)


def parts() -> dict[str, Any]:
    """Blocks of JSON that name the part of the predicate that they show."""
    matches = re.findall(r"```json (\w+)\n(.*?)```", PAGE, flags=re.DOTALL)
    return {name: json.loads(text) for name, text in matches}


def shell(folder: Path) -> subprocess.CompletedProcess[str]:
    (script,) = blocks("sh")
    command = ["bash", "-c", script]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def test_openssl_agrees_with_the_lines_of_the_page(record: Any) -> None:
    output = shell(record.folder).stdout
    assert "Signature Verified Successfully" in output
    assert record.executor.keyid in output


def test_openssl_refuses_a_changed_statement_by_the_same_lines(record: Any) -> None:
    content = json.loads(record.statement.read_bytes())
    content["payload"] = content["payload"].replace("A", "B", 1)
    record.statement.write_text(json.dumps(content))
    assert "Signature Verified Successfully" not in shell(record.folder).stdout


def test_the_request_and_the_policy_of_the_page_are_valid() -> None:
    request, _preprocessing, policy = blocks("yaml")
    assert parse_request(request).forget == (3,)
    assert (
        check(Policy, yaml_reader.parse(policy, "page", PolicyError), PolicyError).name == "own-v1"
    )


@pytest.mark.parametrize("number", range(len(blocks("python"))))
def test_the_python_of_the_page_runs(tmp_path: Path, number: int) -> None:
    code = blocks("python")[number]
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout in ("", "None\n")


def test_securesystemslibs_own_verifier_agrees(record: Any) -> None:
    (code,) = blocks("python independent")
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=record.folder, capture_output=True, text=True, check=True
    )
    assert done.stdout == "1\n"
    assert "compliance" not in code


def test_every_part_of_the_statement_is_shown_as_the_schema_has_it() -> None:
    schema = json.loads((ROOT / "compliance" / statement.SCHEMA).read_bytes())
    predicate = schema["properties"]["predicate"]
    shown = parts() | {"demoKey": True}
    assert set(shown) == set(predicate["required"])
    (frame,) = blocks("json")
    assert set(json.loads(frame)["predicate"]) == set(predicate["required"])
    for name, content in shown.items():
        part = {**predicate["properties"][name], "$defs": schema["$defs"]}
        errors = list(Draft202012Validator(part).iter_errors(content))
        assert not errors, f"{name}: {errors[0].message}"


def test_every_key_of_the_statement_is_explained() -> None:
    """A key that the schema asks for stands in the page, in code or in a block."""
    schema = json.loads((ROOT / "compliance" / statement.SCHEMA).read_bytes())
    missing = [key for key in _keys(schema) if not re.search(rf"[`\"._]{re.escape(key)}\b", PAGE)]
    assert missing == []


def _keys(node: Any) -> set[str]:
    if isinstance(node, dict):
        own = set(node.get("required", [])) if isinstance(node.get("required"), list) else set()
        return own.union(*map(_keys, node.values()))
    return set().union(*map(_keys, node)) if isinstance(node, list) else set()


def test_every_command_of_the_page_exists() -> None:
    from flows.cli.app import app

    for line in re.findall(r"(?:`|\$ |^)(damp [a-z][^`\n|]*)", PAGE, flags=re.MULTILINE):
        words = line.split()[1:]
        command = app.commands.get(words[0])
        assert command is not None, line
        if isinstance(command, click.Group) and len(words) > 1:
            command = command.commands[words[1]]
        names = {name for p in command.params for name in (*p.opts, *p.secondary_opts)}
        for option in re.findall(r"--[a-z-]+", line):
            assert option in names, f"{line}: {option}"


def test_the_row_of_the_page_has_the_keys_of_a_row(example: ModuleType) -> None:
    shown = parts()["audits"][0]
    rows: tuple[JudgedRow, ...] = example.verdict().rows
    (row,) = [r.to_json() for r in rows if r.name == shown["name"]]
    assert shown.keys() == row.keys()
