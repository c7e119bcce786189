"""The numbers of a step: of one evaluation that was rectified, and of all parts that a step was asked for in."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from ...reg_core.factor import factor_statistics
from ...reg_core.trace import OUTSIDE, RECTIFIED, SEPARATE, UNUSABLE, Step

STATISTICS = ("mean", "low", "high", "min", "max")
"""What ``factor_statistics`` gives, in its order."""


def measured(
    step: Step, factor: Tensor, square: Tensor, gap: Tensor, rectified_gap: Tensor, conditional: Tensor
) -> Step:
    """The step with its numbers; unusable and without any where they are not finite."""
    parts = (gap, rectified_gap, rectified_gap - gap, conditional)
    norms = torch.stack([torch.linalg.vector_norm(part.float()) for part in parts])
    before, after, moved, size, *statistics = torch.cat([norms, factor_statistics(factor, square)]).tolist()
    elements = math.sqrt(gap.numel())
    changed = not before <= 16 * torch.finfo(gap.dtype).eps * size  # a gap of rounding errors says nothing
    if not all(map(math.isfinite, (before, after, moved, size, *(statistics if changed else ())))):
        return replace(step, state=UNUSABLE)
    shown = dict(zip(STATISTICS, statistics, strict=True), change=moved / before) if changed else {}
    return replace(step, before=before / elements, after=after / elements, **shown)


def plain(step: Step, gap: Tensor) -> Step:
    """The step with the size of the guidance that REG left as it was, where that is finite."""
    size = float(torch.linalg.vector_norm(gap.float())) / math.sqrt(gap.numel())
    return replace(step, before=size, after=size) if math.isfinite(size) else step


def mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def merged(parts: Sequence[Step]) -> Step:
    """One step of the parts (context windows, a prediction) that were asked for at its noise level."""
    if len(parts) == 1:
        return parts[0]
    first, states = parts[0], {part.state for part in parts}
    merged = Step(first.percent, first.sigma, first.state, noise=first.noise, cost=mean([part.cost for part in parts]))
    seen = [part for part in parts if part.state in RECTIFIED]
    if UNUSABLE in states or not seen:
        state = next(state for state in (UNUSABLE, SEPARATE, OUTSIDE, first.state) if state in states)
        size = mean([part.before for part in parts]) if state == OUTSIDE else None
        return replace(merged, state=state, before=size, after=size)
    means = {
        name: mean([getattr(part, name) for part in seen])
        for name in ("mean", "low", "high", "before", "after", "change")
    }
    smallest = [part.min for part in seen if part.min is not None]
    largest = [part.max for part in seen if part.max is not None]
    extremes = {"min": min(smallest, default=None), "max": max(largest, default=None)}
    return replace(merged, state=seen[0].state, **means, **extremes)
