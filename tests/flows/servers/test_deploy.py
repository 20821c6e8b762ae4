"""What deploy/ installs runs without root, writes only its state, and calls commands that exist."""

from __future__ import annotations

import configparser
import importlib.util
import os
import re
import shlex
import shutil
import stat
import subprocess
from pathlib import Path
from typing import Any

import click
import pytest
from ruamel.yaml import YAML

from flows.cli.app import app
from flows.servers import guarded
from flows.state import children, secrets
from flows.state.settings import Settings

DEPLOY = Path(__file__).parents[3] / "deploy"


def parsed(arguments: list[str]) -> None:
    """Refuses a command or an option that there is not."""
    name, *rest = arguments
    command = app.commands[name]
    with click.Context(command) as context:
        command.parse_args(context, rest)


@pytest.fixture
def unit() -> configparser.ConfigParser:
    unit = configparser.ConfigParser(interpolation=None, strict=False)
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read_string((DEPLOY / "damp.service").read_text())
    return unit


@pytest.fixture
def services() -> dict[str, Any]:
    compose = YAML(typ="safe").load((DEPLOY / "compose.yaml").read_text())
    return dict(compose["services"])


def test_the_unit_serves_as_a_user_that_may_write_its_state_only(
    unit: configparser.ConfigParser,
) -> None:
    service = unit["Service"]
    assert service["User"] == "damp"
    assert service["ProtectSystem"] == "strict"
    assert service["ReadWritePaths"] == "/srv/damp"
    assert service["NoNewPrivileges"] == "true"
    assert service["UMask"] == "0077"
    program, *arguments = shlex.split(service["ExecStart"])
    assert Path(program).name == "damp"
    parsed(arguments)


def test_ctrl_c_is_how_the_unit_ends_a_run_in_order(unit: configparser.ConfigParser) -> None:
    assert unit["Service"]["KillSignal"] == "SIGINT"
    assert unit["Service"]["SuccessExitStatus"] == "130"


def test_the_image_does_not_run_as_root_and_starts_a_command_that_exists() -> None:
    lines = (DEPLOY / "Containerfile").read_text().splitlines()
    assert "USER 10001" in lines
    (command,) = [line for line in lines if line.startswith("CMD")]
    parsed(re.findall(r'"([^"]+)"', command))
    copied = " ".join(line for line in lines if line.startswith("COPY"))
    assert all((DEPLOY.parent / room).is_dir() and room in copied for room in ("damp", "flows"))


def test_every_container_of_ours_has_a_read_only_root(services: dict[str, Any]) -> None:
    ours = {name: each for name, each in services.items() if each["image"] == "damp"}
    assert ours.keys() == {"prefect", "mlflow", "worker", "keys"}
    assert all(each["read_only"] and each["cap_drop"] == ["ALL"] for each in ours.values())
    parsed(services["worker"]["command"])
    parsed(services["keys"]["command"])


def test_private_keys_are_written_only_by_what_makes_them(services: dict[str, Any]) -> None:
    where = "/run/secrets/damp-keys"
    assert f"DAMP_KEYS={where}" in (DEPLOY / "Containerfile").read_text()
    mounts = {
        name: [mount for mount in each.get("volumes", []) if where in mount]
        for name, each in services.items()
    }
    assert {name for name, mounted in mounts.items() if mounted} == {"worker", "keys"}
    assert mounts["worker"][0].endswith(":ro")
    assert mounts["keys"][0].endswith(where)


def test_the_worker_is_told_of_settings_that_there_are(services: dict[str, Any]) -> None:
    names = {name.removeprefix("DAMP_").lower() for name in services["worker"]["environment"]}
    assert names == {"prefect_api_url", "mlflow_uri", "secrets"}
    assert names <= Settings.model_fields.keys() | {"secrets"}


def test_no_port_is_open_to_the_network(services: dict[str, Any]) -> None:
    ports = [port for each in services.values() for port in each.get("ports", [])]
    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_each_database_that_is_named_is_made(services: dict[str, Any]) -> None:
    created = set(re.findall(r"create database (\w+);", (DEPLOY / "databases.sql").read_text()))
    named = set(re.findall(r"\$url/(\w+)", (DEPLOY / "install.sh").read_text()))
    assert created == named


# Hardened


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("CapabilityBoundingSet", ""),
        ("AmbientCapabilities", ""),
        ("RestrictAddressFamilies", "AF_INET AF_INET6 AF_UNIX"),
        ("IPAddressDeny", "any"),
        ("IPAddressAllow", "localhost"),
        ("SystemCallArchitectures", "native"),
        ("SystemCallErrorNumber", "EPERM"),
        ("RestrictNamespaces", "true"),
        ("RestrictSUIDSGID", "true"),
        ("LockPersonality", "true"),
        ("ProtectHome", "true"),
        ("ProtectKernelLogs", "true"),
        ("ProtectClock", "true"),
        ("ProtectProc", "invisible"),
        ("PrivateDevices", "true"),
        ("PrivateTmp", "true"),
        ("ReadOnlyPaths", "/etc/damp"),
    ],
)
def test_the_unit_is_hardened(unit: configparser.ConfigParser, name: str, value: str) -> None:
    assert unit["Service"][name] == value


def test_the_unit_allows_the_calls_of_a_service_and_none_of_an_administrator() -> None:
    text = (DEPLOY / "damp.service").read_text()
    allowed, denied = re.findall(r"^SystemCallFilter=(.*)$", text, flags=re.MULTILINE)
    assert allowed == "@system-service"
    assert denied.startswith("~")
    assert {"@privileged", "@debug", "@mount", "@swap", "@reboot"} <= set(denied[1:].split())


def test_the_units_secrets_come_as_a_file_of_its_own(unit: configparser.ConfigParser) -> None:
    text = (DEPLOY / "damp.service").read_text()
    assert unit["Service"]["LoadCredential"] == "secrets.json:/etc/damp/secrets.json"
    assert "DAMP_SECRETS=%d/secrets.json" in text
    assert "PASSPHRASE=" not in text
    program, *arguments = shlex.split(unit["Service"]["ExecStartPre"])
    assert Path(program).name == "damp"
    parsed(arguments)


def test_systemd_takes_the_unit(tmp_path: Path) -> None:
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("NOT TESTED: systemd-analyze is not installed")
    (tmp_path / "damp.service").write_text((DEPLOY / "damp.service").read_text())
    command = [analyze, "verify", str(tmp_path / "damp.service")]
    said = subprocess.run(command, capture_output=True, text=True, check=False).stderr
    assert "Unknown" not in said


def test_no_password_stands_in_an_environment_or_on_a_command_line(
    services: dict[str, Any],
) -> None:
    assert "${POSTGRES_PASSWORD" not in (DEPLOY / "compose.yaml").read_text()
    for name, each in services.items():
        for variable, value in each.get("environment", {}).items():
            assert not children.is_secret(variable) or value.startswith("/run/secrets/"), name
        shown = " ".join([*each.get("entrypoint", []), *each.get("command", [])])
        assert "://" not in shown


def test_every_service_is_hardened_and_says_how_it_is(services: dict[str, Any]) -> None:
    for name, each in services.items():
        assert each["read_only"], name
        assert each["cap_drop"] == ["ALL"], name
        assert each["security_opt"] == ["no-new-privileges:true"], name
        assert int(each["user"]) > 0, name
        assert name == "keys" or "healthcheck" in each, name
    assert "HEALTHCHECK" in (DEPLOY / "Containerfile").read_text()


def test_data_is_mounted_and_only_read(services: dict[str, Any], unit: Any) -> None:
    (mount,) = [each for each in services["worker"]["volumes"] if "/srv/damp-data" in each]
    assert mount.endswith(":ro")
    assert unit["Service"]["BindReadOnlyPaths"] == "-/srv/damp-data"


def test_the_database_is_reached_by_the_servers_only(services: dict[str, Any]) -> None:
    compose = YAML(typ="safe").load((DEPLOY / "compose.yaml").read_text())
    assert compose["networks"]["inside"] == {"internal": True}
    outside = {name for name, each in services.items() if "outside" in each["networks"]}
    assert outside == {"prefect", "mlflow"}


def test_base_images_can_be_pinned_by_digest() -> None:
    script = (DEPLOY / "install.sh").read_text()
    assert "ARG BASE=" in (DEPLOY / "Containerfile").read_text()
    assert "${POSTGRES_IMAGE:-" in (DEPLOY / "compose.yaml").read_text()
    assert "RepoDigests" in script


# install.sh


def installed(folder: Path, *arguments: str) -> dict[str, bytes]:
    """What the script has written below a folder."""
    script = ["sh", str(DEPLOY / "install.sh"), *arguments]
    environment = {"PATH": os.environ["PATH"], "DESTDIR": str(folder)}
    environment |= {"DAMP_SECRETS_FOLDER": "/secrets", "DAMP_KEYS": "/keys"}
    subprocess.run(script, env=environment, check=True, capture_output=True)
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def test_a_machine_is_installed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = installed(tmp_path)
    assert installed(tmp_path) == first
    assert first["etc/systemd/system/damp.service"] == (DEPLOY / "damp.service").read_bytes()
    assert mode(tmp_path / "etc/damp/secrets.json") == 0o600
    assert mode(tmp_path / "etc/damp/keys") == mode(tmp_path / "srv/damp") == 0o700
    monkeypatch.setenv("DAMP_SECRETS", str(tmp_path / "etc/damp/secrets.json"))
    assert len(secrets.value("DAMP_KEY_PASSPHRASE") or "") > 30


def test_a_teams_secrets_are_random_and_are_what_each_part_reads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = installed(tmp_path, "--team")
    assert installed(tmp_path, "--team") == first
    assert (
        installed(tmp_path / "other", "--team")["secrets/worker.json"]
        != (first["secrets/worker.json"])
    )
    assert all(mode(path) == 0o400 for path in (tmp_path / "secrets").iterdir())
    prefect = guarded.Instructions.of_json(first["secrets/prefect.json"])
    mlflow = guarded.Instructions.of_json(first["secrets/mlflow.json"])
    monkeypatch.setenv("DAMP_SECRETS", str(tmp_path / "secrets/worker.json"))
    for name in secrets.NAMES:
        monkeypatch.delenv(name, raising=False)
    password = first["secrets/postgres"].decode()
    assert secrets.value("DAMP_PREFECT_AUTH") == prefect.variables["PREFECT_SERVER_API_AUTH_STRING"]
    assert secrets.value("DAMP_MLFLOW_AUTH") == mlflow.auth
    assert secrets.value("DAMP_LOCKS_URL") == f"postgresql://damp:{password}@postgres/locks"
    assert (prefect.port, mlflow.port) == (4200, 5000)
    assert "prefect" in prefect.hosts
    assert "mlflow" in mlflow.hosts
    for each in (prefect, mlflow):
        module, _, name = each.application.partition(":")
        assert importlib.util.find_spec(module) is not None, name


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)
