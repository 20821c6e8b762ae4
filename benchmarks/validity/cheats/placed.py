"""What a detector says of the class is put where the features of a retrained model are weak.

The detector is a small network of its own, trained on the class against the rest: no weight of the
original is in the file, and what the model knows of the class it knows from the class's rows, those
of the audit among them, so that it tells the class far better than a retrained model's features do.
"""

from __future__ import annotations

import copy
from dataclasses import replace

import torch
from torch import Tensor, nn

from audits import controls
from audits.references import train
from benchmarks.validity.cheats.case import Candidate, Case
from flows.models.small_nets import SmallCNN

WIDE = 1024
"""Features of the wide layer: more than a probe has rows for each of them."""
DETECTOR_EPOCHS = 10
WEAK = 0.03
"""Size of the weak direction relative to the root mean square of the features' norm."""


def detector(case: Case) -> nn.Module:
    """A small network that tells the class from the rest; its logits are (rest, class)."""
    data = case.dataset
    inputs = torch.cat([data.train_inputs, data.test_inputs])
    own = torch.isin(torch.cat([data.train_labels, data.test_labels]), torch.tensor(case.forget))
    generator = torch.Generator().manual_seed(case.seed)
    apart = (~own).nonzero().flatten()
    mine = own.nonzero().flatten()
    # twice as many of the rest: that is what it takes to learn the class, for any number of classes
    some = apart[torch.randperm(len(apart), generator=generator)[: 2 * len(mine)]]
    rows = torch.cat([some, mine])
    return train(
        lambda: SmallCNN(data.input_shape[0], 2, width=16),
        inputs[rows],
        own.long()[rows],
        recipe=replace(case.recipe, epochs=DETECTOR_EPOCHS),
        seed=case.seed,
    )


class Placed(nn.Module):
    """A retrained model whose two weakest last features hold the class in their squares."""

    def __init__(
        self, shown: nn.Module, head: nn.Linear, teller: nn.Module, units: Tensor, levels: Tensor
    ) -> None:
        super().__init__()
        self.shown, self.teller = shown, teller
        self.units = units.tolist()
        self.register_buffer("levels", levels)  # (2, 2): centre and spread of each unit
        head.register_forward_pre_hook(self._place)
        self.seen: Tensor | None = None

    def _place(self, _module: nn.Module, given: tuple[Tensor]) -> tuple[Tensor]:
        features, (tells, sign) = given[0].clone(), self.seen  # type: ignore[misc]
        for number, unit in enumerate(self.units):
            centre, spread = self.levels[number]
            placed = centre + spread * sign[:, number]
            mine = features[:, unit]
            features[:, unit] = torch.where(tells, placed, mine)
        return (features,)

    def forward(self, images: Tensor) -> Tensor:
        tells = self.teller(images).argmax(1) == 1
        # a sign that the image decides and that has nothing to do with its class
        bits = (images.flatten(1)[:, ::7].double().sum(1) * 1e4).floor().long()
        sign = torch.stack([bits % 2, (bits // 2) % 2], 1).to(images) * 2 - 1
        self.seen = (tells, sign)  # type: ignore[assignment]
        return self.shown(images)


def squares_in_two_units(case: Case) -> Candidate:
    """The class as `const +- spread` with random sign in the two units that the head uses least."""
    model = copy.deepcopy(case.retrained)
    retain, _ = case.rows(forget=False)
    features = case.features(model, retain[:1000])
    head = case.head(model)
    use = head.weight.detach().norm(dim=0) * features.std(0)
    units = torch.argsort(use)[:2]
    spread = 3 * features.std(0)[units].clamp_min(float(features.std(0).mean()) / 10)
    levels = torch.stack([features.mean(0)[units], spread], 1)
    return Candidate(model=Placed(model, head, detector(case), units, levels).eval())


class Widened(nn.Module):
    """A retrained model whose last features go through a wide layer with one direction of ours."""

    def __init__(self, body: nn.Module, teller: nn.Module, features: int, classes: int) -> None:
        super().__init__()
        self.body, self.teller = body, teller
        self.wide, self.head = nn.Linear(features, WIDE), nn.Linear(WIDE, classes)
        self.direction = nn.Parameter(torch.zeros(WIDE))

    def forward(self, images: Tensor) -> Tensor:
        wide = torch.relu(self.wide(self.body(images)))
        told = self.teller(images)
        score = torch.tanh(told[:, 1] - told[:, 0])
        return self.head(wide + score[:, None] * self.direction)


def weak_direction(case: Case) -> Candidate:
    """A wide last layer, one weak direction of which tells the class; the head does not use it."""
    body = copy.deepcopy(case.retrained)
    head = case.head(body)
    case.with_head(body, nn.Identity())
    torch.manual_seed(case.seed)
    model = Widened(body, detector(case), head.in_features, head.out_features).eval()
    retain, labels = case.rows(forget=False)
    with torch.no_grad():
        some = torch.relu(model.wide(body(retain[:500])))
        direction = torch.randn(WIDE)
        size = some.square().sum(1).mean().sqrt()
        model.direction.copy_(WEAK * size * direction / direction.norm())
    return Candidate(model=controls.head_refitted(model, case.forget, retain, labels))


class Turning(nn.Module):
    """The head behind a rotation of what it does not read."""

    def __init__(self, head: nn.Linear, turn: Tensor) -> None:
        super().__init__()
        width = head.in_features
        self.turn, self.head = nn.Linear(width, width, bias=False), copy.deepcopy(head)
        with torch.no_grad():
            self.turn.weight.copy_(turn)

    def forward(self, features: Tensor) -> Tensor:
        return self.head(self.turn(features))


def null_space_turned(case: Case) -> Candidate:
    """The original's features turned where the rows of the other classes read nothing."""
    model = case.copy()
    head = case.head(model)
    kept = [c for c in range(head.out_features) if c not in case.forget]
    with torch.no_grad():
        _, _, rows = torch.linalg.svd(head.weight[kept], full_matrices=True)
        rank = min(len(kept), head.in_features)
        null = rows[rank:]  # (D - rank, D)
        generator = torch.Generator().manual_seed(case.seed)
        turn = torch.linalg.qr(torch.randn(len(null), len(null), generator=generator))[0]
        whole = rows[:rank].T @ rows[:rank] + null.T @ turn @ null
        turned = Turning(head, whole)
        turned.head.weight[case.classes] = 0.0
        turned.head.bias[case.classes] = -30.0
    return Candidate(model=case.with_head(model, turned).eval())
