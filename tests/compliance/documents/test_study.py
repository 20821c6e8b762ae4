"""A study as it is asked for: its bounds, each at its limit."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from compliance.documents.study import Study, load_study
from compliance.formats.errors import StudyError

WHOLE: dict[str, Any] = {
    "apiVersion": "damp/v1",
    "kind": "QualificationStudy",
    "name": "small",
    "model": {"registry": "digits@champion"},
    "data": {"name": "digits"},
    "recipe": "recipe.yaml",
    "policy": "policy.yaml",
    "attempts": ["natural", "mended"],
    "classes": 10,
}


@pytest.fixture
def load(tmp_path: Path) -> Any:
    """Reads the study with other values for some keys."""

    def read(**changes: Any) -> Study:
        path = tmp_path / "study.yaml"
        path.write_text(yaml.safe_dump(WHOLE | changes))
        return load_study(path)

    return read


def test_what_is_not_said_has_its_stated_default(load: Any) -> None:
    study = load()
    assert (study.sequence, study.least_rows, study.valid_days) == (1, 50, 180)
    assert (study.least_passed, study.spot_checks, study.promised) == (0.5, 0.1, 0.2)
    assert (study.near_margin, study.partly) == ((0.6,), (0.5,))
    assert study.attempts == ("natural", "mended")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("classes", 3),
        ("classes", 1000),
        ("sequence", 1),
        ("sequence", 10),
        ("least_rows", 1),
        ("spot_checks", 1.0),
        ("valid_days", 1),
        ("valid_days", 1095),
        ("least_passed", 0.01),
        ("promised", 0.99),
        ("near_margin", [0.6, 0.7]),
        ("partly", []),
        ("attempts", ["natural"]),
    ],
)
def test_values_at_their_bounds_are_read(load: Any, key: str, value: Any) -> None:
    expected = tuple(value) if isinstance(value, list) else value
    assert getattr(load(**{key: value}), key) == expected


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("classes", 2),
        ("classes", 1001),
        ("sequence", 0),
        ("sequence", 101),
        ("sequence", 11),
        ("least_rows", 0),
        ("spot_checks", 0.0),
        ("spot_checks", 1.01),
        ("valid_days", 0),
        ("valid_days", 1096),
        ("least_passed", 0.0),
        ("least_passed", 1.0),
        ("promised", 1.0),
        ("near_margin", [1.0]),
        ("partly", [0.0]),
        ("attempts", []),
        ("attempts", ["natural", "natural"]),
        ("attempts", ["natural", "retrain"]),
        ("attempts", ["magic"]),
        ("model", {"file": "model.pt", "architecture": "damp:cnn"}),
        ("name", "two words"),
        ("kind", "Study"),
    ],
)
def test_values_beyond_them_are_refused(load: Any, key: str, value: Any) -> None:
    with pytest.raises(StudyError, match=key):
        load(**{key: value})


def test_a_model_without_a_file_is_a_registered_one(load: Any) -> None:
    study = load(model={"registry": "digits@champion", "file": None})
    assert (study.model.registry, study.model.file) == ("digits@champion", None)


def test_as_many_edits_as_there_are_classes(load: Any) -> None:
    assert load(classes=100, sequence=100).sequence == 100
    with pytest.raises(StudyError, match="no more edits one after the other"):
        load(classes=3, sequence=4)


def test_the_digest_is_that_of_the_content_in_canonical_form(load: Any) -> None:
    study = load()
    text = json.dumps(
        study.model_dump(mode="json"), sort_keys=True, separators=(",", ":"), ensure_ascii=False
    )
    assert study.digest() == hashlib.sha256(text.encode()).hexdigest()
    assert load(classes=9).digest() != study.digest()
