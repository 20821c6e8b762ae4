"""Nobody gets in: no other user, no page of another origin, neither at Prefect nor at MLflow."""

from __future__ import annotations

import asyncio
import json
import os
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import httpx
import pytest

from benchmarks.robustness.cross_origin import ATTEMPTS, Attempt, page, tried
from flows.records import pdf
from flows.servers import auth
from flows.servers.guard import Guard
from flows.state.errors import BrowserError, ServerError
from flows.state.paths import Home
from tests.flows.running import Office

AUTH = "damp:" + "x" * 40


def answered(
    headers: dict[str, str], *, password: str | None = AUTH, path: str = "/", kind: str = "http"
) -> int:
    """The status of a request that the guard of port 4200 lets through as 200."""
    said: list[Any] = []

    async def application(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})

    async def send(message: Any) -> None:
        said.append(message)

    async def receive() -> dict[str, Any]:
        return {}

    guard = Guard(application, port=4200, hosts=("127.0.0.1", "localhost"), auth=password)
    raw = [(name.lower().encode(), text.encode()) for name, text in headers.items()]
    scope = {"type": kind, "method": "GET", "path": path, "headers": raw}
    asyncio.run(guard(scope, receive, send))
    return int(said[0].get("status") or said[0]["code"])


HOST = {"Host": "127.0.0.1:4200"}
KNOWN = HOST | auth.header(AUTH)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        (KNOWN, 200),
        (KNOWN | {"Host": "LOCALHOST:4200"}, 200),
        (KNOWN | {"Origin": "http://127.0.0.1:4200"}, 200),
        (KNOWN | {"Origin": "http://localhost:4200", "Sec-Fetch-Site": "cross-site"}, 200),
        (KNOWN | {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Dest": "document"}, 200),
        (KNOWN | {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Dest": "iframe"}, 403),
        (KNOWN | {"Origin": "http://127.0.0.1:4201"}, 403),
        (KNOWN | {"Host": "evil.example:4200"}, 421),
        (auth.header(AUTH), 421),
        (HOST, 401),
        (HOST | auth.header("damp:y"), 401),
    ],
)
def test_the_guard_lets_through_what_may_pass(headers: dict[str, str], status: int) -> None:
    assert answered(headers) == status


def test_the_guard_asks_no_password_where_the_server_asks_itself_or_only_is_up() -> None:
    assert answered(HOST, password=None) == 200
    assert answered(HOST, path="/health") == 200
    assert answered(HOST, path="/health/../api") == 401


def test_a_socket_of_another_page_is_closed() -> None:
    assert answered(KNOWN | {"Origin": "http://evil.example"}, kind="websocket") == 1008
    assert answered(KNOWN, kind="websocket") == 200


# The password


def test_the_password_is_random_and_its_owners_alone(tmp_path: Path) -> None:
    one, other = auth.auth_string(tmp_path / "one"), auth.auth_string(tmp_path / "two")
    assert one != other
    assert auth.auth_string(tmp_path / "one") == one
    assert stat.S_IMODE((tmp_path / "one" / auth.FILE).stat().st_mode) == 0o600


def test_of_two_that_make_it_at_once_both_get_the_same(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from flows.servers import auth\n"
        "sys.stdin.read(1); print(auth.auth_string(Path(sys.argv[1])))"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "state")]
    pipe = subprocess.PIPE
    those = [subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) for _ in range(8)]
    assert len({process.communicate("x")[0] for process in those}) == 1
    assert [path.name for path in (tmp_path / "state").iterdir()] == [auth.FILE]


@pytest.mark.parametrize(("text", "mode"), [("damp:" + "x" * 40, 0o644), ("", 0o600), ("x", 0o600)])
def test_a_password_that_others_know_or_that_is_none_is_refused(
    tmp_path: Path, text: str, mode: int
) -> None:
    (tmp_path / auth.FILE).write_text(text)
    (tmp_path / auth.FILE).chmod(mode)
    with pytest.raises(ServerError, match="remove it"):
        auth.auth_string(tmp_path)


# Real servers


@dataclass(frozen=True)
class Served:
    """A server of `damp up`, and what reading and changing it would be."""

    url: str
    authorization: dict[str, str]
    reads: str
    changes: str


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Served]]:
    office = Office(Home(tmp_path_factory.mktemp("guarded") / "state"))
    began = office.damp("up", "--json")
    assert began.returncode == 0, began.stderr
    urls = {each["name"]: each["url"] for each in json.loads(began.stdout)}
    root = office.home.root
    sent = auth.header(auth.auth_string(root))
    yield {
        "prefect": Served(
            urls["prefect"],
            sent,
            "/api/admin/settings",
            f"/api/deployments/{deployment(urls['prefect'], sent)}",
        ),
        "mlflow": Served(
            urls["mlflow"],
            sent,
            "/api/2.0/mlflow/registered-models/search",
            "/api/2.0/mlflow/registered-models/update",
        ),
    }
    assert office.damp("down").returncode == 0


def deployment(url: str, sent: dict[str, str]) -> str:
    """A deployment whose `pull_steps` would be a stranger's way to run code."""
    with httpx.Client(base_url=f"{url}/api", headers=sent, trust_env=False) as client:
        flow = create(client, "/flows/", {"name": "victim"})
        return create(client, "/deployments/", {"name": "victim", "flow_id": flow})


def create(client: httpx.Client, path: str, content: dict[str, str]) -> str:
    """The identity of what was created. A server whose SQLite is locked by its own services answers
    503, which Prefect's client takes as "try again"; so does this one, for a minute."""
    until = time.monotonic() + 60
    answer = client.post(path, json=content)
    while answer.status_code == httpx.codes.SERVICE_UNAVAILABLE and time.monotonic() < until:
        time.sleep(0.5)
        answer = client.post(path, json=content)
    return str(answer.raise_for_status().json()["id"])


def steps(served: Served) -> Any:
    sent = httpx.get(served.url + served.changes, headers=served.authorization, trust_env=False)
    return sent.raise_for_status().json()["pull_steps"]


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", ["prefect", "mlflow"])
@pytest.mark.parametrize("attempt", ATTEMPTS, ids=lambda attempt: attempt.name)
def test_who_may_not_ask_reads_and_changes_nothing(
    servers: dict[str, Served], name: str, attempt: Attempt
) -> None:
    served = servers[name]
    for path in (served.changes, served.reads):
        answer = tried(served.url, path, attempt, served.authorization)
        assert answer.is_refusal, (path, answer)
    assert steps(servers["prefect"]) == []


@pytest.mark.slow
def test_who_knows_the_password_may(servers: dict[str, Served]) -> None:
    """So that the refusals above are not those of a server that refuses everybody."""
    assert steps(servers["prefect"]) == []
    served = servers["prefect"]
    own = Attempt(name="ours", method="GET", knows=True)
    assert tried(served.url, served.reads, own, served.authorization).status == 200
    served = servers["mlflow"]
    assert tried(served.url, served.reads, own, served.authorization).status == 200


@contextmanager
def hosted(text: str) -> Iterator[str]:
    """A page on a server of its own: another origin."""

    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Page) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/"
        finally:
            server.shutdown()
            thread.join()


def achieved(url: str) -> list[str]:
    """What the page says that it could do, in a real browser."""
    try:
        browser = pdf.find()
    except BrowserError:
        pytest.skip("NOT TESTED in a browser: there is none")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        command = [browser, *pdf.FLAGS, f"--user-data-dir={profile}", "--timeout=60000"]
        command += ["--virtual-time-budget=60000", "--dump-dom", url]
        shown = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    text = shown.stdout.partition("<title>")[2].partition("</title>")[0]
    assert text.startswith("done "), shown.stdout[-500:] + shown.stderr[-500:]
    return list(json.loads(text.removeprefix("done ")))


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", ["prefect", "mlflow"])
def test_a_page_of_another_origin_in_a_real_browser_does_nothing(
    servers: dict[str, Served], name: str
) -> None:
    served = servers[name]
    paths = {"GET": served.reads, "PATCH": served.changes, "POST": served.changes}
    text = page(served.url, paths, served.authorization["Authorization"])
    with hosted(text) as url:
        assert achieved(url) == []
    assert steps(servers["prefect"]) == []


@pytest.mark.slow
def test_that_page_can_do_much_to_a_server_without_a_guard() -> None:
    """The watch sees what a page achieves: an open server gives it everything."""

    class Open(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            self.send_response(200)
            for name in ("Origin", "Methods", "Headers"):
                self.send_header(f"Access-Control-Allow-{name}", "*")
            if self.command == "OPTIONS":
                self.send_header("Access-Control-Allow-Methods", "PATCH, POST, GET")
                self.send_header("Access-Control-Allow-Headers", "authorization, content-type")
            self.end_headers()

        do_GET = do_POST = do_PATCH = do_OPTIONS = _answer  # noqa: N815 - as it calls them

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Open) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            address = f"http://127.0.0.1:{server.server_port}"
            with hosted(page(address, {"GET": "/x", "PATCH": "/x"}, "Basic eA==")) as url:
                assert {"plain GET200", "json PATCH200"} <= set(achieved(url))
        finally:
            server.shutdown()
            thread.join()


def test_a_pipe_in_place_of_the_password_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / auth.FILE, 0o600)
    with pytest.raises(ServerError, match="no regular file"):
        auth.auth_string(tmp_path)
