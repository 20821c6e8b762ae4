"""The registry that the tests of this room do things to."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from flows.registry import (
    backend,
)
from flows.state.paths import Home
from tests.flows.registry import memory_registry
from tests.flows.registry.shops import (
    MemoryShop,
    MlflowShop,
    Shop,
    filled,
)
from tests.flows.world import World


@pytest.fixture(params=["mlflow", "memory"])
def shop(
    request: pytest.FixtureRequest,
    empty_registry: Path,
    world: World,
    home: Home,
    monkeypatch: pytest.MonkeyPatch,
) -> Shop:
    home.root.mkdir()
    if request.param == "memory":
        monkeypatch.setattr(backend, "implementation", memory_registry)
        return filled(MemoryShop(home, world))
    shutil.copy(empty_registry, home.mlflow_db)
    return filled(MlflowShop(home, world))


@pytest.fixture
def mlflow_shop(empty_registry: Path, world: World, home: Home) -> Shop:
    home.root.mkdir()
    shutil.copy(empty_registry, home.mlflow_db)
    return filled(MlflowShop(home, world))
