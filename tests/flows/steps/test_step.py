"""One name per step, in the journal, in Prefect, and in the order of the table."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from pathlib import Path

import pytest

from flows.state import journal, progress
from flows.state.facts import Findings
from flows.state.files import Artifact
from flows.state.paths import Attempt, Home
from flows.steps import claim, prepare, table
from flows.steps.step import step

NAMES = [
    "accept",
    "version_data",
    "pin_model",
    "train_references",
    "register_plan",
    "edit",
    "audit",
    "conclude",
    "register",
    "close",
]
ROOT = Path(__file__).parents[3]


class Reporter(progress.Silent):
    """Keeps what a person would be shown."""

    def __init__(self) -> None:
        self.steps: list[tuple[int, str]] = []

    def step(self, number: int, title: str) -> None:
        self.steps.append((number, title))


@pytest.fixture
def attempt(home: Home) -> Attempt:
    return Attempt(home, "event", 1)


@pytest.fixture
def reporter() -> Iterator[Reporter]:
    reporter = Reporter()
    with progress.reporting_to(reporter):
        yield reporter


def leave(attempt: Attempt) -> Findings:
    """Leave something."""
    return Findings(file=Artifact(path="findings.json", sha256="0" * 64))


def test_the_ten_steps_are_in_their_order_with_their_numbers() -> None:
    assert list(table.STEPS) == NAMES
    labels = [each.label for each in table.STEPS.values()]
    assert [(label.number, label.of) for label in labels] == [(n, 10) for n in range(1, 11)]
    assert len({label.title for label in labels}) == 10


def test_a_step_of_a_claim_has_name_title_and_number_of_the_events() -> None:
    for each in table.OF_CLAIMS:
        assert each is not table.STEPS[each.name]
        assert each.label == table.STEPS[each.name].label


def test_the_form_for_claims_must_have_the_steps_name() -> None:
    with pytest.raises(TypeError, match="leave is no form of step accept"):
        prepare.accept.of_claim(leave)


def test_prefects_tasks_have_the_steps_names() -> None:
    from flows.orchestration.tasks import TASKS

    assert {task.name for task in TASKS.values()} == set(NAMES)
    assert all(task.name == each.name for each, task in TASKS.items())
    assert claim.accept in TASKS


def test_every_fact_of_a_step_has_a_kind_that_travels_as_json() -> None:
    from flows.state import facts

    for each in (*table.STEPS.values(), *table.OF_CLAIMS):
        named = list(inspect.signature(each.function).parameters)
        assert named[0] == "attempt"
        for name in (*named[1:], "return"):
            facts._adapter(each.hints[name])


def test_a_step_that_runs_is_shown_and_noted(attempt: Attempt, reporter: Reporter) -> None:
    audit = table.STEPS["audit"]
    with journal.entered(attempt, audit.label):
        pass
    assert reporter.steps == [(7, audit.title)]
    assert [note["what"] for note in journal.read(attempt)] == ["began", "done"]


def test_what_the_ledger_has_settled_is_not_begun_again(
    attempt: Attempt, reporter: Reporter
) -> None:
    settled = step("Leave something", settled=leave)(leave)
    assert settled(attempt) == leave(attempt)
    assert (reporter.steps, attempt.journal.exists()) == ([], False)


def test_the_documentation_names_every_step() -> None:
    diagram = (ROOT / "README.md").read_text().partition("```mermaid")[2].partition("```")[0]
    for label in (each.label for each in table.STEPS.values()):
        assert f"[{label.number} {label.title[0].lower()}{label.title[1:]}]" in diagram
