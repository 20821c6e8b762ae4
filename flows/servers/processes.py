"""Processes that damp starts: how they are recognised later, whether they live, how they end."""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import urlsplit

import psutil
from pydantic import TypeAdapter, ValidationError

from flows.state.settings import LOOPBACK

if TYPE_CHECKING:
    import urllib.request

REFUSALS = (401, 403)
"""Statuses by which a server says that it wants another password."""
PATIENCE = 5.0
"""Seconds that a process is given to end by itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """A process as it can be recognised later: its number may go to another one.

    Attributes:
        pid: Its number.
        started: When it began, seconds since the epoch.
    """

    pid: int
    started: float

    @classmethod
    def of(cls, pid: int) -> Identity:
        """The identity of a process that runs."""
        return cls(pid=pid, started=psutil.Process(pid).create_time())


Record = TypeVar("Record", bound=Identity)


def find(identity: Identity) -> psutil.Process | None:
    """The process of this identity, unless it is gone."""
    try:
        process = psutil.Process(identity.pid)
        alive = process.status() != psutil.STATUS_ZOMBIE
        return process if alive and abs(process.create_time() - identity.started) < 1 else None
    except psutil.NoSuchProcess:
        return None


def end(process: psutil.Process | None) -> None:
    """End a process and all that it has started; what does not end is killed."""
    if process is not None:
        with contextlib.suppress(psutil.NoSuchProcess):
            _end_all([process, *process.children(recursive=True)])


def end_session(leader: Identity) -> None:
    """End what was started as a session of its own, and all in it, even where its leader is gone.

    The leader's number goes to no other process while one of its session lives.
    """
    end(find(leader))
    _end_all(_members(leader.pid, since=leader.started - 1))


def _members(session: int, *, since: float) -> list[psutil.Process]:
    members = []
    for process in psutil.process_iter():
        with contextlib.suppress(ProcessLookupError, PermissionError, psutil.NoSuchProcess):
            alive = process.status() != psutil.STATUS_ZOMBIE
            if alive and os.getsid(process.pid) == session and process.create_time() >= since:
                members.append(process)
    return members


def _end_all(family: list[psutil.Process]) -> None:
    for member in family:
        with contextlib.suppress(psutil.NoSuchProcess):
            member.terminate()
    _, stubborn = psutil.wait_procs(family, timeout=PATIENCE)
    for member in stubborn:
        with contextlib.suppress(psutil.NoSuchProcess):
            member.kill()
    psutil.wait_procs(stubborn, timeout=PATIENCE)


def read_record(path: Path, kind: type[Record]) -> Record | None:
    """A process's record in JSON; None where it is missing or was cut short by a kill."""
    try:
        return TypeAdapter(kind).validate_json(path.read_bytes())
    except (OSError, ValidationError):
        return None


def answers(url: str, seconds: float = 2.0) -> bool:
    """Whether a server answers with 200 at `url`."""
    return fetch(url, seconds) is not None


def comes_up(url: str, seconds: float, is_alive: Callable[[], bool]) -> bool:
    """Wait until a server answers at `url`; False where it died first, or the time is over."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and is_alive():
        if answers(url):
            return True
        time.sleep(0.05)
    return False


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a server answers: the status, and the text where that is 200."""

    status: int
    text: str | None = None


def ask(url: str, seconds: float = 2.0, headers: Mapping[str, str] | None = None) -> Answer | None:
    """What a server answers at `url`; None where none does."""
    import urllib.error
    import urllib.request

    try:
        request = urllib.request.Request(url, headers=dict(headers or {}))  # noqa: S310 - http only
        with opener(url).open(request, timeout=seconds) as reply:
            text = reply.read().decode() if reply.status == 200 else None
            return Answer(status=reply.status, text=text)
    except urllib.error.HTTPError as refusal:
        return Answer(status=refusal.code)
    except (urllib.error.URLError, ConnectionError, TimeoutError, ValueError):
        return None


def fetch(url: str, seconds: float = 2.0, headers: Mapping[str, str] | None = None) -> str | None:
    """The text that a server answers at `url`; None where it does not, or not with 200."""
    answer = ask(url, seconds, headers)
    return answer.text if answer else None


def opener(url: str) -> urllib.request.OpenerDirector:
    """What opens an address: this machine's own ones never through a proxy."""
    import urllib.request

    host = (urlsplit(url).hostname or "").lower()
    here = host in LOOPBACK or host.startswith("127.")
    return urllib.request.build_opener(*([urllib.request.ProxyHandler({})] if here else []))


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


def last_line(log: Path) -> str:
    """The last line of a log, for a message."""
    try:
        lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
    except OSError:
        lines = []
    return lines[-1][-400:] if lines else "it is empty"
