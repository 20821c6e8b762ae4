import copy

import numpy as np
import pytest
import torch
from torch import nn

from audits.errors import BadEvidence
from audits.features import called_operators, from_arrays, head_inputs, observe, to_arrays


class Net(nn.Module):
    """Two convolutions and two linear layers; `spare` is never called."""

    def __init__(self) -> None:
        super().__init__()
        self.fc2 = nn.Linear(5, 3)
        self.fc1 = nn.Linear(6, 5)
        self.spare = nn.Linear(4, 4)
        self.conv2 = nn.Conv2d(4, 6, 3, padding=1)
        self.conv1 = nn.Conv2d(1, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(4)
        self.drop = nn.Dropout(0.5)

    def forward(self, images):
        x = torch.relu(self.norm(self.conv1(images)))
        x = torch.relu(self.conv2(x)).mean((2, 3))
        return self.fc2(torch.relu(self.fc1(self.drop(x))))


@pytest.fixture(scope="module")
def net():
    torch.manual_seed(0)
    return Net().eval()


@pytest.fixture(scope="module")
def images():
    return torch.randn(30, 1, 8, 8, generator=torch.Generator().manual_seed(1))


def test_operators_come_in_the_order_of_the_forward_pass(net, images):
    names = [operator.name for operator in called_operators(net, images[:2])]
    assert names == ["conv1", "conv2", "fc1", "fc2"]


def test_features_are_the_pooled_inputs_by_hand(net, images):
    observation = observe(net, images, images, digest="d", batch_size=7)
    with torch.inference_mode():
        before = torch.relu(net.norm(net.conv1(images)))
        pooled = torch.relu(net.conv2(before)).mean((2, 3))
        last = torch.relu(net.fc1(pooled))
        logits = net.fc2(last)
    assert list(observation.features) == ["conv2", "fc1", "penultimate"]
    assert observation.features["conv2"] == pytest.approx(before.mean((2, 3)).numpy(), abs=1e-6)
    assert observation.features["fc1"] == pytest.approx(pooled.numpy(), abs=1e-6)
    assert observation.features["penultimate"] == pytest.approx(last.numpy(), abs=1e-6)
    assert observation.test_logits == pytest.approx(logits.double().numpy(), abs=1e-6)
    assert observation.test_logits.dtype == np.float64
    assert head_inputs(net, images) == pytest.approx(last.numpy(), abs=1e-6)


def test_the_model_stays_as_it_is_even_in_training_mode(net, images):
    training = copy.deepcopy(net).train()
    before = copy.deepcopy(training.state_dict())
    observe(training, images, images, digest="d")
    assert training.training
    assert all(torch.equal(before[name], value) for name, value in training.state_dict().items())
    assert not any(module._forward_pre_hooks for module in training.modules())


def test_the_batch_size_changes_nothing(net, images):
    one, other = (observe(net, images, images, digest="d", batch_size=b) for b in (4, 30))
    assert one.test_logits == pytest.approx(other.test_logits, abs=1e-5)
    assert one.features["fc1"] == pytest.approx(other.features["fc1"], abs=1e-5)


@pytest.mark.parametrize(
    ("depths", "names"),
    [(1, ["penultimate"]), (2, ["fc1", "penultimate"]), (9, ["conv2", "fc1", "penultimate"])],
)
def test_the_last_features_are_always_among_the_depths(net, images, depths, names):
    assert list(observe(net, images, images, digest="d", depths=depths).features) == names


def test_an_observation_survives_the_file_format(net, images):
    observation = observe(net, images[:9], images, digest="abc", retired=(1,))
    again = from_arrays(*to_arrays(observation))
    assert (again.digest, again.retired) == ("abc", (1,))
    assert list(again.features) == list(observation.features)
    assert (again.train_logits == observation.train_logits).all()


def test_what_cannot_be_observed_is_refused(net, images):
    with pytest.raises(BadEvidence, match="no rows to observe"):
        observe(net, images, images[:0], digest="d")
    with pytest.raises(BadEvidence, match="at least 1"):
        observe(net, images, images, digest="d", depths=0)
    with pytest.raises(BadEvidence, match="calls no Linear, Conv"):
        observe(nn.Flatten(), images, images, digest="d")
    with pytest.raises(BadEvidence, match="logits of shape"):
        observe(nn.Conv2d(1, 3, 1), images, images, digest="d")


@pytest.mark.parametrize("bias", [True, False])
def test_a_linear_head_is_observed_with_its_bias_or_with_none(bias) -> None:
    net = nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 3, bias=bias)).eval()
    rows = torch.randn(6, 4)
    head = observe(net, rows, rows, digest="x").head
    inputs = net[:2](rows).detach().double().numpy()
    np.testing.assert_allclose(
        inputs @ head.weight.T + head.bias, net(rows).detach().numpy(), atol=1e-5
    )
    assert bool(head.bias.any()) is bias


@pytest.mark.parametrize(
    ("fresh", "unseen", "passes"), [(0, 0, 1.0), (9, 0, 1.2), (0, 18, 1.4), (9, 18, 1.6)]
)
def test_passes_are_counted_in_those_over_the_rows_of_both_sides(
    net, images, fresh, unseen, passes
):
    more = {
        name: torch.randn(count, 1, 8, 8)
        for name, count in (("fresh", fresh), ("unseen", unseen))
        if count
    }
    observation = observe(net, images[:15], images, digest="d", **more)
    assert observation.passes["observe"] == pytest.approx(passes)
    assert observation.passes["relearning"] == 0.0


def deep_net(layers):
    torch.manual_seed(2)
    parts = [part for _ in range(layers) for part in (nn.Linear(4, 4), nn.Tanh())]
    return nn.Sequential(*parts, nn.Linear(4, 3)).eval()


@pytest.mark.parametrize(
    ("layers", "depths", "names"),
    [
        # operators 0, 2, 4 ...: the first reads the image, the last is the head
        (1, 5, []),
        (2, 5, ["2"]),
        (7, 1, []),
        (7, 2, ["12"]),
        (7, 3, ["2", "12"]),
        (7, 4, ["2", "6", "12"]),
        (7, 5, ["2", "6", "8", "12"]),
        (7, 7, ["2", "4", "6", "8", "10", "12"]),
        (7, 9, ["2", "4", "6", "8", "10", "12"]),
    ],
)
def test_depths_are_spread_evenly_from_the_deep_end(layers, depths, names):
    net, rows = deep_net(layers), torch.randn(5, 4)
    observation = observe(net, rows, rows, digest="d", depths=depths, weights=True)
    assert list(observation.features) == [*names, "penultimate"]
    assert list(observation.weights) == [*names, "penultimate"]
    assert observe(net, rows, rows, digest="d").weights == {}
    for name in names:
        expected = net[: int(name)](rows).detach().numpy()
        np.testing.assert_allclose(observation.features[name], expected, atol=1e-6)


def test_further_rows_are_read_as_the_others_are(net, images):
    fresh, unseen = torch.randn(7, 1, 8, 8), torch.randn(11, 1, 8, 8)
    observation = observe(net, images, images, digest="d", fresh=fresh, unseen=unseen, retired=[2])
    assert observation.retired == (2,)
    for rows, readout in ((fresh, observation.fresh), (unseen, observation.unseen)):
        alone = observe(net, images, rows, digest="d")
        np.testing.assert_allclose(readout.logits, alone.test_logits, atol=1e-6)
        for name, values in readout.features.items():
            np.testing.assert_allclose(values, alone.features[name], atol=1e-6)
    without = observe(net, images, images, digest="d")
    assert (without.fresh, without.unseen, without.retired) == (None, None, ())


def test_a_layer_that_is_used_twice_has_the_mean_of_both_inputs():
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.again = nn.Linear(4, 5), nn.Linear(5, 5)
            self.head = nn.Linear(5, 3)

        def forward(self, rows):
            x = torch.tanh(self.first(rows))
            return self.head(self.again(torch.tanh(self.again(x))))

    net, rows = Twice().eval(), torch.randn(6, 4)
    with torch.no_grad():
        once = torch.tanh(net.first(rows))
        twice = torch.tanh(net.again(once))
    measured = observe(net, rows, rows, digest="d", batch_size=4).features["again"]
    np.testing.assert_allclose(measured, (once + twice).numpy() / 2, atol=1e-6)


@pytest.mark.parametrize("groups", [1, 2])
def test_a_weight_as_rows_acts_on_the_features_of_each_position(groups):
    layer = nn.Conv2d(4, 8, (1, 3), groups=groups, bias=False)
    net = nn.Sequential(nn.Conv2d(4, 4, 1), nn.Tanh(), layer, nn.Flatten(), nn.Linear(8, 3)).eval()
    images = torch.randn(5, 4, 1, 3)
    matrix = observe(net, images, images, digest="d", weights=True).weights["2"]
    assert matrix.shape == (8 * 3, 4)
    with torch.no_grad():
        inner = net[:2](images)
        outputs = layer(inner)[:, :, 0, 0].numpy()  # a kernel as wide as the map
    by_position = inner[:, :, 0].numpy()
    rows = matrix.reshape(8, 3, 4)
    np.testing.assert_allclose(np.einsum("opd,ndp->no", rows, by_position), outputs, atol=1e-5)


def test_a_head_that_is_no_linear_layer_with_an_output_a_class_is_none():
    images = torch.randn(5, 4, 1, 1)
    body = (nn.Conv2d(4, 4, 1), nn.Tanh())
    for last in (
        (nn.Conv2d(4, 3, 1), nn.Flatten()),
        (nn.Flatten(), nn.Linear(4, 6), nn.Unflatten(1, (3, 2)), nn.MaxPool1d(2), nn.Flatten()),
    ):
        observation = observe(nn.Sequential(*body, *last).eval(), images, images, digest="d")
        assert observation.head is None
        assert observation.test_logits.shape == (5, 3)


def test_a_head_that_reads_the_same_for_every_image_is_still_the_head():
    net = nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 5), nn.ReLU(), nn.Linear(5, 3))
    with torch.no_grad():
        net[2].bias.fill_(-1e6)
    rows = torch.randn(6, 4)
    observation = observe(net.eval(), rows, rows, digest="d")
    assert observation.features["penultimate"].tolist() == np.zeros((6, 5)).tolist()
    np.testing.assert_array_equal(observation.head.weight, net[4].weight.detach().numpy())


def test_five_depths_are_kept_where_nobody_says_how_many():
    net, rows = deep_net(9), torch.randn(5, 4)
    assert list(observe(net, rows, rows, digest="d").features) == list(
        observe(net, rows, rows, digest="d", depths=5).features
    )
    assert len(observe(net, rows, rows, digest="d").features) == 5
