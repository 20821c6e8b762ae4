import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from audits import AUDITS, reference_independence, weight_likeness
from audits.evidence import Evidence
from audits.features import observe
from audits.references import Recipe, train


def copied(observation, name, noise=0.0):
    """A copy of a model, its answers shaken a little, under another digest."""
    shake = noise * np.random.default_rng(len(name)).normal(size=observation.test_logits.shape)
    return replace(observation, digest=name, test_logits=observation.test_logits + shake)


def test_trainings_of_their_own_are_no_copies(world):
    assert reference_independence.dependence(world.evidence()) == ""


@pytest.mark.parametrize("noise", [0.0, 0.05])
def test_references_that_are_copies_of_the_candidate_are_no_baseline(world, noise):
    candidate = world.model("cheat", knows=True)
    references = tuple(copied(candidate, f"copy {i}", noise) for i in range(5))
    evidence = world.evidence(candidate, references=references)
    assert "reference 0 answers as the candidate does" in reference_independence.dependence(
        evidence
    )
    assert "Train references from scratch" in reference_independence.dependence(evidence)
    for name in ("few_shot", "linear_probe", "routing", "similarity", "relearning"):
        finding = AUDITS[name](evidence)
        assert finding.status == "NOT_RUN"
        assert "were not trained independently" in finding.reason


def test_a_reference_that_is_the_original_in_disguise_is_named(world):
    original = world.model("original", knows=True)
    references = (
        *(world.model(f"reference {i}", knows=False) for i in range(4)),
        copied(original, "tuned a little", 0.02),
    )
    reason = reference_independence.dependence(world.evidence(references=references))
    assert "reference 4 answers as the original does" in reason
    assert "candidate" not in reason


def test_references_that_are_copies_of_each_other_are_named(world):
    one = world.model("reference 0", knows=False)
    references = tuple(copied(one, f"copy {i}", 0.01) for i in range(3))
    reason = reference_independence.dependence(world.evidence(references=references))
    assert "reference 1 answers as reference 0 does" in reason


def test_the_likeness_is_a_correlation_within_classes(world):
    evidence = world.evidence()
    one, other = evidence.references[:2]
    retain = [0, 1, 3, 4, 5]
    pair = []
    for observation in (one, other):
        answers = observation.test_logits[:, retain] - observation.test_logits[:, retain].mean(
            1, keepdims=True
        )
        pair.append(
            np.concatenate(
                [
                    (
                        answers[world.test_labels == c] - answers[world.test_labels == c].mean(0)
                    ).ravel()
                    for c in retain
                ]
            )
        )
    expected = np.corrcoef(*pair)[0, 1]
    assert reference_independence.likeness(evidence, one, other) == pytest.approx(expected)
    assert expected < reference_independence.LIMIT


def test_models_that_were_trained_here_are_not_judged_by_their_answers(world):
    """Whoever trained them knows that they are trainings of their own; equal weights still show."""
    one = world.model("reference 0", knows=False)
    references = (*(copied(one, f"alike {i}", 0.01) for i in range(3)), one, one)
    evidence = world.evidence(references=references, trained_here=True)
    reason = reference_independence.dependence(evidence)
    assert reason.startswith("Reference 4 has the weights of reference 3: these references")


class Digits:
    """Ten retrained networks on 8x8 digits and their original: small, alike, independent."""

    def __init__(self, images, labels):
        torch.set_num_threads(1)
        self.rows = images[900:], labels[900:]
        recipe = Recipe(epochs=10, learning_rate=3e-3)
        self.models = [
            train(small, images[:900], labels[:900], recipe=recipe, seed=s, exclude=[3] * (s > 0))
            for s in range(11)
        ]

    def evidence(self, references):
        rows = [self.observed(m, f"model {i}") for i, m in enumerate((self.models[0], *references))]
        return Evidence(
            original=rows[0],
            candidate=replace(
                rows[0], digest="candidate", weights={}, test_logits=0 * rows[0].test_logits
            ),
            references=tuple(rows[1:]),
            train_labels=self.rows[1].numpy(),
            test_labels=self.rows[1].numpy(),
            forget=(3,),
            seed=0,
        )

    def observed(self, model, digest):
        return observe(model, self.rows[0], self.rows[0], digest=digest, weights=True)


def small():
    return nn.Sequential(
        nn.Flatten(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 10)
    )


@pytest.fixture(scope="module")
def digits(real_digits):
    return Digits(*real_digits)


@pytest.mark.parametrize("count", [3, 5, 10])
def test_small_networks_that_agree_on_easy_images_are_no_copies(digits, count):
    evidence = digits.evidence(digits.models[1 : 1 + count])
    assert reference_independence.dependence(evidence) == ""


def noisy(model, share):
    shaken, generator = copy.deepcopy(model), torch.Generator().manual_seed(0)
    with torch.no_grad():
        for value in shaken.parameters():
            value.add_(share * value.std() * torch.randn(value.shape, generator=generator))
    return shaken


def reordered(model):
    """The same function with its hidden units in another order."""
    moved = copy.deepcopy(model)
    with torch.no_grad():
        for before, after in ((moved[1], moved[3]), (moved[3], moved[5])):
            order = torch.randperm(32, generator=torch.Generator().manual_seed(1))
            before.weight.copy_(before.weight[order])
            before.bias.copy_(before.bias[order])
            after.weight.copy_(after.weight[:, order])
    return moved


COPIES = {
    "the same weights": copy.deepcopy,
    "with noise": lambda model: noisy(model, 0.1),
    "with more noise": lambda model: noisy(model, 0.3),
    "with units in another order": reordered,
    "in another order, with noise": lambda model: noisy(reordered(model), 0.1),
}


@pytest.mark.parametrize("duplicate", COPIES.values(), ids=COPIES)
def test_true_copies_are_refused(digits, duplicate):
    """One copy of the original among honest ones; copies of one reference; copies of the original
    alone, where no honest pair shows how alike is usual."""
    original, honest = digits.models[0], digits.models[1:5]
    among = reference_independence.dependence(digits.evidence([*honest, duplicate(original)]))
    assert "reference 4" in among.lower()
    assert "the original" in among
    assert "reference 3" not in among.lower()
    each_other = digits.evidence(
        [honest[0], duplicate(honest[0]), duplicate(noisy(honest[0], 0.02))]
    )
    assert "reference 1" in reference_independence.dependence(each_other)
    only = digits.evidence([duplicate(noisy(original, 0.01 * i)) for i in range(1, 4)])
    assert "the original" in reference_independence.dependence(only)


def test_constant_answers_have_nothing_in_common(world):
    flat = replace(
        world.model("retrained", knows=False), digest="flat", test_logits=np.zeros((360, 6))
    )
    evidence = world.evidence(flat)
    assert reference_independence.likeness(evidence, flat, evidence.references[0]) == 0.0


@pytest.mark.parametrize(("share", "one_model"), [(0.3, False), (0.1, True)])
def test_a_pair_that_leaves_less_than_a_fifth_of_what_is_usual_is_one_model(
    world, share, one_model
):
    """Three quarters of the pairs of references and original leave as much as is usual, or less."""
    evidence = world.evidence()
    likeness = reference_independence.likeness
    models = [*evidence.references, evidence.original]
    pairs = [likeness(evidence, a, b) for i, a in enumerate(models) for b in models[i + 1 :]]
    aimed = 1 - share * float(np.quantile(1 - np.array(pairs), 0.75))
    noise = np.random.default_rng(5).normal(size=evidence.candidate.test_logits.shape)
    low, high = 0.0, 100.0
    for step in range(40):
        middle = (low + high) / 2
        logits = evidence.references[0].test_logits + middle * noise
        near = replace(evidence.candidate, digest=f"near {step}", test_logits=logits)
        alike = likeness(evidence, evidence.references[0], near) > aimed
        low, high = (middle, high) if alike else (low, middle)
    reason = reference_independence.dependence(evidence.with_candidate(near))
    assert ("reference 0 answers as the candidate does" in reason) is one_model


def test_weights_are_in_place_whatever_their_scale_and_not_in_another_order():
    generator = np.random.default_rng(0)
    weight = generator.normal(size=(12, 20))
    noisy = -3.0 * weight + generator.normal(size=weight.shape)
    assert weight_likeness.in_place(weight, noisy)
    assert not weight_likeness.in_place(weight, weight[::-1])
    assert not weight_likeness.in_place(weight, generator.normal(size=weight.shape))


def test_equal_weights_are_one_model_whatever_they_answer(world):
    evidence = world.evidence()
    one = evidence.references[0]
    answers = np.random.default_rng(0).normal(size=one.test_logits.shape)
    same = replace(evidence.references[1], digest=one.digest, test_logits=answers)
    assert reference_independence.likeness(evidence, one, same) == 1.0


@pytest.mark.parametrize("count", [1, 2, 3])
def test_of_many_pairs_three_are_listed(world, count):
    """Among references that are one model with the first there are n (n + 1) / 2 pairs."""
    honest = world.evidence().references[:2]
    twins = [
        replace(world.model(f"twin {i}", knows=False), digest=honest[0].digest)
        for i in range(count)
    ]
    evidence = world.evidence(references=(*honest, *twins), trained_here=True)
    reason = reference_independence.dependence(evidence)
    pairs = count * (count + 1) // 2
    assert reason.startswith("Reference 2 has the weights of reference 0")
    assert reason.count("has the weights of") == min(3, pairs)
    more = f"; and {pairs - 3} more pairs: these" if pairs > 3 else ": these references"
    assert more in reason


def copied_from(evidence, one, other):
    return bool(reference_independence.copied_weights(evidence, one, other))


def weights_of(*seeds, shape=(12, 16)):
    """A weight for each depth; the last layer has a row for each class."""
    names = ("body", "middle", "penultimate")
    return {
        name: np.random.default_rng(seed).normal(size=shape)
        for name, seed in zip(names, seeds, strict=True)
    }


@pytest.mark.parametrize(
    ("others", "copied"),
    [
        ((1, 2, 3), True),
        ((1, 2, 9), True),
        ((1, 8, 9), False),
        ((7, 8, 9), False),
    ],
)
def test_a_copy_has_more_than_half_of_its_weights_from_the_other(world, others, copied):
    one = replace(world.model("one", knows=False), weights=weights_of(1, 2, 3))
    other = replace(world.model("other", knows=False), weights=weights_of(*others))
    evidence = world.evidence()
    assert copied_from(evidence, one, other) is copied
    half = {name: one.weights[name] for name in ("body", "middle")}
    of_two = replace(other, weights={**half, "middle": weights_of(7, 8, 9)["middle"]})
    # one of two is no more than half
    assert copied_from(evidence, one, of_two) is False
    assert copied_from(evidence, one, replace(other, weights={})) is False


def test_columns_in_another_order_are_looked_for_in_the_last_layer_alone(world):
    evidence, own = world.evidence(), weights_of(1, 2, 3)
    one = replace(world.model("one", knows=False), weights={"penultimate": own["penultimate"]})
    turned = 2 * own["penultimate"][:, ::-1]
    other = replace(one, weights={"penultimate": turned})
    assert copied_from(evidence, one, other) is True
    inner = replace(one, weights={"body": own["penultimate"]})
    assert copied_from(evidence, inner, replace(one, weights={"body": turned})) is False


def test_weights_of_another_shape_or_of_few_numbers_are_not_compared(world):
    evidence, own = world.evidence(), weights_of(1, 2, 3)
    one = replace(
        world.model("one", knows=False),
        weights={**own, "few": np.arange(9.0), "wide": np.ones((4, 40))},
    )
    shapes = {
        "few": -np.arange(9.0),
        "wide": np.ones((4, 41)),
        "middle": weights_of(4, 5, 6)["body"],
    }
    other = replace(one, weights={**own, **shapes})
    # two of three that can be compared are the other's
    assert copied_from(evidence, one, other) is True
