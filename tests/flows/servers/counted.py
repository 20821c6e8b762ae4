"""A function for a process of its own, that builds a network and answers with a number."""

from __future__ import annotations


def parameters(architecture: str, classes: int, input_shape: list[int]) -> int:
    """How many parameters a network has."""
    from flows.models import architectures

    network = architectures.build(architecture, classes, (input_shape[0], *input_shape[1:]))
    return sum(value.numel() for value in network.parameters())
