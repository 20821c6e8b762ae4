"""Networks trained from scratch on a CPU in minutes, cached by what determines them.

bfloat16 autocast with channels_last, a one-cycle schedule, flips and shifted crops for photographs.
The same key is the same training; on another machine the weights differ by rounding.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel

from benchmarks.method.data import CACHE, Data, normalised
from benchmarks.method.nets import build

VERSION = 1
"""Raise it when a change here, or in `nets.py`, makes other networks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """How a network is trained."""

    net: str
    epochs: int
    batch_size: int = 128
    optimizer: str = "adamw"
    learning_rate: float = 5e-3
    weight_decay: float = 1e-2
    shift: int = 0
    flip: bool = False


RECIPES: Mapping[tuple[str, str], Recipe] = {
    ("digits", "cnn"): Recipe(net="cnn", epochs=30, batch_size=64),
    ("mnist", "cnn"): Recipe(net="cnn", epochs=8),
    ("cifar10", "resnet"): Recipe(
        net="resnet",
        epochs=10,
        optimizer="sgd",
        learning_rate=0.2,
        weight_decay=5e-4,
        shift=3,
        flip=True,
    ),
    ("cifar10-small", "resnet16"): Recipe(
        net="resnet16",
        epochs=15,
        batch_size=64,
        optimizer="sgd",
        learning_rate=0.1,
        weight_decay=1e-3,
        shift=3,
        flip=True,
    ),
    ("digits", "vit"): Recipe(net="vit", epochs=40, batch_size=64, learning_rate=3e-3),
    ("tiny", "resnet"): Recipe(
        net="resnet",
        epochs=24,
        batch_size=64,
        optimizer="sgd",
        learning_rate=0.1,
        weight_decay=1e-3,
        shift=6,
        flip=True,
    ),
    ("cifar10", "vit"): Recipe(
        net="vit", epochs=10, learning_rate=2e-3, weight_decay=5e-2, shift=3, flip=True
    ),
}


def trained(
    name: str, net: str, data: Data, *, seed: int, exclude: Sequence[int] = ()
) -> nn.Module:
    """The network of that recipe, seed and excluded classes; from the cache where it is there.

    Args:
        name: Of the data set.
        net: Of the architecture.
        data: The data set.
        seed: Of initialisation, order of rows and augmentation.
        exclude: Classes whose rows are left out; their outputs stay, never trained upwards.
    Returns:
        The network in evaluation mode.
    """
    recipe = RECIPES[name, net]
    path = CACHE / "nets" / f"{key(recipe, data, seed, exclude)}.safetensors"
    model = build(recipe.net, data.classes, data.shape, seed=seed)
    if path.is_file():
        model.load_state_dict(load_file(path))
        return model.eval()
    path.parent.mkdir(parents=True, exist_ok=True)
    fit(model, data, recipe, seed=seed, exclude=exclude)
    partial = path.with_suffix(f".{os.getpid()}.partial")
    save_file({k: v.contiguous() for k, v in model.state_dict().items()}, partial)
    partial.replace(path)
    return model.eval()


def key(recipe: Recipe, data: Data, seed: int, exclude: Sequence[int]) -> str:
    """Digest of all that determines a network."""
    facts = {
        "version": VERSION,
        "recipe": asdict(recipe),
        "data": data.digest,
        "seed": seed,
        "exclude": sorted(exclude),
    }
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:32]


@torch.enable_grad()
def fit(model: nn.Module, data: Data, recipe: Recipe, *, seed: int, exclude: Sequence[int]) -> None:
    """Train in place."""
    images, labels = data.images["train"], data.labels["train"]
    kept = (~torch.isin(labels, torch.tensor(list(exclude), dtype=labels.dtype))).nonzero()[:, 0]
    generator = torch.Generator().manual_seed(seed)
    steps = len(kept) // recipe.batch_size
    optimizer = _optimizer(model, recipe)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, recipe.learning_rate, total_steps=recipe.epochs * steps, pct_start=0.25
    )
    model.train().to(memory_format=torch.channels_last)
    network = _quicker(model, recipe)
    started = time.time()
    for epoch in range(1, recipe.epochs + 1):
        order = kept[torch.randperm(len(kept), generator=generator)]
        losses = []
        for rows in order[: steps * recipe.batch_size].split(recipe.batch_size):
            batch = augmented(images[rows], recipe, generator)
            losses.append(_step(network, batch, labels[rows], optimizer, recipe))
            schedule.step()
        print(
            f"  epoch {epoch}/{recipe.epochs}, loss {sum(losses) / steps:.3f}, "
            f"{time.time() - started:.0f} s",
            flush=True,
        )
    model.to(memory_format=torch.contiguous_format)


def _quicker(model: nn.Module, recipe: Recipe) -> nn.Module:
    """The same network, compiled where that pays: a transformer's small steps, a third faster."""
    # a short training would spend more on the compiler than it saves
    if recipe.net == "vit" and recipe.flip and shutil.which("c++"):
        compiled: nn.Module = torch.compile(model)
        return compiled
    return model


def _optimizer(model: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    if recipe.optimizer == "sgd":
        return torch.optim.SGD(
            model.parameters(),
            recipe.learning_rate,
            momentum=0.9,
            nesterov=True,
            weight_decay=recipe.weight_decay,
        )
    return torch.optim.AdamW(
        model.parameters(), recipe.learning_rate, weight_decay=recipe.weight_decay, fused=True
    )


def _step(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    optimizer: torch.optim.Optimizer,
    recipe: Recipe,
) -> float:
    optimizer.zero_grad(set_to_none=True)
    inputs = normalised(images).contiguous(memory_format=torch.channels_last)
    # torch's fused attention is slow backwards in bfloat16 on a CPU; the plain one is not
    plain = sdpa_kernel(SDPBackend.MATH) if recipe.net == "vit" else contextlib.nullcontext()
    with plain, torch.autocast("cpu", torch.bfloat16):
        loss = functional.cross_entropy(model(inputs).float(), labels)
    loss.backward()
    optimizer.step()
    return float(loss.detach())


def augmented(images: Tensor, recipe: Recipe, generator: torch.Generator) -> Tensor:
    """Images (B, C, H, W) shifted by up to `shift` pixels, grey at the border, some mirrored."""
    if recipe.flip:
        mirrored = torch.rand(len(images), generator=generator) < 0.5
        images = torch.where(mirrored[:, None, None, None], images.flip(-1), images)
    if not recipe.shift:
        return images
    height, width = images.shape[-2:]
    room = 2 * recipe.shift + 1
    padded = functional.pad(images, [recipe.shift] * 4, value=128)
    top = torch.randint(room, (len(images), 1), generator=generator) + torch.arange(height)
    left = torch.randint(room, (len(images), 1), generator=generator) + torch.arange(width)
    samples = torch.arange(len(images))[:, None, None]
    return padded[samples, :, top[:, :, None], left[:, None, :]].permute(0, 3, 1, 2)
