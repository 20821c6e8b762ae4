"""The original goes on training: its head, a block, or all of it."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import nn
from torch.nn import functional

from audits import controls
from audits.references import train
from benchmarks.validity.cheats.case import Candidate, Case


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
