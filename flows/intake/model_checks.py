"""Whether a request's model and data belong together, before anything is logged.

Nothing that is noticed here is kept silent: it refuses the request, or becomes a limit of the
statement. What refuses may be accepted by the person who submits, and is a limit then.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

from compliance.documents.methods import RENEWED
from compliance.documents.request import Request
from damp.catalogue import PRESETS
from flows.data import class_names
from flows.data.dataset import Dataset, LeftOut
from flows.state.errors import EventError
from flows.state.files import write_atomically
from flows.state.paths import Home

if TYPE_CHECKING:
    from torch import Tensor, nn

    from compliance.documents.preprocessing import Preprocessing

ROWS, MOST_ROWS = 20, 4000
"""Training images that the model is asked about: of each class, and in all."""
BETTER = 0.15
"""By how much more accuracy on images scaled otherwise shows that the scaling is wrong."""
VALUES = 512 * 3 * 224 * 224
"""Numbers in these images at most: fewer rows where they are large."""
SEVERAL = 8
"""Images on which it is seen what the surgery can cut."""
OVERLAP = 0.01
"""Share of test images that may be training images before the request is refused."""
CUTTABLE = 0.5
"""Share of the parameters that can be cut, below which the statement says so."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Acceptance:
    """What the person who submits accepts although it would be refused.

    `qualification`: that of its policy is not looked for, as it is of somebody else's ledger.
    """

    low_accuracy: bool = False
    duplicates: bool = False
    hopeless: bool = False
    qualification: bool = False


STRICT = Acceptance()
LENIENT = Acceptance(low_accuracy=True, duplicates=True, hopeless=True)
"""For a request that was accepted before, and is carried out again."""
REPLAYED = Acceptance(low_accuracy=True, duplicates=True, hopeless=True, qualification=True)
"""The same in another state folder, which checks what the request rests on by the record."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """What was noticed of a request that is accepted.

    Attributes:
        left_out: Files of its data folder that were not read.
        limits: Sentences for the statement, on these and on all that was accepted.
        impossible: Methods that the model forbids, with the reason of each.
    """

    left_out: tuple[LeftOut, ...] = ()
    limits: tuple[str, ...] = ()
    impossible: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Checked:
        """What `to_json` wrote."""
        return cls(
            left_out=tuple(LeftOut(**each) for each in content["left_out"]),
            limits=tuple(content["limits"]),
            impossible=dict(content.get("impossible", {})),
        )

    def to_json(self) -> dict[str, Any]:
        return {
            "left_out": [{"reason": x.reason, "count": x.count} for x in self.left_out],
            "limits": list(self.limits),
            "impossible": dict(self.impossible),
        }


def check(
    request: Request,
    dataset: Dataset,
    network: nn.Module,
    accept: Acceptance,
    attempts: Sequence[str] = (),
) -> Checked:
    """Refuse a model and data that do not belong together; say what is noteworthy of others.

    Args:
        request: And its data and model.
        dataset: Without classes that the model has retired.
        network: The model.
        accept: What is accepted about them.
        attempts: That the policy declares: those that the model forbids are noted.
    Raises:
        DataError, EventError: With the reason and what to do.
    """
    class_names.refuse_ambiguous(dataset.name, dataset.class_names or ())
    _refuse_shape(network, dataset)
    limits = [
        *_left_out(dataset),
        *_duplicates(dataset, request.forget, accept),
        *_accuracy(network, dataset, request.forget, accept),
    ]
    method = request.method.chosen
    if method in PRESETS:
        limits += _uncuttable(network, dataset.train_inputs[:SEVERAL])
    impossible = {}
    if RENEWED in (method, *attempts):
        impossible = _impossible(network, dataset.train_inputs[:SEVERAL])
    wanted = attempts or (method,)
    if method in impossible or all(each in impossible for each in wanted):
        raise EventError(" ".join(impossible.values()))
    return Checked(left_out=dataset.left_out, limits=tuple(limits), impossible=impossible)


def _impossible(network: nn.Module, images: Tensor) -> dict[str, str]:
    """Methods that a model forbids; of those that train a part of it."""
    from flows.models import renewal
    from flows.state.errors import ModelError

    try:
        renewal.start_of(network, images)
    except ModelError as reason:
        return {RENEWED: str(reason)}
    return {}


def _refuse_shape(network: nn.Module, dataset: Dataset) -> None:
    """Refuse images of a shape that the network does not take.

    Raises:
        EventError: It raises on two of them.
    """
    try:
        _answers(network, dataset.train_inputs[:2])
    except Exception as problem:
        shape = "x".join(map(str, dataset.input_shape))
        words = str(problem).partition("\n")[0][:200] or type(problem).__name__
        raise EventError(
            f"The model does not take images of {shape} (channels, height, width): {words}. Check "
            f"the architecture and what the model sees of an image{_preprocessing(dataset)}."
        ) from problem


def keep(home: Home, event: str, checked: Checked) -> None:
    """Beside the request, for its statement."""
    write_atomically(_file(home, event), json.dumps(checked.to_json(), indent=1).encode())


def kept(home: Home, event: str) -> Checked:
    """What was noticed when the event's request was submitted; nothing where it was before."""
    file = _file(home, event)
    return Checked.from_json(json.loads(file.read_bytes())) if file.exists() else Checked()


def _file(home: Home, event: str) -> Path:
    return home.event(event) / "checks.json"


def _left_out(dataset: Dataset) -> Iterator[str]:
    if dataset.left_out:
        parts = "; ".join(f"{each.count}: {each.reason}" for each in dataset.left_out)
        count = sum(each.count for each in dataset.left_out)
        yield f"Of the data folder {count} files were left out and are in no figure: {parts}."


def _duplicates(dataset: Dataset, forget: Sequence[int], accept: Acceptance) -> Iterator[str]:
    from flows.data import leakage

    again, count = leakage.shared_rows(dataset), len(dataset.test_labels)
    pairs = leakage.in_two_classes(dataset)
    staying = sum(n for (a, b), n in pairs.items() if (a in forget) != (b in forget))
    notes: list[str] = []
    refused: list[str] = []
    if again:
        (refused if again > OVERLAP * count else notes).append(
            f"{again} of {count} test images are training images as well, pixel by pixel: what was "
            "trained on is not held out"
        )
    if staying:
        refused.append(
            f"{staying} images of a class to be forgotten are in a class that stays as well, pixel "
            "by pixel: they would stay in the data"
        )
    if others := sum(pairs.values()) - staying:
        notes.append(f"{others} images are in two classes, pixel by pixel")
    if refused and not accept.duplicates:
        raise EventError(
            f"Data set '{dataset.name}': {'; '.join(refused)}. Take them out of one of the two, or "
            "submit with --accept-duplicates: the statement then says so."
        )
    yield from (f"{note}." for note in (*refused, *notes))


def _accuracy(
    network: nn.Module, dataset: Dataset, forget: Sequence[int], accept: Acceptance
) -> Iterator[str]:
    rows = _some_rows(dataset.train_labels, prod(dataset.input_shape))
    images, labels = dataset.train_inputs[rows], dataset.train_labels[rows]
    answers = _answers(network, images)
    if _constant(answers):
        raise EventError(
            f"The model answers all of {len(labels)} different training images alike: its outputs "
            "do not depend on the image. Check that the weights are those of this architecture, "
            "and that the images are scaled as they were in training."
        )
    given = answers.argmax(1)
    classes = sorted(set(labels.tolist()))
    accuracy = _balanced(given, labels, classes)
    problems = []
    if accuracy < (1 + 1 / len(classes)) / 2:
        problems.append(f"it recognises {accuracy:.0%} of {len(labels)} training images")
    for c in forget:
        instead, share = _usual(given[labels == c])
        if instead != c:
            problems.append(f"it answers class {instead} to {share:.0%} of class {c}'s images")
    for scaling, scaled in _scalings(images, dataset.preprocessing):
        better = _balanced(_answers(network, scaled).argmax(1), labels, classes)
        if better > accuracy + BETTER:
            problems.append(
                f"on images scaled as {scaling} it recognises {better:.0%} instead of "
                f"{accuracy:.0%}, so it expects another scaling"
            )
            break
    if problems and not accept.low_accuracy:
        raise EventError(
            f"The model does not fit its data: {'; '.join(problems)}. Check the weights, the "
            f"scaling of the images{_preprocessing(dataset)}, and the order of the "
            f"classes{_order(given, labels, classes)} "
            "(`damp classes` lists it). If it is meant to be so, submit with "
            "--accept-low-accuracy: the statement then says so."
        )
    yield from (f"When the request was submitted, of the model before: {p}." for p in problems)


def _preprocessing(dataset: Dataset) -> str:
    """What the request says of it."""
    applied = dataset.preprocessing
    if applied is None:
        return " (`model: {preprocessing: ...}` says it; this request names none)"
    return f" (`model.preprocessing`, now {applied.in_words()})"


def _some_rows(labels: Tensor, size: int) -> Tensor:
    """Indices of some rows of every class, spread over the data; `size` numbers a row."""
    import torch

    classes = labels.unique().tolist()
    most = min(MOST_ROWS, VALUES // size)
    each = max(1, min(ROWS, most // len(classes)))
    chosen = []
    for c in classes:
        mine = (labels == c).nonzero().flatten()
        step = max(1, len(mine) // each)
        chosen.append(mine[::step][:each])
    return torch.cat(chosen)


def _answers(network: nn.Module, images: Tensor) -> Tensor:
    """Outputs of the network, (n, classes)."""
    import torch

    from audits.images import at_once

    network.eval()
    with torch.inference_mode():
        return torch.cat([network(part) for part in images.split(at_once(images, 200))])


def _constant(answers: Tensor) -> bool:
    """Whether every image gets the same probabilities, up to rounding."""
    shares = answers.double().softmax(1)
    return bool(((shares.amax(0) - shares.amin(0)) < 1e-6).all())


def _balanced(given: Tensor, labels: Tensor, classes: Sequence[int]) -> float:
    """Mean over the classes of the share that is answered right."""
    return sum(float((given[labels == c] == c).float().mean()) for c in classes) / len(classes)


def _usual(given: Tensor) -> tuple[int, float]:
    """The most frequent answer and its share."""
    values, counts = given.unique(return_counts=True)
    first = int(counts.argmax())
    return int(values[first]), float(counts[first]) / len(given)


def _scalings(images: Tensor, applied: Preprocessing | None) -> Iterator[tuple[str, Tensor]]:
    """The images as other libraries scale them; of preprocessed ones from [0, 1] again."""
    import torch

    if applied is not None:
        shape = (1, -1, 1, 1)
        images = images * torch.tensor(applied.std).view(shape) + torch.tensor(applied.mean).view(
            shape
        )
        yield "pixels in [0, 1], without mean and std", images
    yield "x * 255", images * 255
    yield "x / 255", images / 255
    yield "(x - 0.5) / 0.5", (images - 0.5) / 0.5
    if images.shape[1] == 3:
        mean = torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1)
        deviation = torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1)
        yield "ImageNet's (mean 0.485, 0.456, 0.406)", (images - mean) / deviation
    mean = images.mean((0, 2, 3), keepdim=True)
    deviation = images.std((0, 2, 3), keepdim=True).clamp_min(1e-6)
    yield "(x - mean) / deviation, per channel of these data", (images - mean) / deviation


def _order(given: Tensor, labels: Tensor, classes: Sequence[int]) -> str:
    """Which outputs stand for which classes, where each class has one that is another's."""
    usual = {c: _usual(given[labels == c]) for c in classes}
    sure = all(share > 0.5 for _, share in usual.values())
    one_each = len({answer for answer, _ in usual.values()}) == len(classes)
    if not (sure and one_each):
        return ""
    moved = [f"class {c} at output {answer}" for c, (answer, _) in usual.items() if answer != c]
    return f": its outputs stand in another one, {', '.join(moved[:6])}" if moved else ""


def _uncuttable(network: nn.Module, images: Tensor) -> Iterator[str]:
    """Whether the surgery reaches most of the model, as it runs on a few images."""
    from damp.operators import find
    from damp.tracing import trace

    operators, skipped = find(network)
    traced = trace(network, operators, images)
    whole = sum(parameter.numel() for parameter in network.parameters())
    cut = sum(use.operator.weight().numel() for use in traced.uses.values())
    left = (*skipped, *traced.skipped)
    if cut < CUTTABLE * whole:
        reasons = list(dict.fromkeys(each.reason for each in left))
        why = f": {'; '.join(reasons[:3])}".rstrip(".") if reasons else ""
        yield (
            f"Only {cut / whole:.0%} of the model's parameters are in layers that the surgery can "
            f"cut; {len(left)} layers stay as they are{why}."
        )
