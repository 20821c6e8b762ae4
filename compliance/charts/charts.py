"""The pictures of the report: each with a title, a description and the table behind it.

Seven at most: overview, strength by layer, accuracy per class, attack ROC, routing, depth,
relearning. A picture whose data the findings do not bring is left out, and the page still has every
figure as a row. matplotlib is imported when a picture is drawn, never before.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from compliance.charts import classes, depth, overview, relearning, roc, strength
from compliance.signing.facts import Predicate

Json = Mapping[str, Any]


def draw(predicate: Predicate, findings: Sequence[Json]) -> dict[str, Any]:
    """All pictures that the statement and the findings can fill; None for the others.

    Returns:
        `overview`, `strength`, `depth` and `audits` (by audit), each a picture: `title`, `caption`,
        `svg` (markup), `header` and `rows` of the table, `left_out`.
    """
    return {
        "overview": overview.picture_of(predicate.audits),
        "strength": strength.picture_of(predicate.method.operators),
        "depth": depth.picture_of(predicate.audits),
        "audits": {
            "accuracy": classes.accuracy(findings),
            "routing": classes.routing(findings),
            "membership": roc.picture_of(findings),
            "relearning": relearning.picture_of(findings),
        },
    }
