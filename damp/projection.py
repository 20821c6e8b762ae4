"""Fold an edit of the inputs into weight and bias, so that no layer is added.

The edited layer acts on x as the original acts on x - T (x - m), T = basis diag(a) dual'. `paper`
leaves the bias alone, which is m = 0.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from damp.operators import Operator, add_bias
from damp.residuals import Subspace


def erase(inputs: Tensor, subspace: Subspace, strength: Tensor, reference: Tensor) -> Tensor:
    """x - T (x - m) for inputs (..., D): what `fold` and `shift` make a layer do to its inputs.

    Args:
        inputs: (..., D).
        subspace: Directions, (D, k).
        strength: a_j, (k,).
        reference: m, (D,).
    """
    held = (inputs - reference) @ subspace.dual * strength
    return inputs - held @ subspace.basis.T


def fold(weight: Tensor, subspace: Subspace, strength: Tensor) -> Tensor:
    """W (I - T) at every kernel position, (O, D, K) -> (O, D, K).

    >>> plane = Subspace(basis=torch.eye(2)[:, :1], dual=torch.eye(2)[:, :1],
    ...                  separability=torch.ones(1))
    >>> fold(torch.ones(1, 2, 1), plane, torch.tensor([.75])).flatten()
    tensor([0.2500, 1.0000])
    """
    read = torch.einsum("odk,dj->ojk", weight, subspace.basis) * strength[:, None]
    return weight - torch.einsum("ojk,dj->odk", read, subspace.dual)


def shift(weight: Tensor, subspace: Subspace, strength: Tensor, reference: Tensor) -> Tensor:
    """W T m, summed over kernel positions, (O,): what the bias gains."""
    held = subspace.dual.T @ reference * strength
    return weight.sum(-1) @ (subspace.basis @ held)


def cut(
    operator: Operator, subspace: Subspace, strength: Tensor, reference: Tensor | None
) -> float:
    """Edit a layer in place: worked out in float64, cast once.

    Args:
        operator: The layer. It gets a bias where it had none, unless `reference` is None.
        subspace: Directions, (D, k), float64.
        strength: a_j, (k,), float64.
        reference: m, (D,), which the edit leaves where it is; None leaves the bias alone.
    Returns:
        |W' - W| / |W|, Frobenius norms.
    """
    original = operator.weight().to(subspace.basis, copy=True)
    edited = fold(original, subspace, strength)
    _write(operator.layer.get_parameter("weight"), edited)
    if reference is not None:
        _move_bias(operator.layer, shift(original, subspace, strength, reference))
    return float((edited - original).norm() / original.norm().clamp_min(torch.finfo().tiny))


def _move_bias(layer: nn.Module, change: Tensor) -> None:
    if layer.bias is None:
        add_bias(layer)
    bias = layer.get_parameter("bias")
    _write(bias, bias.detach().to(change) + change)


def _write(parameter: nn.Parameter, values: Tensor) -> None:
    with torch.no_grad():
        parameter.copy_(values.reshape(parameter.shape))
