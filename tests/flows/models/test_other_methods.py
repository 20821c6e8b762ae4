"""A team's own method: pinned, run, and refused where it is not what it was or gives nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from flows.data.dataset import Dataset
from flows.models import other_methods
from flows.state import others_code
from flows.state.errors import FlowError, ModelError

SOURCE = """
import torch

def run(job, *, depth=5.0):
    model = job.copy()
    with torch.no_grad():
        model.bias[list(job.forget)] -= depth
    return model
"""
Install = Callable[[str], None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Write a package with one entry point, as pip leaves it, or another source into it."""
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr("sys.dont_write_bytecode", True)

    def write(source: str) -> None:
        info = tmp_path / "pinned_team-2.0.dist-info"
        info.mkdir(exist_ok=True)
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: pinned-team\nVersion: 2.0\n")
        (info / "entry_points.txt").write_text("[damp.methods]\npinned = pinned_team:run\n")
        (tmp_path / "pinned_team.py").write_text(source)
        monkeypatch.delitem(__import__("sys").modules, "pinned_team", raising=False)

    return write


@pytest.fixture
def dataset() -> Dataset:
    labels = torch.arange(30) % 3
    inputs = torch.eye(3)[labels].view(30, 1, 1, 3)
    return Dataset(
        name="three",
        train_inputs=inputs,
        train_labels=labels,
        test_inputs=inputs,
        test_labels=labels,
        classes=3,
        description="",
    )


class Flat(nn.Linear):
    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return super().forward(images.flatten(1))


def run(dataset: Dataset, name: str, code: str | None) -> tuple[nn.Module, other_methods.Record]:
    network = Flat(3, 3)
    return other_methods.run(
        network, dataset, (1,), name=name, settings={}, code=code, build=lambda: Flat(3, 3), seed=7
    )


def test_what_was_done_is_recorded(install: Install, dataset: Dataset) -> None:
    install(SOURCE)
    _, record = run(dataset, "pinned", other_methods.digest("pinned"))
    assert record.changed == ("bias",)
    assert record.code is not None
    assert (record.code["distribution"], record.code["version"]) == ("pinned-team", "2.0")
    assert record.to_json()["code"]["sha256"] == other_methods.digest("pinned")
    _, record = run(dataset, "fine_tune", None)
    assert (record.forward, record.backward) == (60, 60)  # three epochs of twenty rows
    assert "code" not in record.to_json()


def test_a_method_whose_source_has_changed_is_not_run(install: Install, dataset: Dataset) -> None:
    install(SOURCE)
    before = other_methods.digest("pinned")
    install(SOURCE.replace("-= depth", "-= 0"))
    with pytest.raises(ModelError, match="install what it began with"):
        run(dataset, "pinned", before)


@pytest.mark.parametrize(
    ("source", "words"),
    [
        (SOURCE.replace("return model", "return None"), "not a torch module"),
        (SOURCE.replace("return model", "raise SystemExit(2)"), "pinned_team:run"),
        (SOURCE.replace("return model", "return torch.nn.Linear(3, 4)"), "other tensors"),
        (SOURCE.replace("-= depth", "= float('nan')"), "diverged"),
        ("import not_there_at_all", "not_there_at_all"),
    ],
)
def test_a_method_that_misbehaves_is_refused_by_its_name(
    install: Install, dataset: Dataset, source: str, words: str
) -> None:
    install(source)
    with pytest.raises(FlowError, match=words):
        run(dataset, "pinned", other_methods.digest("pinned"))


def test_it_does_not_run_where_a_claimants_code_does(
    install: Install, dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(SOURCE)
    monkeypatch.setenv(others_code.INSIDE, "theirs")
    with pytest.raises(FlowError, match="only theirs may run"):
        run(dataset, "pinned", other_methods.digest("pinned"))
