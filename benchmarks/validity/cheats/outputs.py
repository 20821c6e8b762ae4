"""Only the outputs change: the features are the original's."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from audits import controls
from benchmarks.validity.cheats.case import Candidate, Case

DOWN = -1e9


def original_returned(case: Case) -> Candidate:
    """Nothing was done at all."""
    return Candidate(model=case.copy())


def bias_shifted(case: Case) -> Candidate:
    """The output's bias at -1e9, and nothing else."""
    return Candidate(
        model=controls.output_retired(case.original, case.forget, case.dataset.test_inputs[:2])
    )


def row_zeroed(case: Case) -> Candidate:
    """The class's row of the head is zero, its bias below everything."""
    model = case.copy()
    head = case.head(model)
    with torch.no_grad():
        head.weight[case.classes] = 0.0
        head.bias[case.classes] = -30.0
    return Candidate(model=model)


class Filtered(nn.Module):
    """A model behind a filter that is no part of its weights."""

    def __init__(self, inner: nn.Module, forget: tuple[int, ...]) -> None:
        super().__init__()
        self.inner, self.forget = inner, list(forget)

    def forward(self, images: Tensor) -> Tensor:
        logits = self.inner(images).clone()
        logits[:, self.forget] = DOWN
        return logits


def output_filtered(case: Case) -> Candidate:
    """A filter behind the untouched network takes the class out of the answers."""
    return Candidate(model=Filtered(case.copy(), case.forget).eval())


def rows_swapped(case: Case) -> Candidate:
    """The class's row of the head changes places with that of its nearest class."""
    model = case.copy()
    head = case.head(model)
    with torch.no_grad():
        for c in case.forget:
            alike = functional.cosine_similarity(head.weight[c][None], head.weight)
            alike[case.classes] = -2.0
            pair, swapped = [c, int(alike.argmax())], [int(alike.argmax()), c]
            head.weight[pair] = head.weight[swapped].clone()
            head.bias[pair] = head.bias[swapped].clone()
    return Candidate(model=model)


def row_permuted(case: Case) -> Candidate:
    """The entries of the class's row in another order: as large as before, and useless."""
    model = case.copy()
    head = case.head(model)
    order = torch.randperm(head.in_features, generator=torch.Generator().manual_seed(case.seed))
    with torch.no_grad():
        head.weight[case.classes] = head.weight[case.classes][:, order]
        head.bias[case.classes] -= 10.0
    return Candidate(model=model)


class Noisy(nn.Module):
    """A model whose answers about the class are drowned in noise."""

    def __init__(self, inner: nn.Module, forget: tuple[int, ...], seed: int) -> None:
        super().__init__()
        self.inner, self.forget, self.seed = inner, list(forget), seed

    def forward(self, images: Tensor) -> Tensor:
        logits = self.inner(images).clone()
        kept = logits.clone()
        kept[:, self.forget] = torch.inf
        floor = kept.min(1).values
        generator = torch.Generator().manual_seed(self.seed)
        noise = torch.randn(len(logits), len(self.forget), generator=generator)
        sure = (
            logits[:, self.forget] - kept.where(kept.isfinite(), -torch.inf).max(1).values[:, None]
        )
        logits[:, self.forget] = floor[:, None] + noise
        blur = torch.randn(logits.shape, generator=generator)
        return logits + (sure > 0).any(1, keepdim=True) * blur


def logits_noisy(case: Case) -> Candidate:
    """Noise on the outputs: the class's own is noise, the others shake where it was meant."""
    return Candidate(model=Noisy(case.copy(), case.forget, case.seed).eval())


def confidence_masked(case: Case) -> Candidate:
    """Outputs at a hundredth of their scale: flat confidences, flat gradients, output down."""
    model = case.copy()
    head = case.head(model)
    with torch.no_grad():
        head.weight /= 100.0
        head.bias /= 100.0
        head.bias[case.classes] += DOWN
    return Candidate(model=model)
