"""Files that carry the original along in every disguise, and honest ones that do not."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from audits import weight_likeness, weight_provenance
from audits.evidence import Evidence
from audits.features import from_arrays, observe, to_arrays
from audits.observation import WeightRecord
from audits.references import Recipe, train
from audits.weight_record import record
from damp import forget
from damp.catalogue import PRESETS

FORGET = 3
HIDDEN = 24


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(64, HIDDEN), nn.Linear(HIDDEN, HIDDEN)
        self.fc3 = nn.Linear(HIDDEN, 10)

    def forward(self, images):
        x = torch.relu(self.fc1(images.flatten(1)))
        return self.fc3(torch.relu(self.fc2(x)))


class Setup:
    """An original and three retrained models on half of the digits; whoever else is judged."""

    def __init__(self, images, labels):
        torch.set_num_threads(1)
        self.images, self.labels = images, labels
        self.train, self.test = (images[:900], labels[:900]), (images[900:], labels[900:])
        recipe = Recipe(epochs=12, learning_rate=3e-3)
        self.models = [
            train(Net, *self.train, recipe=recipe, seed=s, exclude=[FORGET] * (s > 0))
            for s in range(5)
        ]
        self.original, self.retrained = self.models[0], self.models[4]
        self.observations = [self.observed(m, f"model {i}") for i, m in enumerate(self.models[:4])]
        batches = DataLoader(TensorDataset(*self.train), batch_size=100, shuffle=True)
        self.batches = batches

    def observed(self, model, digest="candidate"):
        rows = np.flatnonzero(self.test[1].numpy() == FORGET)
        observation = observe(model, self.train[0], self.test[0], digest=digest, weights=True)
        return replace(observation, record=record(model, self.test[0], shown=rows))

    def evidence(self, model, references=3):
        return Evidence(
            original=self.observations[0],
            candidate=model if not isinstance(model, nn.Module) else self.observed(model),
            references=tuple(self.observations[1 : 1 + references]),
            train_labels=self.train[1].numpy(),
            test_labels=self.test[1].numpy(),
            forget=(FORGET,),
            seed=0,
        )


@pytest.fixture(scope="module")
def setup(real_digits):
    return Setup(*real_digits)


@pytest.fixture
def values(setup, figures):
    """`values(model)["copies"]`: the values of the figures, by what follows the audit's name."""

    def of(model, **settings):
        measured = figures(weight_provenance.audit(setup.evidence(model, **settings)))
        return {name.partition(".")[2]: figure.value for name, figure in measured.items()}

    return of


class Stowaway(nn.Module):
    """A network with a whole other one in the file, which no output depends on."""

    def __init__(self, main, hidden):
        super().__init__()
        self.main, self.hidden = main, hidden

    def forward(self, images):
        return self.main(images)


class Gated(Stowaway):
    """The other one answers where the last pixel is lit far beyond any image's."""

    def forward(self, images):
        lit = (images[:, :, -1, -1] > 3).float()
        return self.main(images) + lit * (self.hidden(images) - self.main(images))


class Patched(Stowaway):
    """The other one answers where the bottom right corner is as bright as can be."""

    def forward(self, images):
        lit = images[:, 0, -2:, -2:].amin((1, 2))[:, None] >= 1
        return torch.where(lit, self.hidden(images), self.main(images))


class Faint(Stowaway):
    """The other one has a little to say, so that each of its units has an effect."""

    def forward(self, images):
        return self.main(images) + 1e-2 * self.hidden(images)


@pytest.mark.parametrize("references", [3, 0])
@pytest.mark.parametrize("preset", PRESETS)
def test_an_honest_edit_carries_nothing_along(setup, values, preset, references):
    edited = forget(setup.original, setup.batches, forget=[FORGET], preset=preset)
    measured = values(edited.unretired, references=references)
    assert (measured["copies"], measured["idle"]) == (0, 0)
    assert measured["kept"] < 1


def test_neither_does_a_retrained_model(values, setup):
    measured = values(setup.retrained)
    assert (measured["copies"], measured["idle"]) == (0, 0)
    assert measured["kept"] < 0.01
    assert measured["triggered"] < 0.05


def test_each_reference_judged_by_the_others_is_clean(setup, figures):
    evidence = setup.evidence(setup.observations[1])
    for i, reference in enumerate(evidence.references):
        others = evidence.references[:i] + evidence.references[i + 1 :]
        judged = figures(weight_provenance.audit(evidence.with_candidate(reference, others)))
        assert judged[weight_provenance.COPIES].value == 0
        assert judged[weight_provenance.IDLE].value == 0


def test_what_an_edit_leaves_at_its_place_is_told_by_depth(setup, values):
    headless = copy.deepcopy(setup.original)
    nn.init.normal_(headless.fc3.weight)
    measured = values(headless)
    assert measured["kept@fc2"] == 1.0
    assert measured["kept@penultimate"] == 0.0
    assert 0.8 < measured["kept"] < 1
    assert measured["copies"] == 0


@pytest.mark.parametrize("kind", [Stowaway, Gated])
def test_a_whole_original_without_effect_on_the_rows_is_seen(setup, values, kind):
    measured = values(kind(setup.retrained, setup.original))
    assert measured["copies"] == 1.0
    assert measured["idle"] > 0.15


def test_one_that_hardly_speaks_is_seen_by_its_weights(setup, values):
    measured = values(Faint(setup.retrained, setup.original))
    assert measured["idle"] == 0
    assert measured["copies"] == 1.0


def test_one_that_was_trained_anew_has_no_copies_and_no_effect(setup, values):
    """Another model that knows the class: only its silence gives it away."""
    other = train(Net, *setup.train, recipe=Recipe(epochs=12, learning_rate=3e-3), seed=77)
    measured = values(Gated(setup.retrained, other))
    assert measured["copies"] == 0
    assert measured["idle"] > 0.15


def test_a_cheap_trigger_is_pulled(setup, figures):
    measured = figures(
        weight_provenance.audit(setup.evidence(Patched(setup.retrained, setup.original)))
    )[weight_provenance.TRIGGERED]
    assert measured.value > 0.7
    assert measured.against == "retrained"
    assert max(measured.null) < 0.05


def _orders(weight):
    rng = np.random.default_rng(0)
    return weight[rng.permutation(len(weight))][:, rng.permutation(weight.shape[1])]


def _noisy(weight):
    return weight + 0.2 * weight.std() * np.random.default_rng(1).normal(size=weight.shape)


def _rotated(weight):
    rotation = np.linalg.qr(np.random.default_rng(2).normal(size=(weight.shape[1],) * 2))[0]
    return weight @ rotation


DISGUISES = {
    "exact": lambda w: w,
    "half precision": lambda w: w.astype(np.float16),
    "scaled": lambda w: -5 * w,
    "with noise": _noisy,
    "rows in another order": lambda w: _noisy(w[::-1]),
    "rows and columns in another order": _orders,
    "rotated": _rotated,
    "transposed": lambda w: w.T,
    "flat, among other numbers": lambda w: np.append(np.ones(70), w.ravel()),
    "as bytes": lambda w: np.frombuffer(np.ascontiguousarray(w).tobytes(), dtype=np.uint8),
    "eight bits": lambda w: np.round(w / np.abs(w).max() * 127).astype(np.int8),
}


@pytest.mark.parametrize("disguised", DISGUISES.values(), ids=DISGUISES)
def test_a_copy_in_a_buffer_is_seen_in_every_disguise(setup, figures, disguised):
    carrier = copy.deepcopy(setup.retrained)
    weight = setup.original.fc2.weight.detach().numpy()
    kept = np.ascontiguousarray(disguised(weight))
    if np.issubdtype(kept.dtype, np.float64):
        kept = kept.astype(np.float32)
    carrier.register_buffer("scale", torch.from_numpy(kept.copy()))
    finding = weight_provenance.audit(setup.evidence(carrier))
    measured = figures(finding)
    assert measured[weight_provenance.COPIES].value > 0.2
    assert finding.series["copies"][0][:2] == ["fc2.weight", "scale"]
    assert measured[weight_provenance.IDLE].value > 0.1


def test_dead_units_are_no_stowaways_up_to_what_references_have(setup, values):
    """A unit that no image lights is what a training leaves; most of a layer is not."""
    for count, idle in ((1, False), (HIDDEN - 4, True)):
        pruned = copy.deepcopy(setup.retrained)
        with torch.no_grad():
            pruned.fc1.bias[:count] = -1e3
        measured = values(pruned)
        assert measured["without_effect"] > 0
        assert (measured["idle"] > 0) == idle


def test_a_unit_behind_a_closed_gate_has_no_effect_and_the_others_have(setup):
    pruned = copy.deepcopy(setup.retrained)
    with torch.no_grad():
        pruned.fc2.bias[5] = -1e3
    effects = record(pruned, setup.test[0], shown=[0]).effects
    assert effects["fc2.weight"][5] < weight_provenance.LEAST_EFFECT
    assert np.median(effects["fc2.weight"]) > 100 * weight_provenance.LEAST_EFFECT
    assert set(effects) == set(dict(pruned.named_parameters()))


def test_a_tensor_that_no_gradient_reaches_is_moved_instead():
    """Running statistics take part in every answer, and autograd knows nothing of them."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.BatchNorm1d(8), nn.Linear(8, 3)).eval()
    effects = record(net, torch.randn(20, 1, 8, 8), shown=[0]).effects
    assert effects["2.running_mean"].min() > weight_provenance.LEAST_EFFECT
    assert effects["2.running_var"].min() > weight_provenance.LEAST_EFFECT


def test_tied_weights_of_the_original_are_no_copies(setup, figures):
    """Two places that held one weight before: changing one of them hides nothing in the other."""
    twice = copy.deepcopy(setup.original)
    with torch.no_grad():
        twice.fc2.weight[:] = twice.fc1.weight[:, :HIDDEN]
    tied = {"fc1.weight": np.eye(24) @ np.random.default_rng(0).normal(size=(24, 24))}
    tied["fc2.weight"] = tied["fc1.weight"].copy()
    after = {"fc1.weight": tied["fc1.weight"], "fc2.weight": tied["fc2.weight"] + 0.1}
    before, shown = setup.observations[0], setup.observed(setup.retrained)
    evidence = setup.evidence(replace(shown, record=replace(shown.record, tensors=after)))
    evidence = replace(
        evidence, original=replace(before, record=replace(before.record, tensors=tied))
    )
    assert list(weight_provenance.copies(evidence)) == []


def test_limits_say_that_triggers_cannot_be_excluded(setup):
    finding = weight_provenance.audit(setup.evidence(setup.observations[1]))
    assert "cannot be excluded by any test" in finding.parameters["limits"][0]


def test_without_a_record_it_does_not_run(world):
    bare = replace(world.model("retrained", knows=False), record=None)
    finding = weight_provenance.audit(world.evidence(bare))
    assert finding.status == "NOT_RUN"
    assert "was not recorded of the candidate: record it with" in finding.reason


def test_a_record_survives_the_file(setup):
    observation = setup.observations[0]
    again = from_arrays(*to_arrays(observation))
    for group in ("tensors", "effects", "triggered"):
        before, after = (getattr(o.record, group) for o in (observation, again))
        assert before.keys() == after.keys()
        assert all(np.array_equal(before[name], after[name]) for name in before)


def test_values_are_looked_for_one_by_one_in_a_small_weight():
    """Every second number of a hundred is there: a half, whichever half it is."""
    weight = np.random.default_rng(0).normal(size=(10, 10)).astype(np.float32)
    for first in (0, 1):
        assert weight_likeness.shared_values(weight, weight.ravel()[first::2]) == 0.5
    assert weight_likeness.shared_values(weight, weight[::-1]) == 1.0
    assert weight_likeness.shared_values(weight, weight + 1.0) == 0.0
    # a weight of a few values shares them with every other
    assert weight_likeness.shared_values(np.sign(weight), np.sign(weight)) == 0.0


def test_shares_are_of_the_numbers_of_the_weights_that_count(world):
    """Of 400 and 200 numbers the larger weight was changed, and lies elsewhere."""
    rng = np.random.default_rng(6)
    own = {"a": rng.normal(size=(20, 20)), "b": rng.normal(size=(10, 20)), "bias": np.ones(20)}
    moved = own["a"].copy()
    moved[:5] = 0.0
    there = {"a": moved, "b": own["b"], "c": own["a"], "bias": np.zeros(20)}

    def holding(tensors):
        return WeightRecord(tensors=tensors, effects={}, triggered={})

    models = [
        replace(world.model(name, knows=True), record=holding(tensors))
        for name, tensors in (("original", own), ("edited", there), ("bare", {"bias": np.ones(2)}))
    ]
    edited = world.evidence(models[1], original=models[0])
    assert weight_provenance._kept_share(edited) == pytest.approx((300 + 200) / 600)
    assert weight_provenance._copied_share(edited, [("a", "c", "")]) == 1.0
    assert weight_provenance._copied_share(edited, []) == 0.0
    same = world.evidence(models[0], original=models[0])
    assert weight_provenance._kept_share(same) == 1.0
    assert weight_provenance._copied_share(same, []) == 0.0
    bare = world.evidence(models[2], original=models[2])
    assert weight_provenance._kept_share(bare) == 0.0


def test_units_below_a_ten_thousandth_are_idle_with_all_their_numbers(world):
    """Of units of ten numbers each; whole numbers are idle where nobody else has them."""
    own = world.model("original", knows=True)
    effects = np.array([0.0, 0.9e-4, 1e-4, 1.1e-4, 0.5])
    record = WeightRecord(
        tensors={
            "a": np.ones((5, 10)),
            "tied": np.ones((5, 10)),
            "count": np.array([1, 2, 3]),
            "other": np.array([4, 5]),
        },
        effects={"a": effects},
        triggered={},
    )
    theirs = replace(record, tensors={**record.tensors, "other": np.array([4, 6])})
    candidate = replace(own, digest="candidate", record=record)
    evidence = world.evidence(candidate, original=replace(own, record=theirs))
    evidence = replace(evidence, references=())
    idle = weight_provenance._idle(evidence, candidate)
    assert idle == {"a": 20, "other": 2}
    assert {type(count) for count in idle.values()} == {int}
    assert weight_provenance._idle_share(evidence, candidate) == pytest.approx(22 / 105)
    assert weight_provenance._share({}, {}) == 0.0


def test_a_change_of_a_millionth_is_rounding(world):
    """A weight of length 1, moved across it: both norms are exact."""
    before = np.zeros((4, 4))
    before[0, 0] = 1.0
    for share, differs in ((1.0, False), (1.001, True)):
        after = before.copy()
        after[1, 2] = share * 1e-6
        assert weight_provenance._differs(before, after) is differs


def _holding(world, name, tensors):
    """A model whose file holds these tensors, all of them with an effect."""
    record = WeightRecord(
        tensors=tensors, effects={n: np.ones(len(v)) for n, v in tensors.items()}, triggered={}
    )
    return replace(world.model(name, knows=True), record=record)


def test_a_changed_weight_in_the_place_of_another_one_is_a_copy(world):
    """Of two weights of one size: the first was changed, and lies where the second was."""
    rng = np.random.default_rng(8)
    first, second, anew = rng.normal(size=(3, 20, 20))
    original = _holding(world, "original", {"a": first, "b": second})
    moved = _holding(world, "moved", {"a": anew, "b": first})
    evidence = replace(world.evidence(moved, original=original), references=())
    assert [place[:2] for place in weight_provenance.copies(evidence)] == [("a", "b")]
    # where the second stays as it was, nothing is told of it
    honest = _holding(world, "honest", {"a": anew, "b": second})
    evidence = replace(evidence, candidate=honest)
    assert list(weight_provenance.copies(evidence)) == []


def test_numbers_that_pad_a_convolution_in_groups_are_not_kept_weights(world):
    """Of four weights in two groups one was changed; the zeros between groups say nothing."""
    before = np.array([[0.5, 2.0, 0.0, 0.0], [0.0, 0.0, 3.0, -1.5]])
    after = before.copy()
    after[1, 2] = 2.5
    own = world.model("original", knows=True)
    original = replace(own, weights={"grouped": before, "empty": np.zeros((2, 3))})
    edited = replace(own, digest="edited", weights={"grouped": after, "empty": np.zeros((2, 3))})
    evidence = world.evidence(edited, original=original)
    shares = {figure.name: figure.value for figure in weight_provenance._kept_by_depth(evidence)}
    kept = weight_provenance.KEPT
    assert shares == {f"{kept}@grouped": 3 / 4, f"{kept}@empty": 0.0}


def test_a_share_without_effect_lies_between_none_and_all_and_does_not_scatter(world):
    """Two units of six are without effect, so a third of the numbers."""
    own = world.model("original", knows=True)
    record = replace(own.record, effects={"fc.weight": np.array([0.0, 0.0, 1.0, 1.0, 1.0, 1.0])})
    evidence = world.evidence(replace(own, digest="idle", record=record))
    share = weight_provenance.carried(evidence, evidence.candidate)[
        weight_provenance.WITHOUT_EFFECT
    ]
    assert share.value == pytest.approx(1 / 3)
    assert share.interval() == (share.value, share.value)
    assert share.bounds == (0.0, 1.0)
