"""A new member of a table is one line: defined here, added to its table, and driven through the real nodes and host."""

from __future__ import annotations

import ast
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import pytest
import torch
from comfy_api.latest import io
from conftest import ROOT
from executor import host as host
from executor import sampled, sheet
from torch import Tensor
from workflows import node

import nodes as host_nodes
from reg_pack.nodes import schedules
from reg_pack.nodes.compare.axes import AXES, NumberAxis
from reg_pack.nodes.compare.comparison import Compare
from reg_pack.nodes.guidance import RectifiedGuidance
from reg_pack.nodes.host.autoguidance.weakening import WEAKENINGS
from reg_pack.nodes.schedules import ScheduleNode, Written
from reg_pack.reg_core.jacobian import ESTIMATORS, Direction, Estimator, Reverse
from reg_pack.reg_core.parameterization import PREDICTIONS, STATES, Denoiser
from reg_pack.reg_core.rectification import FORMS
from reg_pack.reg_core.refresh import REFRESHES, Moment, RefreshPolicy
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
    monkeypatch.setitem(AXES, "length", NumberAxis("length", "10, 20", "steps"))
    assert all("length: 10, 20." in text for text in help_of_axes())
    tiles = sheet(("length", "2, 4"), ("method", "CFG"))
    assert torch.equal(tiles, torch.cat([sampled(steps=2), sampled(steps=4)]))
    with pytest.raises(ValueError, match="length takes whole numbers such as 10, 20; got '2.5'"):
        sheet(("length", "2.5"))


def rectified(steps: int = 4, **method: Any) -> Tensor:
    """The latent of a run with REG, at every one of its steps."""
    chosen = {"form": "row-sum", "estimator": "reverse", "refresh": "every step", **method}
    inputs = {"strength": 1.0, "start_percent": 0.0, "end_percent": 1.0, **chosen}
    return sampled({"reg": node("REG_Guidance", model=["model", 0], **inputs)}, model=["reg", 0], cfg=4.0, steps=steps)


@dataclass(frozen=True)
class CentralDifference(Estimator):
    """``alpha * J v`` by ``(D(x + h alpha v) - D(x - h alpha v)) / 2h``."""

    step: float = 1e-2

    def __call__(
        self, denoiser: Denoiser, x: Tensor, direction: Direction, alpha: Tensor | float, denoised: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        denoised = denoiser(x) if denoised is None else denoised
        v = direction if isinstance(direction, Tensor) else direction(denoised)
        shift = self.step * alpha * v
        return denoised, (denoiser(x + shift) - denoiser(x - shift)) / (2 * self.step)


@pytest.mark.parametrize("form", ["row-sum", "directional"])
def test_estimator_is_a_class_and_a_line(form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ESTIMATORS, "central difference", CentralDifference())
    exact = rectified(form=form, estimator="forward")
    effect = (exact - sampled(cfg=4.0, steps=4)).norm()
    assert (rectified(form=form, estimator="central difference") - exact).norm() < 0.01 * effect


@dataclass(frozen=True)
class HalfReverse(Reverse):
    """Half of ``alpha * J^T v``."""

    def __call__(
        self, denoiser: Denoiser, x: Tensor, direction: Direction, alpha: Tensor | float, denoised: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        denoised, product = super().__call__(denoiser, x, direction, alpha, denoised)
        return denoised, product / 2


def test_form_is_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """A form that doubles what an estimator has halved: a power of two loses nothing."""
    monkeypatch.setitem(ESTIMATORS, "half", HalfReverse())
    row_sum = FORMS["row-sum"]
    doubled = replace(row_sum, rectify=lambda product, gap, limit: row_sum.rectify(2 * product, gap, limit))
    monkeypatch.setitem(FORMS, "doubled", doubled)
    assert torch.equal(rectified(estimator="half", form="doubled"), rectified())
    assert not torch.equal(rectified(estimator="half"), rectified())


@dataclass(frozen=True)
class Once(RefreshPolicy):
    """At the first evaluation only."""

    def due(self, moment: Moment) -> bool:
        return moment.computed is None


def test_refresh_policy_is_a_class_and_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """A flow model's first step is pure noise, which needs no product: the three after it are one in four."""
    monkeypatch.setitem(REFRESHES, "once", Once())
    assert torch.equal(rectified(refresh="once"), rectified(refresh="every 4 steps"))
    assert not torch.equal(rectified(refresh="once"), rectified(refresh="every 2 steps"))


def test_choices_of_the_node_are_the_tables(monkeypatch: pytest.MonkeyPatch) -> None:
    for table, member in ((ESTIMATORS, CentralDifference()), (FORMS, FORMS["row-sum"]), (REFRESHES, Once())):
        monkeypatch.setitem(table, "new", member)
    options = {spec.id: spec.options for spec in RectifiedGuidance.define_schema().inputs if hasattr(spec, "options")}
    assert all(options[name][-1] == "new" for name in ("estimator", "form", "refresh"))


def test_no_member_of_a_table_is_known_by_its_name() -> None:
    """No comparison with the name of a member: what differs between members stands in the members."""
    tables = (ESTIMATORS, FORMS, REFRESHES, SCHEDULES, COMBINATIONS, PREDICTIONS, STATES, WEAKENINGS)
    names = {name for table in tables for name in table}
    found = [
        f"{path.relative_to(ROOT)}:{part.lineno} {part.value}"
        for folder in ("nodes", "reg_core")
        for path in (ROOT / folder).rglob("*.py")
        if path.name != "curve.py"  # there "linear" is the host's word for how points are joined
        for comparison in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(comparison, ast.Compare)
        for part in ast.walk(comparison)
        if isinstance(part, ast.Constant) and isinstance(part.value, str) and part.value in names
    ]
    assert not found
