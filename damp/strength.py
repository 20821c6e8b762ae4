"""How much of each direction is taken away, from what a probe could read.

`mixture` reads it off the residuals; `paper` asks a forget-versus-retain probe, times a ramp that
grows with depth.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import Tensor

from damp.statistics import Statistics
from damp.whitening import Covariance


def shrinkage(separability: Tensor, gain: float = 1.0) -> Tensor:
    """a_j = g s_j^2 / (1 + g s_j^2), per direction (`mixture`).

    With g = 1 it minimises (1 - a)^2 s^2 + a^2: the forget signal that is left, a mean over the
    classes to forget, plus the disturbance of retain samples, whose spread along every direction is
    1 in this metric.

    >>> import torch
    >>> shrinkage(torch.tensor([0., 1., 9.]))
    tensor([0.0000, 0.5000, 0.9000])
    """
    scaled = gain * separability  # (k,)
    return scaled / (1 + scaled)


def linear_ramp(position: int, operators: int) -> float:
    """(l + 1) / n for the operator at `position` (from 0) of n: the ramp of `paper`.

    The paper says only that its ramp grows with depth.

    >>> [linear_ramp(position, 4) for position in range(4)]
    [0.25, 0.5, 0.75, 1.0]
    """
    return (position + 1) / operators


def probe_separability(statistics: Statistics, forget: Sequence[int], retain: Covariance) -> float:
    """2 AUC - 1 of a linear probe of forget against retain samples, between 0 and 1.

    The probe is Fisher's discriminant u = S^-1 (mu_F - mu_R) on pooled inputs, S the mean of the
    two covariances, ridged. Its AUC is the binormal one, Phi(u'(mu_F - mu_R) / sqrt(2 u'S u)) =
    Phi(D / sqrt 2) with D the Mahalanobis distance |L (mu_F - mu_R)|, so that 2 AUC - 1 =
    erf(D / 2): means and covariances are all it takes, no second pass over the samples.

    Args:
        statistics: Of one block of features.
        forget: Classes to forget.
        retain: Covariance of the classes to keep.
    Source: R. Fisher 1936; J. Hanley 1988 for the binormal AUC.
    """
    # both groups have a say in the probe's metric, however unequal their sizes
    metric = retain.averaged(statistics.covariance(forget)).metric()
    distance = statistics.mean(forget) - statistics.mean(statistics.others(forget))  # (D,)
    squared = float(metric.whiten(distance[None]).square().sum())  # D^2
    return math.erf(math.sqrt(squared) / 2)
