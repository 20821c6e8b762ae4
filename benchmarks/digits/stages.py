"""The stages of dvc.yaml: from a data version to the tables of docs/results-*.md.

    python -m benchmarks.digits.stages STAGE

Each stage leaves one small file in data/ (or where `leave` says); models, references, ledger and
registry lie in the state folder data/state. DAMP_PARAMS names another parameter file.
"""

from __future__ import annotations

import json
import os
import sys
import uuid
from collections.abc import Sequence
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flows.data.dataset import DataSpec
from flows.state.files import write_atomically
from flows.state.paths import Attempt, Home

if TYPE_CHECKING:
    from flows.steps.references import Training

Facts = dict[str, Any]

FOLDER = Path("data")


def main() -> None:
    """Run the stage that the command line names."""
    from ruamel.yaml import YAML

    os.environ.setdefault("DAMP_HOME", str(FOLDER / "state"))
    from flows.state.settings import prepare_environment, settings

    home = Home(settings().home)
    prepare_environment(home.root)
    params = YAML(typ="safe").load(Path(os.environ.get("DAMP_PARAMS", "params.yaml")))
    STAGES[sys.argv[1]](home, params)


def data_version(home: Home, params: Facts) -> None:
    """The digest of the data as they are now."""
    from flows.data import loaders, versions

    dataset = loaders.load(_spec(params))
    content = versions.version(dataset, home).to_json()
    kept = {key: content[key] for key in ("name", "version", "rows")}
    _leave(params, "version.json", {"description": dataset.description} | kept)


def base_model(home: Home, params: Facts) -> None:
    """The model before: trained once, registered once for each event, which must not collide."""
    from flows.data import loaders
    from flows.registry import registration
    from flows.state import keyring
    from flows.steps import references

    keyring.ensure_demo_key(home)
    training = _training(home, params, [])
    model = references.train_one(training.reference(home, params["seed"]))
    for wanted in params["events"]:
        registration.register_base(
            home,
            name=_name(params, wanted),
            weights=home.root / model.path,
            architecture=training.architecture,
            classes=training.classes,
            input_shape=loaders.load(training.spec).input_shape,
            data_version=training.data_version,
            data_name=_source(params),
        )
    _leave(params, "base.json", model.to_json() | {"data": training.data_version})


def train_references(home: Home, params: Facts) -> None:
    """The retrained models of every event, ahead of time."""
    from compliance.documents.policy import load_policy
    from flows.steps import references

    policy, trained = load_policy(params["policy"]), {}
    for wanted in params["events"]:
        models = references.train(
            home,
            _training(home, params, wanted["forget"]),
            references=policy.references,
            candidate=wanted["preset"] == "retrain",
            shadow_models=policy.shadows,
        ).to_json()
        trained[_name(params, wanted)] = {
            **{key: models[key] for key in ("models", "candidate", "seeds")},
            "shadows": {key: models["shadows"][key] for key in ("models", "seeds")},
        }
    _leave(params, "references.json", trained)


def event(home: Home, params: Facts) -> None:
    """Every event, from its request to its closed ledger entry."""
    from flows.cli import console
    from flows.intake import model_checks, requests
    from flows.orchestration import engine
    from flows.records import status

    for wanted in params["events"]:
        file = home.root / "requests" / f"{_name(params, wanted)}.yaml"
        if not file.exists():
            write_atomically(file, _request(params, wanted).encode())
        accept = model_checks.LENIENT if params.get("lenient") else model_checks.STRICT
        requests.submit(home, file, accept)
    with console.bars():
        engine.carry_out(home, requests.pending(home))
    _leave(params, "events.json", [each.to_json() for each in status.all_events(home)])


def results(home: Home, params: Facts) -> None:
    """The tables, from the signed statements alone."""
    from benchmarks.digits import tables

    events = [(_title(wanted), _statements(home, params, wanted)) for wanted in params["events"]]
    parts = [
        f"# Results on `{params['data']}`",
        "",
        "Made by the command in [results.md](results.md); do not edit. In the first table each "
        "figure is followed by the mean of the retrained models.",
        "",
        tables.summary(events),
        "",
    ]
    for wanted, (title, statements) in zip(params["events"], events, strict=True):
        parts.append(tables.event(statements, title=title, command=_command(params, wanted)))
    target = Path("docs") / f"results-{params['data']}.md"
    write_atomically(target, ("\n".join(parts).rstrip() + "\n").encode())


def _title(wanted: Facts) -> str:
    classes = " and ".join(map(str, wanted["forget"]))
    return f"Forget {classes}, preset `{wanted['preset']}`"


def _statements(home: Home, params: Facts, wanted: Facts) -> list[Path]:
    """The signed statements of an event's attempts, in order."""
    rows: list[Path] = []
    while (path := Attempt(home, _id(params, wanted), len(rows) + 1).statement).exists():
        rows.append(path)
    return rows


STAGES = {
    "data-version": data_version,
    "base-model": base_model,
    "references": train_references,
    "event": event,
    "results": results,
}


def _spec(params: Facts) -> DataSpec:
    root = params.get("root")
    return DataSpec(name=_source(params), root=str(Path(root).resolve()) if root else None)


def _source(params: Facts) -> str:
    """The data as a request names them: by name, or the folder of images that holds them here."""
    folder = params.get("folder")
    return f"imagefolder:{Path(folder).resolve()}" if folder else str(params["data"])


def _training(home: Home, params: Facts, forget: Sequence[int]) -> Training:
    """What an event's references are made of."""
    from flows.data import loaders, versions
    from flows.models import recipes
    from flows.steps.references import Training

    spec = _spec(params)
    dataset = loaders.load(spec)
    return Training(
        spec=spec,
        data_version=versions.version(dataset, home).version,
        classes=dataset.classes,
        architecture=recipes.get(_recipe(params)).architecture,
        recipe=_recipe(params),
        forget=tuple(sorted(forget)),
        retired=(),
    )


def _recipe(params: Facts) -> str:
    """By name, or the whole path of its file: a request looks for it beside itself."""
    from flows.models import recipes

    named = str(params["recipe"])
    return str(Path(named).resolve()) if recipes.is_file(named) else named


def _name(params: Facts, wanted: Facts) -> str:
    """A registered name for each event."""
    return "-".join([params["data"], *map(str, wanted["forget"]), wanted["preset"]])


def _id(params: Facts, wanted: Facts) -> str:
    """The same request under the same policy has the same id at every run."""
    from compliance.documents.policy import load_policy

    text = f"damp results: {_name(params, wanted)} {load_policy(params['policy']).digest()}"
    digest = sha256(text.encode()).digest()
    return str(uuid.UUID(bytes=digest[:16], version=4))


def _request(params: Facts, wanted: Facts) -> str:
    from flows.intake import requests

    return requests.template(
        identity=_id(params, wanted),
        submitted=datetime.now(UTC),
        forget=tuple(wanted["forget"]),
        model=f"{_name(params, wanted)}@champion",
        architecture=None,
        data=_source(params),
        data_root=Path(params["root"]).resolve() if params.get("root") else None,
        recipe=_recipe(params),
        policy=params["policy"],
        regulation="other",
        preset=wanted["preset"],
    )


def _command(params: Facts, wanted: Facts) -> str:
    """The command that files such a request by hand."""
    forget = " ".join(f"--forget {c}" for c in wanted["forget"])
    root = f" --data-root {params['root']}" if params.get("root") else ""
    source = f"imagefolder:{params['folder']}" if params.get("folder") else params["data"]
    return (
        f"damp request {forget} --model {params['data']}@champion --data {source}{root} "
        f"--policy {params['policy']} --preset {wanted['preset']} "
        "--regulation contract > request.yaml; damp submit request.yaml; damp run"
    )


def _leave(params: Facts, name: str, content: Any) -> None:
    folder = Path(params.get("leave", FOLDER))
    write_atomically(folder / name, (json.dumps(content, indent=2) + "\n").encode())


if __name__ == "__main__":
    main()
