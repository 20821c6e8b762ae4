"""Covariances and the metrics in which they are round."""

from __future__ import annotations

import pytest
import torch

from damp.whitening import SKETCH, Cholesky, LowRank, Sketched, Whole, random_matrix, ridged


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


def sketch_of(covariance, omega):
    return Sketched(action=covariance @ omega, diagonal=covariance.diagonal(), omega=omega)


def test_the_mean_of_two_sketches_is_the_sketch_of_the_mean():
    omega = random(2, 5, 2)
    one, other = (root @ root.T for root in (random(3, 5, 5), random(4, 5, 5)))
    average = sketch_of(one, omega).averaged(sketch_of(other, omega))
    expected = sketch_of((one + other) / 2, omega)
    for name in ("action", "diagonal", "omega"):
        torch.testing.assert_close(getattr(average, name), getattr(expected, name))


@pytest.mark.parametrize(("rank", "columns"), [(6, 2), (6, 6), (2, 3), (1, 3)])
def test_the_metric_of_a_sketch_is_that_of_nystroems_matrix_and_the_rest_of_the_trace(
    rank, columns
):
    """By explicit inverses, (C Omega)(Omega' C Omega)^+ (C Omega)', and one variance beside it."""
    root, omega = random(5, 6, rank), random(6, 6, columns)
    covariance = root @ root.T
    action = covariance @ omega
    inner = torch.linalg.pinv(omega.T @ action, rtol=1e-9, hermitian=True)
    near = action @ inner @ action.T
    axes = torch.linalg.eigh(near)[1][:, -columns:]
    rest = (covariance.trace() - near.trace()) / max(6 - columns, 1)
    beside = torch.eye(6) - axes @ axes.T
    ridge = 0.01 * covariance.diagonal().mean()
    expected = near + rest * beside + ridge * torch.eye(6)
    metric = sketch_of(covariance, omega).metric()
    whitened = metric.whiten(expected)  # L S
    eye = torch.eye(6, dtype=torch.float64)
    torch.testing.assert_close(metric.whiten(whitened.T), eye, rtol=1e-5, atol=1e-5)
    if rank <= columns:  # exact there
        torch.testing.assert_close(near, covariance)


def test_random_matrices_are_always_the_same_for_so_many_features():
    for features, columns in ((3, 3), (SKETCH, SKETCH), (SKETCH + 1, SKETCH)):
        generator = torch.Generator().manual_seed(features)
        expected = torch.randn(features, columns, generator=generator, dtype=torch.float64)
        assert torch.equal(random_matrix(features, torch.device("cpu")), expected)
