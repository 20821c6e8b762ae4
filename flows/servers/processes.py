"""Processes that damp starts and must find again: who they are, whether they live, how they end."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import psutil

PATIENCE = 5.0
"""Seconds that a process is given to end by itself."""


def identity(pid: int) -> dict[str, Any]:
    """A process as it can be recognised later: its number may go to another one."""
    return {"pid": pid, "started": psutil.Process(pid).create_time()}


def same(facts: dict[str, Any]) -> psutil.Process | None:
    """The process that `identity` described, unless it is gone."""
    try:
        process = psutil.Process(int(facts["pid"]))
        alive = process.status() != psutil.STATUS_ZOMBIE
        return process if alive and abs(process.create_time() - facts["started"]) < 1 else None
    except (KeyError, psutil.NoSuchProcess):
        return None


def end(process: psutil.Process | None) -> None:
    """End a process and all that it has started; what does not end is killed."""
    if process is not None:
        with contextlib.suppress(psutil.NoSuchProcess):
            _end_all([process, *process.children(recursive=True)])


def end_session(leader: dict[str, Any]) -> None:
    """End what was started as a session of its own, and all in it, even where its leader is gone.

    Args:
        leader: What `identity` said of it. While one of a session lives, its number goes to nobody.
    """
    end(same(leader))
    if leader:
        _end_all(_members(leader["pid"], since=leader["started"] - 1))


def _members(session: int, *, since: float) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(ProcessLookupError, PermissionError, psutil.NoSuchProcess):
            alive = process.status() != psutil.STATUS_ZOMBIE
            if alive and os.getsid(process.pid) == session and process.create_time() >= since:
                found.append(process)
    return found


def _end_all(family: list[psutil.Process]) -> None:
    for member in family:
        with contextlib.suppress(psutil.NoSuchProcess):
            member.terminate()
    _, stubborn = psutil.wait_procs(family, timeout=PATIENCE)
    for member in stubborn:
        with contextlib.suppress(psutil.NoSuchProcess):
            member.kill()
    psutil.wait_procs(stubborn, timeout=PATIENCE)


def read_record(path: Path) -> dict[str, Any]:
    """A record written as JSON; empty where it is missing or was cut short by a kill."""
    try:
        told = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return told if isinstance(told, dict) else {}


def answers(url: str, seconds: float = 2.0) -> bool:
    """Whether a server answers with 200 at `url`."""
    return asked(url, seconds) is not None


def asked(url: str, seconds: float = 2.0) -> str | None:
    """What a server answers at `url`; None where it does not, or not with 200."""
    try:
        with urllib.request.urlopen(url, timeout=seconds) as reply:  # noqa: S310 - http only
            return reply.read().decode() if reply.status == 200 else None
    except (urllib.error.URLError, ConnectionError, TimeoutError, ValueError):
        return None


def is_free(port: int) -> bool:
    """Whether nobody listens on a port of this machine."""
    with contextlib.closing(socket.socket()) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def free_port() -> int:
    """A port that is free now."""
    with contextlib.closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def last_words(log: Path, lines: int = 1) -> str:
    """The end of a log, for a message."""
    try:
        told = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
    except OSError:
        return ""
    return " ".join(told[-lines:])[-400:]
