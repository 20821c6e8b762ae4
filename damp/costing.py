"""What would forgetting a class cost? Predicted from one measurement, before any edit."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from torch import Tensor

from damp import checks
from damp.catalogue import DEFAULT_PRESET
from damp.errors import DampError, raise_together
from damp.measurement import Measurement, Reader
from damp.plans import OperatorPlan, PlanSettings
from damp.presets import plan_operator
from damp.residuals import mixture_weights
from damp.statistics import Statistics
from damp.strength import linear_ramp


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorCost:
    """What an edit would do to the readers of one set of inputs.

    Attributes:
        name: Of the first operator that reads them.
        kind: Class of its layer.
        strength: The largest a_j; 0 where the operators would stay as they are.
        separability: The largest s_j^2 (`mixture`), or 2 AUC - 1 (`paper`); 0 as above.
        disturbance: Share of the variance of retained samples' inputs that would be taken away:
            sum of a_j^2 over D, in the metric in which that variance is 1 in every direction.
    """

    name: str
    kind: str
    strength: float
    separability: float
    disturbance: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What forgetting one class would take.

    Attributes:
        forget: The class.
        samples: Its samples in the measurement.
        operators: In the order of the forward pass; those with the same inputs once.
        destination: Retain classes of which the class is a mixture at the last operator, with their
            weights, largest first: where its images are likely to go. Empty where retained samples
            are all alike there.
    """

    forget: int
    samples: int
    operators: tuple[OperatorCost, ...]
    destination: tuple[tuple[int, float], ...]


def costs(
    measured: Measurement,
    *,
    classes: Iterable[int] | None = None,
    preset: str = DEFAULT_PRESET,
    gain: float = 1.0,
    ramp: Callable[[int, int], float] = linear_ramp,
) -> tuple[Cost, ...]:
    """Predicted strengths per class and operator.

    Args:
        measured: What `measure` gave.
        classes: Classes to ask about, each by itself. None: all that have samples.
        preset: As `forget` takes it.
        gain: As `forget` takes it.
        ramp: As `forget` takes it.
    Raises:
        DampError: a setting without meaning, a class without samples, or nothing left to keep.

    >>> import torch
    >>> from damp.measuring import measure
    >>> _ = torch.manual_seed(0)
    >>> labels = torch.arange(60) % 3
    >>> inputs = torch.randn(60, 4) + 3 * torch.eye(4)[labels]
    >>> predicted = costs(measure(torch.nn.Linear(4, 3), [(inputs, labels)]))
    >>> for cost in predicted:
    ...     print(cost.forget, cost.samples, round(cost.operators[0].strength, 2))
    0 20 0.95
    1 20 0.94
    2 20 0.92
    """
    problems: list[DampError] = list(checks.option_problems(preset, gain, None))
    present = tuple(int(label) for label in measured.counts.nonzero().flatten())
    asked, wrong = (present, []) if classes is None else checks.parse_classes(classes)
    problems += wrong
    for label in asked:
        problems += checks.count_problems(measured, [label], ())
    raise_together(problems)
    # readers of one input are cut alike: each set of inputs counts once, also for the ramp
    first = [reader for reader in measured.readers if reader.input_group == reader.name]
    ramps = [ramp(place, len(first)) for place in range(len(first))]
    return tuple(
        Cost(
            forget=label,
            samples=int(measured.counts[label]),
            operators=tuple(
                _cost(
                    measured.of(reader), reader, label, preset, PlanSettings(gain=gain, ramp=share)
                )
                for reader, share in zip(first, ramps, strict=True)
            ),
            destination=_destination(measured, label),
        )
        for label in asked
    )


def _cost(
    statistics: Statistics, reader: Reader, label: int, preset: str, settings: PlanSettings
) -> OperatorCost:
    answers = plan_operator(preset, statistics, [label], settings)
    plans = [answer for answer in answers if isinstance(answer, OperatorPlan)]
    # trace(T'T) in the whitened metric, where T = V diag(a) V': sum of a_j^2
    removed = sum(float(plan.strength.square().sum()) for plan in plans)
    return OperatorCost(
        name=reader.name,
        kind=reader.kind,
        strength=max((a for plan in plans for a in plan.strength.tolist()), default=0.0),
        separability=max((s for plan in plans for s in plan.separability), default=0.0),
        disturbance=removed / len(statistics.pivot),
    )


def _destination(measured: Measurement, label: int) -> tuple[tuple[int, float], ...]:
    """The mixture at the last operator, of its first block of features if it is in groups."""
    statistics = measured.of(measured.readers[-1]).block(0)
    kept = statistics.others([label])
    if not statistics.varies(kept):
        return ()
    metric = statistics.covariance(kept).metric()
    # (1, r)
    weights = mixture_weights(statistics.prototypes([label]), statistics.prototypes(kept), metric)
    return _sorted(kept, weights[0])


def _sorted(classes: Sequence[int], weights: Tensor) -> tuple[tuple[int, float], ...]:
    pairs = [(label, float(w)) for label, w in zip(classes, weights.tolist(), strict=True) if w]
    return tuple(sorted(pairs, key=lambda pair: -pair[1]))
