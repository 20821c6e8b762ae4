"""What to do after a verdict, computed from the statement and from where its event stands. Pure.

No verdict is a dead end: which rows decided, how many more images or retrained models would decide
those that did not, whether another cut could differ, which method is worth another attempt, and
what training anew would take. Which method is next follows from what methods do, from what the
policy declares, and from training images, never from the rows that were held out: choosing by these
would be another look at them.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from compliance.documents.methods import RETRAIN, SUMMARIES
from compliance.presentation import numbers
from compliance.signing.facts import AuditRow, ExpectedRow, Goal, Method, Operator, Predicate
from damp.catalogue import PRESETS

Verdicts = Literal["decided", "samples", "predicted", "attempt", "retrain", "sign", "use", "purge"]
Kind = Verdicts | Literal["ask", "close", "run", "resume", "identity", "look"]
SHOWN = 3
"""Rows that are named one by one; the others are counted."""
LITTLE = 0.02
"""Difference of a strength that is not worth another attempt."""
BY_SHRINKAGE = ("mixture", "mended")
"""Presets whose strength is g s^2 / (1 + g s^2), so that another gain can be predicted."""
MOST = 64
"""Times as many images and models as there are, beyond which nobody is asked to bring them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NextStep:
    """One thing to know or to do.

    Attributes:
        kind: What it is about, for machines.
        text: A sentence for people.
        command: What to type; empty where there is nothing to type.
    """

    kind: Kind
    text: str
    command: str = ""

    def to_json(self) -> dict[str, str]:
        """The entry of `next` in `--json`."""
        return {"kind": self.kind, "text": self.text, "command": self.command}


@dataclass(frozen=True, slots=True, kw_only=True)
class Situation:
    """Where the event of a statement stands.

    Attributes:
        event: Its id.
        claim: Whether it audits what somebody else has made.
        ended: Whether nothing more can happen to it.
        deployed: Whether the model after is in use.
        purged: Whether what holds the class here was deleted.
        awaited: Roles whose signatures are missing.
        due: The method of the attempt that is due by itself; "" where none is.
        left: Methods by which another attempt may be opened, the next one first.
        retrain_seconds: What one full training took here; None where none was measured.
        hopeless: Whether no attempt that is left can be expected to pass, each at its own level.
    """

    event: str
    claim: bool = False
    ended: bool = False
    deployed: bool = False
    purged: bool = False
    awaited: tuple[str, ...] = ()
    due: str = ""
    left: tuple[str, ...] = ()
    retrain_seconds: float | None = None
    hopeless: bool = False


def next_steps(statement: Predicate, where: Situation) -> tuple[NextStep, ...]:
    """What to do next; never empty before the event's model is in use and its copies are gone.

    Args:
        statement: Of the last attempt.
        where: How the event stands now.
    """
    if statement.verdict.result == "PASSED":
        return tuple(_after_a_pass(statement, where))
    return tuple(_after_anything_else(statement, where))


def _after_a_pass(statement: Predicate, where: Situation) -> Iterator[NextStep]:
    for role in where.awaited[:1]:
        yield NextStep(
            kind="sign",
            text=f"The policy wants the signature of {' and '.join(where.awaited)} before the "
            "model may be used.",
            command=f"damp approve {where.event} --role {role}",
        )
    if where.claim:
        yield NextStep(
            kind="ask",
            text="Nothing is promoted of a claim: answer whoever made it with the report.",
            command=_closing(where),
        )
        return
    if not where.deployed and not where.awaited:
        name = statement.registration.name if statement.registration else "NAME"
        yield NextStep(
            kind="use",
            text=f"Let {name}@champion point to the new version, past the gate.",
            command=f"damp promote {name}/VERSION",
        )
    if where.deployed and not where.purged:
        yield NextStep(
            kind="purge",
            text="Delete what still holds the class here: the old weights, its rows and caches.",
            command=f"damp purge --event {where.event} --dry-run",
        )


def _after_anything_else(statement: Predicate, where: Situation) -> Iterator[NextStep]:
    yield _decided(statement)
    yield from _samples(statement)
    if where.claim:
        yield NextStep(
            kind="ask",
            text="Send the report to whoever made the claim: another edit, or more held-out images "
            "and retrained models, is a new claim.",
            command=_closing(where),
        )
        return
    if where.ended:
        return
    yield from _predicted(statement.method)
    if where.due:
        yield NextStep(
            kind="retrain" if where.due == RETRAIN else "attempt",
            text=f"The policy goes on by itself: the next attempt is by {_method(where.due)}."
            + _cost(where.due, where),
            command=f"damp run --event {where.event}",
        )
        return
    yield from _further(statement, where)


def _closing(where: Situation) -> str:
    """What ends the event; nothing to type where it has ended."""
    return "" if where.ended else f"damp close {where.event} --reason ..."


def _decided(statement: Predicate) -> NextStep:
    """The rows, or the controls, that the verdict rests on."""
    wrong = [control.name for control in statement.controls if not control.as_expected]
    rows = deciding(statement)
    if statement.verdict.result != "FAILED" and wrong:
        text = f"Decided by {_counted(wrong, 'control')} that came out wrong: {_listed(wrong)}."
    elif rows:
        names = [row.label or row.title for row in rows]
        text = f"Decided by {_counted(names, 'row')}: {_listed(names)}."
    else:
        text = "No single row decided: the reasons above name what is missing."
    return NextStep(kind="decided", text=text)


def deciding(statement: Predicate) -> tuple[AuditRow, ...]:
    """Required rows that keep the verdict from PASSED, the gravest first."""
    order = {"outside": 0, "not_run": 1, "undecided": 2}
    if statement.verdict.result == "FAILED":
        order = {"outside": 0}
    rows = [row for row in statement.required if row.outcome in order]
    return tuple(sorted(rows, key=lambda row: order[str(row.outcome)]))


def _samples(statement: Predicate) -> Iterator[NextStep]:
    """How many more images or models would decide the rows that did not."""
    power = statement.audit_plan.expected_power
    if power is not None and not power.can_reach:
        yield NextStep(
            kind="samples",
            text="By the plan no method can be expected to pass here, retraining included. "
            f"{power.told}",
        )
    expected = {row.measurement: row for row in power.rows} if power else {}
    undecided = [row for row in deciding(statement) if row.outcome == "undecided"]
    for row in undecided[:SHOWN]:
        yield NextStep(kind="samples", text=_needed(row, expected.get(row.title)))
    if len(undecided) > SHOWN:
        rest = [row.label or row.title for row in undecided[SHOWN:]]
        yield NextStep(kind="samples", text=f"The same holds for {', '.join(rest)}.")


def _needed(row: AuditRow, expected: ExpectedRow | None) -> str:
    """What would decide an undecided row."""
    name = row.label or row.title
    needed = expected.needed if expected else None
    ways = []
    if needed and needed.references:
        ways.append(f"{needed.references} retrained models")
    if needed and needed.images:
        ways.append(f"{needed.images} held-out images of the class")
    if ways:
        return (
            f"{name}: with {' or '.join(ways)} an honest model would be decided in 8 cases of 10 "
            "(the plan's forecast)."
        )
    factor = times_as_many(row)
    if factor is None:
        return (
            f"{name}: the figure itself lies at or beyond the edge, so that more samples would "
            "rather fail it than pass it."
        )
    if factor > MOST:
        return (
            f"{name}: the figure lies so near the edge that no number of samples that anybody has "
            "would decide it."
        )
    return f"{name}: would be decided by about {factor} times as many samples{_sizes(row, factor)}."


def times_as_many(row: AuditRow) -> int | None:
    """How many times as many samples, of each kind, put the whole interval on the figure's side.

    The error of a mean falls with the square root of the samples: where images and retrained models
    are multiplied by k, the interval's half width h becomes h / sqrt(k), which fits between figure
    and edge, d away, from k = (h / d)^2 on. None where the figure lies on the edge or beyond it.
    """
    limit = row.limits.at_most
    if limit is not None:
        if row.value is None or row.interval is None or row.value >= limit:
            return None
        return _whole((row.interval[1] - row.value) / (limit - row.value))
    if row.difference is None or row.difference_interval is None:
        return None
    low, high = row.difference_interval
    below, above = row.limits.below, row.limits.above
    away = [row.difference + below] if below is not None else []
    away += [above - row.difference] if above is not None else []
    if not away or min(away) <= 0:
        return None
    return _whole((high - low) / 2 / min(away))


def _whole(ratio: float) -> int:
    return max(2, math.ceil(ratio**2))


def _sizes(row: AuditRow, factor: int) -> str:
    """The numbers that these are."""
    sizes = row.sizes or {}
    images = next((sizes[k] for k in ("forget_test", "forget_perturbed") if k in sizes), None)
    parts = [f"{images * factor} held-out images of the class"] if images else []
    if row.limits.at_most is None and sizes.get("references"):
        parts.append(f"{sizes['references'] * factor} retrained models")
    return f" ({' and '.join(parts)})" if parts else ""


def _predicted(method: Method) -> Iterator[NextStep]:
    """Whether another cut could differ, by what training images say of this one."""
    if method.goals:
        yield NextStep(kind="predicted", text=_by_goals(method.goals))
    elif method.parameters.get("preset") in BY_SHRINKAGE and method.operators:
        text = _by_gain(method.operators, float(method.parameters.get("gain", 1)))
        yield NextStep(kind="predicted", text=text)


def _by_goals(goals: Sequence[Goal]) -> str:
    """Each class at each depth against what a network without it would show, by estimate."""
    above, below = [], []
    for depth in goals:
        noises = depth.noise or (0.0,) * len(depth.goal)
        for goal, after, noise in zip(depth.goal, depth.after, noises, strict=True):
            words = (
                f"{', '.join(depth.layers)}: {numbers.figure(after)}, {numbers.figure(goal)} would "
                f"be natural, give or take {numbers.figure(noise)}"
            )
            if after > goal + noise:
                above.append(words)
            elif after < goal - noise:
                below.append(words)
    if above:
        return (
            "By the training images the class is more separable than it naturally would be "
            f"({_listed(above)}): a deeper attempt is worth making."
        )
    if below:
        return (
            "By the training images the class is less separable than it naturally would be "
            f"({_listed(below)}): a deeper cut leads further away; training anew does not."
        )
    return (
        "By the training images the class is as separable as it naturally would be: another cut "
        "can hardly be told from this one. More samples decide, or training anew."
    )


def _by_gain(operators: Sequence[Operator], gain: float) -> str:
    """What twice the gain would take, of the layer whose class the cut took least of."""
    weakest = min(operators, key=lambda each: max(each.strength, default=0.0))
    now = max(weakest.strength, default=0.0)
    scaled = 2 * gain * max(weakest.separability, default=0.0)
    twice = scaled / (1 + scaled)
    if twice - now < LITTLE:
        return (
            f"By the training images the cut took {now:.0%} of the class's direction or more in "
            f"each layer, and twice the gain would take {twice:.0%}: another gain is not worth an "
            "attempt."
        )
    return (
        f"By the training images the cut took {now:.0%} of the class's direction at "
        f"{weakest.name}, the least of {len(operators)} layers; twice the gain "
        f"(`method.gain: {2 * gain:g}` in a new request) would take {twice:.0%}."
    )


def _further(statement: Predicate, where: Situation) -> Iterator[NextStep]:
    """Attempts that may be opened, then what remains when there are none."""
    power = statement.audit_plan.expected_power
    reach = power is None or power.can_reach
    if where.left and (where.hopeless or not reach):
        level = (
            "At the level of the attempts that are left no model can be expected to pass, one "
            "trained anew included. "
        )
        yield NextStep(
            kind="close",
            text=f"{level if reach else ''}File a new request with more held-out images or "
            f"references. Another attempt ({', '.join(where.left)}) may be opened all the same by "
            "`damp retry`, and is not expected to pass.",
            command=f"damp close {where.event} --reason ...",
        )
        return
    edits = [method for method in where.left if method != RETRAIN]
    for method in edits[:1]:
        yield NextStep(
            kind="attempt",
            text=f"Open another attempt by {_method(method)}.{_cost(method, where)} It is next by "
            "what it does and by what the policy allows, not by the rows that were held out.",
            command=f"damp retry {where.event} --preset {method}",
        )
    if RETRAIN in where.left:
        yield NextStep(
            kind="retrain",
            text=f"Or train anew without the class.{_cost(RETRAIN, where)} The result is audited "
            "by the same rules.",
            command=f"damp retry {where.event} --preset {RETRAIN}",
        )
    if not where.left:
        preset = statement.method.parameters.get("preset")
        after = " after training anew" if preset == RETRAIN else ""
        yield NextStep(
            kind="close",
            text=f"The policy allows no further attempt{after}. Bring more held-out images, "
            "references or another policy in a new request, or take the model out of use and "
            "delete it; then close this event.",
            command=f"damp close {where.event} --reason ...",
        )


def _method(name: str) -> str:
    summary = PRESETS[name].summary if name in PRESETS else SUMMARIES.get(name, "")
    return f"{name} ({summary})" if summary else name


def _cost(method: str, where: Situation) -> str:
    """What it takes, as far as that is known."""
    if method in PRESETS:
        return f" It takes {PRESETS[method].passes} passes over the data at most."
    if where.retrain_seconds is None:
        return ""
    most = "" if method == RETRAIN else "less than "
    return f" It takes {most}about {numbers.duration(where.retrain_seconds)} here, as measured."


def _counted(names: Sequence[str], what: str) -> str:
    return f"one {what}" if len(names) == 1 else f"{len(names)} {what}s"


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return f"{'; '.join(names[:SHOWN])}{more}"
