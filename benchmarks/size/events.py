"""Memory of everything that an event does with its data."""

from __future__ import annotations

import time

from benchmarks.size.common import CLASSES, PREPROCESSING, Counts, Figures, folder, paint, peak


def event(counts: Counts, count: int) -> Figures:
    """Peak memory of everything that an event does with its data, by stage; ResNet-18 at 224.

    Decoding, data version and commitment, one epoch of a training, statistics and cut, the
    observation of one model. An event does the same with more models, one after the other.
    """
    import torch

    import damp
    from audits import features, fresh, weight_record
    from audits.references import Recipe
    from audits.tuning import Tuning
    from compliance.documents.preprocessing import Preprocessing
    from flows.data import commitment, loaders, versions
    from flows.data.dataset import DataSpec
    from flows.models import architectures, statistics_cache, trainings
    from flows.state.paths import Home
    from flows.state.settings import settings

    torch.set_num_threads(1)
    home, stages = Home(settings().home), {}
    photos = paint(folder() / "photos", count)
    spec = DataSpec(
        name=f"imagefolder:{photos}", preprocessing=Preprocessing.model_validate(PREPROCESSING)
    )

    def stage(name: str, start: float) -> float:
        stages[name] = {"peak_GiB": peak(), "seconds": round(time.monotonic() - start, 1)}
        return time.monotonic()

    clock = stage("start", time.monotonic())
    dataset = loaders.load(spec)
    clock = stage("decode", clock)
    versions.before_and_after(dataset, [1], home)
    commitment.retain_set(dataset, [1])
    clock = stage("version and commitment", clock)
    few = dataset.train_inputs.index_select(0, torch.arange(min(64, len(dataset.train_labels))))
    network = trainings.run(
        trainings.Regime(recipe=Recipe(epochs=1, batch_size=32)),
        architecture="torchvision:resnet18",
        classes=CLASSES,
        input_shape=dataset.input_shape,
        inputs=few,
        labels=dataset.train_labels[: len(few)],
        seed=0,
    )
    clock = stage("two steps of training", clock)
    light = architectures.build("damp:cnn", CLASSES, dataset.input_shape).eval()
    damp.forget(light, statistics_cache.batches(dataset), forget=1)
    clock = stage("statistics and cut of a small network, all rows", clock)
    tuning = Tuning(
        labels=dataset.test_labels.numpy(), forget=(1,), live=tuple(range(CLASSES)), seed=0
    )
    moved = fresh.choose(dataset.train_labels, [1], seed=0)
    features.observe(
        light,
        dataset.train_inputs,
        dataset.test_inputs,
        digest="light",
        fresh=fresh.perturbed(dataset.train_inputs[moved], seed=0),
        tuning=tuning,
        weights=True,
    )
    clock = stage("observation of a small network, all rows", clock)
    some = dataset.test_inputs.index_select(0, torch.arange(min(48, len(dataset.test_labels))))
    weight_record.record(network, some, shown=list(range(8)))
    features.observe(network, some, some, digest="resnet18", weights=True)
    stage("observation of ResNet-18, 48 rows", clock)
    return {"images": count, "side": 224, "peak_GiB": peak(), "stages": stages}
