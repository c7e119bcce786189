"""Each schedule node hands on the schedule of the core that its widgets describe."""

from __future__ import annotations

import re
from typing import Any

import pytest

from reg_pack.nodes import schedules
from reg_pack.reg_core.schedule import (
    SNR,
    Combined,
    Constant,
    Cosine,
    Curve,
    Exponential,
    Interval,
    Linear,
    Measured,
)

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
    (schedules.ScheduleExponential, {"cfg": 4.0, "rate": 0.5}, Exponential(4.0, 0.5)),
    (
        schedules.ScheduleCombine,
        {"first": Linear(7.0, 2.0), "second": SNR(4.0, 0.5), "combine": "multiply", "switch_percent": 0.3},
        Combined(Linear(7.0, 2.0), SNR(4.0, 0.5), "multiply", 0.3),
    ),
    (
        schedules.ScheduleMeasured,
        {"cfg": 4.0, "curve": '{"form": "row-sum", "points": [[0.2, 0.9], [3, 0.25]]}'},
        Measured(4.0, ((0.2, 0.9), (3.0, 0.25))),
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


@pytest.mark.parametrize(
    ("curve", "reason"),
    [
        ("", "curve is empty. Run REG with an Inspector and click Make schedule."),
        (" \n", "curve is empty. Run REG with an Inspector and click Make schedule."),
        ("0.5", "a measured curve is text such as .*; got '0.5'. Copy it again, or measure a new one."),
        ('{"points": []}', "at least one point; got 0. Copy the curve again, or measure a new one."),
    ],
)
def test_curve_that_was_not_measured_is_refused_before_the_run_and_in_it(curve: str, reason: str) -> None:
    node = schedules.ScheduleMeasured
    assert re.search(reason, str(node.validate_inputs(curve)))
    with pytest.raises(ValueError, match=reason):
        node.execute(4.0, curve)


def test_linked_curve_is_looked_at_in_the_run() -> None:
    assert schedules.ScheduleMeasured.validate_inputs(None) is True
