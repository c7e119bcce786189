"""A schedule measured by REG: how much guidance the model at hand bears at each noise level, as one factor."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence

from .rectification import FORMS
from .refresh import SAME
from .schedule import Measured
from .table import lookup, shown
from .trace import RECTIFIED, Step, square_sums

DIGITS = 4
"""Of the numbers of a written schedule: levels that are further apart than ``SAME`` stay apart."""
EXAMPLE = '{"points": [[0.5, 0.9], [2, 0.3]]}'


def measured(runs: Iterable[Sequence[Step]], weight: float, form: str) -> Measured:
    """The schedule of weight w that does best in place of REG, from the steps of one run or several.

    ``sqrt(c / a)`` at each noise level for row-sum and ``c / b`` for directional, with a = <g, g>, b = <G, g> and
    c = <G, G> summed over the runs. One run suffices. Raises ValueError for an unknown form, and where no step shows a
    factor. Cost: none; not exact where the factor differs from place to place.
    """
    factor = lookup(FORMS, form, "form").factor
    levels: list[tuple[float, list[tuple[float, float, float]]]] = []
    for step in sorted((step for steps in runs for step in steps), key=lambda step: step.noise or 0.0):
        sums = square_sums(step) if step.state in RECTIFIED else None
        if sums is None or not step.noise or math.isinf(step.noise):
            continue
        if not levels or step.noise > SAME * levels[-1][0]:
            levels.append((step.noise, []))
        levels[-1][1].append(sums)
    points = []
    for noise, parts in levels:
        a, b, c = (sum(values) for values in zip(*parts, strict=True))
        if a > 0 and b > 0:
            points.append((noise, factor(a, b, c)))
    if not points:
        raise ValueError("REG: no step of the run shows a factor, so there is nothing to make a schedule of")
    return Measured(weight, tuple(points))


def to_text(schedule: Measured, form: str) -> str:
    """One line of JSON with the points of a schedule, to ``DIGITS`` digits, and the form that it was measured of."""
    points = [[float(f"{value:.{DIGITS}g}") for value in point] for point in schedule.points]
    return json.dumps({"form": form, "points": points})


def from_text(text: str, weight: float) -> Measured:
    """The schedule of weight w whose points ``to_text`` has written; raises ValueError for any other text."""
    try:
        read = json.loads(text)
    except (ValueError, RecursionError):
        read = None
    if not isinstance(read, dict) or "points" not in read:
        raise ValueError(
            f"REG: a measured curve is text such as {EXAMPLE}, each noise-to-signal ratio with its factor; got "
            f"{shown(text)}. Copy it again, or measure a new one."
        )
    try:
        return Measured(weight, read["points"])
    except ValueError as error:
        raise ValueError(f"{error}. Copy the curve again, or measure a new one.") from None
