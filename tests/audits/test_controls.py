import copy
from itertools import permutations

import numpy as np
import pytest
import torch
from torch import nn

from audits import controls, logistic
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
    for beyond in (3, 7):
        with pytest.raises(BadControl, match="output per class"):
            controls.output_retired(original, (0, beyond), inputs)
    with pytest.raises(BadControl, match="two retain classes"):
        controls.head_refitted(original, FORGET, inputs[labels == 0], labels[labels == 0])
    assert np.isfinite(inputs.numpy()).all()


def scaled_head(original, factor):
    """The original, all of whose answers are multiplied."""
    model = copy.deepcopy(original)
    with torch.no_grad():
        model[3].weight *= factor
        model[3].bias *= factor
    return model


@pytest.mark.parametrize("factor", [1.005, 1.5, 1e5])
def test_a_random_edit_moves_the_answers_as_far_however_far_that_is(original, blobs, factor):
    """By shares of the weights' norms from thousandths to hundreds, which both layers multiply."""
    candidate = scaled_head(original, factor)
    random = controls.random_in_function_space(
        original, candidate, forget=FORGET, inputs=blobs[0], seed=3
    )
    wanted = distance(original, candidate, blobs[0])
    assert distance(original, random, blobs[0]) == pytest.approx(wanted, rel=0.1)
    again = controls.random_in_function_space(
        original, candidate, forget=FORGET, inputs=blobs[0], seed=3
    )
    assert torch.equal(random[0].weight, again[0].weight)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_candidate_that_answers_no_numbers_gives_no_random_edit(original, blobs, value):
    candidate = copy.deepcopy(original)
    with torch.no_grad():
        candidate[3].bias[0] = value
    with pytest.raises(BadControl, match="cannot be made"):
        controls.random_in_function_space(
            original, candidate, forget=FORGET, inputs=blobs[0], seed=0
        )


def test_answers_that_no_random_edit_reaches_are_refused(original, blobs):
    with pytest.raises(BadControl, match="no share of the weights' norms leads as far"):
        controls.random_in_function_space(
            original, scaled_head(original, 1e30), forget=FORGET, inputs=blobs[0], seed=0
        )


def test_a_change_has_the_norm_it_is_given_along_one_direction():
    generator = torch.Generator().manual_seed(0)
    for shape in ((4, 6), (4, 6, 3), (4, 6, 3, 3)):
        weight = torch.randn(*shape, dtype=torch.float64, generator=generator)
        changed = controls._without_direction(weight, 0.7, generator)
        difference = weight - changed
        assert float(difference.norm()) == pytest.approx(0.7)
        # (out, kernel, in): all of it along one input direction, a part of the weight itself
        rows = difference.flatten(2).movedim(1, -1).reshape(-1, 6) if len(shape) > 2 else difference
        own = weight.flatten(2).movedim(1, -1).reshape(-1, 6) if len(shape) > 2 else weight
        direction = torch.linalg.svd(rows).Vh[0]
        assert torch.linalg.matrix_rank(rows, rtol=1e-9) == 1
        part = own @ direction
        scale = 0.7 / part.norm()
        torch.testing.assert_close(rows, scale * torch.outer(part, direction))


@pytest.mark.parametrize(
    ("start", "change", "least"),
    [
        ([1.0, 2.0, 3.0], [0.0, -1.5, 0.0], 0.5),
        ([0.0, 2.0, 3.0], [1.0, -0.5, 0.0], 0.0),
        ([-1.0, 2.0, 3.0], [0.5, -4.0, 0.0], None),
    ],
)
def test_a_shuffled_change_keeps_what_was_nowhere_negative_so(start, change, least):
    start, change = (torch.tensor(v, dtype=torch.float64) for v in (start, change))
    outcomes = set()
    for seed in range(20):
        moved = controls._shuffled(start, change, torch.Generator().manual_seed(seed))
        outcomes.add(tuple(moved.tolist()))
        orders = [start + change[list(order)] for order in permutations(range(3))]
        if least is not None:
            orders = [order.clamp_min(least) for order in orders]
        assert any(torch.allclose(moved, order) for order in orders)
    assert len(outcomes) > 2


def test_every_weight_loses_its_part_of_one_share(original):
    model = copy.deepcopy(original)
    start = {name: value.clone() for name, value in original.state_dict().items()}
    controls._change_all(model, start, 0.25, 7)
    for name, value in model.state_dict().items():
        moved = (value.double() - start[name].double()).norm()
        if start[name].ndim > 1:
            assert float(moved) == pytest.approx(0.25 * float(start[name].norm()), rel=1e-5)
        else:
            assert float(moved) == 0


@pytest.mark.parametrize("classes", [2, 3])
def test_a_fresh_head_is_a_logistic_fit_on_scaled_features(classes):
    """Its differences of outputs are those of the fit, undone from the scale by hand."""
    rng = np.random.default_rng(4)
    labels = np.arange(90) % classes
    features = rng.normal(size=(90, 4)) * [1, 5, 0.1, 0] + labels[:, None] * [1, 0, 0.1, 0] + 3
    weight, bias = controls._logistic_head(features, labels, 5000)
    scale = np.where(features.std(0) > 0, features.std(0), 1)
    fit = logistic.fitted((features - features.mean(0)) / scale, labels, steps=5000)
    scores = (features - features.mean(0)) / scale @ fit.coef_.T + fit.intercept_
    ours = features @ weight.T + bias
    if classes == 2:
        assert ours[:, 1] - ours[:, 0] == pytest.approx(scores[:, 0])
        assert ours[:, 1] == pytest.approx(-ours[:, 0])
    else:
        assert ours == pytest.approx(scores)
    with pytest.raises(BadControl, match="did not converge"):
        controls._logistic_head(features, labels, 1)


def test_an_output_that_the_fresh_head_was_never_shown_is_silent(built):
    head = built["head_refitted"][3]
    assert head.bias[1].item() == -1e4
    assert not head.weight[1].any()
    assert head.bias[[0, 2]].abs().max().item() < 1e3


def test_controls_that_cannot_be_made_leave_the_others(original, blobs):
    inputs, labels = blobs
    models, problems = controls.possible(
        original, original, forget=(0, 1), inputs=inputs, labels=labels, seed=1
    )
    assert sorted(models) == ["original", "output_retired", "random_direction"]
    assert list(problems) == ["head_refitted"]
    with pytest.raises(BadControl, match="two retain classes"):
        controls.must_fail(original, original, forget=(0, 1), inputs=inputs, labels=labels, seed=1)


@pytest.mark.parametrize(
    ("names", "words"),
    [(["a"], "a"), (list("abc"), "a, b, c"), (list("abcd"), "a, b, c and 1 more")],
)
def test_of_many_names_three_are_listed(names, words):
    assert controls._named(names) == words


def test_whole_numbers_and_what_did_not_change_stay(original):
    """The batch norm's count of batches is no weight."""
    edited = copy.deepcopy(original)
    edited[1].num_batches_tracked += 5
    random = controls.random_direction(original, edited, seed=0)
    before = original.state_dict()
    assert all(torch.equal(v, before[n]) for n, v in random.state_dict().items())


def test_the_last_class_with_an_output_can_be_retired(original, blobs):
    retired = controls.output_retired(original, (2,), blobs[0])
    assert retired[3].bias[2].item() == pytest.approx(-1e9)
    bare = nn.Sequential(nn.Linear(4, 3, bias=False))
    assert controls.output_retired(bare, (0,), blobs[0])[0].bias.tolist() == [-1e9, 0.0, 0.0]
