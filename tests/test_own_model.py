"""docs/tutorial-own-model.md and the example in the README do what they say."""

from __future__ import annotations

import re
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch.utils.data import DataLoader, TensorDataset
from torchvision.models import resnet18

ROOT = Path(__file__).parents[1]
CODE = re.compile(r"```python\n(.*?)```", flags=re.DOTALL)

Run = Callable[[str], dict[str, Any]]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs blocks of Python one after the other, in one namespace and a folder of their own."""
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}

    def block(code: str) -> dict[str, Any]:
        with torch.random.fork_rng(devices=[]):
            exec(compile(code, "<docs>", "exec"), names)  # noqa: S102 - our own pages
        return names

    return block


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_tutorial_does_what_it_says(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    for code in CODE.findall((ROOT / "docs" / "tutorial-own-model.md").read_text()):
        if "# needs transformers" not in code or find_spec("transformers"):
            names = run(code)
    output = capsys.readouterr().out
    accuracy, threes = names["accuracy"], names["threes"]
    assert accuracy(names["model"], threes) > 0.9
    # how far it falls differs with the training of so small a net; that it falls does not
    assert accuracy(names["edited"].unretired, threes) < 0.7 * accuracy(names["model"], threes)
    assert accuracy(names["edited"].unretired, ~threes) > 0.9
    assert accuracy(names["loaded"], ~threes) == accuracy(names["edited"].model, ~threes)
    assert names["again"].model.classes == (3, 8)
    assert "class 3: " in output
    assert "before: " in output
    assert Path("statistics.safetensors").is_file()


def test_the_readme_forgets_a_class_of_a_torchvision_model_in_six_lines(run: Run) -> None:
    section = (ROOT / "README.md").read_text().partition("## Your own model")[2]
    example = CODE.findall(section)[0]
    assert len([line for line in example.splitlines() if line and not line.startswith("#")]) == 6
    labels = torch.arange(40) % 10
    save_file(resnet18(num_classes=10).state_dict(), "mine.safetensors")
    photos = DataLoader(TensorDataset(torch.randn(40, 3, 32, 32), labels), batch_size=20)
    run("photos = None")["photos"] = photos
    names = run(example)
    assert names["edited"].forget == (3,)
    with torch.no_grad():
        answers = names["edited"].model(torch.randn(2, 3, 32, 32))
    assert bool(answers[:, 3].isneginf().all())
