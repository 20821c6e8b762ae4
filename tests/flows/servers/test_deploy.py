"""What deploy/ installs runs without root, writes only its state, and calls commands that exist."""

from __future__ import annotations

import configparser
import re
import shlex
from pathlib import Path
from typing import Any

import click
import pytest
from ruamel.yaml import YAML

from flows.cli.app import app
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
    assert names == {"prefect_api_url", "mlflow_uri", "locks_url"}
    assert names <= Settings.model_fields.keys()


def test_no_port_is_open_to_the_network(services: dict[str, Any]) -> None:
    ports = [port for each in services.values() for port in each.get("ports", [])]
    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_each_database_that_is_named_is_made(services: dict[str, Any]) -> None:
    created = set(re.findall(r"create database (\w+);", (DEPLOY / "databases.sql").read_text()))
    named = set(re.findall(r"@postgres/(\w+)", (DEPLOY / "compose.yaml").read_text()))
    assert created == named
