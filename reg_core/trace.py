"""What rectification did over one sampler run, step by step: numbers, the sentence they come to, and a table."""

from __future__ import annotations

import csv
import io
import math
from dataclasses import dataclass, field, fields
from typing import NamedTuple

import torch
from torch import Tensor

TAKEN, CARRIED, PURE_NOISE = "taken", "carried", "pure noise"
OUTSIDE, UNGUIDED, UNUSABLE = "outside", "unguided", "unusable"
RECTIFIED = (TAKEN, CARRIED, PURE_NOISE)
"""States of a step: the product was taken, carried along, or 0 for pure noise; REG was out of its range, there was no
guidance to rectify (w = 1), or no usable product."""

NEGLIGIBLE = 0.02
"""A change of the guidance that does not show: within it, a step counts as plain CFG."""
FAINT = 0.01
"""Squared guidance, relative to its mean, below which a place has no say in the smallest and largest factor."""

REMEDY = "Load the model in another precision, such as fp32."


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


def places(gap: Tensor, rectified_gap: Tensor) -> tuple[Tensor, Tensor]:
    """Factor ``<G, g> / <g, g>`` over channels and squared guidance, both ``[batch, ...]`` without the channel axis.

    ``gap`` g and ``rectified_gap`` G are ``[batch, channels, ...]``; the factor is nan where there is no guidance.
    """
    gap, rectified_gap = gap.float(), rectified_gap.float()
    square = gap.square().sum(1)
    return (rectified_gap * gap).sum(1) / square, square


def factor_statistics(factor: Tensor, square: Tensor) -> Tensor:
    """Mean, 5 % and 95 % quantile, smallest and largest factor of ``places``; the mean is nan without any guidance.

    Cost: a sort of the places. In single precision, since not every device has double.
    """
    factor, square = factor.flatten(), square.flatten()
    if not len(factor):
        return factor.new_full((5,), torch.nan)
    factor = factor.nan_to_num(0.0, 0.0, 0.0)
    ordered, order = factor.sort()
    share = square[order].cumsum(0)
    total = share[-1]
    marks = torch.searchsorted(share, torch.stack([0.05 * total, 0.95 * total])).clamp(max=len(factor) - 1)
    strongest = factor[square.argmax(keepdim=True)]
    extremes = torch.where(square < total * (FAINT / len(factor)), strongest, factor).aminmax()
    return torch.stack([(factor * square).sum() / total, *ordered[marks], *extremes])


def shown(factor: Tensor, denoised: Tensor) -> tuple[Tensor, Tensor] | None:
    """Factor ``[height, width]`` and prediction ``[1, channels, ...]`` to look at, on the CPU; None if packed."""
    if denoised.ndim not in (4, 5):
        return None
    factor, denoised = factor[0], denoised[:1]
    if denoised.ndim == 5:
        middle = factor.shape[0] // 2
        factor, denoised = factor[middle], denoised[:, :, middle : middle + 1]
    # Copies, for a part of a tensor keeps the whole of it.
    return factor.float().cpu().clone(), denoised.float().cpu().clone()


@dataclass
class Trace:
    """The steps of one run in order; ``total`` is how many the sampler has announced, 0 where it does not tell.

    ``how`` says by which settings, ``source`` which node rectified, ``missing`` why there is no run to speak of, and
    ``broken`` at which sampling percents the numbers were not finite.
    """

    total: int = 0
    how: str = ""
    source: str | None = None
    missing: str = ""
    broken: list[float] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)
    pictures: list[Picture] = field(default_factory=list)

    @property
    def changed(self) -> list[Step]:
        """The steps whose guidance was changed and not mere rounding error."""
        return [step for step in self.steps if step.change is not None and step.state in RECTIFIED]

    def without_effect(self) -> str:
        """Why nothing happened, and what to do; empty if something did."""
        if self.missing:
            return f"no effect to show: {self.missing}"
        if self.changed:
            return ""
        states = {step.state for step in self.steps}
        if self.broken:
            return f"no effect: {self._broken_steps()}, which can break the image. {REMEDY}"
        if not states:
            return (
                "no effect: this guider asks for its predictions in a way of its own. Use the CFG Guider or REG Guider."
            )
        if states == {UNGUIDED}:
            return "no effect: no guidance to rectify (cfg is 1, or no negative conditioning). Raise cfg above 1."
        if states <= {UNGUIDED, OUTSIDE}:
            return "no effect: no guided step of this run lies between start_percent and end_percent. Widen the range."
        if UNUSABLE in states:
            return (
                "no effect: the factor could not be used at any step, so the image is plain CFG. The log says why; "
                "try another estimator."
            )
        return "no effect: positive and negative conditioning give the same prediction. Change one of them."

    def sentence(self) -> str:
        """What happened, in one sentence, and in another what to do about steps that were not finite."""
        if not self.changed:
            return f"REG had {self.without_effect()}"
        broken = f" But {self._broken_steps()}, which can break the image. {REMEDY}" if self.broken else ""
        return self._effect() + broken

    def _effect(self) -> str:
        """By how much the guidance was changed, and where."""
        shown = [step for step in self.changed if (step.change or 0.0) > NEGLIGIBLE]
        if not shown:
            return f"REG changed the guidance by less than {NEGLIGIBLE:.0%} at every step: it is plain CFG to the eye."
        change = sum(step.change or 0.0 for step in shown) / len(shown)
        start, end = shown[0].percent, shown[-1].percent
        text = f"REG changed the guidance by {change:.0%} on average"
        if len(shown) == len(self.steps):
            return f"{text}, over the whole run."
        if len(shown) == 1:
            text += f", at one step ({start:.0%} of the run)"
        else:
            text += f" between {start:.0%} and {end:.0%} of the run"
        seen, broken = {id(step) for step in shown}, set(self.broken)
        rest = {step.state for step in self.steps if id(step) not in seen and step.percent not in broken}
        if not rest:
            return f"{text}."
        if rest.isdisjoint(RECTIFIED):
            return f"{text}; elsewhere it was {'without guidance' if rest == {UNGUIDED} else 'plain CFG'}."
        return f"{text}; elsewhere it was within {NEGLIGIBLE:.0%} of CFG."

    def _broken_steps(self) -> str:
        """Which steps were not finite, in words."""
        count, first = len(self.broken), f"{self.broken[0]:.0%} of the run"
        if count == 1:
            where = f"one step ({first})"
        elif count == len(self.steps):
            where = "every step"
        else:
            where = f"{count} of {len(self.steps)} steps (the first at {first})"
        return f"the numbers of {where} were not finite (NaN or infinite)"

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
