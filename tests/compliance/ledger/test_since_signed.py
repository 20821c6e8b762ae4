"""What has happened since a statement was signed, by entries that are written out."""

from __future__ import annotations

from typing import Any

from compliance.ledger import Entry, since_signed
from compliance.signing import Trust

SIGNED, OTHER = "a" * 64, "b" * 64


def entry(number: int, kind: str, event: str = "e1", **body: Any) -> Entry:
    return Entry(
        seq=number,
        kind=kind,
        event=event,
        time=f"2026-09-{number + 1:02}T08:00:00Z",
        body=body,
        **dict.fromkeys(("key", "previous", "hash"), ""),
    )


def statement(number: int, digest: str, event: str = "e1") -> Entry:
    return entry(number, "statement_signed", event, attempt=1, verdict="PASSED", statement=digest)


def artefact(name: str, location: str = "", status: str = "KEPT", note: str = "") -> dict[str, str]:
    return {"artefact": name, "location": location, "status": status, "note": note}


BOOK = [
    entry(0, "request_received"),
    statement(1, OTHER),
    entry(2, "event_closed", verdict="PASSED"),
    statement(3, SIGNED, "e2"),  # of another event, the same digest by mistake
    statement(4, SIGNED),
    entry(5, "signed_off", role="reviewer"),
    entry(6, "signed_off", "e2", role="reviewer"),
    entry(7, "model_promoted", name="net", version="3"),
]


def test_later_facts_are_those_of_the_event_behind_its_statement() -> None:
    facts = since_signed.since(BOOK, "e1", SIGNED, [])
    assert (facts["entries"], facts["at"], facts["propagation"]) == (8, "2026-09-08T08:00:00Z", [])
    assert facts["facts"] == [
        {"entry": 5, "at": "2026-09-06T08:00:00Z", "what": "Signed off", "detail": "by reviewer"},
        {
            "entry": 7,
            "at": "2026-09-08T08:00:00Z",
            "what": "Model promoted",
            "detail": "net, version 3",
        },
    ]
    earlier = since_signed.since(BOOK, "e1", OTHER, [])
    assert [fact["entry"] for fact in earlier["facts"]] == [2, 4, 5, 7]


def test_everything_is_later_than_a_statement_that_the_ledger_does_not_know() -> None:
    facts = since_signed.since(BOOK, "e1", "c" * 64, [])
    assert [fact["entry"] for fact in facts["facts"]] == [0, 1, 2, 4, 5, 7]
    empty = since_signed.since([], "e1", SIGNED, [artefact("model", "old")])
    assert (empty["entries"], empty["at"], empty["facts"]) == (0, "", [])
    assert empty["propagation"] == [artefact("model", "old")]


def test_a_re_audit_that_nobody_has_signed_is_said_to_be_unverified() -> None:
    book = [statement(0, SIGNED), entry(1, "reaudited", verdict="FAILED"), entry(2, "event_closed")]
    said = "Audited again (unverified: no trusted key has signed it)"
    for trust, words in ((None, "Audited again"), (Trust(keys={}), said)):
        facts = since_signed.since(book, "e1", SIGNED, [], trust=trust)["facts"]
        assert [fact["what"] for fact in facts] == [words, "Event closed"]
    assert facts[0]["detail"] == "verdict FAILED"


def test_artefacts_are_as_they_were_last_declared_or_deleted() -> None:
    listed = [artefact("weights", "old"), artefact("weights", "copy"), artefact("rows", "old")]
    later = [
        entry(2, "artefact_declared", **artefact("weights", "old", "MOVED", "to a drawer")),
        entry(3, "artefact_declared", **artefact("export", "edge", "KEPT")),
        entry(4, "artefacts_purged", artefacts=[artefact("rows", "old"), artefact("log", "x")]),
        entry(5, "signed_off", **artefact("weights", "copy", "LOST")),  # no such kind of entry
    ]
    gone = "Deleted 2026-09-05, ledger entry 4."
    assert since_signed.now(listed, later) == [
        artefact("weights", "old", "MOVED", "to a drawer"),
        artefact("weights", "copy"),
        artefact("rows", "old", "DELETED", gone),
        artefact("export", "edge", "KEPT"),
        artefact("log", "x", "DELETED", gone),
    ]


def test_a_word_that_there_are_no_other_copies_takes_back_that_none_are_known() -> None:
    unknown = artefact("copies elsewhere", "unknown", "UNKNOWN")
    none = artefact("copies elsewhere", "none but those listed", "DECLARED")
    other = artefact("copies elsewhere", "a drawer", "KEPT")
    assert since_signed.now([unknown], [entry(1, "artefact_declared", **other)]) == [unknown, other]
    assert since_signed.now([unknown], [entry(1, "artefact_declared", **none)]) == [none]
    assert since_signed.now([], [entry(1, "artefact_declared", **none)]) == [none]
