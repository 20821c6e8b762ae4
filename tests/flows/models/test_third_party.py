"""Architectures of timm and Hugging Face, built, loaded and cut."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import damp
from flows.models import architectures, third_party, weights
from flows.state.errors import ModelError

Refusal = Callable[..., AbstractContextManager[None]]
os.environ.setdefault("HF_HUB_OFFLINE", "1")
SHAPE = (3, 32, 32)


def library(name: str) -> Any:
    """The library, or a skip that cannot be overlooked."""
    extra = {"timm": "timm", "transformers": "hf"}[name]
    return pytest.importorskip(
        name, reason=f"NOT TESTED: {name} is not installed (pip install '.[{extra}]')"
    )


def data() -> list[tuple[torch.Tensor, torch.Tensor]]:
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(24) % 3
    centres = torch.randn(3, *SHAPE, generator=generator)
    inputs = centres[labels] + 0.3 * torch.randn(24, *SHAPE, generator=generator)
    return [(inputs, labels)]


def is_cut(network: nn.Module) -> damp.EditedModel:
    """Edit it, and see that what it says has changed and that its class 1 is gone."""
    edited = damp.forget(network, data(), forget=1)
    with torch.no_grad():
        before, after = network(data()[0][0]), edited.unretired(data()[0][0])
        assert edited.model(data()[0][0])[:, 1].isneginf().all()
    assert before.shape == (24, 3)
    assert not torch.allclose(before, after)
    return edited


def is_accounted_for(network: nn.Module, edited: damp.EditedModel) -> None:
    """Every linear layer and convolution is edited, or named with a reason that is one."""
    edits = {edit.name for edit in edited.operators}
    reasons = {skipped.name: skipped.reason for skipped in edited.skipped}
    for name, layer in network.named_modules():
        if isinstance(layer, nn.Linear | nn.Conv2d) and name not in edits:
            allowed = (
                "depthwise",
                "never called",
                "not above the gate",
                "does not depend",
                "bias",
            )
            assert any(words in reasons[name] for words in allowed), (name, reasons.get(name))


@pytest.mark.parametrize(
    ("name", "some"),
    [
        ("resnet10t", ["conv1.0", "layer1.0.conv1", "fc"]),
        ("vit_tiny_patch16_224", ["patch_embed.proj", "blocks.0.attn.qkv", "head"]),
        ("mobilenetv3_small_050", ["conv_stem", "classifier"]),
        ("tf_efficientnet_lite0", ["conv_stem", "classifier"]),
        ("swin_tiny_patch4_window7_224", ["layers.0.blocks.0.attn.qkv", "head.fc"]),
    ],
)
def test_models_of_timm_are_built_and_cut(name: str, some: list[str]) -> None:
    library("timm")
    torch.manual_seed(0)
    network = architectures.build(f"timm:{name}", 3, SHAPE).eval()
    for layer in network.modules():
        if isinstance(layer, nn.Linear) and not layer.weight.any():
            nn.init.normal_(layer.weight)  # some heads start at zero
    edited = is_cut(network)
    is_accounted_for(network, edited)
    assert set(some) <= {edit.name for edit in edited.operators}


def small(kind: str, **changes: Any) -> dict[str, Any]:
    """Configurations as the folders of published models hold them, with few and narrow layers."""
    transformers = library("transformers")
    narrow = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
    narrow |= {"intermediate_size": 32, "image_size": 32, "patch_size": 8}
    settings = {
        "vit": narrow,
        "deit": narrow,
        "beit": narrow,
        "swin": {"embed_dim": 8, "depths": [1, 1], "num_heads": [2, 2], "window_size": 4,
                 "image_size": 32, "patch_size": 4},
        "resnet": {"embedding_size": 8, "hidden_sizes": [8, 16], "depths": [1, 1]},
        "convnext": {"hidden_sizes": [8, 16], "depths": [1, 1], "num_stages": 2},
        "mobilenet_v2": {"depth_multiplier": 0.35, "image_size": 32},
    }[kind]  # fmt: skip
    config = transformers.AutoConfig.for_model(kind, **(settings | changes))
    content: dict[str, Any] = json.loads(config.to_json_string())
    return content


@pytest.fixture
def folder(tmp_path: Path) -> Callable[[dict[str, Any]], Path]:
    def write(settings: dict[str, Any]) -> Path:
        (tmp_path / "model").mkdir(exist_ok=True)
        (tmp_path / "model" / "config.json").write_text(json.dumps(settings))
        return tmp_path / "model"

    return write


@pytest.mark.parametrize(
    "kind", ["vit", "deit", "beit", "swin", "resnet", "convnext", "mobilenet_v2"]
)
def test_image_classifiers_of_hugging_face_are_built_and_cut(
    folder: Callable[[dict[str, Any]], Path], kind: str
) -> None:
    named = {"architectures": ["DeiTForImageClassification"]} if kind == "deit" else {}
    place = folder(small(kind) | named)
    torch.manual_seed(0)
    network = architectures.build(f"hf:{place}", 3, SHAPE).eval()
    edited = is_cut(network)
    is_accounted_for(network, edited)
    assert len(edited.operators) > 5


def test_published_weights_become_a_file_of_the_architectures_names(
    folder: Callable[[dict[str, Any]], Path], tmp_path: Path
) -> None:
    """As docs/tutorial-own-model.md says: transformers renames what older versions saved."""
    transformers = library("transformers")
    settings = small("vit", num_labels=3)
    place = folder(settings)
    published = transformers.AutoModelForImageClassification.from_config(
        transformers.AutoConfig.for_model(**settings)
    ).eval()
    published.save_pretrained(place)
    again = transformers.AutoModelForImageClassification.from_pretrained(
        place, use_safetensors=True, local_files_only=True
    )
    weights.save_weights(again, tmp_path / "mine.safetensors", {})
    network, _ = weights.load_weights(
        tmp_path / "mine.safetensors", architecture=f"hf:{place}", classes=3, input_shape=SHAPE
    )
    images = data()[0][0]
    with torch.no_grad():
        torch.testing.assert_close(network(images), published(images).logits)


def test_an_edited_model_of_hugging_face_comes_back_from_its_file(
    folder: Callable[[dict[str, Any]], Path], tmp_path: Path
) -> None:
    place = folder(small("beit"))
    architecture = f"hf:{place}"
    edited = is_cut(architectures.build(architecture, 3, SHAPE).eval()).unretired
    weights.save_weights(edited, tmp_path / "w.safetensors", {})
    loaded, _ = weights.load_weights(
        tmp_path / "w.safetensors", architecture=architecture, classes=3, input_shape=SHAPE
    )
    with torch.no_grad():
        torch.testing.assert_close(loaded(data()[0][0]), edited(data()[0][0]))


def test_images_of_one_channel_fit_a_model_that_is_built_for_them(
    folder: Callable[[dict[str, Any]], Path],
) -> None:
    place = folder(small("vit"))
    network = architectures.build(f"hf:{place}", 5, (1, 16, 16)).eval()
    assert network(torch.zeros(2, 1, 16, 16)).shape == (2, 5)


def test_a_model_that_timm_has_not_is_refused(refused: Refusal) -> None:
    library("timm")
    with refused(ModelError, "timm has no model 'resnet1'", "list_models"):
        architectures.build("timm:resnet1", 3, SHAPE)


def test_images_that_a_model_of_timm_cannot_take_are_refused(refused: Refusal) -> None:
    library("timm")
    with refused(ModelError, "3x0x0", "another size"):
        architectures.build("timm:vit_tiny_patch16_224", 3, (3, 0, 0))


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"hidden_size": 16}, ["names no model type"]),
        ({"model_type": "vit", "auto_map": {"AutoConfig": "evil.Config"}}, ["runs no code"]),
        ({"model_type": "bert"}, ["no image classifier"]),
        ({"model_type": "no-such-kind"}, ["no image classifier"]),
        ([1, 2], ["holds no configuration"]),
    ],
)
def test_a_folder_of_no_image_classifier_is_refused(
    folder: Callable[[Any], Path], refused: Refusal, settings: Any, words: list[str]
) -> None:
    library("transformers")
    place = folder(settings)
    with refused(ModelError, "config.json", *words):
        architectures.build(f"hf:{place}", 3, SHAPE)


@pytest.mark.parametrize(
    ("size", "words"),
    [
        ({"hidden_sizes": [16, 2**40]}, "hidden_sizes: 1.1e+12"),
        ({"num_hidden_layers": 2**31}, "num_hidden_layers: 2.15e+09"),
        ({"hidden_size": 2**18, "intermediate_size": 2**19}, "is the most that is built"),
        ({"hidden_size": "16"}, "expected int"),
        ({"hidden_act": {}}, "expected str"),
    ],
)
def test_a_configuration_of_a_giant_or_of_other_types_is_refused_before_memory_is_taken(
    folder: Callable[[Any], Path], refused: Refusal, size: dict[str, Any], words: str
) -> None:
    library("transformers")
    place = folder({"model_type": "vit", "hidden_size": 16, "num_attention_heads": 2} | size)
    with refused(ModelError, "config.json", words):
        architectures.build(f"hf:{place}", 3, SHAPE)


def test_a_folder_without_configuration_is_refused(tmp_path: Path, refused: Refusal) -> None:
    library("transformers")
    with refused(ModelError, "Cannot read", "downloads none"):
        architectures.build(f"hf:{tmp_path / 'nowhere'}", 3, SHAPE)


@pytest.mark.parametrize(("name", "extra"), [("timm", "timm"), ("transformers", "hf")])
def test_a_library_that_is_not_installed_is_named_with_its_extra(
    monkeypatch: pytest.MonkeyPatch, refused: Refusal, name: str, extra: str
) -> None:
    monkeypatch.setitem(__import__("sys").modules, name, None)
    with refused(ModelError, f"needs {name}", f"pip install 'damp-unlearning[{extra}]'"):
        third_party._library(name, extra)
