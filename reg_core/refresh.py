"""When the Jacobian product of a run is computed anew, and how the last one is extrapolated to the steps between.

A Jacobian is costly and changes slowly. Where each mode of the data has variance ``lambda``, the Jacobian of the ideal
denoiser is ``lambda / (lambda + s^2)`` there, s the noise-to-signal ratio, which says how a factor moves with s.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor

from .rectification import FORMS, Computed
from .table import lookup

SAME = 1.001
"""Two noise-to-signal ratios closer than this are one."""


class Moment(NamedTuple):
    """Where a run is when a policy is asked whether to compute the product. Noises are noise-to-signal ratios."""

    noise: float
    before: float
    """Of the evaluation before; infinite at the first, and where noise was added, so that a part comes again."""
    computed: float | None
    """Of the last product; None where there is none to extrapolate."""
    lost: bool
    """The last product turned out to be unusable, or is of another shape."""
    evaluations: int
    """How many there were before."""
    planned: Sequence[float]
    """Of the run's steps that are to be rectified, falling; none where the sampler does not say."""


@dataclass(frozen=True)
class RefreshPolicy(ABC):
    """Says at which evaluations the product is computed. A policy is a subclass and a line of ``REFRESHES``."""

    @abstractmethod
    def due(self, moment: Moment) -> bool:
        """Whether the product has to be computed at this evaluation; asked once for each."""


@dataclass(frozen=True)
class EveryNth(RefreshPolicy):
    """At the first evaluation and every ``steps`` after it."""

    steps: int

    def due(self, moment: Moment) -> bool:
        return moment.computed is None or moment.evaluations % self.steps == 0


@dataclass(frozen=True)
class ByNoise(RefreshPolicy):
    """At few levels, evenly spaced in log s between the highest and the lowest ratio in ``[lowest, highest]``.

    There the factor moves in ways that have to be measured. ``density`` is the number of products per square root of
    the steps: 3 of 4, 6 of 20, 10 of 50; tuned on the playground model, checked on Gaussian mixtures. ``unplanned`` is
    how far the ratio falls until the next product where the steps are not known.
    """

    lowest: float = 0.3
    highest: float = 30.0
    density: float = 1.4
    unplanned: float = 2.5

    def products(self, steps: int) -> int:
        """How many products a run of this many steps computes."""
        return max(1, round(self.density * math.sqrt(steps)))

    def levels(self, noises: Sequence[float]) -> list[float]:
        """The ratios at which to compute the product in a run with these ``noises``, one per step, falling.

        A run that lies outside the range has one level, its highest finite.
        """
        finite = [noise for noise in noises if 0 < noise < math.inf]
        active = [noise for noise in finite if self.lowest <= noise <= self.highest]
        active = active or [max(finite, default=self.highest)]
        count = min(self.products(len(noises)), len(active))
        top, bottom = max(active), min(active)
        return [top * (bottom / top) ** (index / count) for index in range(count)]

    def due(self, moment: Moment) -> bool:
        if moment.planned:
            return moment.lost or any(
                moment.noise <= SAME * level < moment.before for level in self.levels(moment.planned)
            )
        if moment.computed is None:
            return moment.noise <= self.highest
        return self.lowest <= moment.noise <= min(self.highest, moment.computed / self.unplanned)


BY_NOISE = "by noise"
EVERY_STEP = "every step"
REFRESHES: dict[str, RefreshPolicy] = {
    EVERY_STEP: EveryNth(1),
    "every 2 steps": EveryNth(2),
    "every 3 steps": EveryNth(3),
    "every 4 steps": EveryNth(4),
    BY_NOISE: ByNoise(),
}


@dataclass
class Refresh:
    """The last Jacobian product of one run; ``policy`` is a name of REFRESHES. Raises ValueError for any other.

    Not exact between two products. Measured on the playground model, 20 Euler steps, w = 3, share of the effect of REG
    on the final samples that is kept: ``by noise`` (6 products) 95 % for row-sum and 91 % for directional, ``every 2
    steps`` 98 and 96 %, ``every 3 steps`` 95 and 91 %, ``every 4 steps`` 93 % for row-sum. For 8 to 50 steps ``by
    noise`` keeps 95 to 96 and 90 to 93 %; on a Gaussian mixture in 16 dimensions, 24 steps, 98 and 97 %.
    """

    policy: str
    form: str
    planned: Sequence[float] = ()
    """The noise-to-signal ratios of the steps to come that are to be rectified; none if not known."""
    _computed: list[Computed] = field(default_factory=list)
    _before: float = math.inf
    _index: int = 0
    _lost: bool = False

    def __post_init__(self) -> None:
        lookup(REFRESHES, self.policy, "refresh")
        lookup(FORMS, self.form, "form")

    def due(self, noise: float, shape: Sequence[int]) -> bool:
        """Whether the product has to be computed at this evaluation of samples ``shape``; called once for each."""
        if self._computed and self._computed[-1].product.shape != torch.Size(shape):
            self._computed, self._lost = [], True
        before = math.inf if noise > SAME * self._before else self._before
        computed = self._computed[-1].noise if self._computed else None
        moment = Moment(noise, before, computed, self._lost, self._index, self.planned)
        self._before, self._lost, self._index = noise, False, self._index + 1
        return REFRESHES[self.policy].due(moment)

    def keep(self, noise: float, gap: Tensor, product: Tensor) -> None:
        """The product ``[batch, ...]`` that was computed at this noise-to-signal ratio, for this gap ``D_c - D_u``."""
        if noise > 0:  # without noise there is nothing to extrapolate from
            former = [kept for kept in self._computed[-1:] if kept.noise > SAME * noise]
            self._computed = [*former, Computed(noise, gap, product)]

    def forget(self) -> None:
        """The last product turned out to be unusable: the next evaluation computes one, whatever the noise."""
        self._computed, self._index, self._lost = [], 0, True

    def extrapolated(self, noise: float, gap: Tensor) -> Tensor:
        """The product for this gap at this noise-to-signal ratio; before the first it is 0, its limit in pure noise."""
        if not self._computed or math.isinf(noise):
            return torch.zeros_like(gap)
        return FORMS[self.form].extrapolate(self._computed, gap, noise)
