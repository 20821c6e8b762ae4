"""A PostgreSQL cluster of the tests' own, from Debian's package, not run by root."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from flows.servers import processes


def binaries() -> Path:
    """Where `initdb` and `pg_ctl` lie; Debian keeps them out of PATH."""
    items = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    program = shutil.which("initdb")
    if not items and program is None:
        why = "NOT TESTED: PostgreSQL is missing; `apt-get install postgresql` brings it"
        if os.environ.get("DAMP_REQUIRE_POSTGRES"):
            pytest.fail(why)
        pytest.skip(why)
    return (items[-1] if items else Path(str(program))).parent


@dataclass(frozen=True)
class Cluster:
    """A cluster that runs.

    Attributes:
        address: Of its server, without a database: `host:port`.
        folder: Of its data, socket and log.
    """

    address: str
    folder: Path

    def start(self, tries: int = 60) -> None:
        """Start it, again where it was killed: its children take a moment to notice."""
        options = f"-p {self.address.partition(':')[2]} -c listen_addresses=127.0.0.1"
        where = ["-D", self.folder / "data", "-l", self.folder / "log"]
        for left in reversed(range(tries)):
            try:
                _run(_pg_ctl(), *where, "-o", f"{options} -k {self.folder} -F", "-w", "start")
                return
            except AssertionError:
                if not left:
                    raise
                time.sleep(0.5)

    def kill(self) -> None:
        """End its first process by SIGKILL."""
        text = (self.folder / "data" / "postmaster.pid").read_text()
        os.kill(int(text.splitlines()[0]), signal.SIGKILL)


def _pg_ctl() -> Path:
    return binaries() / "pg_ctl"


@contextmanager
def cluster() -> Iterator[Cluster]:
    """A cluster of its own, that is gone afterwards."""
    place, port = binaries(), processes.free_port()
    folder = Path(tempfile.mkdtemp(prefix="damp-pg-", dir="/tmp"))
    try:
        if os.getuid() == 0:
            shutil.chown(folder, "nobody")
        data = folder / "data"
        _run(place / "initdb", "-D", data, "-U", "damp", "--auth=trust", "--no-sync")
        server = Cluster(f"127.0.0.1:{port}", folder)
        server.start(tries=1)
        try:
            yield server
        finally:
            _run(_pg_ctl(), "-D", data, "-m", "immediate", "-w", "stop")
    finally:
        shutil.rmtree(folder)


def database(address: str, name: str) -> str:
    """A new database of the cluster: `damp@host:port/name`."""
    import psycopg2

    connection = psycopg2.connect(f"postgresql://damp@{address}/postgres")
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute(f'create database "{name}"')
    connection.close()
    return f"damp@{address}/{name}"


def _run(*command: str | Path) -> None:
    """As `nobody` where we are root, which PostgreSQL refuses to be."""
    as_nobody = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups"]
    prefix = as_nobody if os.getuid() == 0 else []
    done = subprocess.run(
        [*prefix, *map(str, command)],
        cwd="/",
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
