"""Kinds of readers: what each sees, and what it means where a kind has not decided. Pure.

A model can be made to look right to one kind. So a policy names kinds of which a row each must
have decided. What may be missing follows from what the kind asks:

- `probe` and `few_labels` ask how much is left of what the original knows. Where one of them has no
  row that can tell the original, nothing can be said: no verdict, more samples are needed.
- `geometry` and `nonlinear` ask whether the candidate shows what no retrained model shows. The
  original need not stand out by them (a class hidden in second moments is new to the edit), so that
  a row within the retrained models' own scatter decides, whatever it says of the original. One must
  have been measured; where its audit sets it aside (models of two architectures whose geometry
  means nothing side by side), the limits say so.
- `earlier` asks the first kind's question before the last features. Where the original is not told
  from retrained models there, as on easy data, or there is no such depth, no model can have kept
  there what the original never had: the kind may be missing, and the limits say so.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase

from compliance.documents.policy import Kind
from compliance.verdict.judged_row import INFORMATIONAL, MISSING, JudgedRow

GLOBS: dict[Kind, tuple[str, ...]] = {
    "earlier": ("*@earlier",),
    "probe": ("linear_probe.*", "perturbation.dprime*", "remainder.probes", "remainder.all"),
    "few_labels": ("few_shot.*", "head_refit.*", "remainder.few_labels", "remainder.all"),
    "geometry": ("similarity.*",),
    "nonlinear": (
        *("second_moments.*", "mlp_probe.*", "unit_pairs.*", "spatial_pattern.*"),
        "remainder.nonlinear",
    ),
}
"""Measurements of each kind; what is of an earlier depth is of that kind alone."""
MUST_TELL: tuple[Kind, ...] = ("probe", "few_labels")
"""Kinds of which a row must have been able to tell the original."""
MAY_LACK: tuple[Kind, ...] = ("earlier",)
"""Kinds that may be missing where the original cannot be told by them."""
WORDS: dict[Kind, str] = {
    "probe": "probes",
    "few_labels": "readers of a few labels",
    "geometry": "comparisons of the representation with retrained models'",
    "nonlinear": "nonlinear readers",
    "earlier": "readers before the last features",
}


def of(measurement: str) -> tuple[Kind, ...]:
    """Kinds that a measurement belongs to.

    >>> of("linear_probe.dprime@earlier"), of("few_shot.1@penultimate"), of("utility.ece")
    (('earlier',), ('few_labels',), ())
    """
    if fnmatchcase(measurement, GLOBS["earlier"][0]):
        return ("earlier",)
    return tuple(
        kind for kind, globs in GLOBS.items() if any(fnmatchcase(measurement, g) for g in globs)
    )


def rows_of(kind: Kind, rows: Sequence[JudgedRow]) -> list[JudgedRow]:
    """Rows of a kind that the verdict may rest on, those that cannot tell the original among them.

    Of a kind that may be missing also rows with a veto.
    """
    return [
        row
        for row in rows
        if row.rule is not None
        and (row.rule.required or (row.rule.veto and kind in MAY_LACK))
        and kind in of(row.name)
    ]


def lacking(kinds: Sequence[Kind], rows: Sequence[JudgedRow]) -> Iterator[str]:
    """Kinds that have not decided, though they may not be missing, with what to do."""
    for kind in kinds:
        own = rows_of(kind, rows)
        if kind in MAY_LACK or any(_decides(kind, row) for row in own):
            continue
        names = ", ".join(row.name for row in own) or "no rule of this policy requires one"
        yield (
            f"No measurement by {WORDS[kind]} could decide ({names}): bring more held-out images "
            "of the class or more references, or audit a model that knows the class better."
        )


def absent(kinds: Sequence[Kind], rows: Sequence[JudgedRow]) -> Iterator[str]:
    """Kinds that are missing and may be, for the limits of the verdict."""
    for kind in kinds:
        own = rows_of(kind, rows)
        if kind not in MUST_TELL and all(r.outcome in (INFORMATIONAL, MISSING) for r in own):
            yield (
                f"No measurement by {WORDS[kind]} counts here, so that nothing is said of what "
                "only they would see."
            )


def _decides(kind: Kind, row: JudgedRow) -> bool:
    """Whether a row speaks for its kind, whatever it says."""
    return row.counts if kind in MUST_TELL else row.measurement is not None
