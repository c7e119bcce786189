"""A new member of a table is one line: defined here, added to its table, and driven through the real nodes and host."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import pytest
import torch
from comfy_api.latest import io
from executor import host as host
from executor import sampled, sheet
from workflows import node

import nodes as host_nodes
from reg_pack.nodes import schedules
from reg_pack.nodes.compare.axes import AXES, NumberAxis
from reg_pack.nodes.compare.comparison import Compare
from reg_pack.nodes.schedules import ScheduleNode, Written
from reg_pack.reg_core.schedule import (
    COMBINATIONS,
    SCHEDULES,
    Combined,
    Constant,
    Schedule,
    from_dict,
    of_weights,
    to_dict,
)

pytestmark = pytest.mark.host


def help_of_axes() -> list[str]:
    return [spec.tooltip for spec in Compare.define_schema().inputs if spec.id in ("column_values", "row_values")]


@dataclass(frozen=True)
class Share:
    """``w = 1 + share (v - 1)`` of the weight v of another schedule."""

    of: Schedule
    share: float

    def __call__(self, progress: float, sigma: float) -> float:
        return 1 + self.share * (self.of(progress, sigma) - 1)


class ScheduleShare(ScheduleNode):
    written: ClassVar[Written | None] = Written("share 0.5", "cfg", ("share",), least=1, method=True)

    @classmethod
    def define_schema(cls) -> io.Schema:
        inputs: list[io.Input] = [
            io.Float.Input("cfg", default=5.0, min=0.0, max=100.0),
            io.Float.Input("share", default=0.5, min=0.0, max=1.0),
        ]
        output = schedules.GuidanceScheduleType.Output("schedule")
        return io.Schema(node_id="TEST_ScheduleShare", inputs=inputs, outputs=[output])

    @classmethod
    def execute(cls, cfg: float, share: float) -> io.NodeOutput:
        return io.NodeOutput(Share(Constant(cfg), share))


def test_schedule_is_a_class_a_line_and_a_node(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SCHEDULES, "share", Share)
    monkeypatch.setattr(schedules, "NODES", [*schedules.NODES, ScheduleShare])
    monkeypatch.setitem(host_nodes.NODE_CLASS_MAPPINGS, "TEST_ScheduleShare", ScheduleShare)
    combined = Combined(Share(Constant(5.0), 0.5), Constant(2.0), "multiply")
    assert from_dict(to_dict(combined)) == combined
    assert to_dict(combined)["first"] == {"kind": "share", "of": {"kind": "constant", "weight": 5.0}, "share": 0.5}
    assert all(text.count("share 0.5") == 2 for text in help_of_axes())
    tiles = sheet(("schedule", "constant, share 0.5"), ("cfg", "2.5, 4"))
    assert torch.equal(tiles[0], sheet(("schedule", "share 0.5"), ("cfg", "4"))[0]) and not torch.equal(*tiles[:2])
    assert torch.equal(sheet(("method", "share 0.5"))[0], sampled(cfg=2.5)[0])
    with pytest.raises(ValueError, match="share takes 1 number, as in CFG, REG, .*share 0.5; got 'share'"):
        sheet(("method", "share"))


def test_combination_is_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(COMBINATIONS, "mean", of_weights(lambda a, b: (a + b) / 2))
    parts = {"first": ["one", 0], "second": ["six", 0]}
    prompt = {
        "one": node("REG_ScheduleConstant", cfg=1.0),
        "six": node("REG_ScheduleConstant", cfg=6.0),
        "both": node("REG_ScheduleCombine", **parts, combine="mean", switch_percent=0.5),
        "scheduled": node("REG_ApplySchedule", model=["model", 0], schedule=["both", 0]),
    }
    assert torch.equal(sampled(prompt, model=["scheduled", 0], cfg=9.0), sampled(cfg=3.5))


def test_axis_is_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(AXES, "steps", NumberAxis("steps", "10, 20"))
    assert all("steps: 10, 20." in text for text in help_of_axes())
    tiles = sheet(("steps", "2, 4"), ("method", "CFG"))
    assert torch.equal(tiles, torch.cat([sampled(steps=2), sampled(steps=4)]))
    with pytest.raises(ValueError, match="steps takes whole numbers such as 10, 20; got '2.5'"):
        sheet(("steps", "2.5"))
