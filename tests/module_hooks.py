"""What is registered on the modules of a network."""

from __future__ import annotations

from typing import Any

from torch import nn


def hooks_of(network: nn.Module) -> list[Any]:
    """Everything that is registered on the calls of a network's modules."""
    kinds = [name for name in vars(nn.Module()) if name.endswith(("_hooks", "_hooks_with_kwargs", "_always_called"))]
    assert {"_forward_hooks", "_forward_pre_hooks", "_forward_hooks_always_called"} <= set(kinds)
    return [hook for module in network.modules() for kind in kinds for hook in getattr(module, kind)]
