"""Studies for tests: a small base model, and results of classes that were not trained for it.

A class's results lie in a file once they are whole; `qualify` takes them from there, as it does
after a kill. The tests that carry one out from nothing are marked `long`.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from compliance.documents.study import load_study
from compliance.formats import typed
from compliance.qualification import drawing, qualification
from compliance.qualification.study import (
    CUT,
    MUST_FAIL,
    RETRAINED,
    ClassFacts,
    StudiedClass,
    StudiedModel,
)
from flows.operations import train_base
from flows.qualification import qualify, studied_class, study_ledger, study_setup
from flows.qualification.qualify import Studied
from flows.state import keyring
from flows.state.paths import Home

RECIPE = "apiVersion: damp/v1\nkind: Recipe\narchitecture: damp:cnn\nepochs: {epochs}\n"
STUDY = """\
apiVersion: damp/v1
kind: QualificationStudy
name: small
model: {{registry: "digits@champion"}}
data: {{name: digits}}
recipe: recipe.yaml
policy: {policy}
attempts: [{attempts}]
classes: {classes}
sequence: {sequence}
spot_checks: 1.0
{more}"""


def base(home: Home, folder: Path, *, epochs: int = 1) -> None:
    """A demo key, a recipe, and digits@champion."""
    keyring.ensure_demo_key(home)
    (folder / "recipe.yaml").write_text(RECIPE.format(epochs=epochs))
    train_base.base_model(
        home,
        name="digits",
        data="digits",
        data_root=None,
        recipe=str(folder / "recipe.yaml"),
        architecture=None,
        seed=0,
    )


def asked(folder: Path, **changes: Any) -> Path:
    """A study's file."""
    settings = {
        "policy": "demo-v1",
        "attempts": "natural",
        "classes": 3,
        "sequence": 1,
        "more": "",
    }
    file = folder / "study.yaml"
    file.write_text(STUDY.format(**(settings | changes)))
    return file


def ready(home: Home, file: Path) -> Any:
    """The study as it would begin."""
    return study_setup.ready(home, load_study(file), file.parent)


def put_results(home: Home, file: Path, *, result: str = "PASSED", again: str = "") -> str:
    """Register the study, and leave whole results of every class that is drawn; the study's id."""
    begun = ready(home, file)
    entry, _ = study_ledger.registered(begun, again)
    subject = replace(begun.subject, id=entry.key)
    measure = {c: qualification.measure_of(facts) for c, facts in begun.frame.items()}
    drawn = drawing.classes(measure, begun.terms.classes, head=entry.hash)
    for label, edits in qualify._work(drawn, begun.terms.sequence):
        studied = results(label, begun.frame[label], edits, result)
        path = studied_class.kept_file(subject, label, edits)
        path.parent.mkdir(parents=True, exist_ok=True)
        model = begun.model.to_json() | {"retired": list(drawn[: edits + 1])}
        content = {"studied": typed.plain(studied), "model": model}
        path.write_text(json.dumps(content))
    return str(entry.key)


def results(label: int, facts: ClassFacts, edits: int, result: str) -> StudiedClass:
    """Of one class: honest models keep 0 to .8, those that must fail .98 and more."""

    def model(name: str, kind: str, came_out: str, kept: float) -> StudiedModel:
        return StudiedModel(name=name, kind=kind, result=came_out, rules="PASSED", kept=kept)

    return StudiedClass(
        label=label,
        edits=edits,
        facts=facts,
        rung=1 if result == "PASSED" else None,
        models=(
            model("natural", CUT, result, 0.6 + label / 100),
            model("reference_0", RETRAINED, "PASSED", 0.3),
            model("reference_1", RETRAINED, "PASSED", 0.9),
            model("original", MUST_FAIL, "FAILED", 1.0),
            model("paper", MUST_FAIL, "FAILED", 0.98),
        ),
        trainings=6,
        seconds={"trainings": 6.0, "cuts": 0.5, "audits": 3.0},
    )


def carried_out(home: Home, folder: Path, **changes: Any) -> Studied:
    """A study with results that were put there."""
    file = asked(folder, **changes)
    put_results(home, file)
    return qualify.qualify(home, file)
