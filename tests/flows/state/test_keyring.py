"""Keys are rotated and revoked without what they signed before losing or gaining a day."""

from __future__ import annotations

import json
import runpy
import shutil
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from compliance.formats.timestamps import parse_utc
from compliance.signing import load_trust
from compliance.verification.verify import verify_statement
from flows.state import keyring
from flows.state.errors import EventError
from flows.state.paths import Home

TOKENS = SimpleNamespace(
    **runpy.run_path(str(Path(__file__).parents[2] / "compliance/signing/test_tokens.py"))
)
RECORDS = SimpleNamespace(**runpy.run_path(str(Path(__file__).parents[1] / "decided.py")))
Damp = Callable[..., Any]
Refusal = Callable[..., Any]


def test_after_a_rotation_the_new_key_signs_and_the_old_signatures_hold(home: Home) -> None:
    keyring.new(home, role="executor", days=30)
    before = RECORDS.decide(home, RECORDS.put(home)).statement
    new_key, ended = keyring.rotate(home, role="executor", days=60)
    assert keyring.signing_key(home, "executor").keyid in (new_key.keyid, *ended)
    after_that = datetime.now(UTC) + timedelta(seconds=2)
    trust = load_trust(home.trust)
    assert [k for k, v in trust.keys.items() if v.covers(after_that)] == [new_key.keyid]
    assert verify_statement(before, home.trust).exit_code == 0


def test_a_key_of_another_role_is_left_alone(home: Home) -> None:
    reviewer = keyring.new(home, role="reviewer", days=30).keyid
    keyring.new(home, role="executor", days=30)
    keyring.rotate(home, role="executor", days=30)
    line = load_trust(home.trust).keys[reviewer]
    assert line.covers(datetime.now(UTC) + timedelta(days=29))


def test_there_is_nothing_to_rotate_without_a_key(home: Home, refused: Refusal) -> None:
    with refused(EventError, "No key of role executor", "damp keys new"):
        keyring.rotate(home, role="executor", days=30)


def test_what_a_revoked_key_signed_later_does_not_hold(home: Home) -> None:
    key = keyring.new(home, role="executor", days=30).keyid
    statement = RECORDS.decide(home, RECORDS.put(home)).statement
    line = load_trust(home.trust).keys[key]
    long_ago = parse_utc(line.not_before) - timedelta(days=10)
    early = line.not_before.replace(line.not_before, long_ago.isoformat())
    _rewrite(home, key, not_before=early)
    keyring.revoke(home, key[:12], since=long_ago + timedelta(days=1))
    verification = verify_statement(statement, home.trust)
    assert verification.exit_code == 1
    assert "the attempt ended at" in verification.problems[0]


def _rewrite(home: Home, keyid: str, **changes: Any) -> None:
    import json

    trust = json.loads(home.trust.read_text())
    trust["keys"][keyid] |= changes
    home.trust.write_text(json.dumps(trust))


@pytest.mark.parametrize("days", [-1, 31])
def test_a_key_can_only_end_within_its_validity(home: Home, refused: Refusal, days: int) -> None:
    key = keyring.new(home, role="executor", days=30).keyid
    with refused(EventError, "can only end between"):
        keyring.revoke(home, key, since=datetime.now(UTC) + timedelta(days=days))


def test_an_unknown_or_short_key_id_is_refused(home: Home, refused: Refusal) -> None:
    key = keyring.new(home, role="executor", days=30).keyid
    for prefix in (key[:7], "ab" * 32, ""):
        with refused(EventError, "damp keys list"):
            keyring.revoke(home, prefix, since=None)


def test_the_commands_say_what_to_do_next(damp: Damp, home: Home) -> None:
    key = damp("keys", "new", "--json").json()["keyid"]
    rotated = damp("keys", "rotate", "--json").json()
    assert rotated["ended"] == [key]
    assert "Give" in damp("keys", "rotate").out
    assert damp("keys", "revoke", "00000000").code == 1
    assert damp("keys", "revoke", key, "--since", "yesterday").code == 1
    rows = damp("keys", "list", "--json").json()
    assert len(rows) == 3


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A SoftHSM token that the settings name."""
    module = next((path for path in TOKENS.MODULES if Path(path).exists()), None)
    if module is None or shutil.which("softhsm2-util") is None:
        pytest.skip("needs SoftHSM 2: apt-get install softhsm2")
    (tmp_path / "tokens").mkdir()
    (tmp_path / "softhsm2.conf").write_text(f"directories.tokendir = {tmp_path / 'tokens'}\n")
    monkeypatch.setenv("SOFTHSM2_CONF", str(tmp_path / "softhsm2.conf"))
    monkeypatch.setenv("DAMP_PKCS11_MODULE", module)
    monkeypatch.setenv("DAMP_PKCS11_TOKEN", "desk")
    monkeypatch.setenv("DAMP_PKCS11_PIN", "1234")
    subprocess.run(
        [
            *("softhsm2-util", "--init-token", "--free", "--label", "desk"),
            *("--pin", "1234", "--so-pin", "5678"),
        ],
        check=True,
        capture_output=True,
    )


SIGNING_EVENT = """
import runpy, sys
from flows.state import keyring
from flows.state.settings import settings
from flows.state.paths import Home
home = Home(settings().home)
records = runpy.run_path(sys.argv[1])
print(records["decide"](home, records["put"](home)).statement)
"""


def test_a_key_on_a_token_signs_statements_and_is_rotated(desk: None, home: Home) -> None:
    """In processes of their own: the token's library reads its configuration once in each."""

    def run(*arguments: str) -> str:
        done = subprocess.run([sys.executable, *arguments], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    run("-m", "flows", "keys", "new", "--role", "executor", "--token")
    assert not list(keyring.folders(home)[0].glob("*.pem"))
    (row,) = json.loads(run("-m", "flows", "keys", "list", "--json"))
    assert row["signs_here"]
    decided = str(Path(__file__).parents[1] / "decided.py")
    statement = run("-c", SIGNING_EVENT, decided).strip()
    verified = verify_statement(statement, home.trust)
    assert verified.exit_code == 0
    assert [each.keyid for each in verified.signatures] == [row["keyid"]]
    run("-m", "flows", "keys", "rotate", "--role", "executor", "--token")
    assert len(load_trust(home.trust).keys) == 2
    assert verify_statement(statement, home.trust).exit_code == 0


def test_a_token_that_no_setting_names_is_asked_for(home: Home) -> None:
    with pytest.raises(EventError, match="pkcs11_module"):
        keyring.new(home, role="executor", days=30, on_token=True)
