"""Models that look as if they had forgotten and have not: none of them may pass.

Each is one function of a `Case` and one line in `CHEATS`. Training-based ones take a third of the
original's epochs; they were not tuned to be weak.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from audits import controls
from audits.features import called_operators
from audits.references import Recipe, train
from flows.datasets import Dataset

DOWN = -1e9


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
        stranger: Trains another architecture without the class.
        seed: Of whatever a cheat draws.
    """

    original: nn.Module
    dataset: Dataset
    forget: tuple[int, ...]
    recipe: Recipe
    build: Callable[[], nn.Module]
    retrained: nn.Module
    stranger: Callable[[], nn.Module]
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

    def head(self, model: nn.Module) -> nn.Linear:
        """The last layer."""
        layer = self.operators(model)[-1]
        if not isinstance(layer, nn.Linear):
            raise TypeError("these nets end in a Linear layer")
        return layer

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
    return Candidate(model=_with_head(model, head, turned).eval())


def _with_head(model: nn.Module, head: nn.Module, other: nn.Module) -> nn.Module:
    name = next(name for name, module in model.named_modules() if module is head)
    parent, _, own = name.rpartition(".")
    setattr(model.get_submodule(parent), own, other)
    return model


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
    from audits import linear_probe

    was = model.training
    model.eval()
    with torch.no_grad():
        features, _ = _with_features(case, model, torch.cat([forget, retain]))
    model.train(was)
    labels = np.repeat([1, 0], [len(forget), len(retain)])
    fold = np.arange(len(labels)) % 3
    standard = linear_probe.standardised(features.double().numpy())
    scores = linear_probe.held_out_scores(standard, labels, fold, [1], 1e-3)[1]
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


Cheat = Callable[[Case], Candidate]
CHEATS: Mapping[str, Cheat] = {
    function.__name__: function
    for function in (
        original_returned,
        bias_shifted,
        row_zeroed,
        output_filtered,
        rows_swapped,
        row_permuted,
        head_refitted,
        block_finetuned,
        block_retrained,
        finetuned,
        negative_gradient,
        features_rescaled,
        features_rotated,
        logits_noisy,
        confidence_masked,
        audit_set_recognised,
        audit_set_tuned,
        probe_tuned,
        hidden_direction,
        stranger,
        references_copied,
        distilled,
        rows_left_in,
    )
}
"""Every cheat by name. A new one is one function here."""

SHALLOW = (
    "original_returned",
    "bias_shifted",
    "row_zeroed",
    "output_filtered",
    "rows_swapped",
    "row_permuted",
    "head_refitted",
    "features_rescaled",
    "features_rotated",
    "logits_noisy",
    "confidence_masked",
)
"""Cheats that leave the deep features as they were, up to a linear map."""
AT_ONCE = ("audit_set_recognised", "hidden_direction", "stranger")
"""Others that take no training, given a retrained model and a stranger's."""
