"""What a reader may do with a foreign file: take it, or refuse it in words. Nothing else.

A reader that raises anything but one of damp's own errors, takes longer than ten seconds, runs
something that the file brought along, or leaves a file behind has failed. The ten seconds are its
own: of the processor. On a machine that others use as well, a reader that waits is given a minute.
"""

from __future__ import annotations

import os
import signal
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from flows.state.errors import is_refusal

SECONDS, PATIENCE = 10, 60
"""Of the processor, and by the clock."""
MARK = "executed-by-a-crafted-file"
"""A file of this name in the folder of marks: something that a file brought along was run."""


class HangError(BaseException):
    """A reader took too long; not an `Exception`, which a reader may catch and reword."""


@dataclass
class Watch:
    """Counts over many files.

    Attributes:
        folder: Where the files are and where nothing may be left.
        taken: Files that were read.
        refused: Files that were refused in words, by the error's name.
        tracebacks: Anything else that was raised, as name of the file and the last lines.
        hangs: Names of files that took too long.
        executed: Names of files after which the mark was there.
        left: Names of files that were left behind.
    """

    folder: Path
    taken: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    tracebacks: list[str] = field(default_factory=list)
    hangs: list[str] = field(default_factory=list)
    executed: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)

    def read(self, name: str, reader: Callable[[], Any]) -> None:
        """Let a reader try, and count what came of it."""
        before = _names(self.folder)
        try:
            with _at_most(SECONDS, PATIENCE):
                reader()
            self.taken += 1
        except HangError:
            self.hangs.append(name)
        except Exception as error:  # noqa: BLE001 - sorting these is what this is for
            if is_refusal(error) and str(error).strip():
                self.refused[type(error).__name__] += 1
            else:
                self.tracebacks.append(f"{name}: {traceback.format_exc(limit=-3)[-600:]}")
        if (self.folder / MARK).exists():
            self.executed.append(name)
            (self.folder / MARK).unlink()
        self.left += sorted(_names(self.folder) - before - {MARK})

    @property
    def failures(self) -> int:
        """How many times something happened that must not."""
        return len(self.tracebacks) + len(self.hangs) + len(self.executed) + len(self.left)

    def to_json(self) -> dict[str, Any]:
        """The counts."""
        return {
            "files": self.taken + sum(self.refused.values()) + len(self.tracebacks + self.hangs),
            "taken": self.taken,
            "refused": dict(sorted(self.refused.items())),
            "tracebacks": self.tracebacks,
            "hangs_over_10_s": self.hangs,
            "executed": self.executed,
            "left_behind": self.left,
        }


def _names(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


@contextmanager
def _at_most(worked: float, waited: float) -> Iterator[None]:
    def ring(*_: Any) -> None:
        raise HangError

    clocks = {
        signal.SIGPROF: (signal.ITIMER_PROF, worked),
        signal.SIGALRM: (signal.ITIMER_REAL, waited),
    }
    before = {which: signal.signal(which, ring) for which in clocks}
    for timer, seconds in clocks.values():
        signal.setitimer(timer, seconds)
    try:
        yield
    finally:
        for which, (timer, _) in clocks.items():
            signal.setitimer(timer, 0)
            signal.signal(which, before[which])


def command_that_marks(folder: Path) -> str:
    """A shell command that leaves the mark, for files that try to have one run."""
    return f"touch {os.fspath(folder / MARK)}"
