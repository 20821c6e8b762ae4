"""What stands before a server of ours: who may ask, and from which page.

A page of another origin can send requests to any port of this machine from its visitor's browser,
and by rebinding its name even read the answers. So a request counts only if it names this server as
its host, and comes from no page but this server's own. MLflow asks nobody for a password: then the
guard does.
"""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from flows.servers.auth import header

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Message, Receive, Send], Awaitable[None]]

OPEN_TO_ALL = ("/health", "/version", "/api/health")
"""Paths that say nothing but that the server is up, or its version: asked for without password."""


class Guard:
    """An ASGI application that lets through what may reach another one.

    Args:
        application: The server's.
        port: Where it listens.
        hosts: Names by which it is reached, each without its port.
        auth: `user:password` that is asked for here; None where the application asks itself.
    """

    def __init__(
        self, application: Application, *, port: int, hosts: tuple[str, ...], auth: str | None
    ) -> None:
        self._application = application
        self._hosts = {f"{host}:{port}".encode() for host in hosts}
        self._origins = {b"http://" + host for host in self._hosts}
        self._authorization = None if auth is None else header(auth)["Authorization"].encode()

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer, or refuse."""
        if scope["type"] not in ("http", "websocket"):
            await self._application(scope, receive, send)
            return
        refusal = self.refusal(scope)
        if refusal is None:
            await self._application(scope, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008, "reason": refusal[1]})
        else:
            await _refuse(send, *refusal)

    def refusal(self, scope: Message) -> tuple[int, str] | None:
        """Status and reason, where a request may not go on."""
        headers: list[tuple[bytes, bytes]] = list(scope["headers"])
        hosts = [text.lower() for name, text in headers if name == b"host"]
        if len(hosts) != 1 or hosts[0] not in self._hosts:
            return 421, "This server is not called that: see docs/operations.md, team."
        origins = {text.lower() for name, text in headers if name == b"origin"}
        if not origins <= self._origins:
            return 403, "Pages of other origins may not ask here."
        if not origins and _is_cross_site(scope, headers):
            return 403, "Other sites may only link here."
        if self._authorization is None or scope["path"] in OPEN_TO_ALL:
            return None
        given = [text for name, text in headers if name == b"authorization"]
        if len(given) != 1 or not hmac.compare_digest(given[0], self._authorization):
            return 401, "The password lies in servers.auth of the state folder."
        return None


def _is_cross_site(scope: Message, headers: list[tuple[bytes, bytes]]) -> bool:
    """Whether a browser says that another site asks, and not by a link that was followed."""
    sites = {text.lower() for name, text in headers if name == b"sec-fetch-site"}
    wanted = {text.lower() for name, text in headers if name == b"sec-fetch-dest"}
    follows = wanted == {b"document"} and scope.get("method") == "GET"
    return not (sites <= {b"same-origin", b"none"} or follows)


async def _refuse(send: Send, status: int, reason: str) -> None:
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"cache-control", b"no-store")]
    if status == 401:
        headers.append((b"www-authenticate", b'Basic realm="damp"'))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": f"{reason}\n".encode()})
