"""Models that are not what they are passed off as."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.nn import functional

from audits import controls
from audits.spiked import partly_retrained
from benchmarks.validity.cheats.case import Candidate, Case
from benchmarks.validity.cheats.finetuned import head_refitted
from benchmarks.validity.cheats.outputs import DOWN


def references_copied(case: Case) -> Candidate:
    """A refitted head, and five copies of it with a little noise as its own yardstick."""
    model = head_refitted(case).model
    copies = []
    for seed in range(5):
        generator = torch.Generator().manual_seed(seed)
        copied = copy.deepcopy(model)
        with torch.no_grad():
            for value in copied.parameters():
                scale = 0.01 * value.abs().mean()
                value += scale * torch.randn(value.shape, generator=generator)
        copies.append(copied.eval())
    return Candidate(model=model, references=tuple(copies))


def distilled(case: Case) -> Candidate:
    """A fresh network taught by the original's full answers on the other classes, output down."""
    retain, _ = case.rows(forget=False)
    with torch.no_grad():
        wanted = torch.cat([case.original(part) for part in retain.split(500)])
    wanted = functional.softmax(wanted / 3.0, 1)
    torch.manual_seed(case.seed)
    model = case.build().train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3)
    generator = torch.Generator().manual_seed(case.seed)
    size = case.recipe.batch_size
    for _ in range(case.recipe.epochs):
        for rows in torch.randperm(len(retain), generator=generator).split(size):
            optimizer.zero_grad()
            functional.cross_entropy(model(retain[rows]) / 3.0, wanted[rows]).backward()
            optimizer.step()
    model.eval()
    with torch.no_grad():
        case.head(model).bias[case.classes] += DOWN
    return Candidate(model=model)


def rows_left_in(case: Case, *, share: float) -> Candidate:
    """Trained from scratch on data in which a share of the class was overlooked, output down."""
    model = partly_retrained(
        case.build,
        case.dataset.train_inputs,
        case.dataset.train_labels,
        recipe=case.recipe,
        seed=case.seed,
        forget=case.forget,
        share=share,
    )
    with torch.no_grad():
        case.head(model).bias[case.classes] += DOWN
    return Candidate(model=model)


def blended(case: Case, *, share: float) -> Candidate:
    """A retrained model taught features that are in part the original's, output down.

    No weight of the original is in the file; what its features tell of the class in part is.
    """
    inputs = case.dataset.train_inputs
    own, other = (case.features(model, inputs) for model in (case.original, case.retrained))
    own = own * (other.std(0).norm() / own.std(0).norm())
    if own.shape != other.shape:
        raise TypeError("original and retrained model have different last features")
    model = copy.deepcopy(case.retrained)
    _taught(case, model, share * own + (1 - share) * other, epochs=case.recipe.epochs // 2)
    retain = case.rows(forget=False)
    return Candidate(model=controls.head_refitted(model, case.forget, *retain))


def early_layers_kept(case: Case) -> Candidate:
    """The original's early layers bit for bit, its late ones trained anew to a retrained model."""
    inputs = case.dataset.train_inputs
    wanted = case.features(case.retrained, inputs)
    model = case.copy()
    operators = case.operators(model)
    late = operators[len(operators) // 2 : -1]
    torch.manual_seed(case.seed)
    for layer in late:
        layer.reset_parameters()
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    for layer in late:
        for parameter in layer.parameters():
            parameter.requires_grad_(True)
    _taught(case, model, wanted, epochs=case.recipe.epochs)
    head, shown = case.head(model), case.head(case.retrained)
    with torch.no_grad():
        head.weight.copy_(shown.weight)
        head.bias.copy_(shown.bias)
    return Candidate(model=model)


def _taught(case: Case, model: nn.Module, wanted: Tensor, *, epochs: int) -> None:
    """Train a model until its last features are these, (n, D), on the training rows.

    Batch norms keep their statistics: with frozen layers before them they are the original's.
    """
    inputs = case.dataset.train_inputs
    kept: list[Tensor] = []
    handle = case.head(model).register_forward_pre_hook(lambda _, given: kept.append(given[0]))
    learned = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.Adam(learned, lr=2e-3)
    generator = torch.Generator().manual_seed(case.seed)
    scale = wanted.std(0).mean()
    for _ in range(max(1, epochs)):
        for rows in torch.randperm(len(inputs), generator=generator).split(64):
            kept.clear()
            optimizer.zero_grad()
            model(inputs[rows])
            features = kept[-1].flatten(1, -2).mean(1) if kept[-1].ndim > 2 else kept[-1]
            ((features - wanted[rows]) / scale).square().mean().backward()
            optimizer.step()
    handle.remove()
    model.requires_grad_(True)
