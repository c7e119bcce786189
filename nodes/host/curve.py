"""The host's CURVE value, read into points that straight lines join."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...reg_core.number import number
from ...reg_core.table import shown
from ..messages import message

try:
    from comfy_api.input import CurveInput
except ImportError:  # before 0.19 the host has the CURVE type but no class that evaluates it
    CurveInput = None

# Between drawn points the curve is smooth; a table this dense is straight to the eye and to the sampler.
SAMPLES = 257
MOST_POINTS = 10_000
FARTHEST = 1e4
"""Largest progress and height of a point; the editor keeps both between 0 and 1."""


def curve_points(value: Any) -> list[tuple[float, float]]:
    """Points ``(x, y)`` with x rising from 0 to 1 of a CURVE: the host's object, its dict, or a bare list of pairs.

    Straight lines between the points follow a linear curve exactly and a smooth one to the eye. A value that the page
    has wrapped to name its type is read as what is within. Raises ValueError for anything else, for fewer than two
    points or more than 10,000, and for numbers beyond 1e4.
    """
    if isinstance(value, dict) and "__value__" in value:
        value = value["__value__"]
    knots = np.array(sorted(_pairs(value), key=lambda point: point[0]), dtype=np.float64)
    progress = np.union1d(np.linspace(0.0, 1.0, SAMPLES), knots[:, 0].clip(0.0, 1.0))
    heights = _heights(value, knots, progress)
    if not np.isfinite(heights).all():
        raise ValueError(message("curve-points-too-close"))
    return list(zip(progress.tolist(), heights.tolist(), strict=True))


def _pairs(value: Any) -> list[tuple[float, float]]:
    """The points as they were drawn, checked."""
    points = value.get("points") if isinstance(value, dict) else getattr(value, "points", value)
    points = points.tolist() if isinstance(points, np.ndarray) else points
    if not isinstance(points, (list, tuple)):
        raise ValueError(message("curve-not-points", value=shown(value)))
    if len(points) < 2:
        raise ValueError(message("curve-too-short", count=len(points)))
    if len(points) > MOST_POINTS:
        raise ValueError(message("curve-too-long", most=MOST_POINTS, count=len(points)))
    for point in points:
        if not isinstance(point, (list, tuple)) or len(point) != 2:
            raise ValueError(message("curve-point-wrong", value=shown(point)))
    limits = -FARTHEST, FARTHEST
    return [(number(x, "x of a curve's point", *limits), number(y, "y of a curve's point", *limits)) for x, y in points]


def _heights(value: Any, knots: np.ndarray, progress: np.ndarray) -> np.ndarray:
    smooth = not (isinstance(value, dict) and value.get("interpolation") == "linear")
    if CurveInput is not None:
        if not isinstance(value, CurveInput):
            value = {"points": knots.tolist(), "interpolation": "monotone_cubic" if smooth else "linear"}
        with np.errstate(all="ignore"):
            return CurveInput.from_raw(value).interp_array(progress)
    if not smooth:
        return np.interp(progress, knots[:, 0], knots[:, 1])
    from scipy.interpolate import PchipInterpolator  # monotone cubic, as the editor of those versions draws it

    rising = np.append(np.diff(knots[:, 0]) > 0, True)  # of points above each other, the last
    knots = knots[rising]
    if len(knots) == 1:
        return np.full_like(progress, knots[0, 1])
    with np.errstate(all="ignore"):
        return PchipInterpolator(knots[:, 0], knots[:, 1])(progress.clip(knots[0, 0], knots[-1, 0]))
