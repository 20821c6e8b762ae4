"""RFC 3161 time stamps on statements: asked of an authority, and kept beside the statement.

The authority is sent a digest and a number, nothing else: neither the statement nor its name. Where
no network may be used, the query is a file to carry out, and its answer a file to bring back.
"""

from __future__ import annotations

import urllib.request
from email.message import Message
from http.client import HTTPException
from pathlib import Path
from typing import IO
from urllib.error import HTTPError
from urllib.parse import urlsplit

from compliance.formats import files
from compliance.signing import envelope, time_stamp
from flows.state.errors import EventError
from flows.state.files import write_atomically

SECONDS = 30
TYPE = "application/timestamp-query"


def query(statement: Path) -> bytes:
    """What an authority is sent for a statement, in DER form.

    Raises:
        EnvelopeError: the file is no envelope.
        SigningError: rfc3161-client is not installed.
    """
    return time_stamp.query(_payload(statement)).content


def fetch(statement: Path, authority: str, roots: Path, target: Path) -> time_stamp.TimeStamp:
    """Ask an authority for a stamp, check it, and write it.

    Args:
        statement: The envelope.
        authority: Its address, http:// or https://.
        roots: Certificates (PEM) of the roots that it must lie below.
        target: Where to write its answer.
    Raises:
        EventError: the address is none, or does not answer.
        SigningError: the answer does not hold; nothing was written.
    """
    payload, trusted = _payload(statement), _roots(roots)
    asked = time_stamp.query(payload)
    answer = _post(authority, asked.content)
    stamp = time_stamp.check(answer, payload, trusted, nonce=asked.nonce)
    write_atomically(target, answer)
    return stamp


def take(statement: Path, answer: Path, roots: Path, target: Path) -> time_stamp.TimeStamp:
    """Check an answer that was fetched elsewhere, and write it beside the statement.

    Raises:
        SigningError: it does not hold; nothing was written.
    """
    content = _read(answer)
    stamp = time_stamp.check(content, _payload(statement), _roots(roots))
    write_atomically(target, content)
    return stamp


def _payload(statement: Path) -> bytes:
    return envelope.open_envelope(_read(statement)).payload


def _roots(file: Path) -> tuple[object, ...]:
    return time_stamp.certificates(_read(file), str(file))


def _read(file: Path) -> bytes:
    try:
        return files.read(file, envelope.LARGEST)
    except OSError as error:
        raise EventError(f"{file}: cannot be read: {error.strerror}.") from error


def _post(authority: str, content: bytes) -> bytes:
    """The authority's answer; no redirect is followed."""
    if urlsplit(authority).scheme not in ("http", "https"):
        raise EventError(f"{authority} is no address of a time-stamp authority: http or https.")
    headers = {"Content-Type": TYPE, "User-Agent": "damp"}
    request = urllib.request.Request(authority, data=content, headers=headers, method="POST")  # noqa: S310 - the scheme was checked
    opener = urllib.request.build_opener(_NoRedirect)
    try:
        with opener.open(request, timeout=SECONDS) as answer:
            return bytes(answer.read(time_stamp.LARGEST + 1))
    except HTTPError as error:
        error.close()
        raise EventError(f"{authority} gave no time stamp: {error}.") from error
    except (OSError, HTTPException, ValueError) as error:
        raise EventError(f"{authority} gave no time stamp: {error}.") from error


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: Message,
        newurl: str,
    ) -> None:
        """None: urllib then raises the answer as an error."""
