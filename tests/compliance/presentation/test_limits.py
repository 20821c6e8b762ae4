"""Limits that say the same of several measurements are said once; the wording is the verdict's."""

from __future__ import annotations

from types import ModuleType

from compliance.presentation import row_text
from compliance.verdict import judge_rows, wording


def test_the_sentence_that_is_looked_for_is_the_one_that_the_verdict_writes(
    example: ModuleType,
) -> None:
    policy = example.policy()
    rows = judge_rows(example.findings(), policy)
    written = list(wording.limits(rows, policy))
    powerless = [line for line in written if "no power here" in line]
    assert powerless
    assert all(row_text.NO_POWER.fullmatch(line) for line in powerless)
    once = row_text.limits_once(powerless + powerless[:1])
    assert len(once) == 1
    for line in powerless:
        assert line.partition(" ")[0] in once[0]


def test_a_single_one_and_all_others_stay_as_they_are() -> None:
    lines = ["a.b has no power here: it would detect the original with a chance of 0.00 only.", "x"]
    assert row_text.limits_once([*lines, "x"]) == lines
