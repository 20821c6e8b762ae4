"""A classification data set, in memory or on disk, and how a request names one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from flows.state.facts import DataSpec

if TYPE_CHECKING:
    from torch import Tensor

    from audits.images import Images
    from compliance.documents.preprocessing import Preprocessing

__all__ = ["DataSpec", "Dataset", "LeftOut"]


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftOut:
    """Files beside the images that were not read, and why not."""

    reason: str
    count: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Dataset:
    """A classification data set, as a model sees it.

    Attributes:
        name: As it was asked for.
        train_inputs: (n, channels, height, width), float32; a tensor, or a view of stored images.
        train_labels: (n,), int64, from 0 to classes - 1.
        test_inputs: (m, channels, height, width), float32; held out from training.
        test_labels: (m,), int64.
        classes: Outputs of a classifier for it.
        description: One line on where it comes from.
        files: The files behind it where it lies on disk as single images: (relative path, part,
            label), else None.
        folder: Where those files lie.
        packed: Whether they lie in files that hold many; relative paths are places there.
        left_out: Files there that were not read.
        class_names: Folders of the classes by index, for `damp classes` alone: a name may be
            personal data, so neither a record nor a message has it.
        preprocessing: What was done to the images, None where nothing was.
        unprocessed: The data set before that, where its rows are arrays: versions and commitments
            are of those. None where it is the data set itself.
    """

    name: str
    train_inputs: Images
    train_labels: Tensor
    test_inputs: Images
    test_labels: Tensor
    classes: int
    description: str
    files: tuple[tuple[str, str, int], ...] | None = None
    folder: Path | None = None
    packed: bool = False
    left_out: tuple[LeftOut, ...] = ()
    class_names: tuple[str, ...] | None = field(default=None, repr=False)
    preprocessing: Preprocessing | None = None
    unprocessed: Dataset | None = None

    @property
    def input_shape(self) -> tuple[int, ...]:
        return tuple(self.test_inputs.shape[1:])

    def without(self, classes: Sequence[int]) -> Dataset:
        """The same data set less all rows of some classes; the numbering stays."""
        if not classes:
            return self
        import torch

        from flows.data.view import chosen

        gone = torch.tensor(list(classes))
        train, test = ~torch.isin(self.train_labels, gone), ~torch.isin(self.test_labels, gone)
        return replace(
            self,
            train_inputs=chosen(self.train_inputs, train),
            train_labels=self.train_labels[train],
            test_inputs=chosen(self.test_inputs, test),
            test_labels=self.test_labels[test],
            unprocessed=self.unprocessed.without(classes) if self.unprocessed else None,
        )

    def rows(self) -> Dataset:
        """The data set whose rows versions and commitments are of: before any preprocessing."""
        return self.unprocessed or self
