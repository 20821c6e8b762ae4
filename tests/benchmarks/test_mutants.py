"""The mutants are what they say, and a module's own tests are run against them."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.mutants import equivalent, mutation, own_tests, plugin, report, trial, warm
from benchmarks.mutants.__main__ import DECIDING, drawn, modules
from benchmarks.mutants.trial import ALIVE, KILLED, Trial

SOURCE = '''
"""A module, 3 < 4."""
from typing import TYPE_CHECKING

LIMIT: tuple[int, ...] = (2,)
if TYPE_CHECKING:
    from pathlib import Path


def check(value: int, least: float = 0.5) -> bool:
    if value < 3 and not least:
        raise ValueError(f"{value + 1} is below {3 * 2}")
    return value * 2 == 8
'''


def test_decisions_are_changed_and_words_are_not() -> None:
    mutations = mutation.mutations(SOURCE)
    names = {(m.kind, m.before, m.after) for m in mutations}
    assert ("comparison", "value < 3", "value <= 3") in names
    assert ("arithmetic", "value * 2", "value / 2") in names
    assert ("boolean", "value < 3 and (not least)", "value < 3 or not least") in names
    assert ("boolean", "not least", "not not least") in names
    assert ("constant", "0.5", "1.0") in names
    assert ("return", "return value * 2 == 8", "return None") in names
    # neither the message of an error, nor the docstring, nor an annotation, nor a guard for types
    assert {m.line for m in mutations} == {5, 10, 11, 13}
    assert not any("+" in m.before for m in mutations)


def test_one_change_is_made_and_it_is_the_one_that_was_named() -> None:
    (wanted,) = (m for m in mutation.mutations(SOURCE) if m.before == "value * 2 == 8")
    space: dict[str, object] = {}
    exec(compile(mutation.mutated(SOURCE, wanted.index), "m", "exec"), space)  # noqa: S102
    check = space["check"]
    assert callable(check)
    assert check(5)
    assert not check(4)
    with pytest.raises(IndexError):
        mutation.mutated(SOURCE, 10_000)


def test_a_larger_draw_adds_to_a_smaller_one() -> None:
    few, many = (drawn(["damp"], count=n, seed=3) for n in (5, 9))
    assert many[:5] == few
    assert drawn(["damp"], count=5, seed=4) != few


def test_tests_of_a_module_are_its_examples_those_named_after_it_and_those_that_import_it() -> None:
    own = own_tests.of(Path("compliance/verdict/assurance.py"))
    assert own
    assert all(path.parts[:3] == ("tests", "compliance", "verdict") for path in own)
    named = own_tests.of(Path("audits/equivalence.py"))
    assert Path("tests/audits/test_equivalence.py") in named[:2]
    assert all((own_tests.ROOT / path).exists() for path in named)
    assert own_tests.of(Path("damp/projection.py"))[:2] == [
        Path("damp/projection.py"),  # its docstrings hold examples
        Path("tests/damp/test_projection.py"),
    ]
    # the catalogue's tests go through every audit that it names, and through nothing else
    assert own_tests.of(Path("audits/routing.py"))[-1] == Path("tests/audits/test_catalogue.py")
    assert Path("tests/audits/test_catalogue.py") not in named
    assert Path("tests/damp/methods/test_interface.py") in own_tests.of(
        Path("damp/methods/trained/random_labels.py")
    )
    assert all(own_tests.of(module) for module in modules(DECIDING))


def test_where_nothing_of_its_own_room_is_about_a_module_another_rooms_tests_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, text in {
        "room/part.py": "",
        "tests/room/test_other.py": "import room.other",
        "tests/hall/test_guest.py": "from room import part",
        "tests/hall/test_host.py": "import hall",
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(own_tests, "ROOT", tmp_path)
    monkeypatch.setattr(own_tests, "TESTS", tmp_path / "tests")
    assert own_tests.of(Path("room/part.py")) == [Path("tests/hall/test_guest.py")]


WARM = """
from benchmarks.mutants import mutation, own_tests, trial, warm

warm.hold_libraries()
source = (own_tests.ROOT / "damp/projection.py").read_text()
folded = "return torch.baddbmm"
(index,) = (m.index for m in mutation.mutations(source) if m.before.startswith(folded))
for mutant in (None, f"damp/projection.py:{index}", None):
    done = warm.run([*trial.OPTIONS, "damp/projection.py"], mutant=mutant, limit=60)
    print(done.code, "FAILED damp/projection.py" in done.output, done.seconds > 0)
"""


def test_a_fork_sees_the_change_and_the_next_one_does_not() -> None:
    done = subprocess.run(
        [sys.executable, "-c", WARM],
        cwd=own_tests.ROOT,
        env=os.environ | {"PYTHONPATH": str(own_tests.ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.splitlines() == ["0 False True", "1 True True", "0 False True"], done


def test_nothing_is_tried_where_a_room_was_imported_before() -> None:
    import damp  # noqa: F401 - it is the room that was imported before

    with pytest.raises(RuntimeError, match=r"Imported before any change could be made: .*damp"):
        warm.hold_libraries()


@pytest.mark.parametrize(("index", "right"), [(None, True), (0, False)])
def test_a_module_is_imported_with_its_change_and_no_file_is_touched(
    tmp_path: Path, index: int | None, right: bool
) -> None:
    module = tmp_path / "subject.py"
    module.write_text("def is_small(value):\n    return value < 3\n")
    (tmp_path / "test_subject.py").write_text(
        "from subject import is_small\n\n\ndef test_edge():\n    assert not is_small(3)\n"
    )
    before = module.read_bytes()
    environment = {name: value for name, value in os.environ.items() if name != plugin.VARIABLE}
    if index is not None:
        (wanted,) = (
            m.index for m in mutation.mutations(module.read_text()) if m.kind == "comparison"
        )
        environment[plugin.VARIABLE] = f"{module}:{wanted}"
    paths = os.pathsep.join([str(own_tests.ROOT), str(tmp_path)])
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-p",
            "benchmarks.mutants.plugin",
            "test_subject.py",
        ],
        cwd=tmp_path,
        env=environment | {"PYTHONPATH": paths},
        capture_output=True,
        check=False,
    )
    assert done.returncode == (0 if right else 1), done.stdout
    assert module.read_bytes() == before


@pytest.mark.parametrize(("key", "change"), equivalent.EQUIVALENT)
def test_what_is_said_to_change_nothing_is_still_that_change(key: str, change: str) -> None:
    module, _, index = key.rpartition(":")
    mutant = mutation.mutations((own_tests.ROOT / module).read_text())[int(index)]
    assert f"{mutant.before} -> {mutant.after}" == change


def test_a_mutant_that_changes_nothing_is_told_with_its_reason_and_not_counted() -> None:
    (key, change), why = next(iter(equivalent.EQUIVALENT.items()))
    before, _, after = change.partition(" -> ")
    facts = {"module": "m.py", "line": 1, "kind": "constant", "seconds": 1.0, "content": ""}
    explained = Trial(key=key, before=before, after=after, outcome=ALIVE, by="", **facts)
    noticed = replace(explained, key="other", outcome=KILLED, by="a test")
    missed = replace(explained, key="another")
    figures = report.figures([explained, noticed, missed], drawn=3, seed=1)
    assert (figures["killed"], figures["alive"], figures["of_them_equivalent"]) == (1, 2, 1)
    assert figures["share_killed"] == 0.5  # of the two that change anything
    assert figures["command"] == 'make bench-mutants ARGS="--seed 1"'
    assert report.figures([], drawn=0, seed=report.SEED)["command"] == "make bench-mutants"
    page = report.page(figures, [explained, noticed, missed])
    assert page.count(why) == 1
    assert "50.0% of those that change anything" in page


def test_who_noticed_stands_while_module_and_that_test_are_as_they_were(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "audits").mkdir()
    (tmp_path / "tests/audits").mkdir(parents=True)
    module, tests = tmp_path / "audits/m.py", tmp_path / "tests/audits/test_m.py"
    module.write_text("LIMIT = 3\n")
    tests.write_text("def test_a():\n    assert 1\n")
    (tmp_path / "audits/catalogue.py").write_text("")
    monkeypatch.setattr(own_tests, "ROOT", tmp_path)
    monkeypatch.setattr(own_tests, "TESTS", tmp_path / "tests")
    monkeypatch.setattr(own_tests, "TABLES", {})
    by = "FAILED tests/audits/test_m.py::test_a[x]"
    noticed, alive = (
        trial.content_of(Path("audits/m.py"), by),
        trial.content_of(Path("audits/m.py")),
    )
    tests.write_text(tests.read_text() + "\n\ndef test_b():\n    assert 2\n")
    assert trial.content_of(Path("audits/m.py"), by) == noticed
    assert trial.content_of(Path("audits/m.py")) != alive  # the new one may notice
    tests.write_text("def test_a():\n    assert 2\n")
    assert trial.content_of(Path("audits/m.py"), by) != noticed
    tests.write_text("def test_a():\n    assert 1\n")
    assert trial.content_of(Path("audits/m.py"), by) == noticed
    module.write_text("LIMIT = 4\n")
    assert trial.content_of(Path("audits/m.py"), by) != noticed
