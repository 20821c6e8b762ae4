"""From findings on disk to verdicts and rates: nothing is measured here, margins can move."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from audits.finding import Finding
from benchmarks.validity.bench import (
    BASELINES,
    EDITS,
    NEAR_MARGIN,
    RANDOM,
    RENEWED,
    Event,
    folder_of,
    is_current,
)
from benchmarks.validity.cheats import CHEATS
from compliance.documents import ladder
from compliance.documents.policy import Policy
from compliance.verdict import MUST_PASS, JudgedRow, expected_power, judge
from compliance.verdict.judged_row import INFORMATIONAL

HONEST, EDIT, CHEAT, BASELINE = "honest", "edit", "cheat", "baseline"
BEFORE = " (before)"
"""Of an edit of ours whose code is another one today: it is counted apart."""
Findings = tuple[Finding, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One candidate of one event under one audit seed, as it was measured.

    Attributes:
        event: The event's name.
        setting: Its data and network.
        data: The data alone.
        choice: Whether margins were, or could have been, chosen by this event.
        images: Held-out images of the class to forget.
        seed: Of the audit.
        candidate: Name of the candidate.
        kind: "honest", "edit", "baseline" or "cheat".
        findings: On it.
        controls: On the controls, by name.
        apart: Findings without retrained models, by unseen classes; empty where there were none.
        controls_apart: The same on the controls.
        impossible: Controls that cannot be made of this candidate, with the reason. One that cannot
            be observed at all, which is refused without a verdict, has "observation" here.
        shared: The event's own controls: what stands in where one cannot be made.
        grade: Of a cheat, what should give it away; empty for others.
        seconds: CPU time of each audit and of observing the candidate.
        passes: Forward passes over the audit data, observing and relearning.
    """

    event: str
    setting: str
    data: str
    choice: bool
    images: int
    seed: int
    candidate: str
    kind: str
    findings: Findings
    controls: Mapping[str, Findings]
    apart: Findings = ()
    controls_apart: Mapping[str, Findings] | None = None
    impossible: Mapping[str, str]
    shared: Mapping[str, Findings] | None = None
    grade: str = ""
    seconds: Mapping[str, float]
    passes: Mapping[str, float]


def cases(events: Sequence[Event], seeds: Sequence[int]) -> Iterator[Case]:
    """Everything that was measured of these events."""
    for event in events:
        for seed in seeds:
            folder = folder_of(event, seed)
            if not (folder / "_controls.json").exists():
                continue
            shared = _read(folder / "_controls.json")
            for path in sorted(folder.glob("[a-z]*.json")):
                yield case_of(event, seed, path, shared)


def case_of(event: Event, seed: int, path: Path, shared: dict) -> Case:
    """One candidate as its file has it; `shared` is what was measured of the event's controls."""
    record = _read(path)
    controls = dict(record.get("controls") or shared["controls"])
    apart = dict(shared["controls_without_references"])
    everything, impossible = dict(controls), {}
    if "refused" in record:
        impossible = {"observation": record["refused"]}
    elif not record["controls_possible"]:
        impossible = {RANDOM: record["problem"]}
        controls, apart = _without(controls, RANDOM), _without(apart, RANDOM)
    elif RANDOM in record:
        controls[RANDOM] = record[RANDOM]
        if f"{RANDOM}_apart" in record:
            apart[RANDOM] = record[f"{RANDOM}_apart"]
    if "near_margin_problem" in shared:  # of the event, whoever the candidate is
        impossible[NEAR_MARGIN] = shared["near_margin_problem"]
    name = path.stem
    kind = _kind(name)
    if not is_current(path):
        name += BEFORE
    return Case(
        event=event.name,
        setting=event.setting.name,
        data=event.setting.data,
        choice=event.choice,
        images=int(event.setting.images),
        seed=seed,
        candidate=name,
        kind=kind,
        findings=_findings(record["findings"]),
        controls={control: _findings(content) for control, content in controls.items()},
        apart=_findings(record.get("without_references", [])),
        controls_apart={control: _findings(content) for control, content in apart.items()},
        impossible=impossible,
        shared={c: _findings(content) for c, content in everything.items()} if impossible else None,
        grade=CHEATS[name].grade if name in CHEATS else "",
        seconds=record["seconds"],
        passes=record["passes"],
    )


def _without(controls: Mapping[str, list], name: str) -> dict[str, list]:
    return {control: content for control, content in controls.items() if control != name}


@lru_cache(maxsize=4)
def _read(path: Path) -> dict:
    content: dict = json.loads(path.read_text())
    return content


def _findings(content: Sequence[dict]) -> Findings:
    return tuple(Finding.from_json(finding) for finding in content)


def _kind(name: str) -> str:
    if name in CHEATS:
        return CHEAT
    if name in BASELINES:
        return BASELINE
    return EDIT if name in EDITS or name == RENEWED else HONEST


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """A case with its verdict.

    Attributes:
        case: As it was measured.
        result: PASSED, FAILED or INCONCLUSIVE.
        power: Chance that an honest model passes all required rows, as the plan says it from the
            retrained models and the original alone; None where these do not say, and for what is
            no honest model.
        granted: The verdict with the event's own control in the place of one that cannot be made
            of this candidate; the result where all could be made.
        apart: The verdict without retrained models, None where there were no unseen classes.
        attempt: The verdict at the level of the policy's declared attempt by this method; None for
            what is none of them.
        rows: The judged rows.
        reasons: Why it is not PASSED.
        stated: Share of what the original knows that the policy lets remain.
    """

    case: Case
    result: str
    power: float | None
    granted: str
    apart: str | None
    attempt: str | None
    rows: tuple[JudgedRow, ...]
    reasons: tuple[str, ...]
    stated: float | None = None

    @property
    def shares(self) -> dict[str, float]:
        """Share of what the original knows by each of the readers that tell the original."""
        figures = (
            (row.name, row.measurement)
            for row in self.rows
            if row.name in HOLDING and row.measurement and row.outcome != INFORMATIONAL
        )
        return {
            name: figure.difference / figure.gap
            for name, figure in figures
            if figure.gap and figure.difference is not None
        }


HOLDING = ("remainder.probes", "remainder.few_labels", "linear_probe.dprime@earlier")
"""Figures by which it is measured how much a cheat holds."""


def stated(policy: Policy) -> float | None:
    """The least share that a required rule of the policy allows; None where none is a share."""
    shares = [r.remainder for r in policy.rules if r.required and r.remainder is not None]
    return min(shares, default=None)


def judged(case: Case, policy: Policy, policy_apart: Policy | None) -> Judged:
    """The verdict on a case by a policy, and by one that needs no retrained model."""
    verdict = judge(case.findings, case.controls, policy, impossible=case.impossible)
    apart = None
    if case.apart and policy_apart is not None:
        verdict_apart = judge(
            case.apart, case.controls_apart or {}, policy_apart, impossible=case.impossible
        )
        apart = verdict_apart.result
    return Judged(
        case=case,
        result=verdict.result,
        power=plan_power(case, policy) if case.kind == HONEST else None,
        granted=judge(case.findings, case.shared, policy).result if case.shared else verdict.result,
        apart=apart,
        attempt=_attempt(case, policy),
        rows=verdict.rows,
        reasons=verdict.reasons,
        stated=stated(policy),
    )


def _attempt(case: Case, policy: Policy) -> str | None:
    name = case.candidate.removesuffix(BEFORE)
    if name not in policy.attempts:
        return None
    place = policy.attempts.index(name)
    level = policy.at_level(ladder.levels(policy, policy.attempts)[place])
    return judge(case.findings, case.controls, level, impossible=case.impossible).result


def plan_power(case: Case, policy: Policy) -> float | None:
    """What the plan expects before a candidate is looked at: the chance of all rows at once."""
    references = {n: f for n, f in case.controls.items() if n.startswith(MUST_PASS)}
    return expected_power.expected(case.controls["original"], references, policy).accept_all
