from . import recipes, statistics_cache, statistics_sharded, weights
from .weights import load_weights

__all__ = [
    "load_weights",
    "recipes",
    "statistics_cache",
    "statistics_sharded",
    "weights",
]
