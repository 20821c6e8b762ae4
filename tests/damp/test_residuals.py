"""Residuals and the spaces they span."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from damp import residuals
from damp.errors import NoConvergence
from damp.whitening import Cholesky

examples = settings(max_examples=40, deadline=None, derandomize=True)


def random(seed, *shape):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


@examples
@given(seed=st.integers(0, 9999), features=st.integers(1, 12), classes=st.integers(1, 20))
def test_the_nearest_mixture_is_what_sequential_quadratic_programming_finds(
    brute, seed, features, classes
):
    target, retain = random(seed, features), random(seed + 1, classes, features)
    weights = residuals.nearest_mixture(target, retain)
    other = torch.from_numpy(
        brute.mixture_weights(target.numpy(), retain.numpy(), np.eye(features))
    )
    assert float(weights.min()) >= 0
    assert float(weights.sum()) == pytest.approx(1)
    torch.testing.assert_close(weights @ retain, other @ retain, atol=1e-5, rtol=0)


@examples
@given(
    seed=st.integers(0, 9999),
    features=st.integers(1, 12),
    classes=st.integers(1, 20),
    scale=st.sampled_from([1e-6, 1.0, 1e6]),
)
def test_no_retain_prototype_lies_beyond_the_nearest_mixture(seed, features, classes, scale):
    """The optimality condition of a nearest point of a hull: every vertex is behind its plane."""
    target, retain = scale * random(seed, features), scale * random(seed + 1, classes, features)
    nearest = residuals.nearest_mixture(target, retain) @ retain
    behind = (retain - nearest) @ (target - nearest)
    assert float(behind.max()) <= 1e-9 * scale**2


def test_a_prototype_inside_the_hull_is_its_own_mixture():
    retain = random(0, 6, 3)
    target = torch.full((6,), 1 / 6, dtype=torch.float64) @ retain
    torch.testing.assert_close(residuals.nearest_mixture(target, retain) @ retain, target)


def test_one_retain_class_is_the_only_mixture():
    assert residuals.nearest_mixture(random(0, 4), random(1, 1, 4)).tolist() == [1.0]


def test_retain_prototypes_that_repeat_do_no_harm():
    retain = random(1, 1, 4).expand(5, 4)
    weights = residuals.nearest_mixture(random(0, 4), retain)
    assert float(weights.sum()) == pytest.approx(1)


def test_a_solver_that_gives_up_says_what_to_do(monkeypatch):
    def give_up(*_, **__):
        raise RuntimeError("too many iterations")

    monkeypatch.setattr(residuals, "nnls", give_up)
    with pytest.raises(NoConvergence, match=r"Add the operator to `skip`"):
        residuals.nearest_mixture(random(0, 4), random(1, 3, 4))


def test_span_residuals_are_orthogonal_to_all_retain_prototypes():
    targets, retain = random(0, 2, 9), random(1, 5, 9)
    gaps = residuals.span_residuals(targets, retain)
    assert float((gaps @ retain.T).abs().max()) < 1e-12
    solution = torch.linalg.lstsq(retain.T, targets.T).solution
    torch.testing.assert_close(gaps, targets - solution.T @ retain)


def test_span_residuals_are_noise_where_retain_classes_fill_the_space():
    targets, retain = random(0, 1, 8), random(1, 20, 8)
    share = residuals.relative(residuals.span_residuals(targets, retain), targets)
    assert float(share) < residuals.GATE / 1e6


def test_the_whitened_subspace_removes_what_the_residuals_hold():
    gaps, root = random(0, 2, 5), random(1, 5, 5)
    factor = torch.linalg.cholesky(root @ root.T + torch.eye(5))
    space = residuals.whitened_subspace(gaps, Cholesky(factor=factor))
    projector = space.basis @ space.dual.T
    torch.testing.assert_close(projector @ projector, projector)
    torch.testing.assert_close(projector @ gaps.T, gaps.T)
    inverse = torch.linalg.inv(factor @ factor.T)
    squares = torch.linalg.eigvalsh(gaps @ inverse @ gaps.T).flip(0)
    torch.testing.assert_close(space.separability, squares / 2)  # a mean over two residuals


@pytest.mark.parametrize("space", ["plain", "whitened"])
def test_residuals_that_repeat_span_one_direction(space):
    gaps = random(0, 1, 5).expand(3, 5)
    unit = torch.eye(5, dtype=torch.float64)
    subspace = (
        residuals.span_subspace(gaps)
        if space == "plain"
        else residuals.whitened_subspace(gaps, Cholesky(factor=unit))
    )
    assert subspace.basis.shape == (5, 1)


def test_a_prototype_of_zeros_has_no_residual():
    zeros = torch.zeros(1, 3)
    assert residuals.relative(torch.ones(1, 3), zeros).tolist() == [0.0]
