"""Attention while a Jacobian product is computed, beside whatever attention other nodes have installed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from comfy.ldm.modules.attention import attention_basic, attention_pytorch
from comfy.patcher_extension import WrapperExecutor, WrappersMP, add_wrapper_with_key
from torch import Tensor
from torch.autograd.forward_ad import unpack_dual
from torch.nn import Module

from ..keys import ATTENTION_KEY

# Options under which a network keeps tensors from one evaluation to the next, what switches that off, and the attribute
# of the networks that read them: Qwen-Image 2.1 keeps keys and values of its prefix, and a graph with them.
PREFIX_CACHES: dict[str, tuple[str, Any]] = {"qwen_image21_cache": ("prefix_cache_enabled", {"device": "off"})}

OVERRIDE = "optimized_attention_override"


@dataclass
class DifferentiableAttention:
    """An attention that can be differentiated, for every prediction of a step at which a product is computed.

    ``fused``: PyTorch's fused attention has the derivative that is needed. Whichever is used is handed to an override
    of another pack as its kernel. Where that override leaves the graph all the same (sage, flash, sparse attention),
    the derivative would be silently wrong: its output is not used and ``replaced`` is set; with ``plain`` it is not
    asked at all, so that D_c and D_u come from the same kernel.
    """

    fused: bool = True
    plain: bool = False
    replaced: bool = False

    def chained(self, before: Callable[..., Tensor] | None) -> Callable[..., Tensor]:
        """The attention override with which this takes the place of ``before``, that of another pack."""
        if getattr(before, "attention", None) is self:
            return before  # pyright: ignore[reportReturnType]
        kernel = attention_pytorch if self.fused else attention_basic

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
        """Also against nodes that install their own override again inside every evaluation."""

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
