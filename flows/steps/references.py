"""Step 4: models trained from scratch on the successor data, the yardstick of every audit."""

from __future__ import annotations

import json
import multiprocessing
import os
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any

from flows.data.dataset import DataSpec
from flows.servers import cluster
from flows.state import interrupts, progress
from flows.state.files import Artifact, canonical, digest_bytes, is_intact
from flows.state.paths import Attempt, Home
from flows.steps import shadows

Facts = dict[str, Any]

FIRST_SEED = 1000
"""References take seeds from here on, so that none is the seed of a base model."""
WORTH_A_PROCESS = 8.0
"""Seconds one training must take before a second process (which imports torch anew) pays."""


def references(where: Facts, accepted: Facts, data: Facts, model: Facts) -> Facts:
    """Train, or find, one reference per seed; the same inputs give the same bytes.

    A retraining attempt needs one model more: the candidate, which is never among its own judges.
    """
    from flows.state.journal import entered

    with entered(Attempt.of(where), "references"):
        return trained_for(Home.of(where), accepted, data, model)


def trained_for(home: Home, accepted: Facts, data: Facts, model: Facts) -> Facts:
    """The references that an event with these facts will be judged by."""
    count = accepted["policy"]["references"]
    wanted = count + (accepted["method"]["preset"] == "retrain")
    jobs = [job(home, accepted, data, model, FIRST_SEED + index) for index in range(wanted)]
    found = _all(home, jobs, "references")
    return {
        "models": found[:count],
        "candidate": found[count] if wanted > count else None,
        "seeds": [job["seed"] for job in jobs],
        "shadows": _shadows(home, accepted, data, model),
    }


def _shadows(home: Home, accepted: Facts, data: Facts, model: Facts) -> Facts:
    """As many shadow models as the policy asks for; the same inputs, the same bytes.

    With the method by which they are to be edited as well, where the policy asks for that and the
    candidate is made by one of ours.
    """
    from damp.presets import PRESETS

    count = accepted["policy"].get("shadows", 0)
    seeds = [shadows.FIRST_SEED + index for index in range(count)]
    jobs = [job(home, accepted, data, model, seed, shadow=True) for seed in seeds]
    found: Facts = {"models": _all(home, jobs, "shadow models"), "seeds": seeds}
    method = accepted["method"]
    if accepted["policy"].get("edited_shadows") and method["preset"] in PRESETS:
        found["edited"] = method
    return found


def job(
    home: Home, accepted: Facts, data: Facts, model: Facts, seed: int, *, shadow: bool = False
) -> Facts:
    """What one training is made of, and where its model is kept: named by all that decides it.

    Args:
        shadow: Whether it is trained on half of all rows, the class's among them (`shadows`).
    """
    from flows.models import recipes

    recipe = recipes.get(accepted["recipe"])
    content: Facts = {
        "architecture": model["architecture"],
        "classes": data["classes"],
        "exclude": sorted(model["retired"] if shadow else accepted["forget"] + model["retired"]),
        "data": data["before"]["version"],
        "recipe": asdict(recipe.training),
        "seed": seed,
    } | ({"shadow": True} if shadow else {})
    key = digest_bytes(canonical(content))
    folder = home.shadows if shadow else home.references
    return content | {
        "home": str(home.root),
        "spec": data["spec"],
        "path": str(folder / f"{key}.safetensors"),
    }


def _all(home: Home, jobs: list[Facts], what: str) -> list[Facts]:
    """Every job's model, in order; trained here or, where that pays, by a second process too.

    With a cluster, what is not there yet is trained by its workers.

    Args:
        what: For people: "references".
    """
    if not jobs:
        return []
    if cluster.is_on():
        cluster.map(train_one, [job for job in jobs if known(job) is None], what)
    done: list[Facts] = []
    seconds = 0.0
    for number, each in enumerate(jobs):
        if seconds > WORTH_A_PROCESS and len(jobs) - number > 1:
            return done + _together(jobs[number:], done=number, total=len(jobs))
        progress.current().advance(f"seed {each['seed']}", number, len(jobs))
        began = time.monotonic()
        done.append(train_one(each))
        seconds = time.monotonic() - began
    progress.current().advance(f"all {what} are there", len(jobs), len(jobs))
    return done


def _together(jobs: list[Facts], *, done: int, total: int) -> list[Facts]:
    found = []
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(
        max_workers=os.cpu_count(), mp_context=context, initializer=_tie, initargs=(os.getpid(),)
    ) as pool:
        with interrupts.kept_from_children():
            results = pool.map(train_one, jobs)  # starts them
        try:
            for job, result in zip(jobs, results, strict=True):
                found.append(result)
                progress.current().advance(f"seed {job['seed']}", done + len(found), total)
        except BaseException:  # interrupted: nobody waits for what was begun
            for child in multiprocessing.active_children():
                child.terminate()
            raise
    return found


def _tie(owner: int) -> None:
    from flows.servers.die_with_parent import die_with

    die_with(owner)


def train_one(job: Facts) -> Facts:
    """One reference as `{path, sha256}`: from the cache, else trained and kept."""
    there = known(job)
    if there is not None:
        return there
    path = Path(job["path"])
    return _train(Home(Path(job["home"])), job, path, path.with_suffix(".sha256"))


def known(job: Facts) -> Facts | None:
    """The model of a job that was done before, with the bytes that it had then."""
    home, path = Home(Path(job["home"])), Path(job["path"])
    note = path.with_suffix(".sha256")
    if not (path.exists() and note.exists()):
        return None
    there = Artifact(path=home.relative(path), sha256=note.read_text().strip())
    return there.to_json() if is_intact(home.root, there) else None


def _train(home: Home, job: Facts, path: Path, note: Path) -> Facts:
    from audits.references import Recipe, train
    from flows.data import loaders
    from flows.models import architectures, weights
    from flows.state.files import write_atomically

    dataset = loaders.load(DataSpec(**job["spec"]))
    inputs, labels = dataset.train_inputs, dataset.train_labels
    if job.get("shadow"):
        inputs, labels = shadows.half(dataset.without(job["exclude"]), job["seed"])
    trained = train(
        lambda: architectures.build(job["architecture"], job["classes"], dataset.input_shape),
        inputs,
        labels,
        recipe=Recipe(**job["recipe"]),
        seed=job["seed"],
        exclude=job["exclude"],
    )
    sha256 = weights.save_weights(trained, path, {"damp.seed": str(job["seed"])})
    told = {key: value for key, value in job.items() if key not in ("home", "path")}
    write_atomically(path.with_suffix(".json"), json.dumps(told, sort_keys=True).encode())
    write_atomically(note, sha256.encode())
    return Artifact(path=home.relative(path), sha256=sha256).to_json()
