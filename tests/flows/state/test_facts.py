"""Facts between steps: what one step writes, the next reads, and nothing else."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compliance.documents.policy import load_policy
from compliance.documents.request import parse_request
from flows.intake import requests
from flows.state import facts
from flows.state.errors import FactsError
from flows.state.facts import (
    Accepted,
    AcceptedRequest,
    Edit,
    Method,
    Model,
    PreviousAttempt,
    References,
    RegisteredModel,
    Shadows,
)
from flows.state.files import Artifact

SHA = "0123456789abcdef" * 4
FILE = Artifact(path="events/one/attempt-1/after.safetensors", sha256=SHA)
EDIT = Edit(after=FILE, record=FILE, retired=(3,), seed=None, architecture=None)


def accepted() -> AcceptedRequest:
    text = requests.template(
        forget=(3, 5),
        model="digits@champion",
        architecture=None,
        data="digits",
        data_root=None,
        recipe="digits",
        policy="demo-v1",
        regulation="gdpr",
        preset="mended",
    )
    request = parse_request(text)
    return AcceptedRequest(
        request=request,
        digest=request.digest(),
        origin="/srv/requests",
        regulation="gdpr",
        received="2026-09-20T08:00:00Z",
        due="2026-10-20T08:00:00Z",
        verified_by=None,
        forget=request.forget,
        recipe="digits",
        policy=load_policy("demo-v1"),
        method=Method(preset="mended", gain=1.0, sequential=False, skip=("head",)),
        started="2026-09-20T09:00:00Z",
        previous=(PreviousAttempt(attempt=1, statement=SHA, verdict="FAILED"),),
    )


def through_json(content: Any) -> Any:
    return json.loads(json.dumps(content))


def test_an_accepted_request_travels_with_its_digests() -> None:
    before = accepted()
    after = facts.decode(Accepted, through_json(before.to_json()))
    assert after == before
    assert after.request.digest() == before.digest
    assert after.policy.digest() == before.policy.digest()


@given(
    retired=st.lists(st.integers(0, 99)),
    registry=st.none() | st.builds(RegisteredModel, name=st.text(), version=st.text()),
    architecture=st.text(),
    shape=st.lists(st.integers(1, 512), max_size=3),
)
def test_a_model_comes_back_as_it_was_written(
    retired: list[int], registry: RegisteredModel | None, architecture: str, shape: list[int]
) -> None:
    model = Model(
        file=FILE,
        architecture=architecture,
        input_shape=tuple(shape),
        parameters=7,
        registry=registry,
        retired=tuple(retired),
    )
    assert Model.from_json(through_json(model.to_json())) == model


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda content: content.pop("retired"), "retired"),
        (lambda content: content.update(retierd=[]), "retierd"),
        (lambda content: content.update(seed="7"), "seed"),
        (lambda content: content["after"].update(size=3), "after.size"),
        (lambda content: content["after"].pop("sha256"), "after.sha256"),
    ],
)
def test_a_key_that_is_missing_unknown_or_of_another_type_is_named(change: Any, named: str) -> None:
    content = EDIT.to_json()
    change(content)
    with pytest.raises(FactsError, match=named):
        Edit.from_json(content)


def test_every_file_that_a_fact_refers_to_is_listed_at_whatever_depth() -> None:
    files = [Artifact(path=str(number), sha256=SHA) for number in range(4)]
    references = References(
        models=tuple(files[:2]),
        candidate=files[2],
        seeds=(1, 2, 3),
        shadows=Shadows(models=(files[3],), seeds=(4,), edited=None),
        problems={},
    )
    assert list(facts.artifacts(references)) == files
    assert list(facts.artifacts(None)) == []


def test_nothing_travels_as_nothing() -> None:
    assert facts.decode(References | None, facts.encode(None)) is None
