"""`damp inspect`: what this model and these data are, and what a request about them would take.

Nothing is written but the caches that the request would fill as well. Without a preprocessing of
the model's own a few are tried, and the one that the model does best with is named: a guess, which
whoever trained the model can confirm.
"""

from __future__ import annotations

import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from math import prod
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from compliance.documents.policy import load_policy, shipped
from compliance.documents.preprocessing import Preprocessing
from flows.data.dataset import Dataset, DataSpec
from flows.intake import forecasts
from flows.operations.inspection_facts import ClassRow, Inspection, Reach, Sizes, Support
from flows.registry import model_source
from flows.registry.model_source import Located
from flows.state.errors import DataError, ModelError
from flows.state.files import digest_file
from flows.state.paths import Home

if TYPE_CHECKING:
    from torch import nn

    from compliance.documents.policy import Policy
    from flows.data.image_folder import Files

LOOKED_AT = 400
"""Files whose headers are read, and images that the model is asked about, at most."""
TIMED = 8
"""Images of a forward pass that is timed."""
TIMES = 5
"""Forward passes of which the fastest counts."""
PASSES = 3
"""Forward passes that a forward and a backward pass take together, about."""


def inspect(
    home: Home,
    *,
    data: str,
    data_root: Path | None,
    model: str | None,
    architecture: str | None,
    preprocessing: str | None,
    recipe: str | None,
) -> Inspection:
    """Look at data and, where one is named, at a model.

    Raises:
        FlowError: Data or model cannot be used; all files that cannot be read are named.
    """
    from flows.data import image_folder
    from flows.models import preprocessing_sources

    spec = DataSpec(name=data, root=str(data_root.resolve()) if data_root else None)
    files = image_folder.of_spec(spec)
    source = _located(home, model, architecture)
    own = preprocessing_sources.of_option(preprocessing)
    if own is None and source is not None:
        own = source.preprocessing
    if source is None:
        return _of_data(home, spec, files, own)
    candidates = [own] if own else _candidates(source.architecture, files)
    dataset, applied, tried = _best(spec, source, candidates)
    network = source.load(dataset)
    seconds = _seconds(network, dataset)
    rows, accuracy = _accuracies(network, dataset)
    return Inspection(
        data=data,
        classes=rows,
        sizes=_sizes(files) if files else None,
        preprocessing=applied,
        guessed=own is None and applied is not None,
        tried=tried,
        accuracy=accuracy,
        reach=_reach(network, dataset),
        disk=_disk(dataset, applied),
        free=_free(home),
        supports=tuple(_supports(rows, seconds, recipe or "default")),
        left_out={each.reason: each.count for each in dataset.left_out},
        plans=forecasts.of_model(home, digest_file(source.path)),
        seconds=forecasts.seconds_of_last(home),
    )


def _located(home: Home, model: str | None, architecture: str | None) -> Located | None:
    if model is None:
        return None
    if not model.endswith(".safetensors"):
        return model_source.registered(home, model)
    if architecture is None:
        raise ModelError(
            f"{model} does not say how its network is built: give --architecture, as in "
            "--architecture torchvision:resnet18."
        )
    return Located(path=Path(model), architecture=architecture)


def _of_data(
    home: Home, spec: DataSpec, files: Files | None, own: Preprocessing | None
) -> Inspection:
    """Without a model: files are counted and their headers read, arrays loaded."""
    from flows.data import loaders

    if files is not None:
        counted = Counter((image.part, image.label) for image in files.images)
        rows = tuple(
            ClassRow(index=c, train=counted["train", c], test=counted["test", c], accuracy=None)
            for c in range(len(files.classes))
        )
        left_out, images = files.left_out, len(files.images)
    else:
        dataset = loaders.load(spec)
        rows = tuple(
            ClassRow(
                index=c,
                train=int((dataset.train_labels == c).sum()),
                test=int((dataset.test_labels == c).sum()),
                accuracy=None,
            )
            for c in range(dataset.classes)
        )
        left_out, images = dataset.left_out, 0
    return Inspection(
        data=spec.name,
        classes=rows,
        sizes=_sizes(files) if files else None,
        preprocessing=own,
        guessed=False,
        tried={},
        accuracy=None,
        reach=None,
        disk=images * prod(own.shape) if own else 0,
        free=_free(home),
        supports=tuple(_supports(rows, None, "default")),
        left_out={each.reason: each.count for each in left_out},
    )


def _sizes(files: Files) -> Sizes:
    """Of some files, evenly spaced; from their headers alone."""
    from PIL import Image as Pillow

    from flows.data import pictures

    step = max(1, len(files.images) // LOOKED_AT)
    sizes: list[tuple[int, int]] = []
    modes: Counter[str] = Counter()
    turned = broken = 0
    for image in files.images[::step]:
        try:
            with pictures.opened(image.path) as picture:
                sizes.append(picture.size)
                modes[picture.mode] += 1
            turned += pictures.is_turned(image.path)
        except (OSError, ValueError, SyntaxError, Pillow.DecompressionBombError):
            broken += 1
    if not sizes:
        raise DataError(f"'{files.name}': none of {broken} files can be opened as an image.")
    return Sizes(
        files=len(sizes) + broken,
        least=min(sizes, key=prod),
        middle=(round(median(w for w, _ in sizes)), round(median(h for _, h in sizes))),
        greatest=max(sizes, key=prod),
        modes=dict(modes.most_common()),
        turned=turned,
        broken=broken,
    )


def _candidates(architecture: str, files: Files | None) -> list[Preprocessing | None]:
    """What such a model may have been trained to see, the likeliest first."""
    candidates: list[Preprocessing | None] = []
    family, _, name = architecture.partition(":")
    if family == "torchvision":
        from torchvision import models as zoo

        from flows.models import preprocessing_sources

        for weights in zoo.get_model_weights(name) if name in zoo.list_models(zoo) else ():
            named = f"torchvision:{type(weights).__name__}.{weights.name}"
            candidates.append(preprocessing_sources.resolve(named, Path()))
    if files is None:
        return [None]  # arrays are seen as they are
    low, high = _sizes(files).least, _sizes(files).greatest
    if low == high:
        candidates.insert(0, None)
    plain = [applied for applied in candidates if applied is not None]
    # the same sizes with pixels in [0, 1]: many train without mean and std
    bare = {"mean": (0.0,) * 3, "std": (1.0,) * 3}
    candidates += [applied.model_copy(update=bare) for applied in plain]
    if not candidates:
        side = min(224, min(low))
        candidates = [Preprocessing(resize=side, crop=side)]
    return list(dict.fromkeys(candidates))


def _best(
    spec: DataSpec, source: Located, candidates: Sequence[Preprocessing | None]
) -> tuple[Dataset, Preprocessing | None, dict[str, float]]:
    """The data as the model does best with them; the first candidate on a tie."""
    from flows.data import loaders

    best: tuple[float, Dataset, Preprocessing | None] | None = None
    tried: dict[str, float] = {}
    for applied in candidates:
        dataset = loaders.load(replace(spec, preprocessing=applied))
        _, accuracy = _accuracies(source.load(dataset), dataset)
        tried[applied.in_words() if applied else "images as they are"] = accuracy
        if best is None or accuracy > best[0]:
            best = accuracy, dataset, applied
    if best is None:
        raise ModelError("There is no preprocessing to try: name one with --preprocessing.")
    return best[1], best[2], tried


def _accuracies(network: nn.Module, dataset: Dataset) -> tuple[tuple[ClassRow, ...], float]:
    """By class, of held-out images evenly spaced; and the mean of those."""
    import torch

    from audits.images import at_once

    each = max(1, LOOKED_AT // dataset.classes)
    rows = []
    with torch.inference_mode():
        for c in range(dataset.classes):
            mine = (dataset.test_labels == c).nonzero().flatten()
            shown = mine[:: max(1, len(mine) // each)][:each]
            images = dataset.test_inputs.index_select(0, shown)
            right = sum(
                int((network(part).argmax(1) == c).sum())
                for part in images.split(at_once(images, LOOKED_AT))
            )
            rows.append(
                ClassRow(
                    index=c,
                    train=int((dataset.train_labels == c).sum()),
                    test=len(mine),
                    accuracy=right / len(shown) if len(shown) else None,
                )
            )
    measured = [row.accuracy for row in rows if row.accuracy is not None]
    return tuple(rows), sum(measured) / len(measured)


def _reach(network: nn.Module, dataset: Dataset) -> Reach:
    from damp.operators import find
    from damp.tracing import trace

    operators, skipped = find(network)
    traced = trace(network, operators, dataset.train_inputs[:TIMED])
    return Reach(
        parameters=sum(parameter.numel() for parameter in network.parameters()),
        cut=sum(use.operator.weight().numel() for use in traced.uses.values()),
        operators=len(traced.uses),
        left={each.name: each.reason for each in (*skipped, *traced.skipped)},
    )


def _seconds(network: nn.Module, dataset: Dataset) -> float:
    """Of a forward pass over one image, by the fastest of some small batches: others are busy."""
    import torch

    images = dataset.train_inputs[: min(TIMED, len(dataset.train_labels))]
    with torch.inference_mode():
        network(images)  # the first pass allocates
        passes = [_timed(lambda: network(images)) for _ in range(TIMES)]
    return min(passes) / len(images)


def _timed(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def _disk(dataset: Dataset, applied: Preprocessing | None) -> int:
    """Bytes of the decoded images, where they lie on disk."""
    from flows.data.view import View

    if not isinstance(dataset.train_inputs, View) or dataset.unprocessed is not None:
        return 0
    images = len(dataset.train_labels) + len(dataset.test_labels)
    return images * prod(applied.shape if applied else dataset.input_shape)


def _free(home: Home) -> int:
    place = next(p for p in (home.root, *home.root.absolute().parents) if p.exists())
    return shutil.disk_usage(place).free


def _supports(rows: Sequence[ClassRow], seconds: float | None, recipe: str) -> Iterator[Support]:
    """Which policies have enough images of each class, and what a request by each would take."""
    from flows.models import recipes
    from flows.steps import audit_rows

    train, test = sum(row.train for row in rows), sum(row.test for row in rows)
    for name in shipped():
        policy = load_policy(name)
        low = policy.minimum_samples
        too_small = tuple(
            row.index
            for row in rows
            if row.train < low.get("forget_train", 1) or row.test < low.get("forget_test", 1)
        )
        minutes = None
        if seconds is not None:
            epochs = recipes.get(recipe).epochs
            models = policy.references + policy.shadows
            observed = min(test, audit_rows.RETAIN_TEST * len(rows)) + min(
                train, audit_rows.RETAIN_TRAIN * len(rows) + audit_rows.FORGET_TRAIN
            )
            # the original, the candidate, four controls and each reference are observed
            passes = PASSES * epochs * train * models + observed * (6 + models) + 4 * train
            minutes = passes * seconds / 60
        yield Support(
            policy=name,
            too_small=too_small,
            out_of_reach=_out_of_reach(policy, [r for r in rows if r.index not in too_small]),
            minutes=minutes,
        )


def _out_of_reach(policy: Policy, rows: Sequence[ClassRow]) -> tuple[str, ...]:
    """What no result can meet at the sizes of the smallest of some classes."""
    from compliance.verdict import expected_power

    if not rows:
        return ()
    sizes = {"forget_train": min(r.train for r in rows), "forget_test": min(r.test for r in rows)}
    return tuple(expected_power.by_sizes(policy, sizes))
