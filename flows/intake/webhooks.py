"""Signed messages to the requester's system: how an event stands; off unless the policy lists it.

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
from dataclasses import dataclass
from email.message import Message
from http.client import HTTPException
from typing import IO, Any
from urllib.error import HTTPError

from compliance.formats import callback_urls, strict_json
from compliance.formats.errors import ComplianceError
from compliance.ledger import Entry, Ledger, states
from compliance.signing import envelope
from flows.intake import requests
from flows.state import keyring, locks
from flows.state.errors import EventError, FlowError
from flows.state.paths import Home

Facts = dict[str, Any]

TYPE = "application/vnd.damp.callback+json"
ANSWERS = ("request_denied", "statement_signed", "event_closed")
SECONDS = 10.0
"""In which a message must have been taken, name look-up and all."""
ALL_SECONDS = 60.0
"""After which a run begins no further message."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One message, sent or not.

    Attributes:
        event: Whose state it says.
        kind: Of the ledger entry that it answers for.
        answer: The status code with which it was taken; None where it was not.
        problem: Why it was not taken; empty where it was.
    """

    event: str
    kind: str
    answer: int | None = None
    problem: str = ""


def deliver(home: Home) -> list[Delivery]:
    """Send what has not been taken yet.

    A problem stands in the delivery and is never raised: the next run tries again. While another
    process sends, this one leaves it to that.
    """
    if not home.ledger.exists():
        return []
    with locks.unless_held(home, "callbacks") as alone:
        return list(_sent_in_time(home)) if alone else []


def _sent_in_time(home: Home) -> Iterator[Delivery]:
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
    return f"entry-{entry.seq}"


def _sent(home: Home, entry: Entry) -> Delivery:
    event, kind = entry.event, entry.kind
    try:
        answer = _post(_address(home, event), message(home, entry))
    except (FlowError, ComplianceError) as error:
        return Delivery(event=event, kind=kind, problem=str(error))
    body = {"of": kind, "entry": entry.seq, "status": answer}
    Ledger(home.ledger).append_once("callback_sent", event, _key(entry), body)
    return Delivery(event=event, kind=kind, answer=answer)


def _address(home: Home, event: str) -> str:
    """The event's callback URL, which its policy still allows.

    Raises:
        EventError: The policy lists it no more.
    """
    address, policy = (
        str(requests.request_of(home, event).callback),
        requests.policy_of(home, event),
    )
    if not callback_urls.allowed(address, policy.callbacks):
        raise EventError(f"The policy {policy.name} does not allow {address} any more.")
    return address


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
        EventError: It was not taken.
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
        raise EventError(
            f"{address} did not take it: no answer within {SECONDS:g} seconds"
        ) from error


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
        raise EventError(f"{address} did not take it: {error}") from error
    except (HTTPException, ValueError) as error:  # no HTTP, or a name that is none
        raise EventError(f"{address} did not take it: no proper answer: {error!r}") from error
    except OSError as error:  # what else urllib raises is an OSError
        raise EventError(f"{address} did not take it: {error}") from error


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
