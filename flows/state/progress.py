"""Who is told what happens now: one reporter for the process, silent unless a command sets one."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol


class Reporter(Protocol):
    """Something that shows a person how far the work is."""

    def step(self, number: int, title: str) -> None:
        """A step of the event begins."""

    def advance(self, text: str, done: int, total: int) -> None:
        """A part of the running step is done."""


class Silent:
    """Tells nobody."""

    def step(self, number: int, title: str) -> None:
        """Say nothing."""

    def advance(self, text: str, done: int, total: int) -> None:
        """Say nothing."""


_current: Reporter = Silent()


def current() -> Reporter:
    """The reporter of this process."""
    return _current


@contextmanager
def reporting_to(reporter: Reporter) -> Iterator[None]:
    """Send progress to `reporter` for the length of a `with` block."""
    global _current
    before, _current = _current, reporter
    try:
        yield
    finally:
        _current = before


class Noted:
    """Passes everything on, leaves a note that `damp status` reads, and tells `page` of steps.

    Args:
        others: Whom all is passed on to.
        note: Takes `text`, `done`, `total` of a part.
        page: Takes number and title of a step.
    """

    def __init__(
        self,
        others: Reporter,
        note: Callable[[dict[str, Any]], None],
        page: Callable[[int, str], None],
    ) -> None:
        self.others, self.note, self.page, self.last = others, note, page, 0.0

    def step(self, number: int, title: str) -> None:
        """A step of the event begins; the last part of the step before is forgotten."""
        self.others.step(number, title)
        self.page(number, title)
        self.last = 0.0

    def advance(self, text: str, done: int, total: int) -> None:
        """Note it, at most twice a second."""
        self.others.advance(text, done, total)
        if time.monotonic() - self.last > 0.5:
            self.last = time.monotonic()
            self.note({"text": text, "done": done, "total": total})
