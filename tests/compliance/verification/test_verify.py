"""The check of a statement: its exit codes, and that it needs little to answer."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from compliance import signing
from compliance.formats import strict_json
from compliance.ledger import Ledger
from compliance.signing import Trust, TrustedKey, load_trust
from compliance.verification.verify import CANNOT_JUDGE, Verification, verify_statement

Line = Callable[..., TrustedKey]
HEAVY = ["torch", "mlflow", "prefect", "sklearn", "matplotlib", "scipy", "numpy", "pydantic"]


def failing(example: ModuleType) -> dict[str, Any]:
    from compliance.verdict import judge

    findings = example.findings(few_shot__1_at_penultimate=0.92)
    document: dict[str, Any] = example.example(
        judge(findings, example.controls(), example.policy())
    )
    return document


def resigned(record: Any, payload: bytes, payload_type: str = signing.PAYLOAD_TYPE) -> Path:
    """Any bytes, properly signed by the executor."""
    from securesystemslib.dsse import Envelope

    envelope = Envelope(payload, payload_type, {})
    envelope.sign(record.executor.signer)
    record.statement.write_text(json.dumps(envelope.to_dict()))
    return record.statement  # type: ignore[no-any-return]


def invalid(verification: Verification, words: str) -> None:
    assert verification.exit_code == 1
    assert any(words in problem for problem in verification.problems), verification.problems
    assert (verification.verdict, verification.statement) == ("", None)


def unjudged(verification: Verification, words: str) -> None:
    assert verification.exit_code == CANNOT_JUDGE
    assert any(words in problem for problem in verification.problems), verification.problems
    assert (verification.verdict, verification.statement) == ("", None)


def test_a_valid_pass_is_0_and_tells_that_its_key_is_a_demo(record: Any) -> None:
    verification = verify_statement(record.statement, record.trust)
    assert (verification.exit_code, verification.verdict, verification.problems) == (
        0,
        "PASSED",
        (),
    )
    assert "demo key" in verification.notes[0]
    content = verification.to_json()
    assert content["valid"]
    assert json.loads(json.dumps(content)) == content


def test_a_valid_failure_is_2(record: Any, example: ModuleType) -> None:
    verification = verify_statement(record.write(failing(example)), record.trust)
    assert (verification.exit_code, verification.verdict) == (2, "FAILED")


@pytest.mark.parametrize("gone", ["statement", "trust"])
def test_what_is_not_there_to_judge_or_to_judge_by_is_5_and_no_word_against_the_statement(
    record: Any, tmp_path: Path, gone: str
) -> None:
    given = {"statement": record.statement, "trust": record.trust, gone: tmp_path / "gone.json"}
    verification = verify_statement(given["statement"], given["trust"])
    assert verification.exit_code == CANNOT_JUDGE == 5
    assert verification.statement is None
    assert "cannot be read" in verification.problems[0]
    assert verification.to_json()["valid"] is None


def test_a_trust_file_that_is_none_is_5(record: Any, tmp_path: Path) -> None:
    (tmp_path / "trust.json").write_text('{"format": "another"}')
    verification = verify_statement(record.statement, tmp_path / "trust.json")
    assert verification.exit_code == CANNOT_JUDGE
    assert "--trust" in verification.problems[0]


def test_a_broken_file_is_1(record: Any, tmp_path: Path) -> None:
    record.statement.write_text("{")
    invalid(verify_statement(record.statement, record.trust), "no JSON")


def test_an_unknown_key_is_1(record: Any) -> None:
    invalid(verify_statement(record.statement, Trust(keys={})), "No trusted executor has signed")


def test_the_wrong_role_is_1(record: Any, trust_line: Line) -> None:
    reviewing = {record.executor.keyid: trust_line(record.executor, "reviewer")}
    verification = verify_statement(record.statement, Trust(keys=reviewing))
    invalid(verification, "No trusted executor has signed")


def test_the_executor_alone_never_counts_as_reviewer(record: Any, example: ModuleType) -> None:
    both = ("executor", "reviewer")
    verification = verify_statement(record.statement, record.trust, roles=both)
    invalid(verification, "No trusted reviewer has signed")
    record.write(example.example(), record.reviewer)
    assert verify_statement(record.statement, record.trust, roles=both).exit_code == 0


def test_one_key_never_fills_two_roles(record: Any, trust_line: Line, tmp_path: Path) -> None:
    """Neither by signing twice nor by standing in the trust file twice."""
    both = ("executor", "reviewer")
    content = json.loads(record.statement.read_bytes())
    record.statement.write_text(json.dumps(content | {"signatures": content["signatures"] * 2}))
    invalid(verify_statement(record.statement, record.trust, roles=both), "refused")
    record.statement.write_text(json.dumps(content))
    lines = [
        f'"{record.executor.keyid}": {json.dumps(asdict(trust_line(record.executor, role)))}'
        for role in both
    ]
    file = tmp_path / "trust.json"
    frame = '{"format": "damp/trust/v1", "keys": {LINES}}'
    file.write_text(frame.replace("LINES", lines[0]))
    assert verify_statement(record.statement, file).exit_code == 0
    file.write_text(frame.replace("LINES", ", ".join(lines)))
    unjudged(verify_statement(record.statement, file, roles=both), "twice")


@pytest.mark.parametrize(
    ("start", "end"),
    [
        ("2026-01-01T00:00:00Z", "2026-09-19T00:00:00Z"),
        ("2026-09-21T00:00:00Z", "2027-01-01T00:00:00Z"),
    ],
)
def test_a_key_that_was_not_valid_then_is_1(
    record: Any, trust_line: Line, start: str, end: str
) -> None:
    line = trust_line(record.executor, not_before=start, not_after=end)
    verification = verify_statement(record.statement, Trust(keys={record.executor.keyid: line}))
    invalid(verification, "the attempt ended at")


def test_a_reviewer_may_be_appointed_later(
    record: Any, example: ModuleType, trust_line: Line
) -> None:
    record.write(example.example(), record.reviewer)
    later = {"not_before": "2026-09-22T00:00:00Z"}
    trust = Trust(
        keys={
            record.executor.keyid: trust_line(record.executor),
            record.reviewer.keyid: trust_line(record.reviewer, "reviewer", **later),
        }
    )
    assert verify_statement(record.statement, trust, roles=["reviewer"]).exit_code == 0


def test_a_demo_key_that_hides_is_1(record: Any, example: ModuleType) -> None:
    record.write(example.example() | {})
    document = example.example()
    document["predicate"]["demoKey"] = False
    invalid(verify_statement(record.write(document), record.trust), "hides it")


def test_a_signature_of_another_statement_is_1(record: Any, example: ModuleType) -> None:
    other = json.loads(signing.sign(failing(example), record.executor))
    content = json.loads(record.statement.read_bytes())
    record.statement.write_text(json.dumps(content | {"signatures": other["signatures"]}))
    invalid(verify_statement(record.statement, record.trust), "does not hold")


def test_one_bad_signature_among_good_ones_is_1(record: Any, example: ModuleType) -> None:
    record.write(example.example(), record.reviewer)
    content = json.loads(record.statement.read_bytes())
    content["signatures"][1]["sig"] = content["signatures"][0]["sig"]
    record.statement.write_text(json.dumps(content))
    invalid(verify_statement(record.statement, record.trust), "does not hold")


def test_a_signature_by_a_stranger_is_noted(record: Any, example: ModuleType) -> None:
    record.write(example.example(), record.reviewer)
    keys = load_trust(record.trust).keys
    trust = Trust(keys={record.executor.keyid: keys[record.executor.keyid]})
    verification = verify_statement(record.statement, trust)
    assert verification.exit_code == 0
    assert any("not in the trust file" in note for note in verification.notes)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("_type", "https://in-toto.io/Statement/v2"),
        ("predicateType", "urn:damp:attestation:unlearning-event:v2"),
        ("predicateType", "https://slsa.dev/provenance/v1"),
    ],
)
def test_a_newer_or_foreign_statement_is_3_and_says_what_reads_it(
    record: Any, example: ModuleType, path: str, value: str
) -> None:
    from compliance.signing import statement

    changed = example.example() | {path: value}
    verification = verify_statement(resigned(record, statement.canonical(changed)), record.trust)
    assert verification.exit_code == 3
    assert value in verification.problems[0]
    assert "use a version of damp" in verification.problems[0]


def test_an_unknown_payload_type_is_3(record: Any, example: ModuleType) -> None:
    from compliance.signing import statement

    payload = statement.canonical(example.example())
    assert verify_statement(resigned(record, payload, "text/plain"), record.trust).exit_code == 3


def test_a_newer_statement_without_a_signature_that_holds_is_1(
    record: Any, example: ModuleType
) -> None:
    changed = json.loads(record.statement.read_bytes()) | {"payloadType": "application/other"}
    record.statement.write_text(json.dumps(changed))
    invalid(verify_statement(record.statement, record.trust), "does not hold")


def test_signed_bytes_that_are_no_proper_statement_are_1(record: Any, example: ModuleType) -> None:
    from compliance.signing import statement

    document = example.example()
    text = statement.canonical(document).decode()
    twice = text.replace('"result":"PASSED"', '"result":"FAILED","result":"PASSED"')
    assert twice != text
    invalid(verify_statement(resigned(record, twice.encode()), record.trust), "twice")
    pretty = json.dumps(document, indent=1).encode()
    invalid(verify_statement(resigned(record, pretty), record.trust), "canonical")
    document["predicate"]["extra"] = 1
    invalid(
        verify_statement(resigned(record, statement.canonical(document)), record.trust), "extra"
    )
    invalid(verify_statement(resigned(record, b"\xff"), record.trust), "UTF-8")


def test_a_signed_pass_that_contradicts_itself_is_1(record: Any, example: ModuleType) -> None:
    from compliance.signing import statement

    document = example.example()
    document["predicate"]["audits"][0]["outcome"] = "outside"
    invalid(
        verify_statement(resigned(record, statement.canonical(document)), record.trust),
        "is outside",
    )


def test_the_model_must_be_the_one_after(record: Any, example: ModuleType, tmp_path: Path) -> None:
    import hashlib

    after, before, other = (tmp_path / n for n in ("after", "before", "other"))
    for file in (after, before, other):
        file.write_bytes(file.name.encode())
    parts = example.parts()
    parts["sha256"] = hashlib.sha256(b"after").hexdigest()
    parts["inputs"]["modelBefore"]["digest"]["sha256"] = hashlib.sha256(b"before").hexdigest()
    from compliance.signing import statement

    record.write(statement.build(**parts))
    assert verify_statement(record.statement, record.trust, model=after).exit_code == 0
    invalid(verify_statement(record.statement, record.trust, model=before), "the model before")
    invalid(verify_statement(record.statement, record.trust, model=other), "the statement is about")
    invalid(
        verify_statement(record.statement, record.trust, model=tmp_path / "gone"), "cannot be read"
    )


THIRD = {"place": 3, "declared": ["mended", "renewed", "retrain"], "level": 0.05 / 3}


@pytest.fixture
def booked(record: Any, example: ModuleType) -> Callable[..., Ledger]:
    """Books the example's event in a ledger as an event is; writes the statement that fits."""
    from compliance.signing import statement

    def book(**changes: Any) -> Ledger:
        ledger = Ledger(record.folder / "ledger.jsonl")
        event = example.EVENT
        parts = example.parts()
        ledger.append("request_received", event, {"due": "2026-10-20T08:00:00Z"})
        plan = {"attempt": 1, "digest": changes.get("plan", parts["auditPlan"]["digest"])}
        if "declared" in changes:
            plan |= {"plan": {"attempts": changes["declared"] | {"skipped": []}}}
        if "stated" in changes:
            parts["event"]["attempts"] = changes["stated"] | {"skipped": [], "costs": []}
        entry = ledger.append("plan_registered", changes.get("plan_event", event), plan)
        parts["auditPlan"]["ledgerSequence"] = entry["seq"]
        if "hidden" in changes:
            body = {"attempt": 0, "verdict": "FAILED", "statement": "a" * 64}
            ledger.append("statement_signed", event, body)
        parts["event"]["ledger"] = ledger.position() | changes.get("position", {})
        record.write(statement.build(**parts))
        digest = signing.digest(record.statement.read_bytes())
        body = {"attempt": 1, "verdict": "PASSED", "statement": digest} | changes.get("signed", {})
        if "unsigned" not in changes:
            ledger.append("statement_signed", event, body)
        return ledger

    return book


def test_a_ledger_that_holds_plan_and_statement_bears_it_out(
    record: Any, booked: Callable[..., Ledger]
) -> None:
    ledger = booked()
    assert verify_statement(record.statement, record.trust, ledger=ledger.path).exit_code == 0


def test_a_ledger_that_declares_the_attempts_bears_them_out(
    record: Any, booked: Callable[..., Ledger]
) -> None:
    ledger = booked(declared=THIRD, stated=THIRD)
    assert verify_statement(record.statement, record.trust, ledger=ledger.path).exit_code == 0


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"plan": "b" * 64}, "another audit plan"),
        ({"plan_event": "other"}, "is not the audit plan"),
        ({"unsigned": True}, "does not hold this statement"),
        ({"signed": {"statement": "c" * 64}}, "does not hold this statement"),
        ({"signed": {"verdict": "FAILED"}}, "another verdict"),
        ({"hidden": True}, "1 earlier attempts"),
        ({"declared": THIRD}, "declares other attempts"),
        ({"declared": THIRD, "stated": THIRD | {"level": 0.05}}, "declares other attempts"),
        ({"position": {"origin": "ledger-other"}}, "belongs to ledger-other"),
        ({"position": {"previous": "d" * 64}}, "is not the one that the statement was written"),
        ({"position": {"sequence": 9}}, "its tail was cut off"),
    ],
)
def test_a_ledger_that_says_otherwise_is_1(
    record: Any, booked: Callable[..., Ledger], changes: dict[str, Any], words: str
) -> None:
    ledger = booked(**changes)
    invalid(verify_statement(record.statement, record.trust, ledger=ledger.path), words)


def signed_checkpoint(record: Any, ledger: Ledger, key: Any = None) -> Path:
    from compliance.ledger import checkpoint

    held = checkpoint.of(ledger.position()["origin"], ledger.lines())
    path: Path = record.folder / "checkpoint.txt"
    path.write_text(checkpoint.sign(held, key or record.executor))
    return path


def test_a_ledger_must_continue_the_checkpoint(record: Any, booked: Callable[..., Ledger]) -> None:
    ledger = booked()
    held = signed_checkpoint(record, ledger)
    given = {"ledger": ledger.path, "checkpoint": held}
    ledger.append("attempt_closed", "other", {})
    assert verify_statement(record.statement, record.trust, **given).exit_code == 0
    held = signed_checkpoint(record, ledger)
    lines = ledger.path.read_bytes().splitlines(keepends=True)
    ledger.path.write_bytes(b"".join(lines[:-1]))
    invalid(verify_statement(record.statement, record.trust, **given), "its tail was cut off")


def test_a_checkpoint_alone_or_by_a_stranger_shows_nothing(
    record: Any, booked: Callable[..., Ledger], tmp_path: Path
) -> None:
    ledger = booked()
    held = signed_checkpoint(record, ledger)
    verification = verify_statement(record.statement, record.trust, checkpoint=held)
    unjudged(verification, "nothing without its ledger")
    stranger = signing.generate(tmp_path / "more-keys", demo=True)
    given = {"ledger": ledger.path, "checkpoint": signed_checkpoint(record, ledger, stranger)}
    invalid(verify_statement(record.statement, record.trust, **given), "No trusted key")


def proof_of(record: Any, ledger: Ledger, index: int) -> Path:
    from compliance.ledger import proofs

    path: Path = record.folder / "statement.tlog-proof"
    signed = signed_checkpoint(record, ledger).read_text()
    path.write_text(proofs.inclusion(ledger.lines(), index, signed))
    return path


def test_a_proof_stands_for_the_ledger(record: Any, booked: Callable[..., Ledger]) -> None:
    ledger = booked()
    last = len(ledger.lines()) - 1
    for other in range(5):
        ledger.append("request_received", f"other {other}", {})
    proof = proof_of(record, ledger, last)
    assert verify_statement(record.statement, record.trust, proof=proof).exit_code == 0
    other_entry = proof_of(record, ledger, last + 1)
    verification = verify_statement(record.statement, record.trust, proof=other_entry)
    invalid(verification, "is not the one of this statement")


def test_a_proof_from_another_ledger_or_of_another_verdict_is_1(
    record: Any, booked: Callable[..., Ledger]
) -> None:
    ledger = booked(signed={"verdict": "FAILED"})
    last = len(ledger.lines()) - 1
    verification = verify_statement(
        record.statement, record.trust, proof=proof_of(record, ledger, last)
    )
    invalid(verification, "another verdict")
    elsewhere = Ledger(record.folder / "elsewhere.jsonl")
    elsewhere.append("request_received", "e", {})
    entry = ledger.entries()[last]
    elsewhere.append("statement_signed", entry["event"], entry["body"])
    verification = verify_statement(
        record.statement, record.trust, proof=proof_of(record, elsewhere, 2)
    )
    invalid(verification, "the statement belongs to")
    assert verify_statement(record.statement, record.trust, proof=record.trust).exit_code == 1


def test_a_broken_or_missing_ledger_is_1(record: Any, booked: Callable[..., Ledger]) -> None:
    ledger = booked()
    ledger.path.write_bytes(ledger.path.read_bytes().replace(b"2026-10-20", b"2027-10-20"))
    verification = verify_statement(record.statement, record.trust, ledger=ledger.path)
    invalid(verification, "does not hold from entry 1")
    ledger.path.unlink()
    invalid(verify_statement(record.statement, record.trust, ledger=ledger.path), "cannot be read")


def test_checking_a_statement_imports_nothing_heavy(record: Any) -> None:
    code = (
        "import sys, time\n"
        "from compliance.verification.verify import verify_statement\n"
        f"verification = verify_statement({str(record.statement)!r}, {str(record.trust)!r})\n"
        f"print(verification.exit_code, [m for m in {HEAVY} if m in sys.modules])\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout == "0 []\n"


def test_a_statement_is_parsed_once_each_time_it_is_asked_about(
    record: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    plain = strict_json.loads

    def loads(text: bytes | str, what: str = "This text") -> Any:
        asked.append(what)
        return plain(text, what)

    monkeypatch.setattr(strict_json, "loads", loads)
    for times in (1, 2):
        assert verify_statement(record.statement, record.trust).exit_code == 0
        assert asked.count("The statement") == times


def test_who_changes_a_statement_that_was_verified_changes_nothing_for_the_next(
    record: Any,
) -> None:
    first = verify_statement(record.statement, record.trust).statement
    assert first is not None
    before = json.dumps(first)
    first["predicate"]["event"]["finishedAt"] = "1999-01-01T00:00:00Z"  # no key was valid then
    first["predicate"]["method"]["parameters"].clear()
    second = verify_statement(record.statement, record.trust)
    assert (second.exit_code, json.dumps(second.statement)) == (0, before)
