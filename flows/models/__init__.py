"""Architectures, weights, recipes, and statistics of models that are kept.

    recipefile.py          The keys of a recipe file
    recipes.py             How models are trained, by name or by file: base models, and every retrai
    small_nets.py          Two small classifiers of our own: for the demo, for tests, and where a GP
    statistics_cache.py    Statistics of a model on a data version, taken once and kept for every la
    statistics_sharded.py  The statistics pass in parts, each on whichever worker of a cluster is fr
    third_party.py         Architectures of timm and of Hugging Face's transformers, each an optiona
    weights.py             Architectures by name, and weights as safetensors only, checked before th

`__all__` is the door: what other rooms import. `load_weights` is a name of the door itself: the
serving code that lies beside every registered model (flows/registry/serving.py) imports it here.
"""

import lazy_loader

__getattr__, __dir__, _ = lazy_loader.attach_stub(__name__, __file__)

__all__ = [
    "load_weights",
    "recipes",
    "statistics_cache",
    "statistics_sharded",
    "weights",
]
