"""What a method of forgetting can be refused for.

DampError
├── BadJob        rows, labels or classes that no method can work on
└── BadSetting    a setting that the method does not have, or a value that it cannot take
"""

# ruff: noqa: N818  (a name says what is wrong, its base that it is an error)

from __future__ import annotations

from damp.errors import DampError


class BadJob(DampError):
    """Rows, labels or classes that a method cannot work on."""


class BadSetting(DampError):
    """A setting that a method does not have, or a value that it cannot take."""
