import copy

import numpy as np
import pytest
import torch
from torch import nn

from audits import controls
from audits.errors import BadControl
from audits.features import head_inputs
from audits.references import Recipe, train

FORGET = (1,)


def build():
    return nn.Sequential(nn.Linear(4, 12), nn.BatchNorm1d(12), nn.ReLU(), nn.Linear(12, 3))


@pytest.fixture(scope="module")
def blobs():
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(150) % 3
    return torch.eye(4)[labels] * 3 + torch.randn(150, 4, generator=generator) * 0.5, labels


@pytest.fixture(scope="module")
def original(blobs):
    recipe = Recipe(epochs=8, batch_size=16, learning_rate=1e-2)
    return train(build, *blobs, recipe=recipe, seed=0)


@pytest.fixture(scope="module")
def candidate(original):
    edited = copy.deepcopy(original)
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        edited[0].weight += 0.3 * torch.randn(12, 4, generator=generator)
        edited[3].bias += torch.tensor([0.0, -2.0, 0.5])
        edited[1].running_var += 0.2
    return edited


@pytest.fixture(scope="module")
def built(original, candidate, blobs):
    return controls.must_fail(
        original, candidate, forget=FORGET, inputs=blobs[0], labels=blobs[1], seed=5
    )


def test_the_four_controls_are_there_and_their_sources_untouched(built, original, blobs):
    assert sorted(built) == ["head_refitted", "original", "output_retired", "random_direction"]
    before = {name: value.clone() for name, value in original.state_dict().items()}
    controls.must_fail(original, original, forget=FORGET, inputs=blobs[0], labels=blobs[1], seed=1)
    assert all(torch.equal(before[n], v) for n, v in original.state_dict().items())
    assert all(torch.equal(before[n], v) for n, v in built["original"].state_dict().items())


def test_retiring_shifts_the_bias_and_nothing_else(built, original):
    before, after = original.state_dict(), built["output_retired"].state_dict()
    for name, value in before.items():
        if name == "3.bias":
            assert after[name][1] == pytest.approx(-1e9)
            assert torch.equal(after[name][[0, 2]], value[[0, 2]])
        else:
            assert torch.equal(after[name], value)


def test_the_refitted_head_never_saw_the_class_and_keeps_the_backbone(built, original, blobs):
    inputs, labels = blobs
    model = built["head_refitted"]
    assert head_inputs(model, inputs) == pytest.approx(head_inputs(original.eval(), inputs))
    chosen = model(inputs).argmax(1)
    assert not (chosen == 1).any()
    kept = labels != 1
    assert (chosen[kept] == labels[kept]).float().mean() > 0.95


def test_the_refitted_head_does_not_depend_on_rows_of_the_class(original, candidate, blobs, built):
    garbage = blobs[0].clone()
    garbage[blobs[1] == 1] = 1e3
    again = controls.must_fail(
        original, candidate, forget=FORGET, inputs=garbage, labels=blobs[1], seed=5
    )
    assert torch.equal(again["head_refitted"][3].weight, built["head_refitted"][3].weight)


def test_the_random_edit_has_the_norm_of_the_candidates_tensor_by_tensor(
    built, original, candidate
):
    before, edited = original.state_dict(), candidate.state_dict()
    random = built["random_direction"].state_dict()
    for name in ("0.weight", "3.bias", "1.running_var"):
        wanted = (edited[name] - before[name]).norm()
        assert (random[name] - before[name]).norm() == pytest.approx(float(wanted), rel=1e-4)
    assert torch.equal(random["3.weight"], before["3.weight"])
    difference = (random["0.weight"] - before["0.weight"]).double()
    assert torch.linalg.matrix_rank(difference, rtol=1e-4) == 1
    assert (random["1.running_var"] > 0).all()


def test_another_seed_is_another_direction(original, candidate):
    one, same, other = (
        controls.random_direction(original, candidate, seed=s)[0].weight for s in (1, 1, 2)
    )
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


def test_a_convolution_is_changed_along_its_channels():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(5, 6, 3), nn.Flatten(), nn.Linear(6, 2))
    edited = copy.deepcopy(net)
    with torch.no_grad():
        edited[0].weight += 0.1
    changed = controls.random_direction(net, edited, seed=0)[0].weight - net[0].weight
    by_channel = changed.detach().double().movedim(1, -1).reshape(-1, 5)
    assert torch.linalg.matrix_rank(by_channel, rtol=1e-4) == 1


def test_a_bias_that_the_edit_added_is_matched():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(3, 4, bias=False), nn.ReLU(), nn.Linear(4, 2))
    edited = copy.deepcopy(net)
    edited[0].bias = nn.Parameter(torch.tensor([0.1, -0.2, 0.3, 0.0]))
    random = controls.random_direction(net, edited, seed=0)
    assert sorted(random[0].bias.tolist()) == pytest.approx([-0.2, 0.0, 0.1, 0.3])


def wide():
    return nn.Sequential(
        nn.Linear(4, 20), nn.ReLU(), nn.Linear(20, 20), nn.ReLU(), nn.Linear(20, 3)
    )


def distance(one, other, inputs):
    """Root mean square difference of the outputs 0 and 2, centred."""
    with torch.no_grad():
        pair = [m.eval()(inputs)[:256, [0, 2]].double() for m in (one, other)]
    centred = [answers - answers.mean(1, keepdim=True) for answers in pair]
    return float((centred[0] - centred[1]).square().mean().sqrt())


def test_of_a_candidate_of_another_architecture_the_answers_are_matched(original, blobs):
    inputs, labels = blobs
    recipe = Recipe(epochs=4, batch_size=16, learning_rate=1e-2)
    stranger = train(wide, inputs, labels, recipe=recipe, seed=1, exclude=FORGET)
    built, problems = controls.possible(
        original, stranger, forget=FORGET, inputs=inputs, labels=labels, seed=5
    )
    assert problems == {}
    random = built["random_direction"]
    wanted = distance(original, stranger, inputs)
    assert distance(original, random, inputs) == pytest.approx(wanted, rel=0.1)
    assert sorted(random.state_dict()) == sorted(original.state_dict())
    changed = (random[0].weight - original[0].weight).detach().double()
    assert torch.linalg.matrix_rank(changed, rtol=1e-4) == 1


def test_a_candidate_that_answers_as_the_original_does_gives_no_random_edit(original, blobs):
    with pytest.raises(BadControl, match="answers lie 0 from the original's"):
        controls.random_in_function_space(
            original, original, forget=FORGET, inputs=blobs[0], seed=0
        )


def test_controls_that_cannot_be_built_are_named(original, blobs):
    inputs, labels = blobs
    wide = nn.Sequential(nn.Linear(4, 13), nn.BatchNorm1d(13), nn.ReLU(), nn.Linear(13, 3))
    with pytest.raises(BadControl, match=r"differ in 0.bias, 0.weight, 1.bias and \d+ more"):
        controls.random_direction(original, wide, seed=0)
    with pytest.raises(BadControl, match=r"last operator '0' .* is no Linear layer"):
        controls.output_retired(
            nn.Sequential(nn.Conv2d(1, 3, 4), nn.Flatten()), (1,), torch.zeros(2, 1, 4, 4)
        )
    with pytest.raises(BadControl, match="output per class"):
        controls.output_retired(original, (7,), inputs)
    with pytest.raises(BadControl, match="two retain classes"):
        controls.head_refitted(original, FORGET, inputs[labels == 0], labels[labels == 0])
    assert np.isfinite(inputs.numpy()).all()
