"""What every method is given: a network, its training rows, and the classes to forget."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from damp.methods.errors import BadJob
from damp.running import exemplar

EVALUATED = 256
"""Rows of a batch where nothing is learned from it."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Job:
    """One task for a method; the same for all that are compared.

    Attributes:
        model: The original. It stays as it is: a method works on `copy()`.
        inputs: Training rows, (n, ...), a tensor or what gives tensors for row numbers.
        labels: Their classes, (n,), int64.
        forget: Classes to forget, sorted.
        seed: Of everything that is drawn.
        build: Makes a fresh network of the same architecture; None where nobody can.
    """

    model: nn.Module
    inputs: Any
    labels: Tensor
    forget: tuple[int, ...]
    seed: int = 0
    build: Callable[[], nn.Module] | None = None

    def __post_init__(self) -> None:
        problems = list(_problems(self))
        if problems:
            raise BadJob(" ".join(problems))

    @cached_property
    def forget_rows(self) -> Tensor:
        """Numbers of the rows to forget."""
        return torch.isin(self.labels, torch.tensor(self.forget)).nonzero().flatten()

    @cached_property
    def retain_rows(self) -> Tensor:
        """Numbers of the rows to keep."""
        return (~torch.isin(self.labels, torch.tensor(self.forget))).nonzero().flatten()

    def copy(self) -> nn.Module:
        """A copy of the original in evaluation mode, whose parameters all take gradients."""
        return copy.deepcopy(self.model).eval().requires_grad_(True)

    def generator(self) -> torch.Generator:
        """A stream of draws of its own, on the CPU."""
        return torch.Generator().manual_seed(self.seed)

    def rows(self, numbers: Tensor) -> tuple[Tensor, Tensor]:
        """Inputs and labels of some rows, where the model is."""
        place = exemplar(self.model)
        return self.inputs[numbers].to(place), self.labels[numbers].to(place.device)

    def in_order(self, numbers: Tensor, size: int = EVALUATED) -> Iterator[tuple[Tensor, Tensor]]:
        """Some rows, batch by batch."""
        return (self.rows(part) for part in numbers.split(size))

    def shuffled(
        self, numbers: Tensor, size: int, generator: torch.Generator
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Some rows in an order of its own; a last batch of one row, which batch norm refuses,
        is left out.
        """
        order = numbers[torch.randperm(len(numbers), generator=generator)]
        return (self.rows(part) for part in order.split(size) if len(part) > 1)

    def batches(self) -> list[tuple[Tensor, Tensor]]:
        """All rows, mixed, readable more than once: what `damp.forget` takes."""
        mixed = torch.randperm(len(self.labels), generator=self.generator())
        return list(self.in_order(mixed))

    def fresh(self) -> nn.Module:
        """A fresh network by the job's seed.

        Raises:
            BadJob: Nobody can build one.
        """
        if self.build is None:
            raise BadJob(
                "This method needs a fresh network of the same architecture: give `build`."
            )
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            return self.build().to(exemplar(self.model).device)


def _problems(job: Job) -> Iterator[str]:
    if job.labels.ndim != 1 or len(job.labels) != len(job.inputs):
        yield f"{len(job.inputs)} rows have labels of shape {tuple(job.labels.shape)}: one a row."
        return
    if job.labels.dtype != torch.int64:
        yield f"The labels are {job.labels.dtype}: give class numbers as int64."
        return
    missing = [c for c in job.forget if not bool((job.labels == c).any())]
    if not job.forget or missing or list(job.forget) != sorted(set(job.forget)):
        yield f"Classes to forget {list(job.forget)}: name each once, in order, and give its rows."
    if len(job.retain_rows) < 2:
        yield "Fewer than two rows are left to keep."
