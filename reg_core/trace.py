"""What rectification did over one sampler run, step by step: numbers, the sentence they come to, and a table."""

from __future__ import annotations

import csv
import io
import math
from dataclasses import dataclass, field, fields
from typing import NamedTuple

from torch import Tensor

TAKEN, CARRIED, PURE_NOISE = "taken", "carried", "pure noise"
OUTSIDE, UNGUIDED, SEPARATE, UNUSABLE = "outside", "unguided", "separate", "unusable"
RECTIFIED = (TAKEN, CARRIED, PURE_NOISE)
"""States of a step: the product was taken, carried along, or 0 for pure noise; REG was out of its range, there was no
guidance to rectify (w = 1), the two predictions were asked for one at a time, or there was no usable product."""

NEGLIGIBLE = 0.02
"""A change of the guidance that does not show: within it, a step counts as plain CFG."""

REMEDY = "Load the model in another precision, such as fp32."
SEPARATELY = "another node (such as SkipLayerGuidanceDiTSimple) asks for the two predictions one at a time"
TOGETHER = "Remove that node, or use SkipLayerGuidanceDiT, which works with REG."


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

    def without_effect(self) -> str:
        """Why nothing happened, and what to do; empty if something did."""
        if self.missing:
            return f"no effect to show: {self.missing}"
        if self.undone:
            return (
                "no effect: another node on this model replaces the negative prediction that REG has changed, "
                "so the sampler receives nothing of it. Remove that node."
            )
        if self.changed:
            return ""
        states = {step.state for step in self.steps}
        if self.broken:
            return f"no effect: {self._broken_steps()}, which can break the image. {REMEDY}"
        if not states:
            return (
                "no effect: this guider asks for its predictions in a way of its own. Use the CFG Guider or REG Guider."
            )
        if SEPARATE in states:
            return f"no effect: {SEPARATELY}, so REG never sees them together. {TOGETHER}"
        if states == {UNGUIDED}:
            return "no effect: no guidance to rectify (cfg is 1, or no negative conditioning). Raise cfg above 1."
        if states <= {UNGUIDED, OUTSIDE}:
            return "no effect: no guided step of this run lies between start_percent and end_percent. Widen the range."
        if UNUSABLE in states:
            return (
                "no effect: the factor could not be used at any step, so the image is plain CFG. The log says why; "
                "try another estimator."
            )
        return (
            "no effect: positive and negative conditioning give the same prediction. Change one of them, or remove a "
            "node that makes them the same (such as Normalized Attention Guidance)."
        )

    def sentence(self) -> str:
        """What happened, in one sentence, and in others what to do about steps that broke and about other nodes."""
        nothing = self.without_effect()
        if nothing:
            return f"REG had {nothing}"
        broken = [f"But {self._broken_steps()}, which can break the image. {REMEDY}"] if self.broken else []
        return " ".join([self._effect(), *broken, *self.others()])

    def others(self) -> list[str]:
        """What other nodes on the model did to the effect that REG had, a line for each, and what to do about it."""
        if self.without_effect():
            return []
        lines, separate = [], sum(step.state == SEPARATE for step in self.steps)
        if separate:
            lines.append(
                f"At {separate} of {len(self.steps)} steps {SEPARATELY}, so REG does not act there. {TOGETHER}"
            )
        if self.altered:
            by = "less than 1%" if self.altered < 0.01 else f"{self.altered:.0%}"
            lines.append(
                "Another node changes the predictions after REG: the sampler receives guidance that differs from REG's "
                f"by {by}. Remove that node to see REG alone."
            )
        return lines

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
            where = "plain CFG" if SEPARATE not in rest else "not rectified"
            return f"{text}; elsewhere it was {'without guidance' if rest == {UNGUIDED} else where}."
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
