"""What REG did in one sampler run, kept for the line at its end, the inspector and its live chart."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from ...reg_core.trace import Picture, Step, Trace, factor_statistics, places, shown
from .estimation import AUTO, Estimation
from .evaluation import Evaluation
from .notice import send, tell
from .preview import preview

PICTURES = 6
"""Steps of a run that are kept to look at."""


def _chosen(sigmas: Sequence[float]) -> set[float]:
    """The noise levels of the steps to look at, from the second to the last, evenly spread."""
    last = len(sigmas) - 1
    return {sigmas[round(last * (index + 1) / PICTURES)] for index in range(PICTURES)} if sigmas else set()


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def _merged(parts: Sequence[Step], weight: float | None, seconds: float) -> Step:
    """One step of the parts (context windows) that were evaluated at its noise level."""
    first = parts[0]
    smallest = [part.min for part in parts if part.min is not None]
    largest = [part.max for part in parts if part.max is not None]
    means = {
        name: _mean([getattr(part, name) for part in parts])
        for name in ("mean", "low", "high", "before", "after", "change")
    }
    extremes = {"min": min(smallest, default=None), "max": max(largest, default=None)}
    return Step(first.percent, first.sigma, first.state, weight, **means, **extremes, seconds=seconds)


@dataclass
class GuidanceRecord:
    """The trace of one run as it grows, and what the artist was told. ``inspectors`` are told of every step."""

    node_id: str | None
    inspectors: Sequence[str] = ()
    trace: Trace = field(default_factory=Trace)
    warnings: list[str] = field(default_factory=list)
    _parts: list[Step] = field(default_factory=list)
    _looked_at: set[float] | None = None
    _began: float = 0.0

    def warn(self, text: str) -> None:
        """Tell the artist, once a run."""
        if text not in self.warnings:
            self.warnings.append(text)
            tell(text, self.node_id, logging.WARNING)

    def expect(self, evaluation: Evaluation) -> None:
        """Note when a step begins, and at the first of them how many the sampler announces."""
        if self._looked_at is None:
            sigmas = evaluation.sampled_sigmas
            self._looked_at, self.trace.total = _chosen(sigmas), len(sigmas)
        if not self._parts:
            self._began = time.perf_counter()

    def evaluated(self, state: str, percent: float, sigma: float) -> None:
        """Keep an evaluation that was not rectified."""
        self._add(Step(percent, sigma, state))

    def rectified(
        self,
        state: str,
        percent: float,
        sigma: float,
        latent_format: Any,
        conditional: Tensor,
        unconditional: Tensor,
        rectified: Tensor,
    ) -> None:
        """Keep the numbers of an evaluation, and its picture if it is one of those to look at."""
        gap, rectified_gap = conditional - unconditional, conditional - rectified
        factor, square = places(gap, rectified_gap)
        norms = [torch.linalg.vector_norm(part) for part in (gap, rectified_gap, rectified_gap - gap, conditional)]
        numbers = [*torch.stack([*factor_statistics(factor, square), *norms]).tolist()]
        mean, low, high, smallest, largest, before, after, moved, size = numbers
        elements = math.sqrt(gap.numel())
        change = None
        if before > 16 * torch.finfo(gap.dtype).eps * size:  # a gap of rounding errors says nothing
            change = moved / before
        else:
            mean = low = high = smallest = largest = None
        norms = {"before": before / elements, "after": after / elements, "change": change}
        self._add(Step(percent, sigma, state, None, mean, low, high, smallest, largest, **norms))
        looked_at = self._looked_at or set()
        seen = shown(factor, conditional) if sigma in looked_at and change is not None else None
        if seen is not None:
            looked_at.discard(sigma)
            self.trace.pictures.append(Picture(percent, seen[0], *preview(latent_format, seen[1])))

    def weigh(self, arguments: dict[str, Any]) -> list[Tensor]:
        """The host's pre-CFG hook, which hears the weight: ends the step, and passes the predictions on unchanged."""
        self._end_step(float(arguments["cond_scale"]))
        return arguments["conds_out"]

    def _add(self, part: Step) -> None:
        if self._parts and self._parts[0].sigma != part.sigma:
            self._end_step(None)
        self._parts.append(part)

    def _end_step(self, weight: float | None) -> None:
        if not self._parts:
            return
        step = _merged(self._parts, weight, time.perf_counter() - self._began)
        self._parts.clear()
        self.trace.steps.append(step)
        if self.inspectors:
            row = {**self.trace.rows()[-1]}
            index, total = len(self.trace.steps) - 1, self.trace.total
            data = {"inspectors": list(self.inspectors), "run": str(id(self)), "index": index, "total": total}
            send("reg.step", {**data, "step": row})

    def report(self, estimation: Estimation) -> None:
        """Tell what happened; the warnings once more, since a node shows only the last that it was told."""
        self._end_step(None)
        method = {"strength": f"{estimation.method.strength:g}", **estimation.choice}
        settings = ", ".join(f"{name} {value}" for name, value in method.items())
        self.trace.how = ". ".join([settings, *self.warnings])
        self.trace.source = self.node_id
        tell("\n".join([self.summary(estimation), *self.warnings]), self.node_id)

    def summary(self, estimation: Estimation) -> str:
        """One line: what happened and how it was chosen, or why nothing did."""
        changed = self.trace.changed
        if not changed:
            return self.trace.without_effect()
        choice = estimation.choice
        how = f"{choice['form']}, {choice['estimator'] if estimation.taken else 'pure noise'}"
        if estimation.carried:
            how += f", taken {estimation.taken} times and carried {estimation.carried} times"
        why = f"; auto chose this because {estimation.reason}" if estimation.method.estimator == AUTO else ""
        factors = [step.mean or 0.0 for step in changed]
        return (
            f"guidance changed by {_mean([step.change for step in changed]):.0%}, "
            f"factor {min(factors):.2f} to {max(factors):.2f}, "
            f"in {len(changed)} of {len(self.trace.steps)} evaluations ({how}){why}"
        )
