"""The table of methods, one row each: source, settings to try, what is read, batch norms.

Nothing here imports torch, so that schemas and pages can be built from it. Our own presets stand in
`damp.catalogue`; `renewed` and `retrain` need a recipe and are `flows.models`' business.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Reads = Literal["nothing", "forget", "retain", "both"]
"""Which training rows a method looks at."""
Norms = Literal["kept", "batches"]
"""What batch norms do meanwhile: keep their statistics, or follow the batches."""
Settings = Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class MethodInfo:
    """One method of others.

    Attributes:
        name: What a request's `method.name` takes.
        title: For tables.
        source: arXiv number, or what else it is from.
        function: "module:function" below `damp.methods`, called as `(job, **settings)`.
        grid: Every setting that a race tries; the first is taken where nobody chooses.
        reads: Which training rows.
        norms: What batch norms do.
        fresh: Whether it needs a fresh network of the same architecture.
        head_only: Whether nothing but the head can change.
    """

    name: str
    title: str
    source: str
    function: str
    grid: tuple[Settings, ...] = ({},)
    reads: Reads
    norms: Norms = "kept"
    fresh: bool = False
    head_only: bool = False

    @property
    def defaults(self) -> Settings:
        """The settings that it has, with the values that are taken where none are given."""
        return self.grid[0]


def _each(rates: tuple[float, ...], **rest: float) -> tuple[Settings, ...]:
    """One setting per learning rate."""
    return tuple({"rate": rate, **rest} for rate in rates)


_ROWS = (
    MethodInfo(
        name="bias_shift", title="bias shift", source="folklore", head_only=True,
        function="closed.bias_shift:run", grid=({"shift": 100.0},), reads="nothing",
    ),
    MethodInfo(
        name="head_row", title="head row zeroed", source="2604.08271", head_only=True,
        function="closed.head_row:run", reads="nothing",
    ),
    MethodInfo(
        name="esc", title="ESC", source="2504.02199", head_only=True,
        function="closed.esc:run", grid=({"percent": 1.5}, {"percent": 5.0}), reads="forget",
    ),
    MethodInfo(
        name="pour_p", title="POUR-P", source="2511.19339", head_only=True,
        function="closed.pour:run", reads="both",
    ),
    MethodInfo(
        name="leace", title="LEACE", source="2306.03819", function="closed.leace:run", reads="both",
    ),
    MethodInfo(
        name="leace_features", title="LEACE, features", source="2306.03819", head_only=True,
        function="closed.leace:run_on_features", reads="both",
    ),
    MethodInfo(
        name="kodge", title="Kodge", source="openreview BmI5p6wBi0", function="closed.kodge:run",
        grid=tuple({"alpha_retain": r, "alpha_forget": f}
                   for r, f in ((100.0, 3.0), (1000.0, 30.0), (1000.0, 300.0))),
        reads="both",
    ),
    MethodInfo(
        name="ssd", title="SSD", source="2308.07707", function="closed.ssd:run",
        grid=tuple({"alpha": a, "damping": 1.0} for a in (10.0, 5.0, 2.0, 1.0)), reads="both",
    ),
    MethodInfo(
        name="assd", title="ASSD", source="2402.10098", function="closed.assd:run", reads="both",
    ),
    MethodInfo(
        name="lfssd", title="LFSSD", source="2402.19308", function="closed.lfssd:run",
        grid=tuple({"alpha": a, "damping": 1.0} for a in (10.0, 30.0, 100.0)), reads="both",
    ),
    MethodInfo(
        name="fisher", title="Fisher", source="1911.04933", function="closed.fisher:run",
        grid=tuple({"alpha": a} for a in (1e-6, 1e-5)), reads="retain",
    ),
    MethodInfo(
        name="fine_tune", title="fine-tune", source="2108.11577",
        function="trained.fine_tune:run", norms="batches",
        grid=_each((0.01, 0.05), epochs=3), reads="retain",
    ),
    MethodInfo(
        name="cf_k", title="CF-k", source="2201.06640",
        function="trained.last_blocks:catastrophic", norms="batches",
        grid=tuple({"last": k, "rate": r, "epochs": 3}
                   for k, r in ((1, 0.01), (2, 0.01), (2, 0.05))), reads="retain",
    ),
    MethodInfo(
        name="eu_k", title="EU-k", source="2201.06640", function="trained.last_blocks:exact",
        grid=tuple({"last": k, "rate": r, "epochs": 3}
                   for k, r in ((1, 0.01), (2, 0.01), (2, 0.05))),
        reads="retain", norms="batches", fresh=True,
    ),
    MethodInfo(
        name="l1_sparse", title="L1-sparse", source="2304.04934",
        function="trained.l1_sparse:run", norms="batches",
        grid=tuple({"gamma": g, "rate": r, "epochs": 3}
                   for g, r in ((5e-4, 0.01), (5e-4, 0.05), (1e-5, 0.05))), reads="retain",
    ),
    MethodInfo(
        name="negative_gradient", title="negative gradient", source="1911.04933",
        function="trained.negative_gradient:run", reads="forget",
        grid=_each((1e-3, 1e-2, 3e-3, 1e-4), epochs=5),
    ),
    MethodInfo(
        name="neggrad_plus", title="NegGrad+", source="2302.09880",
        function="trained.neggrad_plus:run", norms="batches", reads="both",
        grid=tuple({"alpha": a, "rate": r, "epochs": 3}
                   for a, r in ((0.95, 1e-3), (0.95, 1e-2), (0.99, 1e-2))),
    ),
    MethodInfo(
        name="random_labels", title="random labels", source="2010.10981",
        function="trained.random_labels:run", norms="batches", reads="both",
        grid=_each((1e-2, 1e-3, 1e-4), epochs=3),
    ),
    MethodInfo(
        name="salun", title="SalUn", source="2310.12508",
        function="trained.salun:run", norms="batches", reads="both",
        grid=tuple({"share": 0.5, "rate": r, "epochs": 3} for r in (1e-2, 1e-3, 1e-4)),
    ),
    MethodInfo(
        name="bad_teacher", title="Bad Teacher", source="2205.08096",
        function="trained.bad_teacher:run", norms="batches", reads="both", fresh=True,
        grid=tuple({"rate": r, "share": 0.3, "epochs": 1} for r in (1e-4, 1e-3, 5e-3)),
    ),
    MethodInfo(
        name="unsir", title="UNSIR", source="2111.08947",
        function="trained.unsir:run", norms="batches", reads="both",
        grid=tuple({"impair": i, "repair": r, "repairs": n}
                   for i, r, n in ((2e-2, 1e-2, 1), (2e-3, 1e-3, 1), (2e-3, 1e-3, 3))),
    ),
    MethodInfo(
        name="scrub", title="SCRUB", source="2302.09880",
        function="trained.scrub:run", norms="batches", reads="both",
        grid=tuple({"rate": r, "alpha": 0.5, "gamma": 1.0, "max_steps": 2, "epochs": 4}
                   for r in (5e-4, 1e-3, 2e-3)),
    ),
    MethodInfo(
        name="boundary_shrink", title="Boundary Shrink", source="2303.11570",
        function="trained.boundary_shrink:run", reads="forget",
        grid=tuple({"rate": r, "bound": 0.1, "epochs": 5} for r in (1e-4, 3e-5, 1e-5)),
    ),
    MethodInfo(
        name="delete", title="DELETE", source="2503.23751",
        function="trained.delete:run", reads="forget",
        grid=tuple({"rate": r, "epochs": 5, "follow_norms": n}
                   for r, n in ((1e-3, 0), (1e-4, 0), (1e-5, 0), (1e-3, 1), (3e-4, 1))),
    ),
    MethodInfo(
        name="unsc", title="UNSC", source="2404.13588", function="trained.unsc:run", reads="both",
        grid=tuple({"rate": r, "energy": 0.99, "epochs": 10} for r in (0.04, 0.01, 0.2)),
    ),
)  # fmt: skip

METHODS: Mapping[str, MethodInfo] = {row.name: row for row in _ROWS}
"""Every method of others by its name, closed forms first."""
