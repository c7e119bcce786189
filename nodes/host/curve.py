"""The host's CURVE value, read into points that straight lines join."""

from __future__ import annotations

from typing import Any

import numpy as np

try:
    from comfy_api.input import CurveInput
except ImportError:  # before 0.19 the host has the CURVE type but no class that evaluates it
    CurveInput = None

# Between drawn points the curve is smooth; a table this dense is straight to the eye and to the sampler.
SAMPLES = 257


def curve_points(value: Any) -> list[tuple[float, float]]:
    """Points ``(x, y)`` with x rising from 0 to 1 of a CURVE: the host's object, its dict, or a bare list of pairs.

    Straight lines between the points follow a linear curve exactly and a smooth one to the eye. Raises ValueError for
    fewer than two points.
    """
    pairs = value["points"] if isinstance(value, dict) else getattr(value, "points", value)
    knots = np.array(sorted((float(x), float(y)) for x, y in pairs), dtype=np.float64).reshape(-1, 2)
    if len(knots) < 2:
        raise ValueError(
            f"REG: a curve needs at least two points; got {len(knots)}. Click into the curve to add points."
        )
    progress = np.union1d(np.linspace(0.0, 1.0, SAMPLES), knots[:, 0].clip(0.0, 1.0))
    return list(zip(progress.tolist(), _heights(value, knots, progress).tolist(), strict=True))


def _heights(value: Any, knots: np.ndarray, progress: np.ndarray) -> np.ndarray:
    if CurveInput is not None:
        return CurveInput.from_raw(value).interp_array(progress)
    if isinstance(value, dict) and value.get("interpolation") == "linear":
        return np.interp(progress, knots[:, 0], knots[:, 1])
    from scipy.interpolate import PchipInterpolator  # monotone cubic, as the editor of those versions draws it

    return PchipInterpolator(knots[:, 0], knots[:, 1])(progress.clip(knots[0, 0], knots[-1, 0]))
