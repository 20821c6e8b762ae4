"""Translate a lost Prefect connection into ServerError: no defect, no fault of a request.

Prefect's client tries again for a while, so a server that is started again in time is not missed.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from flows.state.errors import ServerError

SERVER_ERROR = 500
"""From this status on, it is the server that cannot."""


@contextmanager
def translated() -> Iterator[None]:
    """Turn what Prefect's client raises when its server has died into words.

    Raises:
        ServerError: The server was lost, or cannot answer.
    """
    import httpx
    from prefect.exceptions import PrefectHTTPStatusError

    remedy = (
        "Finished steps are kept: start it again (`damp up`), then the same command, or the next "
        "run of the schedule, goes on."
    )
    where = f"The Prefect server at {os.environ.get('PREFECT_API_URL', '(no address)')}"
    try:
        yield
    except httpx.TransportError as error:
        raise ServerError(f"{where} was lost ({error}). {remedy}") from error
    except PrefectHTTPStatusError as error:
        if error.response.status_code < SERVER_ERROR:
            raise  # it answers well: we have asked for what there is not
        raise ServerError(
            f"{where} answers with error {error.response.status_code}: its database may be gone. "
            f"{remedy}"
        ) from error
