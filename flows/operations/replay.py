"""`damp replay`: carry an attempt out again from its pinned inputs, and compare what comes of it.

Nobody has to believe the one who ran it: the model before, the registered plan with its seed, the
data and the code are taken, everything else is computed anew in a folder of its own, under the
auditor's own key. On the same kind of machine the model after has the same bytes.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from compliance.documents.request import load_request
from compliance.formats import strict_json
from compliance.ledger.append_file import must_read
from compliance.signing import envelope, load_trust
from compliance.verification.verify import INVALID, UNSUPPORTED, verify_statement
from flows.intake import requests
from flows.state import keyring
from flows.state.errors import EventError
from flows.state.files import Artifact, digest_file, write_atomically
from flows.state.paths import Attempt, Home

Facts = dict[str, Any]

TOLERANCE = 1e-9
"""Two figures are the same within this: the statement's are the doubles that were computed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One thing that was computed anew.

    Attributes:
        name: What it is.
        told: What the statement says.
        found: What came out.
        same: Whether they are the same.
    """

    name: str
    told: Any
    found: Any
    same: bool


def replay(
    home: Home,
    statement: Path,
    *,
    trust: Path,
    before: Path | None,
    request: Path | None,
    output: Path,
) -> Facts:
    """Run the attempt of a statement again and sign what came of it.

    Args:
        home: The auditor's state folder; the work is done in a folder below it.
        statement: The envelope. `reproduce.yaml`, `plan.json` and `before.safetensors` are looked
            for beside it.
        trust: Whose signatures count on it.
        before: The model before, if it lies elsewhere.
        request: The request, if it lies elsewhere.
        output: Where the signed result goes.

    Returns:
        `same`, `checks`, `statement`, `output`.

    Raises:
        EventError: The statement does not hold, an input is missing or not the pinned one, or no
            key here can sign as auditor.
    """
    key = keyring.signing_key(home, "auditor")
    told = _believed(statement, trust)
    inputs = _inputs(statement, told, before, request)
    work = Home(home.root / "replays" / told["digest"][:16])
    with _working_in(work):
        checks = list(_compared(work, told["statement"], inputs))
    same = all(check.same for check in checks)
    write_atomically(output, envelope.sign_payload(_result(told, checks), key))
    return {
        "same": same,
        "checks": [asdict(check) for check in checks],
        "statement": told["digest"],
        "output": str(output),
    }


def _believed(statement: Path, trust: Path) -> Facts:
    found = verify_statement(statement, load_trust(trust))
    if found.exit_code in (INVALID, UNSUPPORTED) or found.statement is None:
        raise EventError(f"{statement} does not hold: {' '.join(found.problems)}")
    if found.statement["predicate"]["method"]["name"] == "claimed":
        raise EventError(
            f"{statement} is about a claim: there is no edit to make again. `damp audit "
            "reproduce.yaml` beside it, with a state folder and a key of your own, audits the same "
            "bytes anew."
        )
    return {"statement": found.statement, "digest": found.digest}


def _inputs(statement: Path, told: Facts, before: Path | None, request: Path | None) -> Facts:
    """The pinned inputs, each held against its digest."""
    folder, predicate = statement.resolve().parent, told["statement"]["predicate"]
    model = (before or folder / "before.safetensors").resolve()
    wanted = predicate["inputs"]["modelBefore"]["digest"]["sha256"]
    if not model.is_file():
        raise EventError(
            f"The model before, {model}, is not there: name it with --before. It may have been "
            "purged; then nobody can run the attempt again."
        )
    if digest_file(model) != wanted:
        raise EventError(f"{model} is not the model before of this statement ({wanted}).")
    return {
        "model": model,
        "plan": pinned_plan(folder / "plan.json", predicate["auditPlan"]["digest"]),
        "request": _request_of(request or folder / "reproduce.yaml", predicate),
    }


def pinned_plan(file: Path, wanted: str) -> Facts:
    """The plan in a file, if it is the one that the statement pins.

    Raises:
        EventError: It is another.
        JsonError, LedgerError: It is no JSON, or cannot be read.
    """
    plan = strict_json.loads(must_read(file), str(file))
    if strict_json.digest(plan) != wanted:
        raise EventError(f"{file} is not the plan whose digest the statement has ({wanted}).")
    found: Facts = plan
    return found


def _request_of(file: Path, predicate: Facts) -> Facts:
    """The content of the event's request, with its paths as they are from the file's folder."""
    request, event = load_request(file), predicate["event"]["id"]
    if request.id != event:
        raise EventError(f"{file} is request {request.id}, and the statement is about {event}.")
    return requests.placed(request, file.resolve().parent)


@contextmanager
def _working_in(work: Home) -> Iterator[None]:
    """The environment and a demo key for a state folder of the replay's own."""
    from flows.state.settings import overridden, prepare_environment

    with overridden("DAMP_HOME", str(work.root)):
        prepare_environment(work.root)
        yield


def _compared(work: Home, statement: Facts, inputs: Facts) -> Iterator[Check]:
    predicate = statement["predicate"]
    made = _run(work, predicate, inputs)
    told = predicate["inputs"]
    yield _same("data version before", told["dataBefore"]["version"], made["data"]["before"])
    yield _same("data version after", told["dataAfter"]["version"], made["data"]["after"])
    yield _same("retain set", told["retainSet"]["sha256"], made["data"]["retain_set"])
    yield _same("forgotten rows", told["forgetSet"]["count"], made["data"]["forget_count"])
    yield _same("policy", predicate["auditPlan"]["policy"]["digest"], made["policy"])
    yield _same("model after", statement["subject"][0]["digest"]["sha256"], made["after"])
    yield _same("verdict", predicate["verdict"]["result"], made["verdict"].result)
    found = {row.name: row for row in made["verdict"].rows if row.measurement is not None}
    for row in predicate["audits"]:
        if row["status"] == "RUN":
            again = found.get(row["name"])
            value = again.measurement.value if again and again.measurement else None
            yield Check(
                name=row["name"],
                told=row["value"],
                found=value,
                same=value is not None and abs(value - row["value"]) <= TOLERANCE,
            )


def _same(name: str, told: Any, found: Any) -> Check:
    return Check(name=name, told=told, found=found, same=told == found)


def _run(work: Home, predicate: Facts, inputs: Facts) -> Facts:
    """The steps of the flow, called plainly, with the statement's plan and seed."""
    from compliance.documents.policy import Policy
    from flows.steps import audit, conclude, prepare
    from flows.steps import edit as cut
    from flows.steps import references as retraining

    event, number = predicate["event"]["id"], predicate["event"]["attempt"]
    plan = inputs["plan"]
    requests.submit(work, _request(work, predicate, inputs))
    where = {"home": str(work.root), "event": event, "attempt": number}
    accepted = prepare.accept(where) | {
        "policy": plan["policy"],
        "policy_digest": plan["policyDigest"],
        "method": plan["method"],
    }
    data = prepare.version_data(where, accepted)
    model = prepare.pin_model(where, accepted, data)
    references = retraining.references(where, accepted, data, model)
    edit = cut.cut(where, accepted, data, model, references)
    attempt, seed = Attempt(work, event, number), predicate["auditPlan"]["seed"]
    audit.yardstick(work, attempt, data, model, references, seed)
    yardstick = Artifact.of(work.root, attempt.yardstick).to_json()
    audit.audit(where, data, model, references, {"seed": seed, "yardstick": yardstick}, edit)
    return {
        "data": {
            "before": data["before"]["version"],
            "after": data["after"]["version"],
            "retain_set": data["retain_set"]["sha256"],
            "forget_count": data["forget_set"]["count"],
        },
        "policy": Policy.model_validate(plan["policy"]).digest(),
        "after": edit["after"]["sha256"],
        "verdict": conclude.judged(attempt, plan["policy"], predicate["propagation"]),
    }


def _request(work: Home, predicate: Facts, inputs: Facts) -> Path:
    """The request for the replay's folder: its own copy of the model, the plan's policy beside."""
    folder = work.root / "request"
    write_atomically(folder / "policy.yaml", json.dumps(inputs["plan"]["policy"]).encode())
    architecture = predicate["inputs"]["modelBefore"]["architecture"]
    content = inputs["request"] | {
        "model": {"file": str(inputs["model"]), "architecture": architecture},
        "policy": "policy.yaml",
    }
    content.pop("callback", None)  # nobody is told of a replay
    write_atomically(folder / "request.yaml", json.dumps(content, indent=1).encode())
    return folder / "request.yaml"


def _result(told: Facts, checks: list[Check]) -> Facts:
    """What came of it as an in-toto test-result about the model after."""
    return {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [dict(subject) for subject in told["statement"]["subject"]],
        "predicateType": "https://in-toto.io/attestation/test-result/v0.1",
        "predicate": {
            "result": "PASSED" if all(check.same for check in checks) else "FAILED",
            "configuration": [{"name": "statement", "digest": {"sha256": told["digest"]}}],
            "passedTests": [check.name for check in checks if check.same],
            "warnedTests": [],
            "failedTests": [check.name for check in checks if not check.same],
        },
    }
