"""The tiles of a sheet: every value of one axis with every value of the other."""

from __future__ import annotations

from itertools import product
from typing import NamedTuple

from ...reg_core.table import shown
from .axes import AXES, MOST_TILES, NONE, Axis
from .tile import Tile


def find(name: str) -> Axis:
    """The axis of a name; raises ValueError for any other."""
    if not isinstance(name, str) or name not in AXES:
        raise ValueError(f"REG: an axis must be one of {', '.join(AXES)}; got {shown(name)}")
    return AXES[name]


class Comparison(NamedTuple):
    """Headers of the columns and rows (one empty header for no axis), what they set, and the tiles in reading order."""

    columns: list[str]
    rows: list[str]
    sets: tuple[str, ...]
    tiles: list[Tile]


def compare(base: Tile, columns: tuple[str, str], rows: tuple[str, str]) -> Comparison:
    """The tiles of two axes, each an axis name and its values, which are like ``base`` in all else.

    Raises ValueError for unknown axes and values, the same axis twice, and more than 64 tiles.
    """
    axes = find(columns[0]), find(rows[0])
    if axes[0] is axes[1] and not axes[0].repeatable:
        raise ValueError(f"REG: columns and rows are both {rows[0]}. Choose another axis, or {NONE}, for one of them.")
    across, down = axes[0].values(columns[1], base), axes[1].values(rows[1], base)
    count = len(across) * len(down)
    if count > MOST_TILES:
        raise ValueError(
            f"REG: a sheet has at most {MOST_TILES} tiles; got {len(across)} columns x {len(down)} rows = {count}. "
            "Remove values, or use two nodes."
        )
    order = list(AXES.values())
    columns_last = order.index(axes[0]) < order.index(axes[1])
    tiles = []
    for row, column in product(down, across):
        first, last = (row, column) if columns_last else (column, row)
        tiles.append(last.apply(first.apply(base)))
    sets = axes[0].sets + axes[1].sets
    return Comparison([value.header for value in across], [value.header for value in down], sets, tiles)
