"""What Prefect's pages show of an event: how far it is, its verdict, its audits, its report."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from prefect.artifacts import (
    create_link_artifact,
    create_markdown_artifact,
    create_progress_artifact,
    create_table_artifact,
    update_progress_artifact,
)

from compliance.formats.plain_text import bare, code, markdown, visible
from compliance.presentation import numbers
from compliance.presentation.next_steps import NextStep
from compliance.signing import envelope
from flows.orchestration import run_pages
from flows.records import status
from flows.servers import local_services
from flows.state.facts import Closed, Json
from flows.state.paths import Attempt
from flows.state.settings import settings


class Progress:
    """The event's steps as a bar on the page of its run."""

    def __init__(self, attempt: Attempt, steps: int) -> None:
        self.key = f"progress-{attempt.event}-{attempt.number}"
        self.steps = steps
        self.artifact: Any = None

    def step(self, number: int, title: str) -> None:
        """Step `number` begins."""
        share = 100.0 * (number - 1) / self.steps
        words = f"{number} of {self.steps}: {title}"
        run_pages.log(words)
        if self.artifact is None:
            self.artifact = create_progress_artifact(share, key=self.key, description=words)
        else:
            update_progress_artifact(self.artifact, progress=share, description=words)

    def note(self, text: str) -> None:
        """A line on the run's Logs tab."""
        run_pages.log(text)


def show_verdict(attempt: Attempt, closed: Closed) -> None:
    """The verdict in words, every audit as a row, and the way to the report."""
    predicate: Json = envelope.decoded(attempt.statement)["predicate"]
    key = f"{attempt.event}-{attempt.number}"
    steps = status.one_event(attempt.home, attempt.event).next
    run_pages.log(f"{closed.verdict}: {predicate['verdict']['claim']}")
    for step in steps:
        run_pages.log(f"next: {step.text} {step.command}".strip())
    create_markdown_artifact(
        _words(attempt, closed, predicate, steps), key=f"verdict-{key}", description=closed.verdict
    )
    create_table_artifact(
        [_row(audit) for audit in predicate["audits"]], key=f"audits-{key}", description="Audits"
    )
    create_link_artifact(
        _report(attempt, closed), key=f"report-{key}", link_text="report", description="The report"
    )


def _words(
    attempt: Attempt, closed: Closed, predicate: Json, following: Sequence[NextStep] = ()
) -> str:
    reasons = "\n".join(f"- {markdown(reason)}" for reason in closed.reasons)
    steps = "\n".join(_step(step) for step in following)
    version = closed.registration
    model = (
        f"**{markdown(version.name)}** version {version.version}" if version else "not registered"
    )
    inputs = predicate["inputs"]
    return (
        f"# {closed.verdict}\n\n{markdown(predicate['verdict']['claim'])}\n\n{reasons}\n\n"
        f"## What to do next\n\n{steps or 'Nothing.'}\n\n"
        f"Model: {model}. Data: "
        f"{code(inputs['dataBefore']['version'])} → {code(inputs['dataAfter']['version'])}.\n\n"
        f"Report: {code(attempt.report)}\n\n    damp verify {bare(attempt.statement)}\n"
    )


def _step(step: NextStep) -> str:
    return f"- {markdown(step.text)}" + (f" {code(step.command)}" if step.command else "")


def _row(audit: Json) -> Json:
    columns = ("name", "outcome", "required", "value", "nullMean", "original", "reason")
    return {name: _shown(audit[name]) for name in columns if name in audit}


def _shown(value: Any) -> Any:
    """A figure with three digits after the point, as in the report; anything else made visible."""
    return numbers.figure(value) if isinstance(value, float) else visible(value)


def _report(attempt: Attempt, closed: Closed) -> str:
    """On MLflow's pages where they are served, else the file."""
    server = local_services.running(attempt.home, "mlflow")
    base = settings().mlflow_uri or (server.url if server else None)
    version = closed.registration
    if base is None or version is None:
        return attempt.report.as_uri()
    return f"{base.rstrip('/')}/#/models/{version.name}/versions/{version.version}"
