"""What REG makes of each evaluation of a run: computed, extrapolated, or plain CFG with the reason."""

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
from ....reg_core.trace import COMPUTED, EXTRAPOLATED, PURE_NOISE, UNUSABLE
from ..evaluation import Evaluation
from ..neighbours import PerDenoiser
from .plausibility import refusal
from .products import Products
from .selection import Method, ModelQuirks, Selection


class Outcome(NamedTuple):
    """What became of one evaluation: ``state`` is one of reg_core/trace.py, the predictions are ``[batch, ...]``."""

    state: str
    conditional: Tensor
    unconditional: Tensor
    """D_u as the model predicts it."""
    rectified: Tensor
    """D_u' as the sampler gets it: D_u itself where nothing was rectified."""
    product: Tensor | None
    """``alpha J^T v``, as it was applied; None where nothing was rectified."""


def untouched(state: str, predictions: Sequence[Tensor]) -> Outcome:
    """The outcome of an evaluation that is not rectified."""
    conditional, unconditional = predictions
    return Outcome(state, conditional, unconditional, unconditional, None)


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
        outcome = self._rectified(evaluation, planned) if bool(evaluation.alpha.any()) else self._pure_noise(evaluation)
        self.states[outcome.state] += 1
        return outcome

    def _pure_noise(self, evaluation: Evaluation) -> Outcome:
        """The first step of a flow model: R is 0 whatever the Jacobian."""
        conditional, unconditional = evaluation.predictions()
        product = torch.zeros_like(conditional)
        rectified = self._rectification.unconditional(conditional, unconditional, product)
        return Outcome(PURE_NOISE, conditional, unconditional, rectified, product)

    def _rectified(self, evaluation: Evaluation, planned: Callable[[], Sequence[float]]) -> Outcome:
        noise = evaluation.noise
        refresh = self._refreshes.of(evaluation, lambda: Refresh(self.method.policy, self.method.form, planned()))
        if refresh.due(noise, evaluation.x.shape):
            state, same = COMPUTED, replace(evaluation, random=RandomState({evaluation.x.device}))
            unconditional, pair = self._products.rectified(same)
        else:
            state, (conditional, unconditional) = EXTRAPOLATED, evaluation.predictions()
            product = refresh.extrapolated(noise, conditional - unconditional)
            pair = self._rectification.rectified(conditional, unconditional, product)
        refused = "" if pair.product is None else refusal(unconditional, pair)
        if refused:
            self.warn(refused)
        if refused or pair.product is None:
            refresh.forget()
            return untouched(UNUSABLE, (pair.conditional, unconditional))
        if state == COMPUTED:
            refresh.keep(noise, pair.conditional - unconditional, pair.product)
        return Outcome(state, pair.conditional, unconditional, pair.unconditional, pair.product)
