"""What is compared: data sets, networks, classes, seeds; and the methods with their settings."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

import damp
from benchmarks.baselines import METHODS as BASELINES
from benchmarks.method.data import Data, normalised
from benchmarks.method.measures import RETAIN

Batches = list[tuple[Tensor, Tensor]]

BATCH = 250


@dataclass(frozen=True, slots=True, kw_only=True)
class Targets:
    """What a figure, a mean over classes and seeds, must not exceed.

    Attributes:
        retain: By how much retain accuracy may lie below that of the retrained networks.
        above: By how much probes may read more than from the retrained; None: their seeds' spread.
        below: By how much they may read less, since a hole is a trace too; None: the same spread.
        forget: Forget accuracy before retiring.
        routing: Jensen-Shannon divergence from the retrained networks' routes.
    """

    retain: float
    above: float | None
    below: float | None
    routing: float
    forget: float = 0.02


EXACT = Targets(retain=0.003, above=None, below=None, routing=0.03)
PHOTOGRAPHS = Targets(retain=0.005, above=0.01, below=float("inf"), routing=0.01)
SEVERAL = Targets(retain=0.01, above=None, below=None, routing=0.03)


@dataclass(frozen=True, slots=True, kw_only=True)
class Study:
    """One data set and network, with the requests made of it.

    Attributes:
        data, net: Keys of `data.READERS`, `nets.NETS`.
        requests: Sets of classes to forget, each by itself.
        seeds: Of the trainings, originals and retrained alike.
        kept, gone: Training images of each class that surgery sees: of those to keep, to forget.
        methods: Keys of `METHODS`.
        targets: What the means are held against.
        drawn: Pictures of it: "gains" the trade-off by gain, "depth" separability by operator.
        fewer: Requests with seeds of their own, where a network takes long to train.
        confirms: Its requests had no part in the choice of any preset's settings.
    """

    data: str
    net: str
    requests: tuple[tuple[int, ...], ...]
    seeds: tuple[int, ...]
    kept: int
    gone: int
    methods: tuple[str, ...]
    targets: Targets
    drawn: tuple[str, ...] = ()
    fewer: Mapping[tuple[int, ...], tuple[int, ...]] = field(default_factory=dict)
    confirms: bool = False

    @property
    def name(self) -> str:
        """For a file or a heading."""
        several = "" if len(self.requests[0]) == 1 else f", {len(self.requests[0])} classes"
        return f"{self.data} {self.net}{several}{', confirmation' if self.confirms else ''}"

    def trained(self, request: tuple[int, ...]) -> tuple[int, ...]:
        """Seeds of the networks that never saw the classes of a request."""
        return self.fewer.get(request, self.seeds)


Edit = Callable[[nn.Module, Batches, tuple[int, ...], Mapping[str, float]], nn.Module]
"""From a network, batches, classes and settings to an edited copy with all its outputs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Method:
    """A way to forget.

    Attributes:
        edit: What it does.
        choices: Setting -> values of which the validation rows choose one; the default first.
        code: Whose source decides what comes out: folders or files below the repository.
    """

    edit: Edit
    choices: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    code: tuple[str, ...] = ("damp",)


def preset(name: str, *, apart: bool = False) -> Edit:
    """A preset of `damp.forget`; several classes at once, or one after the other."""

    def edit(
        model: nn.Module, batches: Batches, forget: tuple[int, ...], settings: Mapping[str, float]
    ) -> nn.Module:
        requests = [(label,) for label in forget] if apart else [forget]
        current = model
        for classes in requests:
            result = damp.forget(current, batches, forget=classes, preset=name, **settings)
            current = result.model
        return result.unretired

    return edit


def baseline(name: str) -> Edit:
    """One of `benchmarks.baselines`."""

    def edit(
        model: nn.Module, batches: Batches, forget: tuple[int, ...], settings: Mapping[str, float]
    ) -> nn.Module:
        return BASELINES[name](model, batches, forget=list(forget), **settings)

    return edit


def untouched(
    model: nn.Module, batches: Batches, forget: tuple[int, ...], settings: Mapping[str, float]
) -> nn.Module:
    """The original; retiring alone is what it would take to hide the class."""
    return model


OTHERS = ("damp",)
GAINS = (1.0, 0.1, 0.3, 3.0, 10.0)
METHODS: Mapping[str, Method] = {
    "original": Method(edit=untouched, code=()),
    "paper": Method(edit=preset("paper")),
    "mixture": Method(edit=preset("mixture")),
    "mixture, gain chosen": Method(edit=preset("mixture"), choices={"gain": GAINS}),
    "mended": Method(edit=preset("mended")),
    "mended, gain chosen": Method(edit=preset("mended"), choices={"gain": GAINS}),
    "rewritten": Method(edit=preset("rewritten")),
    "natural": Method(edit=preset("natural")),
    "mixture, one after the other": Method(edit=preset("mixture", apart=True)),
    "mended, one after the other": Method(edit=preset("mended", apart=True)),
    "rewritten, one after the other": Method(edit=preset("rewritten", apart=True)),
    "natural, one after the other": Method(edit=preset("natural", apart=True)),
    "leace": Method(edit=baseline("leace"), code=OTHERS),
    "leace, features only": Method(edit=baseline("leace_features"), code=OTHERS),
    "kodge": Method(
        edit=baseline("kodge"), choices={"alpha_forget": (3.0, 30.0, 300.0)}, code=OTHERS
    ),
    "ssd": Method(
        edit=baseline("ssd"), choices={"alpha": (10.0, 1.0, 3.0, 30.0, 100.0)}, code=OTHERS
    ),
}

APART = tuple(
    f"{name}, one after the other" for name in ("mixture", "mended", "rewritten", "natural")
)
ALL = tuple(name for name in METHODS if name not in APART)
PRESETS = ("original", "paper", "mixture", "mended", "rewritten", "natural")
CHOSEN = (*PRESETS, "mended, gain chosen")
OURS = (*CHOSEN, *APART)
SINGLE = ((3,), (8,), (0,))
EVEN = ((0, 2, 4, 6, 8),)
TEN = (tuple(range(0, 20, 2)),)

STUDIES = (
    Study(
        data="digits", net="cnn", requests=SINGLE, seeds=(0, 1, 2, 3, 4),
        kept=90, gone=90, methods=ALL, targets=EXACT, drawn=("gains", "depth"),
    ),
    Study(
        data="mnist", net="cnn", requests=SINGLE, seeds=(0, 1, 2),
        kept=300, gone=900, methods=CHOSEN, targets=EXACT, drawn=("gains", "depth"),
    ),
    Study(
        data="cifar10", net="resnet", requests=SINGLE, seeds=(0, 1, 2),
        kept=300, gone=1500, methods=PRESETS, targets=PHOTOGRAPHS, drawn=("depth",),
    ),
    Study(
        data="cifar10-small", net="resnet16", requests=((3,), (8,)), seeds=(0, 1),
        kept=300, gone=1200, methods=PRESETS, targets=PHOTOGRAPHS,
    ),
    Study(
        data="digits", net="cnn", requests=((5,), (1,)), seeds=(0, 1, 2),
        kept=90, gone=90, methods=PRESETS, targets=EXACT, confirms=True,
    ),
    Study(
        data="mnist", net="cnn", requests=((9,), (2,)), seeds=(0, 1, 2),
        kept=300, gone=900, methods=PRESETS, targets=EXACT, confirms=True,
    ),
    Study(
        data="cifar10-small", net="resnet16", requests=((1,), (5,)), seeds=(0, 1),
        kept=300, gone=1200, methods=PRESETS, targets=PHOTOGRAPHS, confirms=True,
    ),
    Study(
        data="cifar10", net="vit", requests=SINGLE, seeds=(0, 1, 2),
        kept=300, gone=1500, methods=PRESETS, targets=PHOTOGRAPHS,
    ),
    Study(
        data="tiny", net="resnet", requests=SINGLE, seeds=(0, 1, 2),
        kept=200, gone=450, methods=PRESETS, targets=PHOTOGRAPHS,
    ),
    Study(
        data="digits", net="cnn", requests=EVEN, seeds=(0, 1, 2, 3, 4),
        kept=90, gone=90, methods=OURS, targets=SEVERAL,
    ),
    Study(
        data="mnist", net="cnn", requests=EVEN, seeds=(0, 1, 2),
        kept=300, gone=900, methods=OURS, targets=SEVERAL,
    ),
    Study(
        data="tiny", net="resnet", requests=TEN, seeds=(0, 1, 2),
        kept=200, gone=450, methods=(*PRESETS, *APART[1:]), targets=SEVERAL,
    ),
)  # fmt: skip


def quick(studies: tuple[Study, ...]) -> tuple[Study, ...]:
    """One class and one seed of the small data sets."""
    return tuple(
        Study(
            data=study.data, net=study.net, requests=study.requests[:1], seeds=study.seeds[:1],
            kept=study.kept, gone=study.gone, methods=study.methods, targets=study.targets,
        )
        for study in studies
        if study.data in ("digits", "mnist")
    )  # fmt: skip


def batches(data: Data, study: Study, forget: tuple[int, ...]) -> Batches:
    """Training rows that surgery sees, shuffled, the same for every method and seed."""
    labels = data.labels["train"]
    generator = torch.Generator().manual_seed(0)
    rows = []
    for label in range(data.classes):
        own = (labels == label).nonzero().flatten()
        count = study.gone if label in forget else study.kept
        rows.append(own[torch.randperm(len(own), generator=generator)[:count]])
    chosen = torch.cat(rows)
    chosen = chosen[torch.randperm(len(chosen), generator=generator)]
    inputs = normalised(data.images["train"][chosen])
    return list(zip(inputs.split(BATCH), labels[chosen].split(BATCH), strict=True))


def shortfall(targets: Targets, column: str, value: float, other: float, spread: float) -> float:
    """By how much a figure misses its target; 0 where it is met.

    Args:
        targets: Of the study.
        column: Key of the figures.
        value: The figure, a mean.
        other: The same of the retrained networks.
        spread: Of the retrained networks' seeds, twice the standard deviation.
    """
    if column == RETAIN:
        return max(other - value - targets.retain, 0.0)
    if column == "forget":
        return max(value - targets.forget, 0.0)
    if column == "routing":
        return max(value - targets.routing, 0.0)
    above = spread if targets.above is None else targets.above
    below = spread if targets.below is None else targets.below
    return max(value - other - above, other - value - below, 0.0)
