"""`package.module:callable`: code of the user's own, found and called with clear refusals."""

from __future__ import annotations

import importlib
import os
import re
import sys
from collections.abc import Callable
from typing import Any

from flows.errors import FlowError

PATTERN = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")


def is_named(text: str) -> bool:
    """Whether `text` has the form `package.module:callable`.

    >>> is_named("shop.models:build"), is_named("torchvision:resnet18!")
    (True, False)
    """
    return PATTERN.fullmatch(text) is not None


def find(text: str, error: type[FlowError]) -> Callable[..., Any]:
    """The callable that `package.module:callable` names; the working directory is searched too.

    Raises:
        error: There is no such module or attribute, or it cannot be called.
    """
    module_name, _, attribute = text.partition(":")
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())
    try:
        module = importlib.import_module(module_name)
    except ImportError as problem:
        raise error(
            f"'{text}': the module '{module_name}' cannot be imported ({problem}). Run damp in the "
            "folder that holds it, or install it into this environment."
        ) from problem
    found = getattr(module, attribute, None)
    if not callable(found):
        raise error(f"'{text}': the module '{module_name}' has no callable '{attribute}'.")
    return found
