"""Images on disk: what is read, and how folders and files that cannot be used are refused."""

from __future__ import annotations

import os
import random
import struct
import tarfile
import time
import zlib
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from flows.data import image_folder, loaders
from flows.data.dataset import Dataset, DataSpec
from flows.state.errors import DataError
from flows.state.paths import Home

Refusal = Callable[..., AbstractContextManager[None]]


def paint(path: Path, seed: int, size: tuple[int, int] = (8, 6), mode: str = "RGB") -> np.ndarray:
    """A picture of noise, `size` as (width, height); gives its pixels."""
    depth = {"RGB": (3,), "L": ()}[mode]
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], *depth), np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return pixels


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Three classes of five pictures each."""
    folder = tmp_path / "pictures"
    for label, name in enumerate(["ant", "bee", "cat"]):
        for number in range(5):
            paint(folder / name / f"{number}.png", 10 * label + number)
    return folder


@pytest.fixture
def parted(pictures: Path) -> Path:
    """The same with train/ and test/."""
    (pictures / "train").mkdir()
    for name in ("ant", "bee", "cat"):
        (pictures / name).rename(pictures / "train" / name)
        paint(pictures / "test" / name / "0.png", 77)
    return pictures


@pytest.fixture
def tiny_imagenet(tmp_path: Path) -> Path:
    """Two classes in the official layout."""
    folder = tmp_path / "tiny"
    lines = []
    for label, wnid in enumerate(["n01443537", "n01629819"]):
        for number in range(3):
            name = f"{wnid}_{number}.png"
            paint(folder / "train" / wnid / "images" / name, 10 * label + number, (8, 8))
        (folder / "train" / wnid / f"{wnid}_boxes.txt").write_text("n_0.JPEG\t0\t0\t9\t9\n")
        paint(folder / "val" / "images" / f"val_{label}.png", 50 + label, (8, 8))
        lines.append(f"val_{label}.png\t{wnid}\t0\t0\t9\t9\n")
    (folder / "val" / "val_annotations.txt").write_text("".join(lines))
    return folder


def load(folder: Path) -> Dataset:
    return loaders.load.__wrapped__(DataSpec(name=f"imagefolder:{folder}"))


def load_tiny(folder: Path) -> Dataset:
    return loaders.load.__wrapped__(DataSpec(name="tiny-imagenet", root=str(folder)))


def test_a_folder_per_class_becomes_numbered_classes_in_the_order_of_names(pictures: Path) -> None:
    dataset = load(pictures)
    assert dataset.classes == 3
    assert dataset.input_shape == (3, 6, 8)
    assert dataset.train_labels.tolist() == [0] * 4 + [1] * 4 + [2] * 4
    assert dataset.test_labels.tolist() == [0, 1, 2]
    assert dataset.folder == pictures
    assert dataset.files is not None
    assert len(dataset.files) == 15


def test_each_row_is_its_files_pixels(pictures: Path) -> None:
    dataset = load(pictures)
    assert dataset.files is not None
    rows = {"train": iter(dataset.train_inputs), "test": iter(dataset.test_inputs)}
    for path, part, label in dataset.files:
        with Image.open(pictures / path) as image:
            wanted = np.asarray(image).transpose(2, 0, 1) / 255
        np.testing.assert_allclose(next(rows[part]).numpy(), wanted, rtol=1e-6)
        assert path.startswith(["ant", "bee", "cat"][label])


def test_the_split_depends_on_nothing_but_the_files_names(pictures: Path, tmp_path: Path) -> None:
    moved = tmp_path / "elsewhere"
    names = list(pictures.rglob("*.png"))
    random.Random(0).shuffle(names)
    for path in names:
        paint(moved / path.relative_to(pictures), seed=1)
    assert load(moved).files == load(pictures).files


def test_a_part_of_its_own_is_the_test_data(parted: Path) -> None:
    dataset = load(parted)
    assert len(dataset.train_labels) == 15
    assert dataset.test_labels.tolist() == [0, 1, 2]
    assert dataset.files is not None
    assert dataset.files[-1] == ("test/cat/0.png", "test", 2)


def test_hidden_folders_and_other_files_are_no_classes_and_no_images(pictures: Path) -> None:
    (pictures / ".ipynb_checkpoints").mkdir()
    (pictures / "readme.txt").write_text("x")
    (pictures / "ant" / "notes.txt").write_text("x")
    (pictures / "ant" / "folder.png").mkdir()
    assert load(pictures).classes == 3
    assert len(load(pictures).train_labels) == 12


def test_grey_pictures_have_one_channel(tmp_path: Path) -> None:
    for n in range(8):
        paint(tmp_path / "ab"[n % 2] / f"{n}.png", n, mode="L")
    assert load(tmp_path).input_shape == (1, 6, 8)


def test_one_grey_picture_among_coloured_ones_does_not_take_their_colours(pictures: Path) -> None:
    grey = paint(pictures / "ant" / "0.png", 5, mode="L")
    dataset = load(pictures)
    assert dataset.input_shape == (3, 6, 8)
    assert dataset.files is not None
    rows = torch.cat([dataset.test_inputs, dataset.train_inputs]).numpy()
    row = rows[[path for path, _, _ in dataset.files].index("ant/0.png")]
    np.testing.assert_allclose(row, np.broadcast_to(grey / 255, (3, 6, 8)), rtol=1e-6)


def test_sixteen_bits_are_not_cut_off_at_255(tmp_path: Path) -> None:
    deep = np.linspace(0, 65535, 48).astype(np.uint16).reshape(6, 8)
    for n in range(8):
        (tmp_path / "ab"[n % 2]).mkdir(exist_ok=True)
        Image.fromarray(deep).save(tmp_path / "ab"[n % 2] / f"{n}.png")
    dataset = load(tmp_path)
    np.testing.assert_allclose(dataset.train_inputs[0, 0].numpy(), deep / 65535, rtol=1e-6)


def test_tiny_imagenet_is_read_in_its_official_layout(tiny_imagenet: Path) -> None:
    dataset = load_tiny(tiny_imagenet)
    assert dataset.input_shape == (3, 8, 8)
    assert dataset.train_labels.tolist() == [0, 0, 0, 1, 1, 1]
    assert dataset.test_labels.tolist() == [0, 1]
    assert dataset.files is not None
    assert dataset.files[0] == ("train/n01443537/images/n01443537_0.png", "train", 0)


def test_tiny_imagenet_needs_a_folder(refused: Refusal) -> None:
    with refused(DataError, "'tiny-imagenet'", "--data-root"):
        loaders.load.__wrapped__(DataSpec(name="tiny-imagenet"))


def without(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).unlink()


def saying(line: str) -> Callable[[Path], None]:
    return lambda folder: (folder / "val/val_annotations.txt").write_text(line) and None


def without_validation_images(folder: Path) -> None:
    for path in (folder / "val" / "images").iterdir():
        path.unlink()


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (without("val/val_annotations.txt"), ["lacks train/ or val/val_annotations.txt"]),
        (saying("val_0.png n01443537\n"), ["val_annotations.txt, line 1", "Fetch the file again"]),
        (saying("/etc/passwd\tn01443537\n"), ["val_annotations.txt, line 1", "Fetch the file"]),
        (saying("../../x.png\tn01443537\n"), ["val_annotations.txt, line 1", "Fetch the file"]),
        (saying("val_0.png\tn01443537\n"), ["no image in", "n01629819 (test)"]),
        (saying(""), ["n01443537 (test), n01629819 (test)"]),
        (without_validation_images, ["val_0.png", "FileNotFoundError", "fix or remove"]),
    ],
)
def test_another_layout_than_tiny_imagenets_is_refused(
    damage: Callable[[Path], None], words: list[str], tiny_imagenet: Path, refused: Refusal
) -> None:
    damage(tiny_imagenet)
    with refused(DataError, "'tiny-imagenet'", str(tiny_imagenet), *words):
        load_tiny(tiny_imagenet)


def only_one_class(folder: Path) -> None:
    for name in ("bee", "cat"):
        (folder / name).rename(folder.parent / name)


def empty_class(folder: Path) -> None:
    (folder / "dog").mkdir()


def one_picture_class(folder: Path) -> None:
    paint(folder / "dog" / "0.png", 3)


def other_size(folder: Path) -> None:
    paint(folder / "bee" / "9.png", 3, (9, 6))


def text_as_png(folder: Path) -> None:
    (folder / "bee" / "9.png").write_text("#!/bin/sh\n")


def empty_file(folder: Path) -> None:
    (folder / "bee" / "9.png").touch()


def truncated(folder: Path) -> None:
    paint(folder / "bee" / "9.png", 3, (64, 64))
    content = (folder / "bee" / "9.png").read_bytes()
    (folder / "bee" / "9.png").write_bytes(content[: len(content) // 2])


def damaged_chunk(folder: Path) -> None:
    content = (folder / "bee" / "0.png").read_bytes()
    (folder / "bee" / "0.png").write_bytes(content.replace(b"IDAT", b"ID\x00T"))


def png(width: int, height: int) -> bytes:
    """A black picture of one bit a pixel: 20,000 x 20,000 of them in 50 kB."""
    rows = zlib.compress(bytes((width // 8 + 1) * height), 9)
    parts = [(b"IHDR", struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)), (b"IDAT", rows)]
    chunks = [
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in [*parts, (b"IEND", b"")]
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def bomb(width: int, height: int) -> Callable[[Path], None]:
    def place(folder: Path) -> None:
        (folder / "bee" / "9.png").write_bytes(png(width, height))

    return place


NINE = os.path.join("bee", "9.png")


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (only_one_class, ["1 class folder(s)", "A classifier needs two"]),
        (empty_class, ["no image in dog (train), dog (test)", "Every class needs"]),
        (one_picture_class, ["no image in dog (train).", "Every class needs"]),
        (other_size, [NINE, "is 9x6, the first image is 8x6", "bring all to one size"]),
        (text_as_png, [NINE, "(UnidentifiedImageError)", "fix or remove it"]),
        (empty_file, [NINE, "(UnidentifiedImageError)", "fix or remove it"]),
        (truncated, [NINE, "(OSError)", "fix or remove it"]),
        (
            damaged_chunk,
            [os.path.join("bee", "0.png"), "cannot be read as an image", "fix or remove it"],
        ),
        (bomb(2000, 8), [NINE, "is 2000x8; 1024 a side is the most", "make it smaller"]),
        (bomb(10000, 10000), [NINE, "is 10000x10000; 1024 a side", "make it smaller"]),
        (bomb(20000, 20000), [NINE, "(DecompressionBombError)", "fix or remove it"]),
    ],
)
def test_a_folder_that_cannot_be_used_is_refused(
    damage: Callable[[Path], None], words: list[str], pictures: Path, refused: Refusal
) -> None:
    damage(pictures)
    with refused(DataError, f"'imagefolder:{pictures}'", str(pictures), *words):
        load(pictures)


def test_all_bad_images_are_told_together_and_the_rest_counted(
    pictures: Path, refused: Refusal
) -> None:
    for number in range(8):
        (pictures / "cat" / f"bad-{number}.png").write_text("no picture")
    with refused(DataError, "bad-0.png", "bad-4.png", "And 3 more"):
        load(pictures)


def test_a_bad_first_image_is_named_like_any_other(pictures: Path, refused: Refusal) -> None:
    for path in (pictures / "ant").iterdir():
        path.write_text("no picture")
    with refused(DataError, str(pictures / "ant"), "(UnidentifiedImageError)"):
        load(pictures)


@pytest.mark.parametrize(("missing", "there"), [("test", "train"), ("train", "test")])
def test_half_of_the_two_parts_is_refused(
    missing: str, there: str, parted: Path, refused: Refusal
) -> None:
    (parted / missing).rename(parted.parent / "gone")
    with refused(DataError, str(parted), f"{there}/ but no {missing}/", f"Add {missing}/"):
        load(parted)


def test_a_test_class_that_was_never_trained_is_refused(parted: Path, refused: Refusal) -> None:
    paint(parted / "test" / "yak" / "0.png", 1)
    with refused(DataError, str(parted / "test"), "yak", "same class folders"):
        load(parted)


@pytest.mark.parametrize("place", ["nowhere", "pictures/ant/0.png"])
def test_a_place_that_is_no_folder_is_refused(place: str, pictures: Path, refused: Refusal) -> None:
    with refused(DataError, str(pictures.parent / place), "no folder", "a folder per class"):
        load(pictures.parent / place)


def test_an_unreadable_folder_is_one_message(home: Home, below_a_file: Path) -> None:
    with pytest.raises(DataError, match="no folder"):
        load(below_a_file)


@pytest.mark.parametrize("seed", range(3))
def test_no_mutation_of_an_image_ends_in_anything_but_a_data_set_or_a_refusal(
    seed: int, pictures: Path
) -> None:
    chance = random.Random(seed)
    victim = pictures / "bee" / f"0.{['png', 'jpg', 'gif'][seed]}"
    paint(victim, seed)
    whole = victim.read_bytes()
    for _ in range(60):
        content = bytearray(whole)
        for _ in range(chance.randint(1, 5)):
            content[chance.randrange(len(content))] = chance.randrange(256)
        victim.write_bytes(content[: chance.randint(len(content) // 2, len(content))])
        refusal = refusal_of(pictures)
        assert refusal == "" or str(victim) in refusal


def refusal_of(folder: Path) -> str:
    """Why a folder is refused; empty where it is read as its three classes."""
    try:
        return "" if load(folder).classes == 3 else "another number of classes"
    except DataError as error:
        return str(error)


def test_real_tiny_imagenet_is_read(real_data: Path, tmp_path: Path) -> None:
    archive = real_data / "tiny-imagenet-20.tar.xz"
    if not archive.exists():
        pytest.skip(f"NOT TESTED on real images: there is no {archive}")
    kept: dict[str, int] = {}

    def first_two(member: tarfile.TarInfo, path: str) -> tarfile.TarInfo | None:
        parts = Path(member.name).parts
        if "train" in parts and len(parts) > parts.index("train") + 1:
            wnid = parts[parts.index("train") + 1]
            if len(kept) < 2:
                kept.setdefault(wnid, 0)
            if wnid not in kept:
                return None
        return tarfile.data_filter(member, path)

    with tarfile.open(archive) as packed:
        packed.extractall(tmp_path, filter=first_two)  # noqa: S202 - through data_filter
    (notes,) = tmp_path.rglob("val_annotations.txt")
    dataset = load_tiny(notes.parents[1])
    assert dataset.input_shape == (3, 64, 64)
    assert dataset.train_labels.bincount().tolist() == [500, 500]
    assert dataset.test_labels.bincount().tolist() == [50, 50]
    assert 0.2 < float(dataset.train_inputs.mean()) < 0.8


@pytest.mark.timeout(60)
def test_a_pipe_among_the_pictures_is_refused_at_once(tmp_path: Path) -> None:
    for name in ("cat", "dog"):
        (tmp_path / name).mkdir()
        os.mkfifo(tmp_path / name / "1.png")
    with pytest.raises(DataError):
        image_folder.load("imagefolder:x", tmp_path)


# What is left out, and what is refused because torchvision would have read it


def left_out(dataset: Dataset) -> dict[str, int]:
    return {each.reason: each.count for each in dataset.left_out}


def test_what_is_left_out_is_counted_by_reason(pictures: Path) -> None:
    for name in ("a.txt", "b.TXT", "c.heic", "noending", ".DS_Store", "d.name of a person"):
        (pictures / "ant" / name).write_text("x")
    paint(pictures / "loose.png", 1)
    assert left_out(load(pictures)) == {
        "ending .txt": 2,
        "ending .heic": 1,
        "other endings or none": 2,
        "hidden files": 1,
        "images beside the class folders": 1,
    }


def test_images_in_subfolders_are_read_as_torchvision_reads_them(pictures: Path) -> None:
    from torchvision.datasets import ImageFolder

    for name in ("ant", "bee", "cat"):
        paint(pictures / name / "2024" / "may" / "deep.png", 99)
    dataset = load(pictures)
    assert dataset.files is not None
    theirs = sorted(
        Path(path).relative_to(pictures).as_posix() for path, _ in ImageFolder(pictures).samples
    )
    assert sorted(path for path, _, _ in dataset.files) == theirs
    assert len(theirs) == 18


@pytest.mark.parametrize(
    "where", ["ant/gone.png", "ant/x.tif", "ant/X.TIFF", "ant/.old/0.png", ".old/0.png"]
)
def test_what_torchvision_would_have_read_is_refused_by_name(pictures: Path, where: str) -> None:
    path = pictures / where
    path.parent.mkdir(exist_ok=True)
    if path.name == "gone.png":
        path.symlink_to(pictures / "nowhere.png")
    else:
        path.write_bytes((pictures / "ant" / "0.png").read_bytes())
    with pytest.raises(DataError, match=where.replace(".", r"\.")):
        load(pictures)


def test_links_that_multiply_are_refused_at_once(pictures: Path) -> None:
    """Two links in each of thirty folders lead to the next: a thousand million ways down."""
    chain = pictures.parent / "chain"
    for number in range(30):
        (chain / str(number)).mkdir(parents=True)
        for link in ("one", "two"):
            (chain / str(number) / link).symlink_to(chain / str(number + 1))
    (chain / "30").mkdir()
    (pictures / "ant" / "more").symlink_to(chain / "0")
    began = time.monotonic()
    with pytest.raises(DataError, match="Remove the links"):
        load(pictures)
    assert time.monotonic() - began < 20


def test_a_link_back_up_is_no_endless_walk(pictures: Path) -> None:
    (pictures / "ant" / "again").symlink_to(pictures)
    dataset = load(pictures)
    assert left_out(dataset)["links to a folder above"] >= 1


@pytest.mark.parametrize(
    ("train", "test"),
    [
        ("train", "val"),
        ("Train", "Test"),
        ("TRAIN", "VAL"),
        ("training", "validation"),
        ("Training", "testing"),
        ("train", "valid"),
    ],
)
def test_parts_may_have_other_usual_names(parted: Path, train: str, test: str) -> None:
    (parted / "train").rename(parted / "t1")
    (parted / "test").rename(parted / "t2")
    (parted / "t1").rename(parted / train)
    (parted / "t2").rename(parted / test)
    dataset = load(parted)
    assert dataset.classes == 3
    assert (len(dataset.train_labels), len(dataset.test_labels)) == (15, 3)
    assert left_out(dataset) == {}


def test_a_third_part_is_counted(parted: Path) -> None:
    paint(parted / "val" / "ant" / "0.png", 5)
    paint(parted / "unlabelled" / "0.png", 5)
    dataset = load(parted)
    assert len(dataset.test_labels) == 3
    assert left_out(dataset) == {
        "images in val/, which is neither the training nor the test part": 1,
        "images in another folder, which is neither the training nor the test part": 1,
    }


def test_two_parts_of_one_kind_are_refused(parted: Path) -> None:
    paint(parted / "Training" / "ant" / "0.png", 5)
    with pytest.raises(DataError, match="training parts all"):
        load(parted)


def test_a_class_that_is_called_valid_is_a_class(tmp_path: Path) -> None:
    for n in range(8):
        paint(tmp_path / ["valid", "invalid"][n % 2] / f"{n}.png", n)
    assert load(tmp_path).class_names == ("invalid", "valid")
