"""Models: how they are built, trained and stored, and what was measured on them.

A request names an architecture and a recipe; a file brings the weights. This room turns both into
a network, and refuses what does not fit before any tensor is read.

    architectures.py       from a name to a fresh network: `damp:cnn`, `torchvision:resnet18`, ...
    small_nets.py          our own two, a CNN and a vision transformer, for demo and tests
    third_party.py         those of timm and of Hugging Face's transformers, each an optional extra
    users_networks.py      networks of users' own classes: completed, tried once, read in one way
    weights.py             safetensors files: written so that equal models give equal bytes, checked
                           against the architecture before loading
    tensor_names.py        which tensor of a file is which of a network, behind wrappers' prefixes
    held_tensors.py        what a network runs with, held against its file bit for bit
    preprocessing_sources.py  what a model sees of an image: from torchvision, timm, Hugging Face
    recipes.py             how a model is trained, one entry or one YAML file each
    trainings.py           a training as its recipe says: start, frozen parts, users' trainers
    users_trainers.py      a training by a user's own function, checked
    renewal.py             a top that starts afresh and is trained on the rows to keep alone
    other_methods.py       methods of others, and a team's own, as a request names them
    statistics_cache.py    class statistics of a model on a data version, kept for later requests
    statistics_sharded.py  the same statistics in parts, on a cluster's workers

`build`, `load_weights`, `save_weights`, `read_metadata` and `retired_outputs` can be imported from
here, and always will be: registered models bring a copy of the script that serves them, and that
script imports `flows.models.load_weights`. Other names in `__all__` are modules for other rooms.
"""

import lazy_loader

__getattr__, __dir__, _ = lazy_loader.attach_stub(__name__, __file__)

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
