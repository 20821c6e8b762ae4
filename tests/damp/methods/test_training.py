"""What methods share: the loop, batch norms, divergences, jobs and the count of rows."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from damp import methods
from damp.methods import job as jobs
from damp.methods import passes, running, training
from damp.methods.trained import bad_teacher, last_blocks, unsc, unsir
from damp.methods.training import FROZEN, TRAIN, Loop

ROWS = torch.arange(12.0).reshape(6, 2).double()
LABELS = torch.tensor([0, 1, 0, 2, 1, 2])


def job(**changed: Any) -> methods.Job:
    model = nn.Linear(2, 3).double()
    given: dict[str, Any] = {
        "model": model,
        "inputs": ROWS,
        "labels": LABELS,
        "forget": (1,),
        "seed": 3,
    }
    return methods.Job(**(given | changed))


@pytest.mark.parametrize("epochs", [0, -1, 0.5, 1.5])
def test_epochs_are_whole_numbers_from_one_on(epochs: float) -> None:
    with pytest.raises(methods.BadSetting, match="whole number"):
        Loop(epochs=epochs, rate=0.1)
    assert Loop(epochs=1, rate=0.1).epochs == Loop(epochs=1.0, rate=0.1).epochs


@pytest.mark.parametrize("rate", [0.0, -0.1, float("inf"), float("nan")])
def test_a_learning_rate_lies_above_0(rate: float) -> None:
    with pytest.raises(methods.BadSetting, match="above 0"):
        Loop(epochs=1, rate=rate)


def test_two_steps_have_momentum_and_decay() -> None:
    """Of a loss with the slope 1, from the weight 2: by hand, as published for SGD."""
    model = nn.Linear(1, 1, bias=False).double()
    model.weight.data.fill_(2.0)
    batch = (torch.ones(1, 1).double(),)
    numbers = []

    def epoch(number: int) -> list[tuple[torch.Tensor, ...]]:
        numbers.append(number)
        return [batch]

    done = training.descend(
        model, Loop(epochs=2, rate=0.1), epoch, lambda part: model(part[0]).sum()
    )
    assert numbers == [0, 1]
    first = 1 + 5e-4 * 2
    weight = 2 - 0.1 * first
    second = 0.9 * first + 1 + 5e-4 * weight
    assert done.weight.item() == pytest.approx(weight - 0.1 * second)  # type: ignore[operator]
    assert done.weight.grad is None
    assert not done.training


def test_gradients_are_edited_before_each_step_and_weights_after() -> None:
    model = nn.Linear(1, 1, bias=False).double()
    model.weight.data.fill_(1.0)
    calls = []

    def edit() -> None:
        calls.append(("gradient", round(model.weight.item(), 9)))
        model.weight.grad.fill_(10.0)  # type: ignore[union-attr]

    def after() -> None:
        calls.append(("weight", round(model.weight.item(), 9)))

    loop = Loop(epochs=1, rate=0.1, momentum=0.0, decay=0.0)
    batches = [(torch.ones(1, 1).double(),)] * 2
    training.descend(
        model,
        loop,
        lambda _: batches,
        lambda part: model(part[0]).sum(),
        edit_gradients=edit,
        after_step=after,
    )
    assert calls == [("gradient", 1.0), ("weight", 0.0), ("gradient", 0.0), ("weight", -1.0)]


def test_what_takes_no_gradient_stays() -> None:
    model = nn.Sequential(nn.Linear(1, 1), nn.Linear(1, 1)).double()
    model[0].requires_grad_(False)
    before = model[0].weight.clone()
    for adam in (True, False):
        training.descend(
            model,
            Loop(epochs=1, rate=0.1, adam=adam),
            lambda _: [(torch.ones(1, 1).double(),)],
            lambda part: model(part[0]).sum(),
        )
    assert torch.equal(model[0].weight, before)


def test_adams_first_step_has_the_size_of_the_rate() -> None:
    model = nn.Linear(1, 1, bias=False).double()
    before = model.weight.item()
    loop = Loop(epochs=1, rate=0.25, adam=True)
    training.descend(
        model, loop, lambda _: [(torch.ones(1, 1).double(),)], lambda part: 7 * model(part[0]).sum()
    )
    assert model.weight.item() == pytest.approx(before - 0.25, abs=1e-6)


@pytest.mark.parametrize("norms", [TRAIN, FROZEN])
def test_batch_norms_follow_or_keep_their_statistics(norms: str) -> None:
    """One whose parameters take no gradient keeps them either way, one without any follows."""
    model = nn.Sequential(
        nn.BatchNorm1d(2), nn.BatchNorm1d(2), nn.BatchNorm1d(2, affine=False), nn.Dropout()
    )
    model[1].requires_grad_(False)
    training.set_mode(model.eval(), norms)
    follows = norms == TRAIN
    assert [layer.training for layer in model] == [follows, False, follows, True]


@pytest.mark.parametrize("temperature", [1.0, 2.0])
def test_the_divergence_is_a_sum_of_logarithms(temperature: float) -> None:
    rng = np.random.default_rng(0)
    teacher, student = rng.normal(size=(2, 4, 3))
    p, q = (
        np.exp(v / temperature) / np.exp(v / temperature).sum(1, keepdims=True)
        for v in (teacher, student)
    )
    expected = temperature**2 * (p * np.log(p / q)).sum(1).mean()
    ours = training.divergence(torch.tensor(teacher), torch.tensor(student), temperature)
    assert float(ours) == pytest.approx(expected)


def test_classes_that_are_left_out_have_no_chance_and_the_logits_stay() -> None:
    values = torch.tensor([[1.0, 9.0, 2.0]])
    masked = training.without(values, (1,))
    assert masked.softmax(1)[0, 1] == 0
    assert masked[0, [0, 2]].tolist() == [1.0, 2.0]
    assert values[0, 1] == 9


def test_a_job_names_its_rows_and_copies_its_model() -> None:
    task = job()
    assert task.forget_rows.tolist() == [1, 4]
    assert task.retain_rows.tolist() == [0, 2, 3, 5]
    task.model.requires_grad_(False).train()
    copied = task.copy()
    assert not copied.training
    assert all(value.requires_grad for value in copied.parameters())
    assert copied.weight is not task.model.weight
    inputs, labels = task.rows(torch.tensor([3, 1]))
    assert torch.equal(inputs, ROWS[[3, 1]])
    assert labels.tolist() == [2, 1]
    assert [len(part[1]) for part in task.in_order(torch.arange(6), 4)] == [4, 2]
    assert jobs.EVALUATED == 256


def test_shuffled_rows_come_once_and_a_last_one_alone_not() -> None:
    """A batch norm refuses one row; two are enough."""
    task, numbers = job(), torch.arange(6)
    for size, sizes in ((4, [4, 2]), (5, [5]), (2, [2, 2, 2]), (6, [6]), (1, [])):
        parts = list(task.shuffled(numbers, size, task.generator()))
        assert [len(labels) for _, labels in parts] == sizes
    (whole,) = task.shuffled(numbers, 6, task.generator())
    order = torch.randperm(6, generator=torch.Generator().manual_seed(3))
    assert torch.equal(whole[0], ROWS[order])
    ((inputs, _),) = task.batches()
    assert torch.equal(inputs, ROWS[order])


def test_a_fresh_network_is_drawn_by_the_seed_alone() -> None:
    task = job(build=lambda: nn.Linear(2, 3).double())
    state = torch.get_rng_state()
    one, other = task.fresh(), task.fresh()
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(3)
    assert torch.equal(one.weight, nn.Linear(2, 3).double().weight)
    assert torch.equal(one.weight, other.weight)
    assert job().seed == 3
    assert methods.Job(model=nn.Linear(2, 3), inputs=ROWS, labels=LABELS, forget=(1,)).seed == 0


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"labels": LABELS[:, None]}, r"shape \(6, 1\): one a row"),
        ({"labels": LABELS[:5]}, r"shape \(5,\): one a row"),
        ({"labels": LABELS.int()}, "int64"),
        ({"forget": ()}, "name each once"),
        ({"forget": (2, 1)}, "in order"),
        ({"forget": (1, 1)}, "name each once"),
        ({"forget": (3,)}, "give its rows"),
        ({"labels": torch.tensor([1, 1, 1, 1, 1, 2])}, "Fewer than two rows"),
    ],
)
def test_what_is_no_job_is_refused(changed: dict[str, Any], words: str) -> None:
    with pytest.raises(methods.BadJob, match=words):
        job(**changed)


def test_two_rows_to_keep_are_enough() -> None:
    assert len(job(labels=torch.tensor([1, 1, 1, 1, 2, 2])).retain_rows) == 2


class Pair(nn.Module):
    """A network whose output is no tensor, and that can be called without one."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(2, 2)

    def forward(self, rows: torch.Tensor | None = None) -> Any:
        return (self.inner(torch.ones(1, 2) if rows is None else rows),)


def test_rows_are_counted_at_the_outermost_call() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.ReLU())
    with passes.counting() as counted:
        model(torch.ones(5, 2)).sum().backward()
        with torch.no_grad():
            model(torch.ones(3, 2))
        Pair()(torch.ones(4, 2))  # no tensor comes out: not counted
        Pair()()
        with passes.counted_as(forward=7, backward=2):
            model(torch.ones(9, 2)).sum().backward()
        model(torch.ones(1, 2))
    assert (counted.forward, counted.backward) == (5 + 3 + 7 + 1, 5 + 2)
    model(torch.ones(6, 2))  # outside nothing is counted
    assert counted.forward == 16
    with passes.counted_as(forward=3):
        pass
    assert passes.Passes() == passes.Passes(forward=0, backward=0)
    with passes.counting() as plain, passes.counted_as():
        pass
    assert plain == passes.Passes()


def test_a_call_that_fails_is_over() -> None:
    model = nn.Linear(2, 2)
    with passes.counting() as counted:
        with pytest.raises(RuntimeError):
            model(torch.ones(5, 3))
        model(torch.ones(4, 2))
    assert counted.forward == 4


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_a_method_gives_back_is_checked(value: float) -> None:
    def numbers(task: methods.Job) -> Any:
        return 5

    def broken(task: methods.Job) -> nn.Module:
        model = nn.BatchNorm1d(2)
        model.running_mean[0] = value
        return model

    def counted(task: methods.Job, *, factor: float) -> nn.Module:
        model = task.copy().train()
        model(task.inputs)
        model.weight.mul_(factor)
        return model

    with pytest.raises(methods.BadJob, match="'numbers' returned a int, not a torch module"):
        running.forgotten(numbers, "numbers", job(), {})
    with pytest.raises(methods.BadJob, match="'broken' diverged"):
        running.forgotten(broken, "broken", job(), {})
    done = running.forgotten(counted, "counted", job(), {"factor": 0.0})
    assert not done.model.training
    assert not done.model.weight.any()
    assert done.passes == passes.Passes(forward=6)


@pytest.mark.parametrize("value", [-0.1, float("inf"), float("nan")])
def test_settings_are_finite_numbers_from_0_on(value: float) -> None:
    with pytest.raises(methods.BadSetting, match=r"'gamma' is .*: give a finite number"):
        running.checked_settings("scrub", {"gamma": value})
    checked = running.checked_settings("scrub", {"gamma": 0.0})
    assert checked["gamma"] == 0.0
    assert checked["alpha"] > 0


@pytest.mark.parametrize(("energy", "count"), [(0.6, 1), (0.61, 2), (0.9, 2), (0.91, 3), (1.0, 3)])
def test_as_few_directions_as_hold_the_energy(energy: float, count: int) -> None:
    """Six, three and one of ten, and one that holds nothing."""
    products = torch.diag(torch.tensor([1.0, 6.0, 0.0, 3.0])).double()
    basis = unsc.spanning(products, energy)
    expected = torch.eye(4).double()[[1, 3, 0][:count]]
    torch.testing.assert_close(basis.abs().T, expected)


@pytest.mark.parametrize("energy", [0.0, 1.01, -1.0])
def test_an_energy_is_a_share(energy: float) -> None:
    with pytest.raises(methods.BadSetting, match="1 at most"):
        unsc.run(job(), energy=energy)
    assert unsc.run(job(), energy=1.0, epochs=1) is not None


def test_bases_span_the_inputs_of_linear_layers_and_whole_convolutions() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(2, 2, 1, groups=2), nn.Conv2d(2, 3, 2), nn.Flatten(), nn.Linear(3, 3)
    ).double()
    images = torch.randn(6, 2, 2, 2).double()
    bases = unsc.spans(model, job(model=model, inputs=images), 1.0)
    assert list(bases) == [model[1], model[3]]
    hidden = model[:3](images[[0, 2, 3, 5]]).detach()
    basis = bases[model[3]]
    torch.testing.assert_close(hidden @ basis @ basis.T, hidden)


def test_the_rows_that_span_are_256_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    assert unsc.ROWS == 256
    monkeypatch.setattr(unsc, "ROWS", 1)
    (basis,) = unsc.spans(nn.Linear(2, 3).double(), job(), 1.0).values()
    assert basis.shape == (2, 1)


def test_unsirs_constants_are_those_of_its_page() -> None:
    numbers = (unsir.NOISE_STEPS, unsir.NOISE_RATE, unsir.NOISE_ROWS, unsir.SUBSET)
    assert numbers == (40, 0.1, 64, 500)
    assert (unsir.PENALTY, unsir.NOISE_SHARE) == (0.1, 0.6)


def deep() -> nn.Sequential:
    return nn.Sequential(nn.Linear(2, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.Linear(4, 3)).double()


@pytest.mark.parametrize("last", [0, 3, 1.5, -1])
def test_a_network_has_so_many_operators(last: float) -> None:
    with pytest.raises(methods.BadSetting, match="give 1 to 2"):
        last_blocks.names_from(deep(), last)


def test_the_last_operators_and_what_follows_them_are_trained() -> None:
    assert last_blocks.names_from(deep(), 1) == {"3.weight", "3.bias"}
    assert last_blocks.names_from(deep(), 2) == set(deep().state_dict())
    model = deep()
    for value in last_blocks.catastrophic(job(model=model), last=1, epochs=1).parameters():
        assert value.requires_grad


@pytest.mark.parametrize("share", [0.0, 1.01])
def test_bad_teachers_share_is_one_of_the_rows(share: float) -> None:
    with pytest.raises(methods.BadSetting, match="of the rows"):
        bad_teacher.run(job(build=deep), share=share)
    assert bad_teacher.run(job(build=lambda: nn.Linear(2, 3).double()), share=1.0) is not None
