"""`package.module:callable`: code of the user's own, imported and checked before it is called."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from typing import Any

from flows.state import users_code
from flows.state.errors import FlowError

PATTERN = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")


def is_import_path(text: str) -> bool:
    """Whether `text` has the form `package.module:callable`.

    >>> is_import_path("shop.models:build"), is_import_path("torchvision:resnet18!")
    (True, False)
    """
    return PATTERN.fullmatch(text) is not None


def load(text: str, error: type[FlowError]) -> Callable[..., Any]:
    """The callable that `package.module:callable` names.

    It lies in the folder that `damp --code` (or `DAMP_CODE`) names, or is installed. The working
    directory is not searched: a stranger's folder must not run a stranger's code.

    Raises:
        error: There is no such module or attribute, or it cannot be called.
    """
    module_name, _, attribute = text.partition(":")
    try:
        module = users_code.import_module(module_name)
    except (ImportError, SyntaxError) as problem:
        raise error(
            f"'{text}': the module '{module_name}' cannot be imported ({problem}). Name the folder "
            "that holds it, as in `damp --code . ...` or with DAMP_CODE, or install it into this "
            "environment."
        ) from problem
    function = getattr(module, attribute, None)
    if not callable(function):
        raise error(
            f"'{text}': the module '{module_name}' ({module.__file__}) has no callable "
            f"'{attribute}'. Correct the name, or define it there."
        )
    return function


def check_parameters(
    text: str, function: Callable[..., Any], error: type[FlowError], *keywords: str
) -> None:
    """Refuse a callable that cannot be called with exactly these keywords.

    Raises:
        error: With the signature that it must have.
    """
    try:
        inspect.signature(function).bind(**dict.fromkeys(keywords))
    except (TypeError, ValueError) as problem:
        name = text.partition(":")[2]
        raise error(
            f"'{text}' cannot be called as {name}({', '.join(f'{k}=...' for k in keywords)}): "
            f"{problem}. Give it these parameters."
        ) from problem
