"""How one sampler run takes its Jacobian products, and what happens where it cannot as it was asked to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import comfy.model_management
from torch import Tensor

from ...reg_core.activations import Thrift
from ...reg_core.jacobian import (
    Estimator,
    difference_step,
    disagreement,
    finite_difference,
    forward,
    is_overwriting,
    reverse,
)
from ...reg_core.rectification import FORMS, Rectification, RectifiedPair
from ...reg_core.refresh import BY_NOISE, EVERY_STEP, Refresh
from ...reg_core.table import lookup
from .evaluation import Evaluation
from .gradient import GRADIENT_FREE, DecomposedKernels, differentiable_kernels, is_fused
from .memory import borrowing_layers, budget, doubtful, is_out_of_memory, repeated_blocks

AUTO = "auto"
CHECKPOINTING = {AUTO: None, "on": True, "off": False}
MISTRUST = 0.25
"""Relative disagreement with a difference above which a gradient through doubtful weights is not believed."""


@dataclass(frozen=True)
class Method:
    """What the artist asked for: strength and form, and estimator, refresh, checkpointing by name or ``auto``.

    Estimator ``auto`` is reverse, refreshed by noise, and finite difference where the model gives no gradient or has no
    memory for it; it never changes the form, since that shows more than an estimator does (on the playground model
    row-sum by finite difference keeps 83 % of the effect of the paper's REG, directional 60 %). A named estimator is
    refreshed at every step unless something else is named. Raises ValueError for an unknown name.
    """

    strength: float = 1.0
    form: str = "row-sum"
    estimator: str = AUTO
    refresh: str = AUTO
    checkpointing: str = AUTO

    def __post_init__(self) -> None:
        lookup(CHECKPOINTING, self.checkpointing, "checkpointing")
        Estimation(self, lambda text: None)


@dataclass
class Habits:
    """What a gradient pass has learned about a network, so that only its first run pays for a pass that fails."""

    in_place: bool = False
    decomposed: bool = False


class Estimation:
    """State of one run: what ``method`` comes to, and what turned out to be needed. ``warn`` tells the artist.

    reverse -> with blocks computed twice where memory is short -> finite difference.
    """

    def __init__(self, method: Method, warn: Callable[[str], None], habits: Habits | None = None) -> None:
        self.method = method
        self.habits = habits or Habits()
        self.warn = warn
        self.taken = self.carried = 0
        self.reason = "the model has a gradient and memory for it"
        self.estimator = "reverse" if method.estimator == AUTO else method.estimator
        self.checkpointed = bool(CHECKPOINTING[method.checkpointing])
        self.believed = False
        automatic = BY_NOISE if method.estimator == AUTO else EVERY_STEP
        self.rectification = Rectification(method.strength, method.form, self.estimator)
        self.refresh = automatic if method.refresh == AUTO else method.refresh
        self._refreshes: dict[tuple[int, ...], Refresh] = {}
        Refresh(self.refresh, method.form)

    @property
    def choice(self) -> dict[str, str]:
        """The inputs that repeat this run on any machine that can."""
        return {
            "form": self.method.form,
            "estimator": self.estimator,
            "refresh": self.refresh,
            "checkpointing": "on" if self.checkpointed else "off",
        }

    def pair(
        self, evaluation: Evaluation, noises: Callable[[], Sequence[float]] = tuple
    ) -> tuple[Tensor, RectifiedPair]:
        """D_u as the model predicts it, and the rectified pair; its product is None where none could be had.

        ``noises`` gives the noise-to-signal ratios of the run's steps that are to be rectified, where they are known.
        """
        noise, refresh = evaluation.noise, self._refreshes.get(evaluation.window)
        if refresh is None:
            refresh = self._refreshes[evaluation.window] = Refresh(self.refresh, self.method.form)
            refresh.plan(noises())
        if not refresh.due(noise, evaluation.x.shape):
            self.carried += 1
            conditional, unconditional = evaluation.predictions()
            product = refresh.carried(noise, conditional - unconditional)
            return unconditional, self.rectification.rectified(conditional, unconditional, product)
        unconditional, pair = self._taken(evaluation)
        if pair.product is not None and not bool(pair.product.isfinite().all()):
            self.warn("the factor is not finite at some step: plain CFG there")
            pair = pair._replace(product=None)
        if pair.product is not None:
            self.taken += 1
            refresh.keep(noise, pair.conditional - unconditional, pair.product)
        return unconditional, pair

    def _taken(self, evaluation: Evaluation) -> tuple[Tensor, RectifiedPair]:
        if evaluation.cached:
            self.warn("the output cache on this model (EasyCache) is passed by at the steps that REG rectifies")
        if self.estimator == "reverse" and len(evaluation.weight_hooks) > 1:
            self._give_up(
                "the host swaps weights in the midst of this prediction (LoRA hooks that differ between prompts), "
                "where a backward pass would be silently wrong"
            )
        if self.estimator == "forward" and evaluation.quantised_layers:
            self._give_up("the quantised layers of this model have no forward-mode derivative")
        if self.estimator != GRADIENT_FREE:
            unconditional = evaluation.unconditional()
            pair = self._differentiated(evaluation, unconditional)
            if pair is not None:
                return unconditional, pair
        return self._differenced(evaluation)

    def _differentiated(self, evaluation: Evaluation, unconditional: Tensor) -> RectifiedPair | None:
        while self.estimator != GRADIENT_FREE:
            estimator: Estimator = forward
            if self.estimator == "reverse":
                estimator = partial(reverse, thrift=self._thrift(evaluation))
            denoiser = evaluation.conditional(self.estimator, self.kernels)
            try:
                with differentiable_kernels():
                    pair = self._rectified_by(estimator, denoiser, evaluation, unconditional)
            except RuntimeError as error:  # no derivative, or no memory for it; a fault of the model itself comes again
                self._learn(error)
            else:
                if self._plausible(evaluation, unconditional, pair):
                    return pair
            comfy.model_management.soft_empty_cache()  # here, where the error holds no tensors any more
        return None

    def _rectified_by(
        self,
        estimator: Estimator,
        denoiser: Callable[[Tensor], Tensor],
        evaluation: Evaluation,
        unconditional: Tensor,
        conditional: Tensor | None = None,
    ) -> RectifiedPair:
        rectification = replace(self.rectification, estimator=estimator)
        return rectification.pair(denoiser, evaluation.x, unconditional, evaluation.alpha, conditional)

    def kernels(self) -> AbstractContextManager[Any]:
        """A context for every computation of the network that is differentiated."""
        return DecomposedKernels() if self.habits.decomposed else nullcontext()

    def _thrift(self, evaluation: Evaluation) -> Thrift:
        return Thrift(
            borrowing_layers(evaluation),
            repeated_blocks(evaluation.model.diffusion_model) if self.checkpointed else (),
            budget(evaluation) if self._may_checkpoint else None,
            self.habits.in_place,
            self.kernels,
        )

    @property
    def _may_checkpoint(self) -> bool:
        return self.estimator == "reverse" and self.method.checkpointing == AUTO and not self.checkpointed

    def _learn(self, error: RuntimeError) -> None:
        reason = str(error).strip().splitlines()[0]
        if is_overwriting(error) and not self.habits.in_place:
            self.habits.in_place = True
        elif is_fused(error) and not self.habits.decomposed:
            self.habits.decomposed = True
        elif is_out_of_memory(error) and self._may_checkpoint:
            self.checkpointed = True
            self.warn(
                f"memory is short for the gradient ({reason}), so it takes every block of the model twice from here on"
            )
        else:
            self._give_up(f"estimator '{self.estimator}' failed ({reason})")

    def _give_up(self, reason: str) -> None:
        self.estimator, self.reason = GRADIENT_FREE, reason
        self.warn(f"{reason}; '{GRADIENT_FREE}' finishes this run")

    def _plausible(self, evaluation: Evaluation, unconditional: Tensor, pair: RectifiedPair) -> bool:
        """Once a run, the first gradient through doubtful weights is compared with a difference along itself."""
        if self.believed or self.estimator != "reverse" or pair.product is None:
            return True
        if not doubtful(evaluation):
            self.believed = True
            return True
        difference = disagreement(
            evaluation.conditional(GRADIENT_FREE),
            evaluation.x,
            FORMS[self.method.form].direction(evaluation.x, unconditional),
            evaluation.alpha,
            pair.conditional,
            pair.product,
            difference_step(evaluation.eps),
        )
        self.believed = difference < MISTRUST
        if not self.believed:
            self._give_up(
                f"the gradient through the weights of this model, which are not its own, is wrong by {difference:.0%}"
            )
        return self.believed

    def _differenced(self, evaluation: Evaluation) -> tuple[Tensor, RectifiedPair]:
        conditional, unconditional = evaluation.both()
        estimator = partial(finite_difference, step=difference_step(evaluation.eps))
        denoiser = evaluation.conditional(GRADIENT_FREE)
        pair = self._rectified_by(estimator, denoiser, evaluation, unconditional, conditional)
        if pair.product is not None and not bool(pair.product.any()):
            self.warn("the model gave a shifted input the same output (a node that caches outputs?): plain CFG there")
            return unconditional, pair._replace(product=None)
        return unconditional, pair
