"""What has to be different in the host's models while a Jacobian product is taken.

Everything process-wide is set around the pass only and restored on every exit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import comfy.model_management
from comfy.ldm.modules.attention import attention_basic, attention_pytorch
from torch import Tensor
from torch.autograd.forward_ad import unpack_dual

GRADIENT_FREE = "finite difference"
"""The estimator that needs nothing of this, and takes over where a derivative cannot be had."""


@contextmanager
def differentiable_kernels() -> Iterator[None]:
    """The host's models avoid fused kernels that have no derivative, or silently drop a tangent, inside this block."""
    before = comfy.model_management.in_training
    comfy.model_management.in_training = True
    try:
        yield
    finally:
        comfy.model_management.in_training = before


def differentiable_attention(estimator: str, before: Callable[..., Tensor] | None) -> Callable[..., Tensor]:
    """An attention override that ``estimator`` can differentiate, chained with ``before``, that of another pack."""
    # PyTorch's fused attention has a backward pass but, on most devices, no forward-mode derivative.
    plain = attention_basic if estimator == "forward" else attention_pytorch

    def override(func: Callable[..., Tensor], q: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        if before is None:
            return plain(q, *args, **kwargs)
        output = before(plain, q, *args, **kwargs)
        # A kernel of another pack may leave the graph (sage, flash): the derivative would be silently wrong.
        return plain(q, *args, **kwargs) if _carries_derivative(q) and not _carries_derivative(output) else output

    return override


def _carries_derivative(tensor: Tensor) -> bool:
    return tensor.requires_grad or unpack_dual(tensor).tangent is not None


def backward_refusal(model: Any) -> str | None:
    """Why a backward pass through this loaded model could be silently wrong; None if it is safe.

    Weights that stream through a shared buffer are overwritten by the next layer before backward reads them.
    """
    patcher = getattr(model, "current_patcher", None)
    if patcher is not None and patcher.is_dynamic():
        return "the host streams its weights (dynamic VRAM)"
    if getattr(model, "model_lowvram", False):
        return "the host streams part of its weights (low VRAM)"
    return None
