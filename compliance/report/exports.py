"""Ways out of a record, each in a published format. Pure: JSON values and text, no file, no clock.

    openlineage   RunEvents, for a lineage catalogue
    cyclonedx     an ML-BOM, for an inventory of what a product is made of
    model-card    a section and metadata for a Hugging Face model card
    csv           the ledger, for a spreadsheet

`attestations` has in-toto's statements, `dossiers` the views by a law and by a standard. None of
them is evidence: they lead back to the signed statement by its digest.
"""

from __future__ import annotations

import csv
import io
import json
import uuid
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from compliance.ledger import Entry
from compliance.report import pages, templates
from compliance.signing import Statement
from compliance.signing.facts import Predicate
from compliance.signing.input_facts import DataVersion

Json = dict[str, Any]
Decoded = Mapping[str, Any]

SCHEMA = "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent"
FACETS = "https://openlineage.io/spec/facets"
NAMESPACE = uuid.UUID("c2b6b5f6-5d0a-4c55-8f0e-0d0b6b1a6a11")
"""For run ids that are the same at every export."""


def openlineage(statement: Decoded, digest: str) -> list[Json]:
    """The attempt as two RunEvents of OpenLineage 2-0-2: its start, and its end.

    Data versions and models are datasets. The run's end is COMPLETE whatever the verdict, which
    stands in the run facet `dampVerdict`.

    Args:
        statement: The decoded statement.
        digest: SHA-256 of its signed bytes.
    """
    facts = Statement.of(statement)
    predicate, inputs = facts.predicate, facts.predicate.inputs
    event = predicate.event
    producer = f"urn:damp:version:{inputs.code.version}"
    run = {"runId": str(uuid.uuid5(NAMESPACE, f"{event.id}/{event.attempt}"))}
    common = {
        "producer": producer,
        "schemaURL": SCHEMA,
        "job": {"namespace": "damp", "name": "unlearning-event", "facets": {}},
        "inputs": [
            _dataset(inputs.data_before, producer),
            _model("model before", inputs.model_before.digest.sha256, producer),
        ],
    }
    outputs = [
        _dataset(inputs.data_after, producer),
        _model("model after", facts.model_after, producer),
    ]
    ended = run | {"facets": {"dampVerdict": _verdict_facet(predicate, digest, producer)}}
    start = {"eventType": "START", "eventTime": event.started_at, "run": run, "outputs": []}
    end = {"eventType": "COMPLETE", "eventTime": event.finished_at, "run": ended}
    return [common | start, common | end | {"outputs": outputs}]


def _dataset(data: DataVersion, producer: str) -> Json:
    return _versioned("damp:data", data.name, data.version, producer)


def _model(role: str, sha256: str, producer: str) -> Json:
    return _versioned("damp:models", role, f"sha256:{sha256}", producer)


def _versioned(namespace: str, name: str, version: str, producer: str) -> Json:
    facet = {
        "_producer": producer,
        "_schemaURL": f"{FACETS}/1-0-1/DatasetVersionDatasetFacet.json"
        "#/$defs/DatasetVersionDatasetFacet",
        "datasetVersion": version,
    }
    return {"namespace": namespace, "name": name, "facets": {"version": facet}}


def _verdict_facet(predicate: Predicate, digest: str, producer: str) -> Json:
    return {
        "_producer": producer,
        "_schemaURL": f"{producer}#dampVerdict",
        "event": predicate.event.id,
        "attempt": predicate.event.attempt,
        "verdict": predicate.verdict.result,
        "assurance": predicate.verdict.assurance,
        "policy": predicate.audit_plan.policy.name,
        "statement": digest,
    }


def ml_bom(statement: Decoded, digest: str) -> Json:
    """The model after with what it was made from, as a CycloneDX 1.6 ML-BOM.

    Figures are those of the required rows, with their 95% intervals; limits are the verdict's. The
    same statement gives the same bytes.

    Args:
        statement: The decoded statement.
        digest: SHA-256 of its signed bytes.
    Source: CycloneDX 1.6 (ECMA-424), `machine-learning-model` and `modelCard`.
    """
    facts = Statement.of(statement)
    own = facts.predicate
    after = _bom_model(facts.subject[0].name, facts.model_after) | {
        "modelCard": _bom_card(own),
        "pedigree": {
            "ancestors": [_bom_model("model before", own.inputs.model_before.digest.sha256)],
            "notes": f"{own.verdict.result}: {own.verdict.claim}",
        },
        "externalReferences": [
            {
                "type": "attestation",
                "url": f"urn:uuid:{own.event.id}",
                "comment": f"Signed statement of attempt {own.event.attempt}",
                "hashes": [{"alg": "SHA-256", "content": digest}],
            }
        ],
    }
    data = [_bom_data(own.inputs.data_before), _bom_data(own.inputs.data_after)]
    serial = uuid.uuid5(NAMESPACE, f"bom {own.event.id}/{own.event.attempt}")
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{serial}",
        "version": 1,
        "metadata": {
            "timestamp": own.event.finished_at,
            "tools": {
                "components": [
                    {"type": "application", "name": "damp", "version": own.inputs.code.version}
                ]
            },
            "component": after,
        },
        "components": list({each["bom-ref"]: each for each in data}.values()),
        "dependencies": [{"ref": after["bom-ref"], "dependsOn": [_bom_ref(own.inputs.data_after)]}],
    }


def _bom_model(name: str, sha256: str) -> Json:
    return {
        "type": "machine-learning-model",
        "bom-ref": f"model:{sha256}",
        "name": name,
        "version": sha256[:12],
        "hashes": [{"alg": "SHA-256", "content": sha256}],
    }


def _bom_ref(data: DataVersion) -> str:
    return f"data:{data.version}"


def _bom_data(data: DataVersion) -> Json:
    return {
        "type": "data",
        "bom-ref": _bom_ref(data),
        "name": data.name,
        "version": data.version,
        "data": [{"type": "dataset", "name": data.name, "description": f"{data.rows} rows"}],
    }


def _bom_card(own: Predicate) -> Json:
    metrics = [
        {
            "type": row.title,
            "value": f"{row.value:.6g}",
            "confidenceInterval": {
                "lowerBound": f"{row.interval[0]:.6g}",
                "upperBound": f"{row.interval[1]:.6g}",
            },
        }
        for row in own.required
        if row.value is not None and row.interval is not None
    ]
    return {
        "modelParameters": {
            "task": "image-classification",
            "datasets": [{"ref": _bom_ref(own.inputs.data_after)}],
        },
        "quantitativeAnalysis": {"performanceMetrics": metrics},
        "considerations": {"technicalLimitations": list(own.verdict.limits)},
    }


def model_card(page: Decoded, digest: str) -> str:
    """Metadata and a section for a Hugging Face model card, as Markdown with a YAML head.

    Args:
        page: What `report_json` made.
        digest: SHA-256 of the signed statement.
    """
    head = {"tags": ["machine-unlearning"], "model-index": [_model_index(page)]}
    body = templates.markdown().get_template("model_card.md")
    # JSON is YAML; a library that reads cards reads it as well
    front = json.dumps(head, indent=2, ensure_ascii=True)
    return f"---\n{front}\n---\n\n{body.render(page=page, digest=digest)}"


def _model_index(page: Decoded) -> Json:
    attempt = pages.Page.of(page)
    rows = [row for audit in attempt.evidence for row in audit.rows if row.required]
    data = attempt.done.data_after
    metrics = [
        {"type": row.name, "name": row.label, "value": row.value, "verified": False} for row in rows
    ]
    result = {
        "task": {"type": "image-classification"},
        "dataset": {"type": data.name, "name": data.name, "revision": data.version},
        "metrics": metrics,
    }
    return {"name": attempt.done.model_after[0].name, "results": [result]}


COLUMNS = ("seq", "time", "kind", "event", "key", "body", "previous", "hash")


def ledger_csv(entries: Sequence[Entry]) -> str:
    """The ledger as CSV (RFC 4180), one row an entry, the body as JSON."""
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow(COLUMNS)
    writer.writerows(_cells(entries))
    return out.getvalue()


def _cells(entries: Sequence[Entry]) -> Iterator[list[Any]]:
    for entry in entries:
        body = json.dumps(entry.body, sort_keys=True, ensure_ascii=False)
        yield [_inert(body if name == "body" else entry[name]) for name in COLUMNS]


def _inert(cell: Any) -> Any:
    """Text that a spreadsheet would take for a formula, with a quote before it."""
    return f"'{cell}" if isinstance(cell, str) and cell[:1] in ("=", "+", "-", "@", "\t") else cell


def csv_metadata(name: str) -> Json:
    """What the columns mean, as CSV on the Web (W3C) has it, for a file beside the CSV."""
    kinds = {"seq": "nonNegativeInteger", "time": "dateTimeStamp", "body": "json"}
    meaning = {
        "seq": "number from 0",
        "time": "UTC, when it was written",
        "kind": "what happened",
        "event": "id of the event; empty for what concerns the ledger itself",
        "key": "idempotency key",
        "body": "the facts",
        "previous": "hash of the entry before",
        "hash": "SHA-256 of this entry's canonical form without `hash`",
    }
    columns = [
        {"name": c, "titles": c, "datatype": kinds.get(c, "string"), "dc:description": meaning[c]}
        for c in COLUMNS
    ]
    return {
        "@context": "http://www.w3.org/ns/csvw",
        "url": name,
        "tableSchema": {"columns": columns, "primaryKey": "seq"},
    }
