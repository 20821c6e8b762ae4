"""What makes a function a step: its name, title and number, and its lines in the journal.

A step takes the attempt and the facts of earlier steps, and gives facts. Called plainly it runs;
`flows.orchestration.tasks` makes Prefect tasks of the same functions.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from inspect import signature
from pathlib import Path
from typing import Any, Concatenate, Generic, ParamSpec, TypeVar, get_type_hints

from flows.data import commitment
from flows.servers import isolated
from flows.state import journal, others_code
from flows.state.errors import EventError
from flows.state.facts import Json, decode, encode
from flows.state.paths import Attempt, Home

RUN_MODELS = frozenset({"version_data", "pin_model", "train_references", "register_plan", "audit"})
"""The steps of a claim that load its data or its networks; none of them signs."""

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
            code = others_code.of_event(attempt.home, attempt.event)
            if code and self.runs_models:
                return self._apart(attempt, code, args, facts)
            try:
                return self.function(attempt, *args, **facts)
            except SystemExit as end:  # exit code 2 would say that an audit was done
                raise EventError(
                    f"Code that step {self.name} ran called sys.exit({end.code!r}). A network or "
                    "data set must not end the process: correct it, then run the event again."
                ) from end

    def _apart(
        self, attempt: Attempt, code: Mapping[str, str], args: Sequence[Any], given: Json
    ) -> R:
        """Run it where there are no keys: it runs code of the other side."""
        names = list(signature(self.function).parameters)[1:]
        inputs = dict(zip(names, args, strict=False)) | given
        arguments = {
            "where": f"{self.function.__module__}:{self.name}",
            "home": str(attempt.home.root),
            "event": attempt.event,
            "number": attempt.number,
            "inputs": {name: encode(each) for name, each in inputs.items()},
        }
        home, event = attempt.home, attempt.event
        job = isolated.Job.of(
            home,
            f"{__name__}:carry_out",
            arguments,
            code,
            read=others_code.read_before(home, event),
            attempt=attempt.folder,
            event_key=commitment.event_key(home, event),
        )
        answer = isolated.run(job)
        result: R = decode(self.hints["return"], answer.result)
        others_code.keep_read(home, event, answer.read)
        return result

    @property
    def runs_models(self) -> bool:
        """Whether it loads data or networks, which may be code of the other side."""
        return self.name in RUN_MODELS

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


def carry_out(where: str, home: str, event: str, number: int, inputs: Json) -> Any:
    """A step in a process of its own: from JSON to JSON, without a line in the journal."""
    room, _, name = where.partition(":")
    step: Step[Any, Any] = getattr(import_module(room), name)
    facts = {key: decode(step.hints[key], each) for key, each in inputs.items()}
    return encode(step.function(Attempt(Home(Path(home)), event, number), **facts))


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
