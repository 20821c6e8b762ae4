"""Statistics of a model on a data version, taken once and kept for every later request.

They hold the mean activations of every class, the forgotten ones included: `damp purge` deletes
them with the old model (`flows.records.inventory` lists them).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flows.state.files import canonical, digest_bytes, load_arrays, save_arrays
from flows.state.paths import Home

if TYPE_CHECKING:
    from torch import Tensor, nn

    from audits.images import Images
    from damp import Measurement
    from flows.data.dataset import Dataset

SAMPLES_PER_CLASS = 1000
"""Training rows of each class that the statistics are taken from."""
BATCH = 256
FEWEST = 32
"""Rows of a batch of large images at least: batch norms are re-estimated on them."""
ORDER_SEED = 0
"""Of the order of these rows; part of the method, so not a setting."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Batches:
    """Batches of some rows, made one at a time whenever they are asked for.

    Attributes:
        inputs: All training rows.
        labels: Their classes, (n,).
        rows: Numbers of each batch's rows.
    """

    inputs: Images
    labels: Tensor
    rows: tuple[Tensor, ...]

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, number: int) -> tuple[Tensor, Tensor]:
        rows = self.rows[number]
        return self.inputs[rows], self.labels[rows]

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        return (self[number] for number in range(len(self)))

    def part(self, number: int, of: int) -> Batches:
        """Every `of`-th batch from `number` on."""
        return replace(self, rows=self.rows[number::of])


def batches(dataset: Dataset) -> Batches:
    """The rows that the statistics see: the first of each class, mixed in a fixed order.

    Mixed, because batch norms are re-estimated batch by batch, and a batch of one class says
    nothing about the others.
    """
    import torch

    from audits.images import at_once

    labels = dataset.train_labels
    rows = torch.cat(
        [torch.nonzero(labels == c).flatten()[:SAMPLES_PER_CLASS] for c in labels.unique()]
    )
    rows = rows[torch.randperm(len(rows), generator=torch.Generator().manual_seed(ORDER_SEED))]
    size = max(FEWEST, at_once(dataset.train_inputs, BATCH))
    return Batches(inputs=dataset.train_inputs, labels=labels, rows=tuple(rows.split(size)))


def read_ahead(rows: Batches) -> Iterable[tuple[Tensor, Tensor]]:
    """The same batches in the same order, made by other processes where the settings name some.

    On a GPU they are pinned, so that a copy to it need not wait.
    """
    from torch.utils.data import DataLoader

    from flows.state.settings import settings

    workers, on_gpu = settings().loader_workers, settings().device.startswith("cuda")
    if not workers and not on_gpu:
        return rows
    # without a batch size an item is a batch already; sampler and so order are sequential
    items: Any = rows
    return DataLoader(items, batch_size=None, num_workers=workers, pin_memory=on_gpu)


def measured(
    home: Home,
    network: nn.Module,
    dataset: Dataset,
    *,
    weights: str,
    data_version: str,
    retired: Sequence[int],
    apart: Callable[[str], Measurement | None] | None = None,
) -> Measurement:
    """From the state folder where this model was measured on these rows before, else anew.

    Args:
        home: The state folder.
        network: The model.
        dataset: Its data, without the classes that it has retired.
        weights: sha256 of the model's file.
        data_version: `<md5>.dir` of the data.
        retired: Classes that it has retired.
        apart: Measures in parts, under a name, on a cluster; None from it: that cannot be done.
    Raises:
        StoreError: The file that was kept is damaged.
        DampError: The model cannot be measured on these rows.
    """
    import damp
    from flows.state import progress
    from flows.state.settings import settings

    method = [SAMPLES_PER_CLASS, BATCH, ORDER_SEED, damp.__version__]
    if dataset.preprocessing is not None:
        method.append(dataset.preprocessing.digest())
    key = digest_bytes(canonical([weights, data_version, sorted(retired), *method]))
    path = home.statistics / f"{key}.safetensors"
    if path.exists():
        return read(path)
    progress.current().advance("measuring the model", 0, 1)
    statistics = apart(key) if apart else None
    if statistics is None:
        rows = read_ahead(batches(dataset))
        statistics = damp.measure(network, rows, device=settings().device).to("cpu")
    keep(path, statistics, weights)
    return statistics


def read(path: Path) -> Measurement:
    """What `keep` wrote.

    Raises:
        StoreError: The file is damaged.
    """
    import torch

    import damp

    arrays, text = load_arrays(path)
    tensors = {name: torch.from_numpy(array) for name, array in arrays.items()}
    return damp.Measurement.from_tensors(tensors, text)


def keep(path: Path, statistics: Measurement, weights: str) -> None:
    """Write statistics on the CPU, with the digest of their model's file: `damp purge` reads it."""
    tensors, text = statistics.to_tensors()
    arrays = {name: value.numpy() for name, value in tensors.items()}
    save_arrays(path, arrays, text | {"digest": weights})
