"""`damp cost`: what forgetting each class would take, from statistics that are kept."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from flows.data.dataset import DataSpec
from flows.registry import model_source
from flows.registry.model_source import Located
from flows.state.errors import ModelError
from flows.state.files import digest_file
from flows.state.paths import Home

Facts = dict[str, Any]


def cost(
    home: Home,
    *,
    model: str,
    architecture: str | None,
    data: str,
    data_root: Path | None,
    forget: Sequence[int],
    preset: str,
    gain: float,
) -> Facts:
    """Predicted strengths per class and operator.

    Returns:
        `model`, `data`, `preset`, `gain`, `samples`, and `classes`: one entry each.
    Raises:
        FlowError, DampError: Model or data cannot be used, or the question has no meaning.
    """
    import damp
    from flows.data import loaders, versions
    from flows.models import statistics_cache

    source = _source(home, model, architecture)
    retired = source.retired()
    root = str(data_root.resolve()) if data_root else None
    whole = loaders.load(DataSpec(name=data, root=root))
    statistics = statistics_cache.measured(
        home,
        source.load(whole),
        whole.without(retired),
        weights=digest_file(source.path),
        data_version=versions.version_of(whole, retired),
        retired=retired,
    )
    costs = damp.costs(statistics, classes=forget or None, preset=preset, gain=gain)
    return {
        "model": model,
        "data": data,
        "preset": preset,
        "gain": gain,
        "samples": statistics.samples,
        "classes": [_to_json(each) for each in costs],
    }


def _source(home: Home, model: str, architecture: str | None) -> Located:
    if not model.endswith(".safetensors"):
        return model_source.registered(home, model)
    if architecture is None:
        raise ModelError(
            f"{model} does not say how its network is built: give --architecture, as in "
            "--architecture torchvision:resnet18."
        )
    return Located(path=Path(model), architecture=architecture)


def _to_json(cost: Any) -> Facts:
    operators = [
        {
            "name": each.name,
            "kind": each.kind,
            "strength": each.strength,
            "separability": each.separability,
            "disturbance": each.disturbance,
        }
        for each in cost.operators
    ]
    return {
        "forget": cost.forget,
        "samples": cost.samples,
        "operators": operators,
        "destination": [{"class": label, "share": share} for label, share in cost.destination],
    }
