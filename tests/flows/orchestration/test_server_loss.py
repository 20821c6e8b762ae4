"""A Prefect server that has died is told in one message, and parks no request."""

from __future__ import annotations

import socket

import httpx
import pytest
from prefect.exceptions import PrefectHTTPStatusError

from flows.orchestration import parking, server_loss
from flows.state.errors import ServerError


def answered(status: int) -> PrefectHTTPStatusError:
    request = httpx.Request("POST", "http://127.0.0.1:4200/api/flow_runs/")
    response = httpx.Response(status, request=request, json={})
    error = httpx.HTTPStatusError("", request=request, response=response)
    return PrefectHTTPStatusError.from_httpx_error(error)


def test_a_server_that_is_gone_is_lost_and_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        url = f"http://127.0.0.1:{free.getsockname()[1]}/api"
    monkeypatch.setenv("PREFECT_API_URL", url)
    with (
        pytest.raises(ServerError, match=r"was lost .*damp up") as caught,
        server_loss.translated(),
    ):
        httpx.get(url)
    assert url in str(caught.value)
    assert isinstance(caught.value, parking.PASSING)  # left for the next run, not parked


def test_a_server_without_its_database_is_told_too() -> None:
    with (
        pytest.raises(ServerError, match=r"answers with error 500.*database"),
        server_loss.translated(),
    ):
        raise answered(500)


def test_what_we_have_asked_for_wrongly_stays_a_defect() -> None:
    with pytest.raises(PrefectHTTPStatusError), server_loss.translated():
        raise answered(404)
