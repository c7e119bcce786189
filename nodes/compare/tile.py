"""What one tile of a sheet is drawn with."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, Protocol

from ...reg_core.number import number
from ..host.widgets import Widget
from ..inputs import denoise_input, rectification_inputs, sampler_inputs
from ..schedules import ScheduleNode, Written

Link = list[Any]
Edits = Mapping[str, Mapping[str, Any]]
Upstream = Callable[[tuple[str, ...]], Iterable[Widget]]


class Run(NamedTuple):
    """Links to what the sampling of a tile makes."""

    samples: Link
    stopwatch: Link


class Graph(Protocol):
    """What the nodes of a tile are added to."""

    def add(self, class_type: str, title: str, inputs: dict[str, Any]) -> Link:
        """Add a node, and return the link to its first output."""
        ...

    def run(self, tile: Tile, label: str) -> Run:
        """Add the nodes that sample a tile and measure it."""
        ...


SAMPLING = [spec.id for spec in (*sampler_inputs(), denoise_input())]
RECTIFICATION = [spec.id for spec in rectification_inputs() if hasattr(spec, "default")]
"""The settings of a tile: inputs of its KSampler and of its REG that are written and not linked."""

MATCHED, MEASURED = "CFG matched", "measured"
"""Methods without REG that take their weights from the run of a tile with REG."""


class TileSchedule(Protocol):
    """The guidance schedule that a tile follows; its text is what an axis of the sheet says."""

    def follows_cfg(self) -> bool:
        """Whether the tile's cfg means anything beside it."""
        ...

    def link(self, graph: Graph, cfg: float) -> Link:
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

    def link(self, graph: Graph, cfg: float) -> Link:
        return graph.add(self.node.GET_SCHEMA().node_id, f"Guidance Schedule: {self}", self.inputs(cfg))

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

    def link(self, graph: Graph, cfg: float) -> Link:
        return self.linked


@dataclass(frozen=True)
class MeasuredSchedule:
    """The schedule that the run of a tile with REG measures, in its form; None until the tiles of the sheet are known.

    Its weight is the cfg of the tile that follows it.
    """

    measured: Tile | None = None

    def __str__(self) -> str:
        return MEASURED

    def follows_cfg(self) -> bool:
        return True

    def link(self, graph: Graph, cfg: float) -> Link:
        assert self.measured is not None
        run, form = graph.run(self.measured, "REG"), self.measured.settings["form"]
        return graph.add("REG_CompareMeasured", "Measured schedule", {**run._asdict(), "form": form, "cfg": cfg})


@dataclass(frozen=True)
class Tile:
    """What one tile is drawn with: ``settings`` are the inputs of the sampler and of REG, by name.

    ``schedule`` is the tile's own; ``connected`` is that of the sheet, which its tiles with REG follow else.
    ``matched`` is the tile with REG whose strength its cfg is to have. ``edits`` are what it writes into nodes upstream
    of the sheet, by id and input; ``upstream`` gives what is written upstream of some inputs, where that is known.
    """

    settings: Mapping[str, Any]
    rectified: bool = True
    schedule: TileSchedule | None = None
    connected: ConnectedSchedule | None = None
    matched: Tile | None = None
    edits: Edits = field(default_factory=dict)
    upstream: Upstream | None = field(default=None, compare=False, repr=False)

    def set(self, name: str, value: Any) -> Tile:
        """This tile with another value for one of its settings."""
        return replace(self, settings={**self.settings, name: value})

    def write(self, node: str, name: str, value: Any) -> Tile:
        """This tile with another value in an input of a node upstream of the sheet."""
        return replace(self, edits={**self.edits, node: {**self.edits.get(node, {}), name: value}})

    @property
    def guided(self) -> bool:
        """Whether REG takes part, as far as the settings tell."""
        return self.rectified and self.settings.get("strength") != 0

    @property
    def measures(self) -> bool:
        """Whether its run measures anything: REG takes part, and has guidance to rectify."""
        return self.guided and (self.followed is not None or self.settings.get("cfg") != 1)

    @property
    def followed(self) -> TileSchedule | None:
        """The schedule that sets the guidance weight; None where cfg does."""
        return self.connected if self.schedule is None and self.rectified else self.schedule

    @property
    def sampling(self) -> dict[str, Any]:
        """The settings of its KSampler."""
        return {name: self.settings[name] for name in SAMPLING}

    @property
    def source(self) -> Tile | None:
        """The tile with REG whose run gives it a weight or a schedule."""
        return self.schedule.measured if isinstance(self.schedule, MeasuredSchedule) else self.matched

    def plain(self) -> Tile:
        """Plain CFG as strong as this tile with REG: at strength 0 under the same weights, else at a matched one."""
        tile = replace(self, rectified=False, schedule=self.followed)
        return replace(tile, schedule=None, matched=self) if self.guided else tile

    def measured_by(self, tile: Tile) -> Tile:
        """This tile, its schedule measured by the run of another if it is a measured one."""
        return replace(self, schedule=MeasuredSchedule(tile)) if isinstance(self.schedule, MeasuredSchedule) else self

    @property
    def rectification(self) -> dict[str, Any]:
        """The settings of its REG; those that a prompt of an older version lacks are left to their defaults."""
        return {name: self.settings[name] for name in RECTIFICATION if name in self.settings}
