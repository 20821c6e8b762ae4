"""`damp inspect`: what it says is what is there, and a guess is said to be one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from compliance.documents.preprocessing import Preprocessing
from flows.data import loaders
from flows.data.dataset import DataSpec
from flows.models import weights
from flows.operations import inspection
from flows.state.errors import DataError, ModelError
from flows.state.paths import Home
from tests.flows import fitting
from tests.flows.conftest import Damp


def waves(folder: Path, count: int = 24) -> Path:
    """Three classes of pictures of several sizes that a small network can tell apart."""
    rng = np.random.default_rng(0)
    for label, name in enumerate(["ant", "bee", "cat"]):
        for number in range(count):
            height, width = rng.integers(20, 40, 2)
            pixels = 60 + 20 * rng.normal(size=(height, width, 3))
            pixels[..., label] += 120
            path = folder / name / f"{number:02}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(path)
    return folder


def look(home: Home, data: str, **more: str | None) -> inspection.Inspection:
    settings: dict[str, str | None] = {
        "model": None,
        "architecture": None,
        "preprocessing": None,
        "recipe": None,
    }
    return inspection.inspect(home, data=data, data_root=None, **(settings | more))  # type: ignore[arg-type]


def test_a_folder_is_counted_without_decoding_it(home: Home, tmp_path: Path) -> None:
    folder = waves(tmp_path / "photos")
    (folder / "ant" / "notes.txt").write_text("x")
    exif = Image.Exif()
    exif[274] = 6
    Image.open(folder / "bee" / "00.png").convert("L").save(folder / "bee" / "00.png", exif=exif)
    result = look(home, f"imagefolder:{folder}")
    assert [(row.train, row.test) for row in result.classes] == [(19, 5)] * 3
    assert result.sizes is not None
    assert (result.sizes.files, result.sizes.turned, result.sizes.broken) == (72, 1, 0)
    assert result.sizes.modes == {"RGB": 71, "L": 1}
    assert result.left_out == {"ending .txt": 1}
    assert (result.accuracy, result.reach, result.preprocessing) == (None, None, None)
    assert not home.images.exists()


def test_arrays_have_no_files(home: Home) -> None:
    result = look(home, "digits")
    assert result.sizes is None
    assert sum(row.train for row in result.classes) == 898


def test_policies_are_held_against_the_smallest_samples(home: Home) -> None:
    supports = {each.policy: each for each in look(home, "digits").supports}
    assert supports["demo-v1"].too_small == ()
    assert supports["default-v1"].too_small == tuple(range(10))  # some ninety of each
    assert supports["default-v1"].out_of_reach == ()  # of no class, as none is large enough


def test_sizes_that_rule_a_pass_out_are_said_of_a_policy(home: Home, tmp_path: Path) -> None:
    """Twenty held-out images, none wrong: 1 - .05 ** (1 / 20) = .139, above the limit of .05."""
    folder = waves(tmp_path / "photos", count=100)
    supports = {each.policy: each for each in look(home, f"imagefolder:{folder}").supports}
    assert supports["demo-v1"].too_small == ()
    assert any("bound still is 0.139" in gap for gap in supports["demo-v1"].out_of_reach)


def test_a_model_is_asked_and_measured(home: Home, tmp_path: Path) -> None:
    weights.save_weights(fitting.digits(), tmp_path / "m.safetensors", {})
    result = look(
        home,
        "digits",
        model=str(tmp_path / "m.safetensors"),
        architecture="damp:cnn",
        recipe="digits",
    )
    network, dataset = fitting.digits(), loaders.load(DataSpec(name="digits"))
    assert result.accuracy is not None
    assert result.accuracy > 0.9
    assert result.reach is not None
    assert result.reach.parameters == sum(p.numel() for p in network.parameters())
    layers = ("conv1", "conv2", "conv3", "fc1", "fc2")
    expected = sum(network.get_submodule(n).weight.numel() for n in layers)  # type: ignore[union-attr, operator]
    assert result.reach.cut == expected
    assert all(each.minutes for each in result.supports)
    assert len(result.classes) == dataset.classes
    assert not result.guessed


@pytest.fixture(scope="module")
def coloured(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A folder, and a model that was trained on it at 16x16, normalised."""
    place = tmp_path_factory.mktemp("coloured")
    folder = waves(place / "photos")
    preprocessing = Preprocessing(resize=16, crop=16, mean=(0.5, 0.5, 0.5), std=(0.1, 0.1, 0.1))
    with pytest.MonkeyPatch.context() as patch:
        from flows.state.settings import settings

        patch.setenv("DAMP_HOME", str(place / "state"))
        settings.cache_clear()
        dataset = loaders.load(DataSpec(name=f"imagefolder:{folder}", preprocessing=preprocessing))
        images, labels = dataset.train_inputs[:], dataset.train_labels
    settings.cache_clear()
    network = fitting.trained(images, labels, 3, epochs=15)
    weights.save_weights(network, place / "m.safetensors", {})
    return folder, place / "m.safetensors"


def test_a_model_is_seen_with_the_preprocessing_that_is_given(
    home: Home, tmp_path: Path, coloured: tuple[Path, Path]
) -> None:
    folder, model = coloured
    (tmp_path / "seen.yaml").write_text(
        "resize: 16\ncrop: 16\nmean: [0.5, 0.5, 0.5]\nstd: [0.1, 0.1, 0.1]\n"
    )
    result = look(
        home,
        f"imagefolder:{folder}",
        model=str(model),
        architecture="damp:cnn",
        preprocessing=str(tmp_path / "seen.yaml"),
    )
    assert result.accuracy == 1.0
    assert not result.guessed
    assert result.disk == 72 * 3 * 16 * 16
    assert result.to_json()["preprocessing"]["crop"] == 16


def test_without_one_it_is_guessed_and_said_so(home: Home, coloured: tuple[Path, Path]) -> None:
    folder, model = coloured
    result = look(home, f"imagefolder:{folder}", model=str(model), architecture="damp:cnn")
    assert result.guessed
    assert result.preprocessing is not None
    assert set(result.tried) == {result.preprocessing.in_words()}


def test_the_likeliest_for_torchvision_are_those_of_its_weights(home: Home, tmp_path: Path) -> None:
    from flows.data import image_folder
    from flows.models import preprocessing_sources

    folder = waves(tmp_path / "photos", 3)
    files = image_folder.of_spec(DataSpec(name=f"imagefolder:{folder}"))
    candidates = inspection._candidates("torchvision:resnet18", files)
    named = "torchvision:ResNet18_Weights.IMAGENET1K_V1"
    assert candidates[0] == preprocessing_sources.resolve(named, Path())
    assert candidates[1].mean == (0.0, 0.0, 0.0)  # type: ignore[union-attr]


def test_the_command_says_it_in_lines(damp: Damp, coloured: tuple[Path, Path]) -> None:
    folder, model = coloured
    command = ("inspect", "--data", f"imagefolder:{folder}")
    result = damp(*command, "--model", model, "--architecture", "damp:cnn")
    assert result.code == 0
    for words in ("3 classes, 57 training and 15 held-out", "guessed", "The surgery can cut", "GB"):
        assert words in result.out
    assert damp(*command, "--json").json()["sizes"]["files"] == 72


def test_pictures_that_cannot_be_opened_are_refused(home: Home, tmp_path: Path) -> None:
    for name in ("ant", "bee"):
        for number in range(2):
            path = tmp_path / "photos" / name / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("no picture")
    with pytest.raises(DataError, match="none of 4 files can be opened"):
        look(home, f"imagefolder:{tmp_path / 'photos'}")


def test_a_file_needs_its_architecture(home: Home) -> None:
    with pytest.raises(ModelError, match="give --architecture"):
        look(home, "digits", model="m.safetensors")


def test_nothing_is_said_of_a_model_whose_classes_are_others(home: Home, tmp_path: Path) -> None:
    torch.manual_seed(0)
    weights.save_weights(fitting.digits(), tmp_path / "m.safetensors", {})
    folder = waves(tmp_path / "photos", 3)
    with pytest.raises(ModelError, match="does not fit"):
        look(
            home,
            f"imagefolder:{folder}",
            model=str(tmp_path / "m.safetensors"),
            architecture="damp:cnn",
        )
