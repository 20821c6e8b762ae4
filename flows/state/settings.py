"""Where the state lives and which engines are used: one place, environment before settings file."""

from __future__ import annotations

import importlib.util
import os
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import Field, ValidationError, field_validator
from pydantic_settings import (
    BaseSettings,
    InitSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from flows.state import prefect_files, secrets
from flows.state.errors import SettingsError
from flows.state.paths import Home

FILE = "settings.toml"
"""Under the state folder, or where `DAMP_SETTINGS` points."""
NOT_IN_HOME = "?#%{}\\'\""
"""Characters that no state folder's path may hold, beside those that cannot be printed."""
LOOPBACK = ("127.0.0.1", "localhost", "::1")


class Settings(BaseSettings):
    """Settings of one process: `DAMP_*` variables, then `settings.toml` of the state folder.

    Embedded is the default; a team sets the four addresses. Nothing in the flows depends on which.

    Attributes:
        home: Folder of all state (`DAMP_HOME`, default `.damp` under the working directory).
        prefect_api_url: A Prefect server to use instead of a private one.
        mlflow_uri: An MLflow tracking server to use instead of the database under `home`.
        prefect_database_url: Database of the Prefect server that `damp up` starts,
            `postgresql+asyncpg://...`.
        mlflow_database_url: Database of the MLflow server that `damp up` starts,
            `postgresql+psycopg2://...`; the commands beside it then use that server.
        locks_url: A PostgreSQL database whose advisory locks hold across machines,
            `postgresql://...`.
        allow_cloud: Whether the addresses above may be others than this machine's or a private
            network's.
        dvc_remote: Where successor versions of data that damp holds are pushed: a path or an
            address of DVC's. The versions before them never are.
        runner: Where references, statistics and audits are computed: in this process and a
            few beside it, or on a `dask` or `ray` cluster.
        runner_address: Of that cluster; without one, a cluster on this machine.
        workers: Processes that train references beside one another here, or those of a cluster on
            this machine; 0 for one per core.
        device: Torch device of training, surgery and observation (default `cpu`).
        loader_workers: Processes that read and decode the next batches of a pass for statistics
            (default 0: this process; decoding uses all cores in any case).
        threads: Threads of torch and of the linear algebra (default 1: on small nets two threads
            took two to seven times as long as one, and one thread gives the same bytes on every
            machine; large models want more).
        time_zone: IANA name, as in Europe/Berlin, of the place on whose calendar due dates are
            counted (default UTC).
        controller: Who is responsible for the data, on the first page of a report.
        system: What the model is used in, likewise.
        operator: The role that runs damp and deletes what it can delete, as in ml-platform.
        data_owner: The role that keeps the data sets.
        pkcs11_module: Library of a PKCS#11 token that holds signing keys, made by
            `damp keys new --token`.
        pkcs11_token: The token's label. Its PIN is `DAMP_PKCS11_PIN`.
    """

    model_config = SettingsConfigDict(env_prefix="DAMP_", frozen=True, extra="ignore")

    home: Path = Path(".damp")
    prefect_api_url: str | None = None
    mlflow_uri: str | None = None
    prefect_database_url: str | None = None
    mlflow_database_url: str | None = None
    locks_url: str | None = None
    allow_cloud: bool = False
    dvc_remote: str | None = None
    runner: Literal["local", "dask", "ray"] = "local"
    runner_address: str | None = None
    workers: int = Field(default=0, ge=0)
    device: str = "cpu"
    loader_workers: int = Field(default=0, ge=0)
    threads: int = Field(default=1, ge=1)
    time_zone: str = "UTC"
    controller: str = Field(default="", max_length=200)
    system: str = Field(default="", max_length=200)
    operator: str = Field(default="", max_length=200)
    data_owner: str = Field(default="", max_length=200)
    pkcs11_module: str | None = None
    pkcs11_token: str = "damp"  # noqa: S105 - a label

    @field_validator("time_zone")
    @classmethod
    def _is_a_zone(cls, name: str) -> str:
        try:
            ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError, OSError) as error:
            raise ValueError(f"{name!r} is no time zone: write one like Europe/Berlin") from error
        return name

    @property
    def zone(self) -> ZoneInfo:
        """The time zone on whose calendar due dates are counted."""
        return ZoneInfo(self.time_zone)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The environment wins over the file."""
        withdrawn = InitSettingsSource(settings_cls, _secret_fields(settings_cls))
        file = TomlConfigSettingsSource(settings_cls, settings_file())
        return env_settings, withdrawn, file


def _secret_fields(settings_cls: type[BaseSettings]) -> dict[str, str]:
    """Addresses with passwords that were taken out of the environment."""
    names = {field: f"DAMP_{field.upper()}" for field in settings_cls.model_fields}
    given = {field: secrets.value(name) for field, name in names.items() if name in secrets.NAMES}
    return {field: value for field, value in given.items() if value is not None}


def settings_file() -> Path:
    """Where the settings file is, or would be."""
    home = Path(os.environ.get("DAMP_HOME", ".damp")).expanduser().absolute()
    return Path(os.environ.get("DAMP_SETTINGS", home / FILE)).expanduser().absolute()


@lru_cache(maxsize=1)
def settings() -> Settings:
    """The settings of this process, with `home` made absolute.

    Raises:
        SettingsError: A key that is unknown, a value of another kind, or no TOML; all at once.
    """
    _refuse_unknown_keys(settings_file())
    try:
        loaded = Settings()
    except ValidationError as error:
        problems = [f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()]
        raise SettingsError(
            f"Settings cannot be used: {'; '.join(problems)}. They come from {settings_file()} and "
            "from DAMP_* variables; docs/operations.md lists them."
        ) from error
    home = loaded.home.expanduser().absolute()
    _refuse_unusable(home)
    return loaded.model_copy(update={"home": home})


def _refuse_unusable(home: Path) -> None:
    """Databases and files are named by addresses: there, these characters mean other things."""
    wrong = [
        sign for sign in dict.fromkeys(str(home)) if sign in NOT_IN_HOME or not sign.isprintable()
    ]
    if wrong:
        raise SettingsError(
            f"The state folder {str(home)!r} cannot be used: its path holds "
            f"{', '.join(map(repr, wrong))}, which addresses of databases and files give another "
            "meaning. Name another one with --home or DAMP_HOME."
        )


def _refuse_unknown_keys(file: Path) -> None:
    """A misspelt key would silently leave a team on its embedded engines."""
    if not file.is_file():
        if "DAMP_SETTINGS" in os.environ:
            raise SettingsError(
                f"DAMP_SETTINGS names {file}, which is no file. Correct or unset it."
            )
        if os.path.lexists(file):
            raise SettingsError(
                f"{file} is a folder, a pipe, or a link that leads nowhere: without it, "
                "a team's settings would not count. Bring it back, or remove it."
            )
        return
    try:
        keys = tomllib.loads(file.read_text())
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SettingsError(f"{file} cannot be read: {error}. Fix or remove it.") from error
    allowed = [name for name in Settings.model_fields if name != "home"]
    if unknown := [name for name in keys if name not in allowed]:
        raise SettingsError(
            f"{file} has unknown keys: {', '.join(unknown)}. The keys are {', '.join(allowed)}."
        )


def prepared() -> Home:
    """The state folder, with the environment set for every engine, before any is imported."""
    home = Home(settings().home)
    prepare_environment(home.root)
    return home


def prepare_environment(home: Path) -> None:
    """Set what Prefect, MLflow, DVC and the allocator read, before any of them is imported.

    Nothing sends telemetry, all state stays under `home`, and a value that the user has set wins.
    """
    for name, value in engine_variables(home).items():
        os.environ.setdefault(name, value)
    for name in ("NO_PROXY", "no_proxy"):
        os.environ[name] = never_by_proxy(os.environ.get(name) or _any_no_proxy())
    prefect_files.ignore_those_of_the_folder()
    keep_freed_memory()


def engine_variables(home: Path) -> dict[str, str]:
    """What the engines read."""
    threads = str(settings().threads)
    return {
        "DO_NOT_TRACK": "true",  # MLflow understands the word only
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "DVC_NO_ANALYTICS": "1",
        "RAY_USAGE_STATS_ENABLED": "0",
        "DASK_LOGGING__DISTRIBUTED": "error",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_LOGGING_LEVEL": "CRITICAL",  # errors reach people as messages, not as tracebacks
        "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
        "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
        "PREFECT_HOME": str(home / "prefect"),
        "PREFECT_LOCAL_STORAGE_PATH": str(home / "prefect" / "results"),
        # A profile of the user's may point at a cloud; damp asks only the server of its settings.
        # Neither does one that lies in a state folder out of a stranger's archive count.
        "PREFECT_PROFILES_PATH": os.devnull,
        "PREFECT_LOGGING_CONFIG_PATH": _logging_of_prefect(),
        "PREFECT_LOGGING_LEVEL": "CRITICAL",  # the same
        "PREFECT_LOGGING_TO_API_ENABLED": "false",
        "PREFECT_CLI_COLORS": "false",
        "GIT_PYTHON_REFRESH": "quiet",
        # cuBLAS gives the same bytes twice only with a workspace of its own; no GPU, no effect
        "CUBLAS_WORKSPACE_CONFIG": ":4096:8",
        "OMP_NUM_THREADS": threads,
        "OPENBLAS_NUM_THREADS": threads,
        "MKL_NUM_THREADS": threads,
        # glibc hands large blocks back to the kernel at once, which makes torch on a CPU slow.
        "MALLOC_MMAP_THRESHOLD_": str(2**30),
        "MALLOC_TRIM_THRESHOLD_": str(2**30),
        "MALLOC_TOP_PAD_": str(2**28),
    }


def _logging_of_prefect() -> str:
    """Prefect's own configuration of its logs: whatever such a file names is called."""
    package = importlib.util.find_spec("prefect")
    place = package and package.origin
    return str(Path(place).parent / "logging" / "logging.yml") if place else os.devnull


def never_by_proxy(given: str) -> str:
    """A list of `NO_PROXY` that has this machine in it: no proxy can reach our servers for us.

    >>> never_by_proxy("example.org")
    'example.org,127.0.0.1,localhost,::1'
    """
    entries = [entry.strip() for entry in given.split(",") if entry.strip()]
    return given if "*" in entries else ",".join(dict.fromkeys((*entries, *LOOPBACK)))


def _any_no_proxy() -> str:
    return os.environ.get("no_proxy") or os.environ.get("NO_PROXY") or ""


@contextmanager
def overridden(name: str, value: str) -> Iterator[None]:
    """Settings as they are with an environment variable of this value; as before afterwards."""
    before = os.environ.get(name)
    os.environ[name] = value
    settings.cache_clear()
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before
        settings.cache_clear()


def keep_freed_memory() -> None:
    """Set in this process's own allocator what its children take from the environment."""
    import ctypes

    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:  # not glibc: nothing to tune
        return
    for parameter, value in ((-3, 2**30), (-1, 2**30), (-2, 2**28)):
        mallopt(parameter, value)
