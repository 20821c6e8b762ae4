"""Qualifications that are kept here: found by digest, checked at every use, and what they are of.

A study's statement lies in the state folder under the digest of its signed bytes. What a family
holds of code is computed from the source that runs, never taken from a version number.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from compliance.ledger import Ledger
from compliance.qualification import checking, lineage, standing
from compliance.qualification.checking import Checked
from compliance.signing import Trust, load_trust
from flows.state.files import canonical, digest_bytes, digest_file, write_atomically
from flows.state.paths import Home

if TYPE_CHECKING:
    from compliance.documents.policy import Policy
    from compliance.ledger.chain import Entry
    from compliance.qualification.qualification import Qualification

SUITE = ("audits",)
CODE = (
    "damp",
    "compliance/verdict",
    "compliance/qualification",
    "flows/data",
    "flows/models",
    "flows/steps",
)
"""Folders whose source decides what an edit, an audit or a verdict is."""


@cache
def suite() -> str:
    """SHA-256 of the audits' source."""
    return _of_sources(SUITE)


@cache
def code() -> str:
    """SHA-256 of the source of whatever cuts, trains, reads data and judges."""
    return _of_sources(CODE)


def _of_sources(folders: Sequence[str]) -> str:
    root = Path(__file__).resolve().parents[2]
    files = sorted(file for folder in folders for file in (root / folder).rglob("*.py"))
    return digest_bytes(
        canonical([[f.relative_to(root).as_posix(), digest_file(f)] for f in files])
    )


def path(home: Home, digest: str) -> Path:
    """Where the statement of a qualification lies."""
    return checking.find(home.qualifications, digest)


def keep(home: Home, digest: str, content: bytes) -> Path:
    """Keep an envelope under the digest of its signed bytes."""
    write_atomically(path(home, digest), content)
    return path(home, digest)


def trusted(home: Home) -> Trust:
    """The keys that are trusted here; none where there is no trust file."""
    return load_trust(home.trust) if home.trust.exists() else Trust(keys={})


def load(home: Home, digest: str, entries: Sequence[Entry] | None = None) -> Checked:
    """A qualification of this state folder's own ledger, as far as it can be believed."""
    file = path(home, digest)
    if not file.exists():
        why = (
            f"There is no qualification {digest[:16]} in {home.qualifications}: run "
            "`damp qualify`, or bring its file back."
        )
        return Checked(problems=(why,))
    given = Ledger(home.ledger).entries() if entries is None else entries
    checked = checking.check(file, trusted(home), entries=given)
    if checked.digest not in ("", digest):
        return Checked(problems=(f"{file} holds another qualification than its name says.",))
    return checked


def edits_of(
    entries: Sequence[Entry], content: Qualification, digest: str, model: tuple[str, str]
) -> int | None:
    """Edits that a model has seen under a qualification; None where it does not come from its.

    Args:
        model: SHA-256 of its file, and version of its data.
    """
    base = (content.family.model, content.family.data)
    return lineage.edits(entries, base=base, model=model, qualification=digest)


def problems(
    home: Home,
    policy: Policy,
    *,
    ladder: Sequence[str],
    model: str,
    data: str,
    now: datetime | None = None,
) -> Iterator[str]:
    """Why no event on a model can run under the qualification that a policy names.

    Only what can be said before anything is measured; nothing where it can.

    Args:
        ladder: The attempts that are declared for the request.
        model: SHA-256 of the model's file.
        data: Version of its data.
    """
    if policy.yardstick is None:
        return
    digest = policy.yardstick.qualification
    entries = Ledger(home.ledger).entries()
    checked = load(home, digest, entries)
    yield from checked.problems
    content = checked.content
    if content is None:
        return
    presets = tuple(rung.preset for rung in content.family.ladder)
    if tuple(ladder) != presets:
        yield (
            f"The attempts would be {', '.join(ladder)}, and {content.title} is of "
            f"{', '.join(presets)}: leave `method` out of the request."
        )
    if policy.rules_digest() != content.family.rules:
        yield (
            f"The policy's rules are not those of {content.title}: use the policy that the study "
            "has written."
        )
    if suite() != content.family.suite or code() != content.family.code:
        yield (
            f"The audits or the code have changed since {content.title}: run the version that was "
            "qualified, or qualify again."
        )
    yield from standing.problems(
        content,
        digest,
        at=now or datetime.now(UTC),
        edits=edits_of(entries, content, digest, (model, data)),
        entries=entries,
    )


def studies(home: Home) -> list[tuple[str, Checked]]:
    """Every qualification that is kept, by its digest, oldest first."""
    entries = Ledger(home.ledger).entries()
    digests = [str(e.body.get("statement", "")) for e in entries if e.kind == standing.SIGNED]
    return [(each, load(home, each, entries)) for each in digests]


def weight(home: Home, content: Qualification, checked: Checked, *, same: bool) -> str:
    """What a claimant's qualification weighs for an auditor: whose key, whose data.

    Args:
        content: Of the qualification.
        checked: By the keys that the claimant named.
        same: Whether it is of the original of the claim.
    """
    own = trusted(home).keys
    keys = ", ".join(
        f"{s.keyid[:16]}, which is {'' if s.keyid in own else 'not '}in the auditor's trust file"
        for s in checked.signatures
    )
    passed = content.outcome.passed
    return (
        f"The claimant handed in {content.title} ({checked.digest[:16]}), signed by key {keys}. It "
        f"says that {passed.events} of {passed.trials} classes passed against retrained models, on "
        f"data version {content.family.data}, of "
        f"{'the original of this claim' if same else 'another model than the original here'}. "
        "Models, data, draw and retrainings were theirs: it is their word, weighs nothing in this "
        "verdict, and holds for no other model. The figures here were measured by the auditor; a "
        "policy of level L3 compares with models that the auditor has retrained."
    )
