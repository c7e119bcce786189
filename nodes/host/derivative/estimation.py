"""What REG makes of each evaluation of a run: computed, extrapolated, D_c alone, or plain CFG with the reason."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor

from ....reg_core.autograd import RandomState
from ....reg_core.rectification import Rectification
from ....reg_core.refresh import Refresh
from ....reg_core.trace import COMPUTED, CONDITIONAL, EXTRAPOLATED, PURE_NOISE, UNUSABLE
from ..evaluation import Evaluation
from ..neighbours import PerDenoiser
from .plausibility import refusal
from .products import Computation, Products
from .selection import Method, ModelQuirks, Selection


class Outcome(NamedTuple):
    """What became of one evaluation: ``state`` is one of reg_core/trace.py, the predictions are ``[batch, ...]``."""

    state: str
    conditional: Tensor
    unconditional: Tensor | None
    """D_u as the model predicts it or, where it was spared, as the gap of a step before has it; None without one."""
    rectified: Tensor
    """D_u' as the sampler gets it: D_u itself where nothing was rectified, D_c where no guidance was left."""


def untouched(state: str, predictions: Sequence[Tensor]) -> Outcome:
    """The outcome of an evaluation that is not rectified."""
    conditional, unconditional = predictions
    return Outcome(state, conditional, unconditional, unconditional)


def _never(product: Tensor) -> bool:
    return False


class Estimation:
    """The products of one run and what stands between them. ``warn`` tells the artist of what could not be had."""

    def __init__(self, method: Method, warn: Callable[[str], None], quirks: ModelQuirks | None = None) -> None:
        self.method, self.warn = method, warn
        self.selection = Selection(method, quirks or ModelQuirks(), warn)
        self.states = Counter[str]()
        """How many evaluations came to which state."""
        self._products = Products(self.selection)
        self._rectification = Rectification(method.strength, method.form)
        self._refreshes = PerDenoiser[Refresh]()

    def outcome(self, evaluation: Evaluation, planned: Callable[[], Sequence[float]] = tuple) -> Outcome:
        """The rectified pair of an evaluation, with its product computed or extrapolated.

        ``planned`` gives the noise-to-signal ratios of the run's steps that are to be rectified, where they are known.
        """
        refresh = self._refreshes.of(evaluation, lambda: self.method.refreshed(planned()))
        act = self._rectified if bool(evaluation.alpha.any()) else self._pure_noise
        outcome = act(evaluation, refresh)
        self.states[outcome.state] += 1
        return outcome

    def _pure_noise(self, evaluation: Evaluation, refresh: Refresh) -> Outcome:
        """The first step of a flow model: R is 0 whatever the Jacobian."""
        if self._may_spare(evaluation):
            refresh.spared()
            conditional = evaluation.conditional()
            return Outcome(CONDITIONAL, conditional, None, conditional)
        conditional, unconditional = evaluation.predictions()
        product = torch.zeros_like(conditional)
        rectified = self._rectification.unconditional(conditional, unconditional, product)
        return Outcome(PURE_NOISE, conditional, unconditional, rectified)

    def _may_spare(self, evaluation: Evaluation) -> bool:
        """Whether D_u may be left out where R is 0: nobody else needs it, and D_c is the same without it."""
        return self.method.strength == 1 and evaluation.spares_unconditional and self._products.separate(evaluation)

    def _rectified(self, evaluation: Evaluation, refresh: Refresh) -> Outcome:
        noise, may_spare = evaluation.noise, self._may_spare(evaluation)
        if refresh.due(noise, evaluation.x.shape):
            same = replace(evaluation, random=RandomState({evaluation.x.device}))
            computed = self._products.computed(same, refresh.spares_with if may_spare else _never)
            return self._computed(computed, noise, refresh)
        if may_spare and refresh.spares(noise):
            return self._spared(evaluation.conditional(), noise, refresh)
        conditional, unconditional = evaluation.predictions()
        gap = conditional - unconditional
        refresh.sparing.keep(noise, gap)
        return self._checked(EXTRAPOLATED, conditional, unconditional, refresh.extrapolated(noise, gap), refresh)

    def _computed(self, computed: Computation, noise: float, refresh: Refresh) -> Outcome:
        conditional, product, unconditional = computed
        if product is None:
            assert unconditional is not None
            refresh.forget()
            return untouched(UNUSABLE, (conditional, unconditional))
        if unconditional is None:
            refresh.keep(noise, None, product)
            return self._spared(conditional, noise, refresh, COMPUTED)
        outcome = self._checked(COMPUTED, conditional, unconditional, product, refresh)
        if outcome.state == COMPUTED:
            gap = conditional - unconditional
            refresh.keep(noise, gap, product)
            refresh.sparing.keep(noise, gap)
        return outcome

    def _spared(self, conditional: Tensor, noise: float, refresh: Refresh, state: str = CONDITIONAL) -> Outcome:
        """D_u as the gap of a step before has it; where there was none, no guidance."""
        refresh.spared()
        gap = refresh.sparing.gap
        if gap is None:
            return Outcome(state, conditional, None, conditional)
        return self._checked(state, conditional, conditional - gap, refresh.extrapolated(noise, gap), refresh)

    def _checked(
        self, state: str, conditional: Tensor, unconditional: Tensor, product: Tensor, refresh: Refresh
    ) -> Outcome:
        """The rectified pair, or the plain one where the product cannot be right."""
        pair = self._rectification.rectified(conditional, unconditional, product)
        refused = refusal(unconditional, pair)
        if refused:
            self.warn(refused)
            refresh.forget()
            return untouched(UNUSABLE, (conditional, unconditional))
        return Outcome(state, conditional, unconditional, pair.unconditional)
