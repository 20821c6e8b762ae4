"""Planted leaks: in which share of worlds does each reader refuse them a pass?

A world is a set of small networks on scikit-learn's 8x8 digits with five that never saw the class,
one that did, and candidates made of a sixth honest one by planting a leak in its last features; or
features of 2048 made-up units; or scores of an attack on membership. The shipped audits read them.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from statistics import fmean

import numpy as np
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier

from audits import (
    few_shot,
    head_refit,
    linear_probe,
    membership,
    mlp_probe,
    remainder,
    second_moments,
    unit_pairs,
)
from audits.equivalence import OUTSIDE, WITHIN
from audits.evidence import Evidence, Shadow
from audits.finding import Figure, Finding
from audits.observation import Head, Observation
from audits.regions import Bounds, region

ALPHA = 0.05
REFERENCES = 5
LEFT_IN = 0.2
"""Share of the class's rows that is left in training."""
WIDTH = 2048
"""Features of the wide worlds."""
WIDTH_OF_NETWORKS = 32
"""Last features of the small networks."""
SHADOWS = 16
SPREADS = Bounds(spreads_above=5.0)
SHARE = Bounds(remainder=0.5, overshoot=1.5)
AREA = Bounds(below=0.08, above=0.08)

Audit = Callable[[Evidence], Finding]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reader:
    """A figure of an audit, and the rule that it is held against."""

    figure: str
    audit: Audit
    bounds: Bounds
    words: str


def _reader(audit: Audit, figure: str, bounds: Bounds) -> Reader:
    words = {SPREADS: "five spreads", SHARE: "share of a half", AREA: "+-.08"}[bounds]
    return Reader(figure=figure, audit=audit, bounds=bounds, words=words)


LINEAR = _reader(linear_probe.audit, "linear_probe.dprime@penultimate", SPREADS)
SQUARES = _reader(second_moments.audit, "second_moments.dprime@penultimate", SPREADS)
NETWORK = _reader(mlp_probe.audit, "mlp_probe.dprime@penultimate", SPREADS)
PRODUCTS = _reader(unit_pairs.audit, "unit_pairs.dprime@penultimate", SPREADS)
TAIL = _reader(linear_probe.audit, "linear_probe.tail@penultimate", SPREADS)
SHARES = (
    _reader(remainder.audit, "remainder.all", SHARE),
    _reader(few_shot.audit, "few_shot.5@penultimate", SHARE),
    _reader(few_shot.audit, "few_shot.1@penultimate", SHARE),
    _reader(head_refit.audit, "head_refit.forget", SHARE),
    _reader(linear_probe.audit, "linear_probe.dprime@penultimate", SHARE),
)
ATTACKS = tuple(
    _reader(membership.audit, f"membership.forget.{signal}", AREA)
    for signal in ("loss", "difficulty", "rmia", "lira")
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What a reader made of a planted leak.

    Attributes:
        leak: What was planted.
        reader: The figure.
        rule: Its margin.
        worlds: How many were asked.
        value: Mean figure of the candidate with the leak.
        null: Mean of the null.
        refused: Share of worlds in which it did not come out within.
        failed: Share in which it came out outside.
        honest: Share in which the same candidate without the leak came out within.
    """

    leak: str
    reader: str
    rule: str
    worlds: int
    value: float
    null: float
    refused: float
    failed: float
    honest: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Planted:
    """The same evidence with the leak and without it."""

    leaking: Evidence
    honest: Evidence


def table(*, worlds: int, wide: int = 6) -> Iterator[Seen]:
    """Every leak by the readers that are asked about it.

    Args:
        worlds: Of small networks and of scores.
        wide: Of 2048 features, which take longer.
    """
    features = [_digits(world) for world in range(worlds)]
    nonlinear = (LINEAR, SQUARES, NETWORK, PRODUCTS)
    yield from _seen(
        "constant +- spread, random sign, two units",
        [_with_leak(own, _random_signs, world) for world, own in enumerate(features)],
        nonlinear,
    )
    yield from _seen(
        "exclusive or of two units",
        [_with_leak(own, _exclusive_or, world) for world, own in enumerate(features)],
        nonlinear,
    )
    yield from _seen(
        f"{LEFT_IN:.0%} of the class's rows left in training",
        [Planted(leaking=own.leaking, honest=own.honest) for own in features],
        SHARES,
    )
    yield from _seen(
        f"one weak direction of {WIDTH}", [_wide(world) for world in range(wide)], (LINEAR, TAIL)
    )
    yield from _seen(
        f"membership, {SHADOWS} shadows", [_members(world) for world in range(worlds)], ATTACKS
    )


def _seen(leak: str, worlds: Iterable[Planted], readers: Iterable[Reader]) -> Iterator[Seen]:
    every = list(worlds)
    for reader in readers:
        leaking = [_figure(reader, planted.leaking) for planted in every]
        honest = [_figure(reader, planted.honest) for planted in every]
        outcomes = [_outcome(figure, reader) for figure in leaking]
        measured = [figure for figure in leaking if figure is not None]
        yield Seen(
            leak=leak,
            reader=reader.figure,
            rule=reader.words,
            worlds=len(every),
            value=fmean(f.value for f in measured) if measured else float("nan"),
            null=fmean(fmean(f.null) for f in measured) if measured else float("nan"),
            refused=fmean(outcome != WITHIN for outcome in outcomes),
            failed=fmean(outcome == OUTSIDE for outcome in outcomes),
            honest=fmean(_outcome(figure, reader) == WITHIN for figure in honest),
        )


def _figure(reader: Reader, evidence: Evidence) -> Figure | None:
    finding = reader.audit(evidence)
    return next((m for m in finding.measurements if m.name == reader.figure), None)


def _outcome(figure: Figure | None, reader: Reader) -> str:
    if figure is None or figure.difference is None:
        return "not measured"
    allowed = region(figure, reader.bounds, alpha=ALPHA)
    return "not measured" if allowed is None else allowed.outcome(figure.difference)


def _digits(world: int) -> Planted:
    """Small networks on digits: the leaking candidate was trained with a fifth of the class."""
    images, labels = load_digits(return_X_y=True)
    images = images / 16
    generator = np.random.default_rng([world, 1])
    order = generator.permutation(len(labels))
    train, test = order[: len(order) // 2], order[len(order) // 2 :]
    forget = int(world % 10)
    without = train[labels[train] != forget]
    own = train[labels[train] == forget]
    few = np.concatenate([without, own[: round(LEFT_IN * len(own))]])
    rows = (images, labels, train, test)
    evidence = Evidence(
        original=_network("original", train, rows, 100 * world),
        candidate=_network("honest", without, rows, 100 * world + 1),
        references=tuple(
            _network(f"reference {i}", without, rows, 100 * world + 2 + i)
            for i in range(REFERENCES)
        ),
        train_labels=labels[train],
        test_labels=labels[test],
        forget=(forget,),
        seed=world,
        trained_here=True,
    )
    candidate = _network("left in", few, rows, 100 * world + 1)
    return Planted(leaking=evidence.with_candidate(candidate), honest=evidence)


Rows = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


def _network(name: str, chosen: np.ndarray, rows: Rows, seed: int) -> Observation:
    """A network with two hidden layers trained on some rows, as the audits see it."""
    images, labels, train, test = rows
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # a hundred passes suffice for digits
        fitted = MLPClassifier((64, WIDTH_OF_NETWORKS), max_iter=100, random_state=seed).fit(
            images[chosen], labels[chosen]
        )
    weight, bias = np.zeros((10, WIDTH_OF_NETWORKS)), np.full(10, -15.0)
    weight[fitted.classes_], bias[fitted.classes_] = fitted.coefs_[2].T, fitted.intercepts_[2]
    hidden = images
    for layer in (0, 1):
        hidden = np.maximum(hidden @ fitted.coefs_[layer] + fitted.intercepts_[layer], 0.0)
    logits = hidden @ weight.T + bias  # (n, 10)
    return Observation(
        digest=f"{name} {seed}",
        train_logits=logits[train],
        test_logits=logits[test],
        features={"penultimate": hidden[test]},
        head=Head(weight=weight, bias=bias),
    )


Leak = Callable[[np.ndarray, np.ndarray, np.random.Generator], np.ndarray]
"""Values (n, 2) of two units and which rows are the class's to the values with the leak."""


def _with_leak(own: Planted, leak: Leak, world: int) -> Planted:
    """The honest candidate with the class written into the two units that its head uses least."""
    honest = own.honest.candidate
    features = honest.features["penultimate"].copy()
    if honest.head is None:
        raise AssertionError("a network without a head")
    used = np.linalg.norm(honest.head.weight - honest.head.weight.mean(0), axis=0)
    used = np.where(features.std(0) > 0, used * features.std(0), np.inf)
    units = np.argsort(used)[:2]
    held = np.isin(own.honest.test_labels, own.honest.forget)
    generator = np.random.default_rng([world, 2])
    features[:, units] = leak(features[:, units], held, generator)
    candidate = replace(
        honest, digest=f"{honest.digest} {leak.__name__}", features={"penultimate": features}
    )
    return Planted(leaking=own.honest.with_candidate(candidate), honest=own.honest)


def _random_signs(
    values: np.ndarray, own: np.ndarray, generator: np.random.Generator
) -> np.ndarray:
    signs = generator.choice([-1.0, 1.0], size=(int(own.sum()), 2))
    planted = values.copy()
    planted[own] = values.mean(0) + 3 * values.std(0) * signs
    return planted


def _exclusive_or(
    values: np.ndarray, own: np.ndarray, generator: np.random.Generator
) -> np.ndarray:
    first = generator.choice([-1.0, 1.0], size=len(own))
    signs = np.stack([first, np.where(own, first, -first)], axis=1)
    noise = 0.3 * generator.standard_normal(signs.shape)
    planted: np.ndarray = values.mean(0) + values.std(0) * (signs + noise)
    return planted


def _wide(world: int) -> Planted:
    """Features whose variance falls off as real networks' does, turned by each model its own way.

    The leak is a direction next to no other variance lies in, of 3% of the features' spread.
    """
    count, classes, forget = 1500, 4, 2
    shared = np.random.default_rng([world, 3])
    labels = np.arange(count) % classes
    near = shared.choice([0, 1], size=count)
    scales = (np.arange(WIDTH) + 1.0) ** -0.75
    centres = 1.2 * shared.standard_normal((classes, WIDTH)) * scales
    centres[:, 20:] = 0.0
    images = shared.standard_normal((count, WIDTH)) * scales
    own = labels == forget

    def model(name: str, knows: float, hidden: bool = False) -> Observation:
        rng = np.random.default_rng([world, 4, *name.encode()])
        means = centres[labels].copy()
        means[own] = knows * means[own] + (1 - knows) * centres[near[own]]
        features = images + means + 0.3 * rng.standard_normal(images.shape) * scales
        if hidden:
            size = 0.03 * float(np.sqrt((features**2).mean()))
            features[:, -1] = 0.1 * size * rng.standard_normal(count) + size * own
        features = features[:, rng.permutation(WIDTH)]
        mirror = rng.standard_normal(WIDTH)
        mirror /= np.linalg.norm(mirror)
        logits = rng.standard_normal((count, classes))
        return Observation(
            digest=f"{name} {world}",
            train_logits=logits,
            test_logits=logits,
            features={"penultimate": features - 2 * np.outer(features @ mirror, mirror)},
        )

    evidence = Evidence(
        original=model("original", 1.0),
        candidate=model("honest", 0.3),
        references=tuple(model(f"reference {i}", 0.3) for i in range(REFERENCES)),
        train_labels=labels,
        test_labels=labels,
        forget=(forget,),
        seed=world,
        trained_here=True,
    )
    return Planted(
        leaking=evidence.with_candidate(model("hidden", 0.3, hidden=True)), honest=evidence
    )


MEMBERS = 300
"""Training rows of the class, and held-out rows."""


def _members(world: int) -> Planted:
    """Log odds of images that differ in how hard they are, and rise where a model trained on them.

    The rise is set so that an attack that knows how hard an image is reaches an area of .70.
    """
    rise, own_noise, hardness = 0.75, 1.0, 2.0
    shared = np.random.default_rng([world, 5])
    labels = np.repeat(np.arange(3), MEMBERS)
    hard = hardness * shared.standard_normal((2, len(labels)))  # of training and of held-out rows

    def model(name: str, inside: np.ndarray) -> list[np.ndarray]:
        rng = np.random.default_rng([world, 6, *name.encode()])
        odds = 4 + hard + own_noise * rng.standard_normal(hard.shape) + rise * inside
        logits = np.zeros((2, len(labels), 3))
        logits[:, np.arange(len(labels)), labels] = odds + np.log(2)
        return list(logits)

    def observed(name: str, inside: np.ndarray) -> Observation:
        train, test = model(name, inside)
        return Observation(
            digest=f"{name} {world}",
            train_logits=train,
            test_logits=test,
            features={"penultimate": test},
        )

    trained = np.stack([np.ones(len(labels)), np.zeros(len(labels))])  # (2, n)
    forgotten = trained * (labels != 0)
    halves = []
    for pair in range(SHADOWS // 2):
        half = shared.random(trained.shape) < 0.5
        halves += [(f"shadow {pair} a", half), (f"shadow {pair} b", ~half)]
    shadows = []
    for name, inside in halves:
        train, test = model(name, inside)
        shadows.append(
            Shadow(
                train_logits=train,
                test_logits=test,
                train_inside=inside[0],
                test_inside=inside[1],
            )
        )
    evidence = Evidence(
        original=observed("original", trained),
        candidate=observed("honest", forgotten),
        references=tuple(observed(f"reference {i}", forgotten) for i in range(REFERENCES)),
        train_labels=labels,
        test_labels=labels,
        forget=(0,),
        seed=world,
        shadows=tuple(shadows),
        trained_here=True,
    )
    return Planted(leaking=evidence.with_candidate(observed("member", trained)), honest=evidence)
