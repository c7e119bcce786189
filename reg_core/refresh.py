"""When the Jacobian product of a run is taken anew, and what stands in between: the last one, carried along.

A Jacobian is costly and changes slowly. Where each mode of the data has variance ``lambda``, the Jacobian of the ideal
denoiser is ``lambda / (lambda + s^2)`` there, s the noise-to-signal ratio, which says how a factor moves with s.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from .rectification import FORMS, Taken
from .table import lookup

BY_NOISE = "by noise"
EVERY_STEP = "every step"
REFRESHES: dict[str, int | None] = {
    EVERY_STEP: 1,
    "every 2 steps": 2,
    "every 3 steps": 3,
    "every 4 steps": 4,
    BY_NOISE: None,
}

# Noise-to-signal ratios between which the factor moves in ways that have to be measured, and how many products a run
# takes per square root of its steps; tuned on the playground model, checked on Gaussian mixtures.
LOWEST, HIGHEST, DENSITY = 0.3, 30.0, 1.4
UNPLANNED = 2.5  # where the steps are not known: how far the ratio falls until the factor is measured again
SAME = 1.001  # two ratios closer than this are one


def products_by_noise(steps: int) -> int:
    """How many products a run of this many steps takes: 3 of 4, 6 of 20, 10 of 50."""
    return max(1, round(DENSITY * math.sqrt(steps)))


def levels_by_noise(noises: Sequence[float]) -> list[float]:
    """Noise-to-signal ratios at which to take the product in a run with these ``noises``, one per step, falling.

    Evenly spaced in log s between the highest and the lowest of them in [0.3, 30]. A run that lies outside has one
    level, its highest finite.
    """
    finite = [noise for noise in noises if 0 < noise < math.inf]
    active = [noise for noise in finite if LOWEST <= noise <= HIGHEST] or [max(finite, default=HIGHEST)]
    count = min(products_by_noise(len(noises)), len(active))
    top, bottom = max(active), min(active)
    return [top * (bottom / top) ** (index / count) for index in range(count)]


@dataclass
class Refresh:
    """The last Jacobian product of one run; ``every`` is one of REFRESHES. Raises ValueError for any other.

    Not exact between two products. Measured on the playground model, 20 Euler steps, w = 3, share of the effect of REG
    on the final samples that is kept: ``by noise`` (6 products) 95 % for row-sum and 91 % for directional, ``every 2
    steps`` 98 and 96 %, ``every 3 steps`` 95 and 91 %, ``every 4 steps`` 93 % for row-sum. For 8 to 50 steps ``by
    noise`` keeps 95 to 96 and 90 to 93 %; on a Gaussian mixture in 16 dimensions, 24 steps, 98 and 97 %.
    """

    every: str
    form: str
    _levels: list[float] | None = None
    _waiting: list[float] | None = None
    _last: float = math.inf
    _evaluations: int = 0
    _taken: list[Taken] = field(default_factory=list)

    def __post_init__(self) -> None:
        lookup(REFRESHES, self.every, "refresh")
        lookup(FORMS, self.form, "form")

    def plan(self, noises: Sequence[float]) -> None:
        """The noise-to-signal ratios of the steps to come, as far as they are to be rectified; none if not known."""
        self._levels = levels_by_noise(noises) if noises else None

    def due(self, noise: float, shape: Sequence[int]) -> bool:
        """Whether the product has to be taken at this evaluation of samples ``shape``; called once for each."""
        changed = bool(self._taken) and self._taken[-1].product.shape != torch.Size(shape)
        if changed:
            self._taken = []
        steps = REFRESHES[self.every]
        if steps is not None:
            self._evaluations += 1
            return not self._taken or (self._evaluations - 1) % steps == 0
        if self._levels is None:  # a sampler that does not say what is to come
            return noise <= HIGHEST and (not self._taken or LOWEST <= noise <= self._taken[-1].noise / UNPLANNED)
        if self._waiting is None or noise > SAME * self._last:  # noise was added: this part of the run comes again
            self._waiting = self._levels
        due = changed or any(noise <= SAME * level for level in self._waiting)
        self._waiting = [level for level in self._waiting if noise > SAME * level]
        self._last = noise
        return due

    def keep(self, noise: float, gap: Tensor, product: Tensor) -> None:
        """The product ``[batch, ...]`` that was taken at this noise-to-signal ratio, for this gap ``D_c - D_u``."""
        if noise > 0:  # without noise there is nothing to carry it from
            self._taken = [*(t for t in self._taken[-1:] if t.noise > SAME * noise), Taken(noise, gap, product)]

    def forget(self) -> None:
        """The last product turned out to be unusable: the next evaluation takes one anew, whatever the noise."""
        self._taken, self._evaluations, self._waiting = [], 0, [math.inf, *(self._waiting or ())]

    def carried(self, noise: float, gap: Tensor) -> Tensor:
        """The product for this gap at this noise-to-signal ratio; before the first it is 0, its limit in pure noise."""
        if not self._taken or math.isinf(noise):
            return torch.zeros_like(gap)
        return FORMS[self.form].carry(self._taken, gap, noise)
