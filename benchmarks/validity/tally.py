"""Counting verdicts: of whom, by kind, by preset, by data, and with which intervals."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from benchmarks.validity import nets
from benchmarks.validity.bench import RENEWED
from benchmarks.validity.cheats import CHEATS
from benchmarks.validity.intervals import Cluster, Share, by_event, clustered
from benchmarks.validity.judging import BEFORE, CHEAT, EDIT, HONEST, Judged
from compliance.verdict import FAILED, INCONCLUSIVE, PASSED
from damp.catalogue import DEFAULT_PRESET

Facts = dict[str, Any]
POWER = 0.8
MANY = 300
"""Held-out images of a class from which a share of honest models is asked for."""
ELSEWHERE = "retrained_elsewhere"
SAME_RECIPE = frozenset(f"retrained_{seed}" for seed in nets.HONEST)
"""Honest models of the event's own recipe; others were trained longer, or are another network."""


def of_kind(verdicts: Iterable[Judged], kind: str) -> list[Judged]:
    return [one for one in verdicts if one.case.kind == kind]


def count(verdicts: Iterable[Judged], result: str) -> int:
    return sum(one.result == result for one in verdicts)


def counts(verdicts: Iterable[Judged]) -> list[int]:
    """[PASSED, INCONCLUSIVE, FAILED]."""
    judged = list(verdicts)
    return [count(judged, result) for result in (PASSED, INCONCLUSIVE, FAILED)]


def clusters(verdicts: Iterable[Judged], hit: Callable[[Judged], bool]) -> list[Cluster]:
    """One for each event, in the order of their names.

    Raises:
        ValueError: a candidate of an event is there twice.
    """
    hits_by_event: dict[str, dict[str, bool]] = defaultdict(dict)
    for one in verdicts:
        own = hits_by_event[one.case.event]
        if one.case.candidate in own:
            raise ValueError(f"{one.case.candidate} of {one.case.event} would be counted twice.")
        own[one.case.candidate] = hit(one)
    return [
        Cluster(hits=sum(own.values()), of=len(own)) for _, own in sorted(hits_by_event.items())
    ]


LEAST_OTHERS = 2
"""Other events in which a kind must have been measured, before they say how much it holds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """How much of what the original knows a cheat holds, and who says so.

    Attributes:
        share: 0 is the retrained mean, 1 the original; None where nothing says.
        by: "construction", "other events" or "nothing".
    """

    share: float | None
    by: str

    def within(self, stated: float | None) -> bool:
        """Whether a policy that lets `stated` remain allows it; where nothing says, it does not."""
        return stated is not None and self.share is not None and self.share < stated


def held(cheats: Sequence[Judged]) -> dict[tuple[str, str], Held]:
    """What each cheat holds, by event and name; its own event's audit has no say in it.

    By the way it is made where that says it. Else by what probes, readers of a few labels and those
    of the earlier depth show of the same kind in the other events, the largest of their means: an
    oracle of other originals, more retrained models and more rows than the event's audit has.
    """
    measured: dict[str, dict[str, Mapping[str, float]]] = defaultdict(dict)
    for one in cheats:
        if one.shares:
            measured[one.case.candidate][one.case.event] = one.shares
    return {
        (one.case.event, one.case.candidate): _held(
            one.case.candidate, one.case.event, measured[one.case.candidate]
        )
        for one in cheats
    }


def _held(name: str, event: str, measured: Mapping[str, Mapping[str, float]]) -> Held:
    by_construction = CHEATS[name].holds if name in CHEATS else None
    if by_construction is not None:
        return Held(share=by_construction, by="construction")
    others = [shares for other, shares in measured.items() if other != event]
    readers = {reader for shares in others for reader in shares}
    shown = [[shares[reader] for shares in others if reader in shares] for reader in readers]
    enough = [fmean(shares) for shares in shown if len(shares) >= LEAST_OTHERS]
    if not enough:
        return Held(share=None, by="nothing")
    return Held(share=max(enough), by="other events")


def by_share(cheats: Sequence[Judged]) -> tuple[list[Judged], list[Judged]]:
    """Cheats that hold more than the policy's stated share, and those within what it states."""
    holds = held(cheats)
    beyond, within = [], []
    for one in cheats:
        allowed = holds[one.case.event, one.case.candidate].within(one.stated)
        (within if allowed else beyond).append(one)
    return beyond, within


def held_by_kind(cheats: Sequence[Judged]) -> Facts:
    """Of each kind the share by which it is counted, and who says so, over its events."""
    holds_by_kind: dict[str, list[Held]] = defaultdict(list)
    for (_, name), own in held(cheats).items():
        holds_by_kind[name].append(own)
    every = {}
    for name, own in holds_by_kind.items():
        shares = [each.share for each in own if each.share is not None]
        every[name] = {
            "share": round(fmean(shares), 3) if shares else None,
            "by": sorted({each.by for each in own}),
        }
    return every


def rates(verdicts: Sequence[Judged]) -> Facts:
    """What went wrong, counted, and with intervals by event."""
    cheats, honest = of_kind(verdicts, CHEAT), of_kind(verdicts, HONEST)
    able = [one for one in honest if (one.power or 0.0) >= POWER]
    many = [one for one in honest if one.case.images >= MANY]
    wrong = [one for one in cheats if one.result == PASSED]
    elsewhere = [one for one in honest if one.case.candidate == ELSEWHERE]
    same = [one for one in many if one.case.candidate in SAME_RECIPE]
    beyond, allowed = by_share(cheats)
    structural, graded = (
        [one for one in cheats if one.case.grade == grade] for grade in ("structural", "graded")
    )

    return {
        "events": len({one.case.event for one in verdicts}),
        "cheats": len(cheats),
        "kinds_of_cheats": len({one.case.candidate for one in cheats}),
        "false_pass": len(wrong),
        "false_pass_named": _named(wrong),
        "beyond_share": len(beyond),
        "beyond_share_passed": count(beyond, PASSED),
        "beyond_share_passed_named": _named(beyond),
        "within_share": len(allowed),
        "within_share_passed": count(allowed, PASSED),
        "within_share_passed_named": _named(allowed),
        "stated_shares": sorted({one.stated for one in cheats if one.stated is not None}),
        "granted": sum(one.granted == PASSED for one in cheats),
        "structural_refusals": sum(bool(one.case.impossible) for one in cheats),
        "honest": len(honest),
        "honest_passed": count(honest, PASSED),
        "false_fail": count(honest, FAILED),
        "inconclusive": count(honest, INCONCLUSIVE),
        "honest_with_power": len(able),
        "false_fail_with_power": count(able, FAILED),
        "inconclusive_with_power": count(able, INCONCLUSIVE),
        "intervals": {
            "events_with_a_cheat_passed": _share_of(by_event, cheats, _passed),
            "deciding_events_with_a_cheat_passed": _share_of(
                by_event, _deciding(cheats, honest), _passed
            ),
            "cheats_passed": _share_of(clustered, cheats, _passed),
            "events_with_a_cheat_beyond_passed": _share_of(by_event, beyond, _passed),
            "cheats_beyond_passed": _share_of(clustered, beyond, _passed),
            "cheats_within_passed": _share_of(clustered, allowed, _passed),
            "structural_passed": _share_of(clustered, structural, _passed),
            "graded_passed": _share_of(clustered, graded, _passed),
            "cheats_granted": _share_of(clustered, cheats, lambda one: one.granted == PASSED),
            "honest_passed": _share_of(clustered, many, _passed),
            "honest_same_recipe_passed": _share_of(clustered, same, _passed),
            "honest_failed": _share_of(clustered, honest, _failed),
            "elsewhere_failed": _share_of(clustered, elsewhere, _failed),
        },
    }


def _named(verdicts: Iterable[Judged]) -> list[str]:
    """Those that PASSED, with their event."""
    return sorted(
        f"{one.case.candidate} in {one.case.event}" for one in verdicts if one.result == PASSED
    )


def _deciding(cheats: Iterable[Judged], honest: Iterable[Judged]) -> list[Judged]:
    """Cheats of the events that passed an honest model: where none can pass, no cheat is caught."""
    able = {one.case.event for one in honest if one.result == PASSED}
    return [one for one in cheats if one.case.event in able]


def _passed(one: Judged) -> bool:
    return one.result == PASSED


def _failed(one: Judged) -> bool:
    return one.result == FAILED


def _share_of(
    interval: Callable[[list[Cluster]], Share],
    verdicts: Sequence[Judged],
    hit: Callable[[Judged], bool],
) -> Facts | None:
    """The share as JSON; None where there is nothing to count, which is no share of zero."""
    return dict(interval(clusters(verdicts, hit)).to_json()) if verdicts else None


def tables(verdicts: Sequence[Judged]) -> Facts:
    """Verdicts by kind of cheat and by preset, honest shares, each also by data set."""
    cheats, honest = of_kind(verdicts, CHEAT), of_kind(verdicts, HONEST)
    edits = of_kind(verdicts, EDIT)
    many = [one for one in honest if one.case.images >= MANY]
    share = _share_of(clustered, many, _passed)
    return {
        "kinds": _by_name(cheats),
        "kinds_by_data": {data: _by_name(own) for data, own in _by_data(cheats)},
        "held": held_by_kind(cheats),
        "grades": {one.case.candidate: one.case.grade for one in cheats},
        "refused": _refused(cheats),
        "granted_by_kind": _by_name(cheats, lambda one: one.granted),
        "honest_passed_share": share["share"] if share else None,
        "honest_passed_share_by_data": {
            data: _share_of(clustered, own, _passed) for data, own in _by_data(many)
        },
        "by_preset": _by_name(edits) | _ladder(edits),
        "by_preset_by_data": {data: _by_name(own) | _ladder(own) for data, own in _by_data(edits)},
        "by_preset_by_network": {
            network: _by_name(own) | _ladder(own) for network, own in _by_network(edits)
        },
    }


def _by_name(
    verdicts: Iterable[Judged], result: Callable[[Judged], str] = lambda one: one.result
) -> dict[str, list[int]]:
    """[PASSED, INCONCLUSIVE, FAILED] of each candidate, over the events."""
    results_by_name: dict[str, list[str]] = defaultdict(list)
    for one in verdicts:
        results_by_name[one.case.candidate].append(result(one))
    return {
        name: [results.count(each) for each in (PASSED, INCONCLUSIVE, FAILED)]
        for name, results in results_by_name.items()
    }


LADDER = "ladder"
RUNGS = (DEFAULT_PRESET, RENEWED)
"""Edits of ours that stand before a full retraining; a policy may declare the second alone."""


def _ladder(edits: Iterable[Judged]) -> dict[str, list[int]]:
    """What came of the declared attempts before a full retraining, each at its own level.

    PASSED where one of them is, else the verdict on the last of them; an event that lacks the last
    one was cut short and is not counted. One with an edit by the code of before is counted apart.
    """
    attempts_by_audit: dict[tuple[str, int], dict[str, str]] = defaultdict(dict)
    for one in edits:
        if one.attempt is not None:
            attempts_by_audit[one.case.event, one.case.seed][one.case.candidate] = one.attempt
    ends: dict[str, list[str]] = defaultdict(list)
    for own in attempts_by_audit.values():
        last = own.get(RUNGS[-1], own.get(RUNGS[-1] + BEFORE))
        if last is not None:
            before = any(name.endswith(BEFORE) for name in own)
            end = PASSED if PASSED in own.values() else last
            ends[LADDER + BEFORE if before else LADDER].append(end)
    return {
        name: [own.count(each) for each in (PASSED, INCONCLUSIVE, FAILED)]
        for name, own in ends.items()
    }


def _refused(cheats: Iterable[Judged]) -> dict[str, int]:
    """How often a kind was refused because a control could not be made of it."""
    refusals: dict[str, int] = defaultdict(int)
    for one in cheats:
        refusals[one.case.candidate] += bool(one.case.impossible)
    return {name: times for name, times in refusals.items() if times}


def _by_network(verdicts: Iterable[Judged]) -> list[tuple[str, list[Judged]]]:
    architectures = {setting.name: setting.architecture for setting in nets.SETTINGS}
    verdicts_by_network: dict[str, list[Judged]] = defaultdict(list)
    for one in verdicts:
        network = architectures.get(one.case.setting, one.case.setting)
        verdicts_by_network[network.rpartition(":")[2]].append(one)
    return sorted(verdicts_by_network.items())


def _by_data(verdicts: Iterable[Judged]) -> list[tuple[str, list[Judged]]]:
    verdicts_by_data: dict[str, list[Judged]] = defaultdict(list)
    for one in verdicts:
        verdicts_by_data[one.case.data].append(one)
    return sorted(verdicts_by_data.items())
