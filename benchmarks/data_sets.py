"""Events on MNIST, CIFAR-10, CIFAR-100 and Tiny ImageNet: the tables of docs/results-*.md.

    python -m benchmarks.data_sets [NAME ...]

Runs the stages of dvc.yaml with the parameters of benchmarks/params-NAME.yaml. The images lie in
../shared/data; archives are unpacked into .cache/data-sets, once, where the state folders lie too.
Trained models are kept there, so that a second run costs only what has changed.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tarfile
from collections.abc import Mapping
from pathlib import Path

from benchmarks.digits.stages import STAGES
from benchmarks.size.common import SHARED

PLACE = Path(".cache/data-sets")
ARCHIVES: Mapping[str, str | None] = {
    "mnist": None,
    "cifar10": "cifar10.tar.xz",
    "cifar100": "cifar100.tar.xz",
    "tiny-imagenet": "tiny-imagenet-20.tar.xz",
}
"""By data set, the packed images; MNIST's files are read as they are."""


def main() -> None:
    """Run the data sets that are named, all by default."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.data_sets", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(ARCHIVES))
    asked = parser.parse_args()
    if unknown := set(asked.names) - set(ARCHIVES):
        parser.error(f"no data set here is called {', '.join(sorted(unknown))}")
    for name in asked.names or ARCHIVES:
        _unpack(ARCHIVES[name], PLACE / "images" / name)
        environment = os.environ | {
            "DAMP_HOME": str(PLACE / "state" / name),
            "DAMP_PARAMS": f"benchmarks/params-{name}.yaml",
        }
        for stage in STAGES:
            print(f"{name}: {stage}", flush=True)
            subprocess.run(
                [sys.executable, "-m", "benchmarks.digits.stages", stage],
                check=True,
                env=environment,
            )


def _unpack(archive: str | None, folder: Path) -> None:
    """The images of an archive as files below a folder; what is there already is left alone."""
    complete = folder / ".complete"
    if archive is None or complete.exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    with tarfile.open(SHARED / archive) as packed:
        packed.extractall(folder, filter="data")
    complete.touch()


if __name__ == "__main__":
    main()
