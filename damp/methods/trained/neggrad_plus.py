"""NegGrad+: climb the loss of the class while descending that of the others.

Source: M. Kurmanji et al., Towards Unbounded Machine Unlearning, NeurIPS 2023, arXiv:2302.09880
(as a baseline).
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain, repeat

from torch import Tensor, nn

from damp.methods.errors import BadSetting
from damp.methods.job import Job
from damp.methods.training import Batch, Loop, cross_entropy, descend


def run(job: Job, *, alpha: float = 0.95, rate: float = 1e-3, epochs: float = 3) -> nn.Module:
    """alpha CE(D_r) - (1 - alpha) CE(D_f), a batch of D_f with each of D_r.

    Args:
        job: What to forget, and where.
        alpha: Share of the rows to keep, between 0 and 1.
        rate: Of SGD with momentum.
        epochs: Over the rows to keep; those to forget go round as often as they must.
    """
    if not 0 < alpha < 1:
        raise BadSetting(f"alpha is {alpha}: give a share between 0 and 1.")
    edited, loop, generator = job.copy(), Loop(epochs=epochs, rate=rate), job.generator()

    def epoch(_: int) -> Iterator[Batch]:
        turns = (job.shuffled(job.forget_rows, loop.size, generator) for _ in repeat(None))
        gone = chain.from_iterable(turns)
        for kept in job.shuffled(job.retain_rows, loop.size, generator):
            yield (*kept, *next(gone))

    def loss(batch: Batch) -> Tensor:
        kept, gone = batch[:2], batch[2:]
        return alpha * cross_entropy(edited, kept) - (1 - alpha) * cross_entropy(edited, gone)

    return descend(edited, loop, epoch, loss)
