"""What makes a function a step: its name, title and number, and its lines in the journal.

A step takes the attempt and the facts of earlier steps, and gives facts. Called plainly it runs;
`flows.orchestration.tasks` makes Prefect tasks of the same functions.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, Concatenate, Generic, ParamSpec, TypeVar, get_type_hints

from flows.state import journal
from flows.state.paths import Attempt

P = ParamSpec("P")
R = TypeVar("R")
Q = ParamSpec("Q")
S = TypeVar("S")


class Step(Generic[P, R]):
    """A function of an attempt and of facts that notes in the journal when it runs.

    Attributes:
        name: The function's, everywhere: journal, Prefect's page, documentation.
        title: What a person sees while it runs.
        function: What it does.
    """

    def __init__(
        self,
        function: Callable[Concatenate[Attempt, P], R],
        title: str,
        settled: Callable[[Attempt], Any] | None = None,
    ) -> None:
        functools.update_wrapper(self, function)
        self.function, self.title, self.settled = function, title, settled
        self.name = function.__name__

    def __call__(self, attempt: Attempt, *args: P.args, **facts: P.kwargs) -> R:
        """Run it, unless the ledger says that it was done for good."""
        if self.settled is not None:
            result: R | None = self.settled(attempt)
            if result is not None:
                return result
        with journal.entered(attempt, self.label):
            return self.function(attempt, *args, **facts)

    @property
    def label(self) -> journal.Label:
        """Name, title and place among the steps of an event."""
        from flows.steps.table import STEPS  # it imports every step, and each imports this module

        names = list(STEPS)
        number = names.index(self.name) + 1
        return journal.Label(name=self.name, number=number, of=len(names), title=self.title)

    @property
    def hints(self) -> dict[str, Any]:
        """The kinds of its facts by the names of its parameters, and of its result as `return`."""
        return get_type_hints(self.function)

    def of_claim(self, function: Callable[Concatenate[Attempt, Q], S]) -> Step[Q, S]:
        """Decorates what the same step does where a claim is audited; the name stays."""
        if function.__name__ != self.name:
            raise TypeError(
                f"{function.__name__} is no form of step {self.name}: name it like that"
            )
        return Step(function, self.title, self.settled)


def step(
    title: str, *, settled: Callable[[Attempt], Any] | None = None
) -> Callable[[Callable[Concatenate[Attempt, P], R]], Step[P, R]]:
    """Decorates a step of the event; `flows.steps.table` has them in their order.

    Args:
        title: What a person sees while it runs.
        settled: Gives the step's result where the ledger says that it was done for good, else
            None: then it neither runs nor comes into the journal again.
    """

    def decorate(function: Callable[Concatenate[Attempt, P], R]) -> Step[P, R]:
        return Step(function, title, settled)

    return decorate
