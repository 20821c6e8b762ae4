"""The catalogue says of every audit what the audit does; what others need derives from it."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from audits import AUDITS, catalogue, gates
from audits.finding import Finding
from compliance.documents.policy import Rule
from compliance.presentation import row_text
from compliance.report import coverage_section
from compliance.signing.facts import AuditRow

DOCUMENTATION = Path(__file__).parents[2] / "docs/audits.md"


def test_it_is_read_without_the_numerics() -> None:
    code = (
        "import sys, audits.catalogue;"
        "print([m for m in ('torch', 'numpy', 'sklearn', 'scipy') if m in sys.modules])"
    )
    process = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert process.stdout.strip() == "[]"


@pytest.fixture(scope="module")
def run(world) -> Callable[..., dict[str, Finding]]:
    """All audits on a retrained model, whose weights are other ones than the original's.

    Its file has one row less of the original's than the original has.
    """
    weights = {"penultimate": np.random.default_rng(0).normal(size=(6, 16)).astype(np.float32)}
    model, original = world.model("retrained", knows=False), world.model("original", knows=True)
    tensors = {"fc.weight": original.record.tensors["fc.weight"].copy()}
    tensors["fc.weight"][0] = 1.0
    record = replace(model.record, tensors=tensors)
    candidate = replace(model, weights=weights, record=record)

    def audited(**changes: object) -> dict[str, Finding]:
        evidence = world.evidence(candidate, **changes)
        return {name: audit(evidence) for name, audit in AUDITS.items()}

    return audited


@pytest.fixture(scope="module")
def findings(run) -> dict[str, Finding]:
    return run()


@pytest.fixture(scope="module")
def without_references(run) -> dict[str, Finding]:
    return run(references=())


@pytest.fixture(scope="module")
def beside_another_original(run, world) -> dict[str, Finding]:
    return run(original=world.model("another original", knows=True))


@pytest.mark.parametrize("name", catalogue.AUDITS)
def test_a_finding_carries_the_name_and_the_question(name, findings) -> None:
    assert findings[name].audit == name
    assert findings[name].question == catalogue.AUDITS[name].question
    assert all(m.name.startswith(f"{name}.") for m in findings[name].measurements)


@pytest.mark.parametrize("name", catalogue.AUDITS)
def test_who_needs_references_does_not_run_without(name, without_references) -> None:
    finding = without_references[name]
    needs = catalogue.AUDITS[name].references
    assert finding.status == ("NOT_RUN" if needs == "required" else "RUN")
    against = {figure.against for figure in finding.measurements}
    assert ("unseen" in against) == (needs == "or_novel_classes")


@pytest.mark.parametrize("name", catalogue.AUDITS)
def test_only_who_is_relative_to_the_original_depends_on_it(
    name, findings, beside_another_original
) -> None:
    before, after = (
        {m.name: (m.value, m.difference) for m in audited[name].measurements}
        for audited in (findings, beside_another_original)
    )
    assert (before != after) == catalogue.AUDITS[name].original


@pytest.mark.parametrize("name", catalogue.AUDITS)
def test_who_uses_shadow_models_says_how_many(name, findings) -> None:
    assert ("shadows" in findings[name].parameters) == catalogue.AUDITS[name].shadows


@pytest.mark.parametrize("name", catalogue.AUDITS)
def test_every_audit_has_its_section_in_the_documentation(name) -> None:
    assert f"\n### {name}\n" in DOCUMENTATION.read_text("utf-8")


def test_a_new_audit_is_one_file_and_one_entry(world, monkeypatch) -> None:
    """Run, asked about in the report, a look inside for the policy, listed among the attacks."""
    entry = catalogue.Entry(
        question="Does the model hum?",
        reading="0 is silence.",
        title="Humming",
        attack="listens",
        depth="deep",
        terms=("depth",),
    )
    module = ModuleType("audits.humming")
    module.audit = lambda evidence: gates.not_run("humming", evidence, "It is silent.", {})
    monkeypatch.setitem(sys.modules, "audits.humming", module)
    monkeypatch.setattr(catalogue, "AUDITS", {**catalogue.AUDITS, "humming": entry})

    assert list(AUDITS)[-1] == "humming"
    finding = AUDITS["humming"](world.evidence())
    assert finding.question == "Does the model hum?"
    (shown,) = row_text.by_audit([AuditRow(audit="humming", status="NOT_RUN")], [])
    assert (shown["question"], shown["reading"]) == (entry.question, entry.reading)
    assert shown["words"] == ["depth"]
    assert Rule(measurement="humming.loud@conv1", below=0.1, above=0.1).deep
    outside = coverage_section.coverage([], [], {})["outside"]
    assert {"audit": "humming", "name": "Humming", "what": "listens"} in outside


def test_a_name_that_is_no_audit_is_no_module_either() -> None:
    assert "gates" not in AUDITS
    with pytest.raises(KeyError):
        AUDITS["gates"]


def documented_settings() -> dict[str, dict[str, list[float]]]:
    """The table of settings in the documentation: of each audit, name and numbers."""
    table = DOCUMENTATION.read_text().partition("### Settings\n")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| `(\w+)` \| (.*) \|$", table, re.MULTILINE)
    return {
        audit: {
            name: [float(number) for number in numbers.split()]
            for name, numbers in re.findall(r"`(\w+)` ([^,]+)", settings)
        }
        for audit, settings in rows
    }


def test_settings_are_those_that_are_documented() -> None:
    """Whoever changes one changes what a margin was chosen for."""
    settings = {
        name: {
            parameter.name: [float(value) for value in np.atleast_1d(parameter.default)]
            for parameter in inspect.signature(audit).parameters.values()
            if parameter.kind is parameter.KEYWORD_ONLY
        }
        for name, audit in AUDITS.items()
    }
    assert {name: own for name, own in settings.items() if own} == documented_settings()


def test_the_audits_by_name_are_a_mapping_in_the_catalogues_order() -> None:
    assert len(AUDITS) == len(catalogue.AUDITS) == len(list(AUDITS))
    assert list(AUDITS) == list(catalogue.AUDITS)
    assert "no such audit" not in AUDITS
    with pytest.raises(KeyError, match="no such audit"):
        AUDITS["no such audit"]
    assert all(callable(AUDITS[name]) for name in ("accuracy", "few_shot"))
