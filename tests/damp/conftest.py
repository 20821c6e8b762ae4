"""Small nets and small data, and brute-force references written without the package."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from sklearn.datasets import load_digits
from torch import nn


class Brute:
    """The formulas of docs/method.md, once more, in numpy and float64, by explicit matrices."""

    ridge = 0.01

    def prototypes(self, rows, labels, classes):
        return np.stack([rows[labels == label].mean(0) for label in classes])

    def covariance(self, rows):
        raw = np.cov(rows, rowvar=False, bias=True).reshape(rows.shape[1], rows.shape[1])
        return raw + self.ridge * np.mean(np.diag(raw)) * np.eye(len(raw))

    def mixture_weights(self, target, retain, covariance):
        """Sequential quadratic programming on the simplex, from the uniform mixture."""
        inverse = np.linalg.inv(covariance)
        scale = 1.0 / max(np.einsum("rd,de,re->r", retain - target, inverse, retain - target))

        def distance(w):
            gap = target - w @ retain
            return scale * gap @ inverse @ gap, -2 * scale * retain @ inverse @ gap

        solution = minimize(
            distance,
            np.full(len(retain), 1 / len(retain)),
            jac=True,
            method="SLSQP",
            bounds=[(0, None)] * len(retain),
            constraints={"type": "eq", "fun": lambda w: w.sum() - 1, "jac": np.ones_like},
            options={"ftol": 1e-15, "maxiter": 500},
        )
        return solution.x

    def mixture(self, rows, labels, forget, strength=None, gain=1.0):
        """The matrix T and the reference m of the preset `mixture`."""
        kept = sorted(set(labels.tolist()) - set(forget))
        retain = self.prototypes(rows, labels, kept)
        covariance = self.covariance(rows[~np.isin(labels, forget)])
        residuals = []
        for target in self.prototypes(rows, labels, forget):
            weights = self.mixture_weights(target, retain, covariance)
            residuals.append(target - weights @ retain)
        whitener = np.linalg.inv(np.linalg.cholesky(covariance))
        _, s, vh = np.linalg.svd(np.stack(residuals) @ whitener.T, full_matrices=False)
        signal = gain * s**2 / len(residuals)
        a = signal / (1 + signal) if strength is None else np.full(len(s), strength)
        projector = np.linalg.inv(whitener) @ vh.T @ np.diag(a) @ vh @ whitener
        return projector, retain.mean(0)

    def paper(self, rows, labels, forget):
        """The matrix Q Q' of the preset `paper`."""
        kept = sorted(set(labels.tolist()) - set(forget))
        retain = self.prototypes(rows, labels, kept).T
        targets = self.prototypes(rows, labels, forget).T
        basis, _ = np.linalg.qr(targets - retain @ np.linalg.pinv(retain) @ targets)
        return basis @ basis.T


@pytest.fixture(autouse=True)
def _same_numbers_every_time():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


@pytest.fixture(scope="session")
def brute():
    return Brute()


@pytest.fixture(scope="session")
def clouds():
    """Makes (inputs, labels): one Gaussian cloud per class around its own centre, float64."""

    def make(seed=0, classes=4, shape=(6,), samples=40, spread=1.0):
        generator = torch.Generator().manual_seed(seed)
        labels = torch.arange(samples * classes) % classes
        centres = 2 * torch.randn(classes, *shape, generator=generator, dtype=torch.float64)
        noise = torch.randn(len(labels), *shape, generator=generator, dtype=torch.float64)
        return centres[labels] + spread * noise, labels

    return make


@pytest.fixture(scope="session")
def split():
    """Cuts (inputs, labels) into batches."""

    def cut(inputs, labels, size=32):
        return list(zip(inputs.split(size), labels.split(size), strict=True))

    return cut


@pytest.fixture
def images(clouds):
    """(inputs, labels) of four classes for `cnn`, float32."""
    inputs, labels = clouds(0, 4, (2, 6, 6))
    return inputs.float(), labels


@pytest.fixture
def batches(images, split):
    """`images` in batches."""
    return split(*images)


@pytest.fixture(scope="session")
def seeded():
    """Builds a module from a seed, leaving the global random state alone."""

    def build(make, seed=0):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return make()

    return build


def convolutional(classes=4, bias=False):
    """Convolutions with batch norm and a head, for inputs (B, 2, 6, 6)."""
    return nn.Sequential(
        nn.Conv2d(2, 6, 3, padding=1, bias=bias),
        nn.BatchNorm2d(6),
        nn.ReLU(),
        nn.Conv2d(6, 8, 3, stride=2, bias=bias),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(32, classes),
    )


@pytest.fixture(scope="session")
def cnn(seeded):
    """Makes a small convolutional classifier with lived-in batch norms."""

    def make(seed=0, classes=4, bias=False):
        model = seeded(lambda: convolutional(classes, bias), seed)
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for _ in range(5):
                model(2 * torch.randn(16, 2, 6, 6, generator=generator) + 0.5)
        return model.eval()

    return make


@pytest.fixture(scope="session")
def digits():
    """Handwritten digits: training and test (inputs, labels), shuffled by a seed."""
    pixels, labels = load_digits(return_X_y=True)
    order = torch.randperm(len(pixels), generator=torch.Generator().manual_seed(0))
    inputs = torch.tensor(pixels, dtype=torch.float32)[order].reshape(-1, 1, 8, 8) / 16
    labels = torch.tensor(labels, dtype=torch.int64)[order]
    return (inputs[:1200], labels[:1200]), (inputs[1200:], labels[1200:])


@pytest.fixture(scope="session")
def digit_net(digits, seeded):
    """A convolutional net that reads handwritten digits."""
    (inputs, labels), _ = digits

    def train():
        model = nn.Sequential(
            nn.Conv2d(1, 12, 3, padding=1, bias=False),
            nn.BatchNorm2d(12),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(12, 24, 3, padding=1),
            nn.BatchNorm2d(24),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Linear(96, 32),
            nn.ReLU(),
            nn.Linear(32, 10),
        )
        optimiser = torch.optim.Adam(model.parameters(), 5e-3)
        for _ in range(8):
            for rows in torch.randperm(len(inputs)).split(64):
                optimiser.zero_grad()
                nn.functional.cross_entropy(model(inputs[rows]), labels[rows]).backward()
                optimiser.step()
        return model.eval()

    return seeded(train)
