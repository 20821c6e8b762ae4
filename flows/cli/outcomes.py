"""What every command shows that ends with a verdict: why, the report, what to type next."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from flows.cli import console
from flows.cli.options import DONE, NOT_PASSED
from flows.records.status import EventStatus, attempt_in_words
from flows.state.paths import Home
from flows.state.settings import settings


def show(home: Home, outcomes: Sequence[EventStatus]) -> None:
    """A panel for each event."""
    for outcome in outcomes:
        _panel(home, outcome)


def exit_code(outcomes: Sequence[EventStatus]) -> int:
    """0 where all have passed, else 2."""
    return DONE if all(outcome.verdict == "PASSED" for outcome in outcomes) else NOT_PASSED


def answer(home: Home, outcome: EventStatus, *, as_json: bool) -> int:
    """Print one event's outcome, and return the exit code that it stands for."""
    if as_json:
        console.emit(outcome.to_json())
    else:
        _panel(home, outcome)
    return exit_code([outcome])


def _panel(home: Home, outcome: EventStatus) -> None:
    if outcome.verdict is None or outcome.report is None:
        console.say(f"Event {outcome.id} is {outcome.state}: nothing was decided.")
        return
    claimed = outcome.kind == "claim"
    report = console.short(outcome.report)
    folder = Path(outcome.report).parent
    statement, after = (
        console.short(folder / name) for name in ("statement.dsse.json", "after.safetensors")
    )
    facts = {
        "event": f"{outcome.id}, {attempt_in_words(outcome)}, {outcome.state}",
        "report": report,
    }
    if outcome.cost:
        facts["audits"] = outcome.cost.in_words()
    commands = {
        "open the report": f"xdg-open {report}",
        "verify it": f"damp verify {statement} --model {after}",
    }
    if not claimed:
        commands["see the lineage"] = _registry_pages(home)
    console.verdict_panel(
        outcome.verdict,
        outcome.reasons or [outcome.claim or ""],
        facts,
        commands,
        title="forgetting claim" if claimed else "unlearning event",
    )


def _registry_pages(home: Home) -> str:
    """How to open the registry's pages: those that are served, or the command that serves them."""
    from flows.servers import local_services

    served = local_services.running(home, "mlflow")
    url = settings().mlflow_uri or (served.url if served else None)
    return f"xdg-open {url}" if url else f"mlflow ui --backend-store-uri sqlite:///{home.mlflow_db}"
