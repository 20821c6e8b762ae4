"""Files that damp did not write, or that were damaged since: each is refused in words."""

from __future__ import annotations

import json
import struct
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import EpsImagePlugin, Image
from safetensors.torch import save_file
from torch import Tensor, nn

from flows.data import loaders
from flows.data.dataset import Dataset, DataSpec
from flows.models import architectures, weights
from flows.state import files
from flows.state.errors import DataError, ModelError, StoreError

SHAPE = (1, 8, 8)


@pytest.fixture
def state() -> dict[str, Tensor]:
    torch.manual_seed(0)
    network = architectures.build("damp:cnn", 10, SHAPE)
    return {name: value.clone() for name, value in network.state_dict().items()}


def loaded(path: Path) -> tuple[nn.Module, dict[str, str]]:
    return weights.load_weights(path, architecture="damp:cnn", classes=10, input_shape=SHAPE)


def saved(folder: Path, state: dict[str, Tensor]) -> Path:
    save_file(state, folder / "w.safetensors")
    return folder / "w.safetensors"


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_weights_of_another_precision_are_taken_in_the_networks_own(
    dtype: torch.dtype, tmp_path: Path, state: dict[str, Tensor]
) -> None:
    other = {n: v.to(dtype) if v.is_floating_point() else v for n, v in state.items()}
    network, _ = loaded(saved(tmp_path, other))
    for name, value in network.state_dict().items():
        assert value.dtype == state[name].dtype
        assert torch.equal(value, other[name].to(value.dtype))


@pytest.mark.parametrize(
    ("name", "dtype", "word"),
    [
        ("fc1.weight", torch.float8_e4m3fn, "F8_E4M3"),
        ("fc1.weight", torch.complex64, "C64"),
        ("fc1.weight", torch.int64, "I64"),
        ("fc1.weight", torch.bool, "BOOL"),
        ("bn1.num_batches_tracked", torch.float32, "F32"),
    ],
)
def test_weights_of_a_type_that_does_not_fit_are_refused(
    name: str, dtype: torch.dtype, word: str, tmp_path: Path, state: dict[str, Tensor]
) -> None:
    path = saved(tmp_path, state | {name: state[name].to(dtype)})
    with pytest.raises(ModelError, match=f"types that do not fit: {name} {word}"):
        loaded(path)


@pytest.mark.parametrize("value", [1e300, -1e300, np.inf, np.nan])
def test_a_value_that_is_not_finite_in_the_networks_own_precision_is_refused(
    value: float, tmp_path: Path, state: dict[str, Tensor]
) -> None:
    wide = state["fc1.weight"].double()
    wide[3, 7] = value
    with pytest.raises(ModelError, match=r"not finite in fc1\.weight"):
        loaded(saved(tmp_path, state | {"fc1.weight": wide}))


def test_a_large_file_of_another_model_is_refused_before_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    length = 1 << 32
    entry = {"dtype": "F32", "shape": [length // 4], "data_offsets": [0, length]}
    header = json.dumps({"fc1.weight": entry}).encode()
    header += b" " * (-len(header) % 8)
    path = tmp_path / "large.safetensors"
    with path.open("wb") as file:  # a file of holes: it takes no space on the disk
        file.write(struct.pack("<Q", len(header)) + header)
        file.truncate(8 + len(header) + length)

    def not_called(*_: Any) -> None:
        pytest.fail("a tensor was converted")

    monkeypatch.setattr(Tensor, "to", not_called)
    with pytest.raises(ModelError, match=r"fc1\.weight \(1073741824,\) for \(64, 256\)"):
        loaded(path)


def test_a_path_with_a_null_character_is_refused() -> None:
    with pytest.raises(ModelError, match="null byte"):
        loaded(Path("a\0b"))


@pytest.mark.parametrize("content", [b"", b"no tensors at all", b"\x08" + bytes(7) + b"{}      x"])
def test_damaged_arrays_are_named_with_the_way_out(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "seen.safetensors").write_bytes(content)
    with pytest.raises(StoreError, match=r"Cannot read .*seen\.safetensors.*computes it again"):
        files.load_arrays(tmp_path / "seen.safetensors")


def test_a_file_that_is_gone_is_named(tmp_path: Path) -> None:
    for read in (files.digest_file, files.load_arrays):
        with pytest.raises(StoreError, match=r"Cannot read .*gone: .*No such file"):
            read(tmp_path / "gone")


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Two classes of five pictures."""
    for name in ("ant", "bee"):
        (tmp_path / "pictures" / name).mkdir(parents=True)
        for number in range(5):
            pixels = np.random.default_rng(number).integers(0, 256, (8, 8, 3), np.uint8)
            Image.fromarray(pixels).save(tmp_path / "pictures" / name / f"{number}.png")
    return tmp_path / "pictures"


def read(folder: Path) -> Dataset:
    return loaders.load.__wrapped__(DataSpec(name=f"imagefolder:{folder}"))


POSTSCRIPT = b"""%!PS-Adobe-3.0 EPSF-3.0
%%BoundingBox: 0 0 8 8
%%EndComments
0 0 8 8 rectfill showpage
%%EOF
"""


@pytest.fixture
def ghostscript(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Calls of Ghostscript, none of which is made."""
    calls: list[Any] = []

    def refuse(command: Any, **_: Any) -> None:
        calls.append(command)
        raise OSError("not started")

    monkeypatch.setattr(EpsImagePlugin, "gs_binary", "gs")
    monkeypatch.setattr(subprocess, "check_call", refuse)
    return calls


def test_postscript_named_as_a_picture_starts_no_ghostscript(
    pictures: Path, ghostscript: list[Any]
) -> None:
    (pictures / "ant" / "9.png").write_bytes(POSTSCRIPT)
    with pytest.raises(DataError, match=r"9\.png cannot be read as an image"):
        read(pictures)
    assert ghostscript == []


def test_pillow_left_to_itself_would_start_it(pictures: Path, ghostscript: list[Any]) -> None:
    (pictures / "ant" / "9.png").write_bytes(POSTSCRIPT)
    with Image.open(pictures / "ant" / "9.png") as picture, pytest.raises(OSError, match="started"):
        picture.load()
    assert len(ghostscript) == 1


@pytest.mark.parametrize("kind", ["TIFF", "ICO", "TGA", "PCX"])
def test_a_kind_of_picture_that_is_not_listed_is_refused_under_any_name(
    kind: str, pictures: Path
) -> None:
    Image.new("RGB", (8, 8)).save(pictures / "ant" / "9.png", format=kind)
    with pytest.raises(DataError, match=r"9\.png cannot be read as an image"):
        read(pictures)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "BMP", "WEBP", "GIF", "PPM"])
def test_a_listed_kind_of_picture_is_read_under_any_listed_ending(
    kind: str, pictures: Path
) -> None:
    Image.new("RGB", (8, 8)).save(pictures / "ant" / "9.png", format=kind)
    assert len(read(pictures).train_labels) + len(read(pictures).test_labels) == 11
