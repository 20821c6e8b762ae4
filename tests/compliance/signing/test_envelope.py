"""Keys, trust and envelopes: what is accepted, and that nothing changed is."""

from __future__ import annotations

import base64
import hashlib
import json
import random
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from benchmarks.robustness import envelopes
from compliance.formats.errors import EnvelopeError, SigningError, TrustError
from compliance.signing import Trust, TrustedKey, envelope, keys, load_trust, save_trust

Line = Callable[..., TrustedKey]


@pytest.fixture
def key(tmp_path: Path) -> keys.SigningKey:
    return envelope.generate(tmp_path / "keys")


def test_a_private_key_is_its_owners_alone(tmp_path: Path, key: keys.SigningKey) -> None:
    file = tmp_path / "keys" / f"{key.keyid}.pem"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert envelope.load(file).keyid == key.keyid


def test_a_key_that_others_can_read_is_refused(tmp_path: Path, key: keys.SigningKey) -> None:
    file = tmp_path / "keys" / f"{key.keyid}.pem"
    file.chmod(0o640)
    with pytest.raises(SigningError, match="can be read by others"):
        envelope.load(file)


def test_a_passphrase_locks_the_file(tmp_path: Path) -> None:
    signer = envelope.generate(tmp_path, passphrase=b"correct horse")
    file = tmp_path / f"{signer.keyid}.pem"
    assert b"ENCRYPTED" in file.read_bytes()
    assert envelope.load(file, passphrase=b"correct horse").keyid == signer.keyid
    for wrong in (b"battery", None):
        with pytest.raises(SigningError, match="passphrase"):
            envelope.load(file, passphrase=wrong)


def test_a_file_under_another_keys_name_is_refused(tmp_path: Path, key: keys.SigningKey) -> None:
    file = tmp_path / "keys" / f"{key.keyid}.pem"
    file.rename(file.with_name("mine.pem"))
    with pytest.raises(SigningError, match="name the file after"):
        envelope.load(file.with_name("mine.pem"))


@pytest.mark.parametrize("content", [b"", b"no key", b"-----BEGIN PRIVATE KEY-----\nAAAA\n"])
def test_what_is_no_key_is_refused(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "x.pem"
    file.write_bytes(content)
    file.chmod(0o600)
    with pytest.raises(SigningError):
        envelope.load(file)


def test_keys_stay_out_of_repositories(tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    with pytest.raises(SigningError, match="lies in the git repository"):
        envelope.generate(tmp_path / "state" / "keys")
    assert not (tmp_path / "state").exists()
    assert envelope.generate(tmp_path / "state" / "keys", demo=True).demo
    assert envelope.generate(tmp_path / "own", inside_repository=True)


def test_the_id_of_a_key_is_what_openssl_computes(tmp_path: Path, key: keys.SigningKey) -> None:
    file = tmp_path / "keys" / f"{key.keyid}.pem"
    der = subprocess.run(
        ["openssl", "pkey", "-in", file, "-pubout", "-outform", "DER"],
        capture_output=True,
        check=True,
    ).stdout
    assert hashlib.sha256(der).hexdigest() == key.keyid


def test_the_trust_file_survives_its_disk(
    tmp_path: Path, key: keys.SigningKey, trust_line: Line
) -> None:
    trust = Trust(keys={}).with_key(key.keyid, trust_line(key))
    save_trust(tmp_path / "trust.json", trust)
    assert load_trust(tmp_path / "trust.json") == trust
    assert [p.name for p in tmp_path.iterdir() if p.is_file()] == ["trust.json"]


def trust_json(keyid: str, line: dict[str, Any], **more: Any) -> str:
    return json.dumps({"format": "damp/trust/v1", "keys": {keyid: line}, **more})


def test_a_trust_file_that_cannot_be_relied_on_is_refused(
    tmp_path: Path, key: keys.SigningKey, trust_line: Line
) -> None:
    other = envelope.generate(tmp_path / "keys")
    line = {field: getattr(trust_line(key), field) for field in TrustedKey.__slots__}
    twice = trust_json(key.keyid, line)[:-2] + f', "{key.keyid}": {json.dumps(line)}}}}}'
    cases = {
        "recomputed": trust_json(other.keyid, line),
        "two names": trust_json("0" * 64, line),
        "twice": twice,
        "role": trust_json(key.keyid, line | {"role": "owner"}),
        "extra": trust_json(key.keyid, line | {"note": "x"}),
        "missing": trust_json(key.keyid, {k: v for k, v in line.items() if k != "demo"}),
        "type": trust_json(key.keyid, line | {"demo": 0}),
        "order": trust_json(key.keyid, line | {"not_before": "2028-01-01T00:00:00Z"}),
        "zone": trust_json(key.keyid, line | {"not_before": "2026-01-01T00:00:00"}),
        "pem": trust_json(key.keyid, line | {"public_key": "x"}),
        "format": json.dumps({"format": "damp/trust/v2", "keys": {}}),
        "more": trust_json(key.keyid, line, comment="x"),
        "list": "[]",
    }
    for case, text in cases.items():
        (tmp_path / "trust.json").write_text(text)
        with pytest.raises(TrustError):
            print(case, load_trust(tmp_path / "trust.json"))
    with pytest.raises(TrustError, match="trusted already"):
        Trust(keys={key.keyid: trust_line(key)}).with_key(key.keyid, trust_line(key))


def test_a_key_of_another_type_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "p256.pem"
    curve = ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"]
    subprocess.run(["openssl", "genpkey", *curve, "-out", file], check=True, capture_output=True)
    file.chmod(0o600)
    with pytest.raises(SigningError, match="Ed25519"):
        envelope.load(file)


def test_signing_again_gives_the_same_bytes(example: Any, key: keys.SigningKey) -> None:
    content = example.example()
    assert envelope.sign(content, key) == envelope.sign(content, key)


def test_a_sign_off_is_over_the_same_bytes(
    tmp_path: Path, example: Any, key: keys.SigningKey, trust_line: Line
) -> None:
    other = envelope.generate(tmp_path / "keys")
    once = envelope.sign(example.example(), key)
    both = envelope.countersign(once, other)
    assert envelope.digest(both) == envelope.digest(once)
    assert envelope.countersign(both, other) == both
    trust = Trust(keys={}).with_key(key.keyid, trust_line(key))
    trust = trust.with_key(other.keyid, trust_line(other, "reviewer"))
    signatures = envelope.verify_signatures(envelope.open_envelope(both), trust)
    assert [(s.role, s.holds) for s in signatures] == [("executor", True), ("reviewer", True)]


def test_no_turned_bit_changes_what_is_believed(key: keys.SigningKey, trust_line: Line) -> None:
    trust = Trust(keys={}).with_key(key.keyid, trust_line(key))
    content = envelopes.tiny(key)
    assert envelopes.believed(content, trust) == b'{"verdict":"FAILED"}'
    counts = envelopes.every_bit(content, trust)
    assert counts["flips"] == 8 * len(content)
    assert counts["believed_another_content"] == 0
    assert counts["without_effect"] < 0.01 * 8 * len(content)  # blanks between the parts


def test_the_count_of_turned_bits_sees_an_envelope_that_nobody_checks(
    key: keys.SigningKey, trust_line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    trust = Trust(keys={}).with_key(key.keyid, trust_line(key))
    content = envelopes.tiny(key)

    def unchecked(content: bytes, _: Trust) -> bytes | None:
        try:
            return envelope.open_envelope(content).payload
        except EnvelopeError:
            return None

    monkeypatch.setattr(envelopes, "believed", unchecked)
    assert envelopes.every_bit(content, trust)["believed_another_content"] > 0


def test_a_changed_envelope_of_a_real_statement_is_refused(
    example: Any, key: keys.SigningKey, trust_line: Line
) -> None:
    trust = Trust(keys={}).with_key(key.keyid, trust_line(key))
    content = envelope.sign(example.example(), key)
    payload = envelopes.believed(content, trust)
    assert payload is not None
    draw = random.Random(7)
    for _ in range(150):
        changed = bytearray(content)
        changed[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
        assert envelopes.believed(bytes(changed), trust) in (None, payload)


@pytest.mark.parametrize(
    "change",
    [
        lambda parts: parts | {"more": 1},
        lambda parts: {k: v for k, v in parts.items() if k != "payloadType"},
        lambda parts: parts | {"signatures": []},
        lambda parts: parts | {"signatures": parts["signatures"] * 2},
        lambda parts: parts | {"signatures": [parts["signatures"][0] | {"cert": "x"}]},
        lambda parts: parts | {"signatures": [{"keyid": "x"}]},
        lambda parts: parts | {"signatures": ["x"]},
        lambda parts: parts | {"signatures": [{"keyid": 1, "sig": "AA=="}]},
        lambda parts: parts | {"payload": parts["payload"] + "\n"},
        lambda parts: parts | {"payload": parts["payload"].rstrip("=") + "!"},
        lambda parts: parts | {"payload": 1},
        lambda parts: [parts],
    ],
)
def test_an_envelope_of_another_shape_is_refused(key: keys.SigningKey, change: Any) -> None:
    parts = json.loads(envelopes.tiny(key))
    with pytest.raises(EnvelopeError):
        envelope.open_envelope(json.dumps(change(parts)).encode())


def test_a_second_payload_under_the_same_key_is_refused(key: keys.SigningKey) -> None:
    forged = base64.b64encode(b'{"verdict":"PASSED"}').decode()
    text = envelopes.tiny(key).decode().replace('"payload":', f'"payload": "{forged}", "payload":')
    with pytest.raises(EnvelopeError, match="twice"):
        envelope.open_envelope(text.encode())


def test_base64_of_a_second_form_is_refused(key: keys.SigningKey) -> None:
    content = json.loads(envelopes.tiny(key))
    assert content["payload"].endswith("=")
    spare = content["payload"][:-2] + chr(ord(content["payload"][-2]) + 1) + "="
    assert base64.b64decode(spare) == base64.b64decode(content["payload"])
    with pytest.raises(EnvelopeError, match="second form"):
        envelope.open_envelope(json.dumps(content | {"payload": spare}).encode())


def test_an_envelope_may_be_as_large_as_is_said_and_no_byte_larger(key: keys.SigningKey) -> None:
    content = envelopes.tiny(key)
    largest = content + b" " * (envelope.LARGEST - len(content))
    assert envelope.open_envelope(largest).payload == envelope.open_envelope(content).payload
    with pytest.raises(EnvelopeError, match=f"larger than {envelope.LARGEST} bytes"):
        envelope.open_envelope(largest + b" ")


def test_a_key_is_one_of_the_demonstration_only_where_that_is_said(tmp_path: Path) -> None:
    for said in ({}, {"demo": False}, {"demo": True}):
        made = keys.generate(tmp_path / "keys", **said)
        assert made.demo is said.get("demo", False)
        again = keys.load(tmp_path / "keys" / f"{made.keyid}.pem", **said)
        assert again.demo is made.demo
        assert again.public_key == made.public_key
    assert not keys.SigningKey(keyid="", public_key="", signer=None).demo
