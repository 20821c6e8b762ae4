"""An observation is kept in a file and comes back as it was."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest

from audits.observation import (
    Head,
    Observation,
    Readout,
    WeightRecord,
    from_arrays,
    to_arrays,
)

RNG = np.random.default_rng(3)


def array(*shape: int) -> np.ndarray:
    return RNG.normal(size=shape)


def readout(rows: int) -> Readout:
    return Readout(
        logits=array(rows, 3), features={"b": array(rows, 4), "penultimate": array(rows, 2)}
    )


WHOLE = Observation(
    digest="d" * 64,
    train_logits=array(5, 3),
    test_logits=array(4, 3),
    features={"b": array(4, 4), "penultimate": array(4, 2)},
    retired=(1, 2),
    head=Head(weight=array(3, 2), bias=array(3)),
    weights={"b": array(6, 4), "penultimate": array(3, 2)},
    fresh=readout(2),
    unseen=readout(3),
    relearned={"few": array(2, 3, 4), "all": array(2, 3, 4)},
    passes={"observe": 2.0},
    cells=array(4, 2, 3, 3),
    record=WeightRecord(
        tensors={"b.weight": array(6, 4)},
        effects={"b.weight": array(6)},
        triggered={"corner": array(2, 3)},
    ),
)


def parts(value: object) -> object:
    """Nested dictionaries of all that an observation holds."""
    if isinstance(value, dict):
        return {name: parts(part) for name, part in value.items()}
    if isinstance(value, Observation | Head | Readout | WeightRecord):
        return {part.name: parts(getattr(value, part.name)) for part in fields(value)}
    return value.tolist() if isinstance(value, np.ndarray) else value


LACKS: dict[str, object] = {
    "head": None,
    "weights": {},
    "fresh": None,
    "unseen": None,
    "relearned": {},
    "cells": None,
    "record": None,
    "retired": (),
}


@pytest.mark.parametrize("lacks", ["", *LACKS])
def test_it_comes_back_as_it_was_whatever_it_lacks(lacks: str) -> None:
    kept = replace(WHOLE, **{lacks: LACKS[lacks]}) if lacks else WHOLE  # type: ignore[arg-type]
    arrays, metadata = to_arrays(kept)
    shuffled = {name: arrays[name] for name in sorted(arrays, reverse=True)}  # files keep no order
    again = from_arrays(shuffled, metadata)
    assert parts(again) == parts(kept)
    assert list(again.features) == ["b", "penultimate"]


def test_a_record_with_one_part_alone_is_one() -> None:
    empty = WeightRecord(tensors={}, effects={}, triggered={})
    for name in ("tensors", "effects", "triggered"):
        record = replace(empty, **{name: {"x": array(2)}})
        again = from_arrays(*to_arrays(replace(WHOLE, record=record))).record
        assert parts(again) == parts(record)
    assert from_arrays(*to_arrays(replace(WHOLE, record=empty))).record is None
