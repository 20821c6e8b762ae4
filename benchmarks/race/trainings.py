"""Originals and retrained models, each trained once and kept."""

from __future__ import annotations

import math
import time
from dataclasses import replace

from torch import nn

from audits.references import train
from benchmarks.race.data import Rows
from benchmarks.race.nets import build
from benchmarks.race.store import Store
from benchmarks.race.tracks import FIRST_REFERENCE, REFERENCES, Event, Track


def trained(
    track: Track,
    rows: Rows,
    store: Store,
    *,
    seed: int,
    exclude: tuple[int, ...] = (),
    share: float = 1.0,
) -> tuple[nn.Module, float]:
    """A network of the track's recipe, and the CPU seconds of its training.

    Args:
        seed: Of initialisation and order.
        exclude: Classes whose rows are left out.
        share: Of the recipe's epochs.
    """
    recipe = replace(track.recipe, epochs=max(1, math.ceil(share * track.recipe.epochs)))
    facts = {**track.facts(), "rows": rows.digest, "seed": seed, "exclude": exclude, "share": share}
    kept = store.model(facts, build(track.net, rows.shape, rows.classes))
    if kept is not None:
        return kept[0], float(kept[1]["seconds"])
    began = time.process_time()
    model = train(
        lambda: build(track.net, rows.shape, rows.classes),
        *rows.train,
        recipe=recipe,
        seed=seed,
        exclude=exclude,
    )
    seconds = round(time.process_time() - began, 3)
    store.keep_model(facts, model, {"seconds": str(seconds)})
    return model, seconds


def original(track: Track, rows: Rows, store: Store, event: Event) -> nn.Module:
    """The model before."""
    return trained(track, rows, store, seed=event.seed)[0]


def reference_seeds() -> tuple[int, ...]:
    """Of the retrained models."""
    return tuple(range(FIRST_REFERENCE, FIRST_REFERENCE + REFERENCES))
