from dataclasses import replace

import numpy as np
import pytest
from scipy.linalg import svd

from audits import edit_leakage

FORGET = 2


def edited(world, change, name="edited"):
    model = world.model("original", knows=True)
    weight = model.weights["penultimate"].astype(float) + change
    return replace(model, digest=name, weights={"penultimate": weight})


def test_an_edit_along_the_class_gives_it_away(world, figures):
    own = world.centres[FORGET] / np.linalg.norm(world.centres[FORGET])
    weight = world.model("original", knows=True).weights["penultimate"]
    measured = figures(
        edit_leakage.audit(world.evidence(edited(world, -weight @ np.outer(own, own))))
    )
    assert measured["edit_leakage.difference@penultimate"].value > 0.95
    assert measured["edit_leakage.null_space@penultimate"].value > 0.95
    assert {m.against for m in measured.values()} == {"none"}


def test_a_change_that_has_nothing_to_do_with_the_class_gives_nothing_away(world, figures):
    away = world.centres[12] / np.linalg.norm(world.centres[12])
    change = np.outer(np.random.default_rng(0).normal(size=6), away)
    measured = figures(edit_leakage.audit(world.evidence(edited(world, change))))
    assert measured["edit_leakage.difference@penultimate"].value == pytest.approx(0.5, abs=0.15)


def test_the_directions_are_those_of_the_decompositions():
    rng = np.random.default_rng(2)
    change = rng.normal(size=(20, 7))
    ours, theirs = edit_leakage.strongest(change), svd(change)[2][0]
    assert abs(ours @ theirs) == pytest.approx(1.0)
    old = rng.normal(size=(30, 7))
    gone = rng.normal(size=7)
    gone /= np.linalg.norm(gone)
    new = old @ (np.eye(7) - np.outer(gone, gone))
    lost = edit_leakage.most_lost(old, new)
    assert abs(lost @ gone) / np.linalg.norm(lost) == pytest.approx(1.0, abs=1e-2)


def test_a_sign_chosen_on_the_images_it_is_measured_on_would_find_something_in_noise(make_world):
    """The published mistake: thresholds chosen in-sample. On the other half noise is noise."""
    areas, in_sample = [], []
    for seed in range(12):
        world = make_world(per_class=20, seed=seed)
        change = np.outer(np.ones(6), np.random.default_rng(seed).normal(size=16))
        model = edited(world, change)
        noise = np.random.default_rng(seed).normal(size=(120, 16))
        original = replace(
            world.model("original", knows=True),
            features={**model.features, "penultimate": noise},
        )
        finding = edit_leakage.audit(world.evidence(model, original=original))
        areas.append(finding.measurements[0].value)
        scores = noise @ edit_leakage.strongest(change)
        own = world.test_labels == FORGET
        area = (scores[own][:, None] > scores[~own]).mean()
        in_sample.append(max(area, 1 - area))
    assert np.mean(in_sample) > 0.53
    assert np.mean(areas) == pytest.approx(0.5, abs=0.05)


def test_nothing_changed_and_nothing_kept_are_told(world):
    finding = edit_leakage.audit(world.evidence(world.model("original", knows=True)))
    assert finding.status == "NOT_RUN"
    assert "edit_leakage.null_space@penultimate: nothing was changed there" in finding.reason
    bare = replace(world.model("retrained", knows=False), weights={})
    finding = edit_leakage.audit(world.evidence(bare))
    assert "observe original and candidate with `weights=True`" in finding.reason


@pytest.mark.parametrize(("share", "changed"), [(1.0, False), (1.001, True), (0.5, False)])
def test_a_change_of_a_thousand_millionth_is_none_and_more_is_one(world, share, changed):
    """An old weight of length 1, moved across it: both norms are exact."""
    old, new = np.zeros((2, 6, 16))
    old[0, 0] = new[0, 0] = 1.0
    new[1, 3] = share * 1e-9
    original = replace(world.model("original", knows=True), weights={"penultimate": old})
    model = replace(original, digest="edited", weights={"penultimate": new})
    answer = edit_leakage._at(world.evidence(model, original=original), "penultimate")
    assert isinstance(answer, dict) is changed
    assert changed or answer == "nothing was changed there"


def test_the_picture_has_each_depth_with_four_digits(world):
    model = edited(world, np.random.default_rng(1).normal(size=(6, 16)))
    finding = edit_leakage.audit(world.evidence(model))
    values = {m.name: m.value for m in finding.measurements}
    assert finding.series == {
        figure: {
            "depths": ["penultimate"],
            "candidate": [round(values[f"edit_leakage.{figure}@penultimate"], 4)],
        }
        for figure in ("difference", "null_space")
    }
    assert all(len(str(abs(v))) > 6 for v in values.values())


def test_the_sign_is_chosen_on_one_half_and_the_area_is_of_the_other(world):
    """By pairs: a direction and its opposite tell the same."""
    evidence = world.evidence()
    features = world.model("original", knows=True).features["penultimate"]
    direction = np.random.default_rng(4).normal(size=16)
    scores = features @ direction
    own = world.test_labels == FORGET
    chosen = evidence.rng("edit_leakage").permutation(len(own)) % 2 == 0
    gap = scores[own & chosen].mean() - scores[~own & chosen].mean()
    ours, others = (np.sign(gap) * scores[rows & ~chosen] for rows in (own, ~own))
    expected = (ours[:, None] > others).mean()
    for sign in (1.0, -1.0):
        estimate = edit_leakage._separation(evidence, features, sign * direction)
        assert estimate.value == pytest.approx(expected)
