"""Links between nodes, as a prompt writes them, and ids for the nodes that an expansion adds to it."""

from __future__ import annotations

from typing import Any, TypeGuard

from comfy_execution import graph_utils


def is_link(value: Any) -> TypeGuard[list[Any]]:
    """Whether an input is linked: its value names a node and one of its outputs."""
    return graph_utils.is_link(value)


def expansion_prefix() -> str:
    """What the ids of the nodes of one expansion begin with, in this run."""
    return graph_utils.GraphBuilder.alloc_prefix()
