"""A study from nothing, killed in the middle: it goes on where it stopped."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest import mock

import pytest

from compliance.ledger import Ledger
from compliance.qualification import standing
from flows.data import loaders
from flows.qualification import qualify
from flows.records import qualifications
from flows.state.paths import Home
from flows.state.settings import prepared, settings

pytestmark = [pytest.mark.long, pytest.mark.timeout(3000)]


def _loaded() -> ModuleType:
    name = "qualification_studies"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name("studies.py"))
        assert spec is not None
        assert spec.loader is not None
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    return sys.modules[name]


studies = _loaded()


def damp(home: Home, file: Path) -> subprocess.Popen[str]:
    """`damp qualify` in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "flows", "--home", str(home.root), "qualify", str(file), "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )


def digests(home: Home) -> dict[str, str]:
    """The whole results of classes that there are."""
    return {
        file.name: hashlib.sha256(file.read_bytes()).hexdigest()
        for file in home.qualifications.glob("*/class-*.json")
    }


def test_a_study_that_is_killed_goes_on_where_it_stopped(tmp_path: Path) -> None:
    values = {
        "DAMP_HOME": str(tmp_path / "state"),
        "DAMP_KEYS": str(tmp_path / "keys"),
        "DAMP_WORKERS": "1",
    }
    with mock.patch.dict(os.environ, values):
        settings.cache_clear()
        loaders.load.cache_clear()
        home = prepared()
        studies.base(home, tmp_path, epochs=3)
        (tmp_path / "l3.yaml").write_text(json.dumps(_few_references()))
        file = studies.asked(tmp_path, policy="l3.yaml", attempts="natural")
        first = damp(home, file)
        while first.poll() is None and not digests(home):
            time.sleep(0.2)
        assert first.poll() is None, first.communicate()
        first.send_signal(signal.SIGKILL)
        first.communicate()  # reads and closes its pipes
        before = digests(home)
        second = damp(home, file)
        out, err = second.communicate()
        assert second.returncode in (0, 2), err
        after = digests(home)
        _check(home, json.loads(out), before, after)
    settings.cache_clear()


def _few_references() -> dict[str, Any]:
    from compliance.documents.policy import load_policy

    content = load_policy("demo-v1").model_dump(mode="json")
    return content | {"references": 3, "name": "three"}


def _check(
    home: Home, output: dict[str, Any], before: dict[str, str], after: dict[str, str]
) -> None:
    assert len(after) == 3
    assert before.items() <= after.items()
    kinds = [entry.kind for entry in Ledger(home.ledger).entries()]
    assert kinds.count(standing.REGISTERED) == kinds.count(standing.SIGNED) == 1
    checked = qualifications.load(home, output["qualification"])
    assert checked.problems == ()
    content = checked.content
    assert content is not None
    for studied in content.classes:
        names = {model.name for model in studied.models}
        assert {"natural", "original", "head_refitted", "paper", "reference_0"} <= names
        assert "retrained on 0.5 of its rows" in names
        original = next(m for m in studied.models if m.name == "original")
        assert original.kept == pytest.approx(1.0)
    assert not list(home.qualifications.rglob("*.safetensors"))
    assert qualify.of_ended(home, output["qualification"]).content == content
