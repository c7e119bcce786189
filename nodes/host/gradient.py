"""What has to be different in the host's models while a Jacobian product is taken.

Everything process-wide is set around the pass only and restored on every exit.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import comfy.model_management
from comfy.ldm.modules.attention import attention_basic, attention_pytorch
from torch import Tensor
from torch._ops import OpOverload, OpOverloadPacket
from torch.autograd.forward_ad import unpack_dual
from torch.overrides import TorchFunctionMode

from ...reg_core.differentiation import TangentDropped

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


# Kernels of the host that compute what their plain counterparts compute. Not those that round (quantisation): their
# derivative is 0 almost everywhere.
DECOMPOSABLE = ("apply_rope", "rms_rope", "adaln", "rms_adaln")


class DecomposedKernels(TorchFunctionMode):
    """The host's fused rotation and normalisation kernels, which have no derivative, run as plain torch operations.

    For models that call them also in training (Cosmos Predict 2, Anima). Slows every torch call a little.
    """

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if isinstance(func, (OpOverload, OpOverloadPacket)):
            library, _, name = str(func).partition(".")
            if library == "comfy_kitchen" and name.startswith(DECOMPOSABLE):
                func = getattr(sys.modules["comfy_kitchen.backends.eager"], name.removesuffix(".default"), func)
        return func(*args, **(kwargs or {}))


def is_fused(error: RuntimeError) -> bool:
    """Whether a kernel without a derivative stood in the way."""
    return isinstance(error, TangentDropped) or "autograd formula" in str(error)


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
