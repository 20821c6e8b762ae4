"""Images inside files that hold many: WebDataset's shards and Hugging Face's `datasets` folders.

Nothing is unpacked: an image is read where it lies, when it is asked for. What is known of a shard
(place, class and md5 of each image) is kept under the state folder, by the shard's size and times,
so that a shard is read once. A version of such data is that of a folder with these images.

    reading.py      shards of a folder, their parts, and the images of all of them
    record.py       one image: which shard, where in it
    shard_index.py  what is known of a shard, kept for the next time
    tar_shards.py   WebDataset: tar files, walked header by header
    hf_shards.py    `datasets` folders: Parquet and Arrow files, by pyarrow

A new kind is one entry in `reading.KINDS`. All files are somebody else's: every offset, size and
label is checked before it is used, and no name in them is ever a path here.
"""

from flows.data.packed.reading import FAMILIES, class_names, listed
from flows.data.packed.record import Packed

__all__ = ["FAMILIES", "Packed", "class_names", "listed"]
