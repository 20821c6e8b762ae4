"""`/metrics` beside `damp serve`: on this machine only, behind the same guard as all our servers.

A page in its owner's browser could ask any port of the machine: the guard refuses other names,
other origins and whoever lacks the password of `servers.auth`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from flows.servers.guard import Guard
from flows.state.errors import ServerError

HOST = "127.0.0.1"
PATH = "/metrics"
PATIENCE = 10.0
"""Seconds that a client may take to send its request."""


@contextmanager
def served(content: Callable[[], str], content_type: str, *, port: int, auth: str) -> Iterator[str]:
    """Serve what `content` writes, for the length of a `with` block.

    Args:
        content: Called anew for each request.
        content_type: Of what it writes.
        port: On 127.0.0.1; 0 for a free one.
        auth: `user:password` that a client must send.
    Yields:
        The address.
    Raises:
        ServerError: The port is taken.
    """
    try:
        server = ThreadingHTTPServer((HOST, port), BaseHTTPRequestHandler)
    except OSError as error:
        raise ServerError(
            f"Port {port} of {HOST} cannot be used for metrics: {error.strerror}. Name another one "
            "with --metrics-port."
        ) from error
    actual = server.server_address[1]
    guard = Guard(_nothing, port=actual, hosts=(HOST, "localhost"), auth=auth)
    server.RequestHandlerClass = _handler(guard, content, content_type)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, name="metrics", daemon=True)
    thread.start()
    try:
        yield f"http://{HOST}:{actual}{PATH}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


async def _nothing(*_: Any) -> None:
    """The guard's application: only its refusals are asked for here."""


def _handler(
    guard: Guard, content: Callable[[], str], content_type: str
) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        """Answers GET /metrics, and nothing else."""

        timeout = PATIENCE
        server_version, sys_version = "damp", ""

        def do_GET(self) -> None:
            headers = [(k.lower().encode(), v.encode()) for k, v in self.headers.items()]
            scope = {"type": "http", "method": "GET", "path": self.path, "headers": headers}
            refusal = guard.refusal(scope)
            if refusal is not None:
                self._answer(refusal[0], f"{refusal[1]}\n", "text/plain; charset=utf-8")
            elif self.path != PATH:
                self._answer(404, f"There is {PATH} only.\n", "text/plain; charset=utf-8")
            else:
                self._answer(200, content(), content_type)

        def _answer(self, status: int, body: str, kind: str) -> None:
            data = body.encode()
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(data)))
            self.send_header("Cache-Control", "no-store")
            if status == 401:
                self.send_header("WWW-Authenticate", 'Basic realm="damp"')
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *args: Any) -> None:
            """Log nothing: Prometheus asks every few seconds."""

    return Handler
