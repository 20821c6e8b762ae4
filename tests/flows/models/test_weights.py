"""Architectures by name; weights that are checked before they are believed."""

from __future__ import annotations

import json
import pickle
import struct
import zipfile
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from flows import models
from flows.state.errors import ModelError
from flows.state.paths import Home

Refusal = Callable[..., AbstractContextManager[None]]
SHAPE = (1, 8, 8)


def net(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return models.build("damp:cnn", 10, SHAPE)


def loaded(path: Path, **changes: Any) -> tuple[nn.Module, dict[str, str]]:
    arguments = {"architecture": "damp:cnn", "classes": 10, "input_shape": SHAPE}
    return models.load_weights(path, **(arguments | changes))


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    models.save_weights(net(), tmp_path / "w.safetensors", {"damp.retired": "[3]"})
    return tmp_path / "w.safetensors"


@pytest.mark.parametrize(
    ("architecture", "shape"),
    [
        ("damp:cnn", (1, 8, 8)),
        ("damp:cnn", (3, 64, 64)),
        ("damp:vit", (1, 8, 8)),
        ("damp:vit", (3, 32, 32)),
        ("torchvision:resnet18", (3, 32, 32)),
    ],
)
def test_an_architecture_classifies_images_of_its_shape(
    architecture: str, shape: tuple[int, ...]
) -> None:
    network = models.build(architecture, 7, shape).eval()
    assert network(torch.zeros(2, *shape)).shape == (2, 7)


def test_an_architecture_of_the_users_own_is_built(users_module: Callable[[str], str]) -> None:
    name = users_module(
        "from torch import nn\n"
        "def build(classes, input_shape):\n"
        "    return nn.Sequential(nn.Flatten(), nn.Linear(input_shape[1] ** 2, classes))\n"
    )
    assert models.build(f"{name}:build", 4, SHAPE)(torch.zeros(2, *SHAPE)).shape == (2, 4)


@pytest.mark.parametrize(
    ("architecture", "shape", "words"),
    [
        ("resnet18", SHAPE, ["'resnet18'", "torchvision:NAME"]),
        ("", SHAPE, ["damp:cnn"]),
        ("damp:mlp", SHAPE, ["'damp:mlp'", "damp:cnn and damp:vit"]),
        ("damp:vit", (1, 8, 10), ["8x10", "damp:cnn"]),
        ("damp:vit", (1, 30, 30), ["30x30", "that 4 divides"]),
        ("torchvision:resnet17", (3, 32, 32), ["'resnet17'", "list_models()"]),
        ("torchvision:fasterrcnn_resnet50_fpn", (3, 32, 32), ["no classifier"]),
        ("torchvision:resnet18", SHAPE, ["3 channels", "these have 1", "damp:cnn"]),
        ("no_such_module:build", SHAPE, ["no_such_module", "--code ."]),
        ("os.path:no_such_function", SHAPE, ["no callable 'no_such_function'", "Correct the name"]),
        ("os.path:sep", SHAPE, ["no callable 'sep'"]),
    ],
)
def test_an_unknown_architecture_is_refused(
    architecture: str, shape: tuple[int, ...], words: list[str], refused: Refusal
) -> None:
    with refused(ModelError, *words):
        models.build(architecture, 10, shape)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("def build(classes): ...", ["build(classes=..., input_shape=...)", "these parameters"]),
        ("def build(classes, input_shape): return 3", ["returned a int", "nn.Module"]),
        ("def build(:", ["cannot be imported", "invalid syntax"]),
        ("import no_such_library", ["cannot be imported", "no_such_library", "install"]),
    ],
)
def test_an_unfit_function_of_the_users_is_refused(
    text: str, words: list[str], users_module: Callable[[str], str], refused: Refusal
) -> None:
    name = users_module(text)
    with refused(ModelError, name, *words):
        models.build(f"{name}:build", 10, SHAPE)


def test_weights_come_back_with_their_metadata(weights: Path) -> None:
    network, metadata = loaded(weights)
    assert not network.training
    for name, value in net().state_dict().items():
        torch.testing.assert_close(network.state_dict()[name], value, rtol=0, atol=0)
    assert metadata == models.read_metadata(weights) == {"damp.retired": "[3]"}
    assert models.retired_outputs(metadata) == [3]


def test_the_same_weights_are_the_same_bytes_in_whatever_order(tmp_path: Path) -> None:
    one = models.save_weights(net(), tmp_path / "1", {"a": "1", "b": "2", "c": "3"})
    two = models.save_weights(net(), tmp_path / "2", {"c": "3", "b": "2", "a": "1"})
    other = models.save_weights(net(1), tmp_path / "3", {"a": "1", "b": "2", "c": "3"})
    assert one == two != other
    assert (tmp_path / "1").read_bytes() == (tmp_path / "2").read_bytes()


def test_tied_weights_are_kept(tmp_path: Path) -> None:
    tied = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
    tied[1].weight = tied[0].weight
    models.save_weights(tied, tmp_path / "w", {})
    from safetensors.torch import load_file

    tensors = load_file(tmp_path / "w")
    assert torch.equal(tensors["0.weight"], tensors["1.weight"])


def test_a_bias_that_an_edit_added_is_taken(
    tmp_path: Path, users_module: Callable[[str], str]
) -> None:
    name = users_module(
        "from torch import nn\n"
        "def build(classes, input_shape):\n"
        "    return nn.Sequential(nn.Conv2d(1, 4, 8, bias=False), nn.Flatten(),\n"
        "                         nn.Linear(4, classes, bias=False))\n"
    )
    edited = models.build(f"{name}:build", 10, SHAPE)
    edited[2].bias = nn.Parameter(torch.arange(10.0))
    models.save_weights(edited, tmp_path / "w.safetensors", {})
    network, _ = loaded(tmp_path / "w.safetensors", architecture=f"{name}:build")
    assert network(torch.zeros(1, *SHAPE)).tolist() == [list(range(10))]
    assert network[0].bias is None


@pytest.mark.parametrize("length", [640, 896, 1152, 1408, 0x4B50])
def test_a_header_whose_length_looks_like_a_pickle_is_read(tmp_path: Path, length: int) -> None:
    """80 02 00 00 00 00 00 00 is the header length 640; 50 4B, as in a zip file, is 19280."""
    path = tmp_path / "w.safetensors"
    small = nn.Linear(2, 2)
    bare = models.save_weights(small, path, {"x": ""}) and path.read_bytes()
    filler = length - struct.unpack("<Q", bare[:8])[0]
    models.save_weights(small, path, {"x": "x" * filler})
    assert struct.unpack("<Q", path.read_bytes()[:8])[0] == length
    assert len(models.read_metadata(path)["x"]) == filler


def as_pickle(path: Path) -> None:
    torch.save(net().state_dict(), path)


def as_bare_pickle(path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[Any, ...]:
            return Path.touch, (path.with_name("executed"),)

    path.write_bytes(pickle.dumps(Trap()))


def as_zip(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("data.pkl", b"\x80\x02}.")


def cut_at(share: float) -> Callable[[Path], None]:
    def cut(path: Path) -> None:
        content = path.read_bytes()
        path.write_bytes(content[: int(share * len(content))])

    return cut


def with_bytes(content: bytes) -> Callable[[Path], None]:
    return lambda path: path.write_bytes(content) and None


def with_header(header: Any, tensors: bytes = b"") -> Callable[[Path], None]:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return with_bytes(struct.pack("<Q", len(text)) + text + tensors)


def with_values(**values: torch.Tensor) -> Callable[[Path], None]:
    return lambda path: save_file(net().state_dict() | values, path)


def as_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


F32 = {"dtype": "F32", "shape": [1 << 40], "data_offsets": [0, 4]}
OVERLAP = {
    name: {"dtype": "F32", "shape": [2], "data_offsets": [begin, begin + 8]}
    for name, begin in (("a", 0), ("b", 4))
}
NAN = torch.full((64,), float("nan"))


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (Path.unlink, ["Cannot read", "No such file", "Name a safetensors file"]),
        (as_folder, ["Cannot read", "Is a directory", "Name a safetensors file"]),
        (with_bytes(b""), ["0 bytes", "Fetch it again"]),
        (with_bytes(b"\x10\0\0"), ["3 bytes", "Fetch it again"]),
        (cut_at(0.0005), ["cut short", "Fetch it again"]),
        (cut_at(0.5), ["is damaged", "Fetch it again"]),
        (cut_at(0.999), ["is damaged", "Fetch it again"]),
        (as_pickle, ["is a pickle", "save its state dict with safetensors"]),
        (as_bare_pickle, ["is a pickle", "does not open it"]),
        (as_zip, ["is a pickle", "does not open it"]),
        (with_bytes(b"cos\nsystem\n(S'true'\ntR."), ["no safetensors", "Fetch it again"]),
        (with_bytes(struct.pack("<Q", 1 << 62) + b"{}" * 99), ["no safetensors", "206 bytes"]),
        (with_bytes(struct.pack("<Q", 100 << 20) + b"{}"), ["no safetensors", "10 bytes"]),
        (with_header(b"{" * 5000), ["is damaged", "Fetch it again"]),
        (with_header([]), ["no safetensors", "Fetch it again"]),
        (with_header({"x": F32}, bytes(4)), ["is damaged", "Fetch it again"]),
        (with_header(OVERLAP, bytes(12)), ["is damaged", "Fetch it again"]),
        (with_header(b'{"__metadata__": {"a": 1}}'), ["is damaged", "Fetch it again"]),
        (with_header({}), ["does not fit damp:cnn", "bn1.bias", "more", "number of classes"]),
        (
            with_values(**{"bn1.weight": NAN[:16].clone(), "fc1.bias": NAN}),
            ["bn1.weight, fc1.bias"],
        ),
        (with_values(**{"fc1.bias": NAN * 0 + float("inf")}), ["not finite in fc1.bias"]),
        (with_values(**{"fc2.bias": torch.zeros(3)}), ["fc2.bias (3,) for (10,)"]),
        (with_values(**{"fc9.bias": torch.zeros(3)}), ["has fc9.bias too many"]),
    ],
)
def test_damaged_or_foreign_weights_are_refused(
    damage: Callable[[Path], None], words: list[str], weights: Path, refused: Refusal
) -> None:
    damage(weights)
    with refused(ModelError, str(weights), *words):
        loaded(weights)
    assert not weights.with_name("executed").exists()


@pytest.mark.parametrize(
    "changes",
    [{"architecture": "damp:vit"}, {"classes": 11}, {"input_shape": (3, 8, 8)}],
)
def test_weights_of_another_architecture_are_refused_with_all_differences(
    changes: dict[str, Any], weights: Path, refused: Refusal
) -> None:
    with refused(ModelError, str(weights), "does not fit", "Check the architecture"):
        loaded(weights, **changes)


@pytest.mark.parametrize(
    "text", ["3", "[3", '["a"]', "[-1]", "[1.5]", "[true]", "null", "", "[" * 100_000]
)
def test_retired_classes_that_are_no_list_of_indices_are_refused(
    text: str, refused: Refusal
) -> None:
    with refused(ModelError, "damp.retired", "such as [3]"):
        models.retired_outputs({"damp.retired": text})


def test_no_weights_file_was_retired_without_saying_so() -> None:
    assert models.retired_outputs({}) == []


def test_a_full_disk_leaves_the_old_weights(tiny_disk: Path, refused: Refusal) -> None:
    from flows.state.errors import StoreError

    path = tiny_disk / "w.safetensors"
    models.save_weights(nn.Linear(2, 2), path, {})
    before = path.read_bytes()
    with refused(StoreError, str(path), "No space left on device", "Free some space"):
        models.save_weights(net(), path, {})
    assert path.read_bytes() == before


def test_weights_survive_a_state_folder_with_spaces_and_signs(home: Home) -> None:
    path = home.root / "a b é #%?" / "w.safetensors"
    models.save_weights(net(), path, {})
    assert loaded(path)[1] == {}
