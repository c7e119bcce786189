"""What has to be different in the host's models while a Jacobian product is taken.

Everything process-wide is set around the pass only and restored on every exit.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import comfy.cli_args
import comfy.model_management
import torch
from comfy.ldm.modules.attention import attention_basic, attention_pytorch
from comfy.patcher_extension import WrapperExecutor, WrappersMP, add_wrapper_with_key
from torch import Tensor
from torch._ops import OpOverload, OpOverloadPacket
from torch.autograd.forward_ad import unpack_dual
from torch.nn import Module
from torch.overrides import TorchFunctionMode

from ...reg_core.autograd import GradientUnavailable, TangentDropped
from .keys import ATTENTION_KEY

GRADIENT_FREE = "finite difference"
"""The estimator that needs nothing of this, and takes over where a derivative cannot be had."""

# Process-wide switches of the host, each only where the host has it: no fused kernels without a derivative; no compiler
# that records the allocations of a forward pass, with or without CUDA graphs, and replays their addresses.
SWITCHES: tuple[tuple[Any, str], ...] = (
    (comfy.model_management, "in_training"),
    (comfy.cli_args.args, "disable_comfy_compiler"),
    (comfy.cli_args.args, "disable_cuda_graphs"),
)

# Options under which a network keeps tensors from one evaluation to the next, what switches that off, and the attribute
# of the networks that read them: Qwen-Image 2.1 keeps keys and values of its prefix, and a graph with them.
MEMORIES: dict[str, tuple[str, Any]] = {"qwen_image21_cache": ("prefix_cache_enabled", {"device": "off"})}

OVERRIDE = "optimized_attention_override"


@contextmanager
def differentiable_kernels() -> Iterator[None]:
    """The host's models avoid what has no derivative, drops a tangent or replays addresses, inside this block."""
    with ExitStack() as stack:
        for owner, name in SWITCHES:
            if hasattr(owner, name):
                stack.callback(setattr, owner, name, getattr(owner, name))
                setattr(owner, name, True)
        yield


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


@contextmanager
def lossless(network: Module) -> Iterator[None]:
    """Raises GradientUnavailable where layers of ``network`` run under no_grad while a gradient is recorded.

    Mixtures of experts that were written for inference do (Hunyuan3D 2.1): their share of the gradient would be lost
    without a word.
    """
    inside = False

    def enter(module: Module, args: tuple[Any, ...]) -> None:
        nonlocal inside
        inside = torch.is_grad_enabled()

    def leave(module: Module, args: tuple[Any, ...], output: Any) -> None:
        nonlocal inside
        inside = False

    def refuse(module: Module, args: tuple[Any, ...]) -> None:
        if inside and not torch.is_grad_enabled():
            raise GradientUnavailable(
                f"REG: a part of the model ({type(module).__name__}) runs without a gradient. "
                "Choose 'finite difference'."
            )

    with ExitStack() as stack:
        stack.callback(network.register_forward_pre_hook(enter).remove)
        stack.callback(network.register_forward_hook(leave, always_call=True).remove)
        for module in network.modules():
            if any(True for _ in module.parameters(recurse=False)):
                stack.callback(module.register_forward_pre_hook(refuse).remove)
        yield


@dataclass
class DifferentiableAttention:
    """An attention that ``estimator`` can differentiate, for every prediction of a step at which a product is taken.

    It is handed to an override of another pack as the kernel to use. Where that override leaves the graph all the same
    (sage, flash, sparse attention), the derivative would be silently wrong: its output is not used and ``replaced`` is
    set; with ``plain`` it is not asked at all, so that D_c and D_u come from the same kernel.
    """

    estimator: str
    plain: bool = False
    replaced: bool = False

    def chained(self, before: Callable[..., Tensor] | None) -> Callable[..., Tensor]:
        """The attention override with which this takes the place of ``before``, that of another pack."""
        if getattr(before, "attention", None) is self:
            return before  # pyright: ignore[reportReturnType]
        # PyTorch's fused attention has a backward pass but, on most devices, no forward-mode derivative.
        kernel = attention_basic if self.estimator == "forward" else attention_pytorch

        def override(func: Callable[..., Tensor], q: Tensor, *args: Any, **kwargs: Any) -> Tensor:
            if before is None or self.plain:
                return kernel(q, *args, **kwargs)
            output = before(kernel, q, *args, **kwargs)
            if _carries_derivative(q) and not _carries_derivative(output):
                self.replaced = True
                return kernel(q, *args, **kwargs)
            return output

        override.attention = self  # pyright: ignore[reportFunctionMemberAccess]
        return override

    def install(self, transformer_options: dict[str, Any]) -> None:
        """Take the place of the override in these options, which are the caller's own."""
        transformer_options[OVERRIDE] = self.chained(transformer_options.get(OVERRIDE))

    @contextmanager
    def insisted(self, network: Module) -> Iterator[None]:
        """Also against nodes that install their own override again in the midst of every evaluation."""

        def enter(module: Module, args: Any, kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
            options = dict(kwargs.get("transformer_options") or {})
            self.install(options)
            kinds = options["wrappers"] = dict(options.get("wrappers", {}))
            kinds[WrappersMP.DIFFUSION_MODEL] = dict(kinds.get(WrappersMP.DIFFUSION_MODEL, {}))
            # Last, so inside all others.
            add_wrapper_with_key(WrappersMP.DIFFUSION_MODEL, ATTENTION_KEY, self._innermost, options)
            return args, {**kwargs, "transformer_options": options}

        handle = network.register_forward_pre_hook(enter, with_kwargs=True)
        try:
            yield
        finally:
            handle.remove()

    def _innermost(self, executor: WrapperExecutor, *args: Any, **kwargs: Any) -> Any:
        found = [value for value in (*args, *kwargs.values()) if isinstance(value, dict) and OVERRIDE in value]
        before = [options[OVERRIDE] for options in found]
        for options in found:
            self.install(options)
        try:
            return executor(*args, **kwargs)
        finally:
            for options, override in zip(found, before, strict=True):
                options[OVERRIDE] = override


def _carries_derivative(tensor: Tensor) -> bool:
    return tensor.requires_grad or unpack_dual(tensor).tangent is not None
