"""Step 5: what will be audited, by which margins and from which seed, logged before it happens.

What can be expected of it is worked out first, from the original and the retrained models alone.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from pydantic import ConfigDict
from pydantic.alias_generators import to_camel

from compliance.documents import ladder
from compliance.documents.policy import Policy
from compliance.ledger import Ledger
from flows.state import others_code, progress
from flows.state.facts import (
    UNKNOWN_METHOD,
    Accepted,
    AcceptedRequest,
    Data,
    Fact,
    Json,
    Method,
    Model,
    Plan,
    References,
    Rung,
    at_level,
)
from flows.state.files import Artifact, canonical, digest_bytes, write_atomically
from flows.state.paths import Attempt
from flows.steps import audit, audit_rows, qualified
from flows.steps.step import step

SEED_SOURCE = "first 32 bits of the ledger's head before the plan was registered"
SHARED_SEED_SOURCE = (
    "first 32 bits of the ledger's head before the plan of claim {event} about the same original, "
    "class and data was registered; both claims had been received by then"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class RegisteredPlan(Fact):
    """A plan as it was registered: what carries an attempt out, or audits it, again.

    The method of a claim's plan is None: nothing is known of it.
    """

    __pydantic_config__: ClassVar[ConfigDict] = {
        "strict": True,
        "extra": "ignore",
        "alias_generator": to_camel,
    }

    policy: Policy
    recipe: str
    model_before: str
    data_before: str
    data_after: str
    forget: tuple[int, ...]
    method: Method | None
    seed: int
    attempts: Rung | None = None

    @property
    def judged_by(self) -> Policy:
        """The policy at the error level of this attempt."""
        return at_level(self.policy, self.attempts)

    @classmethod
    def of(cls, content: Json) -> RegisteredPlan:
        """From what `plan.json` and the ledger hold."""
        unknown = content["method"] == UNKNOWN_METHOD
        return cls.from_json(content | ({"method": None} if unknown else {}))


def read(file: Path) -> RegisteredPlan:
    """The plan that an attempt has registered."""
    return RegisteredPlan.of(json.loads(file.read_text()))


def seed_now(ledger: Ledger) -> int:
    """A seed that nobody can choose: the first 32 bits of the ledger's head."""
    return int(ledger.head()[:8], 16)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Seed:
    """Where all draws of the audits come from, and how it came about."""

    value: int
    source: str


def _seed(ledger: Ledger, event: str, accepted: Accepted, model: Model, data: Data) -> _Seed:
    """A seed that nobody could choose; claims of a batch share one.

    A claim takes that of an earlier claim about the same original, class and data, if it was drawn
    when this claim had been received already, so that nothing could be made to suit it. What is
    observed of the original, of the references and of the controls then serves all of them.
    """
    if isinstance(accepted, AcceptedRequest):
        return _Seed(value=seed_now(ledger), source=SEED_SOURCE)
    entries = ledger.entries()
    received = min(entry.seq for entry in entries if entry.event == event)
    drawn = {int(entry.hash[:8], 16) for entry in entries if entry.seq >= received}
    wanted = [model.file.sha256, data.before.version, data.after.version, list(data.forget)]
    for entry in reversed(entries):
        if entry.kind != "plan_registered" or entry.event == event or entry.seq < received:
            continue
        plan = entry.body["plan"]
        same = [plan["modelBefore"], plan["dataBefore"], plan["dataAfter"], plan["forget"]]
        if same == wanted and plan["method"] == UNKNOWN_METHOD and plan["seed"] in drawn:
            source = SHARED_SEED_SOURCE.format(event=entry.event)
            return _Seed(value=plan["seed"], source=source)
    return _Seed(value=seed_now(ledger), source=SEED_SOURCE)


@step("Register the plan")
def register_plan(
    attempt: Attempt, accepted: Accepted, data: Data, model: Model, references: References
) -> Plan:
    """Fix policy, margins and seed; the seed comes from the ledger, so nobody can choose it."""
    ledger, key = Ledger(attempt.home.ledger), f"attempt-{attempt.number}"
    entry = ledger.find("plan_registered", attempt.event, key)
    content: Json = entry.body["plan"] if entry else {}
    if entry:
        seed = _Seed(value=content["seed"], source=content["seedSource"])
    else:
        seed = _seed(ledger, attempt.event, accepted, model, data)
    alone = accepted.policy.yardstick is not None
    # after a kill it is taken anew, from what is kept of each model, and comes out the same
    baseline = audit.audit_baseline(attempt, data, model, references, seed.value, alone=alone)
    if entry is None:
        later: Json = {}
        if isinstance(accepted, AcceptedRequest) and alone:
            power = _under_qualification(attempt, accepted, data, model)
        else:
            power, later = _expected_powers(accepted, data, baseline)
        content = _plan(accepted, data, model, seed, power) | later
        body = {"plan": content, "digest": _digest(content), "attempt": attempt.number}
        entry = ledger.append_once("plan_registered", attempt.event, key, body)
    write_atomically(attempt.plan, json.dumps(content, indent=2).encode())
    return Plan(
        digest=_digest(content),
        sequence=entry.seq,
        registered_at=entry.time,
        seed=seed.value,
        seed_source=seed.source,
        expected_power=content["expectedPower"],
        baseline=Artifact.of(attempt.home.root, attempt.baseline),
        file=Artifact.of(attempt.home.root, attempt.plan),
    )


def _digest(plan: Json) -> str:
    return digest_bytes(canonical(plan))


def _plan(accepted: Accepted, data: Data, model: Model, seed: _Seed, power: Json) -> Json:
    return {
        "policy": accepted.policy.model_dump(mode="json"),
        "policyDigest": accepted.policy.digest(),
        "recipe": accepted.recipe,
        "modelBefore": model.file.sha256,
        "dataBefore": data.before.version,
        "dataAfter": data.after.version,
        "forget": list(accepted.forget),
        **_preprocessing(data),
        "method": accepted.method_json(),
        **_claimed(accepted),
        **_rung(accepted),
        "seed": seed.value,
        "seedSource": seed.source,
        "expectedPower": power,
    }


def _preprocessing(data: Data) -> Json:
    """By digest, where the model sees more than the images as they are."""
    applied = data.spec.preprocessing
    return {"preprocessing": applied.digest()} if applied else {}


def _rung(accepted: Accepted) -> Json:
    """Which of the attempts that the policy declares; nothing where it declares none."""
    if not isinstance(accepted, AcceptedRequest) or accepted.rung is None:
        return {}
    return {"attempts": accepted.rung.to_json()}


def _claimed(accepted: Accepted) -> Json:
    """Of a claim: in which architecture the edited file runs, and whose code that is."""
    if isinstance(accepted, AcceptedRequest):
        return {}
    return {
        "editedArchitecture": accepted.claim.edited.architecture,
        "claimantCode": others_code.in_files(accepted.files),
    }


def _under_qualification(
    attempt: Attempt, accepted: AcceptedRequest, data: Data, model: Model
) -> Json:
    """What a qualification lets expect of this event, and what of it is not covered."""
    basis, _, _ = qualified.standing_of(attempt.home, qualified.Asked.of(accepted), data, model)
    power = qualified.expected_power(accepted.judged_by, data, basis)
    progress.current().note(str(power["told"]))
    return power


def _expected_powers(accepted: Accepted, data: Data, baseline: Json) -> tuple[Json, Json]:
    """What these samples can show, by the retrained models and the original; of later attempts too.

    Each of those has a level of its own: the first attempt's plan says already whether the last one
    can pass, so that nobody trains a model anew for a verdict that cannot come.
    """
    from audits.finding import Finding
    from compliance.verdict import expected_power

    findings: dict[str, list[Any]] = {
        name: [Finding.from_json(each) for each in every] for name, every in baseline.items()
    }
    original = findings.pop(audit.ORIGINAL)
    sizes = audit_rows.smallest(data)

    def expected(policy: Policy) -> expected_power.Forecast:
        gaps = expected_power.by_sizes(policy, sizes)
        return expected_power.expected(original, findings, policy, out_of_reach=gaps)

    own = expected(accepted.judged_by)
    progress.current().note(own.sentence)
    rung = accepted.rung if isinstance(accepted, AcceptedRequest) else None
    if rung is None or rung.place == len(rung.declared):
        return own.to_json(), {}
    levels = ladder.levels(accepted.policy, rung.declared)
    later = []
    for place in range(rung.place, len(rung.declared)):
        power = expected(accepted.policy.at_level(levels[place]))
        row = {
            "attempt": place + 1,
            "method": rung.declared[place],
            "level": levels[place],
            "acceptAll": power.accept_all,
            "canReach": power.can_reach,
            "told": power.sentence,
        }
        later.append(row)
        if own.can_reach and not power.can_reach:
            progress.current().note(ladder.out_of_reach(row))
    return own.to_json(), {"laterAttempts": later}
