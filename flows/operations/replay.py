"""`damp replay`: carry an attempt out again from its pinned inputs, and compare what comes of it.

Nobody has to believe the one who ran it: the model before, the registered plan with its seed, the
data and the code are taken, everything else is computed anew in a folder of its own, under the
auditor's own key. On the same kind of machine the model after has the same bytes.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from compliance.documents.request import load_request
from compliance.formats import strict_json
from compliance.ledger.append_file import must_read
from compliance.qualification.qualification import FILE
from compliance.signing import envelope, load_trust
from compliance.verification.verify import verify_statement
from flows.intake import model_checks, requests
from flows.servers import isolated
from flows.state import code_files, keyring, others_code
from flows.state.errors import EventError
from flows.state.files import Artifact, digest_file, write_atomically
from flows.state.paths import Attempt, Home

if TYPE_CHECKING:
    from compliance.documents.policy import Policy
    from compliance.verdict import Verdict
    from flows.state.facts import Data, Edit, Json

TOLERANCE = 1e-9
"""Two figures are the same within this: the statement's are the doubles that were computed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One thing that was computed anew.

    Attributes:
        name: What it is.
        stated: What the statement says.
        computed: What came out.
        same: Whether they are the same.
    """

    name: str
    stated: Any
    computed: Any
    same: bool

    def to_json(self) -> Json:
        return {
            "name": self.name,
            "told": self.stated,
            "found": self.computed,
            "same": self.same,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """A statement that holds, the digest of its signed bytes, and what it rests on.

    Attributes:
        statement: Decoded.
        digest: SHA-256 of its signed bytes.
        qualification: The file beside it; None where it rests on none.
    """

    statement: Mapping[str, Any]
    digest: str
    qualification: Path | None = None

    @property
    def predicate(self) -> Mapping[str, Any]:
        predicate: Mapping[str, Any] = self.statement["predicate"]
        return predicate


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    """What the attempt was carried out from, each part held against the statement.

    Attributes:
        model: The file of the model before.
        plan: As it was registered.
        request: Its content, with paths that hold anywhere.
    """

    model: Path
    plan: Json
    request: Json


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What the steps have left this time."""

    data: Data
    edit: Edit
    policy: Policy
    verdict: Verdict
    qualification: Json | None = None


def replay(
    home: Home,
    statement: Path,
    *,
    trust: Path,
    before: Path | None,
    request: Path | None,
    output: Path,
    allow: Collection[str] = (),
) -> Json:
    """Run the attempt of a statement again and sign what came of it.

    Args:
        home: The auditor's state folder; the work is done in a folder below it.
        statement: The envelope. `reproduce.yaml`, `plan.json` and `before.safetensors` are looked
            for beside it.
        trust: Whose signatures count on it.
        before: The model before, if it lies elsewhere.
        request: The request, if it lies elsewhere.
        output: Where the signed result goes.
        allow: Modules of the other side that may run; they run in a process without keys.

    Returns:
        `same`, `checks`, `statement`, `output`.

    Raises:
        EventError: The statement does not hold, an input is missing or not the pinned one, or no
            key here can sign as auditor.
    """
    key = keyring.signing_key(home, "auditor")
    verified = _verified(statement, trust)
    inputs = _inputs(statement, verified, before, request)
    code = others_code.allowed(_code_of(verified, inputs), allow, document=statement)
    work = str(home.root / "replays" / verified.digest[:16])
    files = [str(file.resolve()) if file else None for file in (statement, trust, before, request)]
    arguments = {"work": work, "files": files}
    job = isolated.Job.of(home, f"{__name__}:carry_out", arguments, code)
    answer = isolated.run(job) if code else isolated.Answer(result=carry_out(work, files), read={})
    checks = [Check(**check) for check in answer.result]
    result = _result(verified, checks, code, answer.read)
    write_atomically(output, envelope.sign_payload(result, key))
    return {
        "same": all(check.same for check in checks),
        "checks": [check.to_json() for check in checks],
        "statement": verified.digest,
        "output": str(output),
    }


def carry_out(work: str, files: list[str | None]) -> list[Json]:
    """The checks, as JSON; called where there are no keys if the record brings code along.

    Args:
        work: The state folder of the replay's own.
        files: Statement, trust, and where they were named the model before and the request.
    """
    statement, trust, before, request = (Path(file) if file else None for file in files)
    if statement is None or trust is None:
        raise EventError("A replay needs a statement and a trust file: name both.")
    home, verified = Home(Path(work)), _verified(statement, trust)
    with _working_in(home):
        checks = _compared(home, verified, _inputs(statement, verified, before, request))
        return [asdict(check) for check in checks]


def _code_of(verified: Verified, inputs: Inputs) -> list[str | None]:
    """What a record names that may be code of the other side."""
    from flows.models import recipes

    request = inputs.request
    return [
        verified.predicate["inputs"]["modelBefore"]["architecture"],
        request["data"]["name"],
        (request.get("unseen") or {}).get("name"),
        *recipes.code_of(request["recipe"]),
    ]


def _verified(statement: Path, trust: Path) -> Verified:
    verification = verify_statement(statement, load_trust(trust))
    if verification.statement is None:
        raise EventError(f"{statement} does not hold: {' '.join(verification.problems)}")
    beside = statement.resolve().parent / FILE
    verified = Verified(
        statement=verification.statement,
        digest=verification.digest,
        qualification=beside if "qualification" in verification.statement["predicate"] else None,
    )
    if verified.predicate["method"]["name"] == "claimed":
        raise EventError(
            f"{statement} is about a claim: there is no edit to make again. `damp audit "
            "reproduce.yaml` beside it, with a state folder and a key of your own, audits the same "
            "bytes anew."
        )
    return verified


def _inputs(
    statement: Path, verified: Verified, before: Path | None, request: Path | None
) -> Inputs:
    """The pinned inputs, each held against its digest."""
    folder, predicate = statement.resolve().parent, verified.predicate
    model = (before or folder / "before.safetensors").resolve()
    pinned = predicate["inputs"]["modelBefore"]["digest"]["sha256"]
    if not model.is_file():
        raise EventError(
            f"The model before, {model}, is not there: name it with --before. It may have been "
            "purged; then nobody can run the attempt again."
        )
    if digest_file(model) != pinned:
        raise EventError(f"{model} is not the model before of this statement ({pinned}).")
    return Inputs(
        model=model,
        plan=pinned_plan(folder / "plan.json", predicate["auditPlan"]["digest"]),
        request=_request_of(request or folder / "reproduce.yaml", predicate["event"]["id"]),
    )


def pinned_plan(file: Path, wanted: str) -> Json:
    """The plan in a file, if it is the one that the statement pins.

    Raises:
        EventError: It is another.
        JsonError, LedgerError: It is no JSON, or cannot be read.
    """
    plan: Json = strict_json.loads(must_read(file), str(file))
    if strict_json.digest(plan) != wanted:
        raise EventError(f"{file} is not the plan whose digest the statement has ({wanted}).")
    return plan


def _request_of(file: Path, event: str) -> Json:
    """The content of the event's request, with its paths as they are from the file's folder."""
    request = load_request(file)
    if request.id != event:
        raise EventError(f"{file} is request {request.id}, and the statement is about {event}.")
    return requests.placed(request, file.resolve().parent)


@contextmanager
def _working_in(work: Home) -> Iterator[None]:
    """The environment and a demo key for a state folder of the replay's own."""
    from flows.state.settings import overridden, prepare_environment

    trust = overridden("DAMP_TRUST", str(work.root / "trust.json"))
    with overridden("DAMP_HOME", str(work.root)), trust:
        prepare_environment(work.root)
        yield


def _compared(work: Home, verified: Verified, inputs: Inputs) -> Iterator[Check]:
    predicate = verified.predicate
    stated, after = predicate["inputs"], verified.statement["subject"][0]["digest"]["sha256"]
    again = _run(work, verified, inputs)
    data, verdict = again.data, again.verdict
    yield _check("data version before", stated["dataBefore"]["version"], data.before.version)
    yield _check("data version after", stated["dataAfter"]["version"], data.after.version)
    yield _check("retain set", stated["retainSet"]["sha256"], data.retain_set.sha256)
    yield _check("forgotten rows", stated["forgetSet"]["count"], data.forget_set.count)
    policy = predicate["auditPlan"]["policy"]["digest"]
    yield _check("policy", policy, again.policy.digest())
    yield _check("model after", after, again.edit.after.sha256)
    yield _check("verdict", predicate["verdict"]["result"], verdict.result)
    if again.qualification is not None:
        yield from _qualified(predicate["qualification"], again.qualification)
    values = {row.name: row.measurement.value for row in verdict.rows if row.measurement}
    for row in predicate["audits"]:
        if row["status"] == "RUN":
            name, value = row["name"], row["value"]
            yield _check_figure(name, value, values.get(name))


def _qualified(stated: Mapping[str, Any], computed: Mapping[str, Any]) -> Iterator[Check]:
    """What a verdict under a qualification rests on: family and class, computed anew."""
    for name in ("statement", "family", "thresholds", "problems"):
        yield _check(f"qualification: {name}", stated[name], computed[name])
    for place, (one, other) in enumerate(
        zip(stated["range"]["separability"], computed["range"]["separability"], strict=True)
    ):
        yield _check_figure(f"qualification: separability {place + 1}", one, other)


def _check(name: str, stated: Any, computed: Any) -> Check:
    return Check(name=name, stated=stated, computed=computed, same=stated == computed)


def _check_figure(name: str, stated: float, computed: float | None) -> Check:
    same = computed is not None and abs(computed - stated) <= TOLERANCE
    return Check(name=name, stated=stated, computed=computed, same=same)


def _run(work: Home, verified: Verified, inputs: Inputs) -> Outcome:
    """The steps of the flow, called plainly, with the statement's plan and seed."""
    from flows.steps import audit, conclude, prepare, qualified
    from flows.steps.edit import edit
    from flows.steps.plan import RegisteredPlan
    from flows.steps.references import train_references

    predicate = verified.predicate
    plan = RegisteredPlan.of(inputs.plan)
    requests.submit(work, _request(work, verified, inputs), model_checks.REPLAYED)
    attempt = Attempt(work, predicate["event"]["id"], predicate["event"]["attempt"])
    accepted = prepare.accept(attempt)
    accepted = replace(
        accepted,
        policy=plan.policy,
        method=plan.method or accepted.method,
        rung=plan.attempts,
    )
    data = prepare.version_data(attempt, accepted)
    model = prepare.pin_model(attempt, accepted, data)
    references = train_references(attempt, accepted, data, model)
    edited = edit(attempt, accepted, data, model, references)
    seed = predicate["auditPlan"]["seed"]
    alone = plan.policy.yardstick is not None
    audit.audit_baseline(attempt, data, model, references, seed, alone=alone)
    case = audit.Case(
        data=data,
        model=model,
        references=references,
        edit=edited,
        seed=seed,
        near_margin=plan.policy.near_margin,
        alone=alone,
    )
    audit.audit_candidate(attempt, case, Artifact.of(work.root, attempt.baseline))
    if not alone:
        return Outcome(
            data=data,
            edit=edited,
            policy=plan.policy,
            verdict=conclude.judged(attempt, plan.judged_by, predicate["propagation"]),
        )
    basis, family, facts = qualified.given(
        qualified.Asked.of(accepted), data, model, work, verified.qualification, predicate
    )
    verdict = qualified.judged(attempt, plan.judged_by, basis, predicate["propagation"])
    return Outcome(
        data=data,
        edit=edited,
        policy=plan.policy,
        verdict=verdict,
        qualification=qualified.part(basis, family, facts, verdict),
    )


def _request(work: Home, verified: Verified, inputs: Inputs) -> Path:
    """The request for the replay's folder: its own copy of the model, the plan's policy beside."""
    folder = work.root / "request"
    write_atomically(folder / "policy.yaml", json.dumps(inputs.plan["policy"]).encode())
    before = verified.predicate["inputs"]["modelBefore"]
    model = {"file": str(inputs.model), "architecture": before["architecture"]}
    if "preprocessing" in before:
        model["preprocessing"] = before["preprocessing"]["spec"]
    content = inputs.request | {
        "model": model,
        "policy": "policy.yaml",
    }
    content.pop("callback", None)  # nobody is called back about a replay
    write_atomically(folder / "request.yaml", json.dumps(content, indent=1).encode())
    return folder / "request.yaml"


def _result(
    verified: Verified, checks: list[Check], code: Mapping[str, str], read: Mapping[str, str]
) -> Json:
    """What came of it as an in-toto test-result about the model after."""
    return {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [dict(subject) for subject in verified.statement["subject"]],
        "predicateType": "https://in-toto.io/attestation/test-result/v0.1",
        "predicate": {
            "result": "PASSED" if all(check.same for check in checks) else "FAILED",
            "configuration": [
                {"name": "statement", "digest": {"sha256": verified.digest}},
                *(
                    {"name": f"code of the other side: {name}", "digest": {"sha256": digest}}
                    for name, digest in code.items()
                ),
                *(
                    {"name": f"read as code: {name}", "digest": {"sha256": digest}}
                    for name, digest in code_files.named(read, others_code.places(code)).items()
                ),
            ],
            "passedTests": [check.name for check in checks if check.same],
            "warnedTests": [],
            "failedTests": [check.name for check in checks if not check.same],
        },
    }
