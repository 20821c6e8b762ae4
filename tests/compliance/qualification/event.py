"""A qualification and an event under it, signed, in a folder with their ledger: valid as they are.

What a test changes is signed again by the executor's own key, so that it shows what an executor who
lies cannot make pass.
"""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType
from typing import Any

from audits.finding import Figure, Finding
from compliance.documents.policy import Policy, load_policy
from compliance.formats import strict_json, typed
from compliance.ledger import Ledger
from compliance.qualification import drawing, judging, kept, qualification, rules, standing, study
from compliance.qualification.family import Family, Rung
from compliance.qualification.qualification import Cost, EarlierTry, Qualification, Terms
from compliance.qualification.study import (
    CUT,
    MUST_FAIL,
    RETRAINED,
    ClassFacts,
    StudiedClass,
    StudiedModel,
)
from compliance.signing import Trust, TrustedKey, envelope, save_trust, statement
from compliance.signing.facts import LedgerPosition
from compliance.verdict import MUST_FAIL as CONTROLS
from compliance.verification.verify import Verification, verify_statement

Json = dict[str, Any]
STUDY = "0b0f8c52-13a4-4f0e-9d15-6a2f8f6f7e10"
STUDIED, STARTED = datetime(2026, 9, 10, 8, tzinfo=UTC), datetime(2026, 9, 20, 8, tzinfo=UTC)
RANGE = ClassFacts(separability=(1.5, 3.5, 6.0), train=90, test=90)
"""Of class 8: inside what was studied."""


def example() -> ModuleType:
    """tests/compliance/example.py."""
    name = "compliance_example"
    if name not in sys.modules:
        path = Path(__file__).parents[1] / "example.py"
        spec = importlib.util.spec_from_file_location(name, path)
        assert spec is not None
        assert spec.loader is not None
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    return sys.modules[name]


def family(**changes: Any) -> Family:
    digest = example().digest
    l3 = load_policy("demo-v1")
    return replace(
        Family(
            model=digest("before"),
            architecture="damp:cnn",
            recipe=digest("recipe"),
            data="3d1f9a.dir",
            preprocessing="",
            ladder=(Rung(preset="natural", gain=1.0, sequential=False, skip=()),),
            rules=rules.policy_of("example", l3, ("natural",)).rules_digest(),
            policy=l3.digest(),
            suite=digest("suite"),
            code=digest("code"),
        ),
        **changes,
    )


TERMS = Terms(
    classes=5,
    sequence=1,
    least_rows=50,
    least_passed=0.5,
    spot_checks=1.0,
    promised=0.5,
    valid_days=180,
    near_margin=(0.6,),
    partly=(0.5,),
)
FRAME = {
    str(c): ClassFacts(
        separability=(1.0 + 0.1 * c, 3.0 + 0.1 * c, 5.0 + 0.2 * c), train=88, test=88
    )
    for c in range(10)
}


def studied(label: int, facts: ClassFacts) -> StudiedClass:
    shift = 0.004 * label
    models = (
        StudiedModel(name="natural", kind=CUT, result="PASSED", rules="PASSED", kept=0.62 + shift),
        StudiedModel(
            name="reference_0", kind=RETRAINED, result="PASSED", rules="PASSED", kept=0.6 + shift
        ),
        StudiedModel(name="original", kind=MUST_FAIL, result="FAILED", rules="PASSED", kept=1.0),
        StudiedModel(
            name="paper", kind=MUST_FAIL, result="FAILED", rules="PASSED", kept=0.9 + shift
        ),
    )
    return StudiedClass(
        label=label,
        edits=0,
        facts=facts,
        rung=1,
        models=models,
        trainings=6,
        seconds={"trainings": 60.0, "cuts": 1.0, "audits": 20.0},
    )


def event_findings(**values: float) -> list[Finding]:
    """Of the edited model, as an audit without retrained models leaves them."""
    every = [*example().findings(**values), _weights()]
    return [_alone(finding) for finding in every]


def controls() -> dict[str, list[Finding]]:
    return {name: [_alone(f) for f in [*example().findings(name), _weights()]] for name in CONTROLS}


def _alone(finding: Finding) -> Finding:
    figures = tuple(
        figure
        if figure.name.startswith("utility.")
        else replace(
            figure,
            null=(),
            difference=None,
            standard_error=None,
            degrees_of_freedom=None,
            against="none",
            standard_error_original=None,
        )
        for figure in finding.measurements
    )
    return replace(finding, measurements=figures)


def _weights() -> Finding:
    figures = tuple(
        Figure(name=f"weight_provenance.{n}", label=n, value=0.0, interval=(0.0, 0.0))
        for n in ("copies", "idle")
    )
    return Finding(
        audit="weight_provenance", question="?", status="RUN", measurements=figures, seed=1
    )


Change = Callable[[Any], Any]


def same(content: Any) -> Any:
    return content


@dataclass(frozen=True)
class Changes:
    """What a test does to each part before it is signed, entered or verified."""

    terms: Terms = TERMS
    family: Family = field(default_factory=family)
    own: Family | None = None
    qualification: Change = same
    event: Change = same
    policy: Change = same
    findings: dict[str, float] = field(default_factory=dict)
    facts: ClassFacts = RANGE
    edits: int | None = 0
    before: Callable[[Ledger, str], None] = lambda ledger, digest: None
    after: Callable[[Ledger, str], None] = lambda ledger, digest: None
    sign_with: str = "executor"
    started: datetime = STARTED
    picked: tuple[int, ...] = ()


@dataclass(frozen=True)
class World:
    """A folder with all files."""

    folder: Path
    digest: str
    content: Qualification

    @property
    def statement(self) -> Path:
        return self.folder / "statement.dsse.json"

    @property
    def qualification(self) -> Path:
        return self.folder / "qualification.dsse.json"

    @property
    def ledger(self) -> Path:
        return self.folder / "ledger.jsonl"

    @property
    def trust(self) -> Path:
        return self.folder / "trust.json"

    def verify(self, **more: Any) -> Verification:
        return verify_statement(self.statement, self.trust, **({"ledger": self.ledger} | more))


def build(folder: Path, changes: Changes | None = None) -> World:
    """All of it, from the family's entry to the event's statement."""
    changes = changes or Changes()
    folder.mkdir(parents=True, exist_ok=True)
    times = iter([STUDIED] * 3 + [changes.started] * 40)
    ledger = Ledger(folder / "ledger.jsonl", now=lambda: next(times))
    executor = envelope.generate(folder / "keys", demo=True)
    stranger = envelope.generate(folder / "strangers", demo=True)
    line = TrustedKey(
        role="executor",
        public_key=executor.public_key,
        not_before="2026-09-01T00:00:00Z",
        not_after="2027-09-01T00:00:00Z",
        demo=True,
    )
    save_trust(folder / "trust.json", Trust(keys={}).with_key(executor.keyid, line))
    content = _qualification(ledger, changes)
    key = executor if changes.sign_with == "executor" else stranger
    whole = changes.qualification(qualification.statement(content))
    signed = envelope.sign_payload(whole, key)
    digest = envelope.digest(signed)
    (folder / "qualification.dsse.json").write_bytes(signed)
    body = {
        "study": STUDY,
        "familyDigest": changes.family.digest(),
        "model": changes.family.model,
        "statement": digest,
        "result": "qualified",
    }
    ledger.append_once(standing.SIGNED, "", STUDY, body)
    changes.before(ledger, digest)
    _event(folder, ledger, executor, digest, content, changes)
    changes.after(ledger, digest)
    return World(folder=folder, digest=digest, content=content)


def _qualification(ledger: Ledger, changes: Changes) -> Qualification:
    l3, terms = load_policy("demo-v1"), changes.terms
    entry = ledger.append_once(
        standing.REGISTERED,
        "",
        STUDY,
        {
            "study": STUDY,
            "name": "example",
            "try": 1,
            "familyDigest": changes.family.digest(),
            "family": changes.family.to_json(),
            "terms": typed.plain(terms),
            "model": changes.family.model,
            "policy": l3.model_dump(mode="json"),
        },
    )
    measure = {int(c): qualification.measure_of(f) for c, f in FRAME.items()}
    drawn = changes.picked or drawing.classes(measure, terms.classes, head=entry.hash)
    classes = tuple(studied(label, FRAME[str(label)]) for label in drawn)
    where = ledger.position()
    return Qualification(
        name="example",
        study=STUDY,
        policy="demo-v1",
        references=5,
        family=changes.family,
        terms=terms,
        sequence=entry.seq,
        head=entry.hash,
        ledger=LedgerPosition(
            origin=where["origin"], sequence=where["sequence"], previous=where["previous"]
        ),
        earlier=(),
        frame=FRAME,
        left_out={},
        classes=classes,
        outcome=study.outcome(classes, wanted=terms.classes, rungs=1, least_passed=0.5),
        cost=Cost(trainings=30, seconds={"trainings": 300.0}, training=10.0),
        finished_at="2026-09-10T08:00:00Z",
        valid_until="2027-03-09T08:00:00Z",
        demo_key=True,
    )


def _event(
    folder: Path,
    ledger: Ledger,
    key: Any,
    digest: str,
    content: Qualification,
    changes: Changes,
) -> None:
    parts: Json = example().parts()
    event = parts["event"]["id"]
    l3 = load_policy("demo-v1")
    policy: Policy = changes.policy(rules.policy_of("example", l3, ("natural",), digest))
    own = changes.own or changes.family
    rung = {"place": 1, "declared": ["natural"], "level": 0.05}
    plan = {
        "policy": policy.model_dump(mode="json"),
        "modelBefore": own.model,
        "dataBefore": own.data,
        "dataAfter": "77b0c2.dir",
        "attempts": rung,
    }
    ledger.append("request_received", event, {"received": "2026-09-20T08:00:00Z"})
    ledger.append("attempt_started", event, {"attempt": 1})
    planned = ledger.append(
        "plan_registered",
        event,
        {"attempt": 1, "plan": plan, "digest": strict_json.digest(plan)},
    )
    where = ledger.position()
    basis = judging.Standing(
        qualification=content,
        digest=digest,
        edits=changes.edits,
        problems=(),
        cost_of_l3="5 trainings",
    )
    verdict = judging.judge(event_findings(**changes.findings), controls(), policy, basis)
    row = next(row for row in verdict.rows if row.name == kept.NAME)
    thresholds = content.outcome.thresholds
    parts |= {
        "audits": verdict.audits_json(),
        "controls": verdict.controls_json(),
        "verdict": verdict.to_json(),
        "qualification": {
            "statement": digest,
            "name": "example",
            "classes": content.outcome.passed.trials,
            "passed": content.outcome.passed.events,
            "family": own.to_json(),
            "edits": changes.edits,
            "range": typed.plain(changes.facts),
            "kept": row.measurement.value if row.measurement else None,
            "thresholds": typed.plain(thresholds),
            "validUntil": content.valid_until,
            "problems": [],
        },
    }
    parts["event"] |= {
        "ledger": where,
        "attempts": {**rung, "skipped": [], "costs": []},
    }
    if changes.started != STARTED:
        at = changes.started.isoformat().replace("+00:00", "Z")
        parts["event"] |= {"startedAt": at, "finishedAt": at}
    parts["inputs"]["modelBefore"]["digest"]["sha256"] = own.model
    parts["inputs"]["dataBefore"]["version"] = own.data
    parts["method"]["parameters"] |= {"preset": "natural", "skip": []}
    parts["auditPlan"] |= {
        "digest": strict_json.digest(plan),
        "ledgerSequence": planned.seq,
        "policy": {"name": policy.name, "digest": policy.digest()},
    }
    whole = changes.event(statement.build(**parts))
    signed = envelope.sign_payload(whole, key)
    (folder / "statement.dsse.json").write_bytes(signed)
    ledger.append(
        "statement_signed",
        event,
        {
            "attempt": 1,
            "verdict": whole["predicate"]["verdict"]["result"],
            "statement": envelope.digest(signed),
        },
    )


def payload(path: Path) -> Json:
    """The statement in an envelope."""
    content: Json = json.loads(envelope.open_envelope(path.read_bytes()).payload)
    return content


__all__ = ["Changes", "EarlierTry", "World", "build", "family", "payload"]
