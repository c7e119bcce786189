"""What rectification did over one sampler run, step by step: numbers, pictures and a table."""

from __future__ import annotations

import csv
import io
import math
from dataclasses import dataclass, field, fields
from typing import NamedTuple

from torch import Tensor

COMPUTED, EXTRAPOLATED, PURE_NOISE, CONDITIONAL = "computed", "extrapolated", "pure noise", "conditional only"
OUTSIDE, UNGUIDED, SEPARATE, UNUSABLE = "outside", "unguided", "separate", "unusable"
RECTIFIED = (COMPUTED, EXTRAPOLATED, PURE_NOISE, CONDITIONAL)
"""States of a step: the product was computed, extrapolated, or 0 for pure noise, or it left so little guidance that the
conditional prediction alone was evaluated; REG was out of its range, there was no guidance to rectify (w = 1), the two
predictions were asked for one at a time, or there was no usable product."""

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
    """Norm of the guidance ``g = D_c - D_u``; also known outside the range of REG."""
    after: float | None = None
    """Norm of the rectified guidance ``G``, which is g outside."""
    change: float | None = None
    """``|G - g| / |g|``; None where g is rounding error only."""
    seconds: float | None = None
    noise: float | None = None
    """Noise-to-signal ratio; infinite in pure noise."""
    cost: float | None = None
    """Compute, counted in steps of CFG: 0.5 for each row that was evaluated, and 0.5 for its backward pass."""

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


def square_sums(step: Step) -> tuple[float, float, float] | None:
    """``<g, g>``, ``<G, g>`` and ``<G, G>`` of a step, per element; None where there is no guidance."""
    if step.before is None or step.after is None or step.mean is None:
        return None
    square = step.before**2
    return square, step.mean * square, step.after**2


LATER = ("noise", "cost")
COLUMNS = (*(entry.name for entry in fields(Step) if entry.name not in LATER), "effective", *LATER)
"""Of the table, in the order in which they came to it."""


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

    ``how`` says by which settings, ``form`` by which form, ``source`` which node rectified, ``missing`` why there is no
    run to speak of, and ``broken`` at which sampling percents the numbers were not finite. ``altered`` is how far the
    guidance that the sampler received was from the rectified one, ``|H - G| / |G|`` over the run, where another node
    came in between, and 0 where none did; ``undone`` that it was the guidance before rectification.
    ``strength`` is that of REG, ``scheduled`` says that a schedule set the weight, ``repeated`` that this REG took the
    place of another.
    """

    total: int = 0
    how: str = ""
    form: str = ""
    source: str | None = None
    missing: str = ""
    altered: float = 0.0
    undone: bool = False
    strength: float = 1.0
    scheduled: bool = False
    repeated: bool = False
    broken: list[float] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)
    pictures: list[Picture] = field(default_factory=list)

    @property
    def changed(self) -> list[Step]:
        """The steps whose guidance was changed and not mere rounding error."""
        rectified = [step for step in self.steps if step.state in RECTIFIED]
        changed = [step for step in rectified if step.change is not None]
        # Where D_u was left out from the start the guidance is not known; the other steps say if there is any.
        seen = [step for step in rectified if step.before is not None]
        return changed if not seen or any(step.change is not None for step in seen) else []

    @property
    def weight(self) -> float:
        """The guidance weight of the steps that were changed, the highest where it varied; 1 where it is not known."""
        return max((step.weight for step in self.changed if step.weight is not None), default=1.0)

    @property
    def cost(self) -> float | None:
        """The compute of the run, counted in that of CFG; None where it is not known of every step."""
        costs = [step.cost for step in self.steps if step.cost is not None]
        return sum(costs) / len(costs) if costs and len(costs) == len(self.steps) else None

    @property
    def local(self) -> float | None:
        """The share of the rectified guidance that no schedule can reproduce, ``1 - b^2 / (a c)`` weighted by c.

        a = <g, g>, b = <G, g>, c = <G, G>, each summed over the latent: 0 where G is g times one factor. None where
        nothing was rectified.
        """
        sums = [square_sums(step) for step in self.changed]
        known = [(b * b / a, c) for a, b, c in filter(None, sums) if c > 0]
        total = sum(c for _, c in known)
        return 1 - sum(alike for alike, _ in known) / total if total else None

    @property
    def matched(self) -> float | None:
        """The weight of plain CFG that is about as strong as the run: ``1 + sqrt(sum (w - 1)^2 c / sum a)``.

        a = <g, g> and c = <G, G> of each step, c = a where REG left it as it was; a step whose a is not known has that
        of the nearest one. None where no step shows its weight. Cost: none.
        """
        steps = [step for step in self.steps if step.weight is not None]
        known = [(index, step.before**2) for index, step in enumerate(steps) if step.before is not None] or [(0, 1.0)]
        total = given = 0.0
        for index, step in enumerate(steps):
            square = min(known, key=lambda entry: abs(entry[0] - index))[1]
            excess = (step.weight or 0.0) - 1
            total += square
            given += excess * abs(excess) * (square if step.after is None else step.after**2)
        return 1 + math.copysign(math.sqrt(abs(given) / total), given) if total else None

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
