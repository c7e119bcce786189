"""Each schedule node hands on the schedule of the core that its widgets describe."""

from __future__ import annotations

from typing import Any

import pytest

from reg_pack.nodes import schedules
from reg_pack.reg_core.schedule import SNR, Combined, Constant, Cosine, Curve, Interval, Linear

pytestmark = pytest.mark.host

CASES: list[tuple[Any, dict[str, Any], Any]] = [
    (schedules.ScheduleConstant, {"cfg": 4.0}, Constant(4.0)),
    (schedules.ScheduleLinear, {"start_cfg": 7.0, "end_cfg": 2.0}, Linear(7.0, 2.0)),
    (schedules.ScheduleCosine, {"cfg": 4.0, "power": 2.0}, Cosine(4.0, 2.0)),
    (
        schedules.ScheduleInterval,
        {"cfg": 4.0, "start_percent": 0.2, "end_percent": 0.7},
        Interval(4.0, 0.2, 0.7),
    ),
    (schedules.ScheduleSNR, {"cfg": 4.0, "spread": 0.5}, SNR(4.0, 0.5)),
    (
        schedules.ScheduleCombine,
        {"first": Linear(7.0, 2.0), "second": SNR(4.0, 0.5), "combine": "multiply", "switch_percent": 0.3},
        Combined(Linear(7.0, 2.0), SNR(4.0, 0.5), "multiply", 0.3),
    ),
]


@pytest.mark.parametrize(("node", "widgets", "expected"), CASES, ids=lambda case: getattr(case, "__name__", ""))
def test_node_makes_its_schedule(node: Any, widgets: dict[str, Any], expected: Any) -> None:
    assert node.execute(**widgets).result == (expected,)


def test_curve_spans_the_given_weights() -> None:
    drawn = {"points": [[0.0, 0.0], [0.5, 1.0], [1.0, 0.25]], "interpolation": "linear"}
    (schedule,) = schedules.ScheduleCurve.execute(drawn, 1.0, 9.0).result
    assert isinstance(schedule, Curve)
    for progress, weight in [(0.0, 1.0), (0.25, 5.0), (0.5, 9.0), (0.75, 6.0), (1.0, 3.0)]:
        assert schedule(progress, 1.0) == pytest.approx(weight, abs=1e-12)
