"""Models trained from a recipe: the base model and the retrained references, the baseline.

A reference never saw the forget classes, not even as an initialisation: it shares no weight with
the original. Retraining from a pretrained backbone would be another, weaker reference.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import SGD, AdamW, Optimizer
from torch.optim.lr_scheduler import LRScheduler, OneCycleLR

from audits.errors import BadRecipe
from audits.images import Images

Progress = Callable[[int, int, float], None]
"""`progress(epoch, epochs, loss)` after each epoch, counted from 1."""
OPTIMIZERS = ("adamw", "sgd")
SCHEDULES = ("onecycle", "constant")
PRECISIONS = ("float32", "bfloat16")


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """How a model is trained.

    Attributes:
        epochs: Passes over the data.
        batch_size: Rows per step.
        learning_rate: Its peak where the schedule has one.
        weight_decay: Decoupled (adamw) or as an L2 term (sgd).
        optimizer: "adamw", or "sgd" with Nesterov momentum 0.9.
        schedule: "onecycle" or "constant".
        label_smoothing: Share of the target that is spread over the classes that are trained.
        precision: "float32", or "bfloat16" for the forward pass (autocast; images channels last),
            which trains convolutions on a CPU in about half the time. Weights stay float32.
    """

    epochs: int = 30
    batch_size: int = 64
    learning_rate: float = 3e-3
    weight_decay: float = 1e-2
    optimizer: str = "adamw"
    schedule: str = "onecycle"
    label_smoothing: float = 0.0
    precision: str = "float32"

    def __post_init__(self) -> None:
        problems = list(_problems(self))
        if problems:
            raise BadRecipe(" ".join(problems))


def _problems(recipe: Recipe) -> Iterator[str]:
    if recipe.epochs < 1 or recipe.batch_size < 2:
        yield f"{recipe.epochs} epochs of batches of {recipe.batch_size}: at least 1 and 2."
    if not recipe.learning_rate > 0 or recipe.weight_decay < 0:
        yield "The learning rate must be above 0 and the weight decay not below."
    if not 0 <= recipe.label_smoothing < 1:
        yield f"Label smoothing is {recipe.label_smoothing}: give 0 or more, below 1."
    if recipe.optimizer not in OPTIMIZERS:
        yield f"There is no optimizer {recipe.optimizer!r}: choose one of {OPTIMIZERS}."
    if recipe.schedule not in SCHEDULES:
        yield f"There is no schedule {recipe.schedule!r}: choose one of {SCHEDULES}."
    if recipe.precision not in PRECISIONS:
        yield f"There is no precision {recipe.precision!r}: choose one of {PRECISIONS}."


def train(
    build: Callable[[], nn.Module],
    inputs: Images,
    labels: Tensor,
    *,
    recipe: Recipe,
    seed: int,
    exclude: Sequence[int] = (),
    device: str | torch.device | None = None,
    progress: Progress | None = None,
) -> nn.Module:
    """A model trained from scratch; on a CPU the same arguments give the same weights.

    Args:
        build: Makes a fresh, randomly initialised network with an output for every class.
        inputs: Training rows, (n, ...).
        labels: Their classes, (n,), int64.
        recipe: How to train.
        seed: Of initialisation, order of rows and dropout. The caller's random state stays.
        exclude: Classes whose rows are left out; their outputs stay, never trained upwards.
        device: Where to train.
        progress: Told after each epoch.
    Returns:
        The model in evaluation mode, on the CPU.
    Raises:
        BadRecipe: no rows are left, labels that do not match, or a loss that is not finite.
    """
    inputs, labels = _kept(inputs, labels, exclude)
    with _seeded(seed, device):
        model = build().to(device).train()
        if isinstance(inputs, Tensor):  # rows on disk go over batch by batch
            inputs = inputs.to(device)
        if recipe.precision == "bfloat16" and len(inputs.shape) == 4:
            model = model.to(memory_format=torch.channels_last)
            if isinstance(inputs, Tensor):
                inputs = inputs.contiguous(memory_format=torch.channels_last)
        _fit(model, inputs, labels.to(device), recipe, seed, progress)
    return model.cpu().to(memory_format=torch.contiguous_format).eval()


def _kept(inputs: Images, labels: Tensor, exclude: Sequence[int]) -> tuple[Images, Tensor]:
    if len(inputs) != len(labels):
        raise BadRecipe(f"{len(inputs)} rows have {len(labels)} labels: give one label a row.")
    kept = ~torch.isin(labels, torch.tensor(list(exclude), dtype=labels.dtype))  # (n,)
    if int(kept.sum()) < 2:
        raise BadRecipe(
            f"Without classes {list(exclude)} fewer than two rows are left: exclude fewer."
        )
    return inputs.index_select(0, kept.nonzero().flatten()), labels[kept]


@contextmanager
def _seeded(seed: int, device: str | torch.device | None) -> Iterator[None]:
    """Seeded random state and deterministic kernels inside, the caller's own state outside."""
    on_cuda = device is not None and torch.device(device).type == "cuda"
    flags = torch.backends.cudnn
    # global to the process: put back for whoever trains next
    before = (flags.deterministic, flags.benchmark)
    with torch.random.fork_rng(devices=[torch.device(device)] if on_cuda and device else []):
        torch.manual_seed(seed)
        flags.deterministic, flags.benchmark = True, False
        try:
            yield
        finally:
            flags.deterministic, flags.benchmark = before


def _fit(
    model: nn.Module,
    inputs: Images,
    labels: Tensor,
    recipe: Recipe,
    seed: int,
    progress: Progress | None,
) -> None:
    order = torch.Generator().manual_seed(seed)
    # a clone: counting must not advance the order of the rows
    steps = len(_batches(len(inputs), recipe.batch_size, order.clone_state()))
    optimizer = _optimizer(model, recipe)
    schedule = _schedule(optimizer, recipe, steps)
    for epoch in range(1, recipe.epochs + 1):
        loss = 0.0
        for rows in _batches(len(inputs), recipe.batch_size, order):
            batch = inputs[rows].to(labels.device)
            loss += _step(model, batch, labels[rows], recipe, optimizer, schedule)
        if not loss < float("inf"):  # false for NaN as well
            raise BadRecipe(
                f"The loss is {loss} in epoch {epoch}: lower the learning rate, check the inputs."
            )
        if progress is not None:
            progress(epoch, recipe.epochs, loss / steps)


def _batches(count: int, size: int, order: torch.Generator) -> list[Tensor]:
    """Shuffled row numbers in batches; a batch of one row, which batch norm refuses, is left."""
    batches = torch.randperm(count, generator=order).split(size)
    return [rows for rows in batches if len(rows) > 1]


def _step(
    model: nn.Module,
    inputs: Tensor,
    labels: Tensor,
    recipe: Recipe,
    optimizer: Optimizer,
    schedule: LRScheduler | None,
) -> float:
    optimizer.zero_grad(set_to_none=True)
    half = recipe.precision == "bfloat16"
    # the forward pass alone: a loss summed in bfloat16 would lose its last digits
    with torch.autocast(inputs.device.type, torch.bfloat16, enabled=half):
        logits = model(inputs)
    loss = functional.cross_entropy(logits.float(), labels, label_smoothing=recipe.label_smoothing)
    loss.backward()
    optimizer.step()
    if schedule is not None:
        schedule.step()
    return float(loss.detach())


def _optimizer(model: nn.Module, recipe: Recipe) -> Optimizer:
    trainable = [parameter for parameter in model.parameters() if parameter.requires_grad]
    rate, decay = recipe.learning_rate, recipe.weight_decay
    if recipe.optimizer == "adamw":
        return AdamW(trainable, lr=rate, weight_decay=decay, fused=True)
    return SGD(trainable, lr=rate, weight_decay=decay, momentum=0.9, nesterov=True)


def _schedule(optimizer: Optimizer, recipe: Recipe, steps: int) -> LRScheduler | None:
    if recipe.schedule == "constant":
        return None
    return OneCycleLR(optimizer, recipe.learning_rate, total_steps=recipe.epochs * steps)


def shares_weights(a: nn.Module, b: nn.Module) -> list[str]:
    """Names of the trained tensors that two models have in common, bit for bit.

    A retrained reference must share none with the original. Tensors whose entries are all equal
    (a fresh bias, the scale of an untrained norm) say nothing and do not count.

    >>> one = nn.Linear(2, 2)
    >>> shares_weights(one, one)
    ['weight', 'bias']
    """
    others = dict(b.named_parameters())
    return [
        name
        for name, value in a.named_parameters()
        if name in others
        and value.shape == others[name].shape
        and torch.equal(value.cpu(), others[name].cpu())
        # a constant tensor is the same in every fresh network
        and not torch.equal(value, value.flatten()[:1].expand_as(value))
    ]
