"""Facts of a statement: what a row says of itself."""

from __future__ import annotations

import pytest

from compliance.signing import facts
from compliance.signing.facts import AuditRow


@pytest.mark.parametrize(("status", "ran"), [("RUN", True), ("NOT_RUN", False)])
def test_a_row_holds_a_measurement_where_its_audit_ran(status: str, ran: bool) -> None:
    assert AuditRow(audit="membership", status=status).ran is ran
    assert facts.row({"audit": "membership", "status": status}).ran is ran


def test_a_row_that_says_nothing_else_ran() -> None:
    assert AuditRow(audit="membership").ran
