"""A PostgreSQL cluster of the tests' own, from Debian's package, not run by root."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from flows import processes


def binaries() -> Path:
    """Where `initdb` and `pg_ctl` lie; Debian keeps them out of PATH."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    told = shutil.which("initdb")
    if not found and told is None:
        why = "NOT TESTED: PostgreSQL is missing; `apt-get install postgresql` brings it"
        if os.environ.get("DAMP_REQUIRE_POSTGRES"):
            pytest.fail(why)
        pytest.skip(why)
    return (found[-1] if found else Path(str(told))).parent


@contextmanager
def cluster() -> Iterator[str]:
    """A running cluster; gives the address of its server without a database: `host:port`."""
    place, port = binaries(), processes.free_port()
    folder = Path(tempfile.mkdtemp(prefix="damp-pg-", dir="/tmp"))
    try:
        if os.getuid() == 0:
            shutil.chown(folder, "nobody")
        data = folder / "data"
        _run(place / "initdb", "-D", data, "-U", "damp", "--auth=trust", "--no-sync")
        options = f"-p {port} -c listen_addresses=127.0.0.1 -k {folder} -F"
        _run(place / "pg_ctl", "-D", data, "-l", folder / "log", "-o", options, "-w", "start")
        try:
            yield f"127.0.0.1:{port}"
        finally:
            _run(place / "pg_ctl", "-D", data, "-m", "immediate", "-w", "stop")
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
