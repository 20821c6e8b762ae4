"""Step 6: edit the classes out of the model, renew its top, or take the retrained model."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING

from flows.servers import cluster
from flows.state.errors import EventError
from flows.state.facts import AcceptedRequest, Data, Edit, Json, Method, Model, References
from flows.state.files import Artifact, write_atomically
from flows.state.paths import Attempt
from flows.steps import method_cost
from flows.steps.method_cost import MethodCost
from flows.steps.step import step

if TYPE_CHECKING:
    from torch import nn

    import damp
    from flows.data.dataset import Dataset


@step("Edit the model")
def edit(
    attempt: Attempt, accepted: AcceptedRequest, data: Data, model: Model, references: References
) -> Edit:
    """Make the model after, under its final name in one rename, with the record of what changed."""
    retired = sorted(model.retired + accepted.forget)
    began = time.monotonic()
    seed = references.seeds[-1] if references.candidate else None
    if accepted.method.retrains:
        record = _take_retrained(attempt, data, model, references, retired)
    elif accepted.method.renews:
        seed = renewal_seed(attempt)
        record = _renew(attempt, accepted, data, model, retired, seed)
    elif accepted.method.is_other:
        seed = renewal_seed(attempt)
        record = _by_other_method(attempt, accepted, data, model, retired, seed)
    else:
        record = _edit(attempt, accepted, data, model, retired)
    seconds = round(time.monotonic() - began, 3)
    cost = _cost(attempt, accepted, data, model, references, record, seconds)
    record |= {"cost": cost.to_json()}
    write_atomically(attempt.edit, json.dumps(record, indent=2).encode())
    root = attempt.home.root
    return Edit(
        after=Artifact.of(root, attempt.after),
        record=Artifact.of(root, attempt.edit),
        retired=tuple(retired),
        seed=seed,
        architecture=None,
    )


def _edit(
    attempt: Attempt, accepted: AcceptedRequest, data: Data, model: Model, retired: Sequence[int]
) -> Json:
    from flows.models import held_tensors, statistics_cache, statistics_sharded, weights

    dataset, network = _loaded(attempt, data, model)
    statistics = None
    subject = statistics_sharded.Subject(
        home=attempt.home,
        spec=data.spec,
        classes=data.classes,
        weights=model.file,
        architecture=model.architecture,
        retired=model.retired,
    )
    if not accepted.method.sequential:  # sequential surgery takes them anew after every edit
        statistics = statistics_cache.measured(
            attempt.home,
            network,
            dataset,
            weights=model.file.sha256,
            data_version=data.before.version,
            retired=model.retired,
            apart=partial(statistics_sharded.measured, subject) if cluster.is_on() else None,
        )
    with held_tensors.unchanged(network, f"The network '{model.architecture}'"):
        edited = forget_classes(network, dataset, accepted.forget, accepted.method, statistics)
    weights.save_weights(edited.unretired, attempt.after, _metadata(retired))
    return describe(edited)


def _loaded(attempt: Attempt, data: Data, model: Model) -> tuple[Dataset, nn.Module]:
    """What the model was trained on, and the model before."""
    from flows.data import loaders
    from flows.models import weights

    dataset = loaders.learned(data, model)
    network, _ = weights.load_weights(
        attempt.home.root / model.file.path,
        architecture=model.architecture,
        classes=data.classes,
        input_shape=dataset.input_shape,
    )
    return dataset, network


def renewal_seed(attempt: Attempt) -> int:
    """Of a renewed top: another for each attempt, and never that of a reference or base model."""
    from flows.models import renewal

    return renewal.FIRST_SEED + attempt.number


def _renew(
    attempt: Attempt,
    accepted: AcceptedRequest,
    data: Data,
    model: Model,
    retired: Sequence[int],
    seed: int,
) -> Json:
    """The top trained afresh; a step that is killed meanwhile begins again, with the same end."""
    from flows.models import held_tensors, recipes, renewal, weights
    from flows.state import progress
    from flows.state.settings import settings

    dataset, network = _loaded(attempt, data, model)
    attempt.folder.mkdir(parents=True, exist_ok=True)
    progress.current().advance("training a fresh top", 0, 1)
    with held_tensors.unchanged(network, f"The network '{model.architecture}'"):
        renewed = renewal.renew(
            network,
            dataset,
            accepted.forget,
            build=_build(data, model, dataset.input_shape, accepted.recipe),
            recipe=recipes.get(accepted.recipe).training,
            seed=seed,
            folder=attempt.folder,
            device=settings().device,
        )
    weights.save_weights(renewed.network, attempt.after, _metadata(retired))
    record = renewed.record
    return no_edit() | {
        "recalibrated": list(record.recalibrated),
        "renewed": record.to_json(),
        "samples": record.rows,
        "headOnly": False,
    }


def _by_other_method(
    attempt: Attempt,
    accepted: AcceptedRequest,
    data: Data,
    model: Model,
    retired: Sequence[int],
    seed: int,
) -> Json:
    """By a method of others, or a team's own: its source is what it was when the attempt began."""
    from damp.operators import head
    from flows.models import held_tensors, other_methods, weights
    from flows.state import progress

    dataset, network = _loaded(attempt, data, model)
    progress.current().advance(f"forgetting by {accepted.method.preset}", 0, 1)
    with held_tensors.unchanged(network, f"The network '{model.architecture}'"):
        after, record = other_methods.run(
            network,
            dataset,
            accepted.forget,
            name=accepted.method.preset,
            settings=accepted.method.settings,
            code=accepted.method.code,
            build=_build(data, model, dataset.input_shape, accepted.recipe),
            seed=seed,
        )
    weights.save_weights(after, attempt.after, _metadata(retired))
    last = head(network)
    in_head = [key.rpartition(".")[0] == last for key in record.changed]
    return no_edit() | {
        "other": record.to_json(),
        "samples": record.rows,
        "headOnly": bool(in_head) and all(in_head),
    }


def _build(
    data: Data, model: Model, shape: tuple[int, ...], recipe: str
) -> Callable[[], nn.Module]:
    """Makes the network as its recipe starts it."""
    from flows.models import recipes, trainings

    regime = trainings.Regime.of(recipes.get(recipe))
    return partial(trainings.begun, regime, model.architecture, data.classes, shape)


def _cost(
    attempt: Attempt,
    accepted: AcceptedRequest,
    data: Data,
    model: Model,
    references: References,
    record: Json,
    seconds: float,
) -> MethodCost:
    """What the attempt's model took, beside a full retraining."""
    from flows.data import loaders
    from flows.models import recipes

    dataset = loaders.learned(data, model)
    build = _build(data, model, dataset.input_shape, accepted.recipe)
    recipe = recipes.get(accepted.recipe).training
    whole = method_cost.retraining(build, dataset, accepted.forget, recipe)
    trained = method_cost.of_references(attempt.home, references)
    if accepted.method.retrains:
        operations, seconds_of_it = whole, trained
    elif accepted.method.renews:
        operations, seconds_of_it = record["renewed"]["operations"], seconds
    elif accepted.method.is_other:
        operations, seconds_of_it = method_cost.other(build, dataset, record["other"]), seconds
    elif accepted.method.sequential:  # its passes depend on the model
        operations, seconds_of_it = None, seconds
    else:
        operations = method_cost.surgery(build, dataset, accepted.method.preset)
        seconds_of_it = seconds
    return MethodCost(
        operations=operations,
        retraining=whole,
        seconds=seconds_of_it,
        retraining_seconds=trained,
    )


def forget_classes(
    network: nn.Module,
    dataset: Dataset,
    forget: Sequence[int],
    method: Method,
    statistics: damp.Measurement | None = None,
) -> damp.EditedModel:
    """A network out of which classes were edited by the method of a request.

    Args:
        network: Stays as it is.
        dataset: The edit is made from its training rows.
        forget: Classes.
        method: Of the request.
        statistics: Of this network on these rows, where they are there.
    """
    import damp
    from flows.models import statistics_cache
    from flows.state.settings import settings

    return damp.forget(
        network,
        statistics_cache.read_ahead(statistics_cache.batches(dataset)),
        forget=forget,
        preset=method.preset,
        gain=method.gain,
        sequential=method.sequential,
        skip=method.skip,
        device=settings().device,
        measured=statistics,
    )


def describe(edited: damp.EditedModel) -> Json:
    """What was done to the weights, as the statement records it."""
    changed = [operator for operator in edited.operators if operator.relative_change > 0]
    return {
        "operators": [asdict(operator) for operator in edited.operators],
        "skipped": [asdict(skipped) for skipped in edited.skipped],
        "recalibrated": list(edited.recalibrated),
        "repairs": [{"kind": kind, "layer": layer} for kind, layer in edited.repairs],
        "samples": edited.samples,
        **_natural(edited),
        "headOnly": bool(changed) and all(o.name == edited.operators[-1].name for o in changed),
    }


def _natural(edited: damp.EditedModel) -> Json:
    """The goals of `natural`, or which preset stood in for it and why; nothing for others."""
    if edited.natural is not None:
        return {
            "goals": [
                {
                    "layers": list(depth.layers),
                    "before": list(depth.before),
                    "goal": list(depth.goal),
                    "after": list(depth.after),
                    "noise": list(depth.noise),
                    "rows": edited.natural.rows,
                }
                for depth in edited.natural.depths
            ]
        }
    if edited.stand_in is not None:
        return {"standIn": {"preset": edited.stand_in, "reason": edited.stand_in_reason}}
    return {}


def no_edit() -> Json:
    """What a statement records of layers where none was edited here."""
    return {"operators": [], "skipped": [], "recalibrated": [], "repairs": []}


def _take_retrained(
    attempt: Attempt, data: Data, model: Model, references: References, retired: Sequence[int]
) -> Json:
    """The candidate of a retraining attempt is a model that was never trained on the classes."""
    from flows.models import weights

    if references.candidate is None:
        raise EventError(
            f"Attempt {attempt.number} of {attempt.event} retrains, and no model was trained for "
            "the candidate's place. Run it again."
        )
    network, _ = weights.load_weights(
        attempt.home.root / references.candidate.path,
        architecture=model.architecture,
        classes=data.classes,
        input_shape=model.input_shape,
    )
    weights.save_weights(network, attempt.after, _metadata(retired))
    return no_edit() | {"samples": 0, "headOnly": False}


def _metadata(retired: Sequence[int]) -> dict[str, str]:
    """What the weights file says of itself: nothing that differs between two runs of one event."""
    return {"damp.retired": json.dumps(list(retired))}
