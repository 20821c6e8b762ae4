"""Which index a class has: folders are sorted as text, as torchvision sorts them.

So folder 10 comes before folder 2, and a number that a person writes may be either. Where names are
numbers and differ from the index, nothing is taken for granted.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from flows.data.dataset import DataSpec
from flows.state.errors import DataError

ROWS = 12
"""Lines of the table in a refusal; `damp classes` prints all."""


def spec(data: str, root: Path | None) -> DataSpec:
    """Data as the command line names them."""
    return DataSpec(name=data, root=str(root.resolve()) if root else None)


def indices(given: Sequence[str], data: str, root: Path | None) -> tuple[int, ...]:
    """Indices of classes that the command line names, each once, in the order given.

    Raises:
        DataError: There is no such class, or a number may mean two.
    """
    return tuple(dict.fromkeys(index_of(spec(data, root), each) for each in given))


def names_of(spec: DataSpec) -> tuple[str, ...] | None:
    """Folders of the classes in the order of their indices; None where a class has none here.

    Nothing but the names is read.
    """
    from flows.data import image_folder, image_layout, packed

    family, _, rest = spec.name.partition(":")
    folder = Path(rest).expanduser()
    if family == "imagefolder" and folder.is_dir():
        return tuple(image_folder.class_folders(spec.name, folder))
    if family in packed.FAMILIES:
        return packed.class_names(spec.name)
    if spec.name == "tiny-imagenet" and spec.root is not None:
        train = Path(spec.root) / "train"
        return tuple(image_layout.folders(train)) if train.is_dir() else None
    return None


def index_of(spec: DataSpec, given: str) -> int:
    """The index of a class that is named by its folder or its index.

    Raises:
        DataError: There is no such class, or the number may mean two.
    """
    names = names_of(spec)
    if names is not None:
        refuse_ambiguous(spec.name, names)
        if given in names:
            return names.index(given)
    if given.isascii() and given.isdigit():
        return int(given)
    raise DataError(
        f"Data set '{spec.name}' has no class of that name. Give the index, or the exact name of "
        "the class's folder; `damp classes` lists both."
    )


def refuse_ambiguous(name: str, names: Sequence[str]) -> None:
    """Refuse names that are numbers other than their index.

    Raises:
        DataError: With the table.
    """
    differing = [(i, each) for i, each in enumerate(names) if _number(each) not in (None, i)]
    if not differing:
        return
    rows = ", ".join(f"index {index} is folder {each}" for index, each in differing[:ROWS])
    more = f" and {len(differing) - ROWS} more" if len(differing) > ROWS else ""
    raise DataError(
        f"'{name}': folders that are named by numbers are sorted as text, so {rows}{more}. A "
        "number could mean either. If the model's outputs are in this order (torchvision's), put a "
        "letter before each folder's name, which keeps the order; else number them from 0, padded "
        "with zeros (00, 01), so that name and index agree. `damp classes` prints the whole table."
    )


def _number(name: str) -> int | None:
    return int(name) if name.isascii() and name.isdigit() else None
