"""How many edits a model has seen since the one that was qualified, by the ledger. Pure.

Each event's plan names the model and the data that it starts from, each promotion the model that it
has left: one link of the chain. Only events that PASSED under the same qualification are links.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from compliance.ledger.chain import Entry


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """One event between two models.

    Attributes:
        event: Its id.
        before: SHA-256 of the model that it started from.
        after: SHA-256 of the one that it has left.
        data_before: Version of the data that it started from.
        data_after: The one that it has left.
        qualification: SHA-256 of the qualification that it ran under; "" where it ran under none.
    """

    event: str
    before: str
    after: str
    data_before: str
    data_after: str
    qualification: str


def links(entries: Sequence[Entry]) -> dict[str, Link]:
    """Every promoted model by its digest, with the event that made it."""
    plans: dict[str, dict[str, object]] = {}
    every: dict[str, Link] = {}
    for entry in entries:
        if entry.kind == "plan_registered" and isinstance(entry.body.get("plan"), dict):
            plans[entry.event] = entry.body["plan"]
        plan = plans.get(entry.event)
        if entry.kind != "model_promoted" or plan is None or "model" not in entry.body:
            continue
        policy = plan.get("policy")
        yardstick = policy.get("yardstick") if isinstance(policy, dict) else None
        link = Link(
            event=entry.event,
            before=str(plan.get("modelBefore", "")),
            after=str(entry.body["model"]),
            data_before=str(plan.get("dataBefore", "")),
            data_after=str(plan.get("dataAfter", "")),
            qualification=str(yardstick["qualification"])
            if isinstance(yardstick, dict) and "qualification" in yardstick
            else "",
        )
        every.setdefault(link.after, link)
    return every


def edits(
    entries: Sequence[Entry], *, base: tuple[str, str], model: tuple[str, str], qualification: str
) -> int | None:
    """Edits between two models, each under a qualification; None where there is no such chain.

    Args:
        entries: The ledger.
        base: Digest of the qualified model, and version of its data.
        model: Digest of the model to be edited, and version of the data that it stands for.
        qualification: SHA-256 of the qualification that every edit must have run under.
    """
    every = links(entries)
    count, here = 0, model
    while here != base:
        link = every.get(here[0])
        if link is None or count > len(every):
            return None
        if link.data_after != here[1] or link.qualification != qualification:
            return None
        count, here = count + 1, (link.before, link.data_before)
    return count
