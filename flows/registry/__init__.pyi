from . import gate, lineage, model_source, promotions, reaudits, registration, resolve
from .backend import open_registry, read_registry, registry_exists
from .gate import SUCCESSOR, VersionCheck, audit_registry, check_version
from .gate_ledger import LedgerFacts
from .gate_statement import STATEMENT
from .interface import LoggedModel, ModelVersion, NewVersion, OpenRun, RegisteredModel, Registry
from .mlflow_registry import MlflowRegistry
from .packing import WEIGHTS
from .resolve import CHAMPION, REFERENCE, ancestry, champion_of, version_of
from .tags import VersionTags

__all__ = [
    "CHAMPION",
    "REFERENCE",
    "STATEMENT",
    "SUCCESSOR",
    "WEIGHTS",
    "LedgerFacts",
    "LoggedModel",
    "MlflowRegistry",
    "ModelVersion",
    "NewVersion",
    "OpenRun",
    "RegisteredModel",
    "Registry",
    "VersionCheck",
    "VersionTags",
    "ancestry",
    "audit_registry",
    "champion_of",
    "check_version",
    "gate",
    "lineage",
    "model_source",
    "open_registry",
    "promotions",
    "read_registry",
    "reaudits",
    "registration",
    "registry_exists",
    "resolve",
    "version_of",
]
