"""How a method is called: its settings, its random state, and what it must give."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from damp import methods
from damp.methods import running


@pytest.fixture
def job() -> methods.Job:
    torch.manual_seed(0)
    return methods.Job(
        model=nn.Sequential(nn.Linear(2, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.Linear(4, 3)).train(),
        inputs=torch.randn(12, 2),
        labels=torch.arange(12) % 3,
        forget=(1,),
        seed=5,
    )


def test_settings_are_the_rows_with_those_given_in_their_place() -> None:
    defaults = methods.METHODS["neggrad_plus"].defaults
    assert running.checked_settings("neggrad_plus", {}) == defaults
    given = running.checked_settings("neggrad_plus", {"alpha": 0.0})
    assert given == {**defaults, "alpha": 0.0}
    assert list(given) == list(defaults)
    assert methods.METHODS["neggrad_plus"].defaults == defaults


@pytest.mark.parametrize("value", [-1e-9, float("inf"), float("nan")])
def test_a_setting_that_is_no_finite_number_from_0_on_is_refused(value: float) -> None:
    with pytest.raises(methods.BadSetting, match="give a finite number, 0 or more"):
        running.checked_settings("scrub", {"rate": value})


def test_draws_come_from_the_jobs_seed_and_leave_the_callers_alone(job: methods.Job) -> None:
    def drawing(given: methods.Job) -> nn.Module:
        assert not torch.is_grad_enabled()
        own = given.copy().train()
        own[0].weight.copy_(torch.rand(4, 2))  # type: ignore[index, operator]
        return own

    torch.manual_seed(9)
    expected = torch.rand(1)
    torch.manual_seed(9)
    one, other = (running.forgotten(drawing, "drawing", job, {}).model for _ in range(2))
    assert torch.rand(1) == expected
    torch.manual_seed(5)
    for done in (one, other):
        assert not done.training
    assert torch.equal(one[0].weight, torch.rand(4, 2))  # type: ignore[index]
    assert torch.equal(one[0].weight, other[0].weight)  # type: ignore[index]
    assert job.model.training
    assert torch.is_grad_enabled()


def test_what_is_no_network_or_not_finite_is_refused(job: methods.Job) -> None:
    with pytest.raises(methods.BadJob, match="'odd' returned a int, not a torch module"):
        running.forgotten(lambda job: 3, "odd", job, {})  # type: ignore[arg-type, return-value]

    def broken(given: methods.Job) -> nn.Module:
        own = given.copy()
        own[1].running_var[2] = float("nan")  # type: ignore[index]
        return own

    with pytest.raises(methods.BadJob, match="'odd' diverged: its weights are not finite"):
        running.forgotten(broken, "odd", job, {})
