"""Figures that papers print. They are shown and decide nothing; each formula is in its docstring.

`A_r`, `A_f` are accuracies on held-out rows to keep and to forget, `o` of the original, `u` of the
model that forgot, `g` the mean of the retrained ones.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from scipy.special import log_softmax, rel_entr, softmax
from sklearn.linear_model import LogisticRegression
from torch import nn


def aus(retain_before: float, retain: float, forget: float) -> float:
    """Adaptive unlearning score of a class: (1 - (A_r^o - A_r^u)) / (1 + A_f^u).

    Source: DUCK, arXiv:2312.02052.

    >>> round(aus(.9, .85, .25), 4)
    0.76
    """
    return (1 - (retain_before - retain)) / (1 + forget)


def tow(retain: float, forget: float, retain_retrained: float, forget_retrained: float) -> float:
    """Tug of war without the third factor: (1 - |A_f^u - A_f^g|) (1 - |A_r^u - A_r^g|).

    The published product has a factor on the training rows as well. Source: arXiv:2406.01257.

    >>> round(tow(.8, .1, .9, 0.), 4)
    0.81
    """
    return (1 - abs(forget - forget_retrained)) * (1 - abs(retain - retain_retrained))


def zrf(logits: np.ndarray, random: np.ndarray) -> float:
    """Zero retrain forgetting: 1 - mean JS(softmax(u), softmax(random net)) over rows to forget.

    JS with logarithms of base 2, so that it lies between 0 and 1. Source: arXiv:2205.08096.

    Args:
        logits: Of the model, (n, C).
        random: Of a fresh network, (n, C).

    >>> round(zrf(np.array([[0., 0.]]), np.array([[0., 0.]])), 4)
    1.0
    >>> round(zrf(np.array([[50., 0.]]), np.array([[0., 50.]])), 4)
    0.0
    """
    one, other = softmax(logits, 1), softmax(random, 1)
    middle = (one + other) / 2
    apart = (rel_entr(one, middle) + rel_entr(other, middle)).sum(1) / 2 / np.log(2)
    return float(1 - apart.mean())


def layer_distance(before: nn.Module, after: nn.Module) -> float:
    """Mean over weights of |W_u - W_o| / |W_o|, Frobenius norms, of those with two axes or more.

    >>> net, twice = nn.Linear(2, 2), nn.Linear(2, 2)
    >>> _ = twice.load_state_dict({k: 2 * v for k, v in net.state_dict().items()})
    >>> round(layer_distance(net, twice), 4)
    1.0
    """
    old, new = before.state_dict(), after.state_dict()
    moves = [
        float((new[name].double() - value.double()).norm() / value.double().norm())
        for name, value in old.items()
        if value.ndim > 1 and float(value.double().norm()) > 0
    ]
    return float(np.mean(moves))


def knowledge_retention(
    features: np.ndarray, labels: np.ndarray, forget: Sequence[int]
) -> tuple[float, float]:
    """KR: a fresh logistic head on frozen last features of half of the rows, all classes.

    Its accuracy on the other half: of rows to forget, of rows to keep. ESC trains such a head by
    SGD on the training rows. Source: arXiv:2504.02199.

    Args:
        features: Before the head, (n, d), of held-out rows.
        labels: (n,).
        forget: Classes.
    """
    half = np.arange(len(labels)) % 2 == 0
    order = np.argsort(labels, kind="stable")
    fitted = np.zeros(len(labels), dtype=bool)
    fitted[order[half]] = True
    spread = features[fitted].std(0)
    scaled = (features - features[fitted].mean(0)) / np.where(spread > 0, spread, 1.0)
    head = LogisticRegression(C=1.0, max_iter=200, tol=1e-3).fit(scaled[fitted], labels[fitted])
    hits = head.predict(scaled[~fitted]) == labels[~fitted]
    gone = np.isin(labels[~fitted], list(forget))
    return float(hits[gone].mean()), float(hits[~gone].mean())


def nearest_class_mean(
    train: np.ndarray, train_labels: np.ndarray, test: np.ndarray, labels: np.ndarray,
    forget: Sequence[int],
) -> float:  # fmt: skip
    """NC accuracy: share of rows to forget nearest to their class's mean of training features.

    Source: arXiv:2604.08271.

    >>> means = np.array([[0., 0.], [4., 0.]])
    >>> rows = np.array([[1., 0.], [3., 0.]])
    >>> nearest_class_mean(means, np.array([0, 1]), rows, np.array([0, 0]), [0])
    0.5
    """
    classes = np.unique(train_labels)
    means = np.stack([train[train_labels == c].mean(0) for c in classes])
    rows = test[np.isin(labels, list(forget))]
    own = labels[np.isin(labels, list(forget))]
    distances = np.square(rows[:, None] - means[None]).sum(2)
    return float((classes[distances.argmin(1)] == own).mean())


def information(features: np.ndarray, labels: np.ndarray, forget: Sequence[int]) -> float:
    """Lower bound on I(features; is it a class to forget), in nats: H(Y) - CE of a logistic reader.

    Fitted on half of the rows, read on the other. The published index trains a network for the
    bound. Source: arXiv:2405.17878.
    """
    gone = np.isin(labels, list(forget))
    order = np.argsort(labels, kind="stable")
    fitted = np.zeros(len(labels), dtype=bool)
    fitted[order[np.arange(len(labels)) % 2 == 0]] = True
    spread = features[fitted].std(0)
    scaled = (features - features[fitted].mean(0)) / np.where(spread > 0, spread, 1.0)
    reader = LogisticRegression(C=0.1, max_iter=200, tol=1e-3).fit(scaled[fitted], gone[fitted])
    scores = log_softmax(
        np.stack([np.zeros(int((~fitted).sum())), reader.decision_function(scaled[~fitted])], 1), 1
    )
    loss = -scores[np.arange(len(scores)), gone[~fitted].astype(int)].mean()
    share = gone[~fitted].mean()
    entropy = -(share * np.log(share) + (1 - share) * np.log(1 - share))
    return float(max(0.0, entropy - loss))


def idi(
    own: Mapping[str, float], before: Mapping[str, float], retrained: Sequence[Mapping[str, float]]
) -> float | None:
    """Information difference index: sum_l (I_l^u - I_l^g) / sum_l (I_l^o - I_l^g) over depths l.

    1 knows what the original knows, 0 what retrained models know. None where the original knows
    no more than they do. Source: arXiv:2405.17878.

    >>> idi({"a": .2}, {"a": .6}, [{"a": .1}, {"a": .1}])
    0.2
    """
    base = {depth: float(np.mean([one[depth] for one in retrained])) for depth in own}
    gap = sum(before[depth] - base[depth] for depth in own)
    return round(sum(own[depth] - base[depth] for depth in own) / gap, 6) if gap > 0 else None


def cka(one: np.ndarray, other: np.ndarray) -> float:
    """Linear CKA of two sets of features of the same rows, (n, d) and (n, e).

    >>> rows = np.random.default_rng(0).normal(size=(20, 3))
    >>> round(cka(rows, 2 * rows + 1), 4)
    1.0
    """
    return linear_cka(one - one.mean(0), other - other.mean(0))


def linear_cka(a: np.ndarray, b: np.ndarray) -> float:
    """The same of features that are centred as they are wanted (Kornblith 2019).

    >>> linear_cka(np.eye(3), 2 * np.eye(3))
    1.0
    """
    cross = np.linalg.norm(a.T @ b) ** 2
    scale = np.linalg.norm(a.T @ a) * np.linalg.norm(b.T @ b)
    return float(cross / scale) if scale > 0 else 0.0


def rus(forget_likeness: float, retain_likeness: float) -> float:
    """Representation unlearning score, as we read it: 2 F R / (F + R), F = 1 - CKA_f, R = CKA_r.

    CKA to the original's last features, of rows to forget and of rows to keep. The paper says what
    it weighs and its formula was not to be had. Source: arXiv:2511.19339.

    >>> round(rus(.5, 1.), 4)
    0.6667
    """
    forgotten, kept = 1 - forget_likeness, retain_likeness
    return 2 * forgotten * kept / (forgotten + kept) if forgotten + kept > 0 else 0.0
