"""Findings of the study travel with the repository, and stale ones stay where they are."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.validity import bench, data, findings_archive
from benchmarks.validity.__main__ import plan
from benchmarks.validity.source_digest import source_digest

HONEST = {"findings": [], "seconds": {"observe": 1.5}}


@pytest.fixture
def event(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> bench.Event:
    """An event with one finding; archives and findings lie in a folder of their own."""
    monkeypatch.setenv(data.CACHE, str(tmp_path / "cache"))
    monkeypatch.setattr(findings_archive, "FOLDER", tmp_path / "archive")
    event = plan(quick=False, settings=[])[0].event
    bench.keep(bench.folder_of(event, 11) / "retrained_2000.json", HONEST)
    return event


def test_findings_come_back_where_there_are_none(
    event: bench.Event, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    findings_archive.pack([event])
    monkeypatch.setenv(data.CACHE, str(tmp_path / "elsewhere"))
    findings_archive.unpack([event])
    path = bench.folder_of(event, 11) / "retrained_2000.json"
    assert tmp_path / "elsewhere" in path.parents
    assert json.loads(path.read_text()) == HONEST


def test_figures_keep_seven_digits(
    event: bench.Event, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    name = bench.folder_of(event, 11) / "natural.json"
    bench.keep(name, {"findings": [], "seconds": {"observe": 0.123456789012, "all": 2}})
    findings_archive.pack([event])
    monkeypatch.setenv(data.CACHE, str(tmp_path / "elsewhere"))
    findings_archive.unpack([event])
    read = json.loads((bench.folder_of(event, 11) / "natural.json").read_text())
    assert read["seconds"] == {"observe": 0.1234568, "all": 2}


def test_findings_of_other_code_are_not_taken_out(
    event: bench.Event, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    findings_archive.pack([event])
    monkeypatch.setenv(data.CACHE, str(tmp_path / "elsewhere"))
    for module in (bench, findings_archive):
        monkeypatch.setattr(module, "measuring", lambda: "0" * 16)
    findings_archive.unpack([event])
    assert not bench.folder_of(event, 11).exists()


def test_what_was_measured_here_is_not_overwritten(event: bench.Event) -> None:
    findings_archive.pack([event])
    newer = HONEST | {"passes": {"observe": 1.0}}
    bench.keep(bench.folder_of(event, 11) / "retrained_2000.json", newer)
    findings_archive.unpack([event])
    path = bench.folder_of(event, 11) / "retrained_2000.json"
    assert json.loads(path.read_text()) == newer


def test_an_archive_of_the_same_findings_is_the_same_file(event: bench.Event) -> None:
    path = findings_archive.FOLDER / f"{event.name}.json.xz"
    findings_archive.pack([event])
    first = path.stat().st_mtime_ns, path.read_bytes()
    findings_archive.pack([event])
    assert (path.stat().st_mtime_ns, path.read_bytes()) == first


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ('"""Other words."""\nLIMIT = 3  # images\n"""Of a class."""\n', True),
        ('LIMIT = 3\n\n\ndef f():\n    """Three."""\n    return LIMIT\n', False),
        ("LIMIT = 4\n", False),
    ],
)
def test_words_do_not_count_and_statements_do(tmp_path: Path, text: str, same: bool) -> None:
    one, other = tmp_path / "one.py", tmp_path / "other.py"
    one.write_text('"""Words."""\nLIMIT = 3\n')
    other.write_text(text)
    assert (source_digest([one]) == source_digest([other])) is same
