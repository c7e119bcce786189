"""One Jacobian product computed, by whichever estimator can serve this model, these nodes and this memory."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, NamedTuple

import comfy.model_management
from torch import Tensor

from ....reg_core.autograd import GradientUnavailable
from ....reg_core.jacobian import Estimator
from ....reg_core.rectification import FORMS, Rectification
from ...messages import message
from ..evaluation import Evaluation
from ..neighbours import may_couple
from .attention import DifferentiableAttention
from .composition import Batching, Composition, Joint, Separate, composed
from .kernels import differentiable_kernels, refusing_no_grad
from .memory import is_out_of_memory
from .plausibility import gradient_fault, is_doubtful
from .selection import Selection

Spares = Callable[[Tensor], bool]


class Computation(NamedTuple):
    """What was computed for one evaluation, ``[batch, ...]``."""

    conditional: Tensor
    product: Tensor | None
    """``alpha J^T v``; None where none can be had."""
    unconditional: Tensor | None
    """None where it was spared."""


def _computation(composition: Composition, conditional: Tensor, product: Tensor, spares: Spares) -> Computation:
    """With D_u, unless it is not needed and not known either."""
    known = not isinstance(composition, Separate) or composition.compared
    spared = not known and spares(product)
    return Computation(conditional, product, None if spared else composition.unconditional())


class _TryAgain(Exception):
    """This attempt came to nothing, and something was learned by which the next one differs."""


class Products:
    """The products of one run, with what it has found out about its models."""

    def __init__(self, selection: Selection) -> None:
        self.selection, self.method, self.quirks = selection, selection.method, selection.quirks
        self.warn: Callable[[str], None] = selection.warn
        self._checked = False
        self._coupled: dict[int, bool] = {}

    def computed(self, evaluation: Evaluation, spares: Spares) -> Computation:
        """Both predictions and the product, without D_u where ``spares`` says of the product that it is not needed."""
        if evaluation.cached:
            self.warn(message("cache-bypassed"))
        composition, kernels = None, None
        while True:
            batching = self._batching(evaluation)
            recorded = evaluation.conds if batching is Batching.JOINT else evaluation.conds[:1]
            try:
                estimator = self.selection.suited(evaluation, recorded)
            except GradientUnavailable as error:
                self.selection.give_up(str(error))
                continue
            if not estimator.differentiates:
                return self._evaluated(evaluation, batching, estimator, spares)
            if composition is None or kernels != (self.quirks.kernels, batching):  # else D_u is known from a failed try
                kernels = self.quirks.kernels, batching
                attention = DifferentiableAttention(estimator.fused_attention, self.quirks.plain_attention)
                composition = composed(evaluation, batching, attention, self.quirks.context)
            try:
                return self._differentiated(estimator, evaluation, composition, spares)
            except _TryAgain:
                pass
            except RuntimeError as error:  # no derivative, or no memory for it
                self.selection.learn(error)
            comfy.model_management.soft_empty_cache()  # here, where the error holds no tensors any more

    def separate(self, evaluation: Evaluation) -> bool:
        """Whether D_c alone is known to be D_c in the batch."""
        return self._batching(evaluation) is Batching.SEPARATE

    def _batching(self, evaluation: Evaluation) -> Batching:
        coupled = self._coupled.get(id(evaluation.model))
        if coupled is None:
            return Batching.COMPARED if may_couple(evaluation) else Batching.SEPARATE
        return Batching.JOINT if coupled else Batching.SEPARATE

    def _differentiated(
        self, estimator: Estimator, evaluation: Evaluation, composition: Separate | Joint, spares: Spares
    ) -> Computation:
        """The product by an estimator that needs a derivative, with D_u from the same kernels."""
        with differentiable_kernels():
            self._prepare(composition)  # where no graph takes memory yet
            with self._no_grad_refused(evaluation):
                conditional, product = self._product(estimator, composition, evaluation)
            recorded = 2 if isinstance(composition, Joint) else 1
            evaluation.compute.differentiated += recorded * (2 if self.selection.checkpointed else 1)
            self.quirks.no_grad_checked |= estimator.transposed
            if composition.attention is not None and composition.attention.replaced:
                self.quirks.plain_attention = True
                raise _TryAgain
            self._compare(evaluation, composition, conditional)
            self._check(estimator, evaluation, composition, conditional, product)
            return _computation(composition, conditional, product, spares)

    def _prepare(self, composition: Composition) -> None:
        """Evaluate D_u first, where it is needed in any case."""
        if isinstance(composition, Separate) and (composition.compared or FORMS[self.method.form].needs_gap):
            composition.unconditional()

    def _no_grad_refused(self, evaluation: Evaluation) -> AbstractContextManager[Any]:
        return nullcontext() if self.quirks.no_grad_checked else refusing_no_grad(evaluation.model.diffusion_model)

    def _product(
        self, estimator: Estimator, composition: Composition, evaluation: Evaluation, conditional: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        rectification = Rectification(self.method.strength, self.method.form, estimator)
        denoiser, unconditional = composition.conditional, composition.unconditional
        return rectification.product(denoiser, evaluation.x, unconditional, evaluation.alpha, conditional)

    def _compare(self, evaluation: Evaluation, composition: Composition, conditional: Tensor) -> None:
        """Once a run and model: whether D_c alone is another than D_c in the batch, and all has to be done again."""
        if not isinstance(composition, Separate) or not composition.compared:
            return
        coupled = self._coupled[id(evaluation.model)] = composition.coupled(conditional)
        if coupled:
            self.warn(message("predictions-coupled"))
            raise _TryAgain

    def _check(
        self,
        estimator: Estimator,
        evaluation: Evaluation,
        composition: Composition,
        conditional: Tensor,
        product: Tensor,
    ) -> None:
        """Once a run, the first gradient through what is not the model's own is compared with a difference along it."""
        if self._checked:
            return
        if is_doubtful(evaluation):
            fault = gradient_fault(evaluation, composition, estimator, self.method.form, conditional, product)
            if fault:
                self.selection.give_up(fault)
                raise _TryAgain
        self._checked = True

    def _evaluated(
        self, evaluation: Evaluation, batching: Batching, estimator: Estimator, spares: Spares
    ) -> Computation:
        """The product by an estimator that needs evaluations only; without a product where memory is short."""
        composition = composed(evaluation, batching, None, nullcontext)
        try:
            self._prepare(composition)  # so that both ends of a difference follow one another
            conditional = composition.conditional(evaluation.x)
            self._compare(evaluation, composition, conditional)
            _, product = self._product(estimator, composition, evaluation, conditional)
            if not bool(product.any()):  # every shifted input got the output of the first
                self.warn(message("output-cached"))
                return Computation(conditional, None, composition.unconditional())
            return _computation(composition, conditional, product, spares)
        except _TryAgain:
            return self._evaluated(evaluation, Batching.JOINT, estimator, spares)
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
        comfy.model_management.soft_empty_cache()  # here, where the error holds no tensors any more
        self.warn(message("no-memory-for-difference"))
        conditional, unconditional = evaluation.predictions()
        return Computation(conditional, None, unconditional)
