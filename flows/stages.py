"""The stages of dvc.yaml: from a data version to the tables of docs/results-digits.md.

    python -m flows.stages STAGE

The references of an event are trained by the event itself; the stage before it trains them ahead,
which a schedule would do at night. State lies in data/state, each stage leaves one small file.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

from flows.layout import Home

Facts = dict[str, Any]

FOLDER = Path("data")


def main() -> None:
    """Run the stage that the command line names."""
    from ruamel.yaml import YAML

    from flows.settings import prepare_environment, settings

    os.environ["DAMP_HOME"] = str(FOLDER / "state")
    home = Home(settings().home)
    prepare_environment(home.root)
    params = YAML(typ="safe").load(Path("params.yaml"))
    STAGES[sys.argv[1]](home, params)


def data_version(home: Home, params: Facts) -> None:
    """The digest of the data as they are now."""
    from flows import datasets, dataversions

    dataset = datasets.load(datasets.DataSpec(name=params["data"]))
    _leave("version", {"description": dataset.description} | _relative(home, dataversions, dataset))


def _relative(home: Home, dataversions: Any, dataset: Any) -> Facts:
    told: Facts = dataversions.version(dataset, home).to_json()
    return {key: told[key] for key in ("name", "version", "rows")}


def base_model(home: Home, params: Facts) -> None:
    """The model before, registered as `champion`."""
    from flows import keyring, training

    keyring.ensure_demo_key(home)
    made = training.base_model(
        home,
        name=params["data"],
        data=params["data"],
        data_root=None,
        recipe=params["recipe"],
        architecture=None,
        seed=params["seed"],
    )
    _leave("base", made | {"weights": home.relative(Path(made["weights"]))})
