"""Thirty kinds of files that call themselves a model, from clumsy to hostile."""

from __future__ import annotations

import io
import json
import os
import pickle
import struct
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save

from benchmarks.robustness.watching import command_that_marks
from flows.models import architectures, weights

SHAPE = (1, 8, 8)


def load(path: Path) -> Any:
    """What damp does with a model file."""
    network, metadata = weights.load_weights(
        path, architecture="damp:cnn", classes=10, input_shape=SHAPE
    )
    return network, weights.retired_outputs(metadata, classes=10)


def good() -> bytes:
    """A file that is taken."""
    torch.manual_seed(0)
    return save(
        {
            k: v.contiguous()
            for k, v in architectures.build("damp:cnn", 10, SHAPE).state_dict().items()
        }
    )


class _Runs:
    """A pickle that runs a command when it is loaded."""

    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.system, (self.command,)


def _torch_pickle(folder: Path) -> bytes:
    buffer = io.BytesIO()
    torch.save({"fc1.weight": _Runs(command_that_marks(folder))}, buffer)
    return buffer.getvalue()


def _zip(folder: Path) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("../../outside.txt", "climbs out")
        archive.writestr("data.pkl", pickle.dumps(_Runs(command_that_marks(folder))))
    return buffer.getvalue()


def _with_header(change: Callable[[dict[str, Any]], Any], content: bytes | None = None) -> bytes:
    """The good file with another header."""
    whole = content or good()
    (length,) = struct.unpack("<Q", whole[:8])
    header = json.loads(whole[8 : 8 + length])
    changed = change(header)
    text = changed if isinstance(changed, bytes) else json.dumps(changed or header).encode()
    return struct.pack("<Q", len(text)) + text + whole[8 + length :]


def _set(name: str, **fields: Any) -> Callable[[dict[str, Any]], None]:
    return lambda header: header[name].update(fields)


def _first_weight(value: float) -> bytes:
    state = {
        k: v.clone() for k, v in architectures.build("damp:cnn", 10, SHAPE).state_dict().items()
    }
    state["fc1.weight"][0, 0] = value
    return save(state)


def kinds(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Name and content of each; `folder` is where a mark would be left."""
    whole = good()
    (length,) = struct.unpack("<Q", whole[:8])
    yield "empty", b""
    yield "eight_bytes", whole[:8]
    yield "cut_in_header", whole[: 8 + length // 2]
    yield "cut_in_tensors", whole[:-100]
    yield "bytes_behind_the_end", whole + b"x" * 64
    yield "pickle", pickle.dumps(_Runs(command_that_marks(folder)))
    yield "torch_pickle", _torch_pickle(folder)
    yield "zip_that_climbs", _zip(folder)
    yield "polyglot_pickle_then_tensors", pickle.dumps(_Runs(command_that_marks(folder))) + whole
    yield "polyglot_tensors_then_zip", whole + _zip(folder)
    yield "huge_header_length", struct.pack("<Q", 2**63) + whole[8:]
    yield "header_length_of_the_file", struct.pack("<Q", len(whole)) + whole[8:]
    yield "header_no_json", _with_header(lambda _: b"{'a': 1}")
    yield "header_no_utf8", _with_header(lambda _: b"\xff\xfe{}")
    yield "header_a_list", _with_header(lambda _: b"[1, 2, 3]")
    yield "header_nested", _with_header(lambda _: b"[" * 100_000)
    yield (
        "header_twice_the_same_key",
        _with_header(
            lambda h: (
                json.dumps(h).encode()[:-1]
                + b',"fc1.bias":'
                + json.dumps(h["fc1.bias"]).encode()
                + b"}"
            )
        ),
    )
    yield "no_tensors", save({})
    yield "missing_tensor", _with_header(lambda h: h.pop("fc1.bias") and h)
    yield "tensor_too_many", save({**{"extra": torch.zeros(3)}})
    yield "overlapping", _with_header(_set("fc1.bias", data_offsets=[0, 256]))
    yield "offsets_backwards", _with_header(_set("fc1.bias", data_offsets=[256, 0]))
    yield "offsets_outside", _with_header(_set("fc1.bias", data_offsets=[2**40, 2**40 + 256]))
    yield "negative_shape", _with_header(_set("fc1.bias", shape=[-64]))
    yield "enormous_shape", _with_header(_set("fc1.bias", shape=[2**40, 2**40]))
    yield "shape_of_text", _with_header(_set("fc1.bias", shape="64"))
    yield "unknown_type", _with_header(_set("fc1.bias", dtype="F7"))
    yield "other_type", _with_header(_set("fc1.bias", dtype="I32"))
    yield "nan", _first_weight(float("nan"))
    yield "infinity", _first_weight(float("inf"))
    yield "transposed", save({"fc1.weight": torch.zeros(256, 64)})
    yield "metadata_of_numbers", _with_header(lambda h: {**h, "__metadata__": {"damp.retired": 3}})
    yield "retired_no_json", _with_header(lambda h: {**h, "__metadata__": {"damp.retired": "{"}})
    yield "retired_outside", _with_header(lambda h: {**h, "__metadata__": {"damp.retired": "[99]"}})
    yield "another_architecture", save({"layer.weight": torch.zeros(10, 10)})


def paths(folder: Path) -> Iterator[tuple[str, Path]]:
    """Paths that are no plain file, made below `folder`."""
    (folder / "secret.txt").write_text("not a model")
    (folder / "model").mkdir()
    (folder / "link.safetensors").symlink_to(folder / "secret.txt")
    (folder / "loop.safetensors").symlink_to(folder / "loop.safetensors")
    os.mkfifo(folder / "pipe.safetensors")
    yield "a_folder", folder / "model"
    yield "a_link_to_text", folder / "link.safetensors"
    yield "a_link_to_itself", folder / "loop.safetensors"
    yield "climbing", folder / "model" / ".." / ".." / "nowhere.safetensors"
    yield "a_device", Path("/dev/null")
    yield "a_named_pipe", folder / "pipe.safetensors"
