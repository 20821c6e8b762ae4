"""The requester's system gets one signed message where the policy allows it, or none at all."""

from __future__ import annotations

import contextlib
import json
import runpy
import socket
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from compliance.documents.request import parse_request
from compliance.formats.errors import RequestError
from compliance.ledger import Ledger
from compliance.signing import envelope, load_trust
from flows.intake import lifecycle, requests, webhooks
from flows.state import keyring, locks
from flows.state.errors import EventError
from flows.state.paths import Home

RECORDS = SimpleNamespace(**runpy.run_path(str(Path(__file__).parents[1] / "decided.py")))
Refusal = Callable[..., Any]


class Receiver:
    """A requester's system: what it was sent, and what it answers."""

    def __init__(self) -> None:
        self.messages: list[bytes] = []
        self.answer = 200
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                outer.messages.append(self.rfile.read(int(self.headers["Content-Length"])))
                self.send_response(outer.answer)
                if outer.answer == 302:
                    self.send_header("Location", "/elsewhere")
                self.end_headers()

            def do_GET(self) -> None:
                """What follows a redirect comes here."""
                outer.messages.append(b"")
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                """Silent."""

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.server.server_port}/damp"
        self.thread = threading.Thread(target=self.server.serve_forever)
        self.thread.start()

    def close(self) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    system = Receiver()
    yield system
    system.close()


@pytest.fixture
def event(home: Home, receiver: Receiver) -> str:
    """An event whose request sets the system's URL, under a policy that lists it."""
    keyring.new(home, role="executor", days=30)
    more, listed = f"callback: {receiver.address}\n", [receiver.address]
    event: str = RECORDS.put(home, more=more, callbacks=listed)
    return event


def test_each_answer_is_sent_once_and_signed(home: Home, receiver: Receiver, event: str) -> None:
    assert webhooks.deliver(home) == []
    lifecycle.deny(home, event, reason="exempt", note="")
    (sent,) = webhooks.deliver(home)
    assert (sent.answer, sent.kind) == (200, "request_denied")
    assert webhooks.deliver(home) == []
    opened = envelope.open_envelope(receiver.messages[0])
    (signature,) = envelope.verify_signatures(opened, load_trust(home.trust))
    assert (signature.holds, signature.role) == (True, "executor")
    assert opened.payload_type == webhooks.TYPE
    said = json.loads(opened.payload)
    assert (said["event"], said["state"], said["verdict"]) == (event, "denied", None)
    assert Ledger(home.ledger).of(event, "callback_sent")[0]["body"]["status"] == 200


def test_a_verdict_is_sent_with_its_statement(home: Home, receiver: Receiver, event: str) -> None:
    attempt = RECORDS.decide(home, event)
    webhooks.deliver(home)
    said = json.loads(envelope.open_envelope(receiver.messages[0]).payload)
    assert said["verdict"] == "PASSED"
    assert said["statement"] == envelope.digest(attempt.statement.read_bytes())


@pytest.mark.parametrize("answer", [404, 500, 302])
def test_what_was_not_taken_is_sent_again_and_holds_nothing_up(
    home: Home, receiver: Receiver, event: str, answer: int
) -> None:
    lifecycle.deny(home, event, reason="exempt", note="")
    receiver.answer = answer
    (first,) = webhooks.deliver(home)
    assert "did not take it" in first.problem
    assert len(receiver.messages) == 1  # a redirect is not followed
    assert not Ledger(home.ledger).of(event, "callback_sent")
    receiver.answer = 204
    assert webhooks.deliver(home)[0].answer == 204


def test_a_system_that_is_gone_holds_nothing_up(home: Home, receiver: Receiver, event: str) -> None:
    lifecycle.deny(home, event, reason="exempt", note="")
    receiver.server.server_close()
    (delivery,) = webhooks.deliver(home)
    assert "did not take it" in delivery.problem


class Drip:
    """A server that takes a message and answers one byte a second, for ever."""

    def __init__(self) -> None:
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.address = f"http://127.0.0.1:{self.socket.getsockname()[1]}/drip"
        self.taken = 0
        self.ended = threading.Event()
        threading.Thread(target=self._answer, daemon=True).start()

    def _answer(self) -> None:
        while not self.ended.is_set():
            try:
                peer, _ = self.socket.accept()
            except OSError:
                return
            self.taken += 1
            threading.Thread(target=self._drip, args=(peer,), daemon=True).start()

    def _drip(self, peer: socket.socket) -> None:
        with peer, contextlib.suppress(OSError):
            peer.sendall(b"HTTP/1.1 200 OK\r\nX: ")
            while not self.ended.wait(0.2):
                peer.sendall(b"a")

    def close(self) -> None:
        self.ended.set()
        self.socket.close()


@pytest.fixture
def drip() -> Iterator[Drip]:
    server = Drip()
    yield server
    server.close()


@pytest.mark.timeout(60)
def test_an_answer_of_one_byte_at_a_time_has_a_deadline(
    home: Home, drip: Drip, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhooks, "SECONDS", 1.0)
    monkeypatch.setattr(webhooks, "ALL_SECONDS", 1.5)
    keyring.new(home, role="executor", days=30)
    for _ in range(6):
        event = RECORDS.put(home, more=f"callback: {drip.address}\n", callbacks=[drip.address])
        lifecycle.deny(home, event, reason="exempt", note="")
    began = time.monotonic()
    deliveries = webhooks.deliver(home)
    assert time.monotonic() - began < 10
    assert "no answer within 1 seconds" in deliveries[0].problem
    assert len(deliveries) < 6  # the others are left to the next run


def test_while_another_process_sends_nothing_is_sent_twice(
    home: Home, receiver: Receiver, event: str
) -> None:
    lifecycle.deny(home, event, reason="exempt", note="")
    with locks.exclusive(home, "callbacks"):
        assert webhooks.deliver(home) == []
    assert len(webhooks.deliver(home)) == 1


def test_what_is_no_http_is_a_problem_and_no_error(home: Home) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"http://127.0.0.1:{server.getsockname()[1]}/"

        def answer() -> None:
            peer, _ = server.accept()
            with peer:
                peer.sendall(b"220 smtp.example.org\r\n")
                peer.recv(65536)

        threading.Thread(target=answer, daemon=True).start()
        with pytest.raises(EventError, match=r"no proper answer|reset|closed"):
            webhooks._post(address, b"{}")


def test_the_schedule_sends_outside_its_lock(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    # Prefect makes its folder when it is first imported, and no folder above it
    (home.root / "prefect").mkdir(parents=True)
    monkeypatch.setenv("PREFECT_HOME", str(home.root / "prefect"))
    from flows.orchestration import reconcile, schedule

    held = []

    def deliver(place: Home) -> list[Any]:
        with locks.unless_held(place, "compliance-run") as free:
            held.append(not free)
        return []

    monkeypatch.setattr(webhooks, "deliver", deliver)
    monkeypatch.setattr(reconcile, "reconcile", lambda place: None)
    assert schedule.compliance_run.fn(str(home.root)) == []
    assert held == [False]


def test_a_policy_that_no_longer_lists_the_url_stops_it(
    home: Home, receiver: Receiver, event: str
) -> None:
    lifecycle.deny(home, event, reason="exempt", note="")
    file = requests.origin_of(home, event) / "policy.yaml"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"callbacks": []}))
    assert "does not allow" in webhooks.deliver(home)[0].problem
    assert receiver.messages == []


def test_without_a_callback_nothing_is_sent(home: Home, receiver: Receiver) -> None:
    keyring.new(home, role="executor", days=30)
    event = RECORDS.put(home, callbacks=[receiver.address])
    lifecycle.deny(home, event, reason="exempt", note="")
    assert webhooks.deliver(home) == []


def test_an_address_that_the_policy_does_not_list_is_refused_at_the_door(refused: Refusal) -> None:
    text = RECORDS.REQUEST.format(id="5f0c7c2e-4a53-4d0b-9f3e-1f4f5f0a9c11", regulation="gdpr")
    request = parse_request(f"{text}callback: https://desk.example.org/\n")
    for listed in ([], ["https://other.example.org/"]):
        with refused(EventError, "Leave `callback` out"):
            requests.check_callback(request, RECORDS.policy(callbacks=listed))
    requests.check_callback(request, RECORDS.policy(callbacks=["https://desk.example.org/"]))
    with pytest.raises(RequestError, match=r"line 11.*callback: write an https address"):
        parse_request(f"{text}callback: http://10.0.0.1/\n")


def test_a_request_without_a_callback_has_the_digest_that_it_always_had() -> None:
    text = RECORDS.REQUEST.format(id="5f0c7c2e-4a53-4d0b-9f3e-1f4f5f0a9c11", regulation="gdpr")
    assert "callback" not in parse_request(text).content()
