"""A renewed top: from one layer on a model starts afresh, and learns from the rows to keep alone.

Below that layer the weights stay; batch norms there are re-estimated on rows to keep. Above it all
operators are drawn anew, from where the model's recipe starts, and are trained by that recipe on
what the part below makes of the rows to keep. No row to forget gives a gradient anywhere: such rows
are taken out before the first feature is computed. docs/method.md says which rules were chosen how.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import TYPE_CHECKING, Any

from flows.state.errors import ModelError

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from audits.images import Images
    from audits.references import Recipe
    from damp.waist import Waist
    from flows.data.dataset import Dataset

Build = Callable[[], "nn.Module"]
"""Makes the network as its recipe starts it."""

SETTLED = 0.97
"""Share of the training rows to keep that a model answers right, from which on its recipe counts as
one that has settled long before it ends: a third of it is enough, and begins a layer earlier."""
SHARE = 1 / 3
"""Of the recipe's epochs, for the fresh part of a network without skips, its recipe settled."""
SHARE_UNSETTLED = 1 / 2
"""The same where it has not."""
MOST_UNSETTLED = 0.5
"""Share of a training step above the first fresh layer of a network without skips, where the recipe
has not settled: what is drawn anew there wants many epochs, so that the layers below are kept."""
SHARE_WITH_SKIPS = 1.0
"""Of the recipe's epochs where skips run above the first fresh layer: short trainings lose accuracy
there."""
SHARE_WITH_SKIPS_UNSETTLED = 5 / 8
"""The same where the recipe has not settled: on features that are learnt already a whole recipe
goes further than it went for the model, and away from where retrained models stand."""
MOST_OPERATIONS = 0.75
"""Share of a training step above the first fresh layer, where skips run: the last two thirds."""
FEWEST_OPERATORS = 3
"""Operators of a network, of which the first stays: two of them have to be fresh."""
IN_MEMORY = 1 << 30
"""Bytes of kept features that lie in memory; more lie in a file that is mapped into it."""
BATCH = 256
"""Rows whose features are computed at once."""
COUNTED = 64
"""Rows over which the operations of a training step are counted."""
HINT = "Ask for a preset of the surgery, or for `retrain`."


@dataclass(frozen=True, slots=True, kw_only=True)
class Training:
    """One training of fresh operators.

    Attributes:
        start: The first fresh layer.
        operators: All fresh ones.
        epochs: Over the rows to keep.
        operations: Multiply-adds, the features below included.
    """

    start: str
    operators: tuple[str, ...]
    epochs: int
    operations: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """What was done, and what it cost.

    Attributes:
        trainings: In their order; the later ones start where the earlier have ended.
        skips: Whether a skip runs above the first fresh layer.
        recalibrated: Batch norms below that were re-estimated.
        seed: Of fresh weights and of the order of rows.
        rows: To keep, that were trained on.
        augmentation: How training images are changed; recipes change none so far.
        operations: Multiply-adds of everything.
        retraining: Those of training the whole model by its recipe.
        accuracy: On training rows to keep, before and after: a recipe that does not reach the
            model's accuracy shows here, and the audits judge it on held-out rows.
    """

    trainings: tuple[Training, ...]
    skips: bool
    recalibrated: tuple[str, ...]
    seed: int
    rows: int
    augmentation: str
    operations: int
    retraining: int
    accuracy: tuple[float, float]

    @property
    def share(self) -> float:
        """Of the operations of a full retraining."""
        return self.operations / self.retraining

    def to_json(self) -> dict[str, Any]:
        return asdict(self) | {"share": round(self.share, 4)}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Renewed:
    """A network with a fresh top, and what was done."""

    network: nn.Module
    record: Record


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Start:
    """From where on a network starts afresh.

    Attributes:
        waist: The first fresh layer.
        last: From where on it starts afresh a second time; None where once is all.
        share: Of the recipe's epochs.
        skips: Whether a skip runs above the waist.
    """

    waist: Waist
    last: Waist | None
    share: float
    skips: bool


def start_of(network: nn.Module, inputs: Tensor, *, settled: bool = True) -> Start:
    """From where on a network would start afresh.

    Without skips: from its second operator on, for a third of the recipe; where the recipe has not
    settled, from the first layer on above which at most half of a training step's operations lie,
    for half of the recipe. Then the layer before the head and the head once more, on the features
    that came of it. With skips: from the first layer on above which at most three quarters of a
    training step's operations lie, for all of the recipe, or five eighths where it has not settled.

    Args:
        network: Stays as it is.
        inputs: A few images, (B, ...).
        settled: Whether the model answers `SETTLED` of its training rows to keep.
    Raises:
        ModelError: By these rules it has no such place; the message says which is missing.
    """
    from damp.operators import find
    from damp.waist import waists

    places = waists(network, inputs)
    operators = [operator.name for operator in find(network)[0]]
    if len(operators) < FEWEST_OPERATORS:
        raise ModelError(
            f"The model has {len(operators)} layers that mix features: above the first there is "
            f"nothing but the head to start afresh. {HINT}"
        )
    above = [waist for waist in places if len(waist.operators) < len(operators)]
    if not above:
        raise ModelError(
            "The model has no layer through which all of an image must pass, so that no part of it "
            f"can be trained by itself (or a weight is shared between both parts). {HINT}"
        )
    if len(above) == len(above[0].operators) == len(operators) - 1:
        if settled:
            return Start(waist=above[0], last=above[-2], share=SHARE, skips=False)
        late = _first_below(network, above, inputs, MOST_UNSETTLED) or above[0]
        last = above[-2] if len(late.operators) > len(above[-2].operators) else None
        return Start(waist=late, last=last, share=SHARE_UNSETTLED, skips=False)
    waist = _first_below(network, above, inputs, MOST_OPERATIONS)
    if waist is not None:
        share = SHARE_WITH_SKIPS if settled else SHARE_WITH_SKIPS_UNSETTLED
        return Start(waist=waist, last=None, share=share, skips=True)
    raise ModelError(
        f"Above every layer but the head lie more than {MOST_OPERATIONS:.0%} of the operations: a "
        f"renewed top would cost about what retraining costs. {HINT}"
    )


def renew(
    network: nn.Module,
    dataset: Dataset,
    forget: Sequence[int],
    *,
    build: Build,
    recipe: Recipe,
    seed: int,
    folder: Path,
    device: str | torch.device | None = None,
) -> Renewed:
    """A copy of a network whose top started afresh and never saw the classes to forget.

    On a CPU the same arguments give the same weights.

    Args:
        network: Stays as it is.
        dataset: What it was trained on, without classes that it has retired.
        forget: Classes.
        build: Makes the network as its recipe starts it.
        recipe: How it was trained.
        seed: Must be no seed of a reference: the same draw would make the two alike.
        folder: Where features lie that memory has no room for; nothing stays in it.
        device: Where to train.
    Raises:
        ModelError: The network has no place from which it could start afresh.
        BadRecipe: Fewer than two rows are left, or the training diverges.
    """
    from damp import multiply_adds

    inputs, labels = rows_to_keep(dataset, forget)
    # features cannot be flipped or mixed as images are: the top is trained on them as they are
    recipe = replace(recipe, augmentation=None)
    reached = _accuracy(network, inputs, labels)
    start = start_of(network, inputs[:COUNTED], settled=reached >= SETTLED)
    below, norms = _below(network, dataset, forget)
    recalibrated = tuple(name for name in norms if name not in start.waist.layers)
    # the pass by which it was seen whether the recipe has settled, and that of the batch norms
    counted = multiply_adds.forward(network, inputs[:1]) * len(labels)
    counted += _recalibration(below, dataset) if recalibrated else 0
    trainings = []
    current = below
    for number, (waist, schedule) in enumerate(_schedule(start, recipe)):
        current, training = _fresh(
            current,
            waist,
            inputs,
            labels,
            build=build,
            recipe=schedule,
            seed=seed + number * SECOND_DRAW,
            folder=folder,
            device=device,
        )
        trainings.append(training)
    record = Record(
        trainings=tuple(trainings),
        skips=start.skips,
        recalibrated=recalibrated,
        seed=seed,
        rows=len(labels),
        augmentation="none",
        operations=counted + sum(training.operations for training in trainings),
        retraining=retraining_operations(build, inputs, labels, recipe),
        accuracy=(reached, _accuracy(current, inputs, labels)),
    )
    return Renewed(network=current, record=record)


FIRST_SEED = 3000
"""Seeds of renewed tops start here, so that none is that of a reference or of a base model."""
SECOND_DRAW = 1_000_000
"""Added to the seed where the last layers start afresh once more, so that they are other draws."""


def rows_to_keep(dataset: Dataset, forget: Sequence[int]) -> tuple[Images, Tensor]:
    """Training rows of the classes that stay, and their classes: all that a renewed top sees."""
    import torch

    from flows.data.view import chosen

    kept = ~torch.isin(dataset.train_labels, torch.tensor(list(forget)))  # (n,)
    return chosen(dataset.train_inputs, kept), dataset.train_labels[kept]


def retraining_operations(build: Build, inputs: Images, labels: Tensor, recipe: Recipe) -> int:
    """Multiply-adds of training a whole network on these rows by its recipe."""
    import torch

    from damp import multiply_adds

    with torch.random.fork_rng(devices=[]):  # drawing a network is no business of the caller's
        network = build().requires_grad_(True)
    rows = min(COUNTED, len(labels))
    step = multiply_adds.training_step(network, inputs[:rows], labels[:rows])
    return step * len(labels) * recipe.epochs // rows


def _schedule(start: Start, recipe: Recipe) -> Iterator[tuple[Waist, Recipe]]:
    """The trainings, each with its part of the recipe."""
    yield start.waist, replace(recipe, epochs=max(1, math.ceil(start.share * recipe.epochs)))
    if start.last is not None:
        yield start.last, replace(recipe, batch_size=2 * recipe.batch_size)


def _below(
    network: nn.Module, dataset: Dataset, forget: Sequence[int]
) -> tuple[nn.Module, tuple[str, ...]]:
    """A copy whose batch norms are re-estimated on rows to keep, and their names."""
    from damp import aftercare
    from flows.models import statistics_cache

    copied = copy.deepcopy(network)
    return copied, aftercare.recalibrate(copied, statistics_cache.batches(dataset), forget)


def _recalibration(network: nn.Module, dataset: Dataset) -> int:
    """Multiply-adds of one pass over the rows on which batch norms are re-estimated."""
    from damp import multiply_adds
    from flows.models import statistics_cache

    sizes = map(len, statistics_cache.batches(dataset).rows)
    return multiply_adds.forward(network, dataset.train_inputs[:1]) * sum(sizes)


def _fresh(
    below: nn.Module,
    waist: Waist,
    inputs: Images,
    labels: Tensor,
    *,
    build: Build,
    recipe: Recipe,
    seed: int,
    folder: Path,
    device: str | torch.device | None,
) -> tuple[nn.Module, Training]:
    """The network with all above a waist drawn anew and trained, and what that cost."""
    from audits.references import train
    from damp import multiply_adds
    from damp.waist import Top, features

    def drawn() -> nn.Module:
        return Top(_with_below(build(), below, waist), waist, inputs[:1])

    with _features(below, waist, inputs, folder) as kept:
        top = train(drawn, kept, labels, recipe=recipe, seed=seed, device=device)
        rows = min(COUNTED, len(labels))
        step = multiply_adds.training_step(top, kept[:rows], labels[:rows])
    read = multiply_adds.counted(lambda: features(below, waist.name, inputs[:1]))
    network: nn.Module = top.get_submodule("model")
    network.requires_grad_(True)
    training = Training(
        start=waist.name,
        operators=waist.operators,
        epochs=recipe.epochs,
        operations=read * len(labels) + step * len(labels) * recipe.epochs // rows,
    )
    return network.eval(), training


def _with_below(fresh: nn.Module, below: nn.Module, waist: Waist) -> nn.Module:
    """A fresh network that has another's weights below a waist."""
    import torch

    from damp.operators import add_missing_biases

    layers = set(waist.layers)
    kept = {
        name: value
        for name, value in below.state_dict().items()
        if name not in waist.parameters and name.rpartition(".")[0] not in layers
    }
    add_missing_biases(fresh, kept)  # an earlier edit may have given a layer below one
    with torch.no_grad():
        fresh.load_state_dict(fresh.state_dict() | kept)
    return fresh


@contextmanager
def _features(network: nn.Module, waist: Waist, inputs: Images, folder: Path) -> Iterator[Tensor]:
    """What the part below a waist makes of the rows, (n, ...), in memory or in a mapped file."""
    from damp.waist import features

    first = features(network, waist.name, inputs[:1])
    size = len(inputs) * first.numel()
    with _room(size, first.dtype, folder) as flat:
        kept = flat.view(len(inputs), *first.shape[1:])
        for begin in range(0, len(inputs), BATCH):
            rows = inputs[begin : begin + BATCH]
            kept[begin : begin + len(rows)] = features(network, waist.name, rows)
        yield kept


@contextmanager
def _room(size: int, dtype: torch.dtype, folder: Path) -> Iterator[Tensor]:
    """So many numbers, (size,): in memory, or where there is no room in a file that then goes."""
    import torch

    if size * dtype.itemsize <= IN_MEMORY:
        yield torch.empty(size, dtype=dtype)
        return
    with NamedTemporaryFile(dir=folder, prefix="features-") as file:
        yield torch.from_file(file.name, shared=True, size=size, dtype=dtype)


def _first_below(
    network: nn.Module, waists: Sequence[Waist], inputs: Tensor, most: float
) -> Waist | None:
    """The first of some waists above which at most a share of a training step lies, more than the
    head among it."""
    for waist in waists:
        if len(waist.operators) > 1 and _step_share(network, waist, inputs) <= most:
            return waist
    return None


def _step_share(network: nn.Module, waist: Waist, inputs: Tensor) -> float:
    """Of a training step's operations, those above a waist."""
    import torch

    from damp import multiply_adds
    from damp.waist import Top, features

    rows = inputs[:COUNTED]
    labels = torch.zeros(len(rows), dtype=torch.int64)
    whole = copy.deepcopy(network).requires_grad_(True)
    all_of_it = multiply_adds.training_step(whole, rows, labels)
    top = Top(whole, waist, rows[:1])
    return multiply_adds.training_step(top, features(whole, waist.name, rows), labels) / all_of_it


def _accuracy(network: nn.Module, inputs: Images, labels: Tensor) -> float:
    """Share of rows that are answered right."""
    import torch

    from damp.outputs import logits_of
    from damp.running import evaluating

    right = 0
    with evaluating(network), torch.no_grad():
        for rows, own in zip(inputs.split(BATCH), labels.split(BATCH), strict=True):
            right += int((logits_of(network(rows), len(rows)).argmax(1) == own).sum())
    return round(right / len(labels), 6)
