"""RFC 3161 time stamps: a third party signs that a statement was there at a moment.

The ledger shows in which order things happened here; a time stamp shows outsiders when, by the word
of an authority that never sees the statement, only its SHA-256. What is stamped are the signed
bytes, the envelope's payload: a stamp holds however many sign later.

    query = time_stamp.query(payload)                   # sent as application/timestamp-query
    stamp = time_stamp.check(answer, payload, roots)    # its answer, a file

Source: RFC 3161 with RFC 5816, by rfc3161-client.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.util import find_spec
from types import ModuleType
from typing import Any

from compliance.formats.errors import SigningError

LARGEST = 1 << 20
"""Bytes of an answer at most; one has a few thousand."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """What an authority is sent.

    Attributes:
        content: The request in DER form.
        nonce: The number in it that its answer must repeat.
    """

    content: bytes
    nonce: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeStamp:
    """What an authority vouches for.

    Attributes:
        time: UTC, when it saw the digest.
        serial: Its number for this stamp.
        authority: The name in the certificate that signed it.
    """

    time: datetime
    serial: int
    authority: str


def query(payload: bytes) -> Query:
    """A request for a stamp on the SHA-256 of some bytes.

    Raises:
        SigningError: rfc3161-client is not installed.
    """
    client = _client()
    builder = client.TimestampRequestBuilder().data(payload)
    built = builder.hash_algorithm(client.HashAlgorithm.SHA256).build()
    return Query(content=built.as_bytes(), nonce=built.nonce)


def check(
    answer: bytes, payload: bytes, roots: Sequence[Any], *, nonce: int | None = None
) -> TimeStamp:
    """The stamp in an authority's answer: over these bytes, signed by one that a root vouches for.

    Args:
        answer: What the authority sent, in DER form.
        payload: The bytes that it should be over.
        roots: Certificates of the roots that are trusted.
        nonce: Of the request, where it is known.
    Raises:
        SigningError: it is no answer, a refusal, over other bytes, or by nobody who is trusted.
    """
    client = _client()
    if not roots:
        raise SigningError("A time stamp says nothing without a root certificate to judge it by.")
    response = decoded(answer)
    verifier = client.VerifierBuilder(roots=list(roots), nonce=nonce).build()
    try:
        verifier.verify_message(response, payload)
    except (client.VerificationError, ValueError) as error:
        raise SigningError(
            f"The time stamp does not hold: {error}. It must be over this very statement, signed "
            "by an authority below one of the given roots."
        ) from error
    information = response.tst_info
    return TimeStamp(
        time=information.gen_time.astimezone(UTC),
        serial=information.serial_number,
        authority=_authority(response),
    )


def decoded(answer: bytes) -> Any:
    """The answer as rfc3161-client has it.

    Raises:
        SigningError: it is none, or the authority refused.
    """
    if len(answer) > LARGEST:
        raise SigningError(f"The answer has more than {LARGEST} bytes: it is no time stamp.")
    client = _client()
    try:
        response = client.decode_timestamp_response(answer)
    except ValueError as error:
        raise SigningError(f"This is no answer of a time-stamp authority: {error}.") from error
    if response.status != client.PKIStatus.GRANTED:
        words = ", ".join(response.status_string or ()) or f"status {response.status}"
        raise SigningError(f"The time-stamp authority refused: {words}.")
    return response


def certificates(pem: bytes, name: str) -> tuple[Any, ...]:
    """The certificates in a PEM file.

    Raises:
        SigningError: there is none, or one cannot be read.
    """
    from cryptography.x509 import load_pem_x509_certificates

    try:
        return tuple(load_pem_x509_certificates(pem))
    except ValueError as error:
        raise SigningError(f"{name} holds no certificate in PEM form: {error}.") from error


def _authority(response: Any) -> str:
    """The subject of the certificate that signed, which the answer brings."""
    from cryptography.x509 import load_der_x509_certificate

    (signer,) = response.signed_data.signer_infos
    for content in response.signed_data.certificates:
        certificate = load_der_x509_certificate(content)
        if (certificate.issuer, certificate.serial_number) == (signer.issuer, signer.serial_number):
            return certificate.subject.rfc4514_string()
    return ""


def can_judge() -> bool:
    """Whether rfc3161-client is installed, without which no stamp is judged."""
    return find_spec("rfc3161_client") is not None


def _client() -> ModuleType:
    try:
        import rfc3161_client
    except ImportError as error:
        raise SigningError(
            "Time stamps need rfc3161-client: pip install 'damp-unlearning[timestamps]'."
        ) from error
    client: ModuleType = rfc3161_client
    return client
