"""Fine-tuning a copy of a model for a few steps, to see how fast the class comes back.

The relearning audit reads the curves; this module makes them, since it needs torch and the audits
do not.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from audits.images import Images, at_once
from audits.tuning import FEW, RETAIN, Tuning
from damp.operators import Operator

Curves = dict[str, np.ndarray]


def curves(
    model: nn.Module, head: Operator, inputs: Images, tuning: Tuning | None
) -> tuple[Curves, int]:
    """Both curves of a model, and what they cost in rows passed forward.

    `few`: tuned on a few images of every class, the forgotten ones among them. The head's rows of
    the forgotten classes start as the mean of the other rows, in every model, so that an output
    pushed down beforehand hides nothing. `retain_only`: tuned on the same images of the other
    classes alone, the head as it is: such tuning can revive a class by itself.

    Args:
        model: In evaluation mode; it stays as it is.
        head: Its last operator.
        inputs: All test rows, (n_test, ...).
        tuning: None for no curve.
    Returns:
        Name of the curve -> (draws, steps, queries), and the rows.
    """
    if tuning is None or tuning.impossible():
        return {}, 0
    rows, asked = tuning.images(), tuning.rows()
    hits_of: dict[str, list[np.ndarray]] = {FEW: [], RETAIN: []}
    # positions of retain classes in (classes, shots)
    kept = [position for position, c in enumerate(tuning.live) if c not in tuning.forget]
    for number, chosen in enumerate(rows):
        for name, support in ((FEW, chosen.ravel()), (RETAIN, chosen[kept].ravel())):
            copied = copy.deepcopy(model)
            if name == FEW and not _fresh_rows(copied, head.name, tuning):
                continue
            hits = _tuned(copied, inputs, support, asked, tuning, seed=tuning.seed + number)
            if name == FEW:
                # it was tuned on these: knowing them is no sign of memory
                hits[:, np.isin(asked, support)] = np.nan
            hits_of[name].append(hits)
    spent = sum(
        # a backward pass costs about two forward ones
        3 * max(tuning.steps) * width + len(tuning.steps) * len(asked)
        for name, width in ((FEW, rows[0].size), (RETAIN, rows[0][kept].size))
        for _ in hits_of[name]
    )
    return {name: np.stack(hits) for name, hits in hits_of.items() if hits}, spent


def _fresh_rows(model: nn.Module, name: str, tuning: Tuning) -> bool:
    """Replace the forgotten classes' rows of the head by the mean row; False where it has none."""
    layer = model.get_submodule(name)
    if not isinstance(layer, nn.Linear) or layer.out_features <= max(tuning.live):
        return False
    kept = [c for c in tuning.live if c not in tuning.forget]
    with torch.no_grad():
        for parameter in layer.parameters():
            # rows of (C, D), entries of (C,)
            parameter[list(tuning.forget)] = parameter[kept].mean(0)
    return True


def _tuned(
    model: nn.Module,
    inputs: Images,
    support: np.ndarray,
    asked: np.ndarray,
    tuning: Tuning,
    *,
    seed: int,
) -> np.ndarray:
    """Hits on the queries after each number of steps, (steps, queries)."""
    parameters = [value.requires_grad_() for value in model.parameters()]
    device = parameters[0].device
    images = inputs[torch.from_numpy(support)].to(device)  # (s, ...)
    classes = torch.from_numpy(np.searchsorted(tuning.live, tuning.labels[support])).to(device)
    queries = inputs[torch.from_numpy(asked)].to(device)  # (q, ...)
    truth = np.searchsorted(tuning.live, tuning.labels[asked])
    optimizer = torch.optim.Adam(parameters, lr=tuning.learning_rate)
    hits = []
    # dropout draws from a seed; the caller's random state stays
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        for step in range(max(tuning.steps) + 1):
            if step in tuning.steps:
                hits.append(_predicted(model, queries, tuning.live) == truth)
            if step < max(tuning.steps):
                model.train()
                optimizer.zero_grad(set_to_none=True)
                _learn(model, images, classes, tuning.live)
                optimizer.step()
    return np.array(hits, dtype=np.float64)


def _learn(model: nn.Module, images: Tensor, classes: Tensor, live: Sequence[int]) -> None:
    """Gradients of the mean loss; of large images over parts, each normalised by itself."""
    size = at_once(images, len(images))
    for part, truth in zip(images.split(size), classes.split(size), strict=True):
        # (s, live): a retired output takes no part
        loss = functional.cross_entropy(model(part)[:, list(live)], truth)
        (loss if len(part) == len(images) else loss * (len(part) / len(images))).backward()


def _predicted(model: nn.Module, queries: Tensor, live: Sequence[int]) -> np.ndarray:
    """Position among the live classes that each query goes to."""
    model.eval()
    with torch.no_grad():
        parts = queries.split(at_once(queries, len(queries)))
        logits = torch.cat([model(part) for part in parts])[:, list(live)]
    positions: np.ndarray = logits.argmax(1).cpu().numpy()
    return positions
