"""A registry is whatever has the methods of `Registry`."""

from __future__ import annotations

import inspect

import pytest

from flows.registry.interface import ReadRegistry, Registry
from flows.registry.mlflow_registry import MlflowRegistry
from flows.registry.registry_file import RegistryFile
from tests.flows.registry.memory_registry import MemoryRegistry

READING = sorted(name for name in vars(ReadRegistry) if not name.startswith("_"))
METHODS = sorted({*READING, *(name for name in vars(Registry) if not name.startswith("_"))})


@pytest.mark.parametrize("registry", [MlflowRegistry, MemoryRegistry])
@pytest.mark.parametrize("method", METHODS)
def test_a_registry_has_each_method_as_it_is_called(registry: type, method: str) -> None:
    wanted = inspect.signature(getattr(Registry, method))
    assert inspect.signature(getattr(registry, method)) == wanted


@pytest.mark.parametrize("method", READING)
def test_a_file_of_one_has_each_method_that_reads(method: str) -> None:
    wanted = inspect.signature(getattr(ReadRegistry, method))
    assert inspect.signature(getattr(RegistryFile, method)) == wanted
