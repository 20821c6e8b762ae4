"""Find the logits in whatever a classifier returns, and replace them.

A tensor (B, C); an object or a mapping with `logits` (Hugging Face, torchvision's GoogLeNet and
Inception in training mode); a tuple or list whose first entry is the logits, further ones (B, C)
being those of auxiliary heads.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, MutableMapping
from typing import Any

from torch import Tensor

from damp.errors import Unsupported

LOGITS = "logits"


def logits_of(output: Any, rows: int) -> Tensor:
    """The logits of the main head, (rows, C).

    Raises:
        Unsupported: there are none.
    """
    logits = output
    if isinstance(output, MutableMapping):
        logits = output.get(LOGITS)
    elif hasattr(output, LOGITS):
        logits = getattr(output, LOGITS)
    elif isinstance(output, tuple | list) and output:
        logits = output[0]
    if is_logits(logits, rows):
        return logits
    shape = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
    raise Unsupported(
        f"The model returns {shape} for {rows} samples: wrap it so that it returns "
        "logits of shape (samples, classes)."
    )


def is_logits(value: Any, rows: int) -> bool:
    """Whether something has the form of logits for so many samples."""
    return isinstance(value, Tensor) and value.ndim == 2 and len(value) == rows


def with_logits(output: Any, change: Callable[[Tensor], Tensor], rows: int) -> Any:
    """The output with its logits changed, those of auxiliary heads too.

    >>> import torch
    >>> with_logits((torch.ones(2, 3), "more"), lambda logits: 0 * logits, 2)[0].sum()
    tensor(0.)
    """
    main = logits_of(output, rows)
    if isinstance(output, Tensor):
        return change(output)

    # an auxiliary head answers for the same samples and classes, and is masked with the main one
    def changed(value: Any) -> Any:
        return change(value) if is_logits(value, rows) and value.shape == main.shape else value

    if isinstance(output, MutableMapping):
        other = copy.copy(output)
        other[LOGITS] = change(main)
        return other
    # a named tuple takes its fields one by one, a plain one takes an iterable
    if isinstance(output, tuple) and hasattr(output, "_fields"):
        return type(output)(*map(changed, output))
    if isinstance(output, tuple | list):
        return type(output)(map(changed, output))
    other = copy.copy(output)
    setattr(other, LOGITS, change(main))
    return other
