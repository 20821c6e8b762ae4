"""Requests on their way in: checked as a whole, entered, and read again by what runs them."""

from __future__ import annotations

import json
import uuid
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from compliance.documents import ladder
from compliance.documents.policy import Policy, load_policy
from compliance.documents.preprocessing import Preprocessing
from compliance.documents.request import DataSource, Request, load_request
from compliance.formats import callback_urls, files
from compliance.ledger import Ledger, states
from flows.data.dataset import Dataset, DataSpec
from flows.intake import clock, forecasts, model_checks, model_names, receipts
from flows.intake.clock import Clock
from flows.intake.forecasts import Foreseen
from flows.intake.model_checks import STRICT, Acceptance, Checked
from flows.intake.receipts import Receipt
from flows.registry import model_source
from flows.registry.model_source import Located
from flows.state import locks
from flows.state.errors import EventError
from flows.state.files import digest_file
from flows.state.paths import Home
from flows.state.settings import settings

Facts = dict[str, Any]


def submit(
    home: Home, file: Path, accept: Acceptance = STRICT, *, received: datetime | None = None
) -> Receipt:
    """Check a request against its policy, data and model, and log its receipt.

    Args:
        home: The state folder.
        file: The request.
        accept: What is accepted about its model and data.
        received: When it reached the controller; None for its own `submitted_time`.

    Raises:
        RequestError, PolicyError, DataError, EventError: It cannot be carried out as it stands, or
            its id is taken by another content; nothing was written.
    """
    request = load_request(file)
    warnings: tuple[str, ...] = ()
    foreseen: Foreseen | None = None
    new = not _is_received(home, request)
    if new:
        content, origin = files.read(file), file.resolve().parent
        policy = load_policy(policy_source(request.policy, origin))
        started = clock.of_request(
            request, policy, received=received, now=datetime.now(UTC), zone=settings().zone
        )
        warnings = started.warnings
        checked, foreseen = _check(home, request, policy, origin, accept)
        # another process may have submitted the same id or name since: the first one is the event
        with locks.exclusive(home, "receipts"):
            new = not _is_received(home, request)
            if new:
                if request.model.name is not None:
                    located = model_source.locate(home, request.model, origin)
                    model_names.refuse_taken(home, request, located.path)
                model_checks.keep(home, request.id, checked)
                receive(home, request, policy, content, origin, started)
    receipt = receipts.receipt(home, request.id, new=new, warnings=warnings)
    return replace(receipt, foreseen=foreseen if new else None)


def _is_received(home: Home, request: Request) -> bool:
    """Whether this very request was received before.

    Raises:
        EventError: Its id was received with other content.
    """
    received = receipts.logged(home, request.id)
    if received not in (None, request.as_received(received).digest()):
        raise EventError(
            f"Request {request.id} was received before with other content (`damp ledger show "
            f"--event {request.id}`). An id names one request for ever: give this one a new UUIDv4 "
            "under `subject_request_id`."
        )
    return received is not None


def receive(
    home: Home,
    request: Request,
    policy: Policy,
    content: bytes,
    origin: Path,
    started: Clock,
) -> None:
    """Enter a request whose checks are done."""
    receipts.enter(
        home,
        request.id,
        home.request(request.id),
        content,
        {"folder": str(origin)},
        document=request.digest(),
        regulation=request.regulation,
        policy=policy,
        started=started,
        identity=policy.identity,
        **({"callback": True} if request.callback else {}),
    )


def _check(
    home: Home, request: Request, policy: Policy, origin: Path, accept: Acceptance
) -> tuple[Checked, Foreseen]:
    """Whether the request can be carried out on its data and model at all; what to expect of it."""
    from flows.data import loaders
    from flows.models import other_methods, recipes, trainings

    check_callback(request, policy)
    if request.method.name is not None:
        other_methods.check(request.method.name, request.method.settings)
    recipe = recipe_source(request.recipe, origin)
    recipes.get(recipe)
    model = model_source.locate(home, request.model, origin)
    model_source.refuse_superseded(home, model)
    retired = model.retired()
    spec = spec_of(request.data, origin, model.preprocessing)
    dataset = loaders.load(spec).without(retired)
    check_classes(dataset, list(request.forget), policy)
    before = model.sha256 or digest_file(model.path)
    foreseen = forecasts.foresee(home, policy, dataset, request.forget, before)
    model_names.refuse_taken(home, request, model.path)
    network = model.load(dataset)  # better refused now than after its attempt was logged
    attempts = ladder.declared(policy, request.method)
    if not accept.qualification:
        check_qualification(home, policy, request, attempts, model, spec)
    limits = trainings.check(
        recipe,
        architecture=model.architecture,
        classes=dataset.classes,
        input_shape=dataset.input_shape,
    )
    checked = model_checks.check(request, dataset, network, accept, attempts)
    if not accept.hopeless:  # last: what is wrong with the model or the data comes first
        forecasts.refuse_hopeless(foreseen)
    return replace(checked, limits=(*checked.limits, *limits)), foreseen


def check_classes(dataset: Dataset, forget: list[int], policy: Policy) -> None:
    """Refuse classes that are not there, all of them, or too few samples for the policy.

    Raises:
        EventError: With every problem.
    """
    present = sorted(dataset.train_labels.unique().tolist())
    problems = []
    for index in forget:
        if index not in present:
            problems.append(f"class {index} is not in the data, which have {present}")
            continue
        for part, labels in (("train", dataset.train_labels), ("test", dataset.test_labels)):
            count, least = (
                int((labels == index).sum()),
                policy.minimum_samples.get(f"forget_{part}", 0),
            )
            if count < least:
                problems.append(
                    f"class {index} has {count} {part} samples, "
                    f"the policy '{policy.name}' needs {least} to say anything"
                )
    if len(set(present) - set(forget)) < 2:
        problems.append("at least two classes must stay, or there is nothing to compare with")
    if problems:
        raise EventError(
            f"The scope cannot be carried out: {'; '.join(problems)}. `damp classes` lists the "
            "classes and their images, `damp inspect` which policies have enough of them."
        )


def check_qualification(
    home: Home,
    policy: Policy,
    request: Request,
    attempts: Sequence[str],
    model: Located,
    spec: DataSpec,
) -> None:
    """Refuse a request under a qualification that does not hold, or not for this model.

    Raises:
        EventError: With every problem.
    """
    if policy.yardstick is None:
        return
    from flows.data import loaders, versions
    from flows.records import qualifications

    data = versions.version_of(loaders.load(spec), model.retired())
    problems = list(
        qualifications.problems(
            home, policy, ladder=attempts, model=digest_file(model.path), data=data
        )
    )
    if len(request.forget) != 1:
        problems.append("A qualification is of single classes: file a request for each.")
    if problems:
        raise EventError(" ".join(problems))


def check_callback(request: Request, policy: Policy) -> None:
    """Refuse an address that the policy does not list.

    Raises:
        EventError: It names one all the same.
    """
    if request.callback and not callback_urls.allowed(request.callback, policy.callbacks):
        listed = ", ".join(policy.callbacks) or "none"
        raise EventError(
            f"The request sets callback URL {request.callback}, and the policy '{policy.name}' "
            f"allows {listed}. Leave `callback` out, or have the policy list it."
        )


def data_spec(home: Home, request: Request, origin: Path) -> DataSpec:
    """The request's data as its model sees them, with paths made absolute from its folder."""
    model = model_source.described(home, request.model, origin)
    return spec_of(request.data, origin, model.preprocessing)


def spec_of(
    source: DataSource, origin: Path, preprocessing: Preprocessing | None = None
) -> DataSpec:
    """A data source with its paths made absolute.

    Args:
        source: As a document names it.
        origin: The folder that the document was in.
        preprocessing: What the model sees of its images.
    """
    name, root = source.name, source.root
    family, _, path = name.partition(":")
    if family in ("imagefolder", "webdataset", "hf"):
        name = f"{family}:{(origin / Path(path).expanduser()).resolve()}"
    return DataSpec(
        name=name,
        root=str((origin / root).resolve()) if root else None,
        preprocessing=preprocessing,
    )


def source_of(home: Home, event: str) -> str:
    """Where the event's data are read from, in words."""
    spec = spec_of(request_of(home, event).data, origin_of(home, event))
    return f"{spec.name}{f' in {spec.root}' if spec.root else ''}"


def origin_of(home: Home, event: str) -> Path:
    """The folder that the event's request was submitted from."""
    return Path(receipts.origin(home, event)["folder"])


def request_of(home: Home, event: str) -> Request:
    """The event's request, unchanged since it was received.

    Raises:
        EventError: The file is not what the ledger says was received.
    """
    must_be_request(home, event)
    logged = receipts.logged(home, event)
    request = load_request(home.request(event)).as_received(logged)
    if logged != request.digest():
        raise EventError(
            f"{home.request(event)} is not the request that the ledger received. Restore the file, "
            "or submit a new request with a new id."
        )
    return request


def policy_of(home: Home, event: str) -> Policy:
    """The policy that the event's request names."""
    request = request_of(home, event)
    return load_policy(policy_source(request.policy, origin_of(home, event)))


def policy_source(named: str, origin: Path) -> str | Path:
    """A shipped policy's name, or a file beside the document that names it."""
    return origin / named if named.endswith((".yaml", ".yml")) else named


def recipe_source(named: str, origin: Path) -> str:
    """A recipe's name, or the absolute path of a file beside the document that names it."""
    from flows.models import recipes

    return str((origin / named).resolve()) if recipes.is_file(named) else named


def lineage_of(home: Home, event: str) -> str:
    """The model lineage that an event edits: one event at a time on each. A claim edits none."""
    if home.claim(event).exists():
        return f"claim {event}"
    model = request_of(home, event).model
    if model.registry is not None:
        return model.registry.partition("@")[0].partition("/")[0]
    return str((origin_of(home, event) / str(model.file)).resolve())


def named_file(request: Request, origin: Path) -> Path | None:
    """The model's file, None where the request names a registered model."""
    file = request.model.file
    return None if file is None else (origin / file).resolve()


def pending(home: Home) -> list[str]:
    """Ids of the events with work to do, the nearest due date first."""
    return [event.id for event in states.pending(Ledger(home.ledger).entries())]


def unpark(home: Home, event: str) -> None:
    """Put a parked event back into the queue, where it was; any other stays as it is."""
    ledger = Ledger(home.ledger)
    if states.current(ledger.entries(), event).state is states.State.ERROR:
        ledger.append("event_resumed", event, {})


def must_be_request(home: Home, event: str) -> None:
    """Refuse an event that was never submitted, or that audits a claim."""
    if home.claim(event).exists():
        raise EventError(
            f"Event {event} audits a claim: there is no request to look after. `damp run --event` "
            "goes on with an audit that stopped, `damp report` shows what came out."
        )
    if not home.request(event).exists():
        raise EventError(
            f"There is no event {event} in {home.root}. `damp status` lists those there are; "
            "`damp submit` files a request."
        )


def placed(request: Request, origin: Path) -> Facts:
    """The request's content for another folder: data, policy and recipe by absolute paths, the
    model's preprocessing written out."""
    from flows.models import preprocessing_sources

    content = request.content() | {
        "data": _source(spec_of(request.data, origin)),
        "policy": str(policy_source(request.policy, origin)),
        "recipe": recipe_source(request.recipe, origin),
    }
    written = preprocessing_sources.resolve(request.model.preprocessing, origin)
    if written is not None:
        content["model"] = content["model"] | {"preprocessing": written.content()}
    if request.unseen is not None:
        content["unseen"] = _source(spec_of(request.unseen, origin))
    return content


def _source(spec: DataSpec) -> Facts:
    """How a request names these data."""
    return {"name": spec.name} | ({"root": spec.root} if spec.root else {})


def _written(preprocessing: str) -> str:
    """As a request holds what the command line names: a source, or the keys of a file."""
    from compliance.documents.preprocessing import SOURCES, content_of
    from flows.models import preprocessing_sources

    if preprocessing.startswith(SOURCES):
        return json.dumps(preprocessing)
    applied = preprocessing_sources.of_option(preprocessing)
    return json.dumps(content_of(applied))


def template(
    *,
    identity: str | None = None,
    submitted: datetime | None = None,
    forget: tuple[int, ...],
    model: str,
    architecture: str | None,
    data: str,
    data_root: Path | None,
    recipe: str | None,
    policy: str,
    regulation: str,
    preset: str,
    preprocessing: str | None = None,
) -> str:
    """A request file with a new id, ready to be looked through and submitted."""
    from flows.models import recipes

    if model.endswith(".safetensors"):
        applied = f", preprocessing: {_written(preprocessing)}" if preprocessing else ""
        named = f"file: {json.dumps(model)}, architecture: {json.dumps(architecture or '')}"
        source = f"{{{named}{applied}}}"
    else:
        source = f"{{registry: {json.dumps(model)}}}"
    root = f", root: {json.dumps(str(data_root))}" if data_root else ""
    selector = f"{{index: {forget[0]}}}" if len(forget) == 1 else f"{{indices: {list(forget)}}}"
    lines = [
        "apiVersion: damp/v1",
        "kind: ErasureRequest",
        f"subject_request_id: {identity or uuid.uuid4()}",
        f"regulation: {regulation}",
        f"submitted_time: {(submitted or datetime.now(UTC)).isoformat(timespec='seconds')}",
        f"scope: {{type: class, selector: {selector}}}",
        f"model: {source}",
        f"data: {{name: {json.dumps(data)}{root}}}",
        f"recipe: {recipe or recipes.of_data(data)}",
        f"policy: {policy}",
        f"method: {{preset: {preset}}}",
    ]
    return "\n".join(lines) + "\n"
