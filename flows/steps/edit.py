"""Step 6: extract prototypes and cut the class out, or take the retrained model instead."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING, Any

from flows.servers import cluster
from flows.state.files import Artifact, write_atomically
from flows.state.journal import entered
from flows.state.paths import Attempt, Home

if TYPE_CHECKING:
    from torch import nn

    import damp
    from flows.data.dataset import Dataset

Facts = dict[str, Any]


def cut(where: Facts, accepted: Facts, data: Facts, model: Facts, references: Facts) -> Facts:
    """Make the model after, under its final name in one rename, with the record of what changed."""
    home, attempt = Home.of(where), Attempt.of(where)
    with entered(attempt, "cut"):
        if accepted["method"]["preset"] == "retrain":
            record = _retrained(home, attempt, accepted, data, model, references)
        else:
            record = _edited(home, attempt, accepted, data, model)
        write_atomically(attempt.edit, json.dumps(record, indent=2).encode())
    return {
        "after": Artifact.of(home.root, attempt.after).to_json(),
        "record": Artifact.of(home.root, attempt.edit).to_json(),
        "retired": sorted(model["retired"] + accepted["forget"]),
        "seed": references["seeds"][-1] if references["candidate"] else None,
    }


def _edited(home: Home, attempt: Attempt, accepted: Facts, data: Facts, model: Facts) -> Facts:
    from flows.data import loaders
    from flows.models import statistics_cache, statistics_sharded, weights

    dataset = loaders.learned(data, model)
    network, _ = weights.load_weights(
        home.root / model["file"]["path"],
        architecture=model["architecture"],
        classes=data["classes"],
        input_shape=dataset.input_shape,
    )
    method = accepted["method"]
    known = None
    everywhere = partial(statistics_sharded.everywhere, home, data=data, model=model)
    if not method["sequential"]:  # sequential surgery takes them anew after every edit
        known = statistics_cache.measured(
            home,
            network,
            dataset,
            weights=model["file"]["sha256"],
            data_version=data["before"]["version"],
            retired=model["retired"],
            apart=everywhere if cluster.is_on() else None,
        )
    edited = forgotten(network, dataset, accepted["forget"], method, known)
    weights.save_weights(edited.unretired, attempt.after, _metadata(accepted, model))
    return described(edited)


def forgotten(
    network: nn.Module,
    dataset: Dataset,
    forget: Sequence[int],
    method: Facts,
    known: damp.Measurement | None = None,
) -> damp.EditedModel:
    """A network out of which classes were cut by the method of a request.

    Args:
        network: Stays as it is.
        dataset: Whose training rows the cut sees.
        forget: Classes.
        method: Of the request: `preset`, `gain`, `sequential`, `skip`.
        known: Statistics of this network on these rows, where they are there.
    """
    import damp
    from flows.models import statistics_cache
    from flows.state.settings import settings

    return damp.forget(
        network,
        statistics_cache.batches(dataset),
        forget=forget,
        preset=method["preset"],
        gain=method["gain"],
        sequential=method["sequential"],
        skip=method["skip"],
        device=settings().device,
        measured=known,
    )


def described(edited: damp.EditedModel) -> Facts:
    """What was done to the weights, as the statement records it."""
    changed = [operator for operator in edited.operators if operator.relative_change > 0]
    return {
        "operators": [asdict(operator) for operator in edited.operators],
        "skipped": [asdict(skipped) for skipped in edited.skipped],
        "recalibrated": list(edited.recalibrated),
        "rewritten": edited.rewritten,
        "mended": edited.mended,
        "samples": edited.samples,
        "headOnly": bool(changed) and all(o.name == edited.operators[-1].name for o in changed),
    }


def uncut() -> Facts:
    """What a statement records of layers where none was cut here."""
    return {"operators": [], "skipped": [], "recalibrated": [], "rewritten": None, "mended": None}


def _retrained(
    home: Home, attempt: Attempt, accepted: Facts, data: Facts, model: Facts, references: Facts
) -> Facts:
    """The candidate of a retraining attempt is a model that never saw the class."""
    from flows.models import weights

    network, _ = weights.load_weights(
        home.root / references["candidate"]["path"],
        architecture=model["architecture"],
        classes=data["classes"],
        input_shape=tuple(model["input_shape"]),
    )
    weights.save_weights(network, attempt.after, _metadata(accepted, model))
    return uncut() | {"samples": 0, "headOnly": False}


def _metadata(accepted: Facts, model: Facts) -> dict[str, str]:
    """What the weights file says of itself: nothing that differs between two runs of one event."""
    return {"damp.retired": json.dumps(sorted(model["retired"] + accepted["forget"]))}
