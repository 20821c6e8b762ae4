"""Ed25519 keys on a PKCS#11 token: a hardware module, a smart card, or SoftHSM.

The private half is made on the token, and never leaves it: each signature is asked of the token,
which sees the bytes to be signed and wants a PIN. Ids, trust file and signatures are those of keys
in files (`keys`), so whoever verifies a statement does not notice the difference.

A key's objects have its id, 32 bytes, as CKA_ID, and the label "damp". Sources: PKCS#11 3.0,
mechanisms CKM_EC_EDWARDS_KEY_PAIR_GEN and CKM_EDDSA; RFC 8032.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from compliance.formats.errors import SigningError
from compliance.signing.keys import SigningKey, key_id, public_from_pem, sslib_key

CURVE = "1.3.101.112"
"""Ed25519, by its object identifier."""
LABEL = "damp"


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """Where a token is found.

    Attributes:
        module: Path of the PKCS#11 library of its vendor.
        label: The token's label.
        pin: Its user's PIN.
    """

    module: str
    label: str
    pin: str | None


def generate(token: Token) -> SigningKey:
    """Make a key pair on the token.

    Raises:
        SigningError: the token cannot be reached, refuses the PIN, or makes no Ed25519 keys.
    """
    with _session(token, write=True) as session:
        from pkcs11 import Attribute, KeyType, Mechanism
        from pkcs11.util.ec import encode_named_curve_parameters

        curve = {Attribute.EC_PARAMS: encode_named_curve_parameters(CURVE)}
        parameters = session.create_domain_parameters(KeyType.EC_EDWARDS, curve, local=True)
        public, private = parameters.generate_keypair(
            mechanism=Mechanism.EC_EDWARDS_KEY_PAIR_GEN, label=LABEL, store=True
        )
        pem = _pem(public[Attribute.EC_POINT])
        keyid = key_id(public_from_pem(pem))
        for half in (public, private):
            half[Attribute.ID] = bytes.fromhex(keyid)
    return SigningKey(keyid=keyid, public_key=pem, signer=_signer(token, keyid, pem))


def load(token: Token, keyid: str, public_key: str) -> SigningKey:
    """The key of the token with an id.

    Args:
        token: The token.
        keyid: The key's id, 64 hexadecimal digits.
        public_key: Its public half, PEM, from the trust file.
    """
    return SigningKey(keyid=keyid, public_key=public_key, signer=_signer(token, keyid, public_key))


def remove(token: Token, keyid: str) -> None:
    """Take a key off the token: both halves.

    Raises:
        SigningError: as `generate`.
    """
    with _session(token, write=True) as session:
        from pkcs11 import Attribute

        for half in list(session.get_objects({Attribute.ID: bytes.fromhex(keyid)})):
            half.destroy()


def ids(token: Token) -> frozenset[str]:
    """Ids of the keys that can sign on the token.

    Raises:
        SigningError: as `generate`.
    """
    with _session(token) as session:
        from pkcs11 import Attribute, ObjectClass

        mine = {Attribute.CLASS: ObjectClass.PRIVATE_KEY, Attribute.LABEL: LABEL}
        return frozenset(key.id.hex() for key in session.get_objects(mine))


def _signer(token: Token, keyid: str, public_key: str) -> Any:
    """securesystemslib's signer over a key of the token."""
    from securesystemslib.signer import Signature, Signer

    public = sslib_key(keyid, public_from_pem(public_key))

    class TokenSigner(Signer):
        @property
        def public_key(self) -> Any:
            return public

        def sign(self, payload: bytes) -> Any:
            return Signature(keyid, _signed(token, keyid, payload).hex())

        @classmethod
        def from_priv_key_uri(cls, *_: Any, **__: Any) -> Any:
            raise SigningError("A key of a token is opened by its id, not by an address.")

    return TokenSigner()


def _signed(token: Token, keyid: str, payload: bytes) -> bytes:
    """The token's signature, 64 bytes."""
    with _session(token) as session:
        from pkcs11 import Attribute, Mechanism, ObjectClass

        wanted = {Attribute.CLASS: ObjectClass.PRIVATE_KEY, Attribute.ID: bytes.fromhex(keyid)}
        keys = list(session.get_objects(wanted))
        if len(keys) != 1:
            raise SigningError(
                f"Token '{token.label}' holds {len(keys)} private keys with the id "
                f"{keyid[:16]}: one is needed to sign."
            )
        signature: bytes = keys[0].sign(payload, mechanism=Mechanism.EDDSA)
    return signature


def _pem(point: bytes) -> str:
    """The public key of an EC_POINT, which wraps its 32 bytes as a DER octet string."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    raw = point[2:] if len(point) == 34 and point[:2] == b"\x04\x20" else point
    if len(raw) != 32:
        raise SigningError(f"The token's public key has {len(raw)} bytes, Ed25519 has 32.")
    key = Ed25519PublicKey.from_public_bytes(raw)
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


@contextmanager
def _session(token: Token, *, write: bool = False) -> Iterator[Any]:
    """A session of the token's user; what PKCS#11 refuses in it is a SigningError."""
    try:
        import pkcs11
    except ImportError as error:
        raise SigningError(
            "Keys on a token need python-pkcs11: pip install 'damp-unlearning[pkcs11]'."
        ) from error
    if token.pin is None:
        raise SigningError(
            f"Token '{token.label}' wants a PIN: set DAMP_PKCS11_PIN, or name it in the file of "
            "DAMP_SECRETS."
        )
    try:
        library = pkcs11.lib(token.module)
        with library.get_token(token_label=token.label).open(
            user_pin=token.pin, rw=write
        ) as session:
            yield session
    except pkcs11.PKCS11Error as error:
        reason = str(error) or _words(type(error).__name__)
        raise SigningError(
            f"Token '{token.label}' of {token.module}: {reason}. Check `pkcs11_module` and "
            "`pkcs11_token` of the settings, the PIN in DAMP_PKCS11_PIN, and that the module makes "
            "Ed25519 keys."
        ) from error


def _words(name: str) -> str:
    """The name of an exception as words.

    >>> _words("PinIncorrect")
    'pin incorrect'
    """
    return "".join(f" {c.lower()}" if c.isupper() else c for c in name).strip()
