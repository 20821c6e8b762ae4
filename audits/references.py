"""Models trained from a recipe: the base model and the retrained references, the baseline.

A reference never saw the forget classes, not even as an initialisation: it shares no weight with
the original. Retraining from a pretrained backbone would be another, weaker reference.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import SGD, AdamW, Optimizer
from torch.optim.lr_scheduler import LambdaLR, LRScheduler, OneCycleLR

from audits import augmentation
from audits.augmentation import Augmentation
from audits.errors import BadRecipe
from audits.images import Images, on_device

Progress = Callable[[int, int, float], None]
"""`progress(epoch, epochs, loss)` after each epoch, counted from 1."""
OPTIMIZERS = ("adamw", "sgd")
SCHEDULES = ("onecycle", "constant", "cosine")
PRECISIONS = ("float32", "bfloat16")


@dataclass(frozen=True, slots=True, kw_only=True)
class Epoch:
    """One epoch that is done.

    Attributes:
        number: Counted from 1.
        of: Epochs in all.
        loss: Mean over the steps.
        accuracy: Share of the training rows that were answered right as they were learned; not a
            number where images are mixed.
    """

    number: int
    of: int
    loss: float
    accuracy: float


class Checkpoint(Protocol):
    """Where a training leaves what it needs to go on from its last epoch."""

    def load(self) -> dict[str, Any] | None:
        """What was left; None where nothing was, or nothing that can be read."""

    def save(self, state: Callable[[], dict[str, Any]]) -> None:
        """Keep the state after an epoch; whoever keeps it may pass over epochs that were short."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """How a model is trained.

    Attributes:
        epochs: Passes over the data.
        batch_size: Rows per step.
        learning_rate: Its peak where the schedule has one.
        weight_decay: Decoupled (adamw) or as an L2 term (sgd).
        optimizer: "adamw", or "sgd".
        schedule: "onecycle", "constant", or "cosine" down to 0.
        label_smoothing: Share of the target that is spread over the classes that are trained.
        precision: "float32", or "bfloat16" for the forward pass (autocast; images channels last),
            which trains convolutions on a CPU in about half the time. Weights stay float32.
        momentum: Of sgd.
        nesterov: Whether it is Nesterov's.
        warmup: Epochs in which the rate of "cosine" rises from 0 first.
        ema: Decay of a moving average over the steps' weights, which is the model in the end; 0
            for none.
        augmentation: What is done to images at random; None for nothing.
    """

    epochs: int = 30
    batch_size: int = 64
    learning_rate: float = 3e-3
    weight_decay: float = 1e-2
    optimizer: str = "adamw"
    schedule: str = "onecycle"
    label_smoothing: float = 0.0
    precision: str = "float32"
    momentum: float = 0.9
    nesterov: bool = True
    warmup: int = 0
    ema: float = 0.0
    augmentation: Augmentation | None = None

    def content(self) -> dict[str, Any]:
        """As what names a model holds it: settings that came later only where they are set."""
        plain = Recipe()
        return {
            key: value
            for key, value in asdict(self).items()
            if key not in LATER or value != getattr(plain, key)
        }

    @classmethod
    def of_content(cls, content: Mapping[str, Any]) -> Recipe:
        """What `content` gave."""
        given = content.get("augmentation")
        changes = Augmentation(**given) if given else None
        return cls(**{**content, "augmentation": changes})

    def __post_init__(self) -> None:
        problems = list(_problems(self))
        if problems:
            raise BadRecipe(" ".join(problems))


LATER = ("momentum", "nesterov", "warmup", "ema", "augmentation")
"""Settings that recipes of before did not have: models that were trained then keep their names."""


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
    if not 0 <= recipe.momentum < 1 or not 0 <= recipe.ema < 1:
        yield "Momentum and the decay of the average lie from 0 to below 1."
    if not 0 <= recipe.warmup < max(recipe.epochs, 1):
        yield f"{recipe.warmup} epochs of warm-up: fewer than the {recipe.epochs} epochs in all."
    if recipe.warmup and recipe.schedule != "cosine":
        yield f"The schedule {recipe.schedule!r} has no warm-up of its own to set: take 'cosine'."
    if recipe.augmentation is not None:
        yield from recipe.augmentation.problems()


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
    watch: Callable[[Epoch], None] | None = None,
    checkpoint: Checkpoint | None = None,
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
        watch: The same, with accuracy.
        checkpoint: Where to go on from, and what is left after each epoch; the weights in the end
            are those of a training that was never interrupted.
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
        fit = _Fit(model, recipe, checkpoint, progress, watch)
        fit.run(inputs, labels.to(device), seed)
    return model.cpu().to(memory_format=torch.contiguous_format).eval()


def _kept(inputs: Images, labels: Tensor, exclude: Sequence[int]) -> tuple[Images, Tensor]:
    if len(inputs) != len(labels):
        raise BadRecipe(f"{len(inputs)} rows have {len(labels)} labels: give one label a row.")
    kept = ~torch.isin(labels, torch.tensor(list(exclude), dtype=labels.dtype))  # (n,)
    if int(kept.sum()) < 2:
        raise BadRecipe(
            f"Without classes {list(exclude)} fewer than two rows are left: exclude fewer."
        )
    if bool(kept.all()):  # no copy of all rows
        return inputs, labels
    return inputs.index_select(0, kept.nonzero().flatten()), labels[kept]


@contextmanager
def _seeded(seed: int, device: str | torch.device | None) -> Iterator[None]:
    """Seeded random state and deterministic kernels inside, the caller's own state outside."""
    on_cuda = device is not None and torch.device(device).type == "cuda"
    flags = torch.backends.cudnn
    # global to the process: put back for whoever trains next
    before = (flags.deterministic, flags.benchmark)
    strict = torch.are_deterministic_algorithms_enabled()
    with torch.random.fork_rng(devices=[torch.device(device)] if on_cuda and device else []):
        torch.manual_seed(seed)
        flags.deterministic, flags.benchmark = True, False
        if on_cuda:  # what a GPU cannot do twice alike is warned of, and done
            torch.use_deterministic_algorithms(True, warn_only=True)
        try:
            yield
        finally:
            flags.deterministic, flags.benchmark = before
            if on_cuda:
                torch.use_deterministic_algorithms(strict)


class _Fit:
    """One training on its way: all that its last epoch has left."""

    def __init__(
        self,
        model: nn.Module,
        recipe: Recipe,
        checkpoint: Checkpoint | None,
        progress: Progress | None,
        watch: Callable[[Epoch], None] | None,
    ) -> None:
        self.model, self.recipe = model, recipe
        self.checkpoint, self.progress, self.watch = checkpoint, progress, watch
        self.optimizer = _optimizer(model, recipe)
        self.average = _floating(model) if recipe.ema else {}
        self.schedule: LRScheduler | None = None
        self.order = torch.Generator()

    def run(self, inputs: Images, labels: Tensor, seed: int) -> None:
        """All epochs that are left."""
        recipe = self.recipe
        self.order.manual_seed(seed)
        # a clone: counting must not advance the order of the rows
        steps = len(_batches(len(inputs), recipe.batch_size, self.order.clone_state()))
        self.schedule = _schedule(self.optimizer, recipe, steps)
        for epoch in range(self._resumed() + 1, recipe.epochs + 1):
            loss, right = 0.0, 0.0
            for rows in _batches(len(inputs), recipe.batch_size, self.order):
                batch = on_device(augmentation.read(inputs, rows, recipe.augmentation), labels)
                step = self._step(batch, labels[rows])
                loss, right = loss + step[0], right + step[1]
            if not loss < float("inf"):  # false for NaN as well
                raise BadRecipe(
                    f"The loss is {loss} in epoch {epoch}: lower the learning rate, check the "
                    "inputs."
                )
            if self.checkpoint is not None and epoch < recipe.epochs:
                self.checkpoint.save(partial(self._state, epoch))
            if self.progress is not None:
                self.progress(epoch, recipe.epochs, loss / steps)
            if self.watch is not None:
                share = right / len(labels)
                epochs = recipe.epochs
                done = Epoch(number=epoch, of=epochs, loss=loss / steps, accuracy=share)
                self.watch(done)
        if self.average:
            self.model.load_state_dict(self.model.state_dict() | self.average)

    def _step(self, inputs: Tensor, labels: Tensor) -> tuple[float, float]:
        """Loss of one step, and how many rows were answered right."""
        recipe = self.recipe
        batch = augmentation.mixed(inputs, labels, recipe.augmentation)
        self.optimizer.zero_grad(set_to_none=True)
        half = recipe.precision == "bfloat16"
        # the forward pass alone: a loss summed in bfloat16 would lose its last digits
        with torch.autocast(inputs.device.type, torch.bfloat16, enabled=half):
            logits = self.model(batch.images)
        smoothing = recipe.label_smoothing
        answers = logits.float()
        loss = functional.cross_entropy(answers, batch.labels, label_smoothing=smoothing)
        if batch.share < 1:
            other = functional.cross_entropy(answers, batch.others, label_smoothing=smoothing)
            loss = batch.share * loss + (1 - batch.share) * other
        loss.backward()
        self.optimizer.step()
        if self.schedule is not None:
            self.schedule.step()
        for name, value in _floating(self.model).items() if self.average else ():
            self.average[name].lerp_(value, 1 - recipe.ema)
        mixes = recipe.augmentation and (recipe.augmentation.mixup or recipe.augmentation.cutmix)
        right = float("nan") if mixes else float((logits.detach().argmax(1) == labels).sum())
        return float(loss.detach()), right

    def _state(self, epoch: int) -> dict[str, Any]:
        """All that the next epoch depends on."""
        return {
            "epoch": epoch,
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state_dict() if self.schedule else {},
            "average": self.average,
            "order": self.order.get_state(),
            "random": torch.get_rng_state(),
        }

    def _resumed(self) -> int:
        """The last epoch that is done; 0 where the training begins."""
        state = self.checkpoint.load() if self.checkpoint is not None else None
        if state is None:
            return 0
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        if self.schedule is not None:
            self.schedule.load_state_dict(state["schedule"])
        for name, value in state["average"].items():
            self.average[name].copy_(value)
        self.order.set_state(state["order"])
        torch.set_rng_state(state["random"])
        return int(state["epoch"])


def _floating(model: nn.Module) -> dict[str, Tensor]:
    """Copies of the model's floating tensors by name."""
    return {
        name: value.detach().clone()
        for name, value in model.state_dict().items()
        if value.is_floating_point()
    }


def _batches(count: int, size: int, order: torch.Generator) -> list[Tensor]:
    """Shuffled row numbers in batches; a batch of one row, which batch norm refuses, is left."""
    batches = torch.randperm(count, generator=order).split(size)
    return [rows for rows in batches if len(rows) > 1]


def _optimizer(model: nn.Module, recipe: Recipe) -> Optimizer:
    trainable = [parameter for parameter in model.parameters() if parameter.requires_grad]
    rate, decay = recipe.learning_rate, recipe.weight_decay
    if recipe.optimizer == "adamw":
        return AdamW(trainable, lr=rate, weight_decay=decay, fused=True)
    momentum, nesterov = recipe.momentum, recipe.nesterov and recipe.momentum > 0
    return SGD(trainable, lr=rate, weight_decay=decay, momentum=momentum, nesterov=nesterov)


def _schedule(optimizer: Optimizer, recipe: Recipe, steps: int) -> LRScheduler | None:
    if recipe.schedule == "constant":
        return None
    if recipe.schedule == "cosine":
        rise, whole = recipe.warmup * steps, recipe.epochs * steps
        return LambdaLR(optimizer, partial(_cosine, rise, whole))
    return OneCycleLR(optimizer, recipe.learning_rate, total_steps=recipe.epochs * steps)


def _cosine(rise: int, whole: int, step: int) -> float:
    """Share of the learning rate: up to 1 in `rise` steps, then down to 0 at the last one.

    >>> [round(_cosine(2, 6, step), 3) for step in range(6)]
    [0.5, 1.0, 1.0, 0.854, 0.5, 0.146]
    """
    if step < rise:
        return (step + 1) / rise
    return 0.5 * (1 + math.cos(math.pi * (step - rise) / max(1, whole - rise)))


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
