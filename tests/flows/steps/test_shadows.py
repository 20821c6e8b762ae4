"""Shadow models that a policy asks for: trained once, on halves; what an attack then sees.

Most labels of the data are drawn at random, so that a model which fits them has memorised rows.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from audits import membership
from audits.evidence import Evidence
from audits.finding import Finding
from audits.membership import LEAST_SHADOWS as LEAST_OF_THE_AUDIT
from compliance.documents.policy import LEAST_SHADOWS, load_policy
from compliance.documents.request import DataSource
from compliance.formats.errors import PolicyError
from flows.data import loaders
from flows.models import architectures, weights
from flows.records import inventory
from flows.state.facts import NO_SHADOWS, Method, Model, References
from flows.state.files import Artifact
from flows.state.paths import Home
from flows.steps import audit, prepare, shadows
from flows.steps import references as training
from flows.steps.references import Training
from tests.flows.conftest import contents

FORGET, COUNT = 3, 8
METHOD = Method(preset="mended", gain=1.0, sequential=False, skip=())
NOISY = """
import torch
from flows.data.dataset import DataSpec
from flows.data.loaders import load
def data():
    d = load(DataSpec(name="digits"))
    parts = []
    for x, y in ((d.train_inputs, d.train_labels), (d.test_inputs, d.test_labels)):
        x, y = x[:400], y[:400].clone()
        generator = torch.Generator().manual_seed(len(parts))
        drawn = torch.rand(len(y), generator=generator) < 0.7
        y[drawn] = torch.randint(10, (int(drawn.sum()),), generator=generator)
        parts += [x, y]
    return tuple(parts)
"""
RECIPE = """\
apiVersion: damp/v1
kind: Recipe
architecture: damp:cnn
epochs: 40
batch_size: 32
"""


class Event:
    """The facts that an event's steps would hand on, with an original that has memorised."""

    def __init__(self, home: Home, folder: Path, module: str) -> None:
        self.home = home
        self.recipe = folder / "recipe.yaml"
        self.recipe.write_text(RECIPE)
        source = DataSource(name=f"{module}:data")
        self.data = prepare.versions_of(
            home, source=source, unseen=None, origin=folder, forget=[FORGET], retired=[]
        )
        self.dataset = loaders.load(self.data.spec)
        self.model = Model(
            file=Artifact(path="models/0.safetensors", sha256="0" * 64),
            architecture="damp:cnn",
            input_shape=self.dataset.input_shape,
            parameters=0,
            registry=None,
            retired=(),
        )

    @property
    def training(self) -> Training:
        return Training.of(self.data, self.model, str(self.recipe))

    def original(self, seed: int) -> Artifact:
        """A model that was trained on everything."""
        from audits.references import train
        from flows.models import recipes

        path = self.home.models / f"{seed}.safetensors"
        trained = train(
            lambda: architectures.build("damp:cnn", 10, self.dataset.input_shape),
            self.dataset.train_inputs,
            self.dataset.train_labels,
            recipe=recipes.get(str(self.recipe)).training,
            seed=seed,
        )
        weights.save_weights(trained, path, {})
        return Artifact.of(self.home.root, path)

    def train(self, references: int = 3, shadow_models: int = COUNT) -> References:
        return training.train(
            self.home, self.training, references=references, shadow_models=shadow_models
        )

    def evidence(self, references: References) -> Evidence:
        case = audit.Case(
            data=self.data, model=self.model, references=references, edit=None, seed=1
        )
        return audit.Suite(self.home, case).evidence


@pytest.fixture
def event(home: Home, tmp_path: Path, users_module: Callable[[str], str]) -> Event:
    return Event(home, tmp_path, users_module(NOISY))


def area(finding: Finding, name: str = "membership.forget.lira") -> float:
    by_name = {figure.name: figure.value for figure in finding.measurements}
    assert name in by_name, finding.parameters["left_out"]
    return by_name[name]


def named(evidence: Evidence) -> float:
    """Share of the class's rows that a shadow was trained on and still calls by their name."""
    of_class = evidence.train_labels == FORGET
    answers = [
        (shadow.train_logits.argmax(1) == FORGET)[of_class & shadow.train_inside]
        for shadow in evidence.shadows
    ]
    return float(np.mean(np.concatenate(answers)))


@pytest.mark.slow
def test_the_attack_sees_what_the_original_memorised_and_clears_who_never_saw_it(
    event: Event,
) -> None:
    event.model = replace(event.model, file=event.original(0))
    references = event.train()
    assert len(references.shadows.models) == COUNT
    evidence = event.evidence(references)
    assert len(evidence.shadows) == COUNT
    planted = membership.audit(evidence)
    assert area(planted) > 0.8
    clean = membership.audit(
        evidence.with_candidate(evidence.references[0], references=evidence.references[1:])
    )
    assert abs(area(clean) - 0.5) < 0.17  # some forty images on either side
    assert planted.parameters["shadows"] == {"count": COUNT, "kind": "lira"}
    assert named(evidence) > 0.8

    kept = replace(references.shadows, edited=METHOD)
    cut = event.evidence(replace(references, shadows=kept))
    assert named(cut) < 0.4
    assert membership.audit(cut).parameters["shadows"] == {"count": COUNT, "kind": "u_lira"}

    before = contents(event.home.shadows)
    assert event.train() == references  # found, not trained again
    assert contents(event.home.shadows) == before
    (listed,) = inventory.shadow_models(event.home, event.data.before.version)
    assert len(listed.files) == COUNT
    assert list(inventory.shadow_models(event.home, "another version")) == []


@pytest.mark.parametrize(
    ("preset", "ours"), [("mended", True), ("retrain", False), ("unknown", False)]
)
def test_shadows_are_edited_by_the_requests_method_where_it_is_ours(
    event: Event, preset: str, ours: bool
) -> None:
    method = replace(METHOD, preset=preset)
    wanted = load_policy("demo-v1").model_copy(update={"shadows": 8, "edited_shadows": True})
    edited = training.shadow_edit(wanted, method)
    assert edited == (method if ours else None)
    references = training.train(event.home, event.training, references=0, edited=edited)
    assert references.shadows.edited == edited
    unwanted = wanted.model_copy(update={"edited_shadows": False})
    assert training.shadow_edit(unwanted, method) is None


def test_edited_shadows_without_shadows_are_refused(tmp_path: Path) -> None:
    content = load_policy("demo-v1").model_dump(mode="json") | {"edited_shadows": True}
    file = tmp_path / "policy.yaml"
    file.write_text(json.dumps(content))
    with pytest.raises(PolicyError, match="no shadow models to edit"):
        load_policy(file)


def test_each_row_is_in_half_of_the_shadows_and_the_halves_differ() -> None:
    halves = [shadows.inside(9, 4, shadows.FIRST_SEED + index) for index in range(COUNT)]
    for part, count in enumerate((9, 4)):
        masks = torch.stack([half[part] for half in halves])
        assert masks.sum(0).tolist() == [COUNT // 2] * count
        assert len({tuple(mask.tolist()) for mask in masks}) > 2
    again = shadows.inside(9, 4, shadows.FIRST_SEED)
    assert all(map(torch.equal, again, halves[0]))


def test_a_shadow_is_trained_on_the_rows_that_it_is_said_to_be(event: Event) -> None:
    train, test = shadows.inside(400, 400, 5003)
    inputs, labels = shadows.half(event.dataset, 5003)
    assert len(inputs) == len(labels) == int(train.sum() + test.sum()) == 400
    assert torch.equal(inputs[: int(train.sum())], event.dataset.train_inputs[train])
    assert torch.equal(labels[int(train.sum()) :], event.dataset.test_labels[test])


def test_what_a_shadow_was_trained_on_is_told_of_the_rows_that_the_audit_shows(
    event: Event,
) -> None:
    from flows.steps import audit_rows

    chosen = audit_rows.for_audit(event.data, event.model, seed=1)
    inside, _ = shadows.inside(400, 400, 5000)
    shadow = shadows.as_evidence(
        torch.zeros(len(chosen.train_labels), 10).numpy(),
        torch.zeros(len(chosen.test_labels), 10).numpy(),
        chosen,
        5000,
    )
    assert torch.equal(event.dataset.train_inputs[chosen.train_places], chosen.train_inputs)
    assert shadow.train_inside.tolist() == inside[chosen.train_places].tolist()


def test_a_policy_that_asks_for_none_trains_none(event: Event) -> None:
    wanted = event.training.reference(event.home, 1000)
    assert "shadow" not in wanted.content()  # references that were kept before are still found
    assert event.train(references=0, shadow_models=0).shadows == NO_SHADOWS
    assert not event.home.shadows.exists()


@pytest.mark.parametrize("count", [2, 9])
def test_a_number_of_shadows_that_calibrates_nothing_is_refused(tmp_path: Path, count: int) -> None:
    content = load_policy("demo-v1").model_dump(mode="json") | {"shadows": count}
    file = tmp_path / "policy.yaml"
    file.write_text(json.dumps(content))
    with pytest.raises(PolicyError, match="even number from 8 on"):
        load_policy(file)
    assert LEAST_SHADOWS == LEAST_OF_THE_AUDIT
