"""What trainings have taken here: by their notes, of a version of the data, and never assumed."""

from __future__ import annotations

import json
import runpy
from pathlib import Path
from types import SimpleNamespace

from compliance.ledger import Ledger
from compliance.signing import envelope
from flows.records import next_steps, training_times
from flows.state import keyring
from flows.state.paths import Home

RECORDS = SimpleNamespace(**runpy.run_path(str(Path(__file__).parents[1] / "decided.py")))


def note(home: Home, name: str, data: str, **more: float) -> None:
    home.references.mkdir(parents=True, exist_ok=True)
    (home.references / f"{name}.json").write_text(json.dumps({"data": data} | more))


def test_the_mean_is_of_trainings_on_these_data_that_were_timed(home: Home) -> None:
    assert training_times.mean(home, data="one") is None
    note(home, "a", "one", seconds=2.0)
    note(home, "b", "one", seconds=4.0)
    note(home, "c", "one")  # by a damp that took no time
    note(home, "d", "two", seconds=90.0)
    assert training_times.mean(home, data="one") == 3.0
    assert training_times.measured(home) == [2.0, 4.0, 90.0]


def test_training_anew_is_priced_where_the_statement_has_no_price(home: Home) -> None:
    keyring.new(home, role="executor", days=30)
    event = str(RECORDS.put(home))
    statement = envelope.decoded(RECORDS.decide(home, event).statement)
    predicate = statement["predicate"]
    assert predicate["event"].get("attempts") is None
    note(home, "a", predicate["inputs"]["dataBefore"]["version"], seconds=7.0)
    own = next_steps.Statement.of(statement).predicate
    entries = Ledger(home.ledger).of(event)
    current = next_steps.states.current(entries, event)
    assert next_steps.situation(home, current, entries, own).retrain_seconds == 7.0
