"""Models keep the serving code of the damp that registered them: its text goes on working."""

from __future__ import annotations

import importlib
from pathlib import Path

from flows.registry import gate_files, packing
from flows.state.files import digest_bytes

FIRST = "d7e66fb517b4c88bd19ea929b3b751b4872e3d1756341f41f73d31c0b4518026"
"""SHA-256 of the serving code that the first damp registered."""


def test_the_text_is_one_that_later_versions_will_accept() -> None:
    """Whoever changes serving.py adds the digest of the text before to `EARLIER_SERVING`."""
    text = Path(gate_files.__file__).with_name(packing.SERVING).read_bytes()
    assert FIRST in gate_files.EARLIER_SERVING
    assert digest_bytes(text) in gate_files.EARLIER_SERVING


def test_what_the_first_text_imports_is_still_there() -> None:
    """`flows.models` was one file then; it is a package now, and has the name all the same."""
    weights = importlib.import_module("flows.models.weights")
    assert importlib.import_module("flows.models").load_weights is weights.load_weights
    assert importlib.import_module("damp.aftercare").RetiredOutputs
