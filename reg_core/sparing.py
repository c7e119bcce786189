"""When D_u is left out: where so little guidance is let through that it hardly matters which.

The gap ``g = D_c - D_u`` changes slowly with the noise: on the playground model by a fifth from step to step of 20
where the factor is small. Where REG lets through a tenth of it, the gap of a step or two before does.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import Tensor

BLIND = 0.02
"""Factor up to which G is taken for 0 where no gap is known: what a step changes by that does not show."""
MOST = 0.5
"""Factor above which D_u is never left out."""


@dataclass
class Sparing:
    """The last gap of a run. ``tolerance`` is how far, as a share of the guidance, the rectified one may be off.

    0 leaves D_u out only where the factor is 0, so that the prediction is the same without it.
    """

    tolerance: float
    gap: Tensor | None = None
    _noise: float = math.inf

    def keep(self, noise: float, gap: Tensor) -> None:
        """The gap ``[batch, ...]`` of two predictions that were made at this noise-to-signal ratio."""
        if self.tolerance > 0:
            self.gap, self._noise = gap, noise

    def forget(self) -> None:
        """The gap is of no use any more."""
        self.gap = None

    def allows(self, size: float, noise: float) -> bool:
        """Whether D_u may be left out where ``|G| / |g|`` is ``size``; False for one that is no number.

        A gap changes by about the logarithm of the noise in its size, so that none serves where there is no noise.
        """
        if self.tolerance == 0 or self.gap is None:
            return size <= (BLIND if self.tolerance else 0.0)
        if not (self._noise > 0 and noise > 0):
            return False
        return size <= MOST and size * abs(math.log(self._noise / noise)) <= self.tolerance
