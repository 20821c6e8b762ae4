"""What the ledger says of studies: which is going on, which ended how, and which may begin.

Each try counts: one that did not qualify stays, and what follows it lists it.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from compliance.ledger import Ledger
from compliance.qualification import standing
from compliance.qualification.qualification import EarlierTry
from flows.qualification.study_setup import Ready
from flows.state.errors import EventError
from flows.state.facts import Json

if TYPE_CHECKING:
    from compliance.ledger.chain import Entry

ABANDONED, QUALIFIED, NOT_QUALIFIED = "abandoned", "qualified", "not qualified"
"""How a study can end."""


def registered(ready: Ready, again: str) -> tuple[Entry, str]:
    """The entry that fixes the family: of a study that was begun, else a new one.

    Returns:
        The entry, and the digest of its statement where the study has qualified; else "".
    Raises:
        EventError: The same cuts did not qualify on this model before, or another study of it was
            begun, and no reason was given.
    """
    home, name = ready.subject.home, ready.subject.study.name
    ledger = Ledger(home.ledger)
    entries = ledger.entries()
    earlier = [e for e in entries if e.kind == standing.REGISTERED and _same_cuts(e, ready)]
    ended = {e.key: e for e in entries if e.kind == standing.SIGNED}
    _refuse_edited(ready, [e for e in entries if e.kind == standing.REGISTERED], ended, again)
    wanted = _identity(ready)
    for entry in reversed(earlier):
        end = ended.get(entry.key)
        same = {key: entry.body.get(key) for key in wanted} == wanted
        if end is None and same:
            return entry, ""
        if end is None and not again:
            raise EventError(
                f"A study of these cuts on this model was begun with other terms, or other code "
                f"(ledger entry {entry.seq}): put these back to finish it, or give it up with "
                "--again and a reason. Each try stays in the ledger."
            )
        if end is None:
            body = end_body(ready, entry.key, "", ABANDONED) | {"reason": again}
            ledger.append_once(standing.SIGNED, "", entry.key, body)
        elif end.body.get("result") == QUALIFIED and same:
            return entry, str(end.body["statement"])
        elif end.body.get("result") != QUALIFIED and not again:
            raise EventError(
                f"These cuts did not qualify on this model before (ledger entry {end.seq}, "
                f"{end.body.get('result')}): change them, or the images, or say with --again why "
                "they are tried once more. Each try stays in the ledger, and every later "
                "qualification of the model lists it."
            )
        break
    body = wanted | {
        "study": (key := str(uuid.uuid4())),
        "name": name,
        "try": len(earlier) + 1,
        "policy": ready.subject.policy.model_dump(mode="json"),
        **({"reason": again} if again else {}),
    }
    return ledger.append_once(standing.REGISTERED, "", key, body), ""


def _refuse_edited(
    ready: Ready, begun: Sequence[Entry], ended: Mapping[str, Entry], again: str
) -> None:
    """Refuse a study that was begun on a model which its alias points to no longer.

    Raises:
        EventError: With what to do.
    """
    for entry in begun:
        same_name = entry.body.get("name") == ready.subject.study.name
        model = str(entry.body.get("model"))
        if same_name and entry.key not in ended and model != ready.family.model and not again:
            raise EventError(
                f"The model was edited since study '{ready.subject.study.name}' was begun on "
                f"{model[:16]} (ledger entry {entry.seq}). To finish it, name that version, as in "
                '`model: {registry: "name/1"}`; for a study of the model as it is now, take '
                "another name."
            )


def _identity(ready: Ready) -> Json:
    """What a study that was begun must have in common with one that goes on with it."""
    from compliance.formats import typed

    return {
        "familyDigest": ready.family.digest(),
        "family": ready.family.to_json(),
        "terms": typed.plain(ready.terms),
        "model": ready.family.model,
    }


def _same_cuts(entry: Entry, ready: Ready) -> bool:
    """Whether an entry is of a study of the same cuts on the same model, by whatever code."""
    family = entry.body.get("family")
    own = ready.family.to_json()
    names = ("model", "data", "ladder", "policy")
    return isinstance(family, dict) and all(family.get(name) == own[name] for name in names)


def end_body(ready: Ready, study: str, statement: str, result: str) -> Json:
    return {
        "study": study,
        "familyDigest": ready.family.digest(),
        "model": ready.family.model,
        "statement": statement,
        "result": result,
    }


def earlier_tries(entries: Sequence[Entry], model: str, before: int) -> tuple[EarlierTry, ...]:
    """Every study of a model that ended before an entry."""
    return tuple(
        EarlierTry(
            study=str(entry.body.get("study")),
            statement=str(entry.body.get("statement")),
            qualifies=entry.body.get("result") == QUALIFIED,
        )
        for entry in entries[:before]
        if entry.kind == standing.SIGNED and entry.body.get("model") == model
    )
