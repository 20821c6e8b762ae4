"""A record as in-toto statements that other tools take in. Pure: JSON values, no file, no clock.

    test_result       the verdict, as supply-chain gates understand it: a predicate in force
    eval_result       the verdict, measurement by measurement: a draft
    preregistration   the rule that was fixed before anything was audited: a draft

Their subject is the model after, twice: by the SHA-256 of its file, and by the digest that
OpenSSF's model-signing puts into a signature of that file. So a policy that matches digests finds
statement and signature of one model together. None of them is evidence: each leads back to the
signed statement.

Sources: in-toto attestation framework v1; its predicate test-result v0.1; eval-result v0.1, a draft
in in-toto/attestation pull request 575; PRML v0.1, a draft in pull request 587 with the working
draft of PRML of 1 May 2026; the format of model-signing 1.1.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from compliance.formats import typed
from compliance.formats.timestamps import parse_utc
from compliance.signing import Statement
from compliance.signing.facts import AuditRow, Plan, Predicate

Json = dict[str, Any]
Decoded = Mapping[str, Any]

STATEMENT = "https://in-toto.io/Statement/v1"
TEST_RESULT = "https://in-toto.io/attestation/test-result/v0.1"
EVAL_RESULT = "https://in-toto.io/attestation/eval-result/v0.1"
PREREGISTRATION = "https://falsify.dev/prml/v0.1"
METRIC = "urn:damp:metric:share-of-required-rows-within-margin"
"""What is pre-registered: the share of the plan's required measurements that lie within margin."""


def subjects(facts: Statement) -> list[Json]:
    """The model after, by its file's digest and by that of a model-signing signature."""
    subject = typed.plain(facts.subject[0])
    root = model_signing_digest(facts.model_after)
    return [subject, {"name": f"{subject['name']} (model-signing)", "digest": {"sha256": root}}]


def model_signing_digest(sha256: str) -> str:
    """The subject of OpenSSF's model-signing over one file: SHA-256 over the digests of its files.

    Args:
        sha256: Of the file, 64 hexadecimal digits.
    """
    return hashlib.sha256(bytes.fromhex(sha256)).hexdigest()


def test_result(statement: Decoded) -> Json:
    """The verdict as an in-toto Statement v1 with the predicate test-result v0.1.

    Each required measurement is a test; what is not within its margin has failed, also where it was
    undecided or not run. INCONCLUSIVE is FAILED there: the format knows PASSED, WARNED (passed with
    warnings) and FAILED, and no decision is no pass.
    """
    facts = Statement.of(statement)
    predicate, plan = facts.predicate, facts.predicate.audit_plan
    tests = [(row.title, row.outcome == "within") for row in predicate.required]
    tests += [(f"control {c.name}", c.as_expected) for c in predicate.controls]
    content = {
        "result": "PASSED" if predicate.verdict.result == "PASSED" else "FAILED",
        "configuration": [
            {"name": plan.policy.name, "digest": {"sha256": plan.policy.digest}},
            {"name": "audit plan", "digest": {"sha256": plan.digest}},
        ],
        "url": f"urn:uuid:{predicate.event.id}",
        "passedTests": [name for name, passed in tests if passed],
        "warnedTests": [],
        "failedTests": [name for name, passed in tests if not passed],
    }
    return _about(subjects(facts), TEST_RESULT, content)


test_result.__test__ = False  # type: ignore[attr-defined]  # pytest takes the name for a test


def eval_result(statement: Decoded) -> Json:
    """The verdict as the draft predicate eval-result v0.1: a claim for each edge of each margin.

    A measurement is within its margin when the whole interval is, so that what is compared is the
    interval's end and not the figure. PASSED needs every claim, and more that this format has no
    place for: the controls, and a level of assurance. The signed statement has them.
    """
    facts = Statement.of(statement)
    own = facts.predicate
    content = {
        "verifier": {"id": f"urn:damp:ledger:{own.event.ledger.origin}"},
        "evaluatedAt": own.event.finished_at,
        "suite": {"name": own.audit_plan.policy.name, "version": own.audit_plan.policy.digest},
        "claims": [claim for row in own.required for claim in _claims(row)],
        "sampleSize": _fewest_images(own),
        "commitments": {
            "model": {"alg": "sha256", "value": facts.model_after, "salted": False},
            "dataset": {"alg": "sha256", "value": own.inputs.retain_set.sha256, "salted": False},
        },
        "assuranceLevel": "self_attested",
        "subjectProfile": "public-model",
        "preRegistration": {"alg": "sha256", "value": own.audit_plan.digest},
        "harness": {"name": "damp", "version": own.inputs.code.version},
    }
    return _about(subjects(facts), EVAL_RESULT, content)


def _claims(row: AuditRow) -> Iterator[Json]:
    """One claim for each edge of a row's margin; a row that did not run has passed none."""
    limits = row.limits
    if not row.ran or row.margin is None:
        yield _claim(f"{row.title}: measured and judged", ">=", 1, 0)
        return
    if limits.at_most is not None:
        upper = row.interval[1] if row.interval else None
        yield _claim(f"{row.title}: upper end of the 95% interval", "<=", limits.at_most, upper)
    low, high = row.difference_interval or (None, None)
    difference = f"{row.title}: difference from retrained models"
    if limits.below is not None:
        yield _claim(f"{difference}, lower end of the 90% interval", ">=", -limits.below, low)
    if limits.above is not None:
        yield _claim(f"{difference}, upper end of the 90% interval", "<=", limits.above, high)


def _claim(metric: str, comparator: str, threshold: float, value: float | None) -> Json:
    """Whether a value lies on the right side; a decimal text, so that no reader rounds it."""
    holds = value is not None and (value <= threshold if comparator == "<=" else value >= threshold)
    return {
        "metric": metric,
        "comparator": comparator,
        "threshold": f"{threshold:.12g}",
        "passed": holds,
    }


def _fewest_images(own: Predicate) -> int:
    """Held-out images of the forgotten class, of the row that has fewest; 0 where none has any."""
    sizes = [row.sizes for row in own.required if row.sizes]
    return min((each["forget_test"] for each in sizes if "forget_test" in each), default=0)


def preregistration(statement: Decoded) -> Json:
    """The plan as the draft predicate of PRML v0.1: what had to come out, fixed before the audits.

    The bar is one: all required measurements of the plan within their margins. Which they are, and
    their margins, stand in the plan that `metric_args` names by its digest.
    """
    facts = Statement.of(statement)
    manifest = prml_manifest(facts.predicate)
    digest = hashlib.sha256(canonical_yaml(manifest)).hexdigest()
    subject = [
        {"name": manifest["claim_id"], "digest": {"sha256": digest}},
        {"name": manifest["dataset"]["id"], "digest": {"sha256": manifest["dataset"]["hash"]}},
    ]
    same = ("claim_id", "created_at", "metric", "comparator", "threshold", "seed", "producer")
    content = {key: manifest[key] for key in same} | {
        "prml_version": manifest["version"],
        "manifest_sha256": digest,
    }
    return _about(subject, PREREGISTRATION, content)


def prml_manifest(own: Predicate) -> Json:
    """The plan as a PRML manifest, whose canonical bytes the predicate names by their digest."""
    plan, data = own.audit_plan, own.inputs.data_after
    registered = parse_utc(plan.registered_at)
    return {
        "version": "prml/0.1",
        "claim_id": str(_uuid7(registered, plan)),
        "created_at": f"{registered:%Y-%m-%dT%H:%M:%SZ}",
        "metric": METRIC,
        "metric_args": {
            "damp": own.inputs.code.version,
            "plan_sha256": plan.digest,
            "policy": plan.policy.name,
            "policy_sha256": plan.policy.digest,
        },
        "comparator": ">=",
        "threshold": 1.0,
        "dataset": {"id": f"{data.name} {data.version}", "hash": own.inputs.retain_set.sha256},
        "seed": plan.seed,
        "producer": {"id": own.event.ledger.origin},
        "model": {"id": f"sha256:{own.inputs.model_before.digest.sha256}"},
    }


def canonical_yaml(manifest: Json) -> bytes:
    """A manifest in PRML's canonical form, which is that of PyYAML's block style, keys sorted."""
    import yaml

    text: str = yaml.safe_dump(
        manifest, sort_keys=True, default_flow_style=False, allow_unicode=True, width=1 << 20
    )
    return text.encode()


def _uuid7(moment: datetime, plan: Plan) -> uuid.UUID:
    """A UUID of version 7: its time is the plan's, its other bits are of the plan's digest."""
    milliseconds = int(moment.timestamp() * 1000)
    tail = int(plan.digest, 16) & ((1 << 80) - 1)
    number = milliseconds << 80 | tail
    number = number & ~(0xF << 76) | 0x7 << 76  # version
    number = number & ~(0x3 << 62) | 0x2 << 62  # variant
    return uuid.UUID(int=number)


def _about(subject: list[Json], kind: str, content: Json) -> Json:
    return {"_type": STATEMENT, "subject": subject, "predicateType": kind, "predicate": content}
