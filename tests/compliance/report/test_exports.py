"""Exports, each held against the published format by the format's own library."""

from __future__ import annotations

import csv
import io
import json
import runpy
import uuid
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from compliance.ledger import Entry, Ledger
from compliance.report import exports
from compliance.report.render import report_json

PAGES = SimpleNamespace(**runpy.run_path(str(Path(__file__).parents[1] / "report_examples.py")))
DIGEST = "ab" * 32


# OpenLineage, by openlineage-python, whose classes are generated from the published JSON Schema


def as_client(event: dict[str, Any]) -> dict[str, Any]:
    """The event as the official client builds and writes it; its validators run on the way."""
    from openlineage.client.event_v2 import InputDataset, Job, OutputDataset, Run, RunEvent
    from openlineage.client.facet_v2 import dataset_version_dataset
    from openlineage.client.generated.base import EventType
    from openlineage.client.serde import Serde

    def dataset(kind: Any, facts: dict[str, Any]) -> Any:
        version = facts["facets"]["version"]["datasetVersion"]
        facet = dataset_version_dataset.DatasetVersionDatasetFacet(
            datasetVersion=version, producer=event["producer"]
        )
        return kind(namespace=facts["namespace"], name=facts["name"], facets={"version": facet})

    run_event = RunEvent(
        eventTime=event["eventTime"],
        producer=event["producer"],
        eventType=EventType(event["eventType"]),
        run=Run(runId=event["run"]["runId"]),
        job=Job(namespace=event["job"]["namespace"], name=event["job"]["name"]),
        inputs=[dataset(InputDataset, facts) for facts in event["inputs"]],
        outputs=[dataset(OutputDataset, facts) for facts in event["outputs"]],
    )
    written: dict[str, Any] = json.loads(Serde.to_json(run_event))
    return written


@pytest.mark.parametrize("kind", list(PAGES.KINDS))
def test_run_events_are_what_the_official_client_would_write(
    example: ModuleType, kind: str
) -> None:
    statement = PAGES.KINDS[kind](example)
    start, end = exports.openlineage(statement, DIGEST)
    for event in (start, end):
        theirs = as_client(event)
        for key in ("eventTime", "eventType", "producer"):
            assert event[key] == theirs[key]
        assert event["schemaURL"].split("#")[0] == theirs["schemaURL"].split("#")[0]
        assert event["run"]["runId"] == theirs["run"]["runId"]
        for side in ("inputs", "outputs"):
            for ours, other in zip(event[side], theirs[side], strict=True):
                assert ours["facets"]["version"] == other["facets"]["version"]
                assert (ours["namespace"], ours["name"]) == (other["namespace"], other["name"])
    facet = end["run"]["facets"]["dampVerdict"]
    assert (facet["verdict"], facet["statement"]) == (kind, DIGEST)
    assert {"_producer", "_schemaURL"} <= facet.keys()


def test_a_run_has_one_id_whenever_it_is_exported_and_another_for_each_attempt(
    example: ModuleType,
) -> None:
    statement = PAGES.passed(example)
    first = [event["run"]["runId"] for event in exports.openlineage(statement, DIGEST)]
    assert len(set(first)) == 1
    assert uuid.UUID(first[0])
    assert exports.openlineage(statement, DIGEST)[0]["run"]["runId"] == first[0]
    statement["predicate"]["event"]["attempt"] = 2
    assert exports.openlineage(statement, DIGEST)[0]["run"]["runId"] != first[0]


def test_the_officials_validators_do_refuse(example: ModuleType) -> None:
    """The positive control: what the schema forbids does not get through `as_client`."""
    event = exports.openlineage(PAGES.passed(example), DIGEST)[0]
    for key, value, words in (
        ("eventTime", "yesterday", "invalid"),
        ("run", {"runId": "no uuid"}, "UUID"),
        ("eventType", "FINISHED", "EventType"),
    ):
        with pytest.raises(ValueError, match=words):
            as_client(event | {key: value})


# Model card, by huggingface_hub


@pytest.mark.parametrize("kind", list(PAGES.KINDS))
def test_a_model_card_is_read_by_hugging_faces_library(example: ModuleType, kind: str) -> None:
    from huggingface_hub import ModelCard

    statement = PAGES.KINDS[kind](example)
    page = report_json(statement, findings=PAGES.findings(example), **PAGES.COMMANDS)
    card = ModelCard(exports.model_card(page, DIGEST))
    assert f"**{kind}**" in card.text
    assert DIGEST in card.text
    results = card.data.eval_results
    rows = [
        row
        for row in statement["predicate"]["audits"]
        if row.get("required") and row["status"] == "RUN"
    ]
    names = {(result.metric_type, result.metric_value) for result in results}
    assert names == {(row["name"], row["value"]) for row in rows}
    assert {result.task_type for result in results} == {"image-classification"}


def test_hostile_text_in_a_card_stays_text(example: ModuleType) -> None:
    from huggingface_hub import ModelCard

    statement = PAGES.passed(example)
    for row in statement["predicate"]["audits"]:
        row["label"] = '<script>x</script> | [a](javascript:b) \n---\n "quote'
    page = report_json(statement, findings=[], verify_command="", reproduce_command="")
    card = ModelCard(exports.model_card(page, DIGEST))
    assert "<script" not in card.text
    assert "](" not in card.text.replace("\\](", "")
    assert card.data.eval_results


# CSV, by the standard library, strictly


def test_the_ledger_survives_the_way_through_csv(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.jsonl")
    bodies = [{"reason": 'quote " comma , newline \n caf\u00e9'}, {"deep": [{"a": None}]}, {}]
    for body in bodies:
        ledger.append("event_cancelled", "e1", body)
    text = exports.ledger_csv(ledger.entries())
    rows = list(csv.DictReader(io.StringIO(text, newline=""), strict=True))
    back = [{**row, "seq": int(row["seq"]), "body": json.loads(row["body"])} for row in rows]
    assert back == [entry.to_json() for entry in ledger.entries()]
    assert all(line.endswith("\r\n") for line in text.splitlines(keepends=True))


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@x", "\tx"])
def test_no_cell_is_a_formula(text: str) -> None:
    entry = Entry(**dict.fromkeys(exports.COLUMNS, text) | {"seq": 0, "body": {}})
    row = list(csv.reader(io.StringIO(exports.ledger_csv([entry]), newline="")))[1]
    assert row[3] == f"'{text}"


def test_the_columns_are_explained_beside_the_file() -> None:
    metadata = exports.csv_metadata("ledger.csv")
    assert metadata["@context"] == "http://www.w3.org/ns/csvw"
    assert [c["name"] for c in metadata["tableSchema"]["columns"]] == list(exports.COLUMNS)


# CycloneDX 1.6, by what its schema asks of each part

BOM_KEYS = {"bomFormat", "specVersion", "serialNumber", "version", "metadata", "components"}


@pytest.mark.parametrize("kind", list(PAGES.KINDS))
def test_an_ml_bom_has_the_parts_that_the_schema_asks_for(example: ModuleType, kind: str) -> None:
    statement = PAGES.KINDS[kind](example)
    bom = exports.ml_bom(statement, DIGEST)
    assert json.loads(json.dumps(bom)) == bom == exports.ml_bom(statement, DIGEST)
    assert bom.keys() == BOM_KEYS | {"dependencies"}
    assert (bom["bomFormat"], bom["specVersion"]) == ("CycloneDX", "1.6")
    assert uuid.UUID(bom["serialNumber"].removeprefix("urn:uuid:")).version == 5
    model = bom["metadata"]["component"]
    assert model["type"] == "machine-learning-model"
    assert model["hashes"] == [
        {"alg": "SHA-256", "content": statement["subject"][0]["digest"]["sha256"]}
    ]
    assert model["externalReferences"][0]["hashes"][0]["content"] == DIGEST
    refs = [component["bom-ref"] for component in bom["components"]]
    assert len(set(refs)) == len(refs)
    named = {d["ref"] for d in model["modelCard"]["modelParameters"]["datasets"]}
    (edge,) = bom["dependencies"]
    assert named <= set(refs)
    assert edge["ref"] == model["bom-ref"]
    assert set(edge["dependsOn"]) <= set(refs)


def test_figures_of_an_ml_bom_are_the_statement_s_required_ones(example: ModuleType) -> None:
    statement = PAGES.passed(example)
    card = exports.ml_bom(statement, DIGEST)["metadata"]["component"]["modelCard"]
    metrics = {m["type"]: m for m in card["quantitativeAnalysis"]["performanceMetrics"]}
    required = [row for row in statement["predicate"]["audits"] if row["required"]]
    assert metrics.keys() == {row["name"] for row in required}
    for row in required:
        metric = metrics[row["name"]]
        assert float(metric["value"]) == pytest.approx(row["value"], rel=1e-5)
        low, high = (float(metric["confidenceInterval"][k]) for k in ("lowerBound", "upperBound"))
        assert (low, high) == pytest.approx(row["interval"], rel=1e-5)
    assert (
        card["considerations"]["technicalLimitations"]
        == statement["predicate"]["verdict"]["limits"]
    )
