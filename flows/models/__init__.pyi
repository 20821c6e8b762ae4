from . import architectures, recipes, statistics_cache, statistics_sharded, weights
from .architectures import build
from .weights import load_weights, read_metadata, retired_outputs, save_weights

__all__ = [
    "architectures",
    "build",
    "load_weights",
    "read_metadata",
    "recipes",
    "retired_outputs",
    "save_weights",
    "statistics_cache",
    "statistics_sharded",
    "weights",
]
