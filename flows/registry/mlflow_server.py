"""MLflow's server as an application: what `mlflow server` sets up, in the process that serves it.

`mlflow server` starts a second program and hands it the database's address, password included, in
the environment. Here it stays in one process (flows.servers.guarded runs it).
"""

from __future__ import annotations

import os
from typing import Any


def application(database: str, artifacts: str) -> Any:
    """The ASGI application.

    Args:
        database: Address of the database, which is migrated where it is new.
        artifacts: URI of the folder that files are kept in.
    """
    from mlflow.environment_variables import _MLFLOW_SGI_NAME
    from mlflow.server import constants

    root = "mlflow-artifacts:/"
    os.environ |= {
        constants.BACKEND_STORE_URI_ENV_VAR: database,
        constants.REGISTRY_STORE_URI_ENV_VAR: database,
        constants.ARTIFACT_ROOT_ENV_VAR: root,
        constants.ARTIFACTS_DESTINATION_ENV_VAR: artifacts,
        constants.SERVE_ARTIFACTS_ENV_VAR: "true",
        _MLFLOW_SGI_NAME.name: "uvicorn",
        "_MLFLOW_IN_JOB_EXECUTOR": "false",  # nothing that is logged may be run here
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_ENABLE_WORKSPACES": "false",
    }
    from mlflow.server import fastapi_app, handlers

    handlers.initialize_backend_stores(database, database, root)
    return fastapi_app.app
