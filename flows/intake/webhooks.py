"""Telling the requester's system how an event stands, signed; off unless the policy lists it.

One message for each answer (a denial, a verdict, a close), each sent until it was taken and then
logged, so that it is not sent again. A system that cannot be reached never holds an event up.
"""

from __future__ import annotations

import urllib.request
from collections.abc import Iterator
from email.message import Message
from typing import IO, Any
from urllib.error import HTTPError, URLError

from compliance.formats import callback_urls, strict_json
from compliance.formats.errors import ComplianceError
from compliance.ledger import Entry, Ledger, states
from compliance.signing import envelope
from flows.intake import requests
from flows.state import keyring
from flows.state.errors import FlowError
from flows.state.paths import Home

Facts = dict[str, Any]

TYPE = "application/vnd.damp.callback+json"
ANSWERS = ("request_denied", "statement_signed", "event_closed")
SECONDS = 10


def deliver(home: Home) -> list[Facts]:
    """Send what has not been taken yet.

    Returns:
        One dict for each message: `event`, `kind`, `address`, and `answer` (a status code) or
        `problem`. A problem is told, never raised: the next run tries again.
    """
    if not home.ledger.exists():
        return []
    return [_sent(home, entry) for entry in list(_due(home))]


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
    """Send it; no redirect is followed, whatever it points to.

    Raises:
        HTTPError, URLError, OSError: it was not taken.
    """
    headers = {"Content-Type": "application/json", "User-Agent": "damp"}
    request = urllib.request.Request(address, data=content, headers=headers, method="POST")  # noqa: S310 - the scheme was checked
    opener = urllib.request.build_opener(_NoRedirect)
    with opener.open(request, timeout=SECONDS) as answer:
        return int(answer.status)


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
