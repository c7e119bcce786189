"""What rectification did over one sampler run, step by step: numbers, pictures and a table."""

from __future__ import annotations

import csv
import io
import math
from dataclasses import dataclass, field, fields
from typing import NamedTuple

from torch import Tensor

COMPUTED, EXTRAPOLATED, PURE_NOISE = "computed", "extrapolated", "pure noise"
OUTSIDE, UNGUIDED, SEPARATE, UNUSABLE = "outside", "unguided", "separate", "unusable"
RECTIFIED = (COMPUTED, EXTRAPOLATED, PURE_NOISE)
"""States of a step: the product was computed, extrapolated, or 0 for pure noise; REG was out of its range, there was no
guidance to rectify (w = 1), the two predictions were asked for one at a time, or there was no usable product."""

NEGLIGIBLE = 0.02
"""A change of the guidance that does not show: within it, a step counts as plain CFG."""


def finite(value: float | None) -> float | None:
    """The number itself; None for NaN and infinity, which JSON does not have."""
    return value if value is not None and math.isfinite(value) else None


@dataclass(frozen=True)
class Step:
    """One step. Norms are root mean squares over the latent; the factor is ``<G, g> / <g, g>`` over channels."""

    percent: float
    """Sampling percent, 0 the noisiest."""
    sigma: float
    """Noise level as the model counts it."""
    state: str
    weight: float | None = None
    """Guidance weight w that was asked for."""
    mean: float | None = None
    """Factor over the whole latent, each place weighted by its squared guidance, as are the quantiles."""
    low: float | None = None
    high: float | None = None
    """5 % and 95 % quantiles of the factor over places."""
    min: float | None = None
    max: float | None = None
    before: float | None = None
    """Norm of the guidance ``g = D_c - D_u``."""
    after: float | None = None
    """Norm of the rectified guidance ``G``."""
    change: float | None = None
    """``|G - g| / |g|``; None where g is rounding error only."""
    seconds: float | None = None

    @property
    def effective(self) -> float | None:
        """The weight that plain CFG would need for as much guidance: ``1 + (w - 1) <G, g> / <g, g>``."""
        if self.weight is None:
            return None
        if self.state not in RECTIFIED or self.mean is None:
            return self.weight
        return 1 + (self.weight - 1) * self.mean

    def row(self) -> dict[str, float | str | None]:
        """The fields and ``effective``; its numbers are finite or None."""
        values = {name: getattr(self, name) for name in COLUMNS}
        return {name: value if isinstance(value, str) else finite(value) for name, value in values.items()}


COLUMNS = (*(entry.name for entry in fields(Step)), "effective")


class Picture(NamedTuple):
    """One step to look at, of the first sample and, of a video, its middle frame."""

    percent: float
    factor: Tensor
    """Of ``places``, ``[height, width]``; nan where there is no guidance."""
    preview: Tensor
    """RGB in [0, 1], ``[height, width, 3]``, of whatever size."""
    latent: Tensor
    """The conditional prediction, ``[1, channels, ...]``, for a VAE to decode."""


@dataclass
class Trace:
    """The steps of one run in order; ``total`` is how many the sampler has announced, 0 where it does not tell.

    ``how`` says by which settings, ``source`` which node rectified, ``missing`` why there is no run to speak of, and
    ``broken`` at which sampling percents the numbers were not finite. ``altered`` is how far the guidance that the
    sampler received was from the rectified one, ``|H - G| / |G|`` over the run, where another node came in between, and
    0 where none did; ``undone`` that it was the guidance before rectification.
    """

    total: int = 0
    how: str = ""
    source: str | None = None
    missing: str = ""
    altered: float = 0.0
    undone: bool = False
    broken: list[float] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)
    pictures: list[Picture] = field(default_factory=list)

    @property
    def changed(self) -> list[Step]:
        """The steps whose guidance was changed and not mere rounding error."""
        return [step for step in self.steps if step.change is not None and step.state in RECTIFIED]

    def rows(self) -> list[dict[str, float | str | None]]:
        """The row of each step."""
        return [step.row() for step in self.steps]

    def table(self) -> str:
        """The rows as comma-separated values with a header line; numbers to six digits, empty where there is none."""
        text = io.StringIO()
        writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
        writer.writeheader()
        for row in self.rows():
            writer.writerow(
                {name: f"{value:.6g}" if isinstance(value, float) else value for name, value in row.items()}
            )
        return text.getvalue()
