"""What stands on Prefect's pages is text, whatever a statement or a name holds."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from compliance.formats.plain_text import clean
from flows.orchestration import artifacts, schedule
from flows.state.paths import Attempt, Home

HOSTILE = "[click](javascript:alert(1)) <img src=x> `a` \x1b[2J\u202e **b**\n# c"


def test_the_words_of_a_verdict_hold_no_markup_of_somebody_else() -> None:
    attempt = Attempt(Home(Path("/state")), "e", 1)
    closed = SimpleNamespace(
        verdict="PASSED",
        reasons=[HOSTILE],
        registration=SimpleNamespace(name=HOSTILE, version=1),
    )
    predicate = {
        "verdict": {"claim": HOSTILE},
        "inputs": {"dataBefore": {"version": HOSTILE}, "dataAfter": {"version": HOSTILE}},
    }
    words = artifacts._words(attempt, cast(Any, closed), predicate)
    assert clean(words) == words
    assert "[click](" not in words.replace("`[click](", "")
    assert "<img" not in words.split("Data: ")[0]  # below, it is a code span
    assert words.count("\n# ") == 0


def test_rows_are_shown_without_what_hides() -> None:
    (row,) = schedule._shown([{"why": HOSTILE, "number": 1}])
    assert clean(str(row["why"])) == row["why"]
    assert row["number"] == 1
