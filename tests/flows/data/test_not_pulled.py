"""A folder that DVC keeps and that was not pulled is told apart from one that is not there."""

from __future__ import annotations

from pathlib import Path

import pytest

from flows.data import image_layout, loaders
from flows.data.dataset import DataSpec
from flows.state.errors import DataError


@pytest.mark.parametrize("note", ["photos.dvc", "photos/flowers.dvc"])
def test_the_note_beside_it_or_above_it_is_named(tmp_path: Path, note: str) -> None:
    (tmp_path / note).parent.mkdir(exist_ok=True)
    (tmp_path / note).write_text("outs: []\n")
    remedy = image_layout.pull_remedy(tmp_path / "photos" / "flowers")
    assert f"`dvc pull {tmp_path / note}`" in remedy


def test_without_a_note_nothing_is_said(tmp_path: Path) -> None:
    assert image_layout.pull_remedy(tmp_path / "photos") == ""
    (tmp_path / "photos.dvc").write_text("outs: []\n")
    (tmp_path / "photos").mkdir()  # pulled: what is missing below it is missing
    assert image_layout.pull_remedy(tmp_path / "photos" / "flowers") == ""


def test_a_data_set_says_how_to_get_it(tmp_path: Path) -> None:
    (tmp_path / "photos.dvc").write_text("outs: []\n")
    with pytest.raises(DataError, match="run `dvc pull"):
        loaders.load(DataSpec(name=f"imagefolder:{tmp_path / 'photos'}"))
    with pytest.raises(DataError, match="Name one that holds a folder per class"):
        loaders.load(DataSpec(name=f"imagefolder:{tmp_path / 'other'}"))
