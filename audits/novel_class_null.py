"""What "never learned" looks like on one and the same model: classes that it was never trained on.

Where no retrained model is at hand, the rows of such a class take the place of the forgotten ones,
and every figure is measured again on the same model. The band is wide, so that it says less than
retrained models do.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from audits.evidence import Evidence
from audits.observation import Observation, Readout


def stand_in(
    evidence: Evidence, observation: Observation, novel_class: int
) -> tuple[Evidence, Observation] | str:
    """The model before the rows of the classes that stay and of one that it never saw.

    Args:
        evidence: As put before the audits; gives rows and labels.
        observation: The model.
        novel_class: Class of `evidence.unseen_labels`.
    Returns:
        An evidence in which that class stands where the first forgotten one stood, with as many
        rows at most, and the observation that belongs to it; or why there is none.
    """
    readout = observation.unseen
    if readout is None or evidence.unseen_labels is None:
        return "it was not shown the unseen classes"
    retain = evidence.test_rows(evidence.retain)
    rows = np.flatnonzero(evidence.unseen_labels == novel_class)  # (u,)
    # as many as the forgotten class has: fewer images scatter more
    rows = evidence.rng("unseen").permutation(rows)[: _fewest(evidence)]
    shown = replace(
        observation,
        digest=f"{observation.digest} unseen {novel_class}",
        # (r + u, C): retain rows first
        test_logits=np.concatenate([observation.test_logits[retain], readout.logits[rows]]),
        features=_features(observation, readout, retain, rows),
        # of several forgotten classes one is replaced, the others leave the label space
        retired=(*evidence.original.retired, *evidence.forget[1:]),
        fresh=None,
        unseen=None,
        relearned={},
        cells=None,
    )
    labels = np.full(len(rows), evidence.forget[0])
    substituted = replace(
        evidence,
        original=shown,  # no figure is relative to an original here
        candidate=shown,
        references=(),
        forget=evidence.forget[:1],
        test_labels=np.concatenate([evidence.test_labels[retain], labels]),
        fresh_labels=None,
        unseen_labels=None,
        tuning=None,
        shadows=(),
    )
    return substituted, shown


def _fewest(evidence: Evidence) -> int:
    return min(len(evidence.test_rows([c])) for c in evidence.forget)


def _features(
    observation: Observation, readout: Readout, retain: np.ndarray, rows: np.ndarray
) -> dict[str, np.ndarray]:
    return {
        depth: np.concatenate([features[retain], readout.features[depth][rows]])
        for depth, features in observation.features.items()
    }
