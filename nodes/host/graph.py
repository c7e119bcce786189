"""Links between nodes, as a prompt writes them, ids for the nodes that an expansion adds, outputs without a value."""

from __future__ import annotations

from typing import Any, TypeGuard

from comfy_execution import graph_utils


def is_link(value: Any) -> TypeGuard[list[Any]]:
    """Whether an input is linked: its value names a node and one of its outputs."""
    return graph_utils.is_link(value)


def expansion_prefix() -> str:
    """What the ids of the nodes of one expansion begin with, in this run."""
    return graph_utils.GraphBuilder.alloc_prefix()


def blocked(reason: str) -> graph_utils.ExecutionBlocker:
    """An output without a value: the host stops what is linked to it with the reason, and nothing else."""
    return graph_utils.ExecutionBlocker(reason)
