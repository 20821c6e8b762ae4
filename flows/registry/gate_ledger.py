"""What the ledger says about registered models, read once for a walk through the registry."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from compliance.ledger import Entry, Ledger, reaudits, states
from flows.state import keyring
from flows.state.paths import Home


@dataclass(frozen=True, slots=True, kw_only=True)
class Promotion:
    """The last promotion of a name.

    Attributes:
        name: Of the registered model.
        version: As the entry writes it.
    """

    name: str
    version: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RegisteredPlan:
    """What the gate needs of an attempt's plan.

    Attributes:
        model_before: SHA-256 of the weights that the event was to make forget; None where the plan
            names none.
        signoffs: Roles whose signature the policy asks for; None where it names none.
    """

    model_before: str | None
    signoffs: tuple[str, ...] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerFacts:
    """What the ledger says.

    Attributes:
        home: The state folder.
        promotions: The last promotion of each registered name.
        plans: Of each (event, attempt).
        failed_again: When an event's last re-audit was, where it did not pass.
        unfinished: Events with work to do.
        erased: Digests of weights that an event has made forget.
        purged: Digests of weights that `damp purge` has deleted.
    """

    home: Home
    promotions: Mapping[str, Promotion]
    plans: Mapping[tuple[str, int], RegisteredPlan]
    failed_again: Mapping[str, str]
    unfinished: frozenset[str]
    erased: frozenset[str]
    purged: frozenset[str]

    @classmethod
    def read(cls, home: Home) -> LedgerFacts:
        """The facts of a state folder's ledger.

        Raises:
            LedgerError: It cannot be read.
        """
        return cls.of(home, Ledger(home.ledger).entries())

    @classmethod
    def of(cls, home: Home, entries: Sequence[Entry]) -> LedgerFacts:
        """The facts of these entries."""
        plans: dict[tuple[str, int], RegisteredPlan] = {}
        for entry, body in _of_kind(entries, "plan_registered"):
            # the first one counts: a second plan would choose other roles after the fact
            plans.setdefault((entry.event, body["attempt"]), _plan(body["plan"]))
        passed = {
            (entry.event, body["attempt"])
            for entry, body in _of_kind(entries, "statement_signed")
            if body["verdict"] == "PASSED"
        }
        gone = {entry.event for entry, _ in _of_kind(entries, "artefacts_purged")}
        return cls(
            home=home,
            promotions=_promotions(entries),
            plans=plans,
            failed_again=reaudits.failed(entries, keyring.trusted(home)),
            unfinished=frozenset(event.id for event in states.pending(entries)),
            erased=_models_before(plan for key, plan in plans.items() if key in passed),
            purged=_models_before(plan for key, plan in plans.items() if key[0] in gone),
        )


def _of_kind(entries: Sequence[Entry], kind: str) -> Iterator[tuple[Entry, Mapping[str, Any]]]:
    """The entries of a kind, each with its body."""
    return ((entry, entry.body) for entry in entries if entry.kind == kind)


def _plan(plan: Mapping[str, Any]) -> RegisteredPlan:
    policy = plan.get("policy")
    return RegisteredPlan(
        model_before=plan.get("modelBefore"),
        signoffs=tuple(policy["signoffs"]) if policy else None,
    )


def _promotions(entries: Sequence[Entry]) -> dict[str, Promotion]:
    promotions = (
        Promotion(name=body["name"], version=str(body["version"]))
        for _, body in _of_kind(entries, "model_promoted")
    )
    return {promotion.name: promotion for promotion in promotions}


def _models_before(plans: Iterable[RegisteredPlan]) -> frozenset[str]:
    return frozenset(plan.model_before for plan in plans if plan.model_before is not None)
