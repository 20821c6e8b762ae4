"""Many small models trained at once: their weights stacked, one step for all of them.

The same arithmetic as one after the other: every model has its own initialisation, rows and order.
Worth it where a step is mostly overhead: `benchmarks/results/stacked.md` has the measurements.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state, vmap
from torch.nn import functional

from audits.errors import BadRecipe
from audits.references import Progress, Recipe, batches, optimizer_of, schedule_of, seeded


def pays(model: nn.Module, device: str | torch.device | None = None) -> bool:
    """Whether stacked training is expected to be faster than one model after the other.

    Measured: on one CPU core three times as fast for perceptrons, no gain for convolutions, a loss
    for attention. Accelerators wait for small models whatever they are made of.
    """
    if device is not None and torch.device(device).type != "cpu":
        return True
    mixing = (nn.modules.conv._ConvNd, nn.MultiheadAttention, nn.LayerNorm)
    return not any(isinstance(module, mixing) for module in model.modules())


def train_stacked(
    build: Callable[[], nn.Module],
    inputs: Tensor,
    labels: Tensor,
    *,
    recipe: Recipe,
    seeds: Sequence[int],
    rows: Sequence[Tensor],
    device: str | torch.device | None = None,
    progress: Progress | None = None,
) -> list[nn.Module]:
    """One model per seed, each trained on rows of its own, all at once.

    Args:
        build: Makes a fresh, randomly initialised network.
        inputs: Rows to train on, (n, ...).
        labels: Their classes, (n,), int64.
        recipe: How to train; in float32.
        seeds: Of initialisation and order of rows, one for each model.
        rows: Row numbers that each model sees; as many for each.
        device: Where to train.
        progress: Told after each epoch; the loss is the mean over models.
    Returns:
        The models in evaluation mode, on the CPU, in the order of the seeds.
    Raises:
        BadRecipe: rows of different numbers, another precision, or a loss that is not finite.
    """
    _check(recipe, seeds, rows)
    models = [_built(build, seed, device) for seed in seeds]
    stacked, buffers = stack_module_state(models)
    weights = {name: value.detach().requires_grad_() for name, value in stacked.items()}
    skeleton = models[0].to("meta")

    def losses(weight: Any, buffer: Any, images: Tensor, classes: Tensor) -> Tensor:
        logits = functional_call(skeleton, (weight, buffer), (images,))
        return functional.cross_entropy(logits, classes, label_smoothing=recipe.label_smoothing)

    every = vmap(losses, randomness="different")
    inputs, labels = inputs.to(device), labels.to(device)
    orders = [torch.Generator().manual_seed(seed) for seed in seeds]
    places = torch.stack([chosen.to(labels.device) for chosen in rows])
    steps = len(batches(places.shape[1], recipe.batch_size, orders[0].clone_state()))
    optimizer = optimizer_of(list(weights.values()), recipe)
    schedule = schedule_of(optimizer, recipe, steps)
    lead = torch.arange(len(seeds), device=labels.device)[:, None]
    with seeded(seeds[0], device):
        for epoch in range(1, recipe.epochs + 1):
            total = 0.0
            parts = [batches(places.shape[1], recipe.batch_size, order) for order in orders]
            for batch in map(torch.stack, zip(*parts, strict=True)):
                chosen = places[lead, batch.to(labels.device)]
                optimizer.zero_grad(set_to_none=True)
                loss = every(weights, buffers, inputs[chosen], labels[chosen])
                loss.sum().backward()
                optimizer.step()
                if schedule is not None:
                    schedule.step()
                total += float(loss.detach().mean())
            if not total < float("inf"):
                raise BadRecipe(
                    f"The loss is {total} in epoch {epoch}: lower the learning rate, check the "
                    "inputs."
                )
            if progress is not None:
                progress(epoch, recipe.epochs, total / steps)
    return [_taken_apart(build, weights, buffers, place) for place in range(len(seeds))]


def _check(recipe: Recipe, seeds: Sequence[int], rows: Sequence[Tensor]) -> None:
    if recipe.precision != "float32":
        raise BadRecipe("Stacked training is in float32: train one model after the other instead.")
    if len(seeds) != len(rows) or not seeds:
        raise BadRecipe(f"{len(seeds)} seeds and {len(rows)} sets of rows: give as many of each.")
    if len({len(chosen) for chosen in rows}) > 1:
        raise BadRecipe("Stacked models need as many rows each: cut the sets to one length.")


def _built(
    build: Callable[[], nn.Module], seed: int, device: str | torch.device | None
) -> nn.Module:
    with seeded(seed, device):
        return build().to(device).train()


def _taken_apart(
    build: Callable[[], nn.Module], weights: dict[str, Tensor], buffers: dict[str, Tensor], at: int
) -> nn.Module:
    with seeded(0, None):
        model = build()
    state = {name: value[at].detach().cpu() for name, value in {**weights, **buffers}.items()}
    model.load_state_dict(state)
    return model.eval()
