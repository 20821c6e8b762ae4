"""What is raced on: data, network, recipe, classes to forget, policy. One row each."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

from audits.references import Recipe

FIRST_REFERENCE = 1000
"""Seed of the first retrained model of an event."""
REFERENCES = 5
"""Retrained models of an event: half of what `default-v3` asks for, so that all tracks can be run
on two cores. Fewer make verdicts less sure."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Classes to forget from one original.

    Attributes:
        forget: Classes, sorted.
        seed: Of the original, and of what the methods draw.
    """

    forget: tuple[int, ...]
    seed: int

    @property
    def name(self) -> str:
        return f"class {'+'.join(map(str, self.forget))}, original {self.seed}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Track:
    """One data set and network with its events.

    Attributes:
        name: For the command line.
        title: For a heading.
        data, net: Keys of `data.READERS` and `nets.NETS`.
        recipe: How originals and retrained models are trained.
        policy: By which verdicts are made.
        events: Settings are chosen on the first.
        half: Whether methods that train run their forward passes in bfloat16, as the recipe does.
    """

    name: str
    title: str
    data: str
    net: str
    recipe: Recipe
    policy: str
    events: tuple[Event, ...]
    half: bool = False

    def facts(self) -> dict[str, Any]:
        """What decides its networks."""
        return {"data": self.data, "net": self.net, "recipe": asdict(self.recipe)}


PHOTOGRAPHS = Recipe(epochs=10, batch_size=64, learning_rate=5e-3, precision="bfloat16")
TOKENS = Recipe(epochs=12, batch_size=64, learning_rate=2e-3, weight_decay=5e-2)


def _single(*classes: int) -> tuple[Event, ...]:
    return tuple(Event(forget=(c,), seed=seed) for seed, c in enumerate(classes))


TRACKS = (
    Track(
        name="digits", title="8x8 digits, CNN", data="digits", net="cnn8",
        recipe=Recipe(epochs=20, learning_rate=5e-3), policy="demo-v3",
        events=_single(3, 8, 0),
    ),
    Track(
        name="mnist", title="MNIST, CNN", data="mnist", net="cnn",
        recipe=Recipe(epochs=6, learning_rate=5e-3, precision="bfloat16"),
        policy="default-v3", events=_single(3, 6, 9), half=True,
    ),
    Track(
        name="cifar10", title="CIFAR-10, residual net", data="cifar10", net="resnet",
        recipe=PHOTOGRAPHS, policy="default-v3", events=_single(8, 3, 5),
    ),
    Track(
        name="cifar10-vit", title="CIFAR-10, transformer", data="cifar10", net="vit",
        recipe=TOKENS, policy="default-v3", events=_single(8, 3, 5),
    ),
    Track(
        name="cifar100", title="CIFAR-100 (20 classes), one class", data="cifar100", net="resnet",
        recipe=PHOTOGRAPHS, policy="default-v3", events=_single(0, 7, 14),
    ),
    Track(
        name="cifar100-ten", title="CIFAR-100 (20 classes), ten classes", data="cifar100",
        net="resnet", recipe=PHOTOGRAPHS, policy="default-v3",
        events=(Event(forget=tuple(range(0, 20, 2)), seed=0),),
    ),
    Track(
        name="tiny", title="Tiny ImageNet (20 classes)", data="tiny", net="resnet",
        recipe=PHOTOGRAPHS, policy="default-v3", events=_single(0, 5, 14),
    ),
)  # fmt: skip

QUICK = tuple(replace(track, events=track.events[:1]) for track in TRACKS[:1])
"""What a quick run races on."""
