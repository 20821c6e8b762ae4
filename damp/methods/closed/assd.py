"""ASSD: SSD whose threshold comes from the size of the class alone.

Source: S. Schoepf, J. Foster, A. Brintrup, Parameter-tuning-free data entry error unlearning with
adaptive selective synaptic dampening, arXiv:2402.10098.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from damp.methods.closed.ssd import Importance, dampen, importance, only
from damp.methods.job import Job


def run(job: Job) -> nn.Module:
    """SSD with alpha = the `percentile` of F_f / F_D over all parameters, and lambda = 1."""
    edited = job.copy()
    batches = job.batches()
    everything, unwanted = (
        importance(edited, batches),
        importance(edited, only(batches, job.forget)),
    )
    share = len(job.forget_rows) / len(job.labels)
    dampen(edited, everything, unwanted, threshold(everything, unwanted, share), 1.0)
    return edited


def percentile(share: float) -> float:
    """100 - ln(1 + 100 n_f / n): of one class in ten 97.6.

    >>> round(percentile(.1), 2)
    97.6
    """
    return 100 - math.log(1 + 100 * share)


def threshold(everything: Importance, unwanted: Importance, share: float) -> float:
    """The ratio of importances above which a parameter is dampened."""
    ratios: list[Tensor] = []
    for name, whole in everything.items():
        used = whole > 0  # a parameter that matters to nobody has no ratio
        ratios.append((unwanted[name][used] / whole[used]).flatten())
    ordered = torch.cat(ratios).sort().values
    place = percentile(share) / 100 * (len(ordered) - 1)
    below = int(place)
    above = min(below + 1, len(ordered) - 1)
    return float(ordered[below].lerp(ordered[above], place - below))
