"""Data sets, their versions by DVC, and the commitment to what is forgotten.

    commitment.py        What was forgotten, committed to without showing it; what was kept, as one
    dataset.py           A classification data set in memory, and how a request names one
    dvc_metadata.py      Which data versions hold which rows, read from DVC's own files in the works
    dvc_workspace.py     The DVC workspace under the state folder: written through DVC's command lin
    file_digests.py      The files of a data set and their digests, and DVC's digest of a folder in
    image_folder.py      Images on disk: a folder per class, or Tiny ImageNet's layout. All are chec
    leakage.py           Images that are in both parts: what was trained on is no held-out data
    loaders.py           Data sets by name, as tensors: what damp ships with, what torchvision fetch
    shard_store.py       Shards in folders, one per data version, each either whole or not there
    shards.py            A data set as files: one shard per part and class, the same rows always in
    torchvision_sets.py  MNIST, CIFAR-10 and CIFAR-100 through torchvision: downloaded once, or read
    versions.py          Which data, exactly: versions that anyone can recompute, and successors wit

`__all__` is the door: what other rooms import.
"""

__all__ = [
    "commitment",
    "dataset",
    "dvc_metadata",
    "dvc_workspace",
    "leakage",
    "loaders",
    "versions",
]
