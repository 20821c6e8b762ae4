"""A server of this machine at a second address, where a browser without hands needs no password."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import httpx

from flows.servers.auth import header

KEPT = ("content-type", "accept")


@contextmanager
def with_password(url: str, auth: str) -> Iterator[str]:
    """The address of a relay, for the length of a block.

    Args:
        url: The server.
        auth: Its `user:password`, which every request that is passed on carries.
    """

    class Relay(BaseHTTPRequestHandler):
        def _pass_on(self) -> None:
            content = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            sent = {name: self.headers[name] for name in KEPT if name in self.headers}
            answer = httpx.request(
                self.command,
                url + self.path,
                content=content,
                headers=sent | header(auth),
                timeout=60,
                trust_env=False,
            )
            text = answer.content.replace(url.encode(), self._own().encode())
            self.send_response(answer.status_code)
            self.send_header("Content-Type", answer.headers.get("content-type", "text/plain"))
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _pass_on  # noqa: N815 - as it calls them

        def _own(self) -> str:
            return f"http://{self.headers['Host']}"

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Relay) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
