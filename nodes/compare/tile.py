"""What one tile of a sheet is drawn with."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

from ...reg_core.number import number
from ..inputs import denoise_input, rectification_inputs, sampler_inputs
from ..schedules import ScheduleNode, Written

Link = list[Any]
Add = Callable[[str, str, dict[str, Any]], Link]
"""Adds a node by class, title and inputs, and returns the link to its first output."""

SAMPLING = [spec.id for spec in (*sampler_inputs(), denoise_input())]
RECTIFICATION = [spec.id for spec in rectification_inputs() if hasattr(spec, "default")]
"""The settings of a tile: inputs of its KSampler and of its REG that are written and not linked."""


class TileSchedule(Protocol):
    """The guidance schedule that a tile follows; its text is what an axis of the sheet says."""

    def follows_cfg(self) -> bool:
        """Whether the tile's cfg means anything beside it."""
        ...

    def link(self, add: Add, cfg: float) -> Link:
        """The link to the schedule, with the nodes that it needs added."""
        ...


@dataclass(frozen=True)
class WrittenSchedule:
    """A schedule node with its numbers; its weight is the tile's cfg where no number says otherwise."""

    node: type[ScheduleNode]
    written: Written
    numbers: tuple[float, ...] = ()

    def __str__(self) -> str:
        return " ".join([self.written.name, *(f"{number:g}" for number in self.numbers)])

    def follows_cfg(self) -> bool:
        return self.written.weight not in self.written.numbers[: len(self.numbers)]

    def link(self, add: Add, cfg: float) -> Link:
        return add(self.node.GET_SCHEMA().node_id, f"Guidance Schedule: {self}", self.inputs(cfg))

    def inputs(self, cfg: float) -> dict[str, Any]:
        """The inputs of the node; raises ValueError for a number that it does not take."""
        schema = self.node.define_schema()
        inputs: dict[str, Any] = {spec.id: getattr(spec, "default", None) for spec in schema.inputs}
        inputs |= {self.written.weight: cfg} | dict(zip(self.written.numbers, self.numbers, strict=False))
        for spec in schema.inputs:
            inputs[spec.id] = number(inputs[spec.id], f"{spec.id} of {self.written.name}", spec.min, spec.max)
        self.node.execute(**inputs)
        return inputs


@dataclass(frozen=True)
class ConnectedSchedule:
    """The schedule that is linked to the sheet."""

    linked: Link

    def __str__(self) -> str:
        return "connected"

    def follows_cfg(self) -> bool:
        return False

    def link(self, add: Add, cfg: float) -> Link:
        return self.linked


@dataclass(frozen=True)
class Tile:
    """What one tile is drawn with: ``settings`` are the inputs of the sampler and of REG, by name.

    ``schedule`` is the tile's own; ``connected`` is that of the sheet, which its tiles with REG follow else.
    """

    settings: Mapping[str, Any]
    rectified: bool = True
    schedule: TileSchedule | None = None
    connected: ConnectedSchedule | None = None

    def set(self, name: str, value: Any) -> Tile:
        """This tile with another value for one of its settings."""
        return replace(self, settings={**self.settings, name: value})

    @property
    def guided(self) -> bool:
        """Whether REG takes part."""
        return self.rectified and self.settings["strength"] != 0

    @property
    def followed(self) -> TileSchedule | None:
        """The schedule that sets the guidance weight; None where cfg does."""
        return self.connected if self.schedule is None and self.rectified else self.schedule

    @property
    def sampling(self) -> dict[str, Any]:
        """The settings of its KSampler."""
        return {name: self.settings[name] for name in SAMPLING}

    @property
    def rectification(self) -> dict[str, Any]:
        """The settings of its REG; those that a prompt of an older version lacks are left to their defaults."""
        return {name: self.settings[name] for name in RECTIFICATION if name in self.settings}
