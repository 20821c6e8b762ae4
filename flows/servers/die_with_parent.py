"""Become another Python module whose life ends with that of the process that started it.

    python -m flows.servers.die_with_parent OWNER_PID MODULE [ARGUMENTS ...]

Kept free of imports of our own: it stands between a command and its server for a few milliseconds.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def die_with(owner: int) -> None:
    """Ask the kernel to end this process when its parent `owner` dies, even by SIGKILL."""
    prctl = getattr(ctypes.CDLL(None), "prctl", None)
    if prctl is not None:  # Linux; elsewhere the next start ends what was left
        prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != owner:  # it died before prctl was called
        raise SystemExit(1)


def main() -> None:
    """Tie this process to its owner, then run the module in its place."""
    die_with(int(sys.argv[1]))
    os.execv(sys.executable, [sys.executable, "-m", *sys.argv[2:]])  # noqa: S606


if __name__ == "__main__":
    main()
