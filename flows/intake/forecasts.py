"""What a request can be expected to come to, said when it is filed and not hours later.

Two things are known by then. Sizes alone can rule a pass out: no result whatever meets a rule with
so few images. And where a plan was registered before for the same model, classes and policy, it has
forecast how likely an honest model is to pass, and whether one can at all. What steps take is read
from the last event that was carried out here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from compliance.documents import ladder
from compliance.documents.policy import Policy
from compliance.ledger import Entry, Ledger
from compliance.verdict import expected_power
from flows.data.dataset import Dataset
from flows.state import journal
from flows.state.errors import EventError
from flows.state.paths import Attempt, Home

TRAINED = "train_references"
"""The step that takes most, and next to nothing once its models are there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Foreseen:
    """What is known of a request before it runs.

    Attributes:
        out_of_reach: What sizes alone rule out, in sentences.
        chance: That an honest model passes, by an earlier plan; None where there is none.
        can_reach: Whether that plan expected a verdict to be reached; None likewise.
        reason: Its sentence.
        others: The chances by plans about other classes, of the same model and policy.
        later: What that plan expected of later attempts that cannot pass, in sentences.
    """

    out_of_reach: tuple[str, ...] = ()
    chance: float | None = None
    can_reach: bool | None = None
    reason: str = ""
    others: tuple[float, ...] = ()
    later: tuple[str, ...] = ()

    @property
    def hopeless(self) -> bool:
        """Whether no method can be expected to pass, training anew included."""
        return bool(self.out_of_reach) or self.can_reach is False

    def to_json(self) -> dict[str, Any]:
        """The entry `forecast` of `damp submit --json`."""
        lists = {name: list(getattr(self, name)) for name in ("out_of_reach", "others", "later")}
        return asdict(self) | lists


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """What the last plan about a model, some classes and a policy expected.

    Attributes:
        policy: Its name.
        digest: Of the policy.
        forget: The classes.
        chance: That an honest model passes; None where nothing says.
        can_reach: Whether a verdict was expected to be reached.
        reason: Its sentence.
        later: Of attempts after its own, those that cannot be expected to pass, in sentences.
    """

    policy: str
    digest: str
    forget: tuple[int, ...]
    chance: float | None
    can_reach: bool
    reason: str
    later: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """An entry of `plans` in the JSON of `damp inspect` and `damp cost`."""
        return asdict(self) | {"forget": list(self.forget), "later": list(self.later)}


def foresee(
    home: Home, policy: Policy, dataset: Dataset, forget: Sequence[int], model_before: str
) -> Foreseen:
    """What is known of a request before it runs.

    Args:
        home: The state folder, whose ledger has the plans of before.
        policy: The request's.
        dataset: Its data.
        forget: The classes to forget.
        model_before: SHA-256 of the model's file.
    """
    sizes = {
        f"forget_{part}": min(int((labels == index).sum()) for index in forget)
        for part, labels in (("train", dataset.train_labels), ("test", dataset.test_labels))
    }
    gaps = tuple(expected_power.by_sizes(policy, sizes))
    plans = [each for each in of_model(home, model_before) if each.digest == policy.digest()]
    same = next((each for each in plans if each.forget == tuple(forget)), None)
    others = tuple(p.chance for p in plans if p is not same and p.chance is not None)
    if same is None:
        return Foreseen(out_of_reach=gaps, others=others)
    return Foreseen(
        out_of_reach=gaps,
        chance=same.chance,
        can_reach=same.can_reach,
        reason=same.reason,
        others=others,
        later=same.later,
    )


def of_model(home: Home, model_before: str) -> tuple[Planned, ...]:
    """What plans about a model expected: the last one for each policy and classes.

    Args:
        home: The state folder.
        model_before: SHA-256 of the model's file.
    """
    entries = Ledger(home.ledger).entries() if home.ledger.exists() else []
    plans = (_planned(entry, model_before) for entry in entries if entry.kind == "plan_registered")
    last = {(each.digest, each.forget): each for each in plans if each is not None}
    return tuple(sorted(last.values(), key=lambda each: (each.policy, each.forget)))


def _planned(entry: Entry, model_before: str) -> Planned | None:
    """The forecast of an entry's plan; None of one about another model, or without a forecast."""
    plan = entry.body["plan"]
    power = plan.get("expectedPower") if plan.get("modelBefore") == model_before else None
    if not isinstance(power, Mapping) or not {"acceptAll", "canReach", "told"} <= power.keys():
        return None
    return Planned(
        policy=str(plan.get("policy", {}).get("name", "")),
        digest=str(plan.get("policyDigest")),
        forget=tuple(plan["forget"]),
        chance=power["acceptAll"],
        can_reach=bool(power["canReach"]),
        reason=str(power["told"]),
        later=tuple(
            ladder.out_of_reach(each)
            for each in plan.get("laterAttempts", ())
            if power["canReach"] and not each["canReach"]
        ),
    )


def refuse_hopeless(foreseen: Foreseen) -> None:
    """Refuse what cannot pass whatever comes out.

    Raises:
        EventError: With the reasons, and what to do.
    """
    if foreseen.hopeless:
        reasons = " ".join(foreseen.out_of_reach) or foreseen.reason
        raise EventError(
            f"No model can be expected to pass this request, one trained anew included. {reasons} "
            "Bring more images or references, choose another policy (docs/policies.md), or submit "
            "with --go-on: then it is carried out all the same."
        )


def seconds_of_last(home: Home) -> dict[str, float]:
    """What each step took of the last event that ran to its end here, by title; empty of none."""
    closed = [e for e in Ledger(home.ledger).entries() if e.kind == "statement_signed"]
    for entry in reversed(closed):
        notes = journal.read(Attempt(home, entry.event, int(entry.body["attempt"])))
        seconds = {n["title"]: float(n["seconds"]) for n in notes if n.get("what") == "done"}
        if seconds:
            return seconds
    return {}
