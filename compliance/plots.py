"""The pictures of the report: each with a title, a description and the table behind it.

Six at most: overview, strength by layer, accuracy per class, attack ROC, routing, depth. A picture
whose data the findings do not bring is left out, and the page still has every figure as a row.
matplotlib is imported when a picture is drawn, never before.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from compliance import plots_classes, plots_depth, plots_overview, plots_roc, plots_strength

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
        },
    }
