"""Rectified Gradient Guidance (arXiv 2501.18865) in denoised space.

The REG update of the paper:   eps_reg = eps - sqrt(1 - ab) * grad log R_t * (1 - sqrt(1 - ab) * d(1^T eps)/dx).
It stands for the exact eps_opt = eps - sqrt(1 - ab) * grad log E_t (``mixture.optimal_denoised``), without foresight.

With CFG's R_t = (p(x | y) / p(x))^(w - 1) and g = D_c - D_u it is, for every prediction and state:

    D_reg = D_c + (w - 1) * G,   G = alpha * J^T 1 * g  (row-sum, the paper)  or  alpha * J^T g  (directional, ours).

It is expressed as a rectified unconditional prediction ``D_u' = D_c - G``, so that plain CFG ``D_u' + w (D_c - D_u')``
and everything built on a pair of predictions keeps working.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from .jacobian import ESTIMATORS, Direction, Estimator
from .number import number
from .parameterization import Denoiser, check_sample
from .table import lookup, shown


def _flat_axes(x: Tensor) -> tuple[int, ...]:
    return tuple(range(1, x.ndim))


EDGE = 0.02
"""A factor nearer than this to 0 or 1 does not show how its mode changes with the noise."""


class Computed(NamedTuple):
    """A Jacobian product ``[batch, ...]``, the noise-to-signal ratio at which it was computed, and the gap there."""

    noise: float
    gap: Tensor | None
    """None where a form that needs none was computed without D_u."""
    product: Tensor


@dataclass(frozen=True)
class Form:
    """One reading of the correction: which Jacobian product it needs and how that product rectifies the gap g.

    ``needs_gap``: the product is computed along g (else along ones). ``rectify(product, gap, limit)`` returns G.
    ``extrapolate(computed, gap, noise)`` estimates the product for a gap at another noise-to-signal ratio from the last
    one or two that were computed; exact for a Jacobian of two modes or fewer, of Gaussian data. ``uniform(factor,
    gap)`` is the product that multiplies the whole gap by one factor, and ``factor(a, b, c)`` is the one that does best
    in place of G, from a = <g, g>, b = <G, g> and c = <G, G>.
    """

    needs_gap: bool
    rectify: Callable[[Tensor, Tensor, float | None], Tensor]
    extrapolate: Callable[[Sequence[Computed], Tensor, float], Tensor]
    uniform: Callable[[float, Tensor], Tensor]
    factor: Callable[[float, float, float], float]

    def direction(self, x: Tensor, unconditional: Callable[[], Tensor]) -> Direction:
        """The vector that the Jacobian is multiplied with, or the function of D_c that makes it."""
        return (lambda denoised: denoised - unconditional()) if self.needs_gap else torch.ones_like(x)

    def size(self, product: Tensor, gap: Tensor | None) -> float:
        """``|G| / |g|`` of the sample in which it is largest; without a gap, that of a gap alike everywhere.

        Cost: one transfer from the device.
        """
        even = torch.ones_like(product) if gap is None else gap
        parts: list[Tensor] = [self.rectify(product, even, None), even]
        after, before = (torch.linalg.vector_norm(part.float(), dim=_flat_axes(part)) for part in parts)
        return float(torch.where(before > 0, after / before, after).amax())


def _row_sum(product: Tensor, gap: Tensor, limit: float | None) -> Tensor:
    """The REG update of arXiv 2501.18865: ``G = R * g`` with ``R = alpha J^T 1``, elementwise."""
    return (product if limit is None else product.clamp(-limit, limit)) * gap


def _uniform_row_sum(factor: float, gap: Tensor) -> Tensor:
    return torch.full_like(gap, factor)


def _directional(product: Tensor, gap: Tensor, limit: float | None) -> Tensor:
    """``G = alpha J^T g``: the chain rule through the denoised prediction before the paper makes it elementwise."""
    if limit is None:
        return product
    norm = torch.linalg.vector_norm(product, dim=_flat_axes(product), keepdim=True)
    bound = limit * torch.linalg.vector_norm(gap, dim=_flat_axes(gap), keepdim=True)
    return product * (bound / norm).nan_to_num(1.0).clamp(max=1.0)


def _at_noise(factor: Tensor, ratio: Tensor | float) -> Tensor:
    """A mode's ``lambda / (lambda + s^2)`` at another s; what lies outside [0, 1] is no such factor and is held.

    ``ratio`` is that of ``s^2 / lambda`` there to what it was.
    """
    inside = factor.clamp(0, 1)
    return torch.where(inside > 0, inside / (inside + (1 - inside) * ratio), inside) + (factor - inside)


def _growth(before: Computed, last: Computed, noise: float) -> Tensor:
    """By what lambda grows from the last product to this noise: log lambda as a line in log s, by 1 at most."""
    shown = [known.product.clamp(EDGE, 1 - EDGE) for known in (before, last)]
    telling = (shown[0] == before.product) & (shown[1] == last.product)
    slope = 2 + (shown[1].logit() - shown[0].logit()) / math.log(last.noise / before.noise)
    return torch.where(telling, slope * math.log(noise / last.noise), 0.0).clamp(-1, 1).exp()


def _extrapolate_row_sum(computed: Sequence[Computed], gap: Tensor, noise: float) -> Tensor:
    last = computed[-1]
    ratio = (noise / last.noise) ** 2
    if len(computed) > 1 and noise > 0:
        return _at_noise(last.product, ratio / _growth(computed[-2], last, noise))
    return _at_noise(last.product, ratio)


def _extrapolate_directional(computed: Sequence[Computed], gap: Tensor, noise: float) -> Tensor:
    """J is known along g only. Two Lanczos steps, their diagonal entries set equal, give two modes."""
    former, axes = computed[-1], _flat_axes(gap)
    before = former.gap
    assert before is not None
    square = before.square().sum(axes, keepdim=True)
    mean = ((former.product * before).sum(axes, keepdim=True) / square).nan_to_num(0.0)
    rest = former.product - mean * before
    spread = (torch.linalg.vector_norm(rest, dim=axes, keepdim=True) / square.sqrt()).nan_to_num(0.0)
    ratio = (noise / former.noise) ** 2
    high, low = _at_noise(mean + spread, ratio), _at_noise(mean - spread, ratio)
    along = ((gap * before).sum(axes, keepdim=True) / square).nan_to_num(0.0)
    turn = torch.where(spread > 0, (high - low) / (2 * spread), torch.zeros_like(spread))
    return (high + low) / 2 * gap + along * turn * rest


FORMS: dict[str, Form] = {
    # sqrt(c / a) is as large as G; c / b keeps more of G along g. Which is better was measured: docs/cost.md.
    "row-sum": Form(False, _row_sum, _extrapolate_row_sum, _uniform_row_sum, lambda a, b, c: math.sqrt(c / a)),
    "directional": Form(True, _directional, _extrapolate_directional, operator.mul, lambda a, b, c: c / b),
}


class RectifiedPair(NamedTuple):
    """A conditional prediction and the unconditional one that REG puts in place of the model's, ``[batch, ...]``."""

    conditional: Tensor
    unconditional: Tensor
    product: Tensor | None
    """``alpha * J^T v`` as estimated: the factor R itself for ``row-sum``; None where strength 0 needs none."""

    def guided(self, weight: Tensor | float) -> Tensor:
        """CFG on the pair: ``D_u' + w (D_c - D_u')``, which is D_reg; w broadcasts to ``[batch, ...]``."""
        return self.unconditional + (self.conditional - self.unconditional) * weight

    def growth(self, unconditional: Tensor) -> float:
        """How many times as large the guidance is as without REG, ``|D_c - D_u'| / |D_c - D_u|``, over the batch.

        Not finite where the pair is not; 0 where there is no guidance.
        """
        sizes = [
            torch.linalg.vector_norm((self.conditional - part).float()) for part in (self.unconditional, unconditional)
        ]
        after, before = torch.stack(sizes).tolist()
        return after / before if before > 0 else after


@dataclass(frozen=True)
class Rectification:
    """How guidance is rectified: form of the correction, estimator of its Jacobian product, strength, limit.

    ``strength`` s blends, ``R_s = 1 + s (R - 1)``: 0 is plain CFG bit for bit, 1 is REG. ``limit`` bounds |R| (row-sum)
    or the growth of each sample's guidance norm (directional); None, the paper, is no bound. Raises ValueError for an
    unknown form or estimator, for a strength beyond 1e6 and for a limit that is not positive.
    """

    strength: float = 1.0
    form: str = "row-sum"
    estimator: str | Estimator = "reverse"
    limit: float | None = None

    def __post_init__(self) -> None:
        lookup(FORMS, self.form, "form")
        if isinstance(self.estimator, str):
            lookup(ESTIMATORS, self.estimator, "estimator")
        elif not callable(self.estimator):
            raise ValueError(f"REG: estimator must be a name or a function; got {shown(self.estimator)}")
        object.__setattr__(self, "strength", number(self.strength, "strength (0 is CFG, 1 is REG)"))
        if self.limit is not None:
            limit = number(self.limit, "limit (None is no limit)", high=math.inf, above=0)
            object.__setattr__(self, "limit", limit)

    def unconditional(self, conditional: Tensor, unconditional: Tensor, product: Tensor) -> Tensor:
        """The rectified unconditional prediction ``D_u' = D_c - (g + s (G - g))``; the same tensor if strength is 0."""
        if self.strength == 0:
            return unconditional
        gap = conditional - unconditional
        rectified = FORMS[self.form].rectify(product, gap, self.limit)
        return conditional - (rectified if self.strength == 1 else gap + self.strength * (rectified - gap))

    def rectified(self, conditional: Tensor, unconditional: Tensor, product: Tensor) -> RectifiedPair:
        """The rectified pair of two predictions and a product that is known."""
        return RectifiedPair(conditional, self.unconditional(conditional, unconditional, product), product)

    def pair(
        self,
        denoiser: Denoiser,
        x: Tensor,
        unconditional: Tensor | Callable[[], Tensor],
        alpha: Tensor | float = 1.0,
        conditional: Tensor | None = None,
    ) -> RectifiedPair:
        """The rectified pair at ``x [batch, ...]``; ``denoiser`` is the conditional one, D_u and maybe D_c are known.

        ``unconditional`` may be a function that gives D_u once the denoiser has been evaluated. Cost: that of the
        estimator; none beyond the conditional prediction if strength is 0.
        """
        given = (lambda: unconditional) if isinstance(unconditional, Tensor) else unconditional
        if self.strength == 0:
            conditional = denoiser(x.clone()) if conditional is None else conditional
            return RectifiedPair(conditional, given(), None)
        conditional, product = self.product(denoiser, x, given, alpha, conditional)
        return self.rectified(conditional, given(), product)

    def product(
        self,
        denoiser: Denoiser,
        x: Tensor,
        unconditional: Callable[[], Tensor],
        alpha: Tensor | float = 1.0,
        conditional: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """D_c and ``alpha * J^T v`` at ``x [batch, ...]``; D_u is asked for only where the form needs the gap.

        Cost: that of the estimator.
        """
        estimator = ESTIMATORS[self.estimator] if isinstance(self.estimator, str) else self.estimator
        direction = FORMS[self.form].direction(x, unconditional)
        return estimator(denoiser, x, direction, alpha, conditional)


def guide(
    conditional: Denoiser,
    unconditional: Denoiser,
    x: Tensor,
    weight: Tensor | float,
    alpha: Tensor | float = 1.0,
    rectification: Rectification = Rectification(),
) -> Tensor:
    """The guided denoised prediction ``D_reg`` at ``x [batch, ...]`` from two plain denoisers, without a graph.

    ``D_reg = D_c + (w - 1) R (D_c - D_u)``; ``alpha`` is the signal scale of the state at this noise level; both are
    numbers or broadcast to x. Source: arXiv 2501.18865. Cost with ``reverse``: two evaluations and one backward pass.
    Raises ValueError for an x that is no dense floating-point tensor and for numbers that are none or beyond 1e6.
    """
    check_sample(x)
    weight = weight if isinstance(weight, Tensor) else number(weight, "weight")
    alpha = alpha if isinstance(alpha, Tensor) else number(alpha, "alpha")
    with torch.no_grad():
        return rectification.pair(conditional, x, unconditional(x.clone()), alpha).guided(weight)
