"""Shards: the images of a WebDataset or of a `datasets` folder are those that were packed."""

from __future__ import annotations

import contextlib
import io
import json
import tarfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from PIL import Image
from pyarrow import parquet

from compliance.documents.preprocessing import Preprocessing
from flows.data import class_names, commitment, file_digests, image_folder, loaders, versions
from flows.data.dataset import Dataset, DataSpec
from flows.data.digest_store import md5_of
from flows.data.packed import hf_shards, reading, shard_index, tar_shards
from flows.data.packed.record import Entry
from flows.operations import inspection
from flows.state.errors import DataError, DataVersionError
from flows.state.paths import Home

SEEN = Preprocessing(resize=18, crop=16, mean=(0.5, 0.4, 0.3), std=(0.2, 0.2, 0.3))
NAMES = ["ant", "bee", "cat"]


def jpeg(seed: int) -> bytes:
    size = (20 + seed % 5, 24 + seed % 7)
    pixels = np.random.default_rng(seed).integers(0, 256, (*size, 3), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG")
    return buffer.getvalue()


def rows(part: str, count: int) -> list[tuple[bytes, int]]:
    """Images and classes, the classes mixed."""
    return [(jpeg(1000 * (part == "test") + n), n % 3) for n in range(count)]


def tar(path: Path, content: list[tuple[bytes, int]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as file:
        for number, (image, label) in enumerate(content):
            members = (("jpg", image), ("cls", str(label).encode()), ("json", b"{}"))
            for ending, part in members:
                member = tarfile.TarInfo(f"{number:04}.{ending}")
                member.size, member.mtime = len(part), 1.5  # type: ignore[assignment]
                file.addfile(member, io.BytesIO(part))  # with a header of its own for the time
    return path


def table(content: list[tuple[bytes | None, object]], column: str = "label") -> pa.Table:
    features = {
        "image": {"_type": "Image"},
        column: {"_type": "ClassLabel", "names": NAMES},
    }
    images = [{"bytes": image, "path": "x.jpg"} for image, _ in content]
    built = pa.table({"image": images, column: [label for _, label in content]})
    noted = {"huggingface": json.dumps({"info": {"features": features}})}
    return built.replace_schema_metadata(noted)


def folder_of(path: Path) -> Path:
    """The same images as single files."""
    for part, count in (("train", 9), ("test", 6)):
        for number, (image, label) in enumerate(rows(part, count)):
            place = path / part / NAMES[label] / f"{number:04}.jpg"
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(image)
    return path


def web(folder: Path) -> str:
    train = rows("train", 9)
    tar(folder / "set-train-000000.tar", train[:5])
    tar(folder / "set-train-000001.tar", train[5:])
    tar(folder / "set-test-000000.tar", rows("test", 6))
    return f"webdataset:{folder}"


def hub(folder: Path) -> str:
    (folder / "data").mkdir(parents=True)
    for part, count in (("train", 9), ("test", 6)):
        file = folder / "data" / f"{part}-00000-of-00001.parquet"
        parquet.write_table(table(rows(part, count)), file, row_group_size=4)
    return f"hf:{folder}"


def saved(folder: Path) -> str:
    for part, count in (("train", 9), ("test", 6)):
        place = folder / part / "data-00000-of-00001.arrow"
        place.parent.mkdir(parents=True)
        built = table(rows(part, count))
        with pa.OSFile(str(place), "wb") as file, pa.ipc.new_stream(file, built.schema) as stream:
            stream.write_table(built, max_chunksize=4)
    return f"hf:{folder}"


def load(name: str, preprocessing: Preprocessing | None = SEEN) -> Dataset:
    loaders.load.cache_clear()
    return loaders.load(DataSpec(name=name, preprocessing=preprocessing))


def by_content(images: torch.Tensor, labels: torch.Tensor) -> list[tuple[int, bytes]]:
    return sorted((int(c), row.numpy().tobytes()) for row, c in zip(images, labels, strict=True))


@pytest.mark.parametrize("pack", [web, hub, saved])
def test_packed_images_are_those_of_a_folder(
    home: Home, tmp_path: Path, pack: Callable[[Path], str]
) -> None:
    single = load(f"imagefolder:{folder_of(tmp_path / 'single')}")
    packed = load(pack(tmp_path / "packed"))
    assert (packed.classes, packed.packed) == (3, True)
    for part in ("train", "test"):
        ours, theirs = (
            by_content(getattr(d, f"{part}_inputs")[:], getattr(d, f"{part}_labels"))
            for d in (packed, single)
        )
        assert ours == theirs
    digests = [sorted(each.md5 for each in file_digests.listing(d)) for d in (packed, single)]
    assert digests[0] == digests[1]
    # what is kept is committed to by its pixels, wherever it lies
    assert commitment.retain_digest(packed, [1]) == commitment.retain_digest(single, [1])


@pytest.mark.parametrize("pack", [web, hub, saved])
def test_a_version_has_no_row_of_the_class(
    home: Home, tmp_path: Path, pack: Callable[[Path], str]
) -> None:
    dataset = load(pack(tmp_path / "packed"))
    before, after = versions.before_and_after(dataset, [1], home)
    assert (before.rows, after.rows) == (9, 6)
    assert before.version != after.version


def refuse(shard: Path, key: str) -> list[Entry]:
    raise AssertionError(f"{shard} is read again")


@pytest.mark.parametrize("pack", [web, hub, saved])
def test_a_shard_is_read_once(
    home: Home,
    tmp_path: Path,
    pack: Callable[[Path], str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("flows.data.digest_store.SETTLED", -(1 << 60))
    name = pack(tmp_path / "packed")
    before = load(name).train_inputs[:]
    unread = {n: replace(kind, scan=refuse) for n, kind in reading.KINDS.items()}
    monkeypatch.setattr(reading, "KINDS", unread)
    assert len(list(home.digests.glob("shard-*.json"))) in (2, 3)
    kept = b"".join(path.read_bytes() for path in home.digests.glob("shard-*.json"))
    assert not any(name.encode() in kept for name in (*NAMES, "x.jpg", "0001"))
    assert torch.equal(load(name).train_inputs[:], before)


def test_a_shard_that_has_changed_is_read_again(home: Home, tmp_path: Path) -> None:
    name = web(tmp_path / "packed")
    dataset = load(name)
    first = file_digests.digest(file_digests.listing(dataset))
    tar(tmp_path / "packed" / "set-train-000001.tar", [(jpeg(77), 2), *rows("train", 9)[6:]])
    changed = file_digests.digest(file_digests.listing(dataset))
    assert changed != first
    tar(tmp_path / "packed" / "set-train-000001.tar", rows("train", 9)[6:])
    with pytest.raises(DataVersionError, match="have changed since they were read"):
        file_digests.listing(dataset)


def test_without_a_test_part_a_share_of_each_class_is_held_out(home: Home, tmp_path: Path) -> None:
    tar(tmp_path / "shards" / "000000.tar", rows("train", 30))
    dataset = load(f"webdataset:{tmp_path / 'shards'}")
    assert dataset.test_labels.bincount().tolist() == [2, 2, 2]
    assert len(dataset.train_labels) == 24
    again = load(f"webdataset:{tmp_path / 'shards'}")
    assert torch.equal(again.test_inputs[:], dataset.test_inputs[:])


def test_a_test_part_without_classes_gives_way_to_the_validation_part(
    home: Home, tmp_path: Path
) -> None:
    """As on the hub for competitions: -1 stands for a class that is kept secret."""
    content = {"train": rows("train", 9), "validation": rows("test", 6)}
    content["test"] = [(image, -1) for image, _ in rows("test", 3)]
    for part, listed in content.items():
        parquet.write_table(table(list(listed)), tmp_path / f"{part}-00000-of-00001.parquet")
    dataset = load(f"hf:{tmp_path}")
    assert len(dataset.test_labels) == 6
    assert {each.reason: each.count for each in dataset.left_out} == {"images without a class": 3}


def test_the_class_is_named_where_there_are_two(home: Home, tmp_path: Path) -> None:
    both = table(rows("train", 12), "fine_label")
    features = json.loads(both.schema.metadata[b"huggingface"])
    features["info"]["features"]["coarse_label"] = {"_type": "ClassLabel", "names": ["a", "b"]}
    both = both.append_column("coarse_label", pa.array([0, 1] * 6))
    both = both.replace_schema_metadata({"huggingface": json.dumps(features)})
    parquet.write_table(both, tmp_path / "train.parquet")
    with pytest.raises(DataError, match="as in hf:FOLDER#fine_label"):
        load(f"hf:{tmp_path}")
    assert load(f"hf:{tmp_path}#fine_label").classes == 3
    coarse = load(f"hf:{tmp_path}#coarse_label")
    assert coarse.classes == 2
    spec = DataSpec(name=f"hf:{tmp_path}#fine_label")
    assert class_names.names_of(spec) == ("ant", "bee", "cat")
    assert class_names.index_of(spec, "bee") == 1


def test_damp_inspect_reads_the_headers_of_packed_images(home: Home, tmp_path: Path) -> None:
    looked = inspection.inspect(
        home,
        data=web(tmp_path / "packed"),
        data_root=None,
        model=None,
        architecture=None,
        preprocessing=None,
        recipe=None,
    )
    assert [(row.train, row.test) for row in looked.classes] == [(3, 2)] * 3
    assert looked.sizes is not None
    assert looked.sizes.files == 15


# Hostile and damaged shards: refused with words, whatever is in them.


def write_tar(path: Path, *members: tuple[tarfile.TarInfo, bytes]) -> str:
    with tarfile.open(path / "train.tar", "w") as file:
        for member, content in members:
            member.size = len(content) if member.isreg() else 0
            file.addfile(member, io.BytesIO(content))
    return f"webdataset:{path}"


def link(name: str, kind: bytes) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, "/etc/passwd"
    return member


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE])
def test_links_and_devices_are_refused(home: Home, tmp_path: Path, kind: bytes) -> None:
    name = write_tar(tmp_path, (link("0.jpg", kind), b""))
    with pytest.raises(DataError, match="a link, a device or a sparse file"):
        load(name)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"bee", "is no number"),
        (b"-1", "is no number"),
        (b"9" * 30, "is no number"),
        (b"123456", "classes at most"),
    ],
)
def test_a_class_is_a_number(home: Home, tmp_path: Path, content: bytes, words: str) -> None:
    members = ((tarfile.TarInfo("0.jpg"), jpeg(0)), (tarfile.TarInfo("0.cls"), content))
    with pytest.raises(DataError, match=words):
        load(write_tar(tmp_path, *members))


def test_an_image_without_a_class_is_refused(home: Home, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="has 1 images and 0 classes"):
        load(write_tar(tmp_path, (tarfile.TarInfo("0.jpg"), jpeg(0))))


def test_every_cut_of_a_shard_is_refused(home: Home, tmp_path: Path) -> None:
    whole = tar(tmp_path / "train.tar", rows("train", 3)).read_bytes()
    end = len(whole.rstrip(b"\0"))
    for cut in range(1, end, 509):
        (tmp_path / "train.tar").write_bytes(whole[:cut])
        with pytest.raises(DataError):
            load(f"webdataset:{tmp_path}")


def test_every_byte_of_a_header_may_be_wrong(home: Home, tmp_path: Path) -> None:
    """No change of a header's bytes leads to an error that is not in words, or to no end."""
    whole = bytearray(tar(tmp_path / "train.tar", rows("train", 3)).read_bytes())
    for place in range(0, 1536, 7):
        changed = bytearray(whole)
        changed[place] ^= 0x84
        (tmp_path / "train.tar").write_bytes(changed)
        with contextlib.suppress(DataError):
            tar_shards.scan(tmp_path / "train.tar", "")


def test_a_negative_size_leads_nowhere(home: Home, tmp_path: Path) -> None:
    member = tarfile.TarInfo("0.jpg")
    block = bytearray(member.tobuf(tarfile.GNU_FORMAT))
    block[124:136] = b"\xff" * 12  # -1 in base 256
    total = sum(block[:148]) + 8 * 32 + sum(block[156:512])
    block[148:156] = f"{total:06o}\0 ".encode()
    (tmp_path / "train.tar").write_bytes(bytes(block) + bytes(1024))
    with pytest.raises(DataError, match="cut short, or damaged"):
        load(f"webdataset:{tmp_path}")


def test_a_compressed_shard_is_pointed_out(home: Home, tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "train.tar", "w:gz") as file:
        file.addfile(tarfile.TarInfo("0.jpg"))
    with pytest.raises(DataError, match="is compressed: unpack it first"):
        load(f"webdataset:{tmp_path}")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ([(b"x", 0), (None, 0)], "by the names of their files"),
        ([(b"x", "bee")], r"class_encode_column\('label'\)"),
        ([(b"x", 3)], "a label is 3"),
    ],
)
def test_cells_that_hold_something_else_are_refused(
    home: Home, tmp_path: Path, content: list[tuple[bytes | None, object]], words: str
) -> None:
    parquet.write_table(table(content), tmp_path / "train.parquet")
    with pytest.raises(DataError, match=words):
        load(f"hf:{tmp_path}")


@pytest.mark.parametrize("ending", ["parquet", "arrow"])
def test_damaged_files_are_refused(home: Home, tmp_path: Path, ending: str) -> None:
    pack = hub if ending == "parquet" else saved
    name = pack(tmp_path / "packed")
    file = next((tmp_path / "packed").rglob(f"*train*/*.{ending}"), None) or next(
        (tmp_path / "packed").rglob(f"train*.{ending}")
    )
    whole = file.read_bytes()
    for cut in range(0, len(whole), max(1, len(whole) // 40)):
        file.write_bytes(whole[:cut])
        with pytest.raises(DataError):
            load(name)


def test_a_row_group_that_would_fill_the_memory_is_refused(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hf_shards, "LARGEST_GROUP", 1000)
    with pytest.raises(DataError, match="smaller row groups"):
        load(hub(tmp_path / "packed"))


def test_compressed_arrow_is_refused(home: Home, tmp_path: Path) -> None:
    built = table(rows("train", 9))
    options = pa.ipc.IpcWriteOptions(compression="lz4")
    place = tmp_path / "train.arrow"
    with (
        pa.OSFile(str(place), "wb") as file,
        pa.ipc.new_stream(file, built.schema, options=options) as stream,
    ):
        stream.write_table(built)
    with pytest.raises(DataError, match="write it as Parquet"):
        load(f"hf:{tmp_path}")


def test_images_that_cannot_be_decoded_are_all_named(home: Home, tmp_path: Path) -> None:
    content = rows("train", 9)
    content[4], content[7] = (b"no picture", 1), (jpeg(0)[:100], 1)
    tar(tmp_path / "train.tar", content)
    with pytest.raises(DataError, match="2 of 9 images cannot be used") as refused:
        load(f"webdataset:{tmp_path}")
    assert "train.tar, image 4" in str(refused.value)
    assert "train.tar, image 7" in str(refused.value)


def test_an_index_that_is_damaged_is_made_again(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flows.data.digest_store.SETTLED", -(1 << 60))
    name = web(tmp_path / "packed")
    before = load(name).train_labels
    for path in home.digests.glob("shard-*.json"):
        path.write_text('{"stamp": 3')
    assert torch.equal(load(name).train_labels, before)
    (shard, *_) = sorted((tmp_path / "packed").glob("*.tar"))
    assert shard_index.stamp_of(shard)[0] == shard.stat().st_size


def test_single_files_keep_their_digests(home: Home, tmp_path: Path) -> None:
    """What is read as before has the versions of before."""
    folder = folder_of(tmp_path / "single")
    files = image_folder.listed(f"imagefolder:{folder}", folder)
    listing = file_digests.listing(load(f"imagefolder:{folder}"))
    assert [each.relpath for each in listing] == [files.relpath(image) for image in files.images]
    assert all(md5_of(folder / each.relpath) == each.md5 for each in listing)
