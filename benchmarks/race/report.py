"""From what is kept to `race.json`: nothing is measured here, and nothing depends on the clock."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from statistics import fmean
from typing import Any

from benchmarks.race import distance
from benchmarks.race.data import Rows
from benchmarks.race.entrants import ENTRANTS, ORIGINAL, OTHERS, OURS, Entrant
from benchmarks.race.exam import as_findings, asked, facts_of
from benchmarks.race.racing import MOST_LOST, Race, chosen
from benchmarks.race.store import Store
from benchmarks.race.tracks import Track
from benchmarks.race.trainings import reference_seeds
from compliance.documents.policy import load_policy
from compliance.verdict import judge
from damp.catalogue import DEFAULT_PRESET

Json = dict[str, Any]


def track_report(track: Track, rows: Rows, store: Store) -> Json | None:
    """One track; None while no event of it is there."""
    races = [Race(track=track, event=event, rows=rows, store=store) for event in track.events]
    ready = [race for race in races if _controls(race) is not None]
    if not ready:
        return None
    every = [_entrant(entrant, ready) for entrant in ENTRANTS]
    methods = [method for method in every if method]
    _rank(methods)
    return {
        "name": track.name,
        "title": track.title,
        "network": track.net,
        "rows": {
            "train": len(rows.train[1]),
            "choice": len(rows.choice[1]),
            "test": len(rows.test[1]),
            "classes": rows.classes,
        },
        "recipe": track.facts()["recipe"],
        "policy": track.policy,
        "references": len(reference_seeds()),
        "events": [_event(race) for race in ready],
        "retrained_distance": round(fmean(_own_distances(ready)), 4),
        "methods": methods,
        "depths": next((list(m["depth"]) for m in methods if m["events"]), []),
        "not_run": [e.title for e, method in zip(ENTRANTS, every, strict=True) if not method],
        **_answers(methods),
    }


def _controls(race: Race) -> Json | None:
    facts = facts_of(race, asked(race.track.policy), None)
    kept: Json | None = race.store.result("findings", facts)
    return kept


def _findings(race: Race, entrant: Entrant, settings: Json) -> Json | None:
    candidate = {"entrant": entrant.key, "settings": settings}
    facts = facts_of(race, asked(race.track.policy), candidate)
    kept: Json | None = race.store.result("findings", facts)
    return kept


def _event(race: Race) -> Json:
    """Whose classes, and how good original and retrained models are."""
    kept = _controls(race) or {}
    policy = load_policy(race.track.policy)
    figures = {
        figure.name: figure
        for finding in as_findings(kept["findings"]["original"])
        for figure in finding.measurements
    }
    retain, forget = figures["accuracy.retain"], figures["accuracy.forget_before_retiring"]
    honest = [
        judge(
            as_findings(content), _as_controls(kept), policy, impossible=kept["impossible"]
        ).result
        for name, content in kept["findings"].items()
        if name.startswith("reference_")
    ]
    return {
        "forget": list(race.event.forget),
        "original": race.event.seed,
        "retain_original": retain.value,
        "forget_original": forget.value,
        "retain_retrained": round(fmean(retain.null), 6),
        "verdicts_on_retrained": dict(sorted(Counter(honest).items())),
        "impossible_controls": kept["impossible"],
    }


def _as_controls(kept: Json) -> Json:
    return {name: as_findings(content) for name, content in kept["findings"].items()}


def _own_distances(races: Sequence[Race]) -> list[float]:
    """Of every retrained model from the others."""
    policy = load_policy(races[0].track.policy)
    return [
        fmean(distance.by_row(as_findings(content), policy).values())
        for race in races
        for name, content in (_controls(race) or {})["findings"].items()
        if name.startswith("reference_")
    ]


def _entrant(entrant: Entrant, races: Sequence[Race]) -> Json | None:
    """All of an entrant over the events that are there; None while it was not tried."""
    first = races[0]
    notes = first.store.result("tried", {**first.facts, **tried_facts(entrant)})
    if notes is None:
        return None
    place = chosen(notes)
    content: Json = {
        "name": entrant.name,
        "title": entrant.title,
        "kind": entrant.kind,
        "source": entrant.source,
        "reads": entrant.reads,
        "norms": entrant.norms,
        "head_only": entrant.head_only,
        "grid": notes,
        "chosen": None if place is None else notes[place]["settings"],
        "grid_passes": {
            way: round(sum(note["cost"].get(way, 0.0) for note in notes), 4)
            for way in ("forward", "backward", "share")
        },
    }
    if place is None:
        return content | {"problem": notes[0]["problem"], "events": 0}
    measured = [
        (race, result)
        for race in races
        if (result := _findings(race, entrant, notes[place]["settings"])) is not None
    ]
    figures = [
        _figures(race, entrant, notes[place]["settings"], result) for race, result in measured
    ]
    good = [one for one in figures if "distance" in one]
    if not good:
        why = figures[0].get("problem", "") if figures else "not measured yet"
        return content | {"problem": why, "events": 0}
    return content | {"events": len(good), **_means(good), "by_event": figures}


def tried_facts(entrant: Entrant) -> Json:
    """What decides the notes on an entrant's grid, beside the event."""
    return {"entrant": entrant.key, "grid": [dict(settings) for settings in entrant.grid]}


def _figures(race: Race, entrant: Entrant, settings: Json, result: Json) -> Json:
    """One event's."""
    named = {"forget_classes": list(race.event.forget)}
    if "findings" not in result:
        return named | {"problem": result.get("refused") or result.get("problem")}
    kept, policy = _controls(race) or {}, load_policy(race.track.policy)
    findings = as_findings(result["findings"])
    verdict = judge(findings, _as_controls(kept), policy, impossible=kept["impossible"])
    figures = {f.name: f for finding in findings for f in finding.measurements}
    rows = distance.by_row(findings, policy)
    retain = figures["accuracy.retain"]
    # whose forgotten outputs are retired as well: else it can answer the class for others' images
    hidden = as_findings(kept["findings"]["output_retired"])
    (before,) = [f.value for each in hidden for f in each.measurements if f.name == retain.name]
    outside = [row.name for row in verdict.rows if row.required and row.outcome == "outside"]
    return named | {
        "retain": retain.value,
        "lost": round(before - retain.value, 6),
        "forget": figures["accuracy.forget_before_retiring"].value,
        "distance": round(fmean(rows.values()), 4),
        "rows": {name: round(value, 3) for name, value in rows.items()},
        "depth": distance.by_depth(findings),
        "verdict": verdict.result,
        "outside": outside,
        "cost": race.run(entrant, settings).cost,
        "published": result["published"],
    }


def _means(figures: Sequence[Json]) -> Json:
    """Over events."""
    plain = ("retain", "lost", "forget", "distance")
    return {
        **{name: round(fmean(one[name] for one in figures), 6) for name in plain},
        "cost": {
            name: round(fmean(one["cost"][name] for one in figures), 5)
            for name in figures[0]["cost"]
        },
        "rows": {
            name: round(fmean(one["rows"][name] for one in figures if name in one["rows"]), 3)
            for name in figures[0]["rows"]
        },
        "depth": {
            name: _mean([one["depth"].get(name) for one in figures]) for name in figures[0]["depth"]
        },
        "published": {
            name: _mean([one["published"][name] for one in figures])
            for name in figures[0]["published"]
        },
        "verdicts": dict(sorted(Counter(one["verdict"] for one in figures).items())),
    }


def _mean(values: Sequence[float | None]) -> float | None:
    there = [value for value in values if value is not None]
    return round(fmean(there), 6) if there else None


def _rank(methods: list[Json]) -> None:
    """By distance, of ours and others' that keep accuracy within half a point of the original's."""
    racing = [m for m in methods if m["kind"] in (OURS, OTHERS) and m["events"]]
    fair = [m for m in racing if m["lost"] <= MOST_LOST]
    for place, method in enumerate(sorted(fair, key=lambda m: m["distance"]), 1):
        method["rank"] = place


def _answers(methods: Sequence[Json]) -> Json:
    """Where our default stands, and what it costs beside what is as close."""
    named = {m["name"]: m for m in methods if m["events"]}
    own = named.get(DEFAULT_PRESET)
    if own is None:
        return {"default": None}
    as_close = [
        m
        for m in named.values()
        if m["kind"] != ORIGINAL and m["distance"] <= own["distance"] and m["lost"] <= MOST_LOST
    ]
    cheapest = min(as_close, key=lambda m: m["cost"]["share"], default=None)
    passed = [
        m["name"]
        for m in methods
        if m["events"] and m["head_only"] and m["verdicts"].get("PASSED", 0)
    ]
    return {
        "default": {
            "name": own["name"],
            "rank": own.get("rank"),
            "distance": own["distance"],
            "lost": own["lost"],
            "first": next((m["name"] for m in methods if m.get("rank") == 1), None),
            "cheapest_as_close": cheapest and cheapest["name"],
            "cost_over_cheapest_as_close": cheapest
            and round(own["cost"]["share"] / cheapest["cost"]["share"], 3)
            if cheapest and cheapest["cost"]["share"]
            else None,
        },
        "shallow_passed": passed,
    }
