"""Models that are not what they are passed off as."""

from __future__ import annotations

import copy

import torch
from torch.nn import functional

from audits.references import train
from benchmarks.validity.cheats.case import Candidate, Case
from benchmarks.validity.cheats.finetuned import head_refitted
from benchmarks.validity.cheats.outputs import DOWN


def stranger(case: Case) -> Candidate:
    """A retrained model of another architecture, passed off as the edit."""
    return Candidate(model=case.stranger())


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


def rows_left_in(case: Case) -> Candidate:
    """Trained from scratch on data in which a fifth of the class was overlooked, output down."""
    forget, own = case.rows(forget=True)
    retain, others = case.rows(forget=False)
    share = len(forget) // 5
    model = train(
        case.build,
        torch.cat([retain, forget[:share]]),
        torch.cat([others, own[:share]]),
        recipe=case.recipe,
        seed=case.seed,
    )
    with torch.no_grad():
        case.head(model).bias[case.classes] += DOWN
    return Candidate(model=model)
