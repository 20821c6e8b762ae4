"""A private Prefect server that cannot outlive the command that started it.

Prefect's own ephemeral mode leaves its server behind when the process is killed. This one asks
the kernel to end it together with its parent; where the kernel cannot, the next start finds its
record and ends it.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

import psutil

from flows.servers import auth, guarded, processes
from flows.state import children
from flows.state.errors import ServerError

START_SECONDS = 300.0
"""To wait for it at most; a server that ends before that is reported at once."""

CERTIFICATES = ("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE")
"""Variables that name certificates to those who open connections."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Owned(processes.Identity):
    """A server's process, and the process id of the command that started it."""

    owner: int


@dataclass(slots=True, kw_only=True)
class PrefectServer:
    """A Prefect API on 127.0.0.1, started by `launch` and ready after `wait`."""

    home: Path
    port: int
    process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    @property
    def api_url(self) -> str:
        return f"http://127.0.0.1:{self.port}/api"

    @property
    def log(self) -> Path:
        return self.home / "prefect" / "server.log"

    def wait(self, seconds: float = START_SECONDS) -> None:
        """Return when the server answers.

        Raises:
            ServerError: It died, or did not answer in time; the message names its log.
        """
        if processes.comes_up(f"{self.api_url}/health", seconds, self._is_alive):
            return
        problem = (
            f"did not answer on port {self.port} within {seconds:.0f} s"
            if self.process is None or self._is_alive()
            else f"ended with code {self.process.returncode} while starting"
        )
        raise ServerError(
            f"The private Prefect server {problem}. The last line of its log {self.log}: "
            f"{processes.last_line(self.log)}. Run the command again, or use a server of your own "
            "(DAMP_PREFECT_API_URL)."
        )

    def _is_alive(self) -> bool:
        return self.process is None or self.process.poll() is None

    def stop(self) -> None:
        """End the server and remove its record. Safe to call twice."""
        if self.process is None:
            return
        if self.process.poll() is None:
            processes.end(psutil.Process(self.process.pid))
        self.process.wait()
        self.process = None
        record_path(self.home, os.getpid()).unlink(missing_ok=True)


def launch(home: Path, *, scheduler: bool = False) -> PrefectServer:
    """Start a server and return at once; it needs some ten seconds until it answers.

    Args:
        home: The state folder; the server's database lies in `home/prefect`.
        scheduler: Run Prefect's background services too (schedules, late runs).
    """
    reap(home)
    folder = home / "prefect"
    folder.mkdir(parents=True, exist_ok=True)
    refuse_unwritable()
    server = PrefectServer(home=home, port=processes.free_port())
    instructions = guarded.prefect(
        server.port,
        auth=auth.auth_string(home),
        variables=_variables(scheduler),
        owner=os.getpid(),
    )
    with server.log.open("ab") as log:
        server.process = guarded.start(instructions, log, home)
    started = processes.Identity.of(server.process.pid).started
    record = Owned(pid=server.process.pid, started=started, owner=os.getpid())
    record_path(home, record.owner).write_text(json.dumps(asdict(record)))
    return server


@contextlib.contextmanager
def prefect_server(home: Path, *, scheduler: bool = False) -> Iterator[PrefectServer]:
    """A server for the length of a `with` block, ended on every way out but SIGKILL."""
    server = launch(home, scheduler=scheduler)
    try:
        yield server
    finally:
        server.stop()


def record_path(home: Path, owner: int) -> Path:
    """The record of the server that process `owner` started."""
    return home / "prefect" / f"server-{owner}.json"


def reap(home: Path) -> list[int]:
    """End servers whose owner is gone; returns their process ids."""
    ended = []
    for path in sorted((home / "prefect").glob("server-*.json")):
        server = processes.read_record(path, Owned)
        if server and server.owner != os.getpid() and psutil.pid_exists(server.owner):
            continue
        if server and (process := processes.find(server)):
            processes.end(process)
            ended.append(server.pid)
        path.unlink(missing_ok=True)
    return ended


def refuse_unwritable() -> None:
    """Name a folder of Prefect's that cannot be written, or certificates that are not there.

    Its server, and every client, would end without a word that helps.

    Raises:
        ServerError: `PREFECT_HOME` cannot be written, or a variable names no certificates.
    """
    for name in CERTIFICATES:
        given = os.environ.get(name)
        if given and not any(Path(each).exists() for each in given.split(os.pathsep)):
            raise ServerError(
                f"{name} is {given}, and nothing is there: without certificates no program of this "
                "environment can open a connection. Correct it, or unset it."
            )
    place = Path(os.environ.get("PREFECT_HOME") or "~/.prefect").expanduser()
    try:
        place.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=place, prefix=".damp-"):
            pass
    except OSError as error:
        raise ServerError(
            f"PREFECT_HOME is {place}, which cannot be written: {error.strerror}. Make it writable "
            "for you, or unset PREFECT_HOME: then Prefect keeps its files in the state folder."
        ) from error


def secret_settings() -> dict[str, str]:
    """Settings of a Prefect server that the user has set and that are for few eyes."""
    names = [n for n in os.environ if n.startswith("PREFECT_SERVER_") and children.is_secret(n)]
    return {name: os.environ[name] for name in names}


def _variables(scheduler: bool) -> dict[str, str]:
    off = "true" if scheduler else "false"
    services = ("SCHEDULER", "LATE_RUNS", "FOREMAN", "TRIGGERS", "PAUSE_EXPIRATIONS")
    switches = {f"PREFECT_SERVER_SERVICES_{name}_ENABLED": off for name in services}
    own = {"PREFECT_UI_ENABLED": "false", "PREFECT_API_URL": ""}
    return secret_settings() | switches | own
