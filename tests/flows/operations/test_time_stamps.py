"""`damp stamp`, and `damp verify --time-stamp`: a real authority on this machine is asked."""

from __future__ import annotations

import json
import runpy
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from compliance.verification.verify import CANNOT_JUDGE, INVALID, verify_statement
from flows.state import keyring
from flows.state.paths import Home

ROOT = Path(__file__).parents[3]
TSA = SimpleNamespace(**runpy.run_path(str(ROOT / "tests/compliance/signing/authority.py")))
RECORDS = SimpleNamespace(**runpy.run_path(str(Path(__file__).parents[1] / "decided.py")))
Damp = Callable[..., Any]

pytestmark = pytest.mark.skipif(
    shutil.which("openssl") is None, reason="needs the openssl command, which makes the stamps"
)


@pytest.fixture
def statement(home: Home) -> Path:
    keyring.new(home, role="executor", days=30)
    path: Path = RECORDS.decide(home, RECORDS.put(home)).statement
    return path


@pytest.fixture
def authority(tmp_path: Path) -> Any:
    return TSA.Authority(tmp_path / "tsa")


def test_a_stamp_is_fetched_checked_kept_and_verified(
    home: Home, statement: Path, authority: Any, damp: Damp
) -> None:
    roots = authority.roots
    with TSA.served(authority) as address:
        result = damp("stamp", statement, "--tsa", address, "--tsa-roots", roots, "--json")
    assert result.code == 0, result.err
    page = json.loads(result.out)
    assert (authority.asked, page["authority"]) == (1, "CN=Example TSA")
    stamp = statement.with_name("statement.tsr")
    assert page["file"] == str(stamp)
    verified = verify_statement(statement, home.trust, time_stamp=stamp, tsa_roots=authority.roots)
    assert verified.exit_code == 0
    assert verified.notes[-1].startswith(f"Time-stamped {page['time'][:10]}")
    stamp.write_bytes(stamp.read_bytes()[:-4] + b"0000")
    broken = verify_statement(statement, home.trust, time_stamp=stamp, tsa_roots=authority.roots)
    assert broken.exit_code == INVALID


def test_a_stamp_holds_after_another_signature_and_not_for_another_statement(
    home: Home, statement: Path, authority: Any, damp: Damp
) -> None:
    with TSA.served(authority) as address:
        damp("stamp", statement, "--tsa", address, "--tsa-roots", authority.roots)
    stamp = statement.with_name("statement.tsr")
    other = RECORDS.decide(home, RECORDS.put(home)).statement
    given = {"time_stamp": stamp, "tsa_roots": authority.roots}
    assert verify_statement(other, home.trust, **given).exit_code == INVALID
    from compliance.signing import envelope

    reviewer = keyring.new(home, role="reviewer", days=30)
    statement.write_bytes(envelope.countersign(statement.read_bytes(), reviewer))
    assert verify_statement(statement, home.trust, **given).exit_code == 0


def test_without_a_network_query_and_answer_are_files(
    statement: Path, authority: Any, tmp_path: Path, damp: Damp
) -> None:
    query, answer = tmp_path / "statement.tsq", tmp_path / "answer.tsr"
    out = damp("stamp", statement, "--query", query).out
    assert "--answer" in out
    answer.write_bytes(authority.answer(query.read_bytes()))
    damp("stamp", statement, "--answer", answer, "--tsa-roots", authority.roots)
    assert statement.with_name("statement.tsr").read_bytes() == answer.read_bytes()


def test_a_stranger_s_answer_is_not_kept(
    statement: Path, authority: Any, tmp_path: Path, damp: Damp
) -> None:
    stranger = TSA.Authority(tmp_path / "stranger", "Stranger")
    with TSA.served(stranger) as address:
        result = damp("stamp", statement, "--tsa", address, "--tsa-roots", authority.roots)
    assert result.code == 1
    assert "does not hold" in result.err
    assert not statement.with_name("statement.tsr").exists()


def test_an_address_that_does_not_answer_is_named(
    statement: Path, authority: Any, damp: Damp
) -> None:
    for address in ("http://127.0.0.1:9/", "file:///etc/passwd"):
        result = damp("stamp", statement, "--tsa", address, "--tsa-roots", authority.roots)
        assert result.code == 1
        assert address in result.err


def test_a_stamp_without_roots_cannot_be_judged(home: Home, statement: Path) -> None:
    verified = verify_statement(statement, home.trust, time_stamp=statement)
    assert verified.exit_code == CANNOT_JUDGE
