"""Time stamps of a real authority, OpenSSL's: what holds, and what is refused."""

from __future__ import annotations

import runpy
import shutil
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from compliance.formats.errors import SigningError
from compliance.signing import time_stamp

TSA = SimpleNamespace(**runpy.run_path(str(Path(__file__).with_name("authority.py"))))
PAYLOAD = b'{"what": "was signed"}'

pytestmark = pytest.mark.skipif(
    shutil.which("openssl") is None, reason="needs the openssl command, which makes the stamps"
)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return TSA.Authority(tmp_path_factory.mktemp("tsa") / "one")


@pytest.fixture
def roots(authority: Any) -> tuple[Any, ...]:
    return time_stamp.certificates(authority.roots.read_bytes(), "root.pem")


def test_a_stamp_says_when_and_by_whom(authority: Any, roots: tuple[Any, ...]) -> None:
    query = time_stamp.query(PAYLOAD)
    stamp = time_stamp.check(authority.answer(query.content), PAYLOAD, roots, nonce=query.nonce)
    assert abs(stamp.time - datetime.now(UTC)) < timedelta(minutes=1)
    assert stamp.authority == "CN=Example TSA"
    assert stamp.serial > 0


def test_openssl_agrees_with_it(authority: Any, tmp_path: Path) -> None:
    payload, answer = tmp_path / "payload", tmp_path / "answer.tsr"
    payload.write_bytes(PAYLOAD)
    answer.write_bytes(authority.answer(time_stamp.query(PAYLOAD).content))
    checked = subprocess.run(
        ["openssl", "ts", "-verify", "-data", payload, "-in", answer, "-CAfile", authority.roots],
        capture_output=True,
        text=True,
    )
    assert "Verification: OK" in checked.stdout


def test_other_bytes_have_no_stamp(authority: Any, roots: tuple[Any, ...]) -> None:
    answer = authority.answer(time_stamp.query(PAYLOAD).content)
    with pytest.raises(SigningError, match="does not hold"):
        time_stamp.check(answer, PAYLOAD + b" ", roots)


def test_an_authority_below_no_trusted_root_counts_for_nothing(
    authority: Any, tmp_path: Path
) -> None:
    stranger = TSA.Authority(tmp_path / "other", "Other TSA")
    answer = authority.answer(time_stamp.query(PAYLOAD).content)
    others = time_stamp.certificates(stranger.roots.read_bytes(), "root.pem")
    with pytest.raises(SigningError, match="below one of the given roots"):
        time_stamp.check(answer, PAYLOAD, others)


def test_an_answer_to_another_query_is_refused(authority: Any, roots: tuple[Any, ...]) -> None:
    answer = authority.answer(time_stamp.query(PAYLOAD).content)
    with pytest.raises(SigningError, match="does not hold"):
        time_stamp.check(answer, PAYLOAD, roots, nonce=time_stamp.query(PAYLOAD).nonce)


@pytest.mark.parametrize("place", [0.3, 0.6, 0.95])
def test_a_changed_answer_is_refused(authority: Any, roots: tuple[Any, ...], place: float) -> None:
    answer = bytearray(authority.answer(time_stamp.query(PAYLOAD).content))
    answer[int(place * len(answer))] ^= 1
    with pytest.raises(SigningError):
        time_stamp.check(bytes(answer), PAYLOAD, roots)


def test_a_refusal_says_so(authority: Any, roots: tuple[Any, ...]) -> None:
    refusal = authority.answer(b"no query at all")
    with pytest.raises(SigningError, match="refused"):
        time_stamp.check(refusal, PAYLOAD, roots)


@pytest.mark.parametrize("answer", [b"", b"<html>", b"0" * (time_stamp.LARGEST + 1)])
def test_what_is_no_answer_is_refused(roots: tuple[Any, ...], answer: bytes) -> None:
    with pytest.raises(SigningError):
        time_stamp.check(answer, PAYLOAD, roots)


def test_an_answer_of_more_than_a_mebibyte_is_not_even_read(roots: tuple[Any, ...]) -> None:
    with pytest.raises(SigningError, match="more than 1048576 bytes"):
        time_stamp.check(b"0" * (1048576 + 1), PAYLOAD, roots)
    with pytest.raises(SigningError, match="no answer of a time-stamp authority"):
        time_stamp.check(b"0" * 1048576, PAYLOAD, roots)


def test_without_roots_nothing_is_judged(authority: Any) -> None:
    answer = authority.answer(time_stamp.query(PAYLOAD).content)
    with pytest.raises(SigningError, match="root certificate"):
        time_stamp.check(answer, PAYLOAD, ())
    with pytest.raises(SigningError, match="no certificate"):
        time_stamp.certificates(b"nothing", "root.pem")
