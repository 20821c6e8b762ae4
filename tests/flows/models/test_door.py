"""`flows.models` keeps what registered models import: each brings the script that serves it."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from flows import models
from flows.models import architectures, weights

REGISTERED_SCRIPT = """\
import json
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
from mlflow.pyfunc import PythonModel, PythonModelContext

from damp.aftercare import RetiredOutputs
from flows.models import load_weights
"""
"""The imports of the script beside every model that damp 0.1 has registered. Never change them."""


def test_a_registered_models_script_can_import_what_it_needs() -> None:
    names: dict[str, object] = {}
    exec(REGISTERED_SCRIPT, names)  # noqa: S102 - MLflow executes the script, too
    assert names["load_weights"] is weights.load_weights


@pytest.mark.parametrize(
    "name", ["build", "load_weights", "read_metadata", "retired_outputs", "save_weights"]
)
def test_the_door_offers_what_the_module_of_its_name_had(name: str) -> None:
    assert name in models.__all__
    assert getattr(models, name) is getattr(architectures if name == "build" else weights, name)


def test_the_door_opens_without_torch() -> None:
    script = "import sys, flows.models; assert not {'torch', 'safetensors'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", script], check=True)


def test_the_stub_declares_what_the_door_exports() -> None:
    stub = ast.parse(Path(models.__file__).with_suffix(".pyi").read_text())
    imported = {
        alias.name for node in stub.body if isinstance(node, ast.ImportFrom) for alias in node.names
    }
    assert imported == set(models.__all__)
