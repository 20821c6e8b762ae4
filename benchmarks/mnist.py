"""The events of docs/results-mnist.md: MNIST, two requests, both presets, policy default-v1.

    python -m benchmarks.mnist [STATE_FOLDER]

Needs MNIST in ../shared/data, or change `root` in benchmarks/params-mnist.yaml (without `root`
torchvision downloads it). Eleven trainings of a minute and a half each; all are kept in the state
folder, so that a second run costs only what has changed.
"""

from __future__ import annotations

import os
import subprocess
import sys

STAGES = ("data-version", "base-model", "references", "event", "results")


def main() -> None:
    """Run the stages of dvc.yaml with MNIST's parameters."""
    home = sys.argv[1] if len(sys.argv) > 1 else ".cache/mnist"
    environment = os.environ | {"DAMP_HOME": home, "DAMP_PARAMS": "benchmarks/params-mnist.yaml"}
    for stage in STAGES:
        subprocess.run(
            [sys.executable, "-m", "benchmarks.digits.stages", stage], check=True, env=environment
        )


if __name__ == "__main__":
    main()
