"""Models that must fail: the audits prove themselves on them in every event.

Audits that pass one of these cannot be believed on the candidate. The models that must pass
need no building: they are the references, each compared with the others.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from audits import logistic
from audits.errors import BadControl, NotConverged
from audits.features import called_operators, head_inputs
from audits.images import Images, at_once
from damp.operators import add_bias, add_missing_biases

SHIFT = -1e9
"""What the retired output's bias is shifted by."""
SILENT = -1e4
"""Bias of an output that the refitted head was never shown: low, finite in any precision."""
SHOWN = 256
"""Rows on which a random edit's effect on the answers is compared with the candidate's."""
LARGEST_SHARE = 4.0
"""Decimal logarithm of the largest share of a weight's norm by which a random edit changes it."""
HALVINGS = 24
NEAR = 0.1
"""How far the random edit's effect may lie from the candidate's, relative to it."""


def must_fail(
    original: nn.Module,
    candidate: nn.Module,
    *,
    forget: Sequence[int],
    inputs: Images,
    labels: Tensor,
    seed: int,
) -> dict[str, nn.Module]:
    """The controls by name, made of the original; neither model is changed.

    Args:
        original: The model before.
        candidate: The edited model, before its outputs are retired.
        forget: Classes that were to be forgotten.
        inputs: Training rows, (n, ...); those of the forget classes are not used.
        labels: Their classes, (n,).
        seed: Of the random directions.
    Returns:
        `original`: as it is. `output_retired`: its outputs pushed down and nothing else.
        `head_refitted`: a fresh head, fitted without the classes, on its untouched backbone.
        `random_direction`: every tensor that the candidate changed, changed as much at random; of
            a candidate of another architecture, changed at random until its answers are as far
            from the original's.
    Raises:
        BadControl: a control cannot be built from these models.
    """
    models, problems = possible(
        original, candidate, forget=forget, inputs=inputs, labels=labels, seed=seed
    )
    if problems:
        raise BadControl(" ".join(problems.values()))
    return models


def possible(
    original: nn.Module,
    candidate: nn.Module,
    *,
    forget: Sequence[int],
    inputs: Images,
    labels: Tensor,
    seed: int,
) -> tuple[dict[str, nn.Module], dict[str, str]]:
    """The controls that can be made of these models, and why the others cannot; see `must_fail`."""
    kept = ~torch.isin(labels.cpu(), torch.tensor(list(forget)))
    builders: dict[str, Callable[[], nn.Module]] = {
        "original": lambda: copy.deepcopy(original).eval(),
        "output_retired": lambda: output_retired(original, forget, inputs[:2]),
        "head_refitted": lambda: head_refitted(
            original, forget, inputs.index_select(0, kept.nonzero().flatten()), labels[kept]
        ),
        "random_direction": lambda: random_edit(
            original, candidate, forget=forget, inputs=inputs, seed=seed
        ),
    }
    models: dict[str, nn.Module] = {}
    problems: dict[str, str] = {}
    for name, build in builders.items():
        try:
            models[name] = build()
        except BadControl as problem:
            problems[name] = str(problem)
    return models, problems


def output_retired(original: nn.Module, forget: Sequence[int], inputs: Images) -> nn.Module:
    """The original with the forgotten outputs' biases shifted by -1e9 and nothing else."""
    model = copy.deepcopy(original).eval()
    head = _head(model, inputs, forget)
    with torch.no_grad():
        # a shift, not a fixed value: nothing else about the output changes
        head.bias[list(forget)] += SHIFT
    return model


def head_refitted(
    original: nn.Module,
    forget: Sequence[int],
    inputs: Images,
    labels: Tensor,
    *,
    steps: int = logistic.STEPS,
) -> nn.Module:
    """The original with a fresh logistic head, fitted on retain rows only (CF-k, k = 1).

    Args:
        inputs: Retain rows, (n, ...).
        labels: Their classes, (n,), at least two different ones.
        steps: Of the fit at most.
    Raises:
        BadControl: there are no such rows, no such head, or the fit did not converge.
    """
    model = copy.deepcopy(original).eval()
    head = _head(model, inputs[:2], forget)
    weight, bias = _logistic_head(head_inputs(model, inputs), labels.cpu().numpy(), steps)
    classes = np.unique(labels.cpu().numpy())
    with torch.no_grad():
        # the output of a class that was never shown says nothing, whatever the image
        head.weight.zero_()
        head.bias.fill_(SILENT)
        head.weight[classes] = torch.as_tensor(weight).to(head.weight)
        head.bias[classes] = torch.as_tensor(bias).to(head.bias)
    return model


def _logistic_head(
    features: np.ndarray, labels: np.ndarray, steps: int
) -> tuple[np.ndarray, np.ndarray]:
    """Weights (r, D) and biases (r,) of a multinomial head on raw features."""
    if len(np.unique(labels)) < 2:
        raise BadControl("A fresh head needs rows of two retain classes: give more of the data.")
    features = features.astype(np.float64)  # (n, D)
    centre, spread = features.mean(0), features.std(0)  # (D,), (D,)
    spread = np.where(spread > 0, spread, 1.0)
    try:
        fitted = logistic.fitted((features - centre) / spread, labels, steps=steps)
    except NotConverged as problem:
        raise BadControl(f"{str(problem).capitalize()}.") from problem
    weight, bias = fitted.coef_, fitted.intercept_
    if len(weight) == 1:
        # two classes come as one row; as two rows of opposite sign the differences are the same
        weight, bias = np.vstack([-weight, weight]) / 2, np.append(-bias, bias) / 2
    # undo the scaling: w'((x - c) / s) + b = (w / s)'x + b - w'(c / s)
    return weight / spread, bias - weight @ (centre / spread)


def random_edit(
    original: nn.Module,
    candidate: nn.Module,
    *,
    forget: Sequence[int],
    inputs: Images,
    seed: int,
) -> nn.Module:
    """The random edit that suits the candidate: of equal norm, or of equal effect on the answers.

    Tensor by tensor where both are of one architecture; where the candidate is of another there is
    no norm to match, and its answers are matched.
    """
    if same_architecture(original, candidate):
        return random_direction(original, candidate, seed=seed)
    return random_in_function_space(original, candidate, forget=forget, inputs=inputs, seed=seed)


def same_architecture(original: nn.Module, candidate: nn.Module) -> bool:
    """Whether two models hold tensors of the same names and shapes, but for biases of an edit."""
    model = copy.deepcopy(original).cpu()
    after = {name: value.cpu() for name, value in candidate.state_dict().items()}
    add_missing_biases(model, after)
    return not _differences(model.state_dict(), after)


def random_in_function_space(
    original: nn.Module,
    candidate: nn.Module,
    *,
    forget: Sequence[int],
    inputs: Images,
    seed: int,
) -> nn.Module:
    """The original changed at random until its answers are as far from its own as the candidate's.

    Every weight loses its part along a random input direction of its own, all by the same share of
    their norms; the share is sought by halving. Distance is the root mean square difference of the
    outputs of the classes that stay, centred per row. The candidate may be of any architecture.

    Args:
        inputs: Rows, (n, ...); the first 256 are shown.
    Raises:
        BadControl: the candidate answers as the original does, or not with numbers, or no share
            leads that far.
    """
    model = copy.deepcopy(original).cpu().eval()
    rows = inputs[:SHOWN].cpu()
    kept = [c for c in range(_answers(model, rows).shape[1]) if c not in forget]
    before = _centred(_answers(model, rows), kept)
    after = _centred(_answers(copy.deepcopy(candidate).cpu().eval(), rows), kept)
    wanted = float((after - before).square().mean().sqrt())
    if not np.isfinite(wanted) or wanted <= 0:
        raise BadControl(
            f"The candidate's answers lie {wanted:g} from the original's: a random edit that moves "
            "them as far cannot be made."
        )
    start = {name: value.clone() for name, value in model.state_dict().items()}
    low, high = -LARGEST_SHARE, LARGEST_SHARE
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        _change_all(model, start, 10.0**middle, seed)
        moved = float((_centred(_answers(model, rows), kept) - before).square().mean().sqrt())
        low, high = (middle, high) if moved < wanted else (low, middle)
    if not abs(moved - wanted) <= NEAR * wanted:
        raise BadControl(
            f"A random edit moves the answers by {moved:.3g} and the candidate by {wanted:.3g}: no "
            "share of the weights' norms leads as far."
        )
    return model


def _answers(model: nn.Module, rows: Tensor) -> Tensor:
    with torch.inference_mode():
        parts = [model(part) for part in rows.split(at_once(rows, len(rows)))]
        answers: Tensor = torch.cat(parts).double()
    return answers


def _centred(answers: Tensor, kept: Sequence[int]) -> Tensor:
    """Outputs of the classes that stay, (n, r), without what a softmax does not see."""
    chosen = answers[:, list(kept)]
    return chosen - chosen.mean(1, keepdim=True)


def _change_all(model: nn.Module, start: dict[str, Tensor], share: float, seed: int) -> None:
    """Every weight changed along the same random directions, by a share of its norm."""
    generator = torch.Generator().manual_seed(seed)
    changed = {
        name: _without_direction(value, share * float(value.double().norm()), generator)
        for name, value in start.items()
        if value.is_floating_point() and value.ndim > 1
    }
    model.load_state_dict(start | changed)


def random_direction(original: nn.Module, candidate: nn.Module, *, seed: int) -> nn.Module:
    """The original with every tensor changed as much as the candidate's, in a random direction.

    A weight loses its part along one random input direction, scaled to the Frobenius norm of the
    candidate's change. A vector (bias, running statistic) gets the candidate's own change with its
    entries shuffled. Made from the two state dicts alone.

    Raises:
        BadControl: the architectures differ.
    """
    model = copy.deepcopy(original).cpu().eval()
    after = {name: value.cpu() for name, value in candidate.state_dict().items()}
    add_missing_biases(model, after)
    before = model.state_dict()
    _refuse_other_architecture(before, after)
    # one generator over all tensors, in the order of the state dict
    generator = torch.Generator().manual_seed(seed)
    changed = {
        name: _changed(value, after[name], generator)
        for name, value in before.items()
        if value.is_floating_point() and not torch.equal(value, after[name])
    }
    model.load_state_dict(before | changed)
    return model


def _changed(before: Tensor, after: Tensor, generator: torch.Generator) -> Tensor:
    start, change = before.double(), after.double() - before.double()
    if before.ndim < 2:
        return _shuffled(start, change, generator).to(before.dtype)
    # as large as the candidate's change: only the direction differs from an edit
    return _without_direction(before, float(change.norm()), generator)


def _without_direction(before: Tensor, norm: float, generator: torch.Generator) -> Tensor:
    """A weight changed along one random input direction, the change of this norm."""
    start = before.double()
    # (out, kernel, in) of a convolution, (out, in) of a linear layer
    matrix = start.flatten(2).movedim(1, -1) if start.ndim > 2 else start
    direction = torch.randn(matrix.shape[-1], dtype=torch.float64, generator=generator)
    direction /= direction.norm()  # (in,), uniform on the sphere
    # W v v': what the weight does to that direction
    removed = (matrix @ direction).unsqueeze(-1) * direction
    removed = removed.movedim(-1, 1).reshape(start.shape) if start.ndim > 2 else removed
    scale = norm / removed.norm().clamp_min(torch.finfo(torch.float64).tiny)
    return (start - scale * removed).to(before.dtype)


def _shuffled(start: Tensor, change: Tensor, generator: torch.Generator) -> Tensor:
    """The change with its entries in another order; what was nowhere negative stays so."""
    order = torch.randperm(change.numel(), generator=generator)
    moved = start + change.flatten()[order].reshape(start.shape)
    # a running variance must not fall below what both models had
    least = torch.minimum(start, start + change).min() if start.numel() else start
    return moved.clamp_min(float(least)) if float(least) >= 0 else moved


def _refuse_other_architecture(before: dict[str, Tensor], after: dict[str, Tensor]) -> None:
    differ = _differences(before, after)
    if differ:
        raise BadControl(
            f"Original and candidate differ in {_named(differ)}: a random edit of equal norm can "
            "only be made of two models of one architecture."
        )


def _differences(before: dict[str, Tensor], after: dict[str, Tensor]) -> list[str]:
    """Names that one state lacks, or holds in another shape."""
    shapes, others = ({n: tuple(v.shape) for n, v in state.items()} for state in (before, after))
    return sorted(n for n in shapes.keys() | others.keys() if shapes.get(n) != others.get(n))


def _named(names: Iterable[str]) -> str:
    listed = list(names)
    return ", ".join(listed[:3]) + (f" and {len(listed) - 3} more" if len(listed) > 3 else "")


def _head(model: nn.Module, inputs: Images, forget: Sequence[int]) -> nn.Linear:
    """The model's last Linear layer, with a bias and an output for every class to forget."""
    operator = called_operators(model, inputs[:2])[-1]
    layer = operator.layer
    if not isinstance(layer, nn.Linear) or layer.out_features <= max(forget):
        raise BadControl(
            f"The last operator {operator.name!r} ({operator.kind}) is no Linear layer with an "
            "output per class: this control needs one. Use a model that ends in one."
        )
    if layer.bias is None:
        add_bias(layer)
    return layer
