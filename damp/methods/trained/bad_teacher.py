"""Bad Teacher: on the class answer as a random network does, on the rest as before.

Source: V. Chundawat et al., Can Bad Teaching Induce Forgetting? AAAI 2023, arXiv:2205.08096.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from damp.methods.errors import BadSetting
from damp.methods.job import Job
from damp.methods.training import Batch, Loop, descend, divergence, logits


def run(job: Job, *, rate: float = 1e-4, share: float = 0.3, epochs: float = 1) -> nn.Module:
    """KL(teacher || student) over D_f and a share of D_r; a random network teaches on D_f.

    The divergence is a mean over rows and classes, as published: its steps get smaller with more
    classes.

    Args:
        job: What to forget, and where; it must be able to build a fresh network.
        rate: Of Adam.
        share: Of the rows to keep.
        epochs: Over these rows.
    """
    if not 0 < share <= 1:
        raise BadSetting(f"A share of {share} of the rows: give one above 0, 1 at most.")
    edited, loop, generator = job.copy(), Loop(epochs=epochs, rate=rate, adam=True), job.generator()
    competent, incompetent = job.copy(), job.fresh().eval()
    kept = job.retain_rows[torch.randperm(len(job.retain_rows), generator=generator)]
    rows = torch.cat([job.forget_rows, kept[: max(1, int(share * len(kept)))]])
    gone = torch.tensor(job.forget)

    def epoch(_: int) -> Iterator[Batch]:
        for inputs, labels in job.shuffled(rows, loop.size, generator):
            bad = torch.isin(labels.cpu(), gone).to(labels.device)[:, None]
            with torch.no_grad():
                answers = torch.where(bad, logits(incompetent, inputs), logits(competent, inputs))
            yield inputs, answers

    def loss(batch: Batch) -> Tensor:
        inputs, target = batch
        return divergence(target, logits(edited, inputs)) / target.shape[1]

    return descend(edited, loop, epoch, loss)
