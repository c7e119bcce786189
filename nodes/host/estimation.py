"""How one sampler run takes its Jacobian products, and what happens where it cannot as it was asked to."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import comfy.model_management
from torch import Tensor

from ...reg_core.autograd import RandomState, Recomputation
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
from .composition import Apart, Composition, Together
from .evaluation import Evaluation
from .gradient import (
    GRADIENT_FREE,
    DecomposedKernels,
    DifferentiableAttention,
    differentiable_kernels,
    is_fused,
    lossless,
)
from .memory import borrowing_layers, budget, doubtful, is_out_of_memory, repeated_blocks
from .neighbours import PerDenoiser, may_couple, reach_inside

AUTO = "auto"
CHECKPOINTING = {AUTO: None, "on": True, "off": False}
MISTRUST = 0.25
"""Relative disagreement with a difference above which a gradient through doubtful weights is not believed."""
IMPLAUSIBLE = 10.0
"""Growth of the guidance above which a product is an error; at most 1.7 was measured (31 families, random weights)."""


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
    plain_attention: bool = False
    lossless: bool = False

    @property
    def kernels(self) -> tuple[bool, bool]:
        """Those of the habits by which a prediction comes from other kernels."""
        return self.decomposed, self.plain_attention


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
        self._refreshes = PerDenoiser[Refresh]()
        self._couplings: dict[int, bool] = {}
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
        noise, refresh = evaluation.noise, self._refreshes.of(evaluation, lambda: self._planned(noises()))
        taken = refresh.due(noise, evaluation.x.shape)
        if taken:
            unconditional, pair = self._taken(replace(evaluation, random=RandomState({evaluation.x.device})))
        else:
            conditional, unconditional = evaluation.predictions()
            product = refresh.carried(noise, conditional - unconditional)
            pair = self.rectification.rectified(conditional, unconditional, product)
        refused = None if pair.product is None else self._refusal(unconditional, pair)
        if refused is not None:
            self.warn(f"{refused}: plain CFG there")
            pair = pair._replace(product=None)
        if pair.product is None:
            refresh.forget()
        elif taken:
            self.taken += 1
            refresh.keep(noise, pair.conditional - unconditional, pair.product)
        else:
            self.carried += 1
        return unconditional, pair

    def _planned(self, noises: Sequence[float]) -> Refresh:
        refresh = Refresh(self.refresh, self.method.form)
        refresh.plan(noises)
        return refresh

    def _refusal(self, unconditional: Tensor, pair: RectifiedPair) -> str | None:
        """What is wrong with a product that must not be applied; None for one that may."""
        growth = pair.growth(unconditional)
        if not math.isfinite(growth):
            return "the factor is not finite at some step"
        if growth > IMPLAUSIBLE:
            return (
                f"the correction would make the guidance {growth:,.0f} times as large, which no model's gradient does"
            )
        return None

    def _taken(self, evaluation: Evaluation) -> tuple[Tensor, RectifiedPair]:
        if evaluation.cached:
            self.warn("the output cache on this model (EasyCache) is passed by at the steps that REG rectifies")
        together = self._couplings.get(id(evaluation.model))
        if together is None:
            together = None if may_couple(evaluation) else False
        if self.estimator == "forward" and evaluation.quantised_layers:
            self._give_up("the quantised layers of this model have no forward-mode derivative")
        kernels, composition = None, None
        while self.estimator != GRADIENT_FREE:
            recorded = evaluation.conds if together else evaluation.conds[:1]
            if self.estimator == "reverse" and len(evaluation.weight_hooks(recorded)) > 1:
                self._give_up(
                    "the host swaps weights in the midst of this prediction (LoRA hooks that differ between prompts), "
                    "where a backward pass would be silently wrong"
                )
                break
            if composition is None or kernels != (self.habits.kernels, together):  # else D_u is known from a failed try
                attention = DifferentiableAttention(self.estimator, self.habits.plain_attention)
                kernels, composition = (self.habits.kernels, together), self._composed(evaluation, together, attention)
            pair = self._attempt(evaluation, composition)
            if pair is not None:
                return composition.unconditional(), pair
            comfy.model_management.soft_empty_cache()  # here, where the error holds no tensors any more
            together = self._couplings.get(id(evaluation.model), together)
        return self._differenced(evaluation, together)

    def _composed(
        self, evaluation: Evaluation, together: bool | None, attention: DifferentiableAttention | None = None
    ) -> Composition:
        around = self.kernels if attention is not None else nullcontext
        if together:
            return Together(evaluation, attention, around)
        return Apart(evaluation, attention, around, beside=together is None)

    def _attempt(self, evaluation: Evaluation, composition: Composition) -> RectifiedPair | None:
        """One try of a gradient, with D_u from the same kernels; None where it failed and something was learnt."""
        estimator: Estimator = forward
        if self.estimator == "reverse":
            estimator = partial(reverse, recomputation=self._recomputation(evaluation))
        try:
            with differentiable_kernels():
                if isinstance(composition, Apart):
                    composition.unconditional()  # first, where no graph takes memory yet
                with nullcontext() if self.habits.lossless else lossless(evaluation.model.diffusion_model):
                    pair = self._rectified_by(estimator, composition, evaluation)
                self.habits.lossless = self.habits.lossless or self.estimator == "reverse"
                if composition.attention is not None and composition.attention.replaced:
                    self.habits.plain_attention = True
                    return None
                if self._is_coupled(evaluation, composition, pair.conditional):
                    return None
                return pair if self._plausible(evaluation, composition, pair) else None
        except RuntimeError as error:  # no derivative, or no memory for it; a fault of the model itself comes again
            self._learn(error)
            return None

    def _is_coupled(self, evaluation: Evaluation, composition: Composition, conditional: Tensor) -> bool:
        """Once a run and model: whether D_c alone is another than D_c in the batch, and all has to be done again."""
        if not isinstance(composition, Apart) or not composition.beside:
            return False
        model = id(evaluation.model)
        coupled = self._couplings[model] = self._couplings.get(model, False) or composition.coupled(conditional)
        if coupled:
            self.warn(
                "prompts act on each other inside the batch on this model, so REG evaluates positive and negative "
                "together, at about twice the cost"
            )
        return coupled

    def _rectified_by(
        self,
        estimator: Estimator,
        composition: Composition,
        evaluation: Evaluation,
        conditional: Tensor | None = None,
    ) -> RectifiedPair:
        rectification = replace(self.rectification, estimator=estimator)
        denoiser, unconditional = composition.conditional, composition.unconditional
        return rectification.pair(denoiser, evaluation.x, unconditional, evaluation.alpha, conditional)

    def kernels(self) -> AbstractContextManager[Any]:
        """A context for every computation of the network that is differentiated."""
        return DecomposedKernels() if self.habits.decomposed else nullcontext()

    def _recomputation(self, evaluation: Evaluation) -> Recomputation:
        return Recomputation(
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

    def _plausible(self, evaluation: Evaluation, composition: Composition, pair: RectifiedPair) -> bool:
        """Once a run, the first gradient through what is not the model's own is compared with a difference along it."""
        if self.believed or pair.product is None:
            return True
        if not (doubtful(evaluation) or reach_inside(evaluation)):
            self.believed = True
            return True
        difference = disagreement(
            composition.conditional,
            evaluation.x,
            FORMS[self.method.form].direction(evaluation.x, composition.unconditional),
            evaluation.alpha,
            pair.conditional,
            pair.product,
            difference_step(evaluation.eps),
            transposed=self.estimator == "reverse",
        )
        self.believed = difference < MISTRUST
        if not self.believed:
            self._give_up(
                "the gradient of this model, whose weights or attention another node provides, "
                f"is wrong by {difference:.0%}"
            )
        return self.believed

    def _differenced(self, evaluation: Evaluation, together: bool | None) -> tuple[Tensor, RectifiedPair]:
        composition = self._composed(evaluation, together)
        estimator = partial(finite_difference, step=difference_step(evaluation.eps))
        try:
            if isinstance(composition, Apart):
                composition.unconditional()  # first, so that both ends of the difference follow one another
            conditional = composition.conditional(evaluation.x)
            if self._is_coupled(evaluation, composition, conditional):
                return self._differenced(evaluation, True)
            pair = self._rectified_by(estimator, composition, evaluation, conditional)
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
        else:
            if pair.product is not None and not bool(pair.product.any()):
                self.warn(
                    "the model gave a shifted input the same output (a node that caches outputs?): plain CFG there"
                )
                pair = pair._replace(product=None)
            return composition.unconditional(), pair
        comfy.model_management.soft_empty_cache()  # here, where the error holds no tensors any more
        self.warn("there is not enough memory for one more evaluation of the model at some step: plain CFG there")
        conditional, unconditional = evaluation.predictions()
        return unconditional, RectifiedPair(conditional, unconditional, None)
