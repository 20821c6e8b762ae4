"""Where the state lives and which engines are used: one place, read from the environment."""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """Settings of one process, from `DAMP_*` environment variables.

    Attributes:
        home: Folder of all state (`DAMP_HOME`, default `.damp` under the working directory).
        prefect_api_url: A Prefect server to use instead of a private one (`DAMP_PREFECT_API_URL`).
        device: Torch device of surgery and observation (`DAMP_DEVICE`, default `cpu`).
        threads: Threads of torch and of the linear algebra (`DAMP_THREADS`, default 1: on small
            nets two threads took two to seven times as long as one, and one thread gives the same
            bytes on every machine; large models want more).
    """

    model_config = SettingsConfigDict(env_prefix="DAMP_", frozen=True)

    home: Path = Path(".damp")
    prefect_api_url: str | None = None
    device: str = "cpu"
    threads: int = Field(default=1, ge=1)


@lru_cache(maxsize=1)
def settings() -> Settings:
    """The settings of this process, with `home` made absolute."""
    read = Settings()
    return read.model_copy(update={"home": read.home.expanduser().absolute()})


def prepare_environment(home: Path) -> None:
    """Set what Prefect, MLflow, DVC and the allocator read, before any of them is imported.

    Nothing sends telemetry, all state stays under `home`, and a value that the user has set wins.
    """
    for name, value in {
        "DO_NOT_TRACK": "true",  # MLflow understands the word only
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "DVC_NO_ANALYTICS": "1",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_LOGGING_LEVEL": "WARNING",
        "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
        "PREFECT_HOME": str(home / "prefect"),
        "PREFECT_LOCAL_STORAGE_PATH": str(home / "prefect" / "results"),
        # A profile of the user's may point at a cloud; damp asks only the server it was given.
        "PREFECT_PROFILES_PATH": str(home / "prefect" / "profiles.toml"),
        "PREFECT_LOGGING_LEVEL": "CRITICAL",  # errors reach people as messages, not as tracebacks
        "PREFECT_LOGGING_TO_API_ENABLED": "false",
        "PREFECT_CLI_COLORS": "false",
        "GIT_PYTHON_REFRESH": "quiet",
        "OMP_NUM_THREADS": str(settings().threads),
        "OPENBLAS_NUM_THREADS": str(settings().threads),
        "MKL_NUM_THREADS": str(settings().threads),
        # glibc hands large blocks back to the kernel at once, which makes torch on a CPU slow.
        "MALLOC_MMAP_THRESHOLD_": str(2**30),
        "MALLOC_TRIM_THRESHOLD_": str(2**30),
        "MALLOC_TOP_PAD_": str(2**28),
    }.items():
        os.environ.setdefault(name, value)
    _keep_freed_memory()


def _keep_freed_memory() -> None:
    """Tell this process's own allocator what its children learn from the environment."""
    import ctypes

    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:  # not glibc: nothing to tune
        return
    for parameter, value in ((-3, 2**30), (-1, 2**30), (-2, 2**28)):
        mallopt(parameter, value)
