import numpy as np
import pytest

from audits import sampling


def test_few_rows_are_all_kept_in_order(world):
    assert (sampling.capped(world.evidence(), 4000, "rows") == np.arange(360)).all()


def test_the_forget_class_is_kept_first_and_the_others_in_proportion(make_world):
    evidence = make_world(per_class=100).evidence()
    kept = sampling.capped(evidence, 200, "rows")
    labels = evidence.test_labels[kept]
    assert (np.diff(kept) > 0).all()
    assert np.bincount(labels).tolist() == [20, 20, 100, 20, 20, 20]
    assert (sampling.capped(evidence, 200, "rows") == kept).all()
    assert (sampling.capped(evidence, 200, "other") != kept).any()


def test_each_class_keeps_what_the_audit_cannot_do_without(make_world):
    evidence = make_world(per_class=100).evidence()
    kept = evidence.test_labels[sampling.capped(evidence, 20, "rows", least=15)]
    assert np.bincount(kept).min() >= 15


def test_every_class_is_spread_evenly_over_the_folds():
    labels = np.repeat([0, 1, 2], [23, 50, 7])
    fold = sampling.folds(labels, 5, np.random.default_rng(0))
    for c, size in enumerate([23, 50, 7]):
        counts = np.bincount(fold[labels == c], minlength=5)
        assert counts.sum() == size
        assert counts.max() - counts.min() <= 1


def test_supports_are_of_their_class_and_without_replacement():
    labels = np.arange(60) % 4
    chosen = sampling.supports(
        labels, [1, 3], shots=6, draws=50, generator=np.random.default_rng(0)
    )
    assert chosen.shape == (50, 2, 6)
    assert (labels[chosen] == np.array([1, 3])[None, :, None]).all()
    assert all(len(set(rows)) == 6 for draw in chosen for rows in draw.tolist())


def test_every_row_is_drawn_alike():
    labels = np.zeros(20, dtype=int)
    chosen = sampling.supports(labels, [0], shots=5, draws=4000, generator=np.random.default_rng(1))
    counts = np.bincount(chosen.ravel(), minlength=20)
    assert counts / 4000 == pytest.approx(0.25, abs=0.03)


def test_a_class_of_which_hardly_a_row_would_stay_keeps_two(make_world):
    """Six of twelve hundred rows: the forget class has three of them, five others share three."""
    evidence = make_world(per_class=200).evidence()
    kept = evidence.test_labels[sampling.capped(evidence, 6, "rows")]
    assert np.bincount(kept).tolist() == [2, 2, 3, 2, 2, 2]


def test_an_odd_number_of_rows_leaves_the_odd_one_to_the_others(make_world):
    """Of nine the forget class has four, and five others share five."""
    evidence = make_world(per_class=200).evidence()
    kept = evidence.test_labels[sampling.capped(evidence, 9, "rows", least=1)]
    assert np.bincount(kept).tolist() == [1, 1, 4, 1, 1, 1]
    more = evidence.test_labels[sampling.capped(evidence, 31, "rows", least=1)]
    assert np.bincount(more).tolist() == [3, 3, 15, 3, 3, 3]
