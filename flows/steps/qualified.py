"""What an event under a qualification needs: its family, its class, its standing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from compliance.documents.policy import Policy
from compliance.formats import files, strict_json
from compliance.formats.timestamps import parse_utc
from compliance.ledger import Ledger
from compliance.presentation import numbers
from compliance.qualification import family as families
from compliance.qualification import kept, qualification, standing
from compliance.qualification.family import Family, Rung
from compliance.qualification.judging import Standing
from compliance.qualification.qualification import FILE
from compliance.qualification.study import ClassFacts
from compliance.signing import envelope
from flows.records import qualifications
from flows.state.errors import EventError
from flows.state.facts import AcceptedRequest, Data, Json, Method, Model
from flows.state.files import canonical, digest_bytes, write_atomically
from flows.state.paths import Attempt, Home

if TYPE_CHECKING:
    from compliance.verdict import Verdict
    from flows.data.dataset import Dataset
    from flows.steps.plan import RegisteredPlan

RANGE = "mixture"
"""The preset by whose separability classes are compared: squared distances, whatever cuts later."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What of an attempt a qualification is about.

    Attributes:
        forget: Classes.
        recipe: A recipe's name, or its file.
        policy: With its yardstick.
        ladder: The declared attempts with the request's settings.
    """

    forget: tuple[int, ...]
    recipe: str
    policy: Policy
    ladder: tuple[Rung, ...]

    @classmethod
    def of(cls, attempt: AcceptedRequest | RegisteredPlan) -> Asked:
        """Of an attempt that is carried out, or by its plan."""
        rung = attempt.rung if isinstance(attempt, AcceptedRequest) else attempt.attempts
        method = attempt.method
        if method is None:
            raise EventError("How a claimed model was made is not known: nothing qualifies it.")
        declared = rung.declared if rung else (method.preset,)
        return cls(
            forget=attempt.forget,
            recipe=attempt.recipe,
            policy=attempt.policy,
            ladder=tuple(replace(rung_of(method), preset=preset) for preset in declared),
        )


def class_facts(
    home: Home, dataset: Dataset, data: Data, model: Model, labels: Sequence[int]
) -> dict[int, ClassFacts]:
    """What the statistics of a model and its data say of some classes.

    Args:
        dataset: Without the classes that the model has retired.
    """
    import damp
    from flows.models import statistics_cache, weights

    network, _ = weights.load_weights(
        home.root / model.file.path,
        architecture=model.architecture,
        classes=data.classes,
        input_shape=dataset.input_shape,
    )
    statistics = statistics_cache.measured(
        home,
        network,
        dataset,
        weights=model.file.sha256,
        data_version=data.before.version,
        retired=model.retired,
    )
    return {
        cost.forget: ClassFacts(
            separability=_by_depth([operator.separability for operator in cost.operators]),
            train=int((dataset.train_labels == cost.forget).sum()),
            test=int((dataset.test_labels == cost.forget).sum()),
        )
        for cost in damp.costs(statistics, classes=labels, preset=RANGE)
    }


def _by_depth(values: Sequence[float]) -> tuple[float, ...]:
    """The middle one of each third of the layers; of fewer than three, of those there are.

    >>> _by_depth([1.0, 2.0, 3.0, 4.0, 5.0, 6.0])
    (1.5, 3.5, 5.5)
    >>> _by_depth([2.0])
    (2.0, 2.0, 2.0)
    """
    count = len(values)
    edges = [round(third * count / 3) for third in range(4)]
    parts = [values[a:b] or values[-1:] for a, b in pairwise(edges)]
    return tuple(float(median(part)) for part in parts)


def recipe_digest(recipe: str) -> str:
    """SHA-256 of how a recipe trains: settings, start, frozen parts, a trainer's code."""
    from flows.models import recipes, trainings

    regime = trainings.Regime.of(recipes.get(recipe)).to_json()
    start = regime["start"]
    return digest_bytes(canonical(regime | {"start": start[1] if start else None}))


def rung_of(method: Method) -> Rung:
    """A method as a family names it."""
    return Rung(
        preset=method.preset,
        gain=float(method.gain),
        sequential=method.sequential,
        skip=tuple(method.skip),
    )


def family_of(
    *, data: Data, model: Model, recipe: str, ladder: Sequence[Rung], rules: str, policy: str
) -> Family:
    """The family of a model on its data, with the code that runs now.

    Args:
        rules: Digest of the rules of events.
        policy: Digest of the policy of the study.
    """
    applied = data.spec.preprocessing
    return Family(
        model=model.file.sha256,
        architecture=model.architecture,
        recipe=recipe_digest(recipe),
        data=data.before.version,
        preprocessing=applied.digest() if applied else "",
        ladder=tuple(ladder),
        rules=rules,
        policy=policy,
        suite=qualifications.suite(),
        code=qualifications.code(),
    )


def standing_of(
    home: Home, asked: Asked, data: Data, model: Model, *, at: datetime | None = None
) -> tuple[Standing, Family, ClassFacts]:
    """The qualification of an event, with all that it does not cover.

    Args:
        at: The moment; None for now.
    Raises:
        EventError: It cannot be believed at all.
    """
    from flows.data import loaders

    policy = asked.policy
    if policy.yardstick is None:
        raise EventError(f"Policy '{policy.name}' names no qualification.")
    digest = policy.yardstick.qualification
    entries = Ledger(home.ledger).entries()
    checked = qualifications.load(home, digest, entries)
    content = checked.content
    if content is None:
        raise EventError(
            f"The qualification {digest[:16]} of policy '{policy.name}' does not hold: "
            f"{' '.join(checked.problems)}"
        )
    dataset = loaders.learned(data, model)
    own = family_of(
        data=data,
        model=model,
        recipe=asked.recipe,
        ladder=asked.ladder,
        rules=policy.rules_digest(),
        policy=content.family.policy,
    )
    facts = class_facts(home, dataset, data, model, asked.forget)[asked.forget[0]]
    edits = qualifications.edits_of(entries, content, digest, (own.model, own.data))
    moment = at or datetime.now(UTC)
    problems = [
        *_scope(asked.forget),
        *standing.problems(content, digest, at=moment, edits=edits, entries=entries),
        *not_covered(content, own, asked.forget[0], facts),
    ]
    basis = Standing(
        qualification=content,
        digest=digest,
        edits=edits,
        problems=tuple(problems),
        cost_of_l3=cost_of_l3(content),
    )
    return basis, own, facts


def given(
    asked: Asked,
    data: Data,
    model: Model,
    home: Home,
    file: Path | None,
    predicate: Mapping[str, Any],
) -> tuple[Standing, Family, ClassFacts]:
    """What a statement rests on, for whoever has its files and not the ledger it is of.

    Its qualification has been checked with the statement; what only that ledger says (the edits
    before, a suspension) is taken from there.

    Args:
        asked: Of the attempt, again.
        home: The state folder of whoever runs it again.
        file: The qualification beside the statement.
        predicate: Of the statement.
    Raises:
        EventError: It is not there, or another.
    """
    from flows.data import loaders

    stated = predicate["qualification"]
    if file is None or not file.exists():
        raise EventError(f"{FILE}, on which the statement rests, is not beside it: bring it.")
    opened = envelope.open_envelope(files.read(file))
    if opened.digest != stated["statement"]:
        raise EventError(f"{file} is not the qualification that the statement rests on.")
    content = qualification.of(strict_json.loads(opened.payload))
    own = family_of(
        data=data,
        model=model,
        recipe=asked.recipe,
        ladder=asked.ladder,
        rules=asked.policy.rules_digest(),
        policy=content.family.policy,
    )
    facts = class_facts(home, loaders.learned(data, model), data, model, asked.forget)
    own_facts = facts[asked.forget[0]]
    basis = Standing(
        qualification=content,
        digest=opened.digest,
        edits=stated["edits"],
        problems=(
            *_scope(asked.forget),
            *standing.problems(
                content,
                opened.digest,
                at=parse_utc(predicate["event"]["finishedAt"]),
                edits=stated["edits"],
                entries=None,
            ),
            *not_covered(content, own, asked.forget[0], own_facts),
        ),
        cost_of_l3=cost_of_l3(content),
    )
    return basis, own, own_facts


def not_covered(
    content: qualification.Qualification, own: Family, label: int, facts: ClassFacts
) -> list[str]:
    """Why an event's family or class is not what was studied, in sentences."""
    return [
        *(
            f"The event is not of the family that {content.title} is of: {difference}."
            for difference in families.differences(content.family, own, but=("model", "data"))
        ),
        *(
            f"Class {label} lies outside what {content.title} has studied: {why}."
            for why in qualification.outside(content, facts)
        ),
    ]


def _scope(forget: Sequence[int]) -> list[str]:
    if len(forget) == 1:
        return []
    return ["A qualification is of single classes, and this event is about several at once."]


def cost_of_l3(content: qualification.Qualification) -> str:
    """What comparing one class with retrained models takes, in words."""
    each = content.cost.training
    if each is None:
        return f"{content.references} whole trainings, whose time was not measured"
    whole = numbers.duration(each * content.references)
    return f"{content.references} whole trainings of {numbers.duration(each)} each, {whole} in all"


def expected_power(policy: Policy, data: Data, basis: Standing) -> Json:
    """What the plan expects: sizes, and whether the event is covered at all."""
    from compliance.verdict import expected_power as powers
    from flows.steps import audit_rows

    out_of_reach = [
        *powers.by_sizes(policy, audit_rows.smallest(data)),
        *basis.problems,
    ]
    decided = basis.qualification.outcome.decided
    sentence = (
        f"No pass can be reached: {' '.join(out_of_reach)}"
        if out_of_reach
        else f"Judged under {basis.qualification.title}, without retrained models: of its cuts "
        f"that passed against retrained models {decided.events} of {decided.trials} were decided."
    )
    return powers.Forecast(
        rows=(),
        accept_all=None,
        original_caught=True,
        references={},
        out_of_reach=tuple(out_of_reach),
        can_reach=not out_of_reach,
        sentence=sentence,
    ).to_json()


def judged(
    attempt: Attempt, policy: Policy, basis: Standing, propagation: Sequence[Json]
) -> Verdict:
    """The verdict on the attempt's findings under its qualification."""
    from compliance import load_findings
    from compliance.qualification import judging
    from compliance.verdict.findings import impossible_controls

    candidate, controls = load_findings(attempt.findings)
    return judging.judge(
        candidate,
        controls,
        policy,
        basis,
        propagation=propagation,
        impossible=impossible_controls(attempt.findings),
    )


def part(basis: Standing, own: Family, facts: ClassFacts, verdict: Verdict) -> Json:
    """The statement's `qualification`: what it rests on, and what anybody can check of that."""
    row = next(row for row in verdict.rows if row.name == kept.NAME)
    thresholds = basis.qualification.outcome.thresholds
    content = basis.qualification
    return {
        "statement": basis.digest,
        "name": content.name,
        "classes": content.outcome.passed.trials,
        "passed": content.outcome.passed.events,
        "family": own.to_json(),
        "edits": basis.edits,
        "range": {
            "separability": list(facts.separability),
            "train": facts.train,
            "test": facts.test,
        },
        "kept": row.measurement.value if row.measurement else None,
        "thresholds": None
        if thresholds is None
        else {"least": thresholds.least, "most": thresholds.most, "fails": thresholds.fails},
        "validUntil": content.valid_until,
        "problems": list(basis.problems),
    }


def keep_beside(attempt: Attempt, digest: str) -> None:
    """Copy the qualification beside the attempt's statement, so that it can be followed there."""
    content = qualifications.path(attempt.home, digest).read_bytes()
    write_atomically(attempt.qualification, content)
