"""The tiles of a sheet: every value of one axis with every value of the other."""

from __future__ import annotations

from itertools import product
from typing import NamedTuple

from ...reg_core.table import shown
from ..messages import message
from .axes import AXES
from .axis import MOST_TILES, NONE, Axis
from .tile import MEASURED, MeasuredSchedule, Tile


def find(name: str) -> Axis:
    """The axis of a name; raises ValueError for any other."""
    if not isinstance(name, str) or name not in AXES:
        raise ValueError(message("axis-unknown", axes=", ".join(AXES), value=shown(name)))
    return AXES[name]


class Comparison(NamedTuple):
    """Headers of the columns and rows (one empty header for no axis), what they set, and the tiles in reading order."""

    columns: list[str]
    rows: list[str]
    sets: tuple[str, ...]
    tiles: list[Tile]


def measured(tiles: list[Tile]) -> list[Tile]:
    """The tiles with measured schedules by the first one with REG; raises ValueError where none measures anything."""
    first = next((tile for tile in tiles if tile.measures), None)
    if first is None:
        raise ValueError(message("nothing-measures", name=MEASURED))
    return [tile.measured_by(first) for tile in tiles]


def compare(base: Tile, columns: tuple[str, str], rows: tuple[str, str]) -> Comparison:
    """The tiles of two axes, each an axis name and its values, which are like ``base`` in all else.

    Raises ValueError for unknown axes and values, the same axis twice, more than 64 tiles, and a measured schedule
    without a tile that measures it.
    """
    axes = find(columns[0]), find(rows[0])
    if axes[0] is axes[1] and not axes[0].repeatable:
        raise ValueError(message("axes-same", axis=rows[0], none=NONE))
    across, down = axes[0].values(columns[1], base), axes[1].values(rows[1], base)
    count = len(across) * len(down)
    if count > MOST_TILES:
        wrong = message("sheet-too-large", most=MOST_TILES, columns=len(across), rows=len(down), count=count)
        raise ValueError(wrong)
    order = list(AXES.values())
    columns_last = order.index(axes[0]) < order.index(axes[1])
    tiles = []
    for row, column in product(down, across):
        first, last = (row, column) if columns_last else (column, row)
        tiles.append(last.apply(first.apply(base)))
    if any(isinstance(tile.schedule, MeasuredSchedule) for tile in tiles):
        tiles = measured(tiles)
    sets = axes[0].sets + axes[1].sets
    return Comparison([value.header for value in across], [value.header for value in down], sets, tiles)
