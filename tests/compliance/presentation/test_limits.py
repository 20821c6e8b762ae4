"""Limits that say the same of several measurements are said once; the wording is the verdict's."""

from __future__ import annotations

from types import ModuleType

import pytest

from compliance.presentation import row_text
from compliance.signing import Statement
from compliance.signing.facts import AuditRow, Power
from compliance.verdict import wording


def without_power(name: str, detect: float | None) -> AuditRow:
    return AuditRow(audit=name.partition(".")[0], name=name, power=Power(detect_original=detect))


def test_rows_without_power_are_one_limit_with_all_their_figures(example: ModuleType) -> None:
    """As a statement holds them: the sentences that the verdict wrote are those that are found."""
    own = Statement.of(example.example()).predicate
    powerless = [line for line in own.verdict.limits if "no power here" in line]
    assert len(powerless) > 1
    once = row_text.limits_once([*own.verdict.limits, powerless[0]], own.audits)
    assert len(once) == len(set(own.verdict.limits)) - len(powerless) + 1
    (whole,) = (line for line in once if "no power here" in line)
    assert once.index(whole) == list(own.verdict.limits).index(powerless[0])
    for row in own.audits:
        if any(line.startswith(f"{row.name} ") for line in powerless):
            figure = f"{row.power.detect_original:.2f}"
            assert f"{row.name} of {figure}" in whole or (
                f"{row.name} would detect the original with a chance of {figure} only" in whole
            )


@pytest.mark.parametrize("detect", [None, float("nan"), 0.3])
def test_a_single_one_and_all_others_stay_as_they_are(detect: float | None) -> None:
    """What no row of the statement stands behind is left as it is written."""
    rows = [without_power("a.b", 0.0), without_power("c", detect)]
    lines = [wording.without_power("a.b", 0.0), wording.without_power("c", 0.4), "x"]
    assert row_text.limits_once([*lines, "x"], rows) == lines
    assert row_text.limits_once([], rows) == []
