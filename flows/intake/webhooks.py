"""Telling the requester's system how an event stands, signed; off unless the policy lists it.

One message for each answer (a denial, a verdict, a close), each sent until it was taken and then
logged, so that it is not sent again. A system that cannot be reached, or that answers one byte a
second, never holds an event up: each message has a deadline, and so have all of a run together.
"""

from __future__ import annotations

import threading
import time
import urllib.request
from collections.abc import Iterator
from concurrent.futures import Future
from email.message import Message
from http.client import HTTPException
from typing import IO, Any
from urllib.error import HTTPError, URLError

from compliance.formats import callback_urls, strict_json
from compliance.formats.errors import ComplianceError
from compliance.ledger import Entry, Ledger, states
from compliance.signing import envelope
from flows.intake import requests
from flows.state import keyring, locks
from flows.state.errors import FlowError
from flows.state.paths import Home

Facts = dict[str, Any]

TYPE = "application/vnd.damp.callback+json"
ANSWERS = ("request_denied", "statement_signed", "event_closed")
SECONDS = 10.0
"""In which a message must have been taken, name look-up and all."""
ALL_SECONDS = 60.0
"""After which a run begins no further message."""


def deliver(home: Home) -> list[Facts]:
    """Send what has not been taken yet.

    Returns:
        One dict for each message: `event`, `kind`, `address`, and `answer` (a status code) or
        `problem`. A problem is told, never raised: the next run tries again. While another
        process sends, this one leaves it to that.
    """
    if not home.ledger.exists():
        return []
    with locks.unless_held(home, "callbacks") as alone:
        return list(_sent_in_time(home)) if alone else []


def _sent_in_time(home: Home) -> Iterator[Facts]:
    end = time.monotonic() + ALL_SECONDS
    for entry in list(_due(home)):
        if time.monotonic() >= end:
            return
        yield _sent(home, entry)


def _due(home: Home) -> Iterator[Entry]:
    """Entries of events that name an allowed address, whose answer was not taken yet."""
    entries = Ledger(home.ledger).entries()
    taken = {(e.event, e.key) for e in entries if e.kind == "callback_sent"}
    named = {e.event for e in entries if e.kind == "request_received" and _names(e)}
    for entry in entries:
        answer = entry.kind in ANSWERS and entry.event in named
        if answer and (entry.event, _key(entry)) not in taken:
            yield entry


def _names(entry: Entry) -> bool:
    return bool(entry.body.get("callback"))


def _key(entry: Entry) -> str:
    return f"entry-{entry['seq']}"


def _sent(home: Home, entry: Entry) -> Facts:
    told: Facts = {"event": entry.event, "kind": entry.kind}
    try:
        request, policy = (
            requests.request_of(home, entry.event),
            requests.policy_of(home, entry.event),
        )
        address = str(request.callback)
        told["address"] = address
        if not callback_urls.allowed(address, policy.callbacks):
            return told | {"problem": f"the policy {policy.name} does not allow {address} any more"}
        answer = _post(address, message(home, entry))
    except (FlowError, ComplianceError) as error:
        return told | {"problem": str(error)}
    except (HTTPError, URLError, TimeoutError, OSError) as error:
        return told | {"problem": f"{address} did not take it: {error}"}
    body = {"of": entry.kind, "entry": entry.seq, "status": answer}
    Ledger(home.ledger).append_once("callback_sent", entry.event, _key(entry), body)
    return told | {"answer": answer}


def message(home: Home, entry: Entry) -> bytes:
    """A DSSE envelope around how the event stands, signed by the executor."""
    event = states.current(Ledger(home.ledger).entries(), entry.event)
    payload = {
        "format": "damp/callback/v1",
        "event": event.id,
        "entry": entry.seq,
        "at": entry.time,
        "kind": entry.kind,
        "state": event.state.value,
        "verdict": event.verdict or None,
        "statement": event.statements[-1] if event.statements else None,
        "due": event.due or None,
    }
    key = keyring.signing_key(home, "executor")
    return envelope.sign_bytes(strict_json.canonical(payload), TYPE, key)


def _post(address: str, content: bytes) -> int:
    """Send it, and wait for the answer until its deadline.

    Timeouts of sockets start anew with each byte, and a name look-up has none: so a thread sends,
    and is left alone once it is late.

    Raises:
        HTTPError, URLError, OSError: it was not taken.
    """
    status: Future[int] = Future()

    def work() -> None:
        try:
            status.set_result(_exchange(address, content))
        except Exception as error:  # noqa: BLE001 - raised again where the answer is waited for
            status.set_exception(error)

    threading.Thread(target=work, daemon=True).start()
    try:
        return status.result(timeout=SECONDS)
    except TimeoutError as error:
        raise TimeoutError(f"no answer within {SECONDS:g} seconds") from error


def _exchange(address: str, content: bytes) -> int:
    """Send it; no redirect is followed, whatever it points to."""
    headers = {"Content-Type": "application/json", "User-Agent": "damp"}
    request = urllib.request.Request(address, data=content, headers=headers, method="POST")  # noqa: S310 - the scheme was checked
    opener = urllib.request.build_opener(_NoRedirect)
    try:
        with opener.open(request, timeout=SECONDS) as answer:
            return int(answer.status)
    except HTTPError as error:
        error.close()  # it holds the connection, and the thread's traceback holds it
        raise
    except (HTTPException, ValueError) as error:  # no HTTP, or a name that is none
        raise URLError(f"no proper answer: {error!r}") from error


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
