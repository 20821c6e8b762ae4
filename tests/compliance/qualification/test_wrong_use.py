"""Wrong uses of a qualification, each signed by the executor's own key: none is accepted."""

from __future__ import annotations

import copy
import importlib.util
import json
import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from compliance.documents.policy import Policy
from compliance.qualification import standing
from compliance.qualification.family import Rung
from compliance.qualification.study import ClassFacts
from compliance.signing import envelope
from compliance.verification.verify import CANNOT_JUDGE, VALID_AND_PASSED


def _loaded(name: str) -> ModuleType:
    key = f"qualification_{name}"
    if key not in sys.modules:
        spec = importlib.util.spec_from_file_location(key, Path(__file__).with_name(f"{name}.py"))
        assert spec is not None
        assert spec.loader is not None
        sys.modules[key] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[key])
    return sys.modules[key]


event = _loaded("event")
Changes, build = event.Changes, event.build


def changed(*path: str | int, to: Any) -> Callable[[Any], Any]:
    """A copy of a statement with one value replaced."""

    def change(content: Any) -> Any:
        whole = copy.deepcopy(content)
        place = whole
        for part in path[:-1]:
            place = place[part]
        place[path[-1]] = to
        return whole

    return change


def of_family(**changes: Any) -> Any:
    """An event that says itself of which other family it is."""
    return Changes(own=replace(event.family(), **changes))


def suspend(ledger: Any, digest: str) -> None:
    body = {"qualification": digest, "event": "x", "reason": "a check has failed"}
    ledger.append_once(standing.SUSPENDED, "", "x", body)


def other_try(ledger: Any, digest: str) -> None:
    """An earlier study of the same model that the qualification does not list."""
    del digest
    ledger.append_once(standing.SIGNED, "", "earlier", {"model": "x"})


BETTER = Rung(preset="natural", gain=1.0, sequential=False, skip=())
OTHER = "1" * 64
IN = ("predicate", "qualification")
Q = ("predicate",)

WRONG: dict[str, Any] = {
    # another family
    "another model": of_family(model=OTHER),
    "another data version": of_family(data="ffffff.dir"),
    "another architecture": of_family(architecture="damp:vit"),
    "another recipe": of_family(recipe=OTHER),
    "another preprocessing": of_family(preprocessing=OTHER),
    "other code": of_family(code=OTHER),
    "another suite of audits": of_family(suite=OTHER),
    "other rules": of_family(rules=OTHER),
    "a study by another policy": of_family(policy=OTHER),
    "another gain": of_family(ladder=(replace(BETTER, gain=0.5),)),
    "a worse preset under a good one's": Changes(
        event=changed("predicate", "method", "parameters", "preset", to="paper")
    ),
    "another gain than the ladder says": Changes(
        event=changed("predicate", "method", "parameters", "gain", to=0.2)
    ),
    "a family that is another event's": Changes(event=changed(*IN, "family", "model", to=OTHER)),
    # outside what was studied
    "a class that is too separable": Changes(
        facts=ClassFacts(separability=(1.5, 3.5, 60.0), train=90, test=90)
    ),
    "a class with too few rows": Changes(
        facts=ClassFacts(separability=(1.5, 3.5, 6.0), train=90, test=20)
    ),
    "several classes at once": Changes(
        event=changed("predicate", "request", "scope", "indices", to=[3, 8])
    ),
    "more edits than were studied": Changes(edits=1),
    "a model that does not come from it": Changes(edits=None),
    # time
    "expired": Changes(started=datetime(2027, 4, 1, tzinfo=UTC)),
    "before it was signed": Changes(started=datetime(2026, 9, 5, tzinfo=UTC)),
    "suspended before": Changes(before=suspend),
    # the qualification itself
    "forged key": Changes(sign_with="stranger"),
    "an edited outcome": Changes(qualification=changed(*Q, "outcome", "passed", "events", to=4)),
    "a smaller bound": Changes(
        qualification=changed(*Q, "outcome", "falsePass", "atMost", to=0.01)
    ),
    "classes that were picked": Changes(qualification=changed(*Q, "classes", 0, "label", to=99)),
    "classes that suit": Changes(picked=(9, 0, 1, 2, 3)),
    "wider thresholds": Changes(
        qualification=changed(*Q, "outcome", "thresholds", "most", to=0.99)
    ),
    "a later date than was signed": Changes(
        event=changed(*IN, "validUntil", to="2030-01-01T00:00:00Z")
    ),
    "another draw": Changes(qualification=changed(*Q, "head", to=OTHER)),
    "a demo key that hides": Changes(qualification=changed(*Q, "demoKey", to=False)),
    "a study that did not qualify": Changes(
        terms=replace(event.TERMS, classes=5),
        qualification=changed(*Q, "outcome", "reasons", to=["too few"]),
    ),
    "an unknown key in it": Changes(qualification=changed(*Q, "more", to=1)),
    # the figures
    "a share that its rows do not have": Changes(event=changed(*IN, "kept", to=0.61)),
    "an edit that keeps too much": Changes(
        findings={
            "linear_probe__dprime_at_logits": 3.3,
            "linear_probe__dprime_at_penultimate": 5.2,
            "few_shot__1_at_penultimate": 0.92,
            "few_shot__5_at_penultimate": 0.95,
        },
        event=changed("predicate", "verdict", "result", to="PASSED"),
    ),
    "better counts than the study's": Changes(event=changed(*IN, "classes", to=50)),
    "a policy with weaker rules": Changes(
        policy=lambda policy: Policy.model_validate(
            policy.model_dump(mode="json")
            | {"rules": [r.model_dump() for r in policy.rules if "utility" not in r.measurement]}
        )
    ),
    "a policy that names another one": Changes(
        policy=lambda policy: Policy.model_validate(
            policy.model_dump(mode="json") | {"yardstick": {"qualification": OTHER}}
        )
    ),
    "L3 without a retrained model": Changes(
        event=changed("predicate", "verdict", "assurance", to="L3")
    ),
}


def test_the_event_is_accepted_as_it_is(tmp_path: Path) -> None:
    world = build(tmp_path)
    result = world.verify()
    assert result.exit_code == VALID_AND_PASSED, result.problems
    assert any("not compared with retrained models" in note for note in result.notes)
    assert "this class itself was not compared with retrained models" in (
        result.facts.predicate.verdict.claim if result.facts else ""
    )


def test_there_are_thirty_and_more() -> None:
    assert len(WRONG) >= 30


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_use_is_not_accepted(name: str, tmp_path: Path) -> None:
    world = build(tmp_path, WRONG[name])
    result = world.verify()
    assert result.exit_code != VALID_AND_PASSED, name
    assert result.problems, name


def test_without_the_qualification_nothing_is_judged(tmp_path: Path) -> None:
    world = build(tmp_path)
    kept = world.qualification.read_bytes()
    world.qualification.unlink()
    result = world.verify()
    assert result.exit_code == CANNOT_JUDGE
    assert "--qualification" in result.problems[0]
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / f"{world.digest}.dsse.json").write_bytes(kept)
    assert world.verify(qualification=elsewhere).exit_code == VALID_AND_PASSED


def test_another_qualification_beside_it_is_not_taken(tmp_path: Path) -> None:
    world, other = build(tmp_path / "one"), build(tmp_path / "other")
    shutil.copy(other.qualification, world.qualification)
    assert world.verify().exit_code != VALID_AND_PASSED


def test_every_byte_of_it_counts(tmp_path: Path) -> None:
    world = build(tmp_path)
    content = world.qualification.read_bytes()
    text = json.loads(content)
    for place in range(0, len(text["payload"]), len(text["payload"]) // 60):
        letter = "A" if text["payload"][place] != "A" else "B"
        payload = text["payload"][:place] + letter + text["payload"][place + 1 :]
        world.qualification.write_text(json.dumps(text | {"payload": payload}))
        assert world.verify().exit_code != VALID_AND_PASSED, place


def test_a_study_that_hides_an_earlier_try_is_seen_by_the_ledger(tmp_path: Path) -> None:
    """The ledger holds a study of the same model before: the qualification must list it."""
    world = build(tmp_path)
    lines = world.ledger.read_bytes().splitlines()
    assert len(lines) > 5
    from compliance.ledger import Ledger

    folder = tmp_path / "again"
    folder.mkdir()
    ledger = Ledger(folder / "ledger.jsonl")
    ledger.append_once(
        standing.SIGNED, "", "earlier", {"model": event.family().model, "statement": "a" * 64}
    )
    content = world.content
    registered = ledger.append_once(
        standing.REGISTERED, "", content.study, {"familyDigest": content.family.digest()}
    )
    moved = replace(content, sequence=registered.seq, head=registered.hash)
    ledger.append_once(standing.SIGNED, "", content.study, {"statement": "b" * 64})
    problems = list(standing.registered_problems(moved, "b" * 64, ledger.entries()))
    assert any("1 earlier studies of this model" in problem for problem in problems)


def test_an_event_that_did_not_pass_needs_no_cover(tmp_path: Path) -> None:
    """A verdict that claims nothing is valid, whatever the qualification would have borne."""
    world = build(tmp_path, Changes(findings={"head_refit__forget": 3.0}, edits=3))
    assert world.verify().exit_code in (0, 1, 2)
    assert envelope.open_envelope(world.statement.read_bytes()).digest
