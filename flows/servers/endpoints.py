"""Which servers damp talks to: those that the settings name, never a cloud by accident."""

from __future__ import annotations

import importlib.metadata
import os
from urllib.parse import urlsplit

from flows.servers import auth, local_services, processes
from flows.state import secrets
from flows.state.errors import ServerError
from flows.state.paths import Home
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
    password = prefect_auth()
    sent = auth.header(password) if password else None
    answer = processes.ask(f"{base}/admin/version", 10, sent)
    theirs = answer.text if answer else None
    locked = answer is not None and answer.status in processes.REFUSALS
    ours = importlib.metadata.version("prefect")
    _compare("Prefect", base, theirs and theirs.strip('"'), ours, locked=locked)
    return url


def prefect_auth() -> str | None:
    """`user:password` for that server: what is set for it, else ours where it is ours."""
    given = secrets.value("DAMP_PREFECT_AUTH") or os.environ.get("PREFECT_API_AUTH_STRING")
    return given or _of_our_own("prefect", settings().prefect_api_url)


def mlflow_auth() -> str | None:
    """The same for the MLflow server; None where it asks for none."""
    return secrets.value("DAMP_MLFLOW_AUTH") or _of_our_own("mlflow", settings().mlflow_uri)


def _of_our_own(name: str, url: str | None) -> str | None:
    """The password of a server of `damp up`, where the settings name that one."""
    home = Home(settings().home)
    service = local_services.running(home, name)
    if service is None or url is None or not f"{url}/".startswith(f"{service.url}/"):
        return None
    return auth.auth_string(home.root)


def hand_to_mlflow(password: str | None) -> None:
    """Let MLflow's client send this `user:password`, and no other one of ours."""
    if password is not None:
        user, _, rest = password.partition(":")
        os.environ |= {"MLFLOW_TRACKING_USERNAME": user, "MLFLOW_TRACKING_PASSWORD": rest}


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
    hand_to_mlflow(mlflow_auth())
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


def _compare(what: str, url: str, theirs: str | None, ours: str, *, locked: bool = False) -> None:
    """A server of another version may take requests that it then misreads.

    Args:
        what: Of which kind it is.
        url: Where it is.
        theirs: Its version; None where it does not say.
        ours: The version that we work with.
        locked: Whether it has refused our password.
    """
    if theirs is None and locked:
        raise ServerError(
            f"The {what} server at {url} wants another password than that of "
            f"DAMP_{what.upper()}_AUTH: set it as `user:password`. On the machine where `damp up` "
            "started it the password stands in servers.auth of the state folder."
        )
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
