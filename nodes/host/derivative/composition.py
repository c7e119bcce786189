"""The two predictions of one evaluation, composed as its run needs them: each alone, or both in one batch.

A gradient is cheapest of D_c alone. Where another node lets the two act on each other inside the batch (normalized
attention guidance), D_c alone is another denoiser than the one that the sampler sees: then both are evaluated as the
host composes them, and the product is that of D_c there. Both ends of a difference have the same composition.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.autograd.forward_ad import unpack_dual

from ..evaluation import Evaluation
from .attention import DifferentiableAttention

# How far D_c alone may be from D_c in the batch: rounding, in units of the model's own and at least of the finest that
# networks of float32 show (other kernels for another batch size), or a share of the guidance that does not show.
ROUNDING, FINEST, UNSEEN = 2.0, 1e-5, 1e-3

Context = Callable[[], AbstractContextManager[Any]]


class Batching(Enum):
    """How the two predictions of an evaluation are put into batches of the model."""

    SEPARATE = auto()
    COMPARED = auto()
    """Each alone, and both once more in one batch, to see whether D_c is the same there."""
    JOINT = auto()


class Composition(Protocol):
    """The predictions of one evaluation, from one kind of kernels."""

    attention: DifferentiableAttention | None

    def conditional(self, x: Tensor) -> Tensor:
        """D_c at ``x``: the denoiser of which a Jacobian product is taken."""
        ...

    def unconditional(self) -> Tensor:
        """D_u at the sample itself; evaluated once."""
        ...


@dataclass
class Separate:
    """Each prediction alone. With ``compared`` D_u comes from the batch of both, so that D_c can be compared.

    Cost: one row each, and one more with ``compared``.
    """

    evaluation: Evaluation
    attention: DifferentiableAttention | None
    around: Context
    compared: bool = False
    _batch: list[Tensor] = field(default_factory=list)

    def conditional(self, x: Tensor) -> Tensor:
        with self.around():
            return self.evaluation.alone(0, x, self.attention)

    def unconditional(self) -> Tensor:
        if not self._batch:
            with self.around():
                x = self.evaluation.x
                self._batch = (
                    self.evaluation.both(x, self.attention)
                    if self.compared
                    else [x, self.evaluation.alone(1, x, self.attention)]
                )
        return self._batch[1]

    def coupled(self, conditional: Tensor) -> bool:
        """Whether D_c in the batch is another than ``conditional``, D_c alone; False unless ``compared``."""
        if not self.compared:
            return False
        self.unconditional()
        there, unconditional = self._batch
        parts = (conditional - there, conditional, self.evaluation.x - conditional, there - unconditional)
        moved, size, noise, gap = torch.stack([torch.linalg.vector_norm(part.float()) for part in parts]).tolist()
        return moved > max(max(ROUNDING * self.evaluation.eps, FINEST) * max(size, noise), UNSEEN * gap)


@dataclass
class Joint:
    """Both predictions in one batch, as the host makes them. Cost: two rows for every D_c, recorded ones included."""

    evaluation: Evaluation
    attention: DifferentiableAttention | None
    around: Context
    _unconditional: Tensor | None = None

    def conditional(self, x: Tensor) -> Tensor:
        with self.around():
            conditional, unconditional = self.evaluation.both(x, self.attention)
        if self._unconditional is None:  # the first is evaluated at the sample itself
            self._unconditional = unpack_dual(unconditional).primal.detach()
        return conditional

    def unconditional(self) -> Tensor:
        if self._unconditional is None:
            self.conditional(self.evaluation.x)
        assert self._unconditional is not None
        return self._unconditional


def composed(
    evaluation: Evaluation, batching: Batching, attention: DifferentiableAttention | None, around: Context
) -> Separate | Joint:
    """The predictions of an evaluation in batches of this kind."""
    if batching is Batching.JOINT:
        return Joint(evaluation, attention, around)
    return Separate(evaluation, attention, around, compared=batching is Batching.COMPARED)
