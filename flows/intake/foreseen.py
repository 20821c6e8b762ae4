"""Lines about what can be expected of a request: of `damp submit`, `inspect` and `cost`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from flows.intake.forecasts import Foreseen, Planned


def of_request(foreseen: Foreseen | None, file: Path) -> Iterator[str]:
    """How likely an honest model is to pass, as far as that is known when a request is filed."""
    if foreseen is None:
        return
    yield from foreseen.out_of_reach
    if foreseen.chance is not None:
        yield f"By an earlier plan about the same model, classes and policy: {foreseen.reason}"
        yield from foreseen.later
    elif not foreseen.out_of_reach:
        yield (
            f"How likely an honest model is to pass, step 5 says before anything is audited"
            f"{_of_others(foreseen.others)}; `damp references {file}` trains what it needs ahead "
            "of time."
        )


def _of_others(chances: Sequence[float]) -> str:
    """What plans about other classes expected; empty where there are none."""
    if not chances:
        return ""
    low, high = min(chances), max(chances)
    span = f"{low:.2f}" if low == high else f"from {low:.2f} to {high:.2f}"
    plans = "a plan" if len(chances) == 1 else f"{len(chances)} plans"
    return f" (by {plans} about other classes of this model, {span})"


def of_model(plans: Sequence[Planned]) -> Iterator[str]:
    """What earlier plans about a model expected, a line for each policy and classes."""
    for plan in plans:
        classes = f"class{'es' if len(plan.forget) > 1 else ''} {', '.join(map(str, plan.forget))}"
        yield f"By a plan about {classes} under {plan.policy}: {plan.reason}"
        yield from plan.later


def of_steps(seconds: Mapping[str, float]) -> Iterator[str]:
    """What the last event here took, and its longest steps."""
    from compliance.presentation import numbers

    longest = sorted(seconds.items(), key=lambda step: -step[1])[:3]
    if longest:
        steps = ", ".join(f"{title} {numbers.duration(taken)}" for title, taken in longest)
        whole = numbers.duration(sum(seconds.values()))
        yield f"The last event here took {whole}: {steps}, and the rest."
