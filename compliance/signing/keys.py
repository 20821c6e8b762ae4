"""Ed25519 keys as files: `<id>.pem`, readable by their owner alone.

The id of a key is the SHA-256 of its public half in DER form, so that anyone can recompute it:

    openssl pkey -in <id>.pem -pubout -outform DER | sha256sum
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from compliance.formats import files
from compliance.formats.errors import SigningError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SigningKey:
    """A private key that can sign here.

    Attributes:
        keyid: SHA-256 of the public half in DER form.
        public_key: The public half, PEM.
        signer: securesystemslib's signer over the private half.
        demo: Whether it is a key of the demonstration, which nobody should rely on.
    """

    keyid: str
    public_key: str
    signer: Any
    demo: bool = False


def generate(
    folder: Path,
    *,
    passphrase: bytes | None = None,
    demo: bool = False,
    inside_repository: bool = False,
) -> SigningKey:
    """Make a key pair and write its private half to `<folder>/<id>.pem`, mode 0600.

    Args:
        folder: Where to; made where it is missing, mode 0700.
        passphrase: Encrypts the file; None leaves it readable to whoever can read it.
        demo: Marks the key as one that nobody should rely on.
        inside_repository: Allow a folder inside a git work tree, where a key is easily committed
            by mistake. Demo keys are allowed anywhere.
    Raises:
        SigningError: the folder is inside a repository, or cannot be written.
    """
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    repository = _repository_of(folder)
    if repository and not (demo or inside_repository):
        raise SigningError(
            f"{folder} lies in the git repository {repository}, from where a private key is easily "
            "published. Give a folder outside, for example ~/.config/damp/keys."
        )
    private = Ed25519PrivateKey.generate()
    key = _signing_key(private, demo=demo)
    _write(folder / f"{key.keyid}.pem", _pem(private, passphrase))
    return key


def load(path: Path, *, passphrase: bytes | None = None, demo: bool = False) -> SigningKey:
    """The key in a file that `generate` made.

    Raises:
        SigningError: unreadable, readable by others, no Ed25519 key, a wrong passphrase, or a file
            under another key's name.
    """
    key = _signing_key(_private(path, _owners_bytes(path), passphrase), demo=demo)
    if path.stem != key.keyid:
        raise SigningError(
            f"{path} holds key {key.keyid}: name the file after the key it holds, or restore it."
        )
    return key


def key_id(public: Ed25519PublicKey) -> str:
    """SHA-256 of the public key in DER form (SubjectPublicKeyInfo), 64 hexadecimal digits."""
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    der = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(der).hexdigest()


def public_from_pem(pem: str) -> Ed25519PublicKey:
    """The public key in a PEM text.

    Raises:
        SigningError: it is none, or not of type Ed25519.
    """
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    try:
        key = load_pem_public_key(pem.encode())
    except (ValueError, UnsupportedAlgorithm) as error:
        raise SigningError(f"This is no public key in PEM form: {pem[:60]!r}.") from error
    if not isinstance(key, Ed25519PublicKey):
        raise SigningError("This public key is not of type Ed25519, the only one used here.")
    return key


def sslib_key(keyid: str, public: Ed25519PublicKey) -> Any:
    """The public key as securesystemslib wants it."""
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
    from securesystemslib.signer import SSlibKey

    raw = public.public_bytes(Encoding.Raw, PublicFormat.Raw)
    return SSlibKey(keyid, "ed25519", "ed25519", {"public": raw.hex()})


def _signing_key(private: Any, *, demo: bool) -> SigningKey:
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
    from securesystemslib.signer import CryptoSigner

    public = private.public_key()
    pem = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    keyid = key_id(public)
    signer = CryptoSigner(private, sslib_key(keyid, public))
    return SigningKey(keyid=keyid, public_key=pem, signer=signer, demo=demo)


def _pem(private: Any, passphrase: bytes | None) -> bytes:
    from cryptography.hazmat.primitives.serialization import (
        BestAvailableEncryption,
        Encoding,
        NoEncryption,
        PrivateFormat,
    )

    lock = BestAvailableEncryption(passphrase) if passphrase else NoEncryption()
    written: bytes = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, lock)
    return written


def _private(path: Path, pem: bytes, passphrase: bytes | None) -> Any:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        private = load_pem_private_key(pem, passphrase)
    except TypeError as error:  # a passphrase where none belongs, or none where one does
        raise SigningError(f"{path}: {error}. Set or unset the passphrase.") from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise SigningError(f"{path}: no private key, or another passphrase.") from error
    if not isinstance(private, Ed25519PrivateKey):
        raise SigningError(f"{path}: not a key of type Ed25519, the only one used here.")
    return private


def _owners_bytes(path: Path) -> bytes:
    try:
        if path.stat().st_mode & 0o077:
            raise SigningError(f"{path} can be read by others: `chmod 600` it, or make a new key.")
        return files.read(path)
    except OSError as error:
        raise SigningError(f"{path}: cannot be read: {error.strerror}.") from error


def _write(path: Path, content: bytes) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        files.write(path, content, mode=files.PRIVATE)
    except OSError as error:
        raise SigningError(f"{path}: cannot be written: {error.strerror}.") from error


def _repository_of(folder: Path) -> Path | None:
    whole = folder.expanduser().resolve()
    return next((place for place in (whole, *whole.parents) if (place / ".git").exists()), None)
