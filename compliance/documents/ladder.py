"""Which attempts a policy declares for a request, and which of them is next. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from compliance.documents.methods import RETRAIN
from compliance.documents.request import Method

if TYPE_CHECKING:
    from compliance.documents.policy import Policy

NO_POWER = (
    "none of the retrained models passes when judged by the others, so that no edit can be "
    "expected to pass"
)
"""Why attempts between the first and the last are left out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Next:
    """The attempt that is due.

    Attributes:
        place: Among those that were declared, counted from 1.
        skipped: `(method, reason)` of those that are left out before it.
    """

    place: int
    skipped: tuple[tuple[str, str], ...]


def declared(policy: Policy, asked: Method) -> tuple[str, ...]:
    """The methods that are tried for a request, in their order; none where a policy has no ladder.

    A request that names no preset, or the default one, gets the policy's. Another takes the first
    one's place; what stands before it in the policy is left out.

    Args:
        policy: With its `attempts`.
        asked: `method` of the request.
    """
    if not policy.attempts or asked == Method():
        return policy.attempts
    if asked.chosen == RETRAIN:
        return (RETRAIN,)
    if asked.chosen in policy.attempts:
        return policy.attempts[policy.attempts.index(asked.chosen) :]
    return (asked.chosen, *policy.attempts[1:])


def levels(policy: Policy, attempts: Sequence[str]) -> tuple[float, ...]:
    """The error level of each of the attempts that were declared for a request.

    All are judged on the same rows, so that the chance that any of them passes by mistake is at
    most the sum of their levels, which is at most the policy's (Bonferroni; in unequal parts:
    Rosenthal and Rubin 1983). An attempt that the request leaves out before the first is made
    leaves its level to that one: what was asked for hangs on no row.

    Args:
        policy: With its `attempts` and `levels`.
        attempts: As `declared` gives them.
    """
    if not policy.levels:
        return (policy.alpha / len(attempts),) * len(attempts)
    own = policy.levels[len(policy.levels) - len(attempts) :]
    left_out = policy.levels[: len(policy.levels) - len(attempts)]
    return (math.fsum([*left_out, own[0]]), *own[1:])


def following(
    attempts: Sequence[str],
    place: int,
    *,
    impossible: Mapping[str, str],
    can_reach: bool = True,
    hurry: str = "",
) -> Next | None:
    """The attempt after `place`, None where there is none.

    Args:
        attempts: That were declared.
        place: Of the last one that was made; 0 before the first.
        impossible: Methods that this model forbids, with the reason of each.
        can_reach: Whether the audit plan expects that a pass can be reached by any of them.
        hurry: Why there is no time or trust for anything but retraining; "" where there is.

    >>> following(("mended", "renewed", "retrain"), 1, impossible={"renewed": "no waist"})
    Next(place=3, skipped=(('renewed', 'no waist'),))
    """
    skipped: list[tuple[str, str]] = []
    for index in range(place, len(attempts)):
        method, last = attempts[index], index == len(attempts) - 1
        reason = impossible.get(method, "")
        if not reason and not last and hurry and attempts[-1] == RETRAIN:
            reason = hurry
        if not reason and not last and place and not can_reach:
            reason = NO_POWER
        if not reason:
            return Next(place=index + 1, skipped=tuple(skipped))
        skipped.append((method, reason))
    return None


def reachable(plan: Mapping[str, Any]) -> bool:
    """Whether an attempt after the one that a plan is about can be expected to pass.

    Each is judged at its own level: the last one may be out of reach where the first was not.

    Args:
        plan: As it was registered. Where it says nothing of later attempts, what it expects of its
            own counts; where it expects nothing, a pass can be reached.
    """
    later = plan.get("laterAttempts")
    if later:
        return any(each["canReach"] for each in later)
    return bool((plan.get("expectedPower") or {}).get("canReach", True))


def out_of_reach(later: Mapping[str, Any]) -> str:
    """A later attempt that cannot be expected to pass, in words.

    Args:
        later: One of a plan's `laterAttempts`.
    """
    return (
        f"Attempt {later['attempt']} by {later['method']}, at level {later['level']:g}: "
        f"{later['told']}"
    )


def goes_on(policy: Policy, verdict: str, *, can_reach: bool = True) -> bool:
    """Whether a verdict leads to the next attempt, where one was declared.

    Where no pass can be reached by anybody, retraining would end INCONCLUSIVE as well: it is made
    after FAILED alone.
    """
    return verdict in policy.fallback_on and (can_reach or verdict == "FAILED")
