"""What runs while nobody types: pending requests, re-audits that are due, the registry's scan."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prefect import flow
from prefect.artifacts import create_markdown_artifact, create_table_artifact
from prefect.types.entrypoint import EntrypointType

from compliance.formats.plain_text import markdown, visible
from flows.intake import batches, lifecycle, requests, webhooks
from flows.operations import reaudit
from flows.orchestration import reconcile, run_pages
from flows.orchestration.parking import Row, decide
from flows.qualification import spot_checks
from flows.state import interrupts, locks, progress
from flows.state.errors import GateError
from flows.state.facts import Json
from flows.state.paths import Home

if TYPE_CHECKING:
    from prefect.deployments.runner import RunnerDeployment

    from flows.intake.lifecycle import Reminder

UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
DIGITS = 6
"""Of an interval's number at most: longer ones overflow."""
REAUDITS, SPOT_CHECKS, SCAN = "1d", "1d", "6h"
"""How often re-audits and spot checks are looked for and the registry is scanned, unless set
otherwise."""


@flow(name="compliance-run", flow_run_name=run_pages.with_time, validate_parameters=False)
def compliance_run(home: str) -> list[Row]:
    """Carry out all pending requests of a state folder, the nearest deadline first.

    One that cannot be carried out does not stop the others; a run that overlaps waits for this one.
    """
    place = Home(Path(home))
    try:
        decided, reminders = _carry_out(place)
    finally:  # outside the lock: a system that is slow to answer holds no other run up
        webhooks.deliver(place)
    if reminders:
        # its failed run is the alert (`damp alert`); the work of this run is done all the same
        with contextlib.suppress(GateError):
            due_dates([asdict(reminder) for reminder in reminders])
    if decided:
        create_table_artifact(_shown(decided), key="verdicts", description="Decided in this run")
    return decided


def _carry_out(place: Home) -> tuple[list[Row], list[Reminder]]:
    """What is pending, while no other run works on this state folder."""
    with locks.exclusive(place, "compliance-run"):
        reminders = lifecycle.remind(place)
        reconcile.reconcile(place)
        pending = requests.pending(place)
        batches.schedule(place, pending)
        return [decide(place, event) for event in pending], reminders


@flow(name="due-dates", flow_run_name=run_pages.with_time, validate_parameters=False)
def due_dates(reminders: list[Json]) -> None:
    """Fail on purpose, once for each warning day that an event reaches, so that it is noticed.

    Raises:
        GateError: Always; the message names the events and the days that are left.
    """
    create_table_artifact(
        _shown(reminders), key="due-dates", description="Due dates that come near"
    )
    listed = "; ".join(f"event {r['event']} has {r['left']} days left" for r in reminders)
    for reminder in reminders:
        progress.announce(f"event {reminder['event']}: {reminder['left']} days left")
    raise GateError(f"Due dates come near: {listed}. `damp inbox` says what has to happen next.")


@flow(name="reaudit-run", flow_run_name=run_pages.with_time, validate_parameters=False)
def reaudit_run(home: str) -> list[Json]:
    """Audit again what is due. One that no longer passes fails this run, so that it is noticed."""
    place = Home(Path(home))
    done = [reaudit.reaudit(place, event) for event in reaudit.due(place)]
    rows = [each.to_json() for each in done]
    if rows:
        create_table_artifact(_shown(rows), key="reaudits", description="Audited again in this run")
    if bad := [each.event for each in done if each.verdict != "PASSED"]:
        raise GateError(
            f"Re-audits of {', '.join(bad)} did not pass: take the models out of use, and file new "
            "requests."
        )
    return rows


@flow(name="spot-check-run", flow_run_name=run_pages.with_time, validate_parameters=False)
def spot_check_run(home: str) -> list[Json]:
    """Audit drawn events under a qualification against retrained models.

    One that suspends a qualification fails this run, and names the events in doubt.
    """
    done = spot_checks.carry_out(Home(Path(home)))
    rows = [each.to_json() for each in done]
    if rows:
        create_table_artifact(
            _shown(rows), key="spot-checks", description="Spot checks of this run"
        )
    if bad := [each for each in done if each.in_doubt]:
        doubt = dict.fromkeys(event for each in bad for event in each.in_doubt)
        raise GateError(
            f"Spot checks of {', '.join(each.event for each in bad)} have suspended their "
            f"qualification. In doubt are the events since the last good check: "
            f"{', '.join(doubt)}. Audit each against retrained models, or take its model out of "
            "use."
        )
    return rows


@flow(name="registry-scan", flow_run_name=run_pages.with_time, validate_parameters=False)
def registry_scan(home: str) -> list[Json]:
    """Check every version and alias; one without a valid statement behind it fails this run."""
    from flows.registry import gate

    scanned = gate.audit_registry(Home(Path(home)))
    wrong = [each for each in scanned if each.problems]
    lines = "\n".join(
        f"- **{markdown(w.name)}/{w.version}**: {markdown(' '.join(w.problems))}" for w in wrong
    )
    head = f"{len(scanned)} scanned, {len(wrong)} with problems.\n\n"
    create_markdown_artifact(head + lines, key="registry", description="The registry's scan")
    if wrong:
        plain = "\n".join(f"- {w.name}/{w.version}: {' '.join(w.problems)}" for w in wrong)
        raise GateError(f"The registry holds what the gate never let through:\n{plain}")
    return [each.to_json() for each in scanned]


def _shown(rows: Sequence[Mapping[str, Any]]) -> list[Json]:
    """Rows for a page, with nothing in them that hides."""
    return [{name: visible(value) for name, value in row.items()} for row in rows]


def interval(text: str) -> timedelta:
    """How long `60s`, `15m`, `6h` or `1d` is.

    >>> interval("90s")
    datetime.timedelta(seconds=90)
    """
    match = re.fullmatch(r"(\d+)([smhd])", text)
    if match is None or int(match[1]) == 0 or len(match[1]) > DIGITS:
        raise GateError(f"'{text}' is no interval. Write 60s, 15m, 6h or 1d.")
    return timedelta(**{UNITS[match[2]]: int(match[1])})


def deployments(
    home: Home,
    *,
    every: str,
    reaudits: str = REAUDITS,
    checks: str = SPOT_CHECKS,
    scan: str = SCAN,
    pool: str | None = None,
) -> list[RunnerDeployment]:
    """The four flows with their schedules, for a process that serves them or for a work pool."""
    schedules = {
        compliance_run: ("pending-requests", every),
        reaudit_run: ("due-reaudits", reaudits),
        spot_check_run: ("due-spot-checks", checks),
        registry_scan: ("registry-scan", scan),
    }
    return [
        each.to_deployment(  # type: ignore[misc]  # a coroutine only where a loop runs
            name=name,
            interval=interval(often),
            parameters={"home": str(home.root)},
            entrypoint_type=EntrypointType.MODULE_PATH,
            concurrency_limit=_one_at_a_time() if pool else None,
            work_pool_name=pool,
            description=each.__doc__,
        )
        for each, (name, often) in schedules.items()
    ]


def _one_at_a_time() -> Any:
    from prefect.client.schemas.objects import ConcurrencyLimitConfig, ConcurrencyLimitStrategy

    return ConcurrencyLimitConfig(limit=1, collision_strategy=ConcurrencyLimitStrategy.ENQUEUE)


def serve(home: Home, **often: str) -> None:
    """Stay, and let Prefect's scheduler start the runs; what was missed before is made up first.

    One run at a time: a run that comes due while another works waits for it.
    """
    from prefect import serve as stay

    os.environ["DAMP_HOME"] = str(home.root)  # the scheduled runs are processes of their own
    served = deployments(home, **often)
    compliance_run(str(home.root))
    interrupts.check()
    with interrupts.left_to_asyncio():
        stay(*served, limit=1, print_starting_message=False)


def deploy(home: Home, pool: str, **often: str) -> list[str]:
    """Hand the four schedules to a work pool, which is made if it is not there.

    Returns:
        Names of the deployments.
    """
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.actions import WorkPoolCreate
    from prefect.exceptions import ObjectAlreadyExists

    is_there = contextlib.suppress(ObjectAlreadyExists)  # then it is the team's, with their limits
    with get_client(sync_client=True) as client, is_there:
        client.create_work_pool(WorkPoolCreate(name=pool, type="process"))
    deployed = deployments(home, pool=pool, **often)
    for each in deployed:
        each.apply()
    return [f"{each.flow_name}/{each.name}" for each in deployed]
