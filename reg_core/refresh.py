"""When the Jacobian product of a run is computed anew, and how the last one is extrapolated to the steps between.

A Jacobian is costly and changes slowly. Where each mode of the data has variance ``lambda``, the Jacobian of the ideal
denoiser is ``lambda / (lambda + s^2)`` there, s the noise-to-signal ratio, which says how a factor moves with s.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor

from .rectification import FORMS, Computed
from .sparing import BLIND, MOST, Sparing
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
    size: float | None = None
    """``|G| / |g|`` here, as extrapolated or measured before; None where it is not known, or the policy needs none."""
    computed_size: float = 0.0
    """What it was at the last product."""
    spent: int = 0
    """Products so far, less the evaluations that went without D_u: what was spent beyond CFG, in halves of its step."""


@dataclass(frozen=True)
class RefreshPolicy(ABC):
    """Says at which evaluations the product is computed. A policy is a subclass and a line of ``REFRESHES``."""

    sparing: float = field(default=0.0, kw_only=True)
    """How far the rectified guidance may be off where D_u is left out, as a share of the guidance (``Sparing``)."""
    needs_measured: ClassVar[bool] = False
    """It cannot do without a factor that was measured before."""
    follows_size: ClassVar[bool] = False
    """It asks for ``Moment.size``."""

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


@dataclass(frozen=True)
class ByFactor(RefreshPolicy):
    """At the first noise, and then whenever the factor has moved by ``move`` or the noise has fallen by ``ratio``.

    Both are for a run of 20 steps; n steps have sqrt(n / 20) times as many products. The first product shows how much
    guidance the model bears there, and from where on it bears more. Below the ratio ``lowest`` the factor hardly moves.
    With ``earned`` each further product waits for an evaluation that went without D_u, and beyond 20 steps for a few
    more, so that a run from pure noise takes what CFG takes, and 0.97 of it at 50 steps.
    """

    move: float
    ratio: float
    lowest: float = 0.5
    earned: bool = False
    follows_size = True

    def due(self, moment: Moment) -> bool:
        if moment.size is None:
            return True
        if self.earned and moment.computed is not None and not self._affords(moment):
            return False
        finer = math.sqrt(20 / len(moment.planned)) if moment.planned else 1.0
        if abs(moment.size - moment.computed_size) >= self.move * finer:
            return moment.computed is None or moment.noise >= self.lowest
        if moment.computed is None:
            return False
        if math.isinf(moment.before):
            return True
        return moment.size > MOST and self.lowest <= moment.noise <= SAME * moment.computed / self.ratio**finer

    def _affords(self, moment: Moment) -> bool:
        """Whether a further product is earned; a run in which nothing can be left out, as one from an image, has 3."""
        return 0 < moment.spent < 3 or moment.spent < -max(0, len(moment.planned) - 20) / 10


@dataclass(frozen=True)
class Never(RefreshPolicy):
    """No product: the factor that was measured in an earlier run, everywhere alike."""

    needs_measured = True

    def due(self, moment: Moment) -> bool:
        return False


BY_NOISE = "by noise"
EVERY_STEP = "every step"
AS_CFG = "as CFG"
REFRESHES: dict[str, RefreshPolicy] = {
    EVERY_STEP: EveryNth(1),
    "best": ByFactor(0.2, 2.6, sparing=0.1),
    AS_CFG: ByFactor(0.25, 2.2, earned=True, sparing=0.35),
    "free": Never(sparing=0.2),
    "every 2 steps": EveryNth(2),
    "every 3 steps": EveryNth(3),
    "every 4 steps": EveryNth(4),
    BY_NOISE: ByNoise(),
}


@dataclass
class Refresh:
    """The last Jacobian product of one run; ``policy`` is a name of REFRESHES. Raises ValueError for any other.

    Not exact between two products, nor where D_u is left out. Measured on the playground model, 20 Euler steps, w = 3,
    share of the effect of REG on the final samples that is kept, row-sum and directional: ``as CFG`` 92 and 81 %,
    ``best`` 94 and 85 %, ``by noise`` 95 and 90 %, ``every 2 steps`` 98 and 96 %, ``every 3 steps`` 96 and 91 %,
    ``every 4 steps`` 93 and 87 %; ``free`` 76 and 57 %.
    """

    policy: str
    form: str
    planned: Sequence[float] = ()
    """The noise-to-signal ratios of the steps to come that are to be rectified; none if not known."""
    measured: Callable[[float], float] | None = None
    """``noise-to-signal ratio -> factor``, from an earlier run: what holds until the first product."""
    _computed: list[Computed] = field(default_factory=list)
    _computed_size: float = 0.0
    _asked_size: float | None = None
    _before: float = math.inf
    _index: int = 0
    _lost: bool = False
    _spent: int = 0

    sparing: Sparing = field(init=False)

    def __post_init__(self) -> None:
        lookup(FORMS, self.form, "form")
        self.sparing = Sparing(lookup(REFRESHES, self.policy, "refresh").sparing)
        if self._policy.needs_measured and self.measured is None:
            raise ValueError(
                f"REG: refresh '{self.policy}' follows a factor that was measured before; got none. "
                f"Give a measured schedule, or choose '{AS_CFG}'."
            )

    def due(self, noise: float, shape: Sequence[int]) -> bool:
        """Whether the product has to be computed at this evaluation of samples ``shape``; called once for each."""
        if self._computed and self._computed[-1].product.shape != torch.Size(shape):
            self._computed, self._lost = [], True
            self.sparing.forget()
        before = math.inf if noise > SAME * self._before else self._before
        computed = self._computed[-1].noise if self._computed else None
        size = self._asked_size = self._size(noise) if self._policy.follows_size else None
        state = self._lost, self._index, self.planned, size, self._computed_size, self._spent
        due = self._policy.due(Moment(noise, before, computed, *state))
        self._before, self._lost, self._index = noise, False, self._index + 1
        self._spent += due
        return due

    def spared(self) -> None:
        """D_u was left out at this evaluation."""
        self._spent -= 1

    @property
    def _policy(self) -> RefreshPolicy:
        return REFRESHES[self.policy]

    def _size(self, noise: float) -> float | None:
        """``|G| / |g|`` as extrapolated to this noise, for the gap that was there at the last product."""
        if not self._computed:
            return None if self.measured is None else self.measured(noise)
        form, last = FORMS[self.form], self._computed[-1]
        product = form.extrapolate(self._computed, last.product if last.gap is None else last.gap, noise)
        return form.size(product, last.gap)

    def spares(self, noise: float) -> bool:
        """Whether D_u may be left out at this evaluation, for which ``due`` has just said that no product is.

        Before the first product, and where no factor was measured before, it may: G is 0, its limit in pure noise.
        """
        if self._computed and not self._policy.sparing:
            return False
        size = self._asked_size if self._policy.follows_size else self._size(noise)  # it costs a transfer
        return self.sparing.allows(size or 0.0, noise)

    def spares_with(self, product: Tensor) -> bool:
        """Whether D_u may be left out at this evaluation, whose product was computed without it."""
        form = FORMS[self.form]
        return self._policy.sparing > 0 and not form.needs_gap and form.size(product, self.sparing.gap) <= BLIND

    def keep(self, noise: float, gap: Tensor | None, product: Tensor) -> None:
        """The product ``[batch, ...]`` that was computed at this noise-to-signal ratio, for this gap ``D_c - D_u``.

        A form that needs no gap may have been computed without D_u.
        """
        if noise > 0:  # without noise there is nothing to extrapolate from
            former = [kept for kept in self._computed[-1:] if kept.noise > SAME * noise]
            self._computed = [*former, Computed(noise, gap, product)]
            if self._policy.follows_size:
                self._computed_size = FORMS[self.form].size(product, gap)

    def forget(self) -> None:
        """The last product turned out to be unusable: the next evaluation computes one, whatever the noise."""
        self._computed, self._index, self._lost = [], 0, True
        self.sparing.forget()

    def extrapolated(self, noise: float, gap: Tensor) -> Tensor:
        """The product for this gap at this noise-to-signal ratio.

        Before the first it is that of the factor which was measured before, or else 0, its limit in pure noise.
        """
        if math.isinf(noise) or not (self._computed or self.measured):
            return torch.zeros_like(gap)
        if not self._computed:
            assert self.measured is not None
            return FORMS[self.form].uniform(self.measured(noise), gap)
        return FORMS[self.form].extrapolate(self._computed, gap, noise)
