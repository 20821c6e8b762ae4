"""Retrained references ahead of time: trained before anybody waits for them, and listed.

A reference is named by all that decides it (data version, recipe, classes left out, seed), so that
every request, claim and re-audit on the same data finds it.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING

from compliance.formats import yaml_reader
from compliance.formats.errors import ClaimError, RequestError
from flows.intake import requests
from flows.registry import model_source
from flows.servers import isolated
from flows.state import others_code
from flows.state.errors import EventError
from flows.state.paths import Home
from flows.steps import references

if TYPE_CHECKING:
    from compliance.documents.claim import Claim
    from flows.data.dataset import DataSpec
    from flows.state.facts import Json


def train_for_file(home: Home, file: Path, *, allow: Collection[str] = ()) -> list[Json]:
    """Train what a request or a claim will be judged by; nothing is logged.

    Args:
        home: The state folder.
        file: The request or claim.
        allow: Modules of a claim's other side that may run.
    Raises:
        RequestError, ClaimError, EventError: It cannot be read, names no recipe, or names code
            that was not allowed.
    """
    origin = file.resolve().parent
    content = yaml_reader.read(file, RequestError).content
    if isinstance(content, dict) and content.get("kind") == "ForgettingClaim":
        return _for_claim(home, file, allow)
    from compliance.documents.policy import load_policy
    from compliance.documents.request import load_request

    request = load_request(file)
    policy = load_policy(requests.policy_source(request.policy, origin))
    model = model_source.described(home, request.model, origin)
    return train(
        home,
        spec=requests.data_spec(home, request, origin),
        recipe=requests.recipe_source(request.recipe, origin),
        architecture=model.architecture,
        forget=list(request.forget),
        retired=list(model.retired),
        count=policy.references,
    )


def assumed(home: Home, file: Path) -> str:
    """What is taken for granted about a file's model because its weights are not here; else empty.

    Raises:
        RequestError, ClaimError: It cannot be read.
    """
    from compliance.documents.claim import load_claim
    from compliance.documents.request import load_request

    content = yaml_reader.read(file, RequestError).content
    claims = isinstance(content, dict) and content.get("kind") == "ForgettingClaim"
    named = load_claim(file).original if claims else load_request(file).model
    if named.registry is not None:
        return ""
    return model_source.described(home, named, file.resolve().parent).assumed


def _for_claim(home: Home, file: Path, allow: Collection[str]) -> list[Json]:
    from compliance.documents.claim import load_claim
    from flows.intake import claims

    named = claims.code_of(home, load_claim(file), file.resolve().parent)
    code = others_code.allowed(named, allow, document=file)
    if not code:
        return train_for_claim(str(home.root), str(file))
    arguments = {"home": str(home.root), "file": str(file.resolve())}
    job = isolated.Job.of(home, f"{__name__}:train_for_claim", arguments, code)
    trained: list[Json] = isolated.run(job).result
    return trained


def train_for_claim(home: str, file: str) -> list[Json]:
    """The same for a claim, here: whether its code may run was asked before."""
    from compliance.documents.claim import load_claim

    return _train_for_claim(Home(Path(home)), Path(file), load_claim(file))


def _train_for_claim(home: Home, file: Path, claim: Claim) -> list[Json]:
    from compliance.documents.policy import load_policy
    from flows.intake import claims

    origin = file.resolve().parent
    recipe = claims.recipe_source(claim, origin)
    if claim.references or recipe is None:
        raise ClaimError(
            [f"{file}: it brings references of its own, or no `recipe`: there is nothing to train."]
        )
    source = model_source.described(home, claim.original, origin)
    return train(
        home,
        spec=requests.spec_of(claim.data, origin, source.preprocessing),
        recipe=recipe,
        architecture=source.architecture,
        forget=list(claim.forget),
        retired=list(source.retired),
        count=load_policy(requests.policy_source(claim.policy, origin)).references,
    )


def train(
    home: Home,
    *,
    spec: DataSpec,
    recipe: str,
    architecture: str | None = None,
    forget: list[int],
    retired: list[int] | None = None,
    count: int,
) -> list[Json]:
    """Train, or find, `count` models without the classes, by seed from the first on.

    Raises:
        EventError: A class is not in the data, or no two classes would stay.
    """
    from flows.data import loaders, versions
    from flows.models import recipes

    dataset = loaders.load(spec)
    present = set(dataset.train_labels.unique().tolist())
    if not set(forget) <= present or len(present - set(forget)) < 2:
        raise EventError(
            f"Classes {forget} cannot be left out of data that have {sorted(present)}: name some "
            "of them, so that at least two stay."
        )
    training = references.Training(
        spec=spec,
        data_version=versions.version(dataset, home).version,
        classes=dataset.classes,
        architecture=architecture or recipes.get(recipe).architecture,
        recipe=recipe,
        forget=tuple(sorted(forget)),
        retired=tuple(retired or ()),
    )
    trained = references.train(home, training, references=count)
    return [
        {"seed": seed, "path": model.path, "sha256": model.sha256}
        for seed, model in zip(trained.seeds, trained.models, strict=True)
    ]


def listed(home: Home) -> list[Json]:
    """Every reference that is kept: what decides it, where it lies, whether its bytes are whole."""
    notes = sorted(home.references.glob("*.json"))
    rows = [
        _row(home, note.with_suffix(".safetensors"), json.loads(note.read_text())) for note in notes
    ]
    return sorted(rows, key=itemgetter("data", "exclude", "seed"))


def _row(home: Home, path: Path, note: Json) -> Json:
    """One of them, as `damp references` shows it.

    Args:
        note: What was written beside it when it was trained.
    """
    return {
        "data": note["spec"]["name"],
        "dataVersion": note["data"],
        **{key: note[key] for key in ("architecture", "exclude", "seed")},
        "path": home.relative(path),
        "intact": references.intact(home, path) is not None,
        "bytes": path.stat().st_size if path.exists() else 0,
    }
