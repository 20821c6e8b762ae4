"""A Prefect server for a command, and the events that it carries out there, one after the other.

Nothing of Prefect is imported before its address is in the environment: it reads the address when
it is imported, and starts a server of its own where there is none.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

from flows.records import status
from flows.servers import auth, endpoints, local_services, private_prefect
from flows.state import interrupts, keyring, locks
from flows.state.errors import BusyError, EventError, ServerError, is_refusal
from flows.state.paths import Home

INTERRUPTED = 130


class Server(Protocol):
    """A Prefect server that answers, or soon will."""

    def wait(self) -> None:
        """Return when it answers."""


class _Answering:
    """A Prefect server that is up already."""

    def wait(self) -> None:
        """Nothing to wait for."""


@contextmanager
def connected(home: Home, *, scheduler: bool = False) -> Iterator[Server]:
    """A Prefect API for a command: that of the settings, that of `damp up`, or a private one.

    The private one takes some seconds to come up: do what needs none before `wait`.
    """
    if _shared(home) is not None:
        yield _Answering()
        return
    with private_prefect.prefect_server(home.root, scheduler=scheduler) as server:
        _point_prefect_to(server.api_url, auth.auth_string(home.root))
        yield server


def connect_to_shared(home: Home) -> str:
    """The Prefect server that others can reach: a private one would vanish with the command.

    Raises:
        ServerError: There is none.
    """
    url = _shared(home)
    if url is None:
        raise ServerError(
            "No Prefect server runs for this. Start one with `damp up`, or name the team's "
            "(`prefect_api_url` in settings.toml, DAMP_PREFECT_API_URL)."
        )
    return url


def _shared(home: Home) -> str | None:
    """The server of the settings, or of `damp up`: Prefect's clients are pointed to it."""
    url = endpoints.prefect_api()
    if url is not None:
        _point_prefect_to(url, endpoints.prefect_auth())
        return url
    url = local_services.prefect_api(home)
    if url is not None:
        _point_prefect_to(url, auth.auth_string(home.root))
    return url


def _point_prefect_to(url: str, password: str | None) -> None:
    """No password goes to a server that it is not for."""
    os.environ["PREFECT_API_URL"] = url
    os.environ.pop("PREFECT_API_AUTH_STRING", None)
    if password is not None:
        os.environ["PREFECT_API_AUTH_STRING"] = password


def work(pool: str) -> None:
    """Become Prefect's worker of a work pool, until it is interrupted."""
    from prefect.cli import app

    sys.argv = ["prefect", "worker", "start", "--pool", pool, "--type", "process"]
    with interrupts.left_to_asyncio():
        try:
            app()
        except SystemExit as error:
            if error.code not in (0, None, INTERRUPTED):
                raise


def carry_out(home: Home, events: Sequence[str]) -> None:
    """Run those of the events that have work to do; a decided one costs nothing."""
    waiting = [event for event in events if status.one_event(home, event).pending]
    if not waiting:
        return
    keyring.signing_key(home, "executor")  # refused now, not after an hour of audits
    _refuse_if_busy(home, waiting)
    with connected(home) as server:
        import flows.orchestration.event  # noqa: F401 - imported while the server starts

        server.wait()
        run_in_order(home, waiting)


def _refuse_if_busy(home: Home, events: Sequence[str]) -> None:
    """Before an engine is started: can any of the events be run now?

    Raises:
        BusyError: Other runs hold the models of all these events.
    """
    from flows.intake import requests

    busy: list[BusyError] = []
    for event in events:
        try:
            with locks.lineage(home, requests.lineage_of(home, event)):
                return
        except BusyError as error:
            busy.append(error)
    raise busy[0]


def run_in_order(home: Home, events: Sequence[str]) -> None:
    """One event after the other; one that is refused does not keep the others from their turn."""
    from flows.intake import batches
    from flows.orchestration import reconcile
    from flows.orchestration.runner import run_event

    reconcile.reconcile(home)
    batches.schedule(home, list(events))
    refusals: list[Exception] = []
    for event in events:
        try:
            run_event(home, event)
        except Exception as error:
            if not is_refusal(error) or len(events) == 1:
                raise
            refusals.append(error)
    if refusals:
        reasons = " ".join(f"({n}) {error}" for n, error in enumerate(refusals, 1))
        raise EventError(f"{len(refusals)} of {len(events)} events could not be run: {reasons}")
