"""`damp cost`: what forgetting each class would take, from statistics that are kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flows.data.dataset import DataSpec
from flows.intake import forecasts
from flows.intake.forecasts import Planned
from flows.registry import model_source
from flows.registry.model_source import Located
from flows.state.errors import ModelError
from flows.state.files import digest_file
from flows.state.paths import Home

if TYPE_CHECKING:
    from damp.costing import Cost


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """What forgetting each class of a model would take.

    Attributes:
        model: As it was named.
        data: The data set.
        preset: Way to edit.
        gain: Factor of every strength.
        samples: Rows that the statistics are of.
        classes: One forecast for each class.
        plans: What plans about the model expected of requests, where there were some.
    """

    model: str
    data: str
    preset: str
    gain: float
    samples: int
    classes: tuple[Cost, ...]
    plans: tuple[Planned, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The fields of `damp cost --json`."""
        return {
            "model": self.model,
            "data": self.data,
            "preset": self.preset,
            "gain": self.gain,
            "samples": self.samples,
            "classes": [_class_to_json(cost) for cost in self.classes],
            "plans": [plan.to_json() for plan in self.plans],
        }


def _class_to_json(cost: Cost) -> dict[str, Any]:
    return {
        "forget": cost.forget,
        "samples": cost.samples,
        "operators": [asdict(operator) for operator in cost.operators],
        "destination": [{"class": label, "share": share} for label, share in cost.destination],
    }


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
) -> Forecast:
    """Predicted strengths per class and operator.

    Raises:
        FlowError, DampError: Model or data cannot be used, or the question has no meaning.
    """
    import damp
    from flows.data import loaders, versions
    from flows.models import statistics_cache

    source = _source(home, model, architecture)
    retired = source.retired()
    root = str(data_root.resolve()) if data_root else None
    whole = loaders.load(DataSpec(name=data, root=root, preprocessing=source.preprocessing))
    weights = digest_file(source.path)
    statistics = statistics_cache.measured(
        home,
        source.load(whole),
        whole.without(retired),
        weights=weights,
        data_version=versions.version_of(whole, retired),
        retired=retired,
    )
    return Forecast(
        model=model,
        data=data,
        preset=preset,
        gain=gain,
        samples=statistics.samples,
        classes=damp.costs(statistics, classes=forget or None, preset=preset, gain=gain),
        plans=forecasts.of_model(home, weights),
    )


def _source(home: Home, model: str, architecture: str | None) -> Located:
    if not model.endswith(".safetensors"):
        return model_source.registered(home, model)
    if architecture is None:
        raise ModelError(
            f"{model} does not say how its network is built: give --architecture, as in "
            "--architecture torchvision:resnet18."
        )
    return Located(path=Path(model), architecture=architecture)
