"""Where everything lies under the state folder. The names of files are part of the interface."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Home:
    """The state folder, `$DAMP_HOME` or `.damp`."""

    root: Path

    @property
    def ledger(self) -> Path:
        return self.root / "ledger.jsonl"

    @property
    def trust(self) -> Path:
        """Whose signatures count: `DAMP_TRUST` for the state folder that this process works on.

        Whoever can write the state folder could add a key to a trust file in it.
        """
        elsewhere = os.environ.get("DAMP_TRUST")
        own = Path(os.environ.get("DAMP_HOME", ".damp")).expanduser().absolute()
        if elsewhere and own == self.root.absolute():
            return Path(elsewhere).expanduser().absolute()
        return self.root / "trust.json"

    @property
    def keys(self) -> Path:
        return self.root / "keys"

    @property
    def mlflow_db(self) -> Path:
        return self.root / "mlflow.db"

    @property
    def mlflow_uri(self) -> str:
        """That file as MLflow names it."""
        return f"sqlite:///{self.mlflow_db.absolute()}"

    @property
    def references(self) -> Path:
        """Retrained references, named by the content of what made them."""
        return self.root / "references"

    @property
    def shadows(self) -> Path:
        """Shadow models, named as references are."""
        return self.root / "shadows"

    @property
    def observations(self) -> Path:
        """What the audits measured on each model, named by model and data version."""
        return self.root / "observations"

    @property
    def statistics(self) -> Path:
        """Statistics of models, named by model, data version and rows."""
        return self.root / "statistics"

    @property
    def images(self) -> Path:
        """Decoded images at a model's size, named by the content of their files."""
        return self.root / "images"

    @property
    def digests(self) -> Path:
        """Digests of the files of data folders, so that none is read twice."""
        return self.root / "digests"

    @property
    def trainings(self) -> Path:
        """Trainings that are not over: what each needs to go on from its last epoch."""
        return self.root / "trainings"

    @property
    def models(self) -> Path:
        """Base models that `damp train` has trained."""
        return self.root / "models"

    @property
    def checkpoints(self) -> Path:
        """Checkpoints of the ledger that were signed here, by number of entries."""
        return self.root / "checkpoints"

    @property
    def fetched(self) -> Path:
        """Weights that an MLflow server has handed over; checked at every use."""
        return self.root / "fetched"

    @property
    def qualifications(self) -> Path:
        """Qualifications by the digest of their statement, and a folder for each study."""
        return self.root / "qualifications"

    @property
    def locks(self) -> Path:
        return self.root / "locks"

    @property
    def events(self) -> Path:
        return self.root / "events"

    def event(self, event: str) -> Path:
        return self.events / event

    def request(self, event: str) -> Path:
        return self.event(event) / "request.yaml"

    def claim(self, event: str) -> Path:
        """The claim that an event audits; there is none where it carries out a request."""
        return self.event(event) / "claim.yaml"

    def relative(self, path: Path) -> str:
        """`path` as it is written into facts: relative to the state folder."""
        return path.relative_to(self.root).as_posix()


@dataclass(frozen=True, slots=True)
class Attempt:
    """The folder of one attempt of one event."""

    home: Home
    event: str
    number: int

    @property
    def folder(self) -> Path:
        return self.home.event(self.event) / f"attempt-{self.number}"

    @property
    def statement(self) -> Path:
        return self.folder / "statement.dsse.json"

    @property
    def report(self) -> Path:
        return self.folder / "report.html"

    @property
    def report_json(self) -> Path:
        return self.folder / "report.json"

    @property
    def findings(self) -> Path:
        return self.folder / "findings.json"

    @property
    def cost(self) -> Path:
        """What the audits cost, by the step that ran them."""
        return self.folder / "cost.json"

    @property
    def before(self) -> Path:
        """The pinned model before."""
        return self.folder / "before.safetensors"

    @property
    def after(self) -> Path:
        return self.folder / "after.safetensors"

    @property
    def edit(self) -> Path:
        return self.folder / "edit.json"

    @property
    def plan(self) -> Path:
        return self.folder / "plan.json"

    @property
    def qualification(self) -> Path:
        """A copy of the qualification that the statement beside it rests on."""
        return self.folder / "qualification.dsse.json"

    @property
    def baseline(self) -> Path:
        """Findings on the original and the retrained models, made before the plan."""
        return self.folder / "yardstick.json"

    @property
    def reproduce(self) -> Path:
        """A request that asks for the same of the pinned bytes, for somebody who checks."""
        return self.folder / "reproduce.yaml"

    @property
    def journal(self) -> Path:
        """One line when a step begins and one when it is done: what `damp status` reads."""
        return self.folder / "journal.jsonl"

    @property
    def progress(self) -> Path:
        """How far the running step is: its last part."""
        return self.folder / "progress.json"


@dataclass(frozen=True, slots=True)
class StudyCase(Attempt):
    """The folder of one cut of one class of a study, which is no event.

    Its `event` is the study's id with the class, "ID/class-3".
    """

    @property
    def folder(self) -> Path:
        return self.home.qualifications / self.event / f"attempt-{self.number}"
