"""Covariances and the metrics in which they are round."""

from __future__ import annotations

import pytest
import torch

from damp.whitening import Cholesky, LowRank, Sketched, Whole, ridged


def random(seed, *shape):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def low_rank():
    axes, _ = torch.linalg.qr(random(0, 7, 3))
    return LowRank(axes=axes, scales=torch.tensor([3.0, 2.0, 0.5]).double(), rest=torch.tensor(0.7))


def cholesky():
    root = random(1, 7, 7)
    return Cholesky(factor=torch.linalg.cholesky(root @ root.T + torch.eye(7)))


@pytest.mark.parametrize("make", [cholesky, low_rank])
def test_a_metric_is_one_matrix_used_in_three_ways(make):
    metric = make()
    unit = torch.eye(7, dtype=torch.float64)
    matrix = metric.whiten(unit).T  # L, since L x for the rows of I are its columns
    torch.testing.assert_close(metric.colour(matrix), unit)
    torch.testing.assert_close(metric.dual(unit), matrix.T)


def test_the_low_rank_metric_is_that_of_its_covariance():
    metric = low_rank()
    inside = metric.axes @ metric.axes.T
    covariance = metric.axes @ torch.diag(metric.scales**2) @ metric.axes.T
    covariance = covariance + metric.rest**2 * (torch.eye(7) - inside)
    whitened = metric.whiten(covariance)
    torch.testing.assert_close(metric.whiten(whitened.T), torch.eye(7, dtype=torch.float64))


def test_the_ridge_is_a_share_of_the_mean_diagonal():
    raised = ridged(torch.diag(torch.tensor([1.0, 3.0])))
    torch.testing.assert_close(raised, torch.diag(torch.tensor([1.02, 3.02])))


def test_covariances_of_one_form_have_a_mean():
    one, other = torch.eye(2), torch.diag(torch.tensor([3.0, 1.0]))
    average = Whole(matrix=one).averaged(Whole(matrix=other))
    torch.testing.assert_close(average.matrix, torch.diag(torch.tensor([2.0, 1.0])))


def test_covariances_of_two_forms_have_none():
    sketch = Sketched(action=torch.ones(2, 1), diagonal=torch.ones(2), omega=torch.ones(2, 1))
    with pytest.raises(TypeError, match="no mean"):
        sketch.averaged(Whole(matrix=torch.eye(2)))
