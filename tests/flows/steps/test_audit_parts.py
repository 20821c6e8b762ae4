"""Parts of an event's audits, shown without a trained network: which there are, and why not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from audits import remainder, spiked
from audits.errors import BadControl
from compliance.documents.policy import load_policy
from flows.records import audit_cost, qualifications
from flows.state import files
from flows.state.errors import EventError
from flows.state.facts import NO_SHADOWS, Method, References
from flows.state.files import Artifact
from flows.state.paths import Home
from flows.steps import audit, audit_rows
from flows.steps import references as training

BY_PAPER = Method(preset="paper", gain=1.0, sequential=False, skip=())


def suite(case: Any, references: tuple[Any, ...]) -> audit.Suite:
    """A suite without any model observed: what a part asks of it is given."""
    stand_in = object.__new__(audit.Suite)
    stand_in.case, stand_in.references = case, references
    stand_in.evidence = SimpleNamespace(references=references)  # type: ignore[assignment]
    return stand_in


def case(near_margin: float | None) -> audit.Case:
    references = References(models=(), candidate=None, seeds=(), shadows=NO_SHADOWS, problems={})
    parts: Any = SimpleNamespace()
    return audit.Case(
        data=parts, model=parts, references=references, edit=None, seed=1, near_margin=near_margin
    )


def test_the_control_near_the_margin_is_audited_where_the_policy_asks_for_it() -> None:
    assert case(None).about_candidate == ["candidate", "must_fail"]
    assert case(0.6).about_candidate == ["candidate", "must_fail", "near_margin"]


def test_without_retrained_models_it_cannot_be_made_and_says_so() -> None:
    part = suite(case(0.6), ()).run(audit.NEAR_MARGIN)
    assert part.findings == {}
    assert (
        "of the original and a retrained model, and there is none" in part.impossible["near_margin"]
    )


def test_it_is_the_blend_that_holds_the_policys_share(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[str, Any] = {}

    def blended(evidence: Any, reference: int, **how: Any) -> tuple[str, float]:
        asked.update(how | {"evidence": evidence, "reference": reference})
        return "the blend", 0.61

    monkeypatch.setattr(spiked, "spiked", blended)
    monkeypatch.setattr(audit.Suite, "findings", lambda self, evidence: [{"of": evidence}])
    own = suite(case(0.6), ("a reference",))
    part = own.run(audit.NEAR_MARGIN)
    assert part.findings == {"near_margin": [{"of": "the blend"}]}
    assert (asked["share"], asked["figure"]) == (0.6, "remainder.all")
    assert (asked["evidence"], asked["audit"]) == (own.evidence, remainder.audit)


def test_a_blend_that_cannot_be_made_is_named_with_its_reason(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def none(*_: Any, **__: Any) -> None:
        raise BadControl("No blend holds 0.60 of what the original knows.")

    monkeypatch.setattr(spiked, "spiked", none)
    part = suite(case(0.6), ("one", "another")).run(audit.NEAR_MARGIN)
    assert part.impossible == {
        "near_margin": "Tried with each of 2 retrained models. No blend holds 0.60 of what the "
        "original knows."
    }
    with pytest.raises(EventError, match="asks for no control near the margin"):
        suite(case(None), ("a reference",)).run(audit.NEAR_MARGIN)


def test_a_reference_that_cannot_be_blended_gives_way_to_the_next(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def second_only(evidence: Any, reference: int, **how: Any) -> tuple[str, float]:
        if reference != 1:
            raise BadControl("No blend holds 0.60 of what the original knows.")
        return f"a blend with {reference}", 0.61

    monkeypatch.setattr(spiked, "spiked", second_only)
    monkeypatch.setattr(audit.Suite, "findings", lambda self, evidence: [{"of": evidence}])
    part = suite(case(0.6), ("one", "two", "three")).run(audit.NEAR_MARGIN)
    assert part.findings == {"near_margin": [{"of": "a blend with 1"}]}
    assert part.impossible == {}


# Findings that no candidate has a part in


def observed(digest: str, retired: tuple[int, ...] = ()) -> Any:
    return SimpleNamespace(digest=digest, retired=retired)


def a_suite(home: Home, **other: Any) -> tuple[audit.Suite, list[Any]]:
    """A suite whose findings are counted, not made; by `other`, what differs from the plain one."""
    how: dict[str, Any] = {
        "key": "rows", "seed": 1, "forget": (3,), "classes": 10, "architecture": "damp:cnn",
        "audited": observed("one"), "original": observed("original"), "shadows": NO_SHADOWS,
        "references": (observed("two"), observed("three")), "trained_here": True, "alone": False,
    } | other  # fmt: skip
    asked: list[Any] = []

    class Counted(audit.Suite):
        def findings(self, evidence: Any) -> list[Any]:
            asked.append(evidence)
            return [{"of": evidence.candidate.digest, "number": len(asked)}]

    suite = object.__new__(Counted)
    suite.case = SimpleNamespace(  # type: ignore[assignment]
        data=SimpleNamespace(forget=how["forget"], classes=how["classes"]),
        model=SimpleNamespace(architecture=how["architecture"]),
        references=SimpleNamespace(shadows=how["shadows"]),
        seed=how["seed"],
    )
    suite.observe = SimpleNamespace(home=home, rows=SimpleNamespace(key=how["key"]))  # type: ignore[assignment]
    own = SimpleNamespace(
        original=how["original"], references=how["references"], candidate=how["audited"],
        trained_here=how["trained_here"], alone=how["alone"],
    )  # fmt: skip
    own.with_candidate = lambda candidate, **_: SimpleNamespace(
        **vars(own) | {"candidate": candidate}
    )
    suite.evidence, suite.references = own, how["references"]  # type: ignore[assignment]
    return suite, asked


def test_findings_on_the_original_and_on_references_serve_every_claim(home: Home) -> None:
    first, asked = a_suite(home)
    parts = ("original", "reference_0", "reference_1")
    before = [first.run(part).findings for part in parts]
    assert len(asked) == 3
    assert before[1] == {"reference_0": [{"of": "two", "number": 2}]}
    again, asked_again = a_suite(home)
    assert [again.run(part).findings for part in parts] == before
    assert asked_again == []


@pytest.mark.parametrize(
    "other",
    [
        {"key": "other rows"},
        {"seed": 2},
        {"forget": (4,)},
        {"classes": 11},
        {"architecture": "damp:vit"},
        {"audited": observed("another")},
        {"audited": observed("one", retired=(3,))},
        {"original": observed("another")},
        {"original": observed("original", retired=(1,))},
        {"references": (observed("two"),)},
        {"references": (observed("three"), observed("two"))},
        {"shadows": replace(NO_SHADOWS, seeds=(1,))},
        {"shadows": replace(NO_SHADOWS, models=(Artifact(path="models/9", sha256="9" * 64),))},
        {"shadows": replace(NO_SHADOWS, edited=BY_PAPER)},
        {"trained_here": False},
        {"alone": True},
    ],
    ids=str,
)
def test_they_are_made_anew_where_anything_that_they_follow_from_differs(
    home: Home, other: dict[str, Any]
) -> None:
    plain, _ = a_suite(home)
    plain._shared(plain.evidence)
    suite, asked = a_suite(home, **other)
    suite._shared(suite.evidence)
    assert len(asked) == 1


@pytest.mark.parametrize("source", ["suite", "code"])
def test_they_are_made_anew_by_other_source(
    home: Home, monkeypatch: pytest.MonkeyPatch, source: str
) -> None:
    plain, _ = a_suite(home)
    plain.run("original")
    monkeypatch.setattr(qualifications, source, lambda: "of other source")
    again, asked = a_suite(home)
    again.run("original")
    assert len(asked) == 1


def test_a_candidate_is_audited_each_time_whatever_its_file(home: Home) -> None:
    """One that is a reference's copy too, or the original itself."""
    for number in (1, 2):
        suite, asked = a_suite(home, audited=observed("original"))
        suite.meter = audit_cost.Meter()
        suite.evidence.candidate.passes = {}  # type: ignore[misc]
        suite.run("original")
        suite.run("candidate")
        assert [each.candidate.digest for each in asked] == ["original"] * (3 - number)


def test_they_lie_under_the_model_that_they_are_about(home: Home) -> None:
    """So that whoever purges that model purges them."""
    suite, _ = a_suite(home)
    suite.run("original")
    (file,) = home.observations.iterdir()
    assert files.load_metadata(file)["digest"] == "original"


def test_unseen_classes_are_drawn_after_hand_in_and_differ_by_seed() -> None:
    given = list(range(40, 80))
    draws = {tuple(audit_rows.drawn(given, seed)) for seed in range(20)}
    assert len(draws) == 20
    assert all(len(set(draw)) == 20 and set(draw) <= set(given) for draw in draws)
    assert audit_rows.drawn(given, 7) == audit_rows.drawn(given, 7)
    assert audit_rows.drawn(given[:8], 7) == given[:8]


@pytest.mark.parametrize(
    ("cost", "references", "shadows"),
    [(None, 5, 16), (1.0, 5, 0), (1.0, 10, 8), (4.0, 5, 16)],
)
def test_shadows_are_trained_as_far_as_they_cost_no_more_than_the_policy_says(
    tmp_path: Path, cost: float | None, references: int, shadows: int
) -> None:
    """Digits: 900 rows a shadow, some 810 a reference: five pay for four shadows, ten for eight."""
    from flows.data.dataset import DataSpec

    policy = load_policy("default-v2").model_copy(
        update={"shadows": 16, "shadows_cost": cost, "references": references}
    )
    made_of = training.Training(
        spec=DataSpec(name="digits"),
        data_version="v",
        classes=10,
        architecture="damp:cnn",
        recipe="digits",
        forget=(3,),
        retired=(),
    )
    assert training.shadow_count(policy, made_of) == shadows
