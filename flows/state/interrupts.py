"""Ctrl-C and SIGTERM: caught from the first import on, and never lost.

Python raises KeyboardInterrupt wherever it happens to be, and others may swallow it: Prefect does
where a run's function has just returned, the interpreter does in callbacks. So a flag is set, too,
and `check` raises again between two steps.
"""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from types import FrameType

_interrupted = False


def catch_signals() -> None:
    """From now on, Ctrl-C and SIGTERM raise KeyboardInterrupt and are remembered."""
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:  # a shell's background job: keep it
        signal.signal(signal.SIGINT, _interrupt)
    signal.signal(signal.SIGTERM, _interrupt)


def _interrupt(number: int, frame: FrameType | None) -> None:
    global _interrupted
    _interrupted = True
    raise KeyboardInterrupt


def check() -> None:
    """Raise KeyboardInterrupt again where one was swallowed."""
    if _interrupted:
        raise KeyboardInterrupt


@contextlib.contextmanager
def left_to_asyncio() -> Iterator[None]:
    """For a loop that stays until it is interrupted: asyncio ends its tasks in order on Ctrl-C.

    Raises:
        KeyboardInterrupt: Always, when the loop has ended by itself: nothing else ends it.
    """
    before = signal.getsignal(signal.SIGINT)
    if before is _interrupt:  # asyncio takes over from Python's own handler only
        signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    raise KeyboardInterrupt


@contextlib.contextmanager
def kept_from_children() -> Iterator[None]:
    """Processes that are started meanwhile never see Ctrl-C: whoever started them ends them."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
