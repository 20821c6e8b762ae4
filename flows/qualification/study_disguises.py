"""Models of a studied class that must fail: it is in them, behind some disguise.

Beside the controls of every audit: `paper`, blends of original and retrained model, and models that
were retrained with a part of the class's rows left in.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from flows.qualification import studied_class
from flows.qualification.studied_class import TRAININGS, Subject
from flows.state.files import Artifact

if TYPE_CHECKING:
    from torch import Tensor

    from audits.evidence import Evidence
    from flows.state.facts import Data, Model
    from flows.state.paths import Home
    from flows.steps.audit import Suite

PAPER = "paper"
"""A preset that leaves most of what is known: it must fail."""
PARTLY_SEED = 7000
"""Seeds of partly retrained models from here on: none of a reference, a shadow or a base model."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Disguises:
    """What is made for one class.

    Attributes:
        subject: Of the study.
        suite: With the last cut in the candidate's place.
        label: The class.
        retired: Classes that have left the label space.
        seconds: What trainings take is added here.
    """

    subject: Subject
    suite: Suite
    label: int
    retired: tuple[int, ...]
    seconds: dict[str, float]

    @property
    def home(self) -> Home:
        return self.subject.home

    @property
    def model(self) -> Model:
        """The model before."""
        return self.suite.case.model

    @property
    def data(self) -> Data:
        return self.suite.case.data

    def every(self) -> Iterator[tuple[str, Callable[[], Evidence | None]]]:
        """Name of each, and what makes its evidence; None from it where it cannot be made."""
        study = self.subject.study
        if PAPER not in study.attempts:
            yield PAPER, partial(self._of_file, self._paper, self.retired)
        for share in study.near_margin:
            yield f"blend that holds {share:g}", partial(self._blend, share)
        for share in study.partly:
            trained = partial(self._partly, share)
            yield (
                f"retrained on {share:g} of its rows",
                partial(self._of_file, trained, self.retired),
            )

    def _of_file(self, file: Callable[[], Artifact], retired: Sequence[int]) -> Evidence:
        observed = self.suite.observe.model(file(), retired=retired)
        return self.suite.evidence.with_candidate(observed)

    def _blend(self, share: float) -> Evidence | None:
        from audits import spiked
        from audits.errors import BadControl

        try:
            return spiked.near_margin(self.suite.evidence, share=share)
        except BadControl:
            return None

    def _file(self, name: str) -> Path:
        folder = self.home.qualifications / self.subject.id
        return folder / f"class-{self.label}-after-{len(self.model.retired)}" / name

    def _paper(self) -> Artifact:
        from flows.data import loaders
        from flows.models import weights
        from flows.steps.edit import forget_classes

        dataset = loaders.learned(self.data, self.model)
        network, _ = weights.load_weights(
            self.home.root / self.model.file.path,
            architecture=self.model.architecture,
            classes=self.data.classes,
            input_shape=dataset.input_shape,
        )
        edited = forget_classes(network, dataset, [self.label], studied_class.method_of(PAPER))
        path = self._file("paper.safetensors")
        weights.save_weights(edited.unretired, path, {})
        return Artifact.of(self.home.root, path)

    def _partly(self, share: float) -> Artifact:
        """Retrained with a part of the class's rows left in; kept, as trainings are dear."""
        from flows.data import loaders, view
        from flows.models import recipes, trainings, weights

        path = self._file(f"partly-{share:g}.safetensors")
        if not path.exists():
            dataset = loaders.learned(self.data, self.model)
            kept = self._kept_rows(dataset.train_labels, share)
            began = time.monotonic()
            trained = trainings.run(
                trainings.Regime.of(recipes.get(self.subject.recipe)),
                architecture=self.model.architecture,
                classes=self.data.classes,
                input_shape=dataset.input_shape,
                inputs=view.chosen(dataset.train_inputs, kept),
                labels=dataset.train_labels[kept],
                seed=PARTLY_SEED + self.label,
                what=f"class {self.label}, {share:g} of its rows left in",
            )
            self.seconds[TRAININGS] += time.monotonic() - began
            weights.save_weights(trained, path, {})
        return Artifact.of(self.home.root, path)

    def _kept_rows(self, labels: Tensor, share: float) -> Tensor:
        """All rows of the other classes, and this share of its own, (n,), bool."""
        import torch

        generator = torch.Generator().manual_seed(PARTLY_SEED + self.label)
        kept = labels != self.label
        own = torch.nonzero(labels == self.label).flatten()
        left_in = max(1, round(share * len(own)))
        kept[own[torch.randperm(len(own), generator=generator)[:left_in]]] = True
        return kept
