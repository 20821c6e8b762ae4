"""The officer's two pages: what was asked, what came out, what still holds data, where to sign.

All its sentences stand in one catalogue for each language, `languages/<code>.json`; what is
recorded in English (names of measurements, reasons) stays in the annex. Controller, system and
those who deal with copies are the settings' and no part of the signed statement; neither is a label
of a class, which can be the name of a person.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from functools import cache
from importlib.resources import files
from typing import Any

from compliance.presentation import labels, numbers, row_text
from compliance.presentation.next_steps import NextStep
from compliance.signing import Statement, statement
from compliance.signing.facts import Artefact, Predicate

Json = dict[str, Any]
LANGUAGES = ("en", "de", "fr")
DEFAULT = "en"
OUTSIDE = (
    "model before, the file that was named",
    "training rows of the class, in a cache outside",
    "the data set itself",
    "copies elsewhere",
)
"""Artefacts of the catalogue that do not lie in the state folder: damp deletes none of them."""
DAY = re.compile(r"\d{4}-\d{2}-\d{2}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Office:
    """Whose record it is: names from the settings, "" where none is set.

    Attributes:
        controller: Who is responsible for the data.
        system: What the model is used in.
        operator: The role that runs damp, and deletes what it can delete.
        data_owner: The role that keeps the data set.
    """

    controller: str = ""
    system: str = ""
    operator: str = ""
    data_owner: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reader:
    """For whom the pages are written.

    Attributes:
        language: One of `LANGUAGES`.
        office: Names that the settings give.
        labels: Names of classes that the controller gives, by index.
    """

    language: str = DEFAULT
    office: Office = Office()
    labels: Mapping[int, str] = field(default_factory=dict)


@cache
def catalogue(language: str) -> Mapping[str, str]:
    """Every sentence of a language by its key."""
    file = files("compliance").joinpath("report", "languages", f"{language}.json")
    texts: Mapping[str, str] = json.loads(file.read_text("utf-8"))
    return texts


@dataclass(frozen=True, slots=True, kw_only=True)
class _Page:
    """What every part of the pages is written from."""

    own: Predicate
    raw: Mapping[str, Any]
    reader: Reader
    used: str

    def say(self, key: str, **values: object) -> str:
        return catalogue(self.reader.language)[key].format(**values)

    def day(self, moment: str) -> str:
        """A recorded time as a day, as the language writes it."""
        parsed = numbers.moment(moment)
        return self.say("until.open") if parsed is None else self.date(parsed.date())

    def date(self, day: date) -> str:
        return day.strftime(catalogue(self.reader.language)["date"])


def pages(
    whole: Mapping[str, Any],
    facts: Statement,
    *,
    reader: Reader,
    steps: Sequence[NextStep],
    signatures: Sequence[Mapping[str, Any]],
    used: str = "",
) -> Json:
    """The two pages as plain data, every sentence in the reader's language.

    Args:
        whole: The decoded statement, its artefacts as they are known now.
        facts: The same as typed facts.
        reader: Language, names and labels.
        steps: What to do next.
        signatures: As `Shown.signatures`.
        used: Since when the model after is in use; "" where it is not, as far as is known.
    """
    page = _Page(own=facts.predicate, raw=whole["predicate"], reader=reader, used=used)
    result = page.own.verdict.result
    tone, icon, _ = labels.RESULTS.get(result, ("open", "question", ""))
    counts = row_text.tally(page.own.audits)
    return {
        "language": reader.language,
        "title": page.say("title", scope=_scope(page)),
        "intro": page.say(
            "intro", attempt=page.own.event.attempt, ended=page.day(page.own.event.finished_at)
        ),
        "tone": tone,
        "icon": icon,
        "result": result,
        "word": page.say(f"word.{result}") if f"word.{result}" in catalogue(DEFAULT) else result,
        "meaning": _meaning(page, result, counts),
        "warnings": list(_warnings(page, facts)),
        "facts": [{"name": page.say(f"fact.{key}"), "text": text} for key, text in _facts(page)],
        "limits": list(_limits(page)),
        "next": [_next(page, step) for step in _once(steps)],
        "holds": _holds(page),
        "sign": _sign(page, signatures),
        "words": {
            key: page.say(key)
            for key in catalogue(DEFAULT)
            if key.startswith(("head.", "col.", "annex", "sign.", "foot."))
            and "{" not in catalogue(DEFAULT)[key]
        },
    }


def _scope(page: _Page) -> str:
    """The classes, each by its index and by the label that the controller gives it."""
    names = [
        page.say("scope.labelled", index=index, label=page.reader.labels[index])
        if index in page.reader.labels
        else str(index)
        for index in page.own.request.scope.indices
    ]
    *most, last = names or [""]
    listed = page.say("scope.and", first=", ".join(most), last=last) if most else last
    return page.say("scope.many" if most else "scope.one", classes=listed)


def _meaning(page: _Page, result: str, counts: Mapping[str, int]) -> str:
    basis = page.own.qualification
    if basis is not None and result == "PASSED":
        return page.say(
            "meaning.qualified", name=basis.name, classes=basis.classes, passed=basis.passed
        )
    key = f"meaning.{result}"
    return page.say(key, **counts) if key in catalogue(DEFAULT) else page.own.verdict.claim


def _warnings(page: _Page, facts: Statement) -> Iterator[str]:
    if statement.contradictions(facts):
        yield page.say("contradiction")
    if page.own.demo_key:
        yield page.say("demo")


def _facts(page: _Page) -> Iterator[tuple[str, str]]:
    own, raw, office = page.own, page.raw, page.reader.office
    verified, short = raw["request"].get("verifiedBy"), str(raw["request"]["id"])[:8]
    asked = "asked.verified" if verified else "asked.unverified"
    yield "asked", page.say(asked, role=verified, id=short)
    yield "rule", page.say(f"rule.{own.request.regulation}")
    for name in ("controller", "system"):
        yield name, getattr(office, name) or page.say("unset", setting=name)
    model = own.inputs.model_before.registry
    yield (
        "model",
        page.say("model.registered", name=model.name, version=model.version)
        if model
        else page.say("model.file"),
    )
    yield (
        "done",
        f"{_done(page)} {page.say('done.images', count=raw['inputs']['forgetSet']['count'])}",
    )
    controls = own.controls
    basis = own.qualification
    yield (
        "checked",
        page.say(
            "checked" if basis is None else "checked.qualified",
            name=basis.name if basis else "",
            total=len(own.required),
            references=max((len(row.null or ()) for row in own.audits), default=0),
            right=sum(control.as_expected for control in controls),
            controls=len(controls),
        ),
    )
    yield "deadline", _deadline(page)


def _done(page: _Page) -> str:
    method = page.own.method
    if method.name == "claimed":
        return page.say("done.claimed")
    if method.renewed is not None:
        return page.say("done.renewed")
    if method.other is not None:
        name, tensors = method.other.name, len(method.other.changed)
        return page.say("done.other", name=name, tensors=tensors)
    if not method.operators:
        return page.say("done.retrain")
    return page.say("done.damp", layers=len(method.operators))


def _deadline(page: _Page) -> str:
    received, due = str(page.raw["request"]["receivedAt"]), page.own.request.due_at
    last, ended = numbers.moment(due), numbers.moment(page.own.event.finished_at)
    used = numbers.moment(page.used)
    if last is None or ended is None:
        return page.say("deadline.unknown")
    dates = page.say("deadline.dates", received=page.day(received), due=page.day(due))
    if used is not None:
        key = "deadline.used" if used <= last else "deadline.used_late"
        return f"{dates} {page.say(key, used=page.day(page.used))}"
    if ended > last:
        return f"{dates} {page.say('deadline.late')}"
    if page.own.verdict.result == "PASSED":
        return f"{dates} {page.say('deadline.passed')}"
    return f"{dates} {page.say('deadline.open', days=(last - ended).days)}"


def _limits(page: _Page) -> Iterator[str]:
    required = page.own.required
    able = sum(row_text.counted(row) for row in required)
    if others := len(required) - able:
        yield page.say("limit.weak", able=able, total=len(required), others=others)
    for key in ("attacks", "persons", "copies", "law"):
        yield page.say(f"limit.{key}")


def _once(steps: Sequence[NextStep]) -> Sequence[NextStep]:
    """Each kind of step once, and nothing for the engineer alone: the annex has them all."""
    wanted = [step for step in reversed(steps) if step.kind != "predicted"]
    return list({step.kind: step for step in wanted}.values())[::-1]


def _next(page: _Page, step: NextStep) -> Json:
    return {"text": page.say(f"next.{step.kind}"), "command": step.command}


def _holds(page: _Page) -> Json:
    """What still holds data: alike artefacts in one row, each with an owner and a date."""
    rows: dict[tuple[str, ...], int] = {}
    for artefact in page.own.propagation:
        if artefact.status != "DELETED":
            row = (_named(page, artefact), artefact.status, *_dealt_with(page, artefact))
            rows[row] = rows.get(row, 0) + 1
    empty = "holds.none" if page.own.propagation else "holds.unlisted"
    return {
        "rows": [_row(page, row, count) for row, count in rows.items()],
        "empty": "" if rows else page.say(empty),
    }


def _row(page: _Page, row: tuple[str, ...], count: int) -> Json:
    name, status, owner, until = row
    _, tone, icon = labels.PROPAGATION.get(status, (status, "open", "question"))
    worded = f"state.{status}" in catalogue(DEFAULT)
    return {
        "what": name if count == 1 else f"{name} ({count})",
        "state": page.say(f"state.{status}") if worded else status,
        "tone": tone,
        "icon": icon,
        "owner": owner,
        "until": until,
    }


def _named(page: _Page, artefact: Artefact) -> str:
    """An artefact of damp's in the reader's language; a declared one as it was declared."""
    key = f"art.{artefact.artefact}"
    return page.say(key) if key in catalogue(DEFAULT) else artefact.artefact


def _dealt_with(page: _Page, artefact: Artefact) -> tuple[str, str]:
    """Who deals with a copy, and by which day: never nobody, never no date without saying so."""
    office, due = page.reader.office, page.day(page.own.request.due_at)
    expires = DAY.search(artefact.note) if artefact.status == "EXPIRES_ON" else None
    if expires is not None:
        day = date.fromisoformat(expires[0])
        return office.data_owner or page.say("owner.data"), page.date(day)
    if artefact.artefact.startswith("held-out images"):
        reaudit = page.day(str(page.raw["retention"]["reauditDue"]))
        return office.operator or page.say("owner.operator"), reaudit
    kept_here = f"art.{artefact.artefact}" in catalogue(DEFAULT)
    if kept_here and artefact.artefact not in OUTSIDE:
        return office.operator or page.say("owner.operator"), due
    if artefact.artefact == "the data set itself":
        return office.data_owner or page.say("owner.data"), due
    return page.say("owner.open"), due


def _sign(page: _Page, signatures: Sequence[Mapping[str, Any]]) -> Json:
    done = [f"{s.get('role')} ({str(s['keyId'])[:8]})" for s in signatures if s.get("keyId")]
    awaited = [str(s.get("role")) for s in signatures if not s.get("keyId")]
    lines = [page.say("sign.keys", roles=", ".join(done))] if done else []
    lines += [page.say("sign.awaited", roles=", ".join(awaited))] if awaited else []
    due = page.day(page.own.request.due_at)
    checks = ("identity", "scope", "limits", "holds", "use", "answer")
    return {"keys": lines, "checks": [page.say(f"check.{each}", due=due) for each in checks]}
