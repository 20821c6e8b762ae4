"""`damp cost`: what forgetting each class would take, from statistics that are kept."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flows.data.dataset import DataSpec
from flows.registry import model_source
from flows.registry.model_source import Located
from flows.state.errors import ModelError
from flows.state.files import digest_file
from flows.state.paths import Home

if TYPE_CHECKING:
    from rich.table import Table

Facts = dict[str, Any]

SHOWN = 6
"""Operators in the table; `--json` has them all."""
LIKELY = 3
"""Classes that a table names as the destination of a class."""


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
    seen = statistics_cache.measured(
        home,
        source.load(whole),
        whole.without(retired),
        weights=digest_file(source.path),
        data_version=versions.version_of(whole, retired),
        retired=retired,
    )
    found = damp.costs(seen, classes=forget or None, preset=preset, gain=gain)
    return {
        "model": model,
        "data": data,
        "preset": preset,
        "gain": gain,
        "samples": seen.samples,
        "classes": [_told(each) for each in found],
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


def _told(cost: Any) -> Facts:
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


def table(told: Facts) -> Table:
    """One line per class: strength at some operators, first to last, and where it would go."""
    from rich.table import Table

    names = [operator["name"] for operator in told["classes"][0]["operators"]]
    places = _spread(len(names))
    shown = Table(title=f"strength per layer ({told['preset']}, gain {told['gain']:g})")
    shown.add_column("class", justify="right")
    shown.add_column("samples", justify="right")
    for place in places:
        shown.add_column(names[place] or "(the model)", justify="right", overflow="fold")
    shown.add_column("disturbance of others", justify="right")
    shown.add_column("would go to")
    for each in told["classes"]:
        operators = each["operators"]
        likely = [f"{d['class']} ({d['share']:.0%})" for d in each["destination"][:LIKELY]]
        shown.add_row(
            str(each["forget"]),
            str(each["samples"]),
            *(f"{operators[place]['strength']:.2f}" for place in places),
            f"{max(operator['disturbance'] for operator in operators):.1%}",
            ", ".join(likely),
        )
    return shown


def _spread(count: int) -> list[int]:
    """Places of at most `SHOWN` operators, the first and the last among them.

    >>> _spread(4), _spread(11)
    ([0, 1, 2, 3], [0, 2, 4, 6, 8, 10])
    """
    if count <= SHOWN:
        return list(range(count))
    return [round(place * (count - 1) / (SHOWN - 1)) for place in range(SHOWN)]
