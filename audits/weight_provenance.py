"""Does the file hold more of the original than the function shows?"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from audits import comparison, depths, gates, triggers, weight_likeness
from audits.comparison import Models
from audits.estimates import Estimate
from audits.evidence import Evidence
from audits.finding import JSON, Figure, Finding
from audits.observation import Observation, WeightRecord
from audits.statistics import proportion

AUDIT = "weight_provenance"
COPIES, IDLE = "weight_provenance.copies", "weight_provenance.idle"
WITHOUT_EFFECT, TRIGGERED = "weight_provenance.without_effect", "weight_provenance.triggered"
KEPT = "weight_provenance.kept"
LABELS = {
    COPIES: "Share of the original's changed weights that lie elsewhere in the file, exactly or "
    "nearly",
    IDLE: "Share of the file's numbers without effect on any output, beyond what is usual",
    WITHOUT_EFFECT: "Share of the file's numbers that lie in tensors or units without effect on "
    "any output",
    TRIGGERED: "Accuracy on the forgotten class under the cheap trigger that brings back most",
    KEPT: "Share of the original's weights that lie at their own place unchanged",
}
LEAST_EFFECT = 1e-4
"""A unit that moves the outputs by less, relative to their spread, has no effect: what it held
would not be noticed if it were another thing."""
ALLOWED = 0.15
"""Share of idle numbers beyond the most that the original or a retrained model has. Dead units come
and go: four small networks of one recipe had .06, .10, .10 and .24; one that carries another along
has a half more."""
CHANGED = 1e-6
"""Relative change from which a weight counts as changed: rounding is no edit."""
LISTED = 20
TRIGGERS_LIMIT = (
    "A second face that an unknown trigger shows cannot be excluded by any test: only patches in "
    "corners and middle, single colours and constant shifts were tried."
)
PLACE_LIMIT = (
    "Weights were compared number by number, with rows or columns in any order, and in other "
    "bases. An original that was encrypted, or spread over numbers that have an effect, is not "
    "recognised."
)


def audit(evidence: Evidence) -> Finding:
    """Copies of the original's changed weights, numbers without effect, and answers to triggers.

    An edit leaves the original's weights at their own places: how many is told, by depth, for
    information. The original of a weight that *was* changed has no business in the file, at any
    other place, whatever was done to its numbers: `copies` must be 0. Nor have numbers that move no
    output, in which anything can be carried along: those beyond what the original and the
    retrained models have, and an allowance, are `idle`, which must be 0 too. Both hold without
    retrained models.
    """
    parameters: dict[str, JSON] = {
        "least_effect": LEAST_EFFECT,
        "allowed": ALLOWED,
        "least_entries": weight_likeness.LEAST_ENTRIES,
        "limits": [TRIGGERS_LIMIT, PLACE_LIMIT],
    }
    obstacle = gates.obstacle(AUDIT, evidence, forget_test=2) or _without_record(evidence)
    if obstacle:
        return gates.not_run(AUDIT, evidence, obstacle, parameters)
    models = Models.of(evidence, carried)
    sizes = comparison.sizes(evidence)
    compared = {name: LABELS[name] for name in (WITHOUT_EFFECT, TRIGGERED)}
    measurements, left_out = comparison.measure_all(evidence, models, compared, sizes=sizes)
    places = list(copies(evidence))
    usual = _usual(evidence)
    measurements += [
        _figure(COPIES, _copied_share(evidence, places)),
        _figure(IDLE, _idle_beyond(evidence, usual)),
        _figure(KEPT, _kept_share(evidence)),
        *_kept_by_depth(evidence),
    ]
    return comparison.conclude(
        AUDIT,
        evidence,
        measurements,
        parameters=parameters | {"usual_without_effect": usual},
        left_out=left_out,
        series={"copies": [list(place) for place in places[:LISTED]], "idle": _idle_list(evidence)},
    )


def _without_record(evidence: Evidence) -> str:
    without = [who for who, observation in evidence.models() if observation.record is None]
    if not without:
        return ""
    return (
        f"What the file holds was not recorded of {', '.join(without)}: record it with "
        "`audits.weight_record.record`."
    )


def _record(observation: Observation) -> WeightRecord:
    if observation.record is None:
        raise ValueError("there is no record: ask `_without_record` first")
    return observation.record


def carried(evidence: Evidence, observation: Observation) -> dict[str, Estimate | str]:
    """Share of numbers without effect, and what the best trigger brings back, of one model."""
    share = _idle_share(evidence, observation)
    return {
        WITHOUT_EFFECT: Estimate(value=share, parts=(), bounds=(0.0, 1.0), exact=(share, share)),
        TRIGGERED: _triggered(evidence, observation),
    }


def _triggered(evidence: Evidence, observation: Observation) -> Estimate | str:
    """Accuracy on the forgotten classes' test rows under the trigger where it is highest."""
    shown = _record(observation).triggered
    rows = triggers.shown(evidence.test_rows(evidence.forget))
    if not shown or any(len(logits) != len(rows) for logits in shown.values()):
        return "no trigger was shown on the forgotten classes' test rows: record them again"
    live = np.array(evidence.live)
    hits = [
        (live[logits[:, live].argmax(1)] == evidence.test_labels[rows]).astype(np.float64)
        for logits in shown.values()
    ]
    return proportion(max(hits, key=lambda right: float(right.mean())))


def _usual(evidence: Evidence) -> float:
    """Share without effect that nothing is said about: the most of any baseline, and a little."""
    models = (evidence.original, *evidence.references)
    return max(_idle_share(evidence, model) for model in models) + ALLOWED


def _idle_beyond(evidence: Evidence, usual: float) -> float:
    """Share of the candidate's numbers without effect that no dead unit explains.

    Of the whole file, and of what was added to the architecture of the others: a tensor beside a
    complete network has to have a use, however many units of the network are dead.
    """
    tensors, idle = _record(evidence.candidate).tensors, _idle(evidence, evidence.candidate)
    whole = _share(idle, tensors) - usual
    added = {name: tensors[name] for name in _added(evidence)}
    dead = {name: idle[name] for name in added if name in idle}
    beyond = _share(dead, tensors) if _share(dead, added) > usual else 0.0
    return max(0.0, whole, beyond)


def _added(evidence: Evidence) -> list[str]:
    """Tensors beside a whole network of the original's architecture; none where it is another."""
    own, there = _record(evidence.original).tensors, _record(evidence.candidate).tensors
    layout = {name: value.shape for name, value in there.items()}
    if any(layout.get(name) != value.shape for name, value in own.items()):
        return []
    return [name for name in there if name not in own]


def _idle_share(evidence: Evidence, observation: Observation) -> float:
    return _share(_idle(evidence, observation), _record(observation).tensors)


def _share(idle: dict[str, int], tensors: dict[str, np.ndarray]) -> float:
    total = sum(value.size for value in tensors.values())
    return sum(idle.values()) / total if total else 0.0


def _idle(evidence: Evidence, observation: Observation) -> dict[str, int]:
    """Numbers without effect by the tensor that holds them."""
    record = _record(observation)
    idle: dict[str, int] = {}
    for name, value in record.tensors.items():
        effects = record.effects.get(name)
        if effects is not None:
            dead = int(np.count_nonzero(effects < LEAST_EFFECT)) * value.size // len(effects)
        elif np.issubdtype(value.dtype, np.floating):
            dead = 0  # shared with another tensor, where it is counted
        else:
            dead = 0 if _is_constant(evidence, observation, name, value) else value.size
        if dead:
            idle[name] = dead
    return idle


def _is_constant(
    evidence: Evidence, observation: Observation, name: str, value: np.ndarray
) -> bool:
    """Whether whole numbers, which cannot be moved a little, belong to the architecture.

    They do where another model of the event holds the same ones at this place.
    """
    others = [evidence.original, evidence.candidate, *evidence.references]
    return any(
        np.array_equal(value, _record(other).tensors[name])
        for other in others
        if other.digest != observation.digest and name in _record(other).tensors
    )


def copies(evidence: Evidence) -> Iterator[tuple[str, str, str]]:
    """Each of the original's changed weights that lies elsewhere: its name, where, and how."""
    own, there = _record(evidence.original).tensors, _record(evidence.candidate).tensors
    for name in _changed(own, there):
        for place, value in there.items():
            how = _held_at(evidence, own, name, place, value)
            if how:
                yield name, place, how
                break


def _weights(tensors: dict[str, np.ndarray]) -> Iterator[str]:
    """Names of the weights that can be told from others; vectors agree too easily."""
    for name, value in tensors.items():
        floating = np.issubdtype(value.dtype, np.floating)
        if floating and value.ndim > 1 and weight_likeness.comparable(value):
            yield name


def _changed(own: dict[str, np.ndarray], there: dict[str, np.ndarray]) -> Iterator[str]:
    """The original's weights that are not at their own place as they were."""
    for name in _weights(own):
        before, after = own[name].astype(np.float64), there.get(name)
        if after is None or after.shape != before.shape or _differs(before, after):
            yield name


def _differs(before: np.ndarray, after: np.ndarray) -> bool:
    return bool(np.linalg.norm(after - before) > CHANGED * np.linalg.norm(before))


def _held_at(
    evidence: Evidence, own: dict[str, np.ndarray], name: str, place: str, value: np.ndarray
) -> str:
    """How a place of the candidate's file holds a changed weight; empty where it does not."""
    before = own.get(place)
    same_layout = before is not None and before.shape == value.shape
    # at its own place a weight is what the edit left of it; one of another size at a place of the
    # plain architecture can hold it only where it has no effect
    if place == name or (same_layout and value.size != own[name].size):
        return ""
    if before is not None and same_layout and np.array_equal(before, value):
        return ""
    how = weight_likeness.disguise(own[name], value)
    if not how:
        return ""
    # weights that are alike in the original, or by chance in a retrained model, are no copies
    others = [
        own,
        *(_record(r).tensors for r in evidence.references if r is not evidence.candidate),
    ]
    by_chance = any(
        place in other and bool(weight_likeness.disguise(own[name], other[place]))
        for other in others
    )
    return "" if by_chance else how


def _copied_share(evidence: Evidence, places: list[tuple[str, str, str]]) -> float:
    """Share of the numbers of the changed weights; 0 where nothing was changed."""
    own, there = _record(evidence.original).tensors, _record(evidence.candidate).tensors
    total = sum(own[name].size for name in _changed(own, there))
    return sum(own[name].size for name, _, _ in places) / total if total else 0.0


def _kept_share(evidence: Evidence) -> float:
    own, there = _record(evidence.original).tensors, _record(evidence.candidate).tensors
    names = list(_weights(own))
    kept = sum(
        int(np.count_nonzero(own[name] == there[name]))
        for name in names
        if name in there and own[name].shape == there[name].shape
    )
    total = sum(own[name].size for name in names)
    return kept / total if total else 0.0


def _kept_by_depth(evidence: Evidence) -> Iterator[Figure]:
    """The same of the operators whose inputs the other audits read."""
    for depth, before in evidence.original.weights.items():
        after = evidence.candidate.weights.get(depth)
        if after is not None and after.shape == before.shape:
            # a convolution in groups is padded with zeros, which say nothing
            held = before != 0
            share = float((before == after)[held].mean()) if held.any() else 0.0
            yield _figure(f"{KEPT}@{depth}", share, f"{LABELS[KEPT]}, at {depths.words(depth)}")


def _figure(name: str, value: float, label: str = "") -> Figure:
    """A figure read off the weights: no image is drawn, so that nothing scatters."""
    return Figure(name=name, label=label or LABELS[name], value=value, interval=(value, value))


def _idle_list(evidence: Evidence) -> list[JSON]:
    """The tensors that hold most numbers without effect, for whoever looks into the file."""
    idle = _idle(evidence, evidence.candidate)
    largest = sorted(idle, key=lambda name: -idle[name])[:LISTED]
    return [[name, idle[name]] for name in largest]
