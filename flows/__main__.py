"""What `damp` and `python -m flows` run: Ctrl-C is caught before the large imports.

Nothing is imported before the caller's folder is off the path, not even `__future__`: a file of
that name beside a harmless claim would be run.
"""

import sys

HERE = __file__.rpartition("/flows/")[0]
"""The folder that damp was imported from."""
if not sys.flags.safe_path and sys.argv[0] in ("-m", "-c", __file__) and sys.path[0] != HERE:
    del sys.path[0]  # Python has put the working folder there
sys.path[:] = [entry for entry in sys.path if entry.startswith("/")]

import os  # noqa: E402 - now that no other can be meant

# an entry of PYTHONPATH that is empty or relative means the working folder too: `PYTHONPATH=:/opt`
_MEANT = {
    os.path.abspath(entry)
    for entry in os.environ.get("PYTHONPATH", "").split(os.pathsep)
    if "PYTHONPATH" in os.environ and not os.path.isabs(entry)
}
sys.path[:] = [entry for entry in sys.path if entry == HERE or entry not in _MEANT]

from flows.state import children, interrupts  # noqa: E402 - the same

INTERRUPTED = 130


def main() -> None:
    """Run a command. Interrupted anywhere, imports included, it says so and ends with 130."""
    interrupts.catch_signals()
    try:
        children.leave_callers_folder(os.environ)
        from flows.cli import app

        app.main()
    except KeyboardInterrupt:
        sys.stderr.write("error: interrupted. Nothing is lost: the same command goes on.\n")
        sys.exit(INTERRUPTED)


if __name__ == "__main__":
    main()
