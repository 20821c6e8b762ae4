"""A recipe beside the same script in plain PyTorch, and references of fewer epochs."""

from __future__ import annotations

import statistics
import time

from benchmarks.size.common import Counts, Figures, spread

CROP, RATE, DECAY, BATCH = 4, 0.05, 5e-4, 64


def recipe(counts: Counts, _: int) -> Figures:
    """A small residual network on CIFAR-10, with flips and crops: by a recipe, by a plain script.

    The script is what anyone would write: torchvision's transforms, a DataLoader, SGD. Both have
    the same seeds, so that they start from the same weights; their random crops differ, so what
    differs between them is as large as between two seeds.
    """
    import torch

    from audits.augmentation import Augmentation
    from audits.references import Recipe, train
    from benchmarks.validity import data, nets

    torch.set_num_threads(1)
    dataset = data.cifar()
    chosen = Recipe(
        epochs=counts.epochs,
        batch_size=BATCH,
        learning_rate=RATE,
        weight_decay=DECAY,
        optimizer="sgd",
        schedule="cosine",
        augmentation=Augmentation(flip=True, crop=CROP),
    )

    def build() -> torch.nn.Module:
        return nets.residual(10, dataset.input_shape)

    accuracies: dict[str, list[float]] = {"recipe": [], "plain": []}
    seconds: dict[str, list[float]] = {"recipe": [], "plain": []}
    for seed in range(counts.seeds):
        for name in accuracies:
            start = time.process_time()
            if name == "recipe":
                rows, labels = dataset.train_inputs, dataset.train_labels
                network = train(build, rows, labels, recipe=chosen, seed=seed)
            else:
                network = _plain(build, dataset, chosen, seed)
            seconds[name].append(time.process_time() - start)
            with torch.inference_mode():
                answers = torch.cat([network(x).argmax(1) for x in dataset.test_inputs.split(500)])
            right = (answers == dataset.test_labels).double().mean()
            accuracies[name].append(round(100 * float(right), 2))
    pairs = zip(accuracies["recipe"], accuracies["plain"], strict=True)
    differences = [one - other for one, other in pairs]
    return {
        "network": "benchmarks.validity.nets:residual",
        "images": len(dataset.train_labels),
        "held_out": len(dataset.test_labels),
        "epochs": counts.epochs,
        "percent_right": accuracies,
        "difference_in_points": spread(differences),
        "mean_difference_in_points": round(statistics.mean(differences), 2),
        "processor_seconds_of_one": {n: round(statistics.median(s), 1) for n, s in seconds.items()},
    }


def _plain(build, dataset, chosen, seed):  # type: ignore[no-untyped-def]  # a script, as it would be
    import torch
    from torch.nn import functional
    from torch.utils.data import DataLoader, TensorDataset
    from torchvision.transforms import v2

    torch.manual_seed(seed)
    network = build().train()
    size = list(dataset.input_shape[1:])
    change = v2.Compose([v2.RandomCrop(size, padding=CROP), v2.RandomHorizontalFlip()])
    rows = TensorDataset(dataset.train_inputs, dataset.train_labels)
    loader = DataLoader(rows, batch_size=BATCH, shuffle=True)
    optimizer = torch.optim.SGD(
        network.parameters(), lr=RATE, momentum=0.9, nesterov=True, weight_decay=DECAY
    )
    steps = chosen.epochs * len(loader)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for _ in range(chosen.epochs):
        for images, labels in loader:
            changed = torch.stack([change(image) for image in images])
            loss = functional.cross_entropy(network(changed), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    return network.eval()


def references(counts: Counts, _: int) -> Figures:
    """How the spread of retrained models changes where they are trained for fewer epochs.

    References of half or a quarter of the epochs cost as much less. Whether they still say what a
    model without the class looks like: the mean and spread over seeds of two figures that decide.
    """
    import torch

    from audits.references import Recipe, train
    from benchmarks.validity import data, nets

    torch.set_num_threads(1)
    dataset, forget = data.cifar(), 3
    rows = dataset.test_labels == forget
    by_epochs = {}
    for share in (1.0, 0.5, 0.25):
        epochs = max(1, round(2 * counts.epochs * share))
        retained, spreads = [], []
        for seed in range(counts.seeds + 1):
            network = train(
                lambda: nets.residual(10, dataset.input_shape),
                dataset.train_inputs,
                dataset.train_labels,
                recipe=Recipe(epochs=epochs, batch_size=BATCH, learning_rate=3e-3),
                seed=seed,
                exclude=[forget],
            )
            with torch.inference_mode():
                logits = torch.cat([network(x) for x in dataset.test_inputs.split(500)])
            right = logits.argmax(1) == dataset.test_labels
            retained.append(round(100 * float(right[~rows].double().mean()), 2))
            chance = logits[rows].softmax(1)
            spreads.append(round(float(-(chance * chance.log()).sum(1).mean()), 3))
        by_epochs[str(epochs)] = {
            "percent_right_of_the_classes_that_stay": spread(retained),
            "standard_deviation": round(statistics.stdev(retained), 2),
            "entropy_of_answers_to_the_class": spread(spreads),
            "standard_deviation_of_entropy": round(statistics.stdev(spreads), 3),
        }
    return {
        "references": counts.seeds + 1,
        "images": len(dataset.train_labels),
        "by_epochs": by_epochs,
    }
