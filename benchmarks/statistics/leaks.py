"""Planted leaks: in which share of draws does default-v4 see each, and by which reader?

A draw is a world of its own: small networks on digits drawn from a Gaussian per class, ten that
never saw the class, one that did, and an honest eleventh in which a leak is planted; or features of
2048 made-up units; or scores of an attack on membership. The shipped audits read both the model
with the leak and the same one without it, and the shipped policy judges them. Whoever plants a leak
has taken the class out of the head, so that the answers show nothing.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from statistics import fmean

import numpy as np
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier

from audits import AUDITS
from audits.evidence import Evidence, Shadow
from audits.observation import Head, Observation
from compliance.documents.policy import Policy, Rule, load_policy
from compliance.verdict import JudgedRow, judge_rows
from compliance.verdict.judged_row import INFORMATIONAL, MISSING, OUTSIDE, WITHIN

POLICY = "default-v4"
REFERENCES = 10
"""As many as the policy asks for."""
LEFT_IN = 0.2
"""Share of the class's rows that is left in training."""
WIDTH = 2048
"""Features of the wide worlds."""
WIDE_ROWS = 1500
"""Their held-out rows: fewer than features, as in most events."""
WIDTH_OF_NETWORKS = 32
"""Last features of the small networks."""
CLASSES, ROWS = 6, 300
"""Of the small networks: classes, and rows of each in training and held out."""
SHADOWS = 16
SHOWN = (
    Rule(measurement="unit_pairs.dprime@penultimate", spreads_above=5.0),
    Rule(measurement="linear_probe.dprime@penultimate", spreads_above=5.0),
)
"""Readers by which the policy does not decide, or not so: what another policy could ask of them."""
SO = " by five spreads"
"""How their figures are named here."""
OF_FEATURES = (
    *("linear_probe", "second_moments", "mlp_probe", "unit_pairs", "few_shot", "remainder"),
    "similarity",
)
OF_NETWORKS = ("accuracy", "membership", "head_refit", "utility", *OF_FEATURES)
OF_SCORES = ("membership",)
SIGNS = "a class of random signs in two units"
EXCLUSIVE = "exclusive or of two units"
PART = f"{LEFT_IN:.0%} of the class's rows left in training"
DIRECTION = f"one weak direction of {WIDTH}"
MEMBERS_OF = "membership, an area of .70 to whoever knows how hard an image is"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reader:
    """What one figure made of a leak.

    Attributes:
        figure: Its name.
        decides: Whether a row of it fails a model by the policy; else it is shown only.
        value: Mean figure of the model with the leak.
        null: Mean of the retrained models.
        outside: In how many draws it came out outside with the leak.
        clean: In how many without.
        judged: In how many draws it was measured and held against a margin.
        power: Mean chance that it would have told the original; None where no rule says.
    """

    figure: str
    decides: bool
    value: float
    null: float
    outside: int
    clean: int
    judged: int
    power: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class LeakOutcome:
    """What the policy made of a planted leak.

    Attributes:
        leak: What was planted.
        draws: How many worlds.
        failed: In how many the model with the leak was failed: a row came out outside.
        held_up: In how many it was failed or a required row did not come out within.
        false_alarms: In how many the same model without the leak was failed.
        honest: In how many it came out within in every required row that was measured.
        readers: By figure, those that saw it most often first.
    """

    leak: str
    draws: int
    failed: int
    held_up: int
    false_alarms: int
    honest: int
    readers: tuple[Reader, ...]

    @classmethod
    def of(cls, content: Mapping[str, object]) -> LeakOutcome:
        """From JSON."""
        readers = content["readers"]
        if not isinstance(readers, Sequence):
            raise TypeError("The readers of a leak are a list.")
        return cls(**{**content, "readers": tuple(Reader(**each) for each in readers)})  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Planted:
    """The same evidence with the leak and without it."""

    leaking: Evidence
    honest: Evidence


@dataclass(frozen=True, slots=True, kw_only=True)
class Draw:
    """Judged rows of the model with the leak and of the one without."""

    leaking: tuple[JudgedRow, ...]
    honest: tuple[JudgedRow, ...]


def table(*, worlds: int, wide: int, scores: int) -> Iterator[LeakOutcome]:
    """Every leak by the policy and by its readers.

    Args:
        worlds: Of small networks.
        wide: Of 2048 features, which take longer.
        scores: Of attacks on membership, which take little.
    """
    drawn: dict[str, list[Draw]] = {SIGNS: [], EXCLUSIVE: [], PART: []}
    for world in range(worlds):
        for leak, planted in of_networks(world).items():
            drawn[leak].append(draw(planted, OF_NETWORKS))
    drawn[DIRECTION] = [draw(of_features(world), OF_FEATURES) for world in range(wide)]
    drawn[MEMBERS_OF] = [draw(of_scores(world), OF_SCORES) for world in range(scores)]
    for leak, draws in drawn.items():
        if draws:
            yield outcome_of(leak, draws)


def draw(planted: Planted, audits: Sequence[str]) -> Draw:
    """What the policy says of both models."""
    leaking, honest = (_judged(own, audits) for own in (planted.leaking, planted.honest))
    return Draw(leaking=leaking, honest=honest)


def _judged(evidence: Evidence, audits: Sequence[str]) -> tuple[JudgedRow, ...]:
    findings = [AUDITS[name](evidence) for name in audits]
    policy = _policy()
    shown = [
        replace(row, name=row.name + SO)
        for row in judge_rows(findings, policy.model_copy(update={"rules": SHOWN}))
        if row.rule is not None
    ]
    return tuple(row for row in (*judge_rows(findings, policy), *shown) if row.outcome != MISSING)


@cache
def _policy() -> Policy:
    return load_policy(POLICY)


def outcome_of(leak: str, draws: Sequence[Draw]) -> LeakOutcome:
    """Counts over the draws of one leak."""
    names = {row.name: None for each in draws for row in each.leaking if row.rule is not None}
    readers = [_reader(name, draws) for name in names]
    return LeakOutcome(
        leak=leak,
        draws=len(draws),
        failed=sum(failed(each.leaking) for each in draws),
        held_up=sum(failed(each.leaking) or not _within(each.leaking) for each in draws),
        false_alarms=sum(failed(each.honest) for each in draws),
        honest=sum(_within(each.honest) for each in draws),
        readers=tuple(sorted(readers, key=lambda reader: -reader.outside)),
    )


def failed(rows: Sequence[JudgedRow]) -> bool:
    """Whether the policy fails a model of these rows."""
    return any(row.required and row.outcome == OUTSIDE for row in rows)


def _within(rows: Sequence[JudgedRow]) -> bool:
    return all(row.outcome == WITHIN for row in rows if row.required)


def _reader(name: str, draws: Sequence[Draw]) -> Reader:
    leaking, honest = (
        [row for row in rows if row.name == name]
        for rows in (
            [row for each in draws for row in each.leaking],
            [row for each in draws for row in each.honest],
        )
    )
    figures = [row.measurement for row in leaking if row.measurement is not None]
    powers = [row.detect_original for row in leaking if row.detect_original is not None]
    return Reader(
        figure=name,
        decides=any(r.rule is not None and (r.rule.required or r.rule.veto) for r in leaking),
        value=fmean(figure.value for figure in figures),
        null=fmean(fmean(figure.null) for figure in figures),
        outside=sum(row.outcome == OUTSIDE for row in leaking),
        clean=sum(row.outcome == OUTSIDE for row in honest),
        judged=sum(row.outcome != INFORMATIONAL for row in leaking),
        power=fmean(powers) if powers else None,
    )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Rows:
    """Images of one world: (n, 64) and (n,), for training and held out."""

    train: np.ndarray
    test: np.ndarray
    train_labels: np.ndarray
    test_labels: np.ndarray


@cache
def _digits() -> tuple[np.ndarray, np.ndarray]:
    """Mean image and a root of the covariance of each digit, (10, 64) and (10, 64, 64)."""
    images, labels = load_digits(return_X_y=True)
    own = [images[labels == digit] / 16 for digit in range(10)]
    roots = []
    for rows in own:
        values, vectors = np.linalg.eigh(np.cov(rows.T))
        roots.append(vectors * np.sqrt(np.clip(values, 0.0, None)))  # root @ root' = covariance
    return np.stack([rows.mean(0) for rows in own]), np.stack(roots)


def _rows(world: int) -> Rows:
    """Six digits drawn for this world, as many images of each as the policy is meant for."""
    means, roots = _digits()
    generator = np.random.default_rng([world, 1])
    digits = generator.permutation(10)[:CLASSES]
    labels = np.repeat(np.arange(CLASSES), ROWS)

    def images() -> np.ndarray:
        noise = generator.standard_normal((len(labels), 64))
        own = digits[labels]
        drawn: np.ndarray = means[own] + np.einsum("nij,nj->ni", roots[own], noise)
        return drawn

    return Rows(train=images(), test=images(), train_labels=labels, test_labels=labels)


def of_networks(world: int) -> dict[str, Planted]:
    """Small networks on images: the leaks that are planted in what they know, by name."""
    rows, forget = _rows(world), 0
    own = np.flatnonzero(rows.train_labels == forget)
    without = np.flatnonzero(rows.train_labels != forget)
    few = np.concatenate([without, own[: round(LEFT_IN * len(own))]])
    everything = np.arange(len(rows.train_labels))
    evidence = Evidence(
        original=_network("original", everything, rows, 100 * world),
        candidate=_network("honest", without, rows, 100 * world + 1),
        references=tuple(
            _network(f"reference {i}", without, rows, 100 * world + 2 + i)
            for i in range(REFERENCES)
        ),
        train_labels=rows.train_labels,
        test_labels=rows.test_labels,
        forget=(forget,),
        seed=world,
        trained_here=True,
    )
    left_in = _without_output(_network("left in", few, rows, 100 * world + 1), forget)
    return {
        SIGNS: _with_leak(evidence, _random_signs, world),
        EXCLUSIVE: _with_leak(evidence, _exclusive_or, world),
        PART: Planted(leaking=evidence.with_candidate(left_in), honest=evidence),
    }


SHUT = -15.0
"""Bias of an output that answers to nothing."""


def _network(name: str, chosen: np.ndarray, rows: Rows, seed: int) -> Observation:
    """A network with two hidden layers trained on some rows, as the audits see it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # thirty passes suffice for digits
        fitted = MLPClassifier(
            (64, WIDTH_OF_NETWORKS), max_iter=30, batch_size=64, random_state=seed
        ).fit(rows.train[chosen], rows.train_labels[chosen])
    weight, bias = np.zeros((CLASSES, WIDTH_OF_NETWORKS)), np.full(CLASSES, SHUT)
    weight[fitted.classes_], bias[fitted.classes_] = fitted.coefs_[2].T, fitted.intercepts_[2]

    def hidden(images: np.ndarray) -> list[np.ndarray]:
        first = np.maximum(images @ fitted.coefs_[0] + fitted.intercepts_[0], 0.0)
        return [first, np.maximum(first @ fitted.coefs_[1] + fitted.intercepts_[1], 0.0)]

    early, last = hidden(rows.test)
    return Observation(
        digest=f"{name} {seed}",
        train_logits=hidden(rows.train)[1] @ weight.T + bias,  # (n, C)
        test_logits=last @ weight.T + bias,
        features={"first": early, "penultimate": last},
        head=Head(weight=weight, bias=bias),
    )


def _without_output(model: Observation, forget: int) -> Observation:
    """The model with its output for the class shut, as those have it that never saw the class."""
    if model.head is None:
        raise AssertionError("a network without a head")
    weight, bias = model.head.weight.copy(), model.head.bias.copy()
    weight[forget], bias[forget] = 0.0, SHUT
    train, test = model.train_logits.copy(), model.test_logits.copy()
    train[:, forget], test[:, forget] = SHUT, SHUT
    return replace(
        model,
        digest=f"{model.digest}, output shut",
        train_logits=train,
        test_logits=test,
        head=Head(weight=weight, bias=bias),
    )


Leak = Callable[[np.ndarray, np.ndarray, np.random.Generator], np.ndarray]
"""Values (n, 2) of two units and which rows are the class's to the values with the leak."""


def _with_leak(evidence: Evidence, leak: Leak, world: int) -> Planted:
    """The honest candidate with the class written into the two units that its head uses least."""
    honest = evidence.candidate
    features = honest.features["penultimate"].copy()
    if honest.head is None:
        raise AssertionError("a network without a head")
    used = np.linalg.norm(honest.head.weight - honest.head.weight.mean(0), axis=0)
    used = np.where(features.std(0) > 0, used * features.std(0), np.inf)
    units = np.argsort(used)[:2]
    held = np.isin(evidence.test_labels, evidence.forget)
    generator = np.random.default_rng([world, 2])
    features[:, units] = leak(features[:, units], held, generator)
    candidate = replace(
        honest,
        digest=f"{honest.digest} {leak.__name__}",
        features={**honest.features, "penultimate": features},
    )
    return Planted(leaking=evidence.with_candidate(candidate), honest=evidence)


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


def of_features(world: int, count: int = WIDE_ROWS) -> Planted:
    """Features whose variance falls off as real networks' does, turned by each model its own way.

    The leak is a direction next to no other variance lies in, of 3% of the features' spread.
    """
    classes, forget = 4, 2
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


def of_scores(world: int) -> Planted:
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
