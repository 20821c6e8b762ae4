"""What statistics of fewer rows of each class leave, on real images."""

from __future__ import annotations

from benchmarks.size.common import SHARED, Counts, Figures

ROWS = (50, 100, 200, 500, 1000, 5000)
"""Rows of each class that statistics are taken from, the last the baseline."""


def rows(counts: Counts, _: int) -> Figures:
    """What statistics of fewer rows of each class leave: the same cut from more and from fewer.

    A small network on MNIST, real images; strength by layer, and how often the edited models answer
    held-out images differently.
    """
    import torch

    import damp
    from audits.references import Recipe
    from flows.data import loaders
    from flows.data.dataset import DataSpec
    from flows.models import statistics_cache, trainings

    torch.set_num_threads(1)
    dataset = loaders.load(DataSpec(name="mnist", root=str(SHARED)))
    network = trainings.run(
        trainings.Regime(recipe=Recipe(epochs=1, batch_size=128, learning_rate=5e-3)),
        architecture="damp:cnn",
        classes=10,
        input_shape=dataset.input_shape,
        inputs=dataset.train_inputs,
        labels=dataset.train_labels,
        seed=0,
    )
    held_out = dataset.test_inputs[:5000]
    edited = {}
    for most in ROWS:
        statistics_cache.SAMPLES_PER_CLASS = most
        edited[most] = damp.forget(network, statistics_cache.batches(dataset), forget=3)
    answers = {most: each.unretired(held_out).argmax(1) for most, each in edited.items()}
    whole = edited[ROWS[-1]]
    return {
        "baseline_rows_a_class": ROWS[-1],
        "held_out": len(held_out),
        "by_rows": {
            str(most): {
                "largest_difference_of_strength": round(
                    max(
                        abs(a - b)
                        for one, other in zip(each.operators, whole.operators, strict=True)
                        for a, b in zip(one.strength, other.strength, strict=True)
                    ),
                    4,
                ),
                "answers_that_differ": round(
                    float((answers[most] != answers[ROWS[-1]]).double().mean()), 4
                ),
            }
            for most, each in edited.items()
            if most != ROWS[-1]
        },
    }
