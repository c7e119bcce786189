"""Numbers that come from outside, checked where they arrive."""

from __future__ import annotations

import math
import sys
from numbers import Real
from typing import Any

import numpy as np
from torch import Tensor

from .table import shown

HIGHEST = 1e6
"""Largest number that makes sense anywhere here; products of a few of them are far from overflow in float32."""


def number(value: Any, name: str, low: float = -HIGHEST, high: float = HIGHEST, above: float | None = None) -> float:
    """``value`` as a float, from ``low``, or above ``above``, to ``high``.

    Raises ValueError for anything outside, for nan, and for what is not a real number: text, None, a bool, complex.
    """
    plain = _plain(value)
    if isinstance(plain, int) and abs(plain) > sys.float_info.max:
        plain = math.inf if plain > 0 else -math.inf
    if plain is None or not (low if above is None else above) <= plain <= high or plain == above:
        span = f"between {low:g} and {high:g}" if above is None else f"above {above:g} and at most {high:g}"
        raise ValueError(f"REG: {name} must be a number {span}; got {shown(value)}")
    return float(plain)


def whole_number(value: Any, name: str, low: int, high: int) -> int:
    """``value`` as an int from ``low`` to ``high``; raises ValueError like ``number``, and for fractions."""
    plain = _plain(value)
    if plain is None or not low <= plain <= high or plain != int(plain):
        raise ValueError(f"REG: {name} must be a whole number between {low} and {high}; got {shown(value)}")
    return int(plain)


def _plain(value: Any) -> int | float | None:
    """A real number as Python's own; None for anything else, and for nan."""
    if isinstance(value, (Tensor, np.ndarray)) and value.ndim == 0:
        value = value.item()
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, Real):
        return None
    try:
        plain = value if isinstance(value, int) else float(value)
    except OverflowError:
        return math.inf
    return None if plain != plain else plain
