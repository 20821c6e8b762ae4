"""Signing keys on a PKCS#11 token, SoftHSM: the signatures are those of keys in files."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from compliance.formats.errors import SigningError
from compliance.signing import Trust, TrustedKey, envelope, tokens

MODULES = (
    "/usr/lib/softhsm/libsofthsm2.so",
    "/usr/lib64/pkcs11/libsofthsm2.so",
    "/usr/local/lib/softhsm/libsofthsm2.so",
)
MODULE = next((path for path in MODULES if Path(path).exists()), None)
PIN = "1234"

pytestmark = pytest.mark.skipif(
    MODULE is None or shutil.which("softhsm2-util") is None,
    reason="needs SoftHSM 2: apt-get install softhsm2",
)


@pytest.fixture(scope="module")
def token(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tokens.Token]:
    """A token that nobody else has. The library reads its configuration once per process."""
    folder = tmp_path_factory.mktemp("softhsm")
    (folder / "tokens").mkdir()
    configuration = folder / "softhsm2.conf"
    configuration.write_text(f"directories.tokendir = {folder / 'tokens'}\nlog.level = ERROR\n")
    before = os.environ.get("SOFTHSM2_CONF")
    os.environ["SOFTHSM2_CONF"] = str(configuration)
    subprocess.run(
        [
            *("softhsm2-util", "--init-token", "--free", "--label", "desk"),
            *("--pin", PIN, "--so-pin", "5678"),
        ],
        check=True,
        capture_output=True,
    )
    yield tokens.Token(module=str(MODULE), label="desk", pin=PIN)
    if before is None:
        del os.environ["SOFTHSM2_CONF"]
    else:
        os.environ["SOFTHSM2_CONF"] = before


def trusting(keyid: str, pem: str) -> Trust:
    return Trust(keys={}).with_key(
        keyid,
        TrustedKey(
            role="executor",
            public_key=pem,
            not_before="2026-01-01T00:00:00Z",
            not_after="2036-01-01T00:00:00Z",
        ),
    )


def test_a_signature_of_the_token_holds_and_a_changed_payload_has_none(
    token: tokens.Token,
) -> None:
    key = tokens.generate(token)
    trust = trusting(key.keyid, key.public_key)
    content = envelope.sign_bytes(b"payload", "text/plain", key)
    (signature,) = envelope.verify_signatures(envelope.open_envelope(content), trust)
    assert (signature.keyid, signature.holds) == (key.keyid, True)
    other = envelope.sign_bytes(b"another", "text/plain", key)
    swapped = envelope.open_envelope(content)
    swapped.envelope.payload = envelope.open_envelope(other).payload
    (signature,) = envelope.verify_signatures(swapped, trust)
    assert signature.holds is False


def test_a_key_is_opened_again_by_its_id(token: tokens.Token) -> None:
    key = tokens.generate(token)
    assert key.keyid in tokens.ids(token)
    again = tokens.load(token, key.keyid, key.public_key)
    content = envelope.sign_bytes(b"payload", "text/plain", again)
    opened = envelope.open_envelope(content)
    (signature,) = envelope.verify_signatures(opened, trusting(key.keyid, key.public_key))
    assert signature.holds


def test_the_private_half_cannot_be_taken_off_the_token(token: tokens.Token) -> None:
    import pkcs11
    from pkcs11 import Attribute, ObjectClass

    key = tokens.generate(token)
    slot = pkcs11.lib(token.module).get_token(token_label=token.label)
    with slot.open(user_pin=PIN) as session:
        wanted = {Attribute.CLASS: ObjectClass.PRIVATE_KEY, Attribute.ID: bytes.fromhex(key.keyid)}
        (private,) = session.get_objects(wanted)
        assert private[Attribute.SENSITIVE]
        assert not private[Attribute.EXTRACTABLE]
        with pytest.raises(pkcs11.PKCS11Error):
            private[Attribute.VALUE]


def test_a_removed_key_signs_no_more(token: tokens.Token) -> None:
    key = tokens.generate(token)
    tokens.remove(token, key.keyid)
    assert key.keyid not in tokens.ids(token)
    with pytest.raises(SigningError, match="holds 0 private keys"):
        envelope.sign_bytes(b"payload", "text/plain", key)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"pin": "9999"}, "pin incorrect"),
        ({"pin": None}, "wants a PIN"),
        ({"label": "nobody's"}, "nobody's"),
        ({"module": "/nowhere/libnone.so"}, "/nowhere/libnone.so"),
    ],
)
def test_what_the_token_refuses_is_said_with_a_remedy(
    token: tokens.Token, change: dict[str, str | None], words: str
) -> None:
    settings = {"module": token.module, "label": token.label, "pin": token.pin} | change
    with pytest.raises(SigningError) as error:
        tokens.ids(tokens.Token(**settings))
    assert words in str(error.value)
    assert "PIN" in str(error.value)
