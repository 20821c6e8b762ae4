"""What a model sees of an image: written out in a request, consistent, and named by a digest."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import ValidationError

from compliance.documents.claim import parse_claim
from compliance.documents.preprocessing import Preprocessing
from compliance.documents.request import Request, parse_request
from compliance.formats.errors import ClaimError, RequestError

IMAGENET = {
    "resize": 256,
    "crop": 224,
    "mean": [0.485, 0.456, 0.406],
    "std": [0.229, 0.224, 0.225],
}


def request(**model: Any) -> Request:
    content = {
        "apiVersion": "damp/v1",
        "kind": "ErasureRequest",
        "subject_request_id": "5f0c7c2e-4a53-4d0b-9f3e-1f4f5f0a9c11",
        "regulation": "gdpr",
        "submitted_time": "2026-09-20T08:00:00Z",
        "scope": {"type": "class", "selector": {"index": 3}},
        "model": {"file": "m.safetensors", "architecture": "torchvision:resnet18"} | model,
        "data": {"name": "imagefolder:photos"},
        "recipe": "default",
        "policy": "demo-v1",
    }
    return parse_request(json.dumps(content))


def test_a_request_holds_a_preprocessing_by_name_or_written_out() -> None:
    named = "torchvision:ResNet18_Weights.IMAGENET1K_V1"
    assert request(preprocessing=named).model.preprocessing == named
    written = request(preprocessing=IMAGENET).model.preprocessing
    assert isinstance(written, Preprocessing)
    assert written.shape == (3, 224, 224)
    assert written.std == (0.229, 0.224, 0.225)


def test_a_request_without_it_has_the_content_of_before_and_so_its_digest() -> None:
    assert set(request().content()["model"]) == {"file", "architecture", "registry"}
    assert request(preprocessing=IMAGENET).digest() != request().digest()


def test_the_digest_is_of_all_keys_and_of_nothing_else() -> None:
    one = Preprocessing.model_validate(IMAGENET)
    other = Preprocessing.model_validate(IMAGENET | {"interpolation": "bilinear"})
    assert one.digest() == other.digest()
    changes: list[dict[str, Any]] = [
        {"resize": 255},
        {"crop": 223},
        {"interpolation": "bicubic"},
        {"orientation": "exif"},
        {"mean": [0.485, 0.456, 0.405]},
        {"std": [0.229, 0.224, 0.226]},
    ]
    digests = {Preprocessing.model_validate(IMAGENET | each).digest() for each in changes}
    assert len(digests | {one.digest()}) == len(changes) + 1


BAD: dict[str, tuple[Any, str]] = {
    "an unknown key": ({"crop": 8, "men": [0, 0, 0]}, "Did you mean `mean`"),
    "no size that holds for all": ({"resize": 256}, "several sizes"),
    "a crop beyond the resize": ({"resize": 200, "crop": 224}, "larger than what `resize` leaves"),
    "a mean of other channels": ({"crop": 8, "mean": [0.5]}, "each of 3 channels"),
    "a std of zero": ({"crop": 8, "std": [1.0, 0.0, 1.0]}, "above 0"),
    "four channels": ({"crop": 8, "channels": 4}, "1 or 3"),
    "a side of zero": ({"crop": 0}, "greater than 0"),
    "a side beyond the limit": ({"crop": 100000}, "less than or equal to 4096"),
    "a source that is none": ("pytorch:resnet", "no known preprocessing"),
    "a source without name": ("timm:", "no known preprocessing"),
    "a number": (7, "keys of its own"),
    "not a number": ({"crop": 8, "mean": [0.1, 0.2, "x"]}, "number"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_means_nothing_is_refused_with_its_key(name: str) -> None:
    given, words = BAD[name]
    with pytest.raises(RequestError) as caught:
        request(preprocessing=given)
    assert words in str(caught.value)
    assert "model.preprocessing" in str(caught.value)
    assert "<" not in str(caught.value)  # a branch of pydantic's union is no key of the file


def test_a_source_has_300_characters_at_most() -> None:
    longest = "timm:".ljust(300, "x")
    assert request(preprocessing=longest).model.preprocessing == longest
    with pytest.raises(RequestError, match="300"):
        request(preprocessing=longest + "x")


def test_grey_images_need_no_mean_of_three() -> None:
    assert Preprocessing(channels=1, crop=8).mean == (0.0,)
    assert Preprocessing(channels=1, crop=8).std == (1.0,)


def test_nothing_is_subtracted_and_nothing_divided_where_nothing_is_said() -> None:
    plain = Preprocessing(crop=8)
    assert (plain.mean, plain.std) == ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))


def test_infinite_numbers_are_refused() -> None:
    with pytest.raises(ValidationError, match="finite"):
        Preprocessing(crop=8, mean=(float("nan"), 0.0, 0.0))


def test_a_registered_model_brings_its_own() -> None:
    with pytest.raises(RequestError, match="leave it out"):
        request(file=None, architecture=None, registry="photos@champion", preprocessing=IMAGENET)


def test_two_preprocessings_of_one_claim_are_refused() -> None:
    content = {
        "apiVersion": "damp/v1",
        "kind": "ForgettingClaim",
        "scope": {"type": "class", "selector": {"index": 3}},
        "original": {
            "file": "before.safetensors",
            "architecture": "damp:cnn",
            "preprocessing": IMAGENET,
        },
        "edited": {"file": "after.safetensors", "architecture": "damp:cnn"},
        "data": {"name": "digits"},
        "policy": "default-v1",
    }
    with pytest.raises(ClaimError, match="two preprocessings"):
        parse_claim(json.dumps(content))
