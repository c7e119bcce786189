"""What a gradient pass computes a second time instead of keeping it for backward: weights, whole blocks."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.nn import Module

Fetch = Callable[[Module, str, torch.dtype, torch.device], Tensor]
"""``(layer, "weight" or "bias", dtype, device)`` -> that parameter as the layer's own forward has it."""


class GradientUnavailable(RuntimeError):
    """The denoiser cannot be differentiated here; the message says why and which estimator needs no gradient."""


class MemoryBudgetExceeded(RuntimeError):
    """The activations that backward needs are larger than the budget."""


@dataclass(frozen=True)
class Recomputation:
    """What a gradient pass makes again in backward instead of keeping it.

    ``layers``: modules whose ``weight`` and ``bias`` are not theirs for long (cast, dequantised, streamed through a
    buffer that the next layer reuses), with the function that fetches them again. ``blocks``: modules of which only the
    inputs are kept; backward computes each once more, one more evaluation in all (checkpointing, arXiv 1604.06174).
    ``budget``: bytes of activations after which MemoryBudgetExceeded is raised. ``in_place``: the network overwrites
    what autograd saved (residual ``x += ...``), so it is copied at that moment, at the price of slower dispatch.
    ``around``: a context to enter whenever the network computes a second time, as the denoiser does the first time.
    """

    layers: Mapping[Module, Fetch] = field(default_factory=dict)
    blocks: Collection[Module] = ()
    budget: int | None = None
    in_place: bool = False
    around: Callable[[], AbstractContextManager[Any]] = nullcontext

    @property
    def needed(self) -> bool:
        return bool(self.layers or self.blocks or self.in_place) or self.budget is not None


KEEP_ALL = Recomputation()
