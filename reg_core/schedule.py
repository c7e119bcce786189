"""Guidance weight over the trajectory. A schedule is a frozen callable ``(progress, sigma) -> w``.

``progress`` runs from 0 (pure noise) to 1 (clean), the sampling percent of the host; ``sigma`` is the noise-to-signal
ratio (VE units) at that point, which ``SNR`` and ``Measured`` read. w = 1 is no guidance. ``to_dict`` and ``from_dict``
round-trip.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from functools import cached_property
from itertools import pairwise
from typing import Any, Protocol, get_type_hints

import numpy as np

from .number import number
from .table import MOST_SHOWN, lookup, shown

MOST_PARTS = 100
"""Schedules that one may be combined of: each takes its time at every step."""


class Schedule(Protocol):
    """``(progress in [0, 1], sigma >= 0) -> guidance weight w``."""

    def __call__(self, progress: float, sigma: float) -> float: ...


MOST_POINTS = 100_000
CLOSEST = 1e-100
"""Points of a curve that are closer are one: the slope between them may overflow."""


def check_range(start: float, end: float) -> None:
    """Raises ValueError unless ``0 <= start <= end <= 1``."""
    try:
        forward = number(start, "start", 0, 1) <= number(end, "end", 0, 1)
    except ValueError:
        forward = False
    if not forward:
        raise ValueError(
            "REG: the range must run forward inside 0 to 1 (0 is the first, noisiest step); "
            f"got start {shown(start)} and end {shown(end)}. Lower the start or raise the end."
        )


def _keep_numbers(schedule: Any, **limits: dict[str, float]) -> None:
    """The named fields of a schedule as floats; raises ValueError for anything that is not one within its limits."""
    for name, limit in limits.items():
        object.__setattr__(schedule, name, number(getattr(schedule, name), name, **limit))


def _points(
    points: Any, what: str, names: tuple[str, str], limit: dict[str, float], least: int
) -> tuple[tuple[float, float], ...]:
    """Pairs of numbers, the first of each within the limit; raises ValueError for anything else."""
    try:
        readable = not isinstance(points, (str, bytes, Mapping))
        count = len(points) if readable else 0
        readable = readable and all(len(point) == 2 for point in points[:MOST_POINTS])
    except TypeError:
        readable, count = False, 0
    if not readable:
        raise ValueError(f"REG: {what} is made of points ({', '.join(names)}); got {shown(points)}")
    if count < least:
        raise ValueError(f"REG: {what} needs at least {'two points' if least == 2 else 'one point'}; got {count}")
    if count > MOST_POINTS:
        raise ValueError(f"REG: {what} has at most {MOST_POINTS} points; got {count}")
    first, second = (f"the {name} of a point" for name in names)
    return tuple((number(left, first, **limit), number(right, second)) for left, right in points)


@dataclass(frozen=True)
class Constant:
    """``w = weight``."""

    weight: float

    def __post_init__(self) -> None:
        _keep_numbers(self, weight={})

    def __call__(self, progress: float, sigma: float) -> float:
        return self.weight


@dataclass(frozen=True)
class Linear:
    """``w = start + (end - start) * progress``."""

    start: float
    end: float

    def __post_init__(self) -> None:
        _keep_numbers(self, start={}, end={})

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
        _keep_numbers(self, weight={}, power={"above": 0})

    def __call__(self, progress: float, sigma: float) -> float:
        return 1 + (self.weight - 1) * (1 - math.cos(math.pi * min(max(progress, 0.0), 1.0) ** self.power)) / 2


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
        _keep_numbers(self, weight={}, start={}, end={})

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
        _keep_numbers(self, weight={}, spread={"above": 0})

    def __call__(self, progress: float, sigma: float) -> float:
        damping = self.spread / math.hypot(self.spread, sigma)  # hypot does not overflow, however noisy
        return 1 + (self.weight - 1) * damping**2


@dataclass(frozen=True)
class Exponential:
    """``w = weight * e^(rate * progress)``: rises from ``weight`` in pure noise to ``weight * e^rate`` at the end.

    C2FG, arXiv 2603.08155, eq. 14, with progress = 1 - t/t_max; its rates are 0.2 for Stable Diffusion 1.5 and ln 2 for
    DiT. Raises ValueError for a rate outside [0, 10].
    """

    weight: float
    rate: float = 0.2

    def __post_init__(self) -> None:
        _keep_numbers(self, weight={}, rate={"low": 0, "high": 10})

    def __call__(self, progress: float, sigma: float) -> float:
        return self.weight * math.exp(self.rate * progress)


@dataclass(frozen=True)
class Curve:
    """Weights at given points ``(progress, w)``, straight lines between them, constant beyond the ends.

    Raises ValueError for fewer than two points or more than 100,000, for progress that does not increase, and for
    anything but numbers within 1e6.
    """

    points: tuple[tuple[float, float], ...]

    def __post_init__(self) -> None:
        points = _points(self.points, "a curve", ("progress", "weight"), {}, least=2)
        object.__setattr__(self, "points", points)
        if any(not right[0] - left[0] > CLOSEST for left, right in pairwise(points)):
            raise ValueError("REG: the points of a curve must be ordered by rising progress, each progress once")

    def __call__(self, progress: float, sigma: float) -> float:
        progresses, weights = zip(*self.points, strict=True)
        return float(np.interp(progress, progresses, weights))


@dataclass(frozen=True)
class Measured:
    """``w = 1 + (weight - 1) * r(sigma)``, r the factor that REG measured at noise-to-signal ratios, one per point.

    ``points`` are pairs ``(sigma, r)`` by rising sigma. Between them r is linear in log sigma; below the lowest it is
    held, above the highest it falls as ``r (highest / sigma)^2``, to 0 in pure noise. For data that is an isotropic
    Gaussian it is the SNR schedule. Raises ValueError for no points or more than 100,000, for a sigma that is not
    positive or does not rise, and for anything but numbers within 1e6.
    """

    weight: float
    points: tuple[tuple[float, float], ...]

    def __post_init__(self) -> None:
        _keep_numbers(self, weight={})
        points = _points(self.points, "a measured schedule", ("sigma", "factor"), {"above": 0}, least=1)
        object.__setattr__(self, "points", points)
        if any(not right[0] > left[0] for left, right in pairwise(points)):
            raise ValueError("REG: the points of a measured schedule must be ordered by rising sigma, each sigma once")

    def factor(self, sigma: float) -> float:
        """r at a noise-to-signal ratio; 1 is plain CFG, 0 no guidance."""
        sigmas, factors = zip(*self.points, strict=True)
        if sigma > sigmas[-1]:
            return factors[-1] * (sigmas[-1] / sigma) ** 2
        return float(np.interp(math.log(max(sigma, sigmas[0])), np.log(sigmas), factors))

    def __call__(self, progress: float, sigma: float) -> float:
        return 1 + (self.weight - 1) * self.factor(sigma)


class Combination(Protocol):
    """``(first, second, progress, sigma, at) -> guidance weight w`` of two schedules at one moment."""

    def __call__(self, first: Schedule, second: Schedule, progress: float, sigma: float, at: float) -> float: ...


def join(first: Schedule, second: Schedule, progress: float, sigma: float, at: float) -> float:
    """``first`` where progress < ``at``, then ``second``. Cost: that of the one."""
    return (first if progress < at else second)(progress, sigma)


def of_weights(combine: Callable[[float, float], float]) -> Combination:
    """A combination of the two weights, the same at every moment. Cost: that of both schedules."""

    def combined(first: Schedule, second: Schedule, progress: float, sigma: float, at: float) -> float:
        return combine(first(progress, sigma), second(progress, sigma))

    return combined


COMBINATIONS: dict[str, Combination] = {
    "join": join,
    "multiply": of_weights(lambda a, b: 1 + (a - 1) * (b - 1)),
    "minimum": of_weights(min),
    "maximum": of_weights(max),
}


@dataclass(frozen=True)
class Combined:
    """Two schedules as one, by ``how``, a name of ``COMBINATIONS``.

    ``join``: ``first`` where progress < ``at``, then ``second``. ``multiply``: the amounts of guidance, ``1 + (a - 1)
    (b - 1)``, so that w = 1 on either side means no guidance and an interval of weight 2 gates the other. ``minimum``
    and ``maximum`` of the two weights. Raises ValueError for an unknown name, for ``at`` outside [0, 1], for what is no
    schedule and for more than 100 in all; when called, for a weight that is not finite.
    """

    first: Schedule
    second: Schedule
    how: str = "join"
    at: float = 0.5

    def __post_init__(self) -> None:
        lookup(COMBINATIONS, self.how, "combine")
        try:
            _keep_numbers(self, at={"low": 0, "high": 1})
        except ValueError:
            text = "REG: schedules are joined inside 0 to 1 (0 is the first, noisiest step); got"
            raise ValueError(f"{text} {shown(self.at)}") from None
        for name in ("first", "second"):
            if not callable(getattr(self, name)):
                raise ValueError(f"REG: {name} must be a schedule; got {shown(getattr(self, name))}")
        if self.parts > MOST_PARTS:
            raise ValueError(f"REG: at most {MOST_PARTS} schedules can be combined into one; got more. Combine fewer.")

    @cached_property
    def parts(self) -> int:
        """How many schedules it is combined of."""
        return sum(part.parts if isinstance(part, Combined) else 1 for part in (self.first, self.second))

    def __call__(self, progress: float, sigma: float) -> float:
        weight = COMBINATIONS[self.how](self.first, self.second, progress, sigma, self.at)
        if not math.isfinite(weight):
            raise ValueError(
                f"REG: {self.how} gives a guidance weight of {weight}. Lower the weights of the schedules."
            )
        return weight


SCHEDULES: dict[str, type] = {
    "constant": Constant,
    "linear": Linear,
    "cosine": Cosine,
    "interval": Interval,
    "snr": SNR,
    "curve": Curve,
    "measured": Measured,
    "combined": Combined,
    "exponential": Exponential,
}


def parts_of(member: type) -> list[str]:
    """The fields of a class of schedules that are schedules themselves, by their types."""
    kinds = get_type_hints(member)
    return [field.name for field in fields(member) if kinds[field.name] is Schedule]


def to_dict(schedule: Schedule) -> dict[str, Any]:
    """A dict of JSON values with the schedule's ``kind`` and its fields; raises ValueError for an unknown class."""
    for kind, member in SCHEDULES.items():
        if type(schedule) is member:
            values = {field.name: getattr(schedule, field.name) for field in fields(member)}
            parts = {name: to_dict(values[name]) for name in parts_of(member)}
            return {"kind": kind, **values, **parts}
    raise ValueError(f"REG: not one of the schedules {', '.join(SCHEDULES)}: {type(schedule).__name__}")


def from_dict(data: dict[str, Any]) -> Schedule:
    """The schedule that ``to_dict`` wrote.

    Raises ValueError for an unknown kind, for missing, unknown or unreadable fields, and for schedules nested more than
    100 deep.
    """
    return _read(data, 0)


def _read(data: Any, depth: int) -> Schedule:
    if not isinstance(data, Mapping):
        raise ValueError(f"REG: a schedule is read from a dict as to_dict writes it; got {shown(data)}")
    if depth > MOST_PARTS:
        raise ValueError(f"REG: at most {MOST_PARTS} schedules can be combined into one; got more. Combine fewer.")
    values = dict(data)
    kind = values.pop("kind", "")
    member = lookup(SCHEDULES, kind, "schedule kind")
    for name in parts_of(member):
        if name in values:
            values[name] = _read(values[name], depth + 1)
    try:
        return member(**values)
    except TypeError as error:
        raise ValueError(f"REG: schedule {kind!r} cannot be read: {str(error)[:MOST_SHOWN]}") from error
