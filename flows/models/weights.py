"""Weights as safetensors only, checked before any tensor is read."""

from __future__ import annotations

import json
import stat
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from compliance.formats import strict_json
from compliance.formats.errors import JsonError
from flows.models.architectures import build
from flows.state.errors import ModelError, first_few
from flows.state.files import digest_bytes, write_atomically

if TYPE_CHECKING:
    from torch import Tensor, nn

HEADER_LIMIT = 64 << 20
"""Bytes of a safetensors header at most: a hundred thousand tensors need less."""
FLOATS = {"F16", "BF16", "F32", "F64"}
WHOLE = {"BOOL", "U8", "I8", "U16", "I16", "U32", "I32", "U64", "I64"}
"""safetensors' types of which every value can be checked and converted; others are refused."""


def save_weights(model: nn.Module, path: Path, metadata: dict[str, str]) -> str:
    """Write a model's tensors; the same tensors and metadata give the same bytes.

    Returns:
        sha256 of the file.
    """
    from safetensors.torch import save

    tensors = {name: value.detach().cpu().contiguous() for name, value in _state(model).items()}
    content = _with_metadata(save(tensors), metadata)
    write_atomically(path, content)
    return digest_bytes(content)


def _with_metadata(content: bytes, metadata: dict[str, str]) -> bytes:
    """Put sorted metadata into a safetensors header: the library writes them in any order."""
    (length,) = struct.unpack("<Q", content[:8])
    header = json.loads(content[8 : 8 + length])
    header["__metadata__"] = dict(sorted(metadata.items()))
    text = json.dumps(header, separators=(",", ":"), sort_keys=True).encode()
    text += b" " * (-len(text) % 8)  # tensors start at a multiple of eight
    return struct.pack("<Q", len(text)) + text + content[8 + length :]


def _state(model: nn.Module) -> dict[str, Tensor]:
    """What the network runs with, sorted; tied tensors become copies: safetensors shares none.

    A class's own `state_dict` is not asked: what is kept is what runs.
    """
    from flows.models import held_tensors

    return {name: value.clone() for name, value in sorted(held_tensors.of(model).items())}


def load_weights(
    path: Path, *, architecture: str, classes: int, input_shape: tuple[int, ...]
) -> tuple[nn.Module, dict[str, str]]:
    """A network with the weights of a file, and the file's metadata.

    Layers that the architecture builds without a bias gain one where the file holds one: an edit
    adds it. Names, shapes and types are compared before any tensor is read, so that a file of
    another model takes no memory; values are checked in the type that the network computes in.
    Names that a wrapper or tool has changed are understood where they can mean one thing only
    (`tensor_names`). In the end the network holds the file's tensors bit for bit, whatever its
    class does when it loads.

    Raises:
        ModelError: The file is missing, no safetensors, cut short, of another architecture, or
            holds values that are not finite; or the network's class does not load what it says.
    """
    import torch
    from safetensors import SafetensorError, safe_open

    from damp.operators import add_missing_biases
    from flows.models import held_tensors
    from flows.state import users_calls

    _check_first_bytes(path)
    network = build(architecture, classes, input_shape)
    try:
        with safe_open(path, framework="pt") as file:
            names = _names_in_file(network, file.keys())
            slices = {name: file.get_slice(place) for name, place in names.items()}
            add_missing_biases(network, slices)
            wanted = held_tensors.of(network)
            _complete(network, wanted, slices, names)
            _check_header(path, architecture, wanted, slices)
            state = {
                name: file.get_tensor(names[name]).to(value.dtype) if name in names else value
                for name, value in wanted.items()
            }
            metadata = file.metadata() or {}
    except SafetensorError as problem:
        raise ModelError(
            f"{path} is damaged: {problem}. Fetch it again and compare its sha256."
        ) from problem
    infinite = [n for n, v in state.items() if v.is_floating_point() and not v.isfinite().all()]
    if infinite:
        raise ModelError(
            f"{path} holds values that are not finite in {first_few(infinite)}. Such a model "
            "predicts nothing; export it again."
        )
    with torch.no_grad(), users_calls.guarded(architecture, ModelError, "when it was loaded"):
        network.load_state_dict({name: value.clone() for name, value in state.items()})
        network.eval()
    held_tensors.require(network, state, what=f"{architecture} with {path}")
    return network, metadata


def _names_in_file(network: nn.Module, names: Iterable[str]) -> dict[str, str]:
    """For each tensor of the network that the file holds, and each too many, its name there."""
    from flows.models import held_tensors, tensor_names

    return tensor_names.in_file(names, held_tensors.of(network))


def _complete(
    network: nn.Module, wanted: dict[str, Tensor], slices: dict[str, Any], names: dict[str, str]
) -> None:
    """Add what the file may leave out: a tensor stored under a tied name, a count of batches.

    Args:
        network: As it was built.
        wanted: Its tensors.
        slices: And `names`: what the file holds; they are completed.
    """
    from flows.models import tensor_names

    if not wanted.keys() - slices.keys():
        return
    tied = tensor_names.tied(network)
    for name in sorted(wanted.keys() - slices.keys()):
        if others := [other for other in tied.get(name, ()) if other in names]:
            names[name], slices[name] = names[others[0]], slices[others[0]]
        elif tensor_names.may_lack(name):
            slices[name] = _Own(wanted[name])


@dataclass(frozen=True, slots=True)
class _Own:
    """A tensor of the network itself, in the form of a slice of a file."""

    value: Tensor

    def get_shape(self) -> list[int]:
        return list(self.value.shape)

    def get_dtype(self) -> str:
        return "I64"


def retired_outputs(metadata: dict[str, str], *, classes: int | None = None) -> list[int]:
    """The classes that a weights file says have left the label space.

    Args:
        metadata: The file's own.
        classes: Outputs of the model, where they are known.
    Raises:
        ModelError: It says so in a form that damp does not write, or of outputs that are not there.
    """
    text = metadata.get("damp.retired", "[]")
    try:
        retired = strict_json.loads(text)
    except JsonError:
        retired = None
    if not isinstance(retired, list) or any(type(c) is not int or c < 0 for c in retired):
        raise ModelError(
            f"The weights say 'damp.retired: {text[:60]}', which is no list of class indices such "
            "as [3]. Fetch the file again, or save it with the key corrected or left out."
        )
    if classes is not None and any(index >= classes for index in retired):
        raise ModelError(
            f"The weights say 'damp.retired: {text[:60]}', and the model has {classes} outputs. "
            "Fetch the file again, or save it with the key corrected or left out."
        )
    return retired


def _check_first_bytes(path: Path) -> None:
    """Refuse what is no safetensors file before any parser sees it."""
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):  # opening a pipe would wait for ever
            kind = "Is a directory" if stat.S_ISDIR(status.st_mode) else "no regular file"
            raise ModelError(f"Cannot read the weights {path}: {kind}. Name a safetensors file.")
        size = status.st_size
        with path.open("rb") as file:
            start = file.read(10)
    except (OSError, ValueError) as problem:  # ValueError: a null character in the path
        reason = getattr(problem, "strerror", None) or problem
        raise ModelError(
            f"Cannot read the weights {path}: {reason}. Name a safetensors file that is "
            "there and that you may read."
        ) from problem
    length = struct.unpack("<Q", start[:8])[0] if len(start) >= 8 else -1
    if 0 < length <= min(size - 8, HEADER_LIMIT) and start[8:9] == b"{":
        _refuse_two_meanings(path, length)
        return  # first of all: a header of 640 bytes has the first two bytes of a pickle
    if start[:2] in (b"PK", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05"):
        raise ModelError(
            f"{path} is a pickle, and unpickling runs whatever code it holds: damp does not open "
            "it. Load it where it is trusted, and save its state dict with safetensors."
        )
    raise ModelError(
        f"{path} is no safetensors file, or it is cut short ({size} bytes). Fetch it again, or "
        "save the state dict with safetensors."
    )


def _refuse_two_meanings(path: Path, length: int) -> None:
    """Refuse a header in which two readers could see two models: equal keys."""
    with path.open("rb") as file:
        file.seek(8)
        header = file.read(length)
    try:
        strict_json.loads(header, f"The header of {path}")
    except JsonError as problem:
        raise ModelError(
            f"{path} is damaged: {problem} Fetch it again and compare its sha256."
        ) from problem


def _check_header(
    path: Path, architecture: str, expected: dict[str, Tensor], slices: dict[str, Any]
) -> None:
    """Refuse a file whose header departs from the architecture; one message has all of it.

    Args:
        path: The file, for the message.
        architecture: For the message.
        expected: The network's own tensors.
        slices: safetensors' slices of the file's tensors, which have shape and type.
    """
    problems = []
    if missing := [name for name in expected if name not in slices]:
        problems.append(f"lacks {first_few(missing)}")
    if unknown := [name for name in slices if name not in expected]:
        problems.append(f"has {first_few(unknown)} too many")
    common = [name for name in expected if name in slices]
    shapes = {n: (tuple(slices[n].get_shape()), tuple(expected[n].shape)) for n in common}
    if other := [f"{n} {has} for {needs}" for n, (has, needs) in shapes.items() if has != needs]:
        problems.append(f"has other shapes: {first_few(other)}")
    types = {n: (slices[n].get_dtype(), expected[n].is_floating_point()) for n in common}
    if other := [
        f"{n} {t}" for n, (t, real) in types.items() if t not in (FLOATS if real else WHOLE)
    ]:
        problems.append(f"has types that do not fit: {first_few(other)}")
    if problems:
        raise ModelError(
            f"{path} does not fit {architecture}: it {'; '.join(problems)}. {_remedy(slices)}"
        )


def _remedy(names: Iterable[str]) -> str:
    from flows.models import tensor_names

    names = list(names)
    if sets := tensor_names.several_sets(names):
        return (
            f"It holds a network under each of {', '.join(sets)}: save the tensors of the one that "
            "you deploy alone, without its prefix."
        )
    if any(name in ("state_dict", "epoch", "optimizer") or "optimizer." in name for name in names):
        return "It is a checkpoint of a training: save the state dict of the network alone."
    return "Check the architecture, the number of classes and the image size."


def read_metadata(path: Path) -> dict[str, str]:
    """What a weights file says of itself, without loading its tensors.

    Raises:
        ModelError: It is missing or no safetensors file.
    """
    from safetensors import SafetensorError, safe_open

    _check_first_bytes(path)
    try:
        with safe_open(path, framework="numpy") as file:
            return dict(file.metadata() or {})
    except SafetensorError as problem:
        raise ModelError(f"{path} is damaged: {problem}. Fetch it again.") from problem
