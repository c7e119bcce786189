"""What arrives at the sampler where pre-CFG functions of other nodes come between it and REG."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ...reg_core.trace import NEGLIGIBLE


@dataclass
class Reception:
    """Compares the guidance ``D_c - D_u`` that REG hands on with the one that arrives, over the steps of a run.

    Cost per step: two tensors of the size of a prediction are kept meanwhile, and one transfer from the device.
    """

    _moved: float = 0.0
    _size: float = 0.0
    _changed: int = 0
    _undone: int = 0
    _before: Tensor | None = None
    _handed: Tensor | None = None

    @property
    def altered(self) -> float:
        """``|H - G| / |G|`` of the guidance H that arrived and the rectified one G, over the run; 1 where G is 0."""
        return self._moved / (self._size or self._moved or 1.0)

    @property
    def undone(self) -> bool:
        """Whether nothing of the rectification arrived, wherever it did something."""
        return 0 < self._changed == self._undone

    def rectified(self, before: Tensor, alone: bool) -> None:
        """Note the guidance before rectification, where it is that of the whole step and not of a part."""
        self._before = before if alone else None

    def hand_on(self, predictions: Sequence[Tensor]) -> None:
        """What REG hands on; a copy, for others may write into the predictions."""
        self._handed = predictions[0] - predictions[1]

    def receive(self, predictions: Sequence[Tensor]) -> None:
        """What arrives."""
        handed, before, self._handed, self._before = self._handed, self._before, None, None
        if handed is None:
            return
        arrived = predictions[0] - predictions[1]
        before = handed if before is None else before
        parts = (handed, before, arrived - handed, before - handed, arrived - before, *predictions[:2])
        norms = torch.stack([torch.linalg.vector_norm(part.float()) for part in parts])
        if not bool(norms.isfinite().all()):
            return
        size, plain, moved, change, left, prediction, negative = norms.tolist()
        self._size += size
        if moved > 16 * torch.finfo(handed.dtype).eps * prediction:  # more than rounding
            self._moved += moved
        if change > NEGLIGIBLE * plain:
            self._changed += 1
            self._undone += negative == 0 or left <= NEGLIGIBLE * plain < moved
