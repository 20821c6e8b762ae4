"""Which servers damp talks to: those that the settings name, never a cloud by accident."""

from __future__ import annotations

import importlib.metadata
from urllib.parse import urlsplit

from flows.servers import processes
from flows.state.errors import ServerError
from flows.state.settings import settings

CLOUDS = (
    "prefect.cloud",
    "prefect.io",
    "databricks.com",
    "databricksapps.com",
    "azuredatabricks.net",
)


def prefect_api() -> str | None:
    """The Prefect server that the settings name, once it answers and has our version.

    Raises:
        ServerError: It is a cloud nobody asked for, does not answer, or is of another version.
    """
    url = settings().prefect_api_url
    if url is None:
        return None
    _refuse_cloud(url, "prefect_api_url")
    base = url.rstrip("/")
    theirs = processes.fetch(f"{base}/admin/version", 10)
    _compare("Prefect", base, theirs and theirs.strip('"'), importlib.metadata.version("prefect"))
    return url


def mlflow_server() -> str | None:
    """The MLflow server that the settings name, once it answers and has our version.

    Raises:
        ServerError: It is a cloud nobody asked for, does not answer, or is of another version.
    """
    url = settings().mlflow_uri
    if url is None:
        return None
    _refuse_cloud(url, "mlflow_uri")
    base = url.rstrip("/")
    theirs = processes.fetch(f"{base}/version", 10)
    _compare("MLflow", base, theirs, importlib.metadata.version("mlflow"))
    return base


def _refuse_cloud(url: str, setting: str) -> None:
    """Records are about people's requests: they leave the network only where that is set."""
    parts = urlsplit(url)
    host = parts.hostname or parts.scheme
    near = parts.scheme in ("http", "https") and not host.endswith(CLOUDS)
    if near or settings().allow_cloud:
        return
    raise ServerError(
        f"The setting `{setting}` names {host}, a cloud or no web address. Requests and models "
        "would leave your network: set `allow_cloud = true` (DAMP_ALLOW_CLOUD) if that is meant, "
        "or name a server of your own."
    )


def _compare(what: str, url: str, theirs: str | None, ours: str) -> None:
    """A server of another version may take requests that it then misreads."""
    if theirs is None:
        raise ServerError(
            f"No {what} server answers at {url}. Start it (`damp up` starts one on this machine), "
            "or take the address out of the settings to work without one."
        )
    if theirs != ours:
        raise ServerError(
            f"The {what} server at {url} is version {theirs}, damp works with {ours}. Run it "
            "with the same version: docs/operations.md says how to upgrade."
        )
