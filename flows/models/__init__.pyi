from . import (
    architectures,
    held_tensors,
    preprocessing_sources,
    recipes,
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
    "preprocessing_sources",
    "read_metadata",
    "recipes",
    "retired_outputs",
    "save_weights",
    "statistics_cache",
    "statistics_sharded",
    "trainings",
    "weights",
]
