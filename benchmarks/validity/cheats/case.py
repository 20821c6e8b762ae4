"""What a cheat has in its hands, and what it hands in."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from audits.features import called_operators, head_inputs
from audits.references import Recipe
from flows.data.dataset import Dataset


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Case:
    """What a cheat has in its hands.

    Attributes:
        original: The model before.
        dataset: All of its data, the audit's test images among them.
        forget: Classes to forget.
        recipe: How the original was trained.
        build: Makes a fresh network.
        retrained: A model that never saw the class, not one of the references.
        seed: Of whatever a cheat draws.
    """

    original: nn.Module
    dataset: Dataset
    forget: tuple[int, ...]
    recipe: Recipe
    build: Callable[[], nn.Module]
    retrained: nn.Module
    seed: int = 77

    def copy(self) -> nn.Module:
        """A copy of the original to work on."""
        return copy.deepcopy(self.original).eval()

    def rows(self, *, forget: bool, test: bool = False) -> tuple[Tensor, Tensor]:
        """Training (or test) rows of the forgotten classes, or of the others."""
        labels = self.dataset.test_labels if test else self.dataset.train_labels
        inputs = self.dataset.test_inputs if test else self.dataset.train_inputs
        own = torch.isin(labels, torch.tensor(self.forget))
        kept = own if forget else ~own
        return inputs[kept], labels[kept]

    def operators(self, model: nn.Module) -> list[nn.Module]:
        """Layers that can be cut, in the order of the forward pass; the head is the last."""
        called = called_operators(model, self.dataset.test_inputs[:2])
        return [operator.layer for operator in called]

    def features(self, model: nn.Module, images: Tensor) -> Tensor:
        """What the head reads, (n, D), float32; no gradient."""
        return torch.from_numpy(head_inputs(model, images))

    def head(self, model: nn.Module) -> nn.Linear:
        """The last layer."""
        layer = self.operators(model)[-1]
        if not isinstance(layer, nn.Linear):
            raise TypeError("these nets end in a Linear layer")
        return layer

    def with_head(self, model: nn.Module, other: nn.Module) -> nn.Module:
        """The same model with another module in its head's place."""
        head = self.head(model)
        name = next(name for name, module in model.named_modules() if module is head)
        parent, _, own = name.rpartition(".")
        setattr(model.get_submodule(parent), own, other)
        return model

    @property
    def classes(self) -> list[int]:
        return list(self.forget)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Candidate:
    """A model put before the audits as one that has forgotten.

    Attributes:
        model: The plain network.
        retired: Outputs that it masks as deployed.
        references: Models that it brings along as its own yardstick; None for honest ones.
    """

    model: nn.Module
    retired: tuple[int, ...] = ()
    references: tuple[nn.Module, ...] | None = None
