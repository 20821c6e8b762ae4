"""What MLflow runs to serve a registered model: safetensors and a specification, nothing pickled.

A copy of this file lies beside the weights of each registered model, and loading the model executes
that copy: load only from a registry whose writers you trust. damp must be installed.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
from mlflow.pyfunc import PythonModel, PythonModelContext


class Classifier(PythonModel):
    """A classifier that no longer answers with a class that it has forgotten."""

    def load_context(self, context: PythonModelContext) -> None:
        """Build the architecture, load the weights, mask the retired outputs."""
        from damp.aftercare import RetiredOutputs
        from flows.models import load_weights

        spec = json.loads(Path(context.artifacts["spec"]).read_text())
        network, _ = load_weights(
            Path(context.artifacts["weights"]),
            architecture=spec["architecture"],
            classes=spec["classes"],
            input_shape=tuple(spec["input_shape"]),
        )
        self.network = RetiredOutputs(network, spec["retired"]) if spec["retired"] else network
        self.network.eval()

    def predict(
        self,
        context: PythonModelContext,
        model_input: np.ndarray,
        params: dict[str, Any] | None = None,
    ) -> np.ndarray:
        """Probabilities of each class; that of a retired class is exactly zero.

        Args:
            context: Unused.
            model_input: Images, (n, channels, height, width), float32.
            params: Unused.

        Returns:
            (n, classes), float32.
        """
        import torch

        with torch.inference_mode():
            logits = self.network(torch.as_tensor(model_input))
        probabilities: np.ndarray = logits.softmax(dim=1).numpy()
        return probabilities


mlflow.models.set_model(Classifier())
