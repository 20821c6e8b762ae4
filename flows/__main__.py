"""What `damp` and `python -m flows` run: Ctrl-C is caught before the large imports."""

from __future__ import annotations

import sys

from flows.state import interrupts

INTERRUPTED = 130


def main() -> None:
    """Run a command. Interrupted anywhere, imports included, it says so and ends with 130."""
    interrupts.catch_signals()
    try:
        from flows.cli import app

        app.main()
    except KeyboardInterrupt:
        sys.stderr.write("error: interrupted. Nothing is lost: the same command goes on.\n")
        sys.exit(INTERRUPTED)


if __name__ == "__main__":
    main()
