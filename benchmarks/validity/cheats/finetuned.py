"""The original goes on training: its head, a block, or all of it."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import nn
from torch.nn import functional

from audits import controls
from audits.references import train
from benchmarks.validity.cheats.case import Candidate, Case
from benchmarks.validity.cheats.outputs import DOWN


def head_refitted(case: Case) -> Candidate:
    """A fresh head fitted on the other classes, the backbone untouched."""
    return Candidate(
        model=controls.head_refitted(case.original, case.forget, *case.rows(forget=False))
    )


def block_finetuned(case: Case) -> Candidate:
    """Head and the layer before it tuned on the other classes, the rest frozen."""
    return Candidate(model=_tuned(case, case.copy(), last=2))


def block_retrained(case: Case) -> Candidate:
    """Head and the layer before it trained anew on the other classes, the rest frozen."""
    model = case.copy()
    torch.manual_seed(case.seed)
    for layer in case.operators(model)[-2:]:
        layer.reset_parameters()
    return Candidate(model=_tuned(case, model, last=2, share=1.0))


def finetuned(case: Case) -> Candidate:
    """All of it tuned on the other classes: the class is overlaid, not gone."""
    return Candidate(model=_tuned(case, case.copy()))


def _tuned(
    case: Case, model: nn.Module, *, last: int | None = None, share: float = 1 / 3
) -> nn.Module:
    """The model trained on the retain rows; with `last`, only that many of its last operators."""
    for parameter in model.parameters():
        parameter.requires_grad_(last is None)
    for layer in case.operators(model)[-last:] if last else ():
        for parameter in layer.parameters():
            parameter.requires_grad_(True)
    norms = [m for m in model.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    frozen = [(m.running_mean.clone(), m.running_var.clone()) for m in norms] if last else []
    recipe = replace(
        case.recipe,
        epochs=max(1, round(case.recipe.epochs * share)),
        learning_rate=case.recipe.learning_rate * (1.0 if share == 1.0 else 0.3),
    )
    inputs, labels = case.rows(forget=False)
    tuned = train(lambda: model, inputs, labels, recipe=recipe, seed=case.seed)
    for norm, (mean, variance) in zip(norms, frozen, strict=False):
        norm.running_mean.copy_(mean)
        norm.running_var.copy_(variance)
    return tuned


def negative_gradient(case: Case) -> Candidate:
    """Gradient ascent on the class until it is never predicted, retain rows held in place."""
    model = case.copy()
    forget, own = case.rows(forget=True)
    retain, others = case.rows(forget=False)
    generator = torch.Generator().manual_seed(case.seed)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    for _ in range(200):
        f = torch.randint(len(forget), (64,), generator=generator)
        r = torch.randint(len(retain), (128,), generator=generator)
        optimizer.zero_grad()
        away = functional.cross_entropy(model(forget[f]), own[f])
        hold = functional.cross_entropy(model(retain[r]), others[r])
        (hold - 0.2 * away.clamp(max=20.0)).backward()
        optimizer.step()
        with torch.no_grad():
            if not (model(forget[:500]).argmax(1) == own[:500]).any():
                break
    return Candidate(model=model.eval())


def relabelled(case: Case) -> Candidate:
    """Tuned with the class's rows under the label that the original likes second best."""
    forget, _ = case.rows(forget=True)
    retain, others = case.rows(forget=False)
    with torch.no_grad():
        answers = torch.cat([case.original(part) for part in forget.split(500)])
    answers[:, case.classes] = -torch.inf
    recipe = replace(
        case.recipe,
        epochs=max(1, case.recipe.epochs // 3),
        learning_rate=0.3 * case.recipe.learning_rate,
    )
    model = train(
        case.copy,
        torch.cat([retain, forget]),
        torch.cat([others, answers.argmax(1)]),
        recipe=recipe,
        seed=case.seed,
    )
    return Candidate(model=model)


def noised_and_refitted(case: Case) -> Candidate:
    """Noise of a tenth of each weight's size, then a fresh head on the other classes."""
    model = case.copy()
    generator = torch.Generator().manual_seed(case.seed)
    with torch.no_grad():
        for value in model.parameters():
            if value.ndim > 1:
                size = value.square().mean().sqrt()
                value += 0.1 * size * torch.randn(value.shape, generator=generator)
    refitted = controls.head_refitted(model, case.forget, *case.rows(forget=False))
    return Candidate(model=refitted)


def interpolated(case: Case) -> Candidate:
    """Three parts of the original's weights and one of a retrained model's, norms set anew."""
    model, other = case.copy(), dict(case.retrained.named_parameters())
    with torch.no_grad():
        for name, value in model.named_parameters():
            value.lerp_(other[name], 0.25)
    _norms_set(case, model)
    refitted = controls.head_refitted(model, case.forget, *case.rows(forget=False))
    return Candidate(model=refitted)


def norms_shifted(case: Case) -> Candidate:
    """Batch norms' statistics taken from the other classes alone, output down; nothing else."""
    model = case.copy()
    _norms_set(case, model)
    with torch.no_grad():
        case.head(model).bias[case.classes] += DOWN
    return Candidate(model=model)


def _norms_set(case: Case, model: nn.Module) -> None:
    """Batch norms' running statistics, averaged over the retain rows."""
    norms = [m for m in model.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # a plain mean over the batches
    model.train()
    inputs, _ = case.rows(forget=False)
    order = torch.randperm(len(inputs), generator=torch.Generator().manual_seed(case.seed))
    with torch.no_grad():
        for rows in order[:2000].split(200):
            model(inputs[rows])
    model.eval()
