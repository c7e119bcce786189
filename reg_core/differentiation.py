"""Recording gradients where the caller forbids them: inside inference mode, through weights that inference mode made.

Torch only. Weights are used where they lie: nothing is copied, nothing requires grad but the sample itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.autograd.graph import allow_mutation_on_saved_tensors
from torch.overrides import TorchFunctionMode


class GradientUnavailable(RuntimeError):
    """The denoiser cannot be differentiated here; the message says why and which estimator needs no gradient."""


def _alias(value: Any) -> Any:
    """A weight or inference tensor as a normal tensor without grad on the same memory; also inside lists and tuples."""
    if isinstance(value, (list, tuple)):
        if any(isinstance(item, (Tensor, list, tuple)) for item in value) and type(value) in (list, tuple):
            return type(value)(_alias(item) for item in value)
        return value
    # Subclasses (quantised weights) own no plain storage; they are dequantised into fresh tensors before use.
    if type(value) not in (Tensor, torch.nn.Parameter) or value.layout != torch.strided:
        return value
    if not value.is_inference():
        return value.detach() if type(value) is torch.nn.Parameter else value  # no graph to weights
    alias = torch.empty(0, dtype=value.dtype, device=value.device)
    return alias.set_(value.untyped_storage(), value.storage_offset(), value.size(), value.stride())


class _PlainTensors(TorchFunctionMode):
    """Inside this mode every torch call sees normal tensors without grad in place of weights and inference tensors.

    Autograd refuses to save an inference tensor for backward; an alias of the same memory it saves without a copy.
    """

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if getattr(func, "__name__", "") == "__get__":  # attribute reads (shape, dtype, ...) save nothing
            return func(*args, **(kwargs or {}))
        named = {name: _alias(value) for name, value in kwargs.items()} if kwargs else {}
        return func(*[_alias(value) for value in args], **named)


@contextmanager
def recording(in_place: bool = False) -> Iterator[None]:
    """Autograd works inside this block although the caller is in inference mode and the weights are inference tensors.

    ``in_place`` keeps backward right where a network overwrites tensors that autograd saved (residual ``x += ...``):
    they are copied at the moment they are overwritten, at the price of slower dispatch. The caller's modes come back on
    every exit, also by an exception.
    """
    with torch.inference_mode(False), torch.enable_grad(), _PlainTensors():
        if in_place:
            with allow_mutation_on_saved_tensors():
                yield
        else:
            yield


def leaf(x: Tensor) -> Tensor:
    """A copy of ``x`` that is a normal tensor, to be made inside ``recording``."""
    return x.detach().clone()
