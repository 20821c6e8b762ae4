"""Weights that an event was to make forget, wherever they lie again and whatever they are called.

A file's digest finds the very file. What finds the weights in another file (another name, other
metadata, other names of tensors, another container, half or double precision) are **probes**: runs
of values at which the model before differs from the model after, looked for in a file's bytes. An
honest successor holds none of them. Where the model before was purged, the digest over its tensors
that the ledger keeps finds them in any safetensors file.
"""

from __future__ import annotations

import hashlib
import mmap
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from compliance.formats import strict_json
from compliance.formats.errors import JsonError
from flows.registry.gate_ledger import LedgerFacts
from flows.registry.interface import Registry
from flows.registry.packing import WEIGHTS
from flows.state.errors import RegistryError
from flows.state.files import digest_file

if TYPE_CHECKING:
    import numpy as np

WINDOW = 32
"""Values of a probe: chance does not repeat so many."""
DISTINCT = 8
"""Different values in a probe at least: rows of zeros are everywhere."""
PROBED = 6
"""Tensors of a model that probes are taken from, the largest first."""
HEADER_LIMIT = 64 << 20
TYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2"}


@dataclass(frozen=True, slots=True, kw_only=True)
class OldWeights:
    """How the weights before events are recognised.

    Attributes:
        files: SHA-256 of their files.
        tensors: Digests over their tensors, see `digest_of_tensors`.
        probes: Bytes that no file of a model that has forgotten holds.
    """

    files: frozenset[str] = frozenset()
    tensors: frozenset[str] = frozenset()
    probes: frozenset[bytes] = frozenset()

    def __bool__(self) -> bool:
        """Whether there is anything to recognise."""
        return bool(self.files or self.tensors)

    def are_in(self, file: Path) -> bool:
        """Whether a file is, or holds, such weights.

        Raises:
            OSError, StoreError: It cannot be read.
        """
        if digest_file(file) in self.files:
            return True
        if self.tensors and digest_of_tensors(file) in self.tensors:
            return True
        if not self.probes or file.stat().st_size == 0:
            return False
        with (
            file.open("rb") as stream,
            mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as content,
        ):
            return any(content.find(probe) >= 0 for probe in self.probes)


def probes(before: Path, after: Path) -> Iterator[bytes]:
    """Runs of values of the model before that the model after has not, in four number formats."""
    import numpy as np

    old, new = Tensors.of(before), Tensors.of(after)
    common = [name for name in old.entries if name in new.entries]
    probed = 0
    for name in sorted(common, key=old.size, reverse=True):
        values, edited = old.values(name), new.values(name)  # (values,), (values,)
        if len(values) == len(edited) and not np.array_equal(values, edited):
            yield from _windows(values, values != edited)
            probed += 1
        if probed == PROBED:
            return


def _windows(values: np.ndarray, differ: np.ndarray) -> Iterator[bytes]:
    """Around the first and the last place that differ: a cut may have changed a few rows only."""
    import numpy as np

    places = np.flatnonzero(differ)
    for place in {int(places[0]), int(places[len(places) // 2]), int(places[-1])}:
        start = max(0, min(place - WINDOW // 2, len(values) - WINDOW))
        run = values[start : start + WINDOW]
        if len(run) == WINDOW and len(np.unique(run)) >= DISTINCT:
            yield from _encodings(run)


def _encodings(run: np.ndarray) -> Iterator[bytes]:
    """The values as files hold them: single, double, half precision, and bfloat16."""
    import numpy as np

    with np.errstate(over="ignore"):
        yield from (run.astype(kind).tobytes() for kind in ("<f4", "<f8", "<f2"))
    bits = run.astype("<f4").view("<u4")
    yield ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype("<u2").tobytes()


def digest_of_tensors(file: Path) -> str | None:
    """A digest over the values of all tensors, whatever they and the file are called.

    None for what is no whole safetensors file.
    """
    try:
        tensors = Tensors.of(file)
        parts = sorted(
            hashlib.sha256(tensors.values(name).tobytes()).digest() for name in tensors.entries
        )
    except (JsonError, AttributeError, KeyError, TypeError, ValueError):
        return None  # another kind of file: probes are looked for in its bytes
    return hashlib.sha256(b"".join(parts)).hexdigest() if parts else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Tensors:
    """The floating-point tensors of a safetensors file, each read when it is asked for.

    Attributes:
        content: The file's bytes, mapped.
        start: Where the first tensor lies.
        entries: Each tensor's entry in the header, by name.
    """

    content: np.ndarray
    start: int
    entries: Mapping[str, Mapping[str, Any]]

    @classmethod
    def of(cls, file: Path) -> Tensors:
        """The file's tensors.

        Raises:
            JsonError, AttributeError, KeyError, TypeError, ValueError: It is no such file.
        """
        import numpy as np

        with file.open("rb") as stream:
            length = int.from_bytes(stream.read(8), "little")
            if not 0 < length <= min(HEADER_LIMIT, file.stat().st_size - 8):
                raise ValueError("no safetensors header")
            header = strict_json.loads(stream.read(length))
        return cls(
            content=np.memmap(file, mode="r"),
            start=8 + length,
            entries={
                name: entry
                for name, entry in header.items()
                if name != "__metadata__" and entry["dtype"] in TYPES
            },
        )

    def size(self, name: str) -> int:
        """Bytes of a tensor."""
        begin, end = self.entries[name]["data_offsets"]
        return int(end - begin)

    def values(self, name: str) -> np.ndarray:
        """A tensor, flat, in single precision."""
        entry = self.entries[name]
        begin, end = entry["data_offsets"]
        values = self.content[self.start + begin : self.start + end].view(TYPES[entry["dtype"]])
        if entry["dtype"] == "BF16":
            values = (values.astype("<u4") << 16).view("<f4")
        return values.astype("<f4", copy=False)


def gather(registry: Registry, ledger: LedgerFacts, folder: Path) -> OldWeights:
    """How they are recognised: from the ledger, and from each copy that damp still keeps itself.

    Args:
        registry: Keeps weights as versions.
        ledger: Names weights by their digests.
        folder: For what is fetched.
    """
    promotions = [each for of_name in ledger.promotions.values() for each in of_name]
    tensors = {each.tensors_before for each in promotions if each.tensors_before is not None}
    runs: set[bytes] = set()
    for sha256, attempts in ledger.erased.items():
        kept = [attempt.folder / "before.safetensors" for attempt in attempts]
        before = _kept(registry, sha256, kept, folder)
        if before is None:
            continue  # purged: its digests are left
        if (digest := digest_of_tensors(before)) is not None:
            tensors.add(digest)
        events = {attempt.event for attempt in attempts}
        for model in {each.model for each in promotions if each.event in events and each.model}:
            after = _kept(registry, model, [attempt.after for attempt in attempts], folder)
            if after is not None:
                runs |= set(probes(before, after))
    return OldWeights(
        files=frozenset(ledger.erased), tensors=frozenset(tensors), probes=frozenset(runs)
    )


def _kept(registry: Registry, sha256: str, paths: Iterable[Path], folder: Path) -> Path | None:
    """A file of these very bytes: one of these, or that of a registered version."""
    for path in (*paths, *_registered(registry, sha256, folder)):
        if path.is_file() and digest_file(path) == sha256:
            return path
    return None


def _registered(registry: Registry, sha256: str, folder: Path) -> Iterator[Path]:
    for version in registry.versions_of_weights(sha256):
        try:
            model = registry.logged_model(version.logged_model_id())
            weights = registry.model_file(model, WEIGHTS, folder / model.model_id)
        except RegistryError:
            continue  # that version is a finding of its own; here, another copy may do
        if weights is not None:
            yield weights
