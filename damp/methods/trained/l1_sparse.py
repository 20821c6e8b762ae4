"""L1-sparse: fine-tuning while small weights are driven to zero.

Source: J. Jia et al., Model Sparsity Can Simplify Machine Unlearning, NeurIPS 2023,
arXiv:2304.04934.
"""

from __future__ import annotations

from torch import Tensor, nn

from damp.methods.job import Job
from damp.methods.training import Batch, Loop, cross_entropy, descend


def run(job: Job, *, gamma: float = 5e-4, rate: float = 0.01, epochs: float = 3) -> nn.Module:
    """CE(D_r) + gamma (1 - t / T) |theta|_1 in epoch t of T.

    Args:
        job: What to forget, and where.
        gamma: Weight of the norm in the first epoch.
        rate: Of SGD with momentum.
        epochs: Over the rows to keep.
    """
    edited, loop, generator = job.copy(), Loop(epochs=epochs, rate=rate), job.generator()
    weight = [gamma]

    def epoch(number: int):  # type: ignore[no-untyped-def]  # of batches
        weight[0] = gamma * (1 - number / loop.epochs)
        return job.shuffled(job.retain_rows, loop.size, generator)

    def loss(batch: Batch) -> Tensor:
        norm = sum(
            (value.abs().sum() for value in edited.parameters()), start=batch[0].new_zeros(())
        )
        return cross_entropy(edited, batch) + weight[0] * norm

    return descend(edited, loop, epoch, loss)
