"""Networks of users' own: every way to answer is read alike, every way to misbehave is refused."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
import torch

from audits.references import Recipe, train
from flows import models
from flows.models import held_tensors
from flows.state.errors import ModelError

Refusal = Callable[..., AbstractContextManager[None]]
Users = Callable[[str], str]
SHAPE = (1, 8, 8)

NET = """
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self, classes):
        super().__init__()
        self.body = nn.{linear}(64, 8) if "{linear}" == "Linear" else nn.{linear}(8)
        self.norm = nn.BatchNorm1d(8)
        self.fc = nn.Linear(8, classes)

    def forward(self, x):
        {before}
        logits = self.fc(self.norm(self.body(x.flatten(1))).relu())
        return {answer}
{more}

def build(classes, input_shape):
    return Net(classes)
"""


def net(answer: str = "logits", linear: str = "Linear", before: str = "", more: str = "") -> str:
    return NET.format(answer=answer, linear=linear, before=before or "pass", more=more)


@pytest.mark.parametrize("answer", ["(logits, x)", "[logits]", "{'logits': logits, 'x': x}"])
def test_tuples_and_dictionaries_are_read_alike_in_training_and_after(
    users_module: Users, answer: str
) -> None:
    name = users_module(net(answer))
    inputs, labels = torch.randn(12, *SHAPE), torch.arange(12) % 4
    model = train(
        lambda: models.build(f"{name}:build", 4, SHAPE),
        inputs,
        labels,
        recipe=Recipe(epochs=1, batch_size=4),
        seed=0,
    )
    assert model(inputs).shape == (12, 4)


def test_lazy_layers_take_their_shapes_and_the_same_seed_gives_the_same_weights(
    users_module: Users, tmp_path: Path
) -> None:
    name = users_module(net(linear="LazyLinear"))
    digests = []
    for _ in range(2):
        torch.manual_seed(3)
        network = models.build(f"{name}:build", 4, SHAPE)
        digests.append(held_tensors.digest(network))
    assert digests[0] == digests[1]
    assert network.training
    models.save_weights(network, tmp_path / "w.safetensors", {})
    again, _ = models.load_weights(
        tmp_path / "w.safetensors", architecture=f"{name}:build", classes=4, input_shape=SHAPE
    )
    assert held_tensors.digest(again) == digests[0]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("import sys\nsys.exit(2)", ["called sys.exit(2)", "while it was imported", "__main__"]),
        (
            "import argparse as a\np = a.ArgumentParser()\np.add_argument('file')\np.parse_args()",
            ["called sys.exit(2)", "read the command line"],
        ),
        ("1 / 0", ["ZeroDivisionError", "line 1", "while it was imported"]),
        ("raise KeyboardInterrupt", ["raised KeyboardInterrupt"]),
        (
            "def build(classes, input_shape): raise OSError('no licence')",
            ["OSError: no licence", "when it was called"],
        ),
        ("def build(classes, input_shape): exit(0)", ["called sys.exit(0)"]),
        (net(before="raise RuntimeError('tilt')"), ["RuntimeError: tilt", "images of 1x8x8"]),
        (net(before="raise SystemExit(2)"), ["called sys.exit(2)", "images of 1x8x8"]),
        (net(answer="{'scores': logits}"), ["returns", "logits"]),
        (net(answer="logits.sum()"), ["returns () for 2 images"]),
        (net(answer="logits[:, :2]"), ["has 2 outputs", "4 classes"]),
        (
            net(more="    def __new__(cls, *a):\n        return super().__new__(cls)\n").replace(
                "return Net(classes)", "return Net(classes).to('meta')"
            ),
            ["meta device", "body.weight", "Build it on the CPU"],
        ),
    ],
)
def test_code_that_misbehaves_is_refused_by_name(
    users_module: Users,
    refused: Refusal,
    monkeypatch: pytest.MonkeyPatch,
    text: str,
    words: list[str],
) -> None:
    from flows.state import interrupts

    monkeypatch.setattr("signal.getsignal", lambda number: interrupts._interrupt)
    name = users_module(text)
    with refused(ModelError, name, *words):
        models.build(f"{name}:build", 4, SHAPE)


def test_a_data_set_that_ends_the_process_is_refused(users_module: Users) -> None:
    from flows.data import loaders
    from flows.data.dataset import DataSpec
    from flows.state.errors import DataError

    name = users_module("import sys\ndef data():\n    sys.exit(2)\n")
    with pytest.raises(DataError, match=r"called sys.exit\(2\) when it was called"):
        loaders.load(DataSpec(name=f"{name}:data"))


def test_a_real_interrupt_is_no_refusal(
    users_module: Users, monkeypatch: pytest.MonkeyPatch
) -> None:
    from flows.state import interrupts

    name = users_module("raise KeyboardInterrupt")
    monkeypatch.setattr(interrupts, "_interrupted", True)
    with pytest.raises(KeyboardInterrupt):
        models.build(f"{name}:build", 4, SHAPE)


@pytest.mark.filterwarnings("ignore:The default weight initialization of GoogleNet")
def test_torchvisions_outputs_with_auxiliary_heads_are_logits_in_training() -> None:
    network = models.build("torchvision:googlenet", 3, (3, 64, 64)).train()
    assert network(torch.zeros(2, 3, 64, 64)).shape == (2, 3)


LIARS = {
    "load": "    def load_state_dict(self, state, *a, **k): return None\n",
    "one": (
        "    def load_state_dict(self, state, *a, **k):\n"
        "        super().load_state_dict(state)\n"
        "        with torch.no_grad(): self.fc.bias[0] += 1e-7 + self.fc.bias[0].abs()\n"
    ),
    "shown": (
        "    def load_state_dict(self, state, *a, **k): self.shown = dict(state)\n"
        "    def state_dict(self, *a, **k):\n"
        "        return getattr(self, 'shown', None) or super().state_dict(*a, **k)\n"
    ),
    "eval": (
        "    def eval(self):\n"
        "        with torch.no_grad(): self.fc.weight.zero_()\n"
        "        return super().eval()\n"
    ),
}


@pytest.mark.parametrize("kind", LIARS)
def test_a_class_that_does_not_hold_what_the_file_says_is_refused(
    users_module: Users, refused: Refusal, tmp_path: Path, kind: str
) -> None:
    honest, liar = users_module(net()), users_module(net(more=LIARS[kind]))
    file = tmp_path / "w.safetensors"
    models.save_weights(models.build(f"{honest}:build", 4, SHAPE), file, {})
    models.load_weights(file, architecture=f"{honest}:build", classes=4, input_shape=SHAPE)
    with refused(ModelError, f"{liar}:build", "other tensors than the file", "fc."):
        models.load_weights(file, architecture=f"{liar}:build", classes=4, input_shape=SHAPE)


def test_what_is_saved_is_what_runs(users_module: Users, tmp_path: Path) -> None:
    shown = "    def state_dict(self, *a, **k):\n        return {'fc.bias': self.fc.bias * 0}\n"
    network = models.build(f"{users_module(net(more=shown))}:build", 4, SHAPE)
    models.save_weights(network, tmp_path / "w.safetensors", {})
    plain = users_module(net())
    again, _ = models.load_weights(
        tmp_path / "w.safetensors", architecture=f"{plain}:build", classes=4, input_shape=SHAPE
    )
    assert held_tensors.digest(again) == held_tensors.digest(network)


def test_a_network_that_changes_itself_while_it_is_used_is_refused(users_module: Users) -> None:
    name = users_module(net(before="self.fc.bias.data += 1"))
    network = models.build(f"{name}:build", 4, SHAPE).eval()
    refusal = pytest.raises(ModelError, match="changed its own tensors")
    with refusal, held_tensors.unchanged(network, "The model"):
        network(torch.zeros(1, *SHAPE))
