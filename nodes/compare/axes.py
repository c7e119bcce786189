"""The axes of a comparison: text such as "CFG, REG" or "3, 6, 9", checked, as the settings of each tile."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any, NamedTuple

from comfy_api.latest import io

from ...reg_core import ESTIMATORS, FORMS
from ...reg_core.number import number, whole_number
from ...reg_core.table import shown
from ..host.derivative.selection import AUTO
from ..inputs import rectification_inputs, sampler_inputs
from ..schedules import ScheduleConstant, ScheduleCosine, ScheduleInterval, ScheduleLinear, ScheduleSNR

NONE = "none"
MOST_TILES = 64
CONNECTED = "connected"


class ScheduleKind(NamedTuple):
    """A schedule node, its input that takes the tile's cfg, and its inputs that numbers after the name fill."""

    node: type[io.ComfyNode]
    weight: str
    numbers: tuple[str, ...] = ()
    least: int = 0


SCHEDULES = {
    "constant": ScheduleKind(ScheduleConstant, "cfg"),
    "linear": ScheduleKind(ScheduleLinear, "start_cfg", ("start_cfg", "end_cfg")),
    "cosine": ScheduleKind(ScheduleCosine, "cfg", ("power",)),
    # Over the whole sampling an interval would be plain CFG under another name.
    "interval": ScheduleKind(ScheduleInterval, "cfg", ("start_percent", "end_percent"), least=1),
    "SNR": ScheduleKind(ScheduleSNR, "cfg", ("spread",)),
}


@dataclass(frozen=True)
class TileSchedule:
    """A schedule of the table, or the connected one; its weight is the tile's cfg where no number says otherwise."""

    name: str
    numbers: tuple[float, ...] = ()

    def __str__(self) -> str:
        return " ".join([self.name, *(f"{number:g}" for number in self.numbers)])

    def node(self, cfg: float) -> tuple[str, dict[str, float]]:
        """Id of the schedule node and its inputs; raises ValueError for a number that the node does not take."""
        kind = SCHEDULES[self.name]
        schema = kind.node.define_schema()
        inputs: dict[str, Any] = {spec.id: spec.default for spec in schema.inputs}
        inputs |= {kind.weight: cfg} | dict(zip(kind.numbers, self.numbers, strict=False))
        for spec in schema.inputs:
            inputs[spec.id] = number(inputs[spec.id], f"{spec.id} of {self.name}", spec.min, spec.max)
        kind.node.execute(**inputs)
        return schema.node_id, inputs


@dataclass(frozen=True)
class Tile:
    """What one tile is drawn with, as far as an axis can set it."""

    cfg: float
    seed: int
    strength: float
    form: str
    estimator: str
    rectified: bool = True
    schedule: TileSchedule | None = None

    @property
    def guided(self) -> bool:
        """Whether REG takes part."""
        return self.rectified and self.strength != 0


class Value(NamedTuple):
    """One value of an axis: its header, and what it sets."""

    header: str
    changes: dict[str, Any]


class Comparison(NamedTuple):
    """Headers of the columns and rows (one empty header for no axis) and the tiles in reading order."""

    columns: list[str]
    rows: list[str]
    tiles: list[Tile]


def _number(text: str, name: str, like: str, convert: Callable[[str], Any] = float) -> Any:
    try:
        return convert(text)
    except ValueError:
        kind = "whole numbers" if convert is int else "numbers"
        raise ValueError(f"REG: {name} takes {kind} such as {like}; got {shown(text)}") from None


def _numeric(axis: str) -> Callable[[str, Tile], Value]:
    (spec,) = (spec for spec in [*sampler_inputs(), *rectification_inputs()] if spec.id == axis)

    def read(text: str, base: Tile) -> Value:
        value = number(_number(text, axis, "3, 6, 9"), axis, spec.min, spec.max)
        return Value(f"{axis} = {value:g}", {axis: value})

    return read


def read_seed(text: str, base: Tile) -> Value:
    """A seed, or with a plus what is added to that of the node."""
    (spec,) = (spec for spec in sampler_inputs() if spec.id == "seed")
    seed = _number(text, "seed", "1, 2, 3", int) + (base.seed if text.startswith("+") else 0)
    seed = whole_number(seed, "seed", spec.min, spec.max)
    return Value(f"seed = {seed}", {"seed": seed})


def _named(axis: str, names: Sequence[str]) -> Callable[[str, Tile], Value]:
    def read(text: str, base: Tile) -> Value:
        for name in names:
            if text.casefold() == name.casefold():
                return Value(name, {axis: name})
        raise ValueError(f"REG: {axis} must be one of {', '.join(names)}; got {shown(text)}")

    return read


def _schedule(text: str, axis: str, legal: str, names: Sequence[str]) -> TileSchedule:
    first, *rest = text.split()
    name = next((name for name in names if name.casefold() == first.casefold()), None)
    if name is None:
        raise ValueError(f"REG: {axis} must be one of {legal}; got {shown(text)}")
    least, most = (SCHEDULES[name].least, len(SCHEDULES[name].numbers)) if name in SCHEDULES else (0, 0)
    if not least <= len(rest) <= most:
        count = f"{least} to {most}" if least < most else f"{most or 'no'}"
        raise ValueError(f"REG: {axis} {name} takes {count} numbers, as in {legal}; got {shown(text)}")
    numbers = tuple(_number(number, f"{axis} {name}", "0.5") for number in rest)
    schedule = TileSchedule(name, numbers)
    if name in SCHEDULES:
        schedule.node(1.0)  # raises for numbers that its node would refuse
    return schedule


def read_method(text: str, base: Tile) -> Value:
    """CFG, REG, or plain CFG under the interval or the SNR schedule."""
    if text.casefold() in ("cfg", "reg"):
        return Value(text.upper(), {"rectified": text.casefold() == "reg"})
    schedule = _schedule(text, "method", "CFG, REG, interval 0.2 0.6, SNR 1.0", ["interval", "SNR"])
    return Value(str(schedule), {"rectified": False, "schedule": schedule})


def read_schedule(text: str, base: Tile) -> Value:
    """A schedule of the table with its numbers, or the connected one."""
    legal = "constant, linear 7 1, cosine 2, interval 0.2 0.6, SNR 1.0, connected"
    schedule = _schedule(text, "schedule", legal, [*SCHEDULES, CONNECTED])
    return Value(str(schedule), {"schedule": schedule})


AXES: dict[str, Callable[[str, Tile], Value] | None] = {
    NONE: None,
    "method": read_method,
    "cfg": _numeric("cfg"),
    "strength": _numeric("strength"),
    "form": _named("form", list(FORMS)),
    "estimator": _named("estimator", [AUTO, *ESTIMATORS]),
    "schedule": read_schedule,
    "seed": read_seed,
}


def read_values(axis: str, text: str, base: Tile) -> list[Value]:
    """The values of one axis; raises ValueError that names the legal ones."""
    if not isinstance(axis, str) or axis not in AXES:
        raise ValueError(f"REG: an axis must be one of {', '.join(AXES)}; got {shown(axis)}")
    read = AXES[axis]
    if read is None:
        return [Value("", {})]
    parts = [part for part in map(str.strip, text.replace("\n", ",").split(",")) if part]
    if not parts:
        raise ValueError(f"REG: {axis} has no values. Write them with commas between, or choose {NONE} as the axis.")
    if len(parts) > MOST_TILES:
        raise ValueError(f"REG: a sheet has at most {MOST_TILES} tiles; {axis} has {len(parts)} values. Remove some.")
    return [read(part, base) for part in parts]


def compare(base: Tile, columns: tuple[str, str], rows: tuple[str, str], connected: bool) -> Comparison:
    """The tiles of two axes, each an axis name and its values; ``connected`` says whether a schedule is linked.

    Raises ValueError for unknown axes and values, the same axis twice, and more than 64 tiles.
    """
    if columns[0] == rows[0] != NONE:
        raise ValueError(f"REG: columns and rows are both {rows[0]}. Choose another axis, or {NONE}, for one of them.")
    across, down = read_values(*columns, base), read_values(*rows, base)
    count = len(across) * len(down)
    if count > MOST_TILES:
        raise ValueError(
            f"REG: a sheet has at most {MOST_TILES} tiles; got {len(across)} columns x {len(down)} rows = {count}. "
            "Remove values, or use two nodes."
        )
    tiles = []
    for row, column in product(down, across):
        # A method that is a schedule keeps it, whatever the schedule axis says.
        pair = (column, row) if rows[0] == "method" else (row, column)
        tile = replace(base, **{**pair[0].changes, **pair[1].changes})
        if connected and tile.rectified and tile.schedule is None:
            tile = replace(tile, schedule=TileSchedule(CONNECTED))
        if tile.schedule is not None and tile.schedule.name == CONNECTED and not connected:
            raise ValueError(f"REG: schedule {CONNECTED} needs a connected schedule. Connect one, or remove the value.")
        tiles.append(tile)
    return Comparison([value.header for value in across], [value.header for value in down], tiles)
