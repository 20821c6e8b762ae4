"""Runs of pytest that need no start: this process holds the libraries, and forks for each run.

No room of this repository is imported here. A fork does that itself, so that it can change a module
on its way in, and whatever it does to them is gone with it.
"""

from __future__ import annotations

import importlib
import os
import resource
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.mutants import own_tests, plugin

LIBRARIES = (
    "numpy",
    "scipy.linalg",
    "scipy.optimize",
    "scipy.stats",
    "sklearn.datasets",
    "sklearn.discriminant_analysis",
    "sklearn.linear_model",
    "sklearn.metrics",
    "sklearn.neural_network",
    "torch",
    "torch.fx",
    "torchvision.models",
    "safetensors.torch",
    "yaml",
    "jsonschema",
    "pydantic",
    "cryptography.hazmat.primitives.asymmetric.ed25519",
    "hypothesis",
    "pytest",
    "_pytest.doctest",
)
ROOMS = ("audits", "compliance", "damp", "flows", "tests")
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What came of one run of pytest.

    Attributes:
        code: Its exit code; negative where a signal ended it.
        output: What it wrote.
        seconds: Processor time, of what it started too.
    """

    code: int
    output: str
    seconds: float


def hold_libraries() -> None:
    """Import what tests need from others; what was imported before is not imported again."""
    for name in THREADS:  # a library's threads would not survive a fork
        os.environ.setdefault(name, "1")
    for name in LIBRARIES:
        importlib.import_module(name)
    held = sorted({name.partition(".")[0] for name in sys.modules} & set(ROOMS))
    if held:
        raise RuntimeError(f"Imported before any change could be made: {', '.join(held)}.")


def run(arguments: Sequence[str], *, mutant: str | None, limit: float) -> Run:
    """Run pytest in a fork, from the repository's root.

    Args:
        arguments: Of pytest.
        mutant: The change, as `plugin.VARIABLE` names it; None for the source as it stands.
        limit: Seconds of processor time after which it is ended: a busy machine ends nobody.
    """
    with tempfile.TemporaryFile() as output:
        sys.stdout.flush()
        child = os.fork()
        if child == 0:
            os._exit(_within_fork(arguments, mutant, limit, output.fileno()))
        _, status, used = os.wait4(child, 0)
        output.seek(0)
        return Run(
            code=os.waitstatus_to_exitcode(status),
            output=output.read().decode(errors="replace"),
            seconds=used.ru_utime + used.ru_stime,
        )


def _within_fork(arguments: Sequence[str], mutant: str | None, limit: float, output: int) -> int:
    """The exit code; no exception may leave the fork, or it would go on as its parent."""
    os.dup2(output, 1)
    os.dup2(output, 2)
    try:
        import hypothesis
        import pytest

        resource.setrlimit(resource.RLIMIT_CPU, (int(limit), int(limit) + 5))
        os.chdir(own_tests.ROOT)
        if mutant is not None:
            os.environ[plugin.VARIABLE] = mutant  # as the plugin reads it in a run of its own
            plugin.install(mutant)
        # the smallest example is of no interest, and the same run must end the same way
        phases = (hypothesis.Phase.explicit, hypothesis.Phase.generate)
        hypothesis.settings.register_profile(
            "mutants", phases=phases, derandomize=True, database=None
        )
        code = int(pytest.main(["--hypothesis-profile=mutants", *arguments]))
    except BaseException as error:  # noqa: BLE001 - told by the exit code and the output
        print(f"{type(error).__name__}: {error}")
        code = 3  # pytest's own for an error of its own
    sys.stdout.flush()
    sys.stderr.flush()
    return code
