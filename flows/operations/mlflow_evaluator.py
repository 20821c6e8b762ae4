"""damp's audits as an MLflow evaluator, for pipelines that gate on `mlflow.models.evaluate`.

    mlflow.models.evaluate(
        "models:/digits@champion", rows, model_type="classifier", evaluators=["damp"],
        evaluator_config={"damp": {"event": "5f0c7c2e-...", "home": "/srv/damp"}},
    )

The model is judged like the candidate of that event: on the same data, by the same references,
controls and policy. `rows` may be any table of row numbers: the event's own data are read.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlflow import MlflowClient
from mlflow.entities import Metric
from mlflow.models.evaluation import EvaluationResult, ModelEvaluator

if TYPE_CHECKING:
    from audits.finding import Finding
    from compliance.verdict import Verdict
    from flows.state.paths import Home

PASSED = "damp_passed"
"""The metric to gate on: 1.0 where the verdict is PASSED."""


class DampEvaluator(ModelEvaluator):
    """Judges a registered classifier by the audits of an unlearning event."""

    @classmethod
    def can_evaluate(
        cls, *, model_type: str, evaluator_config: Mapping[str, Any] | None, **kwargs: Any
    ) -> bool:
        """Whether the configuration names an event."""
        return bool(evaluator_config and evaluator_config.get("event"))

    def evaluate(
        self,
        *,
        model_type: str,
        dataset: Any,
        run_id: str,
        evaluator_config: Mapping[str, Any],
        model: Any = None,
        **kwargs: Any,
    ) -> EvaluationResult:
        """Metrics `damp_passed`, `damp_<measurement>`; the findings as an artifact of the run.

        Raises:
            EventError: The event is unknown, unfinished, or its files were changed.
            RegistryError: The model is not one that damp has registered.
        """
        from flows.state.paths import Home
        from flows.state.settings import prepare_environment, settings

        home = Home(Path(evaluator_config.get("home") or settings().home).absolute())
        prepare_environment(home.root)
        client = MlflowClient()
        verdict, findings = _judge(home, client, evaluator_config["event"], _model_id(model))
        metrics = _metrics(verdict, findings)
        now = 0
        client.log_batch(run_id, [Metric(name, value, now, 0) for name, value in metrics.items()])
        client.log_text(run_id, json.dumps([f.to_json() for f in findings], indent=1), "damp.json")
        client.set_tag(run_id, "damp.verdict", verdict.result)
        return EvaluationResult(metrics=metrics, artifacts={}, run_id=run_id)


def _model_id(model: Any) -> str:
    from flows.state.errors import RegistryError

    model_id = getattr(getattr(model, "metadata", None), "model_id", None)
    if model_id is None:
        raise RegistryError(
            "The damp evaluator judges registered models: give their address, such as "
            "models:/digits@champion, not a function or predictions."
        )
    return str(model_id)


def _judge(
    home: Home, client: MlflowClient, event: str, model_id: str
) -> tuple[Verdict, Sequence[Finding]]:
    """The verdict on a model as the event's candidate, and its findings."""
    from compliance import judge
    from flows.operations import reaudit
    from flows.registry import WEIGHTS, MlflowRegistry
    from flows.state.errors import RegistryError
    from flows.state.files import Artifact, aside
    from flows.steps import audit

    attempt, case = reaudit.case_of(home, event)
    with tempfile.TemporaryDirectory() as folder:
        registry = MlflowRegistry(client)
        weights = registry.model_file(registry.logged_model(model_id), WEIGHTS, Path(folder))
        if weights is None:
            raise RegistryError(f"Model {model_id} has no weights that damp wrote: register it.")
        kept = home.fetched / model_id / weights.name
        with aside(kept) as (temporary, _):
            shutil.copyfile(weights, temporary)
    case = case.with_candidate(Artifact.of(home.root, kept))
    findings, controls = audit.audit_again(home, case)
    return judge(findings, controls, reaudit.policy_of(attempt)), findings


def _metrics(verdict: Verdict, findings: Sequence[Finding]) -> dict[str, float]:
    """The verdict and each measurement by a name that MLflow allows."""
    figures = {PASSED: float(verdict.result == "PASSED")}
    for finding in findings:
        for each in finding.measurements:
            figures[f"damp_{each.name}".replace("@", "_at_")] = float(each.value)
    return figures
