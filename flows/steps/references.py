"""Step 4: models trained from scratch on the successor data, the baseline of every audit."""

from __future__ import annotations

import json
import multiprocessing
import os
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from compliance.presentation import numbers
from flows.records import training_times
from flows.servers import cluster
from flows.state import interrupts, progress
from flows.state.errors import RecipeError
from flows.state.facts import (
    AcceptedRequest,
    Data,
    DataSpec,
    Json,
    Method,
    Model,
    References,
    Shadows,
)
from flows.state.files import Artifact, canonical, digest_bytes, is_intact, write_atomically
from flows.state.paths import Attempt, Home
from flows.state.settings import settings
from flows.steps import shadows
from flows.steps.step import step

if TYPE_CHECKING:
    from compliance.documents.policy import Policy

FIRST_SEED = 1000
"""References take seeds from here on, so that none is the seed of a base model."""
WORTH_A_PROCESS = 8.0
"""Seconds one training must take before a second process (which imports torch anew) pays."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Training:
    """What a retrained model is made of, apart from its seed.

    Attributes:
        spec: Its data.
        data_version: Which they were.
        classes: Outputs of the network.
        architecture: And `recipe`: those of the model before.
        forget: Classes that are left out.
        retired: Classes that earlier events took out.
    """

    spec: DataSpec
    data_version: str
    classes: int
    architecture: str
    recipe: str
    forget: tuple[int, ...]
    retired: tuple[int, ...]

    @classmethod
    def of(cls, data: Data, model: Model, recipe: str) -> Training:
        """That of an event."""
        return cls(
            spec=data.spec,
            data_version=data.before.version,
            classes=data.classes,
            architecture=model.architecture,
            recipe=recipe,
            forget=data.forget,
            retired=model.retired,
        )

    def reference(self, home: Home, seed: int) -> Job:
        """The training of a reference."""
        return self._job(home, seed, sorted(self.forget + self.retired), shadow=False)

    def shadow(self, home: Home, seed: int) -> Job:
        """The training of a shadow model, on half of all rows, the class's among them."""
        return self._job(home, seed, sorted(self.retired), shadow=True)

    def _job(self, home: Home, seed: int, exclude: list[int], *, shadow: bool) -> Job:
        from flows.models import recipes, trainings

        return Job(
            home=home,
            spec=self.spec,
            data_version=self.data_version,
            classes=self.classes,
            architecture=self.architecture,
            regime=trainings.Regime.of(recipes.get(self.recipe)).to_json(),
            exclude=tuple(exclude),
            seed=seed,
            shadow=shadow,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One training, wherever it runs."""

    home: Home
    spec: DataSpec
    data_version: str
    classes: int
    architecture: str
    regime: Json
    exclude: tuple[int, ...]
    seed: int
    shadow: bool

    def content(self) -> Json:
        """All that decides the model's bytes: its name is the digest of this."""
        return {
            "architecture": self.architecture,
            "classes": self.classes,
            "exclude": list(self.exclude),
            "data": self.data_version,
            "recipe": self.regime["recipe"],
            "seed": self.seed,
        } | self._further()

    def _further(self) -> Json:
        """What came later, where it is there: the names of models of before stay."""
        from flows.models import trainings

        applied = self.spec.preprocessing
        return (
            ({"shadow": True} if self.shadow else {})
            | ({"preprocessing": applied.digest()} if applied else {})
            | trainings.Regime.from_json(self.regime).content()
        )

    @property
    def path(self) -> Path:
        """Where the model is kept."""
        folder = self.home.shadows if self.shadow else self.home.references
        return folder / f"{digest_bytes(canonical(self.content()))}.safetensors"


@step("Train the references")
def train_references(
    attempt: Attempt, accepted: AcceptedRequest, data: Data, model: Model
) -> References:
    """Train, or find, one reference per seed; the same inputs give the same bytes.

    A retraining attempt needs one model more: the candidate, which is never among its own
    references.
    """
    training = Training.of(data, model, accepted.recipe)
    return train(
        attempt.home,
        training,
        references=accepted.policy.references,
        candidate=accepted.method.retrains,
        shadow_models=shadow_count(accepted.policy, training),
        edited=shadow_edit(accepted.policy, accepted.method),
    )


def shadow_count(policy: Policy, training: Training) -> int:
    """How many shadow models the policy has trained for this data; see `shadows.affordable`."""
    from flows.data import loaders

    if not policy.shadows or policy.shadows_cost is None:
        return policy.shadows
    dataset = loaders.load(training.spec).without(training.retired)
    return shadows.affordable(
        policy.shadows,
        cost=policy.shadows_cost,
        references=policy.references,
        rows=len(dataset.without(training.forget).train_labels),
        half=len(dataset.train_labels) // 2 + len(dataset.test_labels) // 2,
    )


def shadow_edit(policy: Policy, method: Method) -> Method | None:
    """The method by which the audits edit shadow models, where the policy asks for that.

    None as well where the candidate is not made by a preset of ours.
    """
    from damp.catalogue import PRESETS

    return method if policy.edited_shadows and method.preset in PRESETS else None


def train(
    home: Home,
    training: Training,
    *,
    references: int,
    candidate: bool = False,
    shadow_models: int = 0,
    edited: Method | None = None,
) -> References:
    """Train, or find, so many models of each kind.

    Args:
        home: The state folder.
        training: What they are made of.
        references: How many.
        candidate: Whether one more is trained for the candidate's place.
        shadow_models: How many.
        edited: The method by which the audits edit copies of the shadow models, where they do.
    """
    seeds = tuple(FIRST_SEED + index for index in range(references + candidate))
    jobs = [training.reference(home, seed) for seed in seeds]
    models = _train_all(jobs, "references")
    _refuse_equal(jobs, models)
    return References(
        models=models[:references],
        candidate=models[references] if candidate else None,
        seeds=seeds,
        shadows=_train_shadows(home, training, shadow_models, edited),
        problems={},
    )


def _train_shadows(home: Home, training: Training, count: int, edited: Method | None) -> Shadows:
    seeds = tuple(shadows.FIRST_SEED + index for index in range(count))
    models = _train_all([training.shadow(home, seed) for seed in seeds], "shadow models")
    return Shadows(models=models, seeds=seeds, edited=edited)


def _train_all(jobs: Sequence[Job], what: str) -> tuple[Artifact, ...]:
    """Every job's model, in order; trained here or, where that pays, by a second process too.

    With a cluster, what is not there yet is trained by its workers.

    Args:
        what: For people: "references".
    """
    if not jobs:
        return ()
    if cluster.is_on():
        cluster.map(train_one, [job for job in jobs if cached(job) is None], what)
    models: list[Artifact] = []
    seconds = 0.0
    for number, job in enumerate(jobs):
        if seconds > WORTH_A_PROCESS and len(jobs) - number > 1 and _workers() > 1:
            return (*models, *_train_in_processes(jobs[number:], done=number, total=len(jobs)))
        start = time.monotonic()
        later = sum(cached(other) is None for other in jobs[number + 1 :])
        models.append(train_one(job, f"{what}: model {number + 1} of {len(jobs)}", later))
        seconds = time.monotonic() - start
        progress.current().advance(f"{what}: seed {job.seed} is there", number + 1, len(jobs))
    progress.current().advance(f"all {what} are there", len(jobs), len(jobs))
    return tuple(models)


def _workers() -> int:
    """Processes that train beside one another: the setting, else one for each core."""
    return settings().workers or os.cpu_count() or 1


def _refuse_equal(jobs: Sequence[Job], models: Sequence[Artifact]) -> None:
    """Refuse users' trainings whose seeds made no difference: one model, and no baseline.

    Raises:
        RecipeError: Two are equal, byte by byte.
    """
    by_digest: dict[str, int] = {}
    for job, model in zip(jobs, models, strict=True):
        if job.regime["trainer"] is None:
            continue
        digest = _of_tensors(job.home.root / model.path)
        if digest in by_digest:
            raise RecipeError(
                f"Trainings with seeds {by_digest[digest]} and {job.seed} gave the same "
                "weights: the trainer ignores its seed. References are compared with one another, "
                "so each must be a training of its own: let order, initialisation or augmentation "
                "depend on `seed`."
            )
        by_digest[digest] = job.seed


def _of_tensors(path: Path) -> str:
    """sha256 of the values in a weights file: its metadata names the seed."""
    from safetensors.numpy import load_file

    tensors = sorted(load_file(path).items())
    return digest_bytes(b"".join(name.encode() + value.tobytes() for name, value in tensors))


def _train_in_processes(jobs: Sequence[Job], *, done: int, total: int) -> list[Artifact]:
    models, began = [], time.monotonic()
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(
        max_workers=_workers(), mp_context=context, initializer=_tie, initargs=(os.getpid(),)
    ) as pool:
        with interrupts.kept_from_children():
            results = pool.map(train_one, jobs)  # starts them
        try:
            for job, result in zip(jobs, results, strict=True):
                models.append(result)
                progress.current().advance(
                    _pace(began, len(models), len(jobs), job.seed), done + len(models), total
                )
        except BaseException:  # interrupted: nobody waits for what was begun
            for child in multiprocessing.active_children():
                child.terminate()
            raise
    return models


def _pace(began: float, done: int, all_of: int, seed: int) -> str:
    """Which model is there, and the time that the others will take at this pace."""
    left = (time.monotonic() - began) / done * (all_of - done)
    return f"seed {seed} is there, {numbers.duration(left)} left"


def _tie(owner: int) -> None:
    from flows.servers.die_with_parent import die_with

    die_with(owner)


def train_one(job: Job, what: str = "", later: int = 0) -> Artifact:
    """One model: from the cache, else trained and kept.

    Args:
        job: What it is made of.
        what: For progress: "references: model 1 of 5"; its seed where nothing is said.
        later: Trainings like it that follow, for the time left.
    """
    model = cached(job)
    return model if model is not None else _train(job, what, later)


def cached(job: Job) -> Artifact | None:
    """The model of a job that was done before, with the bytes that it had then."""
    return intact(job.home, job.path)


def intact(home: Home, path: Path) -> Artifact | None:
    """A trained model that is kept, if its bytes are those that it had when it was trained."""
    note = path.with_suffix(".sha256")
    if not (path.exists() and note.exists()):
        return None
    model = Artifact(path=home.relative(path), sha256=note.read_text().strip())
    return model if is_intact(home.root, model) else None


def _train(job: Job, what: str, later: int) -> Artifact:
    from flows.data import loaders
    from flows.models import trainings, weights

    dataset = loaders.load(job.spec)
    inputs, labels = dataset.train_inputs, dataset.train_labels
    if job.shadow:
        inputs, labels = shadows.half(dataset.without(job.exclude), job.seed)
    began = time.monotonic()
    path = job.path
    trained = trainings.run(
        trainings.Regime.from_json(job.regime),
        architecture=job.architecture,
        classes=job.classes,
        input_shape=dataset.input_shape,
        inputs=inputs,
        labels=labels,
        seed=job.seed,
        exclude=job.exclude,
        kept=job.home.trainings / f"{path.stem}.pt",
        what=what or f"seed {job.seed}",
        later=later,
    )
    sha256 = weights.save_weights(trained, path, {"damp.seed": str(job.seed)})
    seconds = {training_times.SECONDS: round(time.monotonic() - began, 3)}
    note = json.dumps(job.content() | seconds | {"spec": job.spec.to_json()}, sort_keys=True)
    write_atomically(path.with_suffix(".json"), note.encode())
    write_atomically(path.with_suffix(".sha256"), sha256.encode())
    return Artifact(path=job.home.relative(path), sha256=sha256)
