"""In-toto statements for other tools, each held against the format's own library."""

from __future__ import annotations

import hashlib
import json
import runpy
import uuid
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from compliance.report import attestations
from compliance.signing import Statement

PAGES = SimpleNamespace(**runpy.run_path(str(Path(__file__).parents[1] / "report_examples.py")))


# test-result, by the protobuf classes of in-toto-attestation


def parsed(statement: dict[str, Any]) -> tuple[Any, Any]:
    from google.protobuf import json_format
    from in_toto_attestation.predicates.test_result.v0 import test_result_pb2
    from in_toto_attestation.v1 import statement_pb2

    whole = json_format.ParseDict(statement, statement_pb2.Statement())
    predicate = json_format.ParseDict(statement["predicate"], test_result_pb2.TestResult())
    return whole, predicate


@pytest.mark.parametrize(
    ("kind", "result"), [("PASSED", "PASSED"), ("FAILED", "FAILED"), ("INCONCLUSIVE", "FAILED")]
)
def test_a_test_result_is_read_by_the_official_classes(
    example: ModuleType, kind: str, result: str
) -> None:
    statement = PAGES.KINDS[kind](example)
    _, predicate = parsed(attestations.test_result(statement))
    assert predicate.result == result
    assert predicate.configuration[0].name == "example-v1"
    required = [r for r in statement["predicate"]["audits"] if r.get("required")]
    tests = [*predicate.passed_tests, *predicate.failed_tests]
    controls = statement["predicate"]["controls"]
    assert len(tests) == len(required) + len(controls)
    assert bool(predicate.failed_tests) is (kind != "PASSED")


def test_an_unknown_field_is_refused_by_the_official_classes(example: ModuleType) -> None:
    from google.protobuf import json_format

    exported = attestations.test_result(PAGES.passed(example))
    exported["predicate"]["verdict"] = "PASSED"
    with pytest.raises(json_format.ParseError):
        parsed(exported)


# the subject, by model-signing


def signed_by_model_signing(model: Path, folder: Path) -> dict[str, Any]:
    """The statement that OpenSSF's model-signing signs of a model, its signature checked."""
    import base64

    import model_signing
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import (
        Encoding,
        NoEncryption,
        PrivateFormat,
        PublicFormat,
    )

    key = ec.generate_private_key(ec.SECP256R1())
    private, public, signature = (folder / name for name in ("key.pem", "pub.pem", "model.sig"))
    private.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    public.write_bytes(
        key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    )
    model_signing.signing.Config().use_elliptic_key_signer(private_key=private).sign(
        model, signature
    )
    model_signing.verifying.Config().use_elliptic_key_verifier(public_key=public).verify(
        model, signature
    )
    bundle = json.loads(signature.read_bytes())
    signed: dict[str, Any] = json.loads(base64.b64decode(bundle["dsseEnvelope"]["payload"]))
    return signed


@pytest.mark.parametrize("make", [attestations.test_result, attestations.eval_result])
@pytest.mark.parametrize("whole_folder", [False, True])
def test_a_signature_of_model_signing_and_an_export_have_the_same_subject(
    example: ModuleType, tmp_path: Path, make: Any, whole_folder: bool
) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    model = folder / "after.safetensors"
    model.write_bytes(b"weights" * 5000)
    statement = PAGES.passed(example)
    sha256 = hashlib.sha256(model.read_bytes()).hexdigest()
    statement["subject"][0]["digest"]["sha256"] = sha256
    theirs = signed_by_model_signing(folder if whole_folder else model, tmp_path)
    (subject,) = theirs["subject"]
    ours = [each["digest"] for each in make(statement)["subject"]]
    assert ours == [{"sha256": sha256}, subject["digest"]]
    assert [each["digest"] for each in theirs["predicate"]["resources"]] == [sha256]
    model.write_bytes(b"weights" * 4999)
    other = signed_by_model_signing(model, tmp_path)
    assert other["subject"][0]["digest"] not in ours


def test_no_subject_is_the_model_before(example: ModuleType) -> None:
    statement = PAGES.passed(example)
    before = statement["predicate"]["inputs"]["modelBefore"]["digest"]["sha256"]
    root = attestations.model_signing_digest(before)
    for make in (attestations.test_result, attestations.eval_result):
        written = json.dumps(make(statement)["subject"])
        assert before not in written
        assert root not in written


# eval-result, a draft: by what its text asks of each field

REQUIRED = {
    *("verifier", "evaluatedAt", "suite", "claims", "sampleSize", "commitments"),
    *("assuranceLevel", "subjectProfile"),
}
OPTIONAL = {"preRegistration", "receipt", "harness"}


@pytest.mark.parametrize("kind", list(PAGES.KINDS))
def test_an_evaluation_has_the_fields_that_the_draft_asks_for(
    example: ModuleType, kind: str
) -> None:
    statement = PAGES.KINDS[kind](example)
    exported = attestations.eval_result(statement)
    own = exported["predicate"]
    assert REQUIRED <= own.keys() <= REQUIRED | OPTIONAL
    assert own["claims"]
    for claim in own["claims"]:
        assert claim.keys() == {"metric", "comparator", "threshold", "passed"}
        assert claim["comparator"] in (">=", ">", "<=", "<")
        assert isinstance(claim["threshold"], str)
        assert isinstance(claim["passed"], bool)
        float(claim["threshold"])
    assert isinstance(own["sampleSize"], int)
    assert own["commitments"]["model"]["value"] == statement["subject"][0]["digest"]["sha256"]
    assert own["preRegistration"]["value"] == statement["predicate"]["auditPlan"]["digest"]
    assert datetime.fromisoformat(own["evaluatedAt"]).tzinfo is not None


@pytest.mark.parametrize("kind", list(PAGES.KINDS))
def test_all_claims_of_a_row_pass_where_it_lies_within_its_margin_and_only_there(
    example: ModuleType, kind: str
) -> None:
    statement = PAGES.KINDS[kind](example)
    claims = attestations.eval_result(statement)["predicate"]["claims"]
    for row in Statement.of(statement).predicate.required:
        mine = [claim["passed"] for claim in claims if claim["metric"].startswith(f"{row.title}:")]
        assert mine, row.title
        assert all(mine) is (row.outcome == "within"), row.title


# PRML, by its own implementation


@pytest.mark.parametrize("kind", list(PAGES.KINDS))
def test_a_pre_registration_is_what_prml_s_own_implementation_makes_of_its_manifest(
    example: ModuleType, kind: str
) -> None:
    import falsify_prml

    statement = PAGES.KINDS[kind](example)
    manifest = attestations.prml_manifest(Statement.of(statement).predicate)
    assert falsify_prml.validate_manifest(manifest) == []
    ours = attestations.canonical_yaml(manifest)
    assert ours == falsify_prml.canonicalize(manifest).encode()
    theirs = falsify_prml.to_intoto_statement(manifest)
    exported = attestations.preregistration(statement)
    assert exported["predicateType"] == theirs["predicateType"]
    assert exported["subject"] == theirs["subject"]
    digest = hashlib.sha256(ours).hexdigest()
    assert exported["predicate"]["manifest_sha256"] == digest
    for key in ("metric", "comparator", "threshold", "seed", "claim_id", "created_at"):
        assert exported["predicate"][key] == manifest[key]


def test_prml_s_implementation_refuses_a_manifest_that_breaks_it(example: ModuleType) -> None:
    """The positive control of the test above."""
    import falsify_prml

    manifest = attestations.prml_manifest(Statement.of(PAGES.passed(example)).predicate)
    for key, value in (("threshold", float("nan")), ("claim_id", "x"), ("comparator", "=")):
        assert falsify_prml.validate_manifest(manifest | {key: value})


def test_the_id_of_a_pre_registration_is_a_uuid_of_the_plan_s_time(example: ModuleType) -> None:
    statement = PAGES.passed(example)
    manifest = attestations.prml_manifest(Statement.of(statement).predicate)
    identity = uuid.UUID(manifest["claim_id"])
    assert (identity.int >> 76 & 0xF, identity.variant) == (7, uuid.RFC_4122)
    registered = statement["predicate"]["auditPlan"]["registeredAt"]
    moment = datetime.fromtimestamp((identity.int >> 80) / 1000, UTC)
    assert abs((moment - datetime.fromisoformat(registered)).total_seconds()) < 0.001
    statement["predicate"]["auditPlan"]["digest"] = "cd" * 32
    other = attestations.prml_manifest(Statement.of(statement).predicate)
    assert other["claim_id"] != manifest["claim_id"]
