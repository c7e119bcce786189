"""Recording gradients where the caller forbids them: inside inference mode, through weights that inference mode made.

Torch only. Weights are used where they lie: nothing is copied, nothing requires grad but the sample itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch._ops import OpOverload, OpOverloadPacket
from torch.autograd import forward_ad
from torch.overrides import TorchFunctionMode

from .activations import Activations, plain_alias
from .recomputation import KEEP_ALL, GradientUnavailable, Recomputation


class TangentDropped(GradientUnavailable):
    """A kernel without a forward-mode derivative took a tangent and gave none: the product would be silently wrong."""


def _alias(value: Any) -> Any:
    """A weight or inference tensor as a normal tensor without grad on the same memory; also inside lists and tuples."""
    if isinstance(value, (list, tuple)):
        if any(isinstance(item, (Tensor, list, tuple)) for item in value) and type(value) in (list, tuple):
            return type(value)(_alias(item) for item in value)
        return value
    if type(value) not in (Tensor, torch.nn.Parameter) or value.layout != torch.strided:
        return value  # quantised weights: what they are dequantised into is seen by itself
    if not value.is_inference():
        return value.detach() if type(value) is torch.nn.Parameter else value  # no graph to weights
    return plain_alias(value)


class _PlainTensors(TorchFunctionMode):
    """Inside this mode every torch call sees normal tensors without grad in place of weights and inference tensors.

    Autograd refuses to save an inference tensor for backward; an alias of the same memory it saves without a copy.
    """

    def __init__(self, activations: Activations | None = None) -> None:
        super().__init__()
        self._activations = activations

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if getattr(func, "__name__", "") == "__get__":  # attribute reads (shape, dtype, ...) save nothing
            return func(*args, **(kwargs or {}))
        plain = [_alias(value) for value in args]
        named = {name: _alias(value) for name, value in kwargs.items()} if kwargs else {}
        if isinstance(func, (OpOverload, OpOverloadPacket)):
            return _checked(func, plain, named)
        if self._activations is None:
            return func(*plain, **named)
        for value in (*args, *(kwargs or {}).values()):
            if type(value) is torch.nn.Parameter:
                self._activations.parameter(value)
        with self._activations.constants([*plain, *named.values()]):
            return func(*plain, **named)


def _checked(func: OpOverload | OpOverloadPacket, args: list[Any], kwargs: dict[str, Any]) -> Any:
    """Torch asks no kernel of an extension for a forward-mode derivative: without one it drops the tangent silently."""
    output = func(*args, **kwargs)
    outputs = output if isinstance(output, (tuple, list)) else [output]
    if any(_has_tangent(value) for value in args) and not any(_has_tangent(value) for value in outputs):
        raise TangentDropped(f"REG: the kernel {func} has no forward-mode derivative. Choose 'reverse'.")
    return output


def _has_tangent(value: Any) -> bool:
    return isinstance(value, Tensor) and forward_ad.unpack_dual(value).tangent is not None


@contextmanager
def recording(recomputation: Recomputation = KEEP_ALL) -> Iterator[None]:
    """Autograd works inside this block although the caller is in inference mode and the weights are inference tensors.

    ``recomputation`` says what is not kept for backward. The caller's modes come back on every exit, an exception, too.
    """
    if not recomputation.needed:
        with _recorded():
            yield
        return
    activations = Activations(recomputation, _recorded)
    with _recorded(activations), activations.watched():
        yield


@contextmanager
def _recorded(activations: Activations | None = None) -> Iterator[None]:
    with torch.inference_mode(False), torch.enable_grad(), _PlainTensors(activations):
        yield


def leaf(x: Tensor) -> Tensor:
    """A copy of ``x`` that is a normal tensor, to be made inside ``recording``."""
    return x.detach().clone()
