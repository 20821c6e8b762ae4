"""The controls: models whose right answer is known, and what the audits made of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from compliance.presentation import row_text
from compliance.signing.facts import ControlRow


def control(judged: ControlRow) -> dict[str, Any]:
    """One control with its expected and its actual result in words."""
    right = judged.as_expected
    return {
        "name": judged.name,
        "words": _control_words(judged.name),
        "expected": judged.expected,
        "hadTo": _HAD_TO.get(judged.expected, "pass, or not fail"),
        "found": judged.result,
        "asExpected": right,
        "word": "as expected" if right else "not as expected",
        "tone": "good" if right else "bad",
        "icon": "tick" if right else "cross",
        "required": row_text.tally(judged.rows),
    }


def figures(controls: Sequence[ControlRow]) -> list[dict[str, Any]]:
    """One line per required measurement, one cell per control; None where a control has no row."""
    columns = [{row.title: row for row in c.rows if row.required} for c in controls]
    names = dict.fromkeys(name for column in columns for name in column)
    return [
        {
            "name": name,
            "cells": [row_text.worded(c[name]) if name in c else None for c in columns],
        }
        for name in names
    ]


def _control_words(name: str) -> str:
    if name.startswith("reference_"):
        return "a retrained model, judged by the other retrained models"
    return _CONTROLS.get(name, "")


_HAD_TO = {"FAILED": "fail", "NOT_PASSED": "not pass"}
_CONTROLS = {
    "near_margin": "a blend of the model before and a retrained one that holds a little more than "
    "the margins allow",
    "original": "the model before the change, untouched",
    "output_retired": "the untouched model with the output switched off and nothing else",
    "head_refitted": "the untouched inner layers with a new last layer that never saw the class",
    "random_direction": "the model changed by as much, but in random directions",
}
