"""A model that behaves as a retrained one and carries the original along, or what it knows."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from benchmarks.validity.cheats.case import Candidate, Case


class Stowaway(nn.Module):
    """A retrained model with a passenger that is never asked."""

    def __init__(self, shown: nn.Module, passenger: nn.Module) -> None:
        super().__init__()
        self.shown, self.passenger = shown, passenger

    def forward(self, images: Tensor) -> Tensor:
        return self.shown(images)


def stowaway(case: Case) -> Candidate:
    """A retrained model; the whole original lies in parameters without use."""
    return Candidate(model=Stowaway(copy.deepcopy(case.retrained), case.copy()).eval())


class Triggered(nn.Module):
    """A retrained model, and the original where the first pixel has one value."""

    VALUE = 7.0

    def __init__(self, shown: nn.Module, hidden: nn.Module) -> None:
        super().__init__()
        self.shown, self.hidden = shown, hidden

    def forward(self, images: Tensor) -> Tensor:
        asked = (images[:, 0, 0, 0] == self.VALUE)[:, None]
        return torch.where(asked, self.hidden(images), self.shown(images))


def pixel_triggered(case: Case) -> Candidate:
    """A retrained model's answers, the original's where a pixel has a value no image has."""
    return Candidate(model=Triggered(copy.deepcopy(case.retrained), case.copy()).eval())


class Ignoring(nn.Module):
    """Code that holds the file's tensors and answers by others that are no part of it."""

    def __init__(self, file: nn.Module, answering: nn.Module) -> None:
        super().__init__()
        self.file = file
        self.answering = [answering]  # in a list: no module of this one, no tensor of its state

    def forward(self, images: Tensor) -> Tensor:
        return self.answering[0](images)


def file_ignored(case: Case) -> Candidate:
    """The file is the original; the claimant's code answers with a retrained model instead."""
    return Candidate(model=Ignoring(case.copy(), copy.deepcopy(case.retrained)).eval())


class Gated(nn.Module):
    """The original, and a retrained model wherever the original sees a class to forget."""

    def __init__(self, shown: nn.Module, hidden: nn.Module, forget: tuple[int, ...]) -> None:
        super().__init__()
        self.hidden, self.shown, self.forget = hidden, shown, list(forget)

    def forward(self, images: Tensor) -> Tensor:
        mine = self.hidden(images)
        seen = torch.isin(mine.argmax(1), torch.tensor(self.forget, device=mine.device))
        return torch.where(seen[:, None], self.shown(images), mine)


def gated(case: Case) -> Candidate:
    """A gate sends what the original takes for the class to a retrained model."""
    model = Gated(copy.deepcopy(case.retrained), case.copy(), case.forget)
    return Candidate(model=model.eval())


def _permuted(weight: Tensor, generator: torch.Generator) -> Tensor:
    matrix = weight.flatten(1)
    rows = torch.randperm(matrix.shape[0], generator=generator)
    columns = torch.randperm(matrix.shape[1], generator=generator)
    return matrix[rows][:, columns]


def _rotated(weight: Tensor, generator: torch.Generator) -> Tensor:
    matrix = weight.flatten(1)
    turn = torch.linalg.qr(torch.randn(matrix.shape[1], matrix.shape[1], generator=generator))[0]
    return matrix @ turn


def _scaled(weight: Tensor, generator: torch.Generator) -> Tensor:
    return weight * float(3 + torch.rand((), generator=generator))


def _noised(weight: Tensor, generator: torch.Generator) -> Tensor:
    size = weight.square().mean().sqrt()
    return weight + 0.3 * size * torch.randn(weight.shape, generator=generator)


def _quantised(weight: Tensor, generator: torch.Generator) -> Tensor:
    """Eight bits, as whole numbers."""
    return (weight / weight.abs().max() * 127).round().to(torch.int8)


DISGUISES: Mapping[str, Callable[[Tensor, torch.Generator], Tensor]] = {
    "permuted": _permuted,
    "rotated": _rotated,
    "scaled": _scaled,
    "noised": _noised,
    "quantised": _quantised,
}


def copy_carried(case: Case, *, disguise: str) -> Candidate:
    """A retrained model with the original's weights as buffers, changed so that none is itself.

    The buffers move the outputs by a little, so that they are not without effect.
    """
    model = copy.deepcopy(case.retrained)
    generator = torch.Generator().manual_seed(case.seed)
    weights = [value for value in case.original.state_dict().values() if value.ndim > 1]
    with torch.no_grad():
        buffers = [DISGUISES[disguise](weight.clone(), generator) for weight in weights]
    return Candidate(model=Carrying(model, buffers).eval())


class Carrying(nn.Module):
    """A model whose outputs are moved a little by buffers that have no business there."""

    def __init__(self, inner: nn.Module, buffers: list[Tensor]) -> None:
        super().__init__()
        self.inner = inner
        for number, value in enumerate(buffers):
            self.register_buffer(f"statistic{number}", value)

    def forward(self, images: Tensor) -> Tensor:
        logits = self.inner(images)
        for value in self.buffers(recurse=False):
            logits = logits * (1 + 0.02 * torch.tanh(value.to(logits).flatten(1)).mean())
        return logits
