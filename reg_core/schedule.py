"""Guidance weight over the trajectory. A schedule is a frozen callable ``(progress, sigma) -> w``.

``progress`` runs from 0 (pure noise) to 1 (clean), the sampling percent of the host; ``sigma`` is the noise-to-signal
ratio (VE units) at that point, which only ``SNR`` reads. w = 1 is no guidance. ``to_dict`` and ``from_dict``
round-trip.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, fields
from itertools import pairwise
from typing import Any, Protocol

import numpy as np

from .table import lookup


class Schedule(Protocol):
    """``(progress in [0, 1], sigma >= 0) -> guidance weight w``."""

    def __call__(self, progress: float, sigma: float) -> float: ...


def check_range(start: float, end: float) -> None:
    """Raises ValueError unless ``0 <= start <= end <= 1``."""
    if not 0 <= start <= end <= 1:
        raise ValueError(
            "REG: the range must run forward inside 0 to 1 (0 is the first, noisiest step); "
            f"got start {start:g} and end {end:g}. Lower the start or raise the end."
        )


@dataclass(frozen=True)
class Constant:
    """``w = weight``."""

    weight: float

    def __call__(self, progress: float, sigma: float) -> float:
        return self.weight


@dataclass(frozen=True)
class Linear:
    """``w = start + (end - start) * progress``."""

    start: float
    end: float

    def __call__(self, progress: float, sigma: float) -> float:
        return self.start + (self.end - self.start) * progress


@dataclass(frozen=True)
class Cosine:
    """``w = 1 + (weight - 1) * (1 - cos(pi * progress^power)) / 2``: rises from no guidance to ``weight``.

    The shape of the paper's code (arXiv 2501.18865) with progress = 1 - t/T; power above 1 rises later.
    """

    weight: float
    power: float = 1.0

    def __post_init__(self) -> None:
        if not self.power > 0:
            raise ValueError(f"REG: power must be above 0; got {self.power}")

    def __call__(self, progress: float, sigma: float) -> float:
        return 1 + (self.weight - 1) * (1 - math.cos(math.pi * max(progress, 0.0) ** self.power)) / 2


@dataclass(frozen=True)
class Interval:
    """``w = weight`` for ``start <= progress <= end``, else 1: outside, the unconditional pass is not needed at all.

    Limited-interval guidance, arXiv 2404.07724. Raises ValueError if the range is reversed or leaves [0, 1].
    """

    weight: float
    start: float = 0.0
    end: float = 1.0

    def __post_init__(self) -> None:
        check_range(self.start, self.end)

    def __call__(self, progress: float, sigma: float) -> float:
        return self.weight if self.start <= progress <= self.end else 1.0


@dataclass(frozen=True)
class SNR:
    """``w = 1 + (weight - 1) * spread^2 / (spread^2 + sigma^2)``: damped by noise, at no cost.

    The factor of REG for white data of standard deviation ``spread``; the control that REG is to be compared with.
    """

    weight: float
    spread: float = 1.0

    def __post_init__(self) -> None:
        if not self.spread > 0:
            raise ValueError(f"REG: spread must be above 0; got {self.spread}")

    def __call__(self, progress: float, sigma: float) -> float:
        damping = self.spread / math.hypot(self.spread, sigma)  # hypot does not overflow, however noisy
        return 1 + (self.weight - 1) * damping**2


@dataclass(frozen=True)
class Curve:
    """Weights at given points ``(progress, w)``, straight lines between them, constant beyond the ends.

    Raises ValueError for fewer than two points, for progress that does not increase, and for numbers that are not
    finite.
    """

    points: tuple[tuple[float, float], ...]

    def __post_init__(self) -> None:
        points = tuple((float(progress), float(weight)) for progress, weight in self.points)
        object.__setattr__(self, "points", points)
        if len(points) < 2:
            raise ValueError(f"REG: a curve needs at least two points; got {len(points)}")
        if not all(math.isfinite(number) for point in points for number in point):
            raise ValueError(f"REG: every point of a curve must be finite; got {points}")
        if any(right[0] <= left[0] for left, right in pairwise(points)):
            raise ValueError("REG: the points of a curve must be ordered by rising progress, each progress once")

    def __call__(self, progress: float, sigma: float) -> float:
        progresses, weights = zip(*self.points, strict=True)
        return float(np.interp(progress, progresses, weights))


# Of two weights (a, b); "join" is not here, since it chooses by progress.
COMBINATIONS: dict[str, Callable[[float, float], float] | None] = {
    "join": None,
    "multiply": lambda a, b: 1 + (a - 1) * (b - 1),
    "minimum": min,
    "maximum": max,
}


@dataclass(frozen=True)
class Combined:
    """Two schedules as one, by ``how``, a name of ``COMBINATIONS``.

    ``join``: ``first`` where progress < ``at``, then ``second``. ``multiply``: the amounts of guidance, ``1 + (a - 1)
    (b - 1)``, so that w = 1 on either side means no guidance and an interval of weight 2 gates the other. ``minimum``
    and ``maximum`` of the two weights. Raises ValueError for an unknown name and for ``at`` outside [0, 1].
    """

    first: Schedule
    second: Schedule
    how: str = "join"
    at: float = 0.5

    def __post_init__(self) -> None:
        lookup(COMBINATIONS, self.how, "combine")
        if not 0 <= self.at <= 1:
            raise ValueError(f"REG: schedules are joined inside 0 to 1 (0 is the first, noisiest step); got {self.at}")

    def __call__(self, progress: float, sigma: float) -> float:
        combination = COMBINATIONS[self.how]
        if combination is None:
            return (self.first if progress < self.at else self.second)(progress, sigma)
        return combination(self.first(progress, sigma), self.second(progress, sigma))


SCHEDULES: dict[str, type] = {
    "constant": Constant,
    "linear": Linear,
    "cosine": Cosine,
    "interval": Interval,
    "snr": SNR,
    "curve": Curve,
    "combined": Combined,
}
PARTS = {"combined": ("first", "second")}  # fields that are schedules themselves


def to_dict(schedule: Schedule) -> dict[str, Any]:
    """A dict of JSON values with the schedule's ``kind`` and its fields; raises ValueError for an unknown class."""
    for kind, member in SCHEDULES.items():
        if type(schedule) is member:
            values = {field.name: getattr(schedule, field.name) for field in fields(member)}
            parts = {name: to_dict(values[name]) for name in PARTS.get(kind, ())}
            return {"kind": kind, **values, **parts}
    raise ValueError(f"REG: not one of the schedules {', '.join(SCHEDULES)}: {type(schedule).__name__}")


def from_dict(data: dict[str, Any]) -> Schedule:
    """The schedule that ``to_dict`` wrote; raises ValueError for an unknown kind and for missing or unknown fields."""
    values = dict(data)
    kind = str(values.pop("kind", ""))
    member = lookup(SCHEDULES, kind, "schedule kind")
    parts = {name: from_dict(values[name]) for name in PARTS.get(kind, ()) if name in values}
    try:
        return member(**{**values, **parts})
    except TypeError as error:
        raise ValueError(f"REG: schedule {kind!r} cannot be read: {error}") from error
