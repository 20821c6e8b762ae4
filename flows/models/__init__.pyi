from . import (
    architectures,
    held_tensors,
    other_methods,
    preprocessing_sources,
    recipes,
    renewal,
    statistics_cache,
    statistics_sharded,
    trainings,
    weights,
)
from .architectures import build
from .weights import load_weights, read_metadata, retired_outputs, save_weights

__all__ = [
    "architectures",
    "build",
    "held_tensors",
    "load_weights",
    "other_methods",
    "preprocessing_sources",
    "read_metadata",
    "recipes",
    "renewal",
    "retired_outputs",
    "save_weights",
    "statistics_cache",
    "statistics_sharded",
    "trainings",
    "weights",
]
