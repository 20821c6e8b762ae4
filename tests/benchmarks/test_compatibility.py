"""Ranges in pyproject.toml are those that were tried, and the lock lies within them."""

from __future__ import annotations

import tomllib

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from benchmarks import compatibility

LOCK = compatibility.CHECKOUT / "requirements.lock"


def requirements() -> list[Requirement]:
    with (compatibility.CHECKOUT / "pyproject.toml").open("rb") as file:
        return [Requirement(text) for text in tomllib.load(file)["project"]["dependencies"]]


@pytest.mark.parametrize("requirement", requirements(), ids=lambda each: each.name)
def test_both_ends_of_a_range_were_tried_and_hold(requirement: Requirement) -> None:
    trials = compatibility.read()
    assert all(trial.holds for trial in trials.values())
    (lower,) = (each.version for each in requirement.specifier if each.operator == ">=")
    assert Version(trials["lowest"].packages[requirement.name]) == Version(lower)
    for end in compatibility.ENDS:
        assert trials[end].packages[requirement.name] in requirement.specifier


def test_the_page_shows_the_trials() -> None:
    assert compatibility.table(compatibility.read()) in compatibility.PAGE.read_text()


def test_the_lock_names_no_address_and_lies_within_the_ranges() -> None:
    text = LOCK.read_text()
    assert "://" not in text
    locked = dict(line.split()[0].split("==") for line in text.splitlines() if line[:1].isalnum())
    for requirement in requirements():
        assert locked[canonicalize_name(requirement.name)] in requirement.specifier


@pytest.mark.parametrize("test", [*compatibility.SMOKE, *compatibility.LONG])
def test_what_both_ends_are_tried_with_is_there(test: str) -> None:
    file, _, name = test.partition("::")
    place = compatibility.CHECKOUT / file
    assert place.exists()
    assert not name or f"def {name}(" in place.read_text()
