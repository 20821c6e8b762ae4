"""Who is told what happens now: one reporter for the process, silent unless a command sets one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol


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
