"""Images that are not held: what is read batch by batch is what was held before, bit for bit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps

from compliance.documents.preprocessing import Preprocessing
from flows.data import (
    commitment,
    file_digests,
    image_cache,
    image_folder,
    leakage,
    loaders,
    pictures,
    view,
)
from flows.data.dataset import Dataset, DataSpec
from flows.data.view import View
from flows.models import statistics_cache
from flows.state.errors import DataError
from flows.state.paths import Home

SMALL = Preprocessing(resize=18, crop=16, mean=(0.5, 0.4, 0.3), std=(0.2, 0.2, 0.3))


def photograph(path: Path, seed: int, size: tuple[int, int] = (24, 20)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), np.uint8)
    Image.fromarray(pixels).save(path)


@pytest.fixture
def photographs(tmp_path: Path) -> Path:
    """Three classes of six photographs, each of another size."""
    folder = tmp_path / "photos"
    for label, name in enumerate(["ant", "bee", "cat"]):
        for number in range(6):
            size = (20 + 3 * number + label, 40 - 3 * number)
            photograph(folder / name / f"{number}.jpg", 10 * label + number, size)
    return folder


def load(folder: Path, preprocessing: Preprocessing | None = SMALL) -> Dataset:
    loaders.load.cache_clear()
    return loaders.load(DataSpec(name=f"imagefolder:{folder}", preprocessing=preprocessing))


@pytest.fixture
def equal(tmp_path: Path) -> Path:
    """Two classes of four photographs of one size."""
    for label, name in enumerate(["ant", "bee"]):
        for number in range(4):
            photograph(tmp_path / "equal" / name / f"{number}.png", 10 * label + number)
    return tmp_path / "equal"


def test_every_byte_becomes_the_float_that_numpy_made_of_it() -> None:
    every = np.arange(256, dtype=np.uint8)
    held = every.astype(np.float32) / 255
    assert torch.equal(view.scaled(torch.from_numpy(every)), torch.from_numpy(held))


def test_images_that_go_to_disk_are_those_that_were_held(
    home: Home, equal: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the digests that they had: a data set may grow beyond the limit."""
    held = load(equal, None)
    monkeypatch.setattr(image_folder, "MEMORY_LIMIT", 1000)
    stored = load(equal, None)
    assert isinstance(held.train_inputs, torch.Tensor)
    assert isinstance(stored.train_inputs, View)
    assert torch.equal(stored.train_inputs[:], held.train_inputs)
    assert torch.equal(stored.test_inputs[:], held.test_inputs)
    assert commitment.retain_digest(stored, [0]) == commitment.retain_digest(held, [0])
    assert commitment.forget_set(stored, [0], home) == commitment.forget_set(held, [0], home)
    assert file_digests.listing(stored) == file_digests.listing(held)
    for (a, b), (c, d) in zip(
        statistics_cache.batches(stored), statistics_cache.batches(held), strict=True
    ):
        assert torch.equal(a, c)
        assert torch.equal(b, d)


def test_a_training_from_disk_gives_the_weights_of_one_from_memory(
    home: Home, equal: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from audits.references import Recipe, train
    from flows.models import architectures

    held = load(equal, None)
    monkeypatch.setattr(image_folder, "MEMORY_LIMIT", 1000)
    stored = load(equal, None)
    states = [
        train(
            lambda: architectures.build("damp:cnn", 2, (3, 20, 24)),
            dataset.train_inputs,
            dataset.train_labels,
            recipe=Recipe(epochs=2, batch_size=2),
            seed=5,
            exclude=(),
        ).state_dict()
        for dataset in (held, stored)
    ]
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


def test_a_view_is_read_as_a_tensor_is(home: Home, photographs: Path) -> None:
    images = load(photographs).train_inputs
    whole = images[:]
    assert isinstance(images, View)
    assert images.shape == whole.shape == (15, 3, 16, 16)
    assert len(images) == 15
    assert torch.equal(images[3], whole[3])
    assert torch.equal(images[torch.tensor([7, 2])], whole[torch.tensor([7, 2])])
    assert torch.equal(images[torch.arange(15) % 2 == 0], whole[torch.arange(15) % 2 == 0])
    assert images[torch.zeros(15, dtype=torch.bool)].shape == (0, 3, 16, 16)
    assert torch.equal(torch.cat(list(images.split(4))), whole)
    some = images.index_select(0, torch.tensor([5, 5, 1]))
    assert torch.equal(some[:], whole[torch.tensor([5, 5, 1])])
    assert torch.equal(view.joined([some, images])[:], torch.cat([some[:], whole]))
    with pytest.raises(ValueError, match="dimension 0"):
        images.index_select(1, torch.tensor([0]))


def test_views_of_two_data_sets_are_not_joined(home: Home, photographs: Path) -> None:
    one, other = load(photographs).train_inputs, load(photographs).train_inputs
    with pytest.raises(ValueError, match="one store"):
        view.joined([one, other])
    with pytest.raises(TypeError, match="cannot be joined"):
        view.joined([one, torch.zeros(1, 3, 16, 16)])


def test_rows_of_a_class_are_left_out_without_being_read(home: Home, photographs: Path) -> None:
    dataset = load(photographs)
    without = dataset.without([1])
    kept = dataset.train_labels != 1
    assert torch.equal(without.train_inputs[:], dataset.train_inputs[:][kept])
    assert without.train_labels.unique().tolist() == [0, 2]


def test_arrays_are_preprocessed_and_versioned_as_they_were(home: Home) -> None:
    wanted = Preprocessing(resize=(16, 16), channels=3, mean=(0.5,) * 3, std=(0.2,) * 3)
    loaded = loaders.load(DataSpec(name="digits", preprocessing=wanted))
    plain = loaders.load(DataSpec(name="digits"))
    assert loaded.input_shape == (3, 16, 16)
    assert file_digests.listing(loaded) == file_digests.listing(plain)
    assert commitment.retain_set(loaded, [3]) == commitment.retain_set(plain, [3])
    assert commitment.retain_set(loaded.without([2]), [3]) == commitment.retain_set(
        plain.without([2]), [3]
    )
    assert leakage.shared_rows(loaded) == leakage.shared_rows(plain)
    # independently: torch's own interpolation, which torchvision calls
    rows = plain.train_inputs[:5]
    resized = torch.nn.functional.interpolate(rows, (16, 16), mode="bilinear", antialias=True)
    expected = ((resized - 0.5) / 0.2).expand(-1, 3, -1, -1)
    assert torch.allclose(loaded.train_inputs[:5], expected, atol=1e-6)


UNFIT = {
    "one channel of three": (
        "users",
        Preprocessing(resize=(8, 8), channels=1),
        "they have 3 channels",
    ),
    "a crop larger than the arrays": ("digits", Preprocessing(crop=16), "smaller than the crop"),
    "lanczos": ("digits", Preprocessing(resize=(9, 9), interpolation="lanczos"), "lanczos"),
}


@pytest.mark.parametrize("name", UNFIT)
def test_a_preprocessing_that_arrays_cannot_have_is_refused(
    name: str, home: Home, users_module: object
) -> None:
    data, preprocessing, words = UNFIT[name]
    if data == "users":
        text = "import torch\ndef load():\n    x, y = torch.rand(8, 3, 8, 8), torch.arange(8) % 2\n"
        data = f"{users_module(text + '    return x, y, x, y')}:load"  # type: ignore[operator]
    with pytest.raises(DataError, match=words):
        loaders.load(DataSpec(name=data, preprocessing=preprocessing))


@pytest.mark.parametrize("mode", ["P", "L", "LA", "1", "RGBA", "CMYK"])
@pytest.mark.parametrize("channels", [1, 3])
def test_every_mode_is_seen_as_torchvision_sees_it(
    mode: str, channels: int, tmp_path: Path
) -> None:
    photograph(tmp_path / "a.png", 3)
    suffix = "jpg" if mode == "CMYK" else "png"
    path = tmp_path / f"b.{suffix}"
    Image.open(tmp_path / "a.png").convert(mode).save(path)
    whole = Preprocessing(resize=(20, 24), channels=channels)  # type: ignore[arg-type]
    got = pictures.decoded(path, whole)
    assert isinstance(got, torch.Tensor)
    expected = np.asarray(Image.open(path).convert("L" if channels == 1 else "RGB"))
    grey = expected[None] if channels == 1 else expected.transpose(2, 0, 1)
    np.testing.assert_array_equal(got.numpy(), grey)


def test_sixteen_bits_are_scaled_to_eight_and_not_cut_off(tmp_path: Path) -> None:
    deep = np.array([[0, 257, 1000], [30000, 65534, 65535]], dtype=np.uint16)
    Image.fromarray(deep).save(tmp_path / "deep.png")
    got = pictures.decoded(tmp_path / "deep.png", Preprocessing(resize=(2, 3), channels=1))
    assert isinstance(got, torch.Tensor)
    assert got[0].tolist() == [[0, 1, 4], [117, 255, 255]]


@pytest.mark.parametrize("orientation", ["stored", "exif"])
def test_a_cameras_note_is_followed_where_the_model_was_shown_it_so(
    orientation: str, tmp_path: Path
) -> None:
    photograph(tmp_path / "a.png", 3)
    picture = Image.open(tmp_path / "a.png")
    exif = Image.Exif()
    exif[274] = 6  # turn by a quarter
    picture.save(tmp_path / "turned.png", exif=exif)
    preprocessing = Preprocessing(resize=(16, 16), orientation=orientation)  # type: ignore[arg-type]
    got = pictures.decoded(tmp_path / "turned.png", preprocessing)
    upright = picture if orientation == "stored" else picture.transpose(Image.Transpose.ROTATE_270)
    expected = np.asarray(upright.resize((16, 16), Image.Resampling.BILINEAR)).transpose(2, 0, 1)
    assert isinstance(got, torch.Tensor)
    np.testing.assert_array_equal(got.numpy(), expected)
    assert pictures.is_turned(tmp_path / "turned.png")
    assert not pictures.is_turned(tmp_path / "a.png")
    assert not pictures.is_turned(tmp_path / "none.png")
    assert ImageOps.exif_transpose(Image.open(tmp_path / "turned.png")).size == (20, 24)


def test_files_that_cannot_be_decoded_are_all_named_before_anything_else(
    home: Home, photographs: Path
) -> None:
    (photographs / "bee" / "1.jpg").write_bytes((photographs / "bee" / "1.jpg").read_bytes()[:200])
    (photographs / "cat" / "2.jpg").write_bytes(b"GIF89a no picture")
    (photographs / "cat" / "3.jpg").write_text("not a picture at all")
    with pytest.raises(DataError) as caught:
        load(photographs)
    message = str(caught.value)
    assert "3 of 18 images cannot be used" in message
    for name in ("bee/1.jpg", "cat/2.jpg", "cat/3.jpg"):
        assert str(photographs / name) in message
    assert not list(home.images.glob("*/pixels"))


def test_a_photograph_smaller_than_its_crop_is_named(home: Home, photographs: Path) -> None:
    photograph(photographs / "ant" / "tiny.jpg", 1, (10, 10))
    with pytest.raises(DataError, match=r"tiny.jpg cannot .* 10x10 is smaller than the crop 16x16"):
        load(photographs, Preprocessing(crop=16))


def test_scaling_makes_no_second_cache_and_a_size_does(home: Home, photographs: Path) -> None:
    load(photographs)
    load(photographs, SMALL.model_copy(update={"mean": (0.0, 0.0, 0.0)}))
    assert len(list(home.images.iterdir())) == 1
    load(photographs, Preprocessing(resize=18, crop=17))
    assert len(list(home.images.iterdir())) == 2


def test_a_changed_photograph_is_decoded_again(home: Home, photographs: Path) -> None:
    before = load(photographs).train_inputs[:]
    photograph(photographs / "ant" / "0.jpg", 99, (20, 40))
    photograph(photographs / "ant" / "1.jpg", 98, (20, 40))
    after = load(photographs).train_inputs[:]
    assert (before != after).flatten(1).any(1).sum() >= 1


def test_a_cache_that_was_changed_is_made_again(home: Home, photographs: Path) -> None:
    before = load(photographs).train_inputs[:]
    (pixels,) = home.images.glob("*/pixels")
    pixels.write_bytes(bytes(pixels.stat().st_size))
    assert torch.equal(load(photographs).train_inputs[:], before)


def test_a_cache_that_was_copied_is_believed_by_its_digest(
    home: Home, photographs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = load(photographs).train_inputs[:]
    (pixels,) = home.images.glob("*/pixels")
    copy = pixels.with_name("copy")
    copy.write_bytes(pixels.read_bytes())
    copy.replace(pixels)
    monkeypatch.setattr(pictures, "decoded", None)  # nothing may be decoded
    assert torch.equal(load(photographs).train_inputs[:], before)


def test_a_decoding_that_stopped_goes_on_where_it_was(
    home: Home, photographs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = load(photographs).train_inputs[:]
    (folder,) = home.images.iterdir()
    monkeypatch.setattr(image_cache, "CHUNK", 4)
    for file in folder.iterdir():
        file.unlink()
    folder.rmdir()
    real, decoded = pictures.decoded, []

    def stops(path: Path, preprocessing: Preprocessing) -> torch.Tensor | str:
        decoded.append(path)
        if len(decoded) > 9:
            raise KeyboardInterrupt
        return real(path, preprocessing)

    monkeypatch.setattr(pictures, "decoded", stops)
    with pytest.raises(KeyboardInterrupt):
        load(photographs)
    decoded.clear()
    monkeypatch.setattr(
        pictures,
        "decoded",
        lambda path, preprocessing: decoded.append(path) or real(path, preprocessing),
    )
    assert torch.equal(load(photographs).train_inputs[:], whole)
    assert len(decoded) == 18 - 8  # two chunks were on disk


def test_without_room_on_the_disk_images_are_decoded_as_they_are_asked_for(
    home: Home, photographs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = load(photographs)
    (folder,) = home.images.iterdir()
    for file in folder.iterdir():
        file.unlink()
    folder.rmdir()
    monkeypatch.setattr(image_cache, "MARGIN", 1 << 60)
    streamed = load(photographs)
    store = streamed.train_inputs.store  # type: ignore[union-attr]
    assert isinstance(store, image_cache.Streamed)
    assert store.decoded == 0  # the check before counts apart: it comes once
    for part in ("train_inputs", "test_inputs"):
        assert torch.equal(getattr(streamed, part)[:], getattr(held, part)[:])
    assert torch.equal(streamed.train_inputs[3], held.train_inputs[3])
    assert store.decoded == 18 + 1
    assert commitment.retain_digest(streamed, [0]) == commitment.retain_digest(held, [0])
    assert [path.name for path in home.images.glob("*/*")] == ["decoded.json"]
    real, decoded = pictures.decoded, []
    monkeypatch.setattr(
        pictures,
        "decoded",
        lambda path, preprocessing: decoded.append(path) or real(path, preprocessing),
    )
    load(photographs)
    assert decoded == []  # checked before


def test_without_room_all_broken_images_are_named_first(
    home: Home, photographs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(image_cache, "MARGIN", 1 << 60)
    for name in ("ant/1.jpg", "cat/5.jpg"):
        (photographs / name).write_bytes(b"no picture")
    with pytest.raises(DataError, match="2 of 18 images cannot be used"):
        load(photographs)
    assert not list(home.images.glob("*/decoded.json"))


def test_a_streamed_photograph_that_broke_meanwhile_is_named(
    home: Home, photographs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(image_cache, "MARGIN", 1 << 60)
    rows = load(photographs).train_inputs
    for path in photographs.rglob("*.jpg"):
        path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(DataError, match="cannot be read as an image"):
        rows[:]


def test_a_disk_that_fills_keeps_what_was_decoded(
    tiny_disk: Path, photographs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """64 KiB; five images of 12 KiB each fit."""
    from flows.state.errors import StoreError
    from flows.state.settings import settings

    monkeypatch.setenv("DAMP_HOME", str(tiny_disk / "state"))
    settings.cache_clear()
    monkeypatch.setattr(image_cache, "CHUNK", 1)
    monkeypatch.setattr(image_cache, "_has_room", lambda folder, source: True)
    with pytest.raises(StoreError, match=r"[1-5] of 18 are there and stay.*free some space"):
        load(photographs, Preprocessing(resize=(64, 64)))
    settings.cache_clear()


def test_a_class_with_one_photograph_is_refused(home: Home, photographs: Path) -> None:
    photograph(photographs / "dog" / "0.jpg", 1)
    with pytest.raises(DataError, match=r"no image in dog \(train\).*training and test images"):
        load(photographs)


def test_a_file_is_what_its_bytes_say_whatever_its_ending(home: Home, photographs: Path) -> None:
    """A PNG that is called .jpg is read, as torchvision reads it."""
    photograph(photographs / "ant" / "other.png", 50)
    (photographs / "ant" / "other.png").rename(photographs / "ant" / "other.jpg")
    assert len(load(photographs).train_labels) + len(load(photographs).test_labels) == 19
