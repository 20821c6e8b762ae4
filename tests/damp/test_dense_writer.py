"""The move of the last linear layer, against numpy."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from damp.dense_writer import _amount, move_layer


def brute_move(h, y, weight, bias, forget, brute):
    """The formulas of docs/method.md, "The last linear layer", by loops and explicit inverses."""
    gone = np.isin(y, forget)
    kept = sorted(set(y.tolist()) - set(forget))
    retain, spread = h[~gone], brute.covariance(h[~gone])
    inverse = np.linalg.inv(spread)
    prototypes = brute.prototypes(h, y, kept)
    residuals, rhos = [], []
    for label in forget:
        own = h[y == label]
        target = own.mean(0)
        gap = target - brute.mixture_weights(target, prototypes, spread) @ prototypes
        squared = gap @ inverse @ gap - np.trace(inverse @ np.cov(own.T)) / len(own)
        rhos.append(max(squared, 0) ** 2 / (max(squared, 0) ** 2 + 900))
        residuals.append(gap)
    a = 1 - 0.42 * np.mean(np.sqrt(rhos))
    whitener = np.linalg.inv(np.linalg.cholesky(spread))
    _, _, vh = np.linalg.svd(np.stack(residuals) @ whitener.T, full_matrices=False)
    projector = a * np.linalg.inv(whitener) @ vh.T @ vh @ whitener
    w1 = weight - weight @ projector
    b1 = bias + weight @ projector @ prototypes.mean(0)
    raw = np.cov(retain.T, bias=True)
    variance = np.mean(np.diag(raw))
    onehot = (y[~gone, None] == np.array(kept)).astype(float)
    cross = (retain - retain.mean(0)).T @ (onehot - onehot.mean(0)) / len(retain)
    reading = np.linalg.inv(raw + 3 * variance * np.eye(len(raw))) @ cross
    outputs = np.stack([(h[y == c] @ w1.T + b1).mean(0) for c in kept])
    width = lambda rows: np.trace(inverse @ np.cov(rows.T, bias=True))  # noqa: E731
    usual = np.mean([width(h[y == c]) for c in kept])
    aim = np.zeros((len(h), len(weight)))
    for label, rho in zip(forget, rhos, strict=True):
        rows = h[y == label]
        dev = lambda v: v - v.mean(0)  # noqa: E731
        own = (1 - rho) * dev(rows @ w1.T) + rho * dev(rows @ weight.T)
        g = dev((rows - retain.mean(0)) @ reading @ outputs)
        g *= np.linalg.norm(own) / np.linalg.norm(g)
        n = max(1.0, width(rows) / usual)
        if rho > 0.3:
            # the larger root of |own + eta g|^2 = n |own|^2
            roots = np.roots([np.sum(g**2), 2 * np.sum(own * g), (1 - n) * np.sum(own**2)])
            own = own + max(roots.max(), 0) * g
        aim[y == label] = own - dev(rows @ w1.T)
    x = np.column_stack([h - retain.mean(0), np.ones(len(h))])
    gram = x[~gone].T @ x[~gone] / (~gone).sum() + x[gone].T @ x[gone] / gone.sum()
    gram += 1e-3 * variance * np.eye(len(gram))
    change = np.linalg.inv(gram) @ (x[gone].T @ aim[gone] / gone.sum())
    return w1 + change[:-1].T, b1 + change[-1] - change[:-1].T @ retain.mean(0)


@pytest.mark.parametrize("forget", [[1], [0, 3]])
@pytest.mark.parametrize("spread", [1.0, 0.25])
def test_it_is_the_brute_force_solution(clouds, brute, forget, spread):
    rows, labels = clouds(2, 6, (7,), 40, spread)
    generator = torch.Generator().manual_seed(0)
    # one class is wider than the others, so that there is something to spread
    rows[labels == forget[0]] += torch.randn(40, 7, generator=generator).double()
    weight = torch.randn(5, 7, generator=generator).double()
    bias = torch.randn(5, generator=generator).double()
    layer = move_layer(rows, labels, weight, bias, forget)
    expected = brute_move(rows.numpy(), labels.numpy(), weight.numpy(), bias.numpy(), forget, brute)
    np.testing.assert_allclose(layer.weight.numpy(), expected[0], atol=1e-5)
    np.testing.assert_allclose(layer.bias.numpy(), expected[1], atol=1e-5)


def test_part_of_a_move_lies_between(clouds):
    rows, labels = clouds(2, 5, (7,), 30, 0.3)
    weight, bias = torch.randn(5, 7).double(), torch.randn(5).double()
    move = move_layer(rows, labels, weight, bias, [1])
    none, whole = move.partly(weight, bias, 0.0), move.partly(weight, bias, 1.0)
    assert torch.equal(none[0], weight)
    torch.testing.assert_close(whole[0], move.weight)
    torch.testing.assert_close(whole[1], move.bias)


def test_the_order_of_rows_does_not_matter(clouds):
    rows, labels = clouds(2, 5, (7,), 30, 0.3)
    weight, bias = torch.randn(5, 7).double(), torch.randn(5).double()
    order = torch.randperm(len(rows))
    one = move_layer(rows, labels, weight, bias, [1])
    other = move_layer(rows[order], labels[order], weight, bias, [1])
    torch.testing.assert_close(one.weight, other.weight, rtol=0, atol=1e-9)


def test_the_amount_solves_its_equation():
    own, wide = torch.randn(9, 4).double(), torch.randn(9, 4).double()
    wide = wide * own.norm() / wide.norm()
    amount = _amount(own, wide, 1.7)
    size = (own + amount * wide).square().sum()
    assert float(size) == pytest.approx(1.7 * float(own.square().sum()))
    assert _amount(own, wide, 1.0) >= 0
    assert _amount(own, 0 * wide, 2.0) == 0
