"""Calls into code that is not ours: whatever it does, a refusal that names it comes of it.

Such code may raise anything, call `sys.exit`, or read the command line while it is imported. None
of that may end a command of ours: exit code 2 means that an audit was done and did not pass.
"""

from __future__ import annotations

import signal
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from flows.state import import_path, interrupts, others_code
from flows.state.errors import FlowError

SHOWN = 300
"""Characters of another's words in a message."""


def call(text: str, error: type[FlowError], **arguments: Any) -> Any:
    """What the callable `package.module:callable` returns for these keywords.

    Raises:
        error: It cannot be imported, cannot be called like that, raises, or ends the process.
    """
    function = loaded(text, error, *arguments)
    with guarded(text, error, "when it was called"):
        return function(**arguments)


def loaded(text: str, error: type[FlowError], *keywords: str) -> Callable[..., Any]:
    """The callable `package.module:callable`, which can be called with these keywords.

    Raises:
        error: It cannot be imported, or cannot be called like that.
    """
    others_code.refuse_in_here(text.partition(":")[0])
    others_code.watch_in_here()
    with guarded(text, error, "while it was imported"):
        function = import_path.load(text, error)
    with guarded(text, error, "when its signature was read"):
        import_path.check_parameters(text, function, error, *keywords)
    return function


@contextmanager
def guarded(text: str, error: type[FlowError], when: str) -> Iterator[None]:
    """Code that `text` names runs inside: it sees no command line, and its errors are refusals.

    Args:
        text: `package.module:callable`.
        error: The kind of the refusal.
        when: For the message: "while it was imported".
    """
    before, sys.argv = sys.argv, [text.partition(":")[0]]
    try:
        yield
    except FlowError:
        raise
    except SystemExit as end:
        raise error(
            f"'{text}' called sys.exit({end.code!r}) {when}. A module that is imported must not "
            "end the process nor read the command line: keep that below "
            '`if __name__ == "__main__":`.'
        ) from end
    except KeyboardInterrupt as interrupt:
        if _is_real():
            raise
        raise error(f"'{text}' raised KeyboardInterrupt {when}. Fix it there.") from interrupt
    except Exception as problem:
        raise error(f"'{text}' raised {_in_words(problem)} {when}. Fix it there.") from problem
    finally:
        sys.argv = before


def _is_real() -> bool:
    """Whether somebody has interrupted us; where our handler is not set, that is assumed."""
    interrupts.check()
    return signal.getsignal(signal.SIGINT) is signal.default_int_handler


def _in_words(problem: Exception) -> str:
    """Kind, words and place of an error."""
    words = " ".join(str(problem).split())[:SHOWN]
    frames = traceback.extract_tb(problem.__traceback__)
    place = f" ({frames[-1].filename}, line {frames[-1].lineno})" if len(frames) > 1 else ""
    return f"{type(problem).__name__}: {words}{place}"
