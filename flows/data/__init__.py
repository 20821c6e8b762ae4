"""Data sets: read by name, checked, versioned by DVC, and committed to.

A request names its data; `loaders` gives them as tensors, with classes as numbers. An event works
on two versions of them, before and after the forgotten rows are taken out, and signs a commitment
to these rows that shows none of them.

Reading:

    dataset.py           a data set as a model sees it, and how a request names one
    loaders.py           the table of names, two small sets that libraries ship, users' functions
    torchvision_sets.py  MNIST, CIFAR-10 and CIFAR-100, downloaded once or read where they lie
    image_folder.py      images on disk: a folder per class, or Tiny ImageNet's layout
    image_layout.py      which files are images of which class; what is left out, or not pulled
    users_pictures.py    torch data sets of users' own: pictures, bytes or floats
    packed/              files that hold many images: WebDataset's shards, Hugging Face's folders
    class_names.py       which index a class has that is named by its folder
    leakage.py           images that are there twice: in two parts, or in two classes

Images that stay on disk:

    view.py              stored images as a model sees them, batch by batch
    pictures.py          one picture file: opened safely, modes and orientation understood
    geometry.py          resize and crop of a preprocessing, by torchvision
    image_cache.py       images decoded once, into one file of bytes; or anew where it has no room

Versions:

    versions.py          the version of a data set, and its successor without some classes' rows
    file_digests.py      the files of a data set with their digests, and DVC's digest of a folder
    digest_store.py      digests of many files, each read once
    shards.py            data in memory as files: equal rows give equal bytes
    shard_store.py       these files in one folder per version, hard-linked, each whole or not there
    dvc_workspace.py     DVC's workspace under the state folder: add, push, collect; its own cache
    dvc_metadata.py      DVC's own files, read: which versions hold rows that were forgotten

Commitment:

    commitment.py        what was forgotten as a keyed Merkle root, what was kept as one digest

A new data set is one entry in `loaders.LOADERS` and the function that it names. `__all__` lists the
modules that other rooms import.
"""

__all__ = [
    "class_names",
    "commitment",
    "dataset",
    "dvc_metadata",
    "dvc_workspace",
    "image_folder",
    "image_layout",
    "leakage",
    "loaders",
    "packed",
    "pictures",
    "versions",
    "view",
]
