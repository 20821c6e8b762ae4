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
    """

    out_of_reach: tuple[str, ...] = ()
    chance: float | None = None
    can_reach: bool | None = None
    reason: str = ""

    @property
    def hopeless(self) -> bool:
        """Whether no method can be expected to pass, training anew included."""
        return bool(self.out_of_reach) or self.can_reach is False

    def to_json(self) -> dict[str, Any]:
        """The entry `forecast` of `damp submit --json`."""
        return asdict(self) | {"out_of_reach": list(self.out_of_reach)}


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
    power = _earlier(home, policy, forget, model_before)
    if power is None:
        return Foreseen(out_of_reach=gaps)
    return Foreseen(
        out_of_reach=gaps,
        chance=power["acceptAll"],
        can_reach=bool(power["canReach"]),
        reason=str(power["told"]),
    )


def _earlier(
    home: Home, policy: Policy, forget: Sequence[int], model_before: str
) -> Mapping[str, Any] | None:
    """What the last plan about the same model, classes and policy expected."""
    entries = Ledger(home.ledger).entries() if home.ledger.exists() else []
    wanted = (model_before, policy.digest(), list(forget))
    powers = [_power(entry) for entry in entries if _about(entry) == wanted]
    return next((power for power in reversed(powers) if power), None)


def _about(entry: Entry) -> tuple[object, object, object] | None:
    """Which model, policy and classes an entry's plan is about; None of other entries."""
    plan = entry.body.get("plan") if entry.kind == "plan_registered" else None
    if not isinstance(plan, Mapping):
        return None
    return plan.get("modelBefore"), plan.get("policyDigest"), plan.get("forget")


def _power(entry: Entry) -> Mapping[str, Any] | None:
    power = entry.body["plan"].get("expectedPower")
    whole = isinstance(power, Mapping) and {"acceptAll", "canReach", "told"} <= power.keys()
    return power if whole else None


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
