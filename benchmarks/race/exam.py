"""Put the models of an event before the audits, as an event of the product does."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import nn

from audits import AUDITS, controls, fresh, spiked
from audits.errors import AuditError, BadControl
from audits.evidence import Evidence
from audits.features import observe
from audits.finding import Finding
from audits.observation import PENULTIMATE, Observation
from audits.weight_record import record
from benchmarks.race import metrics
from benchmarks.race.racing import Race
from benchmarks.race.trainings import reference_seeds, trained
from compliance.documents.policy import load_policy
from flows.steps import audit_rows

AUDIT_SEED = 20261130
"""Of all draws of the audits."""
DEPTHS = 3
"""At which features are read, the head's input among them: fewer than an event's five, for time."""
RETIRED = ("output_retired", "random_direction")
"""Controls that are observed behind a retired output."""
NEAR_MARGIN = "near_margin"


def asked(policy: str) -> list[str]:
    """Audits that a policy speaks of, and where images of the class go."""
    named = {rule.measurement.split(".")[0] for rule in load_policy(policy).rules}
    return [name for name in AUDITS if name in named or name == "routing"]


class Exam:
    """The audits of one event.

    Args:
        race: The event.
    """

    def __init__(self, race: Race) -> None:
        self.race = race
        self.policy = load_policy(race.track.policy)
        self.forget = race.event.forget
        self.original = race.original()

    @property
    def asked(self) -> list[str]:
        """Audits that are run."""
        return asked(self.race.track.policy)

    @cached_property
    def retrained(self) -> list[nn.Module]:
        """The yardstick."""
        seeds = reference_seeds()
        return [
            trained(
                self.race.track, self.race.rows, self.race.store, seed=seed, exclude=self.forget
            )[0]
            for seed in seeds
        ]

    @cached_property
    def chosen(self) -> dict[str, torch.Tensor]:
        """The rows, capped as in an event."""
        (train, train_labels), (test, test_labels) = self.race.rows.train, self.race.rows.test
        classes = range(self.race.rows.classes)
        caps = {
            c: audit_rows.FORGET_TRAIN if c in self.forget else audit_rows.RETAIN_TRAIN
            for c in classes
        }
        train_rows = audit_rows._sample(train_labels, caps)
        held_out = {
            c: audit_rows.FORGET_TEST if c in self.forget else audit_rows.RETAIN_TEST
            for c in classes
        }
        held = audit_rows._sample(test_labels, held_out)
        moved = fresh.choose(train_labels, self.forget, seed=AUDIT_SEED)
        return {
            "train": train[train_rows],
            "train_labels": train_labels[train_rows],
            "test": test[held],
            "test_labels": test_labels[held],
            "fresh": fresh.perturbed(train[moved], seed=AUDIT_SEED),
            "fresh_labels": train_labels[moved],
        }

    def observed(self, model: nn.Module, name: str, retired: Sequence[int] = ()) -> Observation:
        """What a model says about the rows."""
        observation = observe(
            model,
            self.chosen["train"],
            self.chosen["test"],
            digest=name,
            retired=retired,
            fresh=self.chosen["fresh"],
            depths=DEPTHS,
            weights=True,
        )
        shown = torch.isin(self.chosen["test_labels"], torch.tensor(self.forget))
        held = record(model, self.chosen["test"], shown=shown.nonzero().flatten().tolist())
        return replace(observation, record=held)

    @cached_property
    def references(self) -> tuple[Observation, ...]:
        """What the retrained models say."""
        return tuple(self.observed(m, f"reference {i}") for i, m in enumerate(self.retrained))

    @cached_property
    def evidence(self) -> Evidence:
        """The original before the audits."""
        original = self.observed(self.original, "original")
        return Evidence(
            original=original,
            candidate=original,
            references=self.references,
            train_labels=self.chosen["train_labels"].numpy(),
            test_labels=self.chosen["test_labels"].numpy(),
            forget=self.forget,
            seed=AUDIT_SEED,
            fresh_labels=self.chosen["fresh_labels"].numpy(),
            trained_here=True,
        )

    def findings(self, evidence: Evidence) -> list[dict[str, Any]]:
        """Of every audit that is asked, without the series that only pictures need."""
        findings: list[Finding] = [AUDITS[name](evidence) for name in self.asked]
        return [finding.to_json() | {"series": {}} for finding in findings]

    def controls(self, edited: nn.Module) -> dict[str, Any]:
        """Findings on the controls; the random edit has the size of our default's."""
        evidence = self.evidence
        models, impossible = controls.possible(
            self.original,
            edited,
            forget=self.forget,
            inputs=self.chosen["train"],
            labels=self.chosen["train_labels"],
            seed=AUDIT_SEED,
        )
        by_control = {"original": self.findings(evidence)}
        for name, model in models.items():
            if name != "original":
                retired = self.forget if name in RETIRED else ()
                observation = self.observed(model, f"control {name}", retired)
                by_control[name] = self.findings(evidence.with_candidate(observation))
        for index, one in enumerate(self.references):
            others = self.references[:index] + self.references[index + 1 :]
            by_control[f"reference_{index}"] = self.findings(
                evidence.with_candidate(one, references=others)
            )
        share = self.policy.near_margin
        if share is not None:
            try:
                by_control[NEAR_MARGIN] = self.findings(spiked.near_margin(evidence, share=share))
            except BadControl as problem:
                impossible[NEAR_MARGIN] = str(problem)
        return {"findings": by_control, "impossible": impossible}

    def candidate(self, model: nn.Module, name: str) -> dict[str, Any]:
        """Findings on a candidate, and what papers print of it."""
        try:
            observation = self.observed(model, name, self.forget)
            findings = self.findings(self.evidence.with_candidate(observation))
        except AuditError as problem:  # as an event would be refused: a row without figures
            return {"refused": str(problem)}
        return {"findings": findings, "published": self.published(model, observation)}

    def published(self, model: nn.Module, observation: Observation) -> dict[str, float | None]:
        """Figures that papers print."""
        labels, forget = self.evidence.test_labels, self.forget
        own = self._accuracies(observation)
        before = self._accuracies(self.evidence.original)
        others = [self._accuracies(one) for one in self.references]
        gone = np.isin(labels, forget)
        last = observation.features[PENULTIMATE]
        first = self.evidence.original.features[PENULTIMATE]
        kept, recovered = metrics.knowledge_retention(last, labels, forget)[::-1]
        alike = [metrics.cka(last[rows], first[rows]) for rows in (gone, ~gone)]
        return {
            "aus": metrics.aus(before[0], own[0], own[1]),
            "tow": metrics.tow(
                *own,
                float(np.mean([one[0] for one in others])),
                float(np.mean([one[1] for one in others])),
            ),
            "zrf": metrics.zrf(observation.test_logits[gone], self._random[gone]),
            "layer_distance": metrics.layer_distance(self.original, model),
            "kr_forget": recovered,
            "kr_retain": kept,
            # the first half of the held-out rows of each class stands for training features
            "nc": metrics.nearest_class_mean(
                last[::2], labels[::2], last[1::2], labels[1::2], forget
            ),
            "idi": metrics.idi(
                self._information(observation), self._of_original, self._of_references
            ),
            "rus": metrics.rus(*alike),
        }

    def _accuracies(self, observation: Observation) -> tuple[float, float]:
        """On rows to keep behind retired outputs, and on those to forget before."""
        labels, logits = self.evidence.test_labels, observation.test_logits
        gone = np.isin(labels, self.forget)
        retired = logits.copy()
        retired[:, list(self.forget)] = -np.inf
        kept = (retired.argmax(1) == labels)[~gone].mean()
        return float(kept), float((logits.argmax(1) == labels)[gone].mean())

    def _information(self, observation: Observation) -> dict[str, float]:
        labels = self.evidence.test_labels
        return {
            depth: metrics.information(features, labels, self.forget)
            for depth, features in observation.features.items()
        }

    @cached_property
    def _of_original(self) -> dict[str, float]:
        return self._information(self.evidence.original)

    @cached_property
    def _of_references(self) -> list[dict[str, float]]:
        return [self._information(one) for one in self.references]

    @cached_property
    def _random(self) -> np.ndarray:
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            torch.manual_seed(AUDIT_SEED)
            model = self.race.build().eval()
            logits: np.ndarray = model(self.chosen["test"]).double().numpy()
        return logits


def facts_of(
    race: Race, asked: Sequence[str], candidate: Mapping[str, Any] | None
) -> dict[str, Any]:
    """What decides the findings on a candidate, or on the controls: no margin does.

    Args:
        race: The event.
        asked: Audits.
        candidate: Entrant and settings; None for the controls.
    """
    return {
        **race.facts,
        "audit_seed": AUDIT_SEED,
        "audits": list(asked),
        "depths": DEPTHS,
        "near_margin": load_policy(race.track.policy).near_margin,
        "references": reference_seeds(),
        "candidate": dict(candidate) if candidate else "controls",
    }


def as_findings(content: Iterable[Mapping[str, Any]]) -> tuple[Finding, ...]:
    """Findings as they were before they were kept."""
    return tuple(Finding.from_json(dict(finding)) for finding in content)
