"""Events by methods of others: one of damp's table, and a team's own that pip would install."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from compliance.ledger import Ledger
from compliance.signing import envelope
from flows.state.paths import Attempt
from tests.flows.running import Office, opened, submitted

SOURCE = '''"""A team's own: the class's logit is lowered, and a note left that it ran."""

import torch


def run(job, *, depth=5.0):
    model = job.copy()
    with torch.no_grad():
        model.fc2.bias[list(job.forget)] -= depth
    return model
'''


def installed(folder: Path, source: str = SOURCE) -> None:
    """A package with one module and one entry point, as pip leaves it."""
    info = folder / "team_forgetting-1.4.dist-info"
    info.mkdir(parents=True, exist_ok=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: team-forgetting\nVersion: 1.4\n")
    (info / "entry_points.txt").write_text("[damp.methods]\nours = team_forgetting:run\n")
    (folder / "team_forgetting.py").write_text(source)


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> Office:
    """A registered digit classifier, a key, and an environment with the team's package."""
    folder = tmp_path_factory.mktemp("others")
    installed(folder / "site")
    return opened(folder, PYTHONPATH=str(folder / "site"))


def decided(office: Office, **method: Any) -> tuple[str, Any]:
    """The event of a request by a method, and the predicate of its statement."""
    event = submitted(office, 3, method=method)
    done = office.damp("run", "--event", event)
    assert done.returncode in (0, 2), done.stderr
    return event, envelope.decoded(Attempt(office.home, event, 1).statement)["predicate"]


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_method_of_the_table_is_run_audited_and_signed(office: Office) -> None:
    event, predicate = decided(office, name="esc", settings={"percent": 5})
    method = predicate["method"]
    assert predicate["verdict"]["result"] in ("FAILED", "INCONCLUSIVE")
    assert (method["name"], method["headOnly"]) == ("esc", True)
    assert method["other"]["settings"] == {"percent": 5.0}
    assert method["other"]["changed"] == ["fc2.weight"]
    assert "code" not in method["other"]
    verified = office.damp("verify", Attempt(office.home, event, 1).statement)
    assert verified.returncode == 2, verified.stderr  # signed and valid, and not PASSED
    assert "valid, and the verdict is" in verified.stdout
    page = Attempt(office.home, event, 1).report.read_text()
    assert "by the method <code>esc</code>" in page


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_teams_own_method_is_pinned_by_the_digest_of_its_source(office: Office) -> None:
    site = office.home.root.parent / "site"
    event, predicate = decided(office, name="ours", settings={"depth": 50})
    other = predicate["method"]["other"]
    assert predicate["verdict"]["result"] in ("FAILED", "INCONCLUSIVE")
    assert other["code"]["distribution"] == "team-forgetting"
    assert other["code"]["version"] == "1.4"
    (started,) = Ledger(office.home.ledger).of(event, "attempt_started")
    assert other["code"]["sha256"] == started.body["method"]["code"]
    assert other["changed"] == ["fc2.bias"]
    page = Attempt(office.home, event, 1).report.read_text()
    assert other["code"]["sha256"] in page
    # one that gives no network is refused by what it is, and the event stays where it was
    again = submitted(office, 5, method={"name": "ours"})
    installed(site, SOURCE.replace("return model", "return None"))
    done = office.damp("run", "--event", again)
    installed(site)
    assert done.returncode == 1
    assert "not a torch module" in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    ("method", "words"),
    [
        ({"name": "srcub"}, "There is no method 'srcub'. There are: bias_shift"),
        ({"name": "scrub", "settings": {"rat": 1}}, "'rat' is no setting of scrub"),
        ({"name": "natural"}, "write `preset: natural`"),
        ({"name": "scrub", "gain": 2.0}, "leave out gain"),
        ({"settings": {"rate": 1}}, "name one"),
    ],
)
def test_a_method_that_cannot_be_is_refused_before_anything_is_logged(
    office: Office, method: dict[str, Any], words: str
) -> None:
    before = Ledger(office.home.ledger).head() if Path(office.home.ledger).exists() else ""
    with pytest.raises(AssertionError) as refused:
        submitted(office, 3, method=method)
    assert words in str(refused.value)
    after = Ledger(office.home.ledger).head() if Path(office.home.ledger).exists() else ""
    assert before == after
