"""The kernels of the host's models while a Jacobian product is computed: each has to have a derivative.

Everything process-wide is set around the pass only and restored on every exit.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import comfy.cli_args
import comfy.model_management
import torch
from torch._ops import OpOverload, OpOverloadPacket
from torch.nn import Module
from torch.overrides import TorchFunctionMode

from ....reg_core.autograd import GradientUnavailable, TangentDropped
from ...messages import message

# Process-wide switches of the host, each only where the host has it: no fused kernels without a derivative; no compiler
# that records the allocations of a forward pass, with or without CUDA graphs, and replays their addresses.
SWITCHES: tuple[tuple[Any, str], ...] = (
    (comfy.model_management, "in_training"),
    (comfy.cli_args.args, "disable_comfy_compiler"),
    (comfy.cli_args.args, "disable_cuda_graphs"),
)


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
def refusing_no_grad(network: Module) -> Iterator[None]:
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
            raise GradientUnavailable(message("part-without-gradient", module=type(module).__name__))

    with ExitStack() as stack:
        stack.callback(network.register_forward_pre_hook(enter).remove)
        stack.callback(network.register_forward_hook(leave, always_call=True).remove)
        for module in network.modules():
            if any(True for _ in module.parameters(recurse=False)):
                stack.callback(module.register_forward_pre_hook(refuse).remove)
        yield
