"""The room is entered through its door."""

from __future__ import annotations

import subprocess
import sys

import pytest

import damp


def in_a_fresh_interpreter(code):
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.split()


def test_all_is_what_is_visible():
    assert in_a_fresh_interpreter("import damp; print(*dir(damp))") == sorted(damp.__all__)
    for name in damp.__all__:
        assert getattr(damp, name) is not None


def test_opening_the_door_imports_no_torch():
    code = "import damp, sys; damp.__version__; print('torch' in sys.modules)"
    assert in_a_fresh_interpreter(code) == ["False"]


def test_the_errors_can_be_caught_without_torch():
    code = "import damp, sys; damp.DampError; damp.errors; print('torch' in sys.modules)"
    assert in_a_fresh_interpreter(code) == ["False"]


def test_a_name_that_is_not_there_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'remember'"):
        damp.remember  # noqa: B018  (the access is the test)
