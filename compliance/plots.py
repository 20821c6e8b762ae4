"""The pictures of the report: each with a title, a description and the table behind it.

Seven at most: overview, strength by layer, accuracy per class, attack ROC, routing, depth,
relearning. A picture whose data the findings do not bring is left out, and the page still has every
figure as a row. matplotlib is imported when a picture is drawn, never before.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from compliance import (
    plots_classes,
    plots_depth,
    plots_overview,
    plots_picture,
    plots_relearning,
    plots_remains,
    plots_roc,
    plots_strength,
    plots_values,
)

Json = Mapping[str, Any]


def draw(statement: Json, findings: Sequence[Json]) -> dict[str, Any]:
    """All pictures that the statement and the findings can fill; None for the others.

    Returns:
        `overview`, `strength`, `depth` and `audits` (by audit), each a picture: `title`, `caption`,
        `svg` (markup), `header` and `rows` of the table, `left_out`.
    """
    predicate = statement["predicate"]
    return {
        "overview": plots_overview.picture_of(predicate["audits"]),
        "strength": plots_strength.picture_of(predicate["method"]["operators"]),
        "depth": plots_depth.picture_of(predicate["audits"]),
        "audits": {
            "accuracy": plots_classes.accuracy(findings),
            "routing": plots_classes.routing(findings),
            "membership": plots_roc.picture_of(findings),
            "relearning": plots_relearning.picture_of(findings),
        },
    }


def audit(finding: Json) -> plots_picture.Picture | None:
    """One audit's own picture: the candidate against the retrained models and the original.

    For pages about an audit; the report shows the few pictures that decide. None where the finding
    brings no figures.
    """
    own = {
        "accuracy": plots_classes.accuracy,
        "routing": plots_classes.routing,
        "membership": plots_roc.picture_of,
        "relearning": plots_relearning.picture_of,
    }
    draw_own = own.get(str(finding["audit"]))
    if draw_own:
        return draw_own([finding])
    return plots_remains.picture_of(finding) or plots_values.picture_of(finding)
