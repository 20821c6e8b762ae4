"""The record in the order of a law's annex or of a standard's controls, as Markdown. Pure.

    annex-iv    the nine points of Annex IV of Regulation (EU) 2024/1689 (AI Act)
    iso-42001   controls of Annex A of ISO/IEC 42001:2023

Each point holds what the signed statement says of it, or says that the statement has nothing: then
whoever writes the documentation has to. A view never says that a duty is met. The points were read
in secondary copies, as docs/mappings.md has them; a lawyer checks them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from compliance.formats.plain_text import bare
from compliance.formats.plain_text import markdown as md
from compliance.presentation import labels, numbers, row_text
from compliance.signing import Statement
from compliance.signing.facts import AuditRow, Predicate

Decoded = Mapping[str, Any]
Lines = Iterator[str]
NOTICE = (
    "Not legal advice, and no statement that a duty is met: what the signed record says, in the "
    "order of {order}. Points without a record are for whoever writes the documentation."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One point of an annex, or one control.

    Attributes:
        number: As the annex counts it.
        title: What it asks for, in short.
        says: What the record has on it; nothing where it has nothing.
    """

    number: str
    title: str
    says: Callable[[Predicate], Lines]


def annex_iv(statement: Decoded, digest: str) -> str:
    """The record by the points of the AI Act's Annex IV.

    Args:
        statement: The decoded statement.
        digest: SHA-256 of its signed bytes.
    """
    return _view("Annex IV of the AI Act", ANNEX_IV, statement, digest)


def iso_42001(statement: Decoded, digest: str) -> str:
    """The record by the controls of Annex A of ISO/IEC 42001:2023; arguments as `annex_iv`."""
    return _view("Annex A of ISO/IEC 42001:2023", ISO_42001, statement, digest)


def _view(order: str, points: tuple[Point, ...], statement: Decoded, digest: str) -> str:
    own = Statement.of(statement).predicate
    lines = [f"# One unlearning event, in the order of {order}", ""]
    lines += [NOTICE.format(order=order), ""]
    lines += [f"Event {own.event.id}, attempt {own.event.attempt}; signed statement `{digest}`."]
    if own.demo_key:
        lines += ["", "**Signed with a demonstration key: an example, never evidence.**"]
    for point in points:
        said = list(point.says(own))
        lines += ["", f"## {point.number} {point.title}", ""]
        lines += [f"- {line}" for line in said] or ["*This record says nothing of it.*"]
    return "\n".join(lines) + "\n"


def _nothing(own: Predicate) -> Lines:
    yield from ()


def _system(own: Predicate) -> Lines:
    before = own.inputs.model_before
    registry = before.registry
    named = md(f"{registry.name} version {registry.version}") if registry else "a file"
    yield (
        f"Model before: {named}, sha256 `{before.digest.sha256}`, architecture "
        f"`{bare(before.architecture)}` with {before.parameters} parameters."
    )
    yield from _tools(own)


def _tools(own: Predicate) -> Lines:
    code, environment = own.inputs.code, own.inputs.environment
    packages = ", ".join(f"{name} {version}" for name, version in environment.packages.items())
    revision = bare(code.revision or "unknown")
    yield f"Software: damp {md(code.version)}, revision {revision}; {md(packages)}."


def _machine(own: Predicate) -> Lines:
    environment, device = own.inputs.environment, own.inputs.device
    words = f"{environment.platform}, Python {environment.python}, {device.name}"
    yield f"Computed on {md(words)}."


def _data(own: Predicate) -> Lines:
    inputs = own.inputs
    for when, data in (("before", inputs.data_before), ("after", inputs.data_after)):
        yield (
            f"Training data {when}: {md(data.name)}, version `{bare(data.version)}`, "
            f"{data.rows} rows."
        )


def _taken_out(own: Predicate) -> Lines:
    forgotten, kept = own.inputs.forget_set, own.inputs.retain_set
    yield (
        f"Taken out: {forgotten.count} rows of {_classes(own)}, committed to as "
        f"`{forgotten.commitment}` ({md(forgotten.algorithm)})."
    )
    yield f"Kept: {kept.count} rows, sha256 `{kept.sha256}`."


def _change(own: Predicate) -> Lines:
    method = own.method
    preset = method.parameters.get("preset", method.name)
    yield (
        f"Change: {_classes(own)} forgotten by `{bare(str(preset))}`, "
        f"{len(method.operators)} layers changed, "
        f"started {own.event.started_at}, ended {own.event.finished_at}."
    )
    for earlier in own.event.previous_attempts:
        yield f"Earlier attempt {earlier.attempt}: {earlier.verdict}."


def _plan(own: Predicate) -> Lines:
    plan = own.audit_plan
    yield (
        f"Rules fixed beforehand: policy {md(plan.policy.name)} "
        f"(sha256 `{plan.policy.digest}`), plan sha256 `{plan.digest}` "
        f"registered {plan.registered_at} as entry {plan.ledger_sequence} of "
        f"ledger {md(own.event.ledger.origin)}."
    )
    if plan.expected_power is not None:
        yield f"Expected of these rules: {md(plan.expected_power.told)}"


def _verdict(own: Predicate) -> Lines:
    yield f"Verdict: **{own.verdict.result}**. {md(own.verdict.claim)}"
    yield from (f"Reason: {md(reason)}" for reason in own.verdict.reasons)
    wrong = [control.name for control in own.controls if not control.as_expected]
    right = len(own.controls) - len(wrong)
    yield f"Controls with a known answer: {right} of {len(own.controls)} as expected."


def _figures(own: Predicate) -> Lines:
    for row in own.required:
        yield _figure(row)


def _figure(row: AuditRow) -> str:
    name = md(row.label or row.title)
    if row.value is None:
        return f"{name}: not measured ({md(row.reason or str(row.outcome))})."
    held = f", 95% interval {numbers.span(row.interval)}" if row.interval else ""
    null = (
        f", retrained models {numbers.figure(row.null_mean)}" if row.null_mean is not None else ""
    )
    return f"{name}: {numbers.figure(row.value)}{held}{null}; {row.outcome}."


def _limits(own: Predicate) -> Lines:
    yield from map(md, row_text.limits_once(own.verdict.limits, own.audits))


def _stay(own: Predicate) -> Lines:
    yield from (_figure(row) for row in own.required if row.audit in ("accuracy", "utility"))


def _copies(own: Predicate) -> Lines:
    for artefact in own.propagation:
        note = f" ({artefact.note})" if artefact.note else ""
        yield md(f"{artefact.artefact}: {artefact.status}{note}.")


def _after(own: Predicate) -> Lines:
    due, until = own.retention.reaudit_due, own.retention.keep_until
    if due:
        yield f"Audited again by {due[:10]}."
    if until:
        yield f"The record is kept until {until[:10]}."


def _log(own: Predicate) -> Lines:
    ledger = own.event.ledger
    yield (
        f"Ledger {md(ledger.origin)}: {ledger.sequence} entries before this statement, the last "
        "with "
        f"hash `{ledger.previous}`. `damp ledger verify` checks the chain."
    )


def _asked(own: Predicate) -> Lines:
    asked = own.request
    rule = md(labels.REGULATIONS[asked.regulation])
    yield f"Asked under: {rule}; due {asked.due_at[:10]}: forget {_classes(own)}."


def _classes(own: Predicate) -> str:
    indices = own.request.scope.indices
    word = "class" if len(indices) == 1 else "classes"
    return f"{word} {', '.join(map(str, indices))}"


def _all(*parts: Callable[[Predicate], Lines]) -> Callable[[Predicate], Lines]:
    def says(own: Predicate) -> Lines:
        for part in parts:
            yield from part(own)

    return says


ANNEX_IV = (
    Point(number="1", title="General description of the system", says=_system),
    Point(
        number="2",
        title="Elements and process of development: data, tests, validation",
        says=_all(_data, _taken_out, _plan, _machine),
    ),
    Point(
        number="3",
        title="Monitoring, functioning and control: capabilities and limits",
        says=_all(_stay, _limits),
    ),
    Point(number="4", title="Why the measures of performance are apt", says=_all(_plan, _figures)),
    Point(number="5", title="Risk management system", says=_nothing),
    Point(number="6", title="Changes over the lifecycle", says=_all(_asked, _change, _verdict)),
    Point(number="7", title="Harmonised standards applied", says=_nothing),
    Point(number="8", title="EU declaration of conformity", says=_nothing),
    Point(
        number="9",
        title="Monitoring after it was placed on the market",
        says=_all(_after, _copies),
    ),
)

ISO_42001 = (
    Point(number="A.4.3", title="Data resources", says=_data),
    Point(number="A.4.4", title="Tooling resources", says=_tools),
    Point(number="A.4.5", title="System and computing resources", says=_machine),
    Point(number="A.5", title="Assessing impacts of AI systems", says=_nothing),
    Point(number="A.6.2.3", title="Design and development", says=_change),
    Point(
        number="A.6.2.4",
        title="Verification and validation",
        says=_all(_plan, _figures, _verdict, _limits),
    ),
    Point(number="A.6.2.5", title="Deployment", says=_nothing),
    Point(number="A.6.2.6", title="Operation and monitoring", says=_after),
    Point(number="A.6.2.7", title="Technical documentation", says=_system),
    Point(number="A.6.2.8", title="Recording of event logs", says=_log),
    Point(number="A.7.4", title="Quality of data", says=_nothing),
    Point(number="A.7.5", title="Data provenance", says=_all(_data, _taken_out)),
    Point(number="A.8.5", title="Information for interested parties", says=_all(_asked, _verdict)),
    Point(number="A.10.2", title="Responsibilities of third parties", says=_copies),
)
