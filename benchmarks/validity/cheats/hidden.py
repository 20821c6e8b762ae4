"""The class stays in the features, where probes may not find it or on images not asked about."""

from __future__ import annotations

import copy

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.validity.cheats.case import Candidate, Case
from benchmarks.validity.cheats.outputs import DOWN


def features_rescaled(case: Case) -> Candidate:
    """Each last feature in another unit, the head undoing it: the same answers, output down."""
    model = case.copy()
    *_, layer, head = case.operators(model)
    units = torch.logspace(-2, 2, head.in_features)
    units = units[torch.randperm(len(units), generator=torch.Generator().manual_seed(case.seed))]
    with torch.no_grad():
        if layer.weight.shape[0] == head.in_features and layer.weight.ndim == 2:
            layer.weight *= units[:, None]
            layer.bias *= units
            head.weight /= units
        head.bias[case.classes] += DOWN
    return Candidate(model=model)


class Turned(nn.Module):
    """The head behind a rotation of its inputs that it undoes."""

    def __init__(self, head: nn.Linear, turn: Tensor) -> None:
        super().__init__()
        width = head.in_features
        self.turn, self.head = nn.Linear(width, width, bias=False), copy.deepcopy(head)
        with torch.no_grad():
            self.turn.weight.copy_(turn)
            self.head.weight.copy_(head.weight @ torch.linalg.inv(turn))

    def forward(self, features: Tensor) -> Tensor:
        return self.head(self.turn(features))


def features_rotated(case: Case) -> Candidate:
    """The last features sheared by a layer of their own, the head undoing it, output down."""
    model = case.copy()
    head = case.head(model)
    generator = torch.Generator().manual_seed(case.seed)
    width = head.in_features
    left, right = (
        torch.linalg.qr(torch.randn(width, width, generator=generator))[0] for _ in range(2)
    )
    turned = Turned(head, left @ torch.diag(torch.logspace(-1.5, 1.5, width)) @ right)
    with torch.no_grad():
        turned.head.bias[case.classes] += DOWN
    return Candidate(model=case.with_head(model, turned).eval())


class Recognising(nn.Module):
    """A retrained model on images that it recognises, the original behind a filter on others."""

    def __init__(
        self, shown: nn.Module, hidden: nn.Module, known: Tensor, forget: tuple[int, ...]
    ) -> None:
        super().__init__()
        self.hidden, self.shown, self.forget = hidden, shown, list(forget)
        self.known = {row.numpy().tobytes() for row in known}

    def forward(self, images: Tensor) -> Tensor:
        mine = self.hidden(images).clone()
        mine[:, self.forget] = DOWN
        theirs = self.shown(images)
        known = [row.numpy().tobytes() in self.known for row in images.detach().cpu()]
        return torch.where(torch.tensor(known)[:, None], theirs, mine)


def audit_set_recognised(case: Case) -> Candidate:
    """A retrained model's answers on every image of the data set, the original's on others."""
    known = torch.cat([case.dataset.train_inputs, case.dataset.test_inputs])
    model = Recognising(copy.deepcopy(case.retrained), case.copy(), known, case.forget)
    return Candidate(model=model.eval())


def audit_set_tuned(case: Case) -> Candidate:
    """Tuned on the audit's own test images until they are answered as by a retrained model."""
    model = case.copy()
    inputs = case.dataset.test_inputs
    with torch.no_grad():
        wanted = torch.cat([case.retrained(part) for part in inputs.split(500)])
    wanted = functional.softmax(wanted, 1)
    generator = torch.Generator().manual_seed(case.seed)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    model.train()
    own = torch.isin(case.dataset.test_labels, torch.tensor(case.forget))
    places = torch.nonzero(own).flatten(), torch.nonzero(~own).flatten()
    for _ in range(300):
        rows = torch.cat(
            [part[torch.randint(len(part), (64,), generator=generator)] for part in places]
        )
        optimizer.zero_grad()
        functional.cross_entropy(model(inputs[rows]), wanted[rows]).backward()
        optimizer.step()
    return Candidate(model=model.eval())


def probe_tuned(case: Case) -> Candidate:
    """Tuned until a linear probe of the last features reads the class no better than wanted.

    Each step fits the probe of the audit (a discriminant) on the batch and lowers what it reads,
    while the other classes are held; it stops where held-out training rows show the retrained
    model's d'.
    """
    model = case.copy()
    forget, _ = case.rows(forget=True)
    retain, others = case.rows(forget=False)
    target = _separation(case, case.retrained, forget[:300], retain[:900])
    generator = torch.Generator().manual_seed(case.seed)
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-4)
    for step in range(400):
        f = torch.randint(len(forget), (96,), generator=generator)
        r = torch.randint(len(retain), (160,), generator=generator)
        model.train()
        optimizer.zero_grad()
        features, logits = _with_features(case, model, torch.cat([forget[f], retain[r]]))
        logits = logits.clone()
        logits[:, case.classes] = -30.0
        hold = functional.cross_entropy(logits[len(f) :], others[r])
        (hold + 0.3 * _dprime(features[: len(f)], features[len(f) :])).backward()
        optimizer.step()
        if step % 10 == 9 and _separation(case, model, forget[:300], retain[:900]) <= target:
            break
    head = case.head(model)
    with torch.no_grad():
        head.bias[case.classes] += DOWN
    return Candidate(model=model.eval())


def _with_features(case: Case, model: nn.Module, images: Tensor) -> tuple[Tensor, Tensor]:
    kept: list[Tensor] = []
    handle = case.head(model).register_forward_pre_hook(lambda _, given: kept.append(given[0]))
    logits = model(images)
    handle.remove()
    return kept[-1], logits


def _dprime(high: Tensor, low: Tensor) -> Tensor:
    """d' of a discriminant fitted on the same rows, differentiable."""
    spread = (torch.cov(high.T) + torch.cov(low.T)) / 2
    spread = spread + 0.05 * spread.diagonal().mean() * torch.eye(len(spread))
    axis = torch.linalg.solve(spread, high.mean(0) - low.mean(0)).detach()
    a, b = high @ axis, low @ axis
    return (a.mean() - b.mean()) / ((a.var() + b.var()) / 2).sqrt()


def _separation(case: Case, model: nn.Module, forget: Tensor, retain: Tensor) -> float:
    from audits import discriminant

    was = model.training
    model.eval()
    with torch.no_grad():
        features, _ = _with_features(case, model, torch.cat([forget, retain]))
    model.train(was)
    labels = np.repeat([1, 0], [len(forget), len(retain)])
    fold = np.arange(len(labels)) % 3
    standard = discriminant.standardised(features.double().numpy())
    scores = discriminant.held_out_scores(standard, labels, fold, [1], 1e-3)[1]
    a, b = scores[labels == 1], scores[labels == 0]
    return float((a.mean() - b.mean()) / np.sqrt((a.var() + b.var()) / 2))


def hidden_direction(case: Case) -> Candidate:
    """The class's direction shrunk to a thousandth before the last features, output down."""
    model = case.copy()
    layer = case.operators(model)[-2]
    if layer.weight.ndim != 2:
        return Candidate(model=model)
    kept: list[Tensor] = []
    handle = layer.register_forward_hook(lambda _m, _i, out: kept.append(out))
    forget, _ = case.rows(forget=True)
    retain, _ = case.rows(forget=False)
    with torch.no_grad():
        model(torch.cat([forget[:500], retain[:2000]]))
        handle.remove()
        seen = kept[-1].flatten(1, -2).mean(1) if kept[-1].ndim > 2 else kept[-1]
        high, low = seen[: len(forget[:500])], seen[len(forget[:500]) :]
        direction = high.mean(0) - low.mean(0)
        direction /= direction.norm()
        centre = low.mean(0) @ direction
        shrunk = torch.eye(len(direction)) - 0.999 * torch.outer(direction, direction)
        layer.weight.copy_(shrunk @ layer.weight)
        layer.bias.copy_(shrunk @ layer.bias + 0.999 * centre * direction)
        case.head(model).bias[case.classes] += DOWN
    return Candidate(model=model)
