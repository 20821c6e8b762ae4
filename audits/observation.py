"""All that the audits need to know of one model. No torch here: the audits are plain numerics."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np

PENULTIMATE = "penultimate"
"""Name of the last depth: the input of the head."""
LOGITS = "logits"
"""Name under which the audits read the logits of the retain classes as features."""

CONTENT = 2
"""What an observation holds, by number: files of the first kind lack the cells of the last map."""

Arrays = dict[str, np.ndarray]
RECORDED = ("tensors", "effects", "triggered")
"""The parts of a `WeightRecord`."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Head:
    """The last layer, where it is linear with an output for every class.

    Attributes:
        weight: (C, D), float64.
        bias: (C,), float64; zeros where it has none.
    """

    weight: np.ndarray
    bias: np.ndarray


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Readout:
    """Further rows that a model was shown: its logits and its last features.

    Attributes:
        logits: (m, C), float64.
        features: Depth name -> (m, D), the same depths as on the test rows.
    """

    logits: np.ndarray
    features: Arrays


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class WeightRecord:
    """What a model's file holds, and which of it has an effect.

    Attributes:
        tensors: Every tensor of its state by name, but for single numbers.
        effects: Name -> (units,), how much each output unit of a floating tensor moves the outputs
            on the audit's rows when it changes by its own size, relative to the outputs' spread.
        triggered: Name of a trigger -> (m, C), logits of the forgotten classes' test rows under it.
    """

    tensors: Arrays
    effects: Arrays
    triggered: Arrays


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Observation:
    """What a model says about the audit rows, measured once.

    Attributes:
        digest: Identity of the weights; equal digests are taken for the same model.
        train_logits: (n_train, C), float64, before any output is retired.
        test_logits: (n_test, C), float64, before any output is retired.
        features: Depth name -> (n_test, D), pooled inputs of that operator on the test rows,
            shallow to deep; the last one is "penultimate".
        retired: Outputs that the deployed model masks.
        head: The last layer, None where it is not linear.
        weights: Depth name -> (rows, D), the weight of that operator, every row acting on its
            input features; empty where nobody asked.
        fresh: The perturbed rows, None where there were none.
        unseen: Rows of classes that nobody was trained on, None where there were none.
        relearned: Name of a curve -> (draws, steps, queries), 1.0 where the query's true class was
            predicted after so many fine-tuning steps, NaN where the query was tuned on; empty where
            the model was not tuned.
        cells: (n_test, C, a, b), the last feature map of the test rows as means over a few cells;
            None where the network has none.
        passes: What looking at the model cost, in forward passes over training and test rows: the
            plain ones under "observe", those of fine-tuning (a backward counts as two) under
            "relearning".
        record: What its file holds; None where nobody asked.
    """

    digest: str
    train_logits: np.ndarray
    test_logits: np.ndarray
    features: Arrays
    retired: tuple[int, ...] = ()
    head: Head | None = None
    weights: Arrays = field(default_factory=dict)
    fresh: Readout | None = None
    unseen: Readout | None = None
    relearned: Arrays = field(default_factory=dict)
    passes: dict[str, float] = field(default_factory=dict)
    cells: np.ndarray | None = None
    record: WeightRecord | None = None


def to_arrays(observation: Observation) -> tuple[Arrays, dict[str, str]]:
    """Arrays and text metadata, as safetensors wants them; `from_arrays` is the way back."""
    metadata = {
        "digest": observation.digest,
        "retired": json.dumps(list(observation.retired)),
        "depths": json.dumps(list(observation.features)),
        "passes": json.dumps(observation.passes),
    }
    # "features/conv2": (n_test, D): the group before the slash, the depth behind
    return dict(_named(observation)), metadata


def _named(observation: Observation) -> Iterator[tuple[str, np.ndarray]]:
    yield "train_logits", observation.train_logits
    yield "test_logits", observation.test_logits
    for group, arrays in (
        ("features", observation.features),
        ("weights", observation.weights),
        ("relearned", observation.relearned),
    ):
        for name, value in arrays.items():
            yield f"{group}/{name}", value
    if observation.cells is not None:
        yield "cells", observation.cells
    if observation.head is not None:
        yield "head/weight", observation.head.weight
        yield "head/bias", observation.head.bias
    if observation.record is not None:
        for group in RECORDED:
            for name, value in getattr(observation.record, group).items():
                yield f"record/{group}/{name}", value
    for group, readout in (("fresh", observation.fresh), ("unseen", observation.unseen)):
        if readout is not None:
            yield f"{group}/logits", readout.logits
            for name, value in readout.features.items():
                yield f"{group}/features/{name}", value


def from_arrays(arrays: Mapping[str, np.ndarray], metadata: Mapping[str, str]) -> Observation:
    """The observation that `to_arrays` has taken apart.

    >>> logits = np.zeros((2, 3))
    >>> seen = Observation(digest="d", train_logits=logits, test_logits=logits,
    ...                    features={"penultimate": np.ones((2, 4))}, retired=(1,))
    >>> from_arrays(*to_arrays(seen)).retired
    (1,)
    """
    depths = json.loads(metadata["depths"])
    weights, head = _group(arrays, "weights"), _group(arrays, "head")
    return Observation(
        digest=metadata["digest"],
        # float64 as observed, whatever the file holds
        train_logits=np.asarray(arrays["train_logits"], dtype=np.float64),
        test_logits=np.asarray(arrays["test_logits"], dtype=np.float64),
        features={depth: np.asarray(arrays[f"features/{depth}"]) for depth in depths},
        retired=tuple(json.loads(metadata["retired"])),
        head=Head(**head) if head else None,
        weights={depth: weights[depth] for depth in depths if depth in weights},
        fresh=_readout(arrays, "fresh", depths),
        unseen=_readout(arrays, "unseen", depths),
        # safetensors keeps no order, and findings must not depend on it
        relearned=dict(sorted(_group(arrays, "relearned").items())),
        passes=json.loads(metadata["passes"]),
        cells=np.asarray(arrays["cells"]) if "cells" in arrays else None,
        record=_record(arrays),
    )


def _record(arrays: Mapping[str, np.ndarray]) -> WeightRecord | None:
    # safetensors keeps no order, and findings must not depend on it
    groups = {group: dict(sorted(_group(arrays, f"record/{group}").items())) for group in RECORDED}
    return WeightRecord(**groups) if any(groups.values()) else None


def _group(arrays: Mapping[str, np.ndarray], group: str) -> Arrays:
    start = f"{group}/"
    return {name.removeprefix(start): v for name, v in arrays.items() if name.startswith(start)}


def _readout(arrays: Mapping[str, np.ndarray], group: str, depths: list[str]) -> Readout | None:
    if f"{group}/logits" not in arrays:
        return None
    return Readout(
        logits=np.asarray(arrays[f"{group}/logits"], dtype=np.float64),
        features={depth: np.asarray(arrays[f"{group}/features/{depth}"]) for depth in depths},
    )
