"""A study that can begin: its model pinned, its classes counted, its family by digest.

Whatever makes no sense is refused here, before anything is entered.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from compliance.documents.policy import Policy, load_policy
from compliance.documents.study import Study
from compliance.qualification import rules
from compliance.qualification.family import Family
from compliance.qualification.qualification import Terms
from compliance.qualification.study import ClassFacts
from flows.intake import requests
from flows.qualification import studied_class
from flows.qualification.studied_class import Subject
from flows.registry import model_source
from flows.state.errors import EventError
from flows.state.facts import Data, Model
from flows.state.files import Artifact, aside
from flows.state.paths import Home
from flows.steps import prepare, qualified

if TYPE_CHECKING:
    from flows.data.dataset import Dataset


@dataclass(frozen=True, slots=True, kw_only=True)
class Ready:
    """A study that can begin: all that it needs was there, and nothing was written."""

    subject: Subject
    model: Model
    family: Family
    terms: Terms
    frame: Mapping[int, ClassFacts]
    left_out: Mapping[int, str]


def ready(home: Home, study: Study, origin: Path) -> Ready:
    """The study with its model pinned and its classes counted; refused where it makes no sense."""
    from flows.data import loaders
    from flows.models import recipes, trainings

    policy = load_policy(requests.policy_source(study.policy, origin))
    if policy.assurance != "L3":
        raise EventError(
            f"The study is judged by policy '{policy.name}' of level {policy.assurance}: a "
            "procedure is qualified against retrained models. Name one of level L3."
        )
    recipe = requests.recipe_source(study.recipe, origin)
    recipes.get(recipe)
    source = model_source.locate(home, study.model, origin)
    spec = requests.spec_of(study.data, origin, source.preprocessing)
    dataset = loaders.load(spec).without(source.retired())
    network = source.load(dataset)
    trainings.check(
        recipe,
        architecture=source.architecture,
        classes=dataset.classes,
        input_shape=dataset.input_shape,
    )
    model = Model(
        file=_pinned(home, source),
        architecture=source.architecture,
        input_shape=dataset.input_shape,
        parameters=sum(value.numel() for value in network.parameters()),
        registry=prepare.registered_model(source.registry),
        retired=tuple(source.retired()),
    )
    subject = Subject(
        home=home,
        id="",
        study=study,
        origin=origin,
        recipe=recipe,
        policy=policy,
        preprocessing=source.preprocessing,
    )
    data, facts = _facts(subject, model, dataset)
    frame, left_out = _frame(facts, study, policy)
    if study.classes > len(frame):
        few = "; ".join(f"class {label} {why}" for label, why in left_out.items())
        raise EventError(
            f"{study.classes} classes are to be studied, and {len(frame)} can be drawn"
            f"{f' ({few})' if few else ''}: ask for fewer, or bring more images."
        )
    family = qualified.family_of(
        data=data,
        model=model,
        recipe=recipe,
        ladder=[qualified.rung_of(studied_class.method_of(preset)) for preset in study.attempts],
        rules=rules.policy_of(study.name, policy, study.attempts).rules_digest(),
        policy=policy.digest(),
    )
    return Ready(
        subject=subject,
        model=model,
        family=family,
        terms=_terms(study),
        frame=frame,
        left_out=left_out,
    )


def _pinned(home: Home, source: model_source.Located) -> Artifact:
    """The model's bytes under their digest: an alias may move while the study runs."""
    sha256 = source.sha256 or ""
    path = home.qualifications / "models" / f"{sha256}.safetensors"
    if not path.exists():
        with aside(path) as (temporary, _):
            shutil.copyfile(source.path, temporary)
    pinned = Artifact.of(home.root, path)
    if pinned.sha256 != sha256:
        path.unlink()
        raise EventError("The model's bytes changed while they were copied. Run it again.")
    return pinned


def _facts(
    subject: Subject, model: Model, dataset: Dataset
) -> tuple[Data, Mapping[int, ClassFacts]]:
    """The data version of the model, and what is known of every class that it still has."""
    labels = sorted(dataset.train_labels.unique().tolist())
    data = prepare.versions_of(
        subject.home,
        source=subject.study.data,
        unseen=None,
        origin=subject.origin,
        forget=labels[:1],  # a version with a successor is made of one
        retired=model.retired,
        preprocessing=subject.preprocessing,
    )
    return data, qualified.class_facts(subject.home, dataset, data, model, labels)


def _frame(
    facts: Mapping[int, ClassFacts], study: Study, policy: Policy
) -> tuple[dict[int, ClassFacts], dict[int, str]]:
    """Classes that can be drawn, and why the others cannot."""
    least = {
        "test": max(study.least_rows, policy.minimum_samples.get("forget_test", 0)),
        "train": policy.minimum_samples.get("forget_train", 0),
    }
    words = {"test": "held-out", "train": "training"}
    few = {
        label: f"has {getattr(own, part)} {words[part]} rows of {count}"
        for label, own in facts.items()
        for part, count in least.items()
        if getattr(own, part) < count
    }
    return {label: own for label, own in facts.items() if label not in few}, few


def _terms(study: Study) -> Terms:
    return Terms(
        classes=study.classes,
        sequence=study.sequence,
        least_rows=study.least_rows,
        least_passed=study.least_passed,
        spot_checks=study.spot_checks,
        promised=study.promised,
        valid_days=study.valid_days,
        near_margin=study.near_margin,
        partly=study.partly,
    )
