"""Ways in which a page of another origin, or another user of the machine, asks a server of ours.

Each is a request that a browser would let out, or that anybody can write; `tried` says what came
back. `page` is a hostile page that tries them all in a real browser and reports what it could do.
"""

from __future__ import annotations

import http.client
import json
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, field
from urllib.parse import urlsplit

EVIL = "http://evil.example"
PATCH = {"pull_steps": [{"prefect.deployments.steps.run_shell_script": {"script": "id > /tmp/x"}}]}


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One request.

    Attributes:
        name: What it tries.
        method: Of HTTP.
        headers: What the browser, or the writer, puts in.
        knows: Whether it carries the password, as a browser does that was given it once.
        host: What it calls the server; None for its own name.
    """

    name: str
    method: str = "PATCH"
    headers: Mapping[str, str] = field(default_factory=dict)
    knows: bool = False
    host: str | None = None


ATTEMPTS = (
    Attempt(name="another user's program, without the password"),
    Attempt(name="a wrong password", headers={"Authorization": "Basic ZGFtcDp3cm9uZw=="}),
    Attempt(name="a token in place of it", headers={"Authorization": "Bearer x"}),
    Attempt(name="a page of another origin", headers={"Origin": EVIL}, knows=True),
    Attempt(name="a page without an origin", headers={"Origin": "null"}, knows=True),
    Attempt(name="a page of another port", headers={"Origin": "http://127.0.0.1:8888"}, knows=True),
    Attempt(name="a page of another scheme", headers={"Origin": "https://{server}"}, knows=True),
    Attempt(
        name="a name that begins like ours",
        headers={"Origin": "http://{server}.evil.example"},
        knows=True,
    ),
    Attempt(name="a rebound name", host="evil.example:{port}", knows=True),
    Attempt(name="a rebound name without a port", host="evil.example", knows=True),
    Attempt(name="an address in another form", host="127.1:{port}", knows=True),
    Attempt(name="no host at all", host="", knows=True),
    Attempt(name="a form that is posted", method="POST", headers={"Origin": EVIL}, knows=True),
    Attempt(
        name="a request in mode no-cors",
        method="POST",
        headers={"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"},
        knows=True,
    ),
    Attempt(
        name="a frame",
        method="GET",
        headers={
            "Sec-Fetch-Site": "same-site",
            "Sec-Fetch-Mode": "navigate",
            "Sec-Fetch-Dest": "iframe",
        },
        knows=True,
    ),
    Attempt(
        name="a preflight",
        method="OPTIONS",
        headers={"Origin": EVIL, "Access-Control-Request-Method": "PATCH"},
    ),
    Attempt(
        name="two origins",
        headers={"Origin": "http://{server}, http://evil.example"},
        knows=True,
    ),
)


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server said to an attempt."""

    status: int
    allowed_origin: str | None

    @property
    def is_refusal(self) -> bool:
        """Neither done nor readable by a page."""
        return self.status in (400, 401, 403, 421) and self.allowed_origin in (None, "")


def tried(
    url: str, path: str, attempt: Attempt, authorization: Mapping[str, str], content: object = PATCH
) -> Answer:
    """Send one attempt to a server's path, as it is: no library repairs it."""
    parts = urlsplit(url)
    server = f"{parts.hostname}:{parts.port}"
    host = server if attempt.host is None else attempt.host.format(port=parts.port)
    connection = http.client.HTTPConnection(str(parts.hostname), parts.port, timeout=30)
    body = json.dumps(content).encode()
    connection.putrequest(attempt.method, path, skip_host=True)
    headers = {name: text.format(server=server) for name, text in attempt.headers.items()}
    headers |= {"Host": host} if host else {}
    headers |= dict(authorization) if attempt.knows else {}
    headers |= {"Content-Type": "application/json", "Content-Length": str(len(body))}
    for name, text in headers.items():
        connection.putheader(name, text)
    connection.endheaders(body)
    with closing(connection):
        answer = connection.getresponse()
        # its text is not read: a server that refuses with our body unread may reset the connection
        return Answer(answer.status, answer.getheader("Access-Control-Allow-Origin"))


def page(server: str, paths: Mapping[str, str], authorization: str) -> str:
    """A hostile page: it tries to read and to change, and leaves what it achieved in its title.

    Args:
        server: The address that it attacks.
        paths: What it asks for, by method.
        authorization: The password's header: a page that has found it out still may not use it.
    """
    facts = json.dumps({"server": server, "paths": paths, "password": authorization})
    return f"""<!doctype html><title>running</title><body><script>
const facts = {facts}, achieved = [];
async function attempt(name, request) {{
  try {{
    const answer = await request();
    if (answer.type !== "opaque" && answer.status < 300) achieved.push(name + answer.status);
  }} catch (error) {{}}
}}
async function all() {{
  for (const host of [facts.server, facts.server.replace("127.0.0.1", "localhost")])
  for (const [method, path] of Object.entries(facts.paths)) {{
    const url = host + path, body = method === "GET" ? undefined : "{{}}";
    const json = {{"Content-Type": "application/json"}};
    const trusted = {{...json, Authorization: facts.password}};
    await attempt("plain " + method, () => fetch(url, {{method, body}}));
    await attempt("json " + method, () => fetch(url, {{method, body, headers: json}}));
    await attempt("known " + method, () => fetch(url, {{method, body, headers: trusted}}));
    await attempt("cookies " + method, () => fetch(url, {{method, body, credentials: "include"}}));
    await attempt("no-cors " + method, () => fetch(url, {{method, body, mode: "no-cors"}}));
  }}
  const frame = document.createElement("iframe");
  frame.src = facts.server + "/";
  document.body.append(frame);
  await new Promise(done => setTimeout(done, 1500));
  try {{ if (frame.contentDocument.body.textContent) achieved.push("frame"); }} catch (error) {{}}
  const socket = new WebSocket(facts.server.replace("http", "ws") + "/api/events/out", "prefect");
  await new Promise(done => {{ socket.onopen = () => {{ achieved.push("socket"); done(); }};
    socket.onerror = done; setTimeout(done, 3000); }});
  document.title = "done " + JSON.stringify(achieved);
  document.body.textContent = document.title;
}}
all();
</script>"""


def tries(methods: int) -> int:
    """How many requests the page makes: each way for each method by two names, a frame, a socket.

    >>> tries(3)
    32
    """
    return 2 * methods * page("", {}, "").count("await attempt(") + 2
