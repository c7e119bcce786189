"""The schedules that the page draws, against those of the core that run."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
from javascript import evaluate

from reg_core import schedule as core
from reg_core.measurement import from_text, to_text
from reg_core.schedule import (
    SNR,
    Combined,
    Constant,
    Cosine,
    Curve,
    Exponential,
    Interval,
    Linear,
    Measured,
    Schedule,
    to_dict,
)

SCHEDULES: list[Schedule] = [
    Constant(4.0),
    Linear(7.0, 2.0),
    Cosine(5.0, 2.0),
    Interval(3.0, 0.2, 0.7),
    SNR(6.0, 0.5),
    Curve(((0.0, 1.0), (0.25, 6.0), (0.5, 2.0), (1.0, 3.0))),
    Measured(5.0, ((0.2, 0.97), (0.7, 0.5), (2.0, 0.55), (12.0, -0.1))),
    Measured(5.0, ((0.8, 0.6),)),
    Combined(Linear(7.0, 2.0), SNR(6.0, 0.5), "join", 0.25),
    Combined(Cosine(7.0, 2.0), Interval(2.0, 0.1, 0.6), "multiply"),
    Combined(Linear(2.0, 7.0), Constant(4.0), "minimum"),
    Combined(Combined(Linear(2.0, 7.0), Constant(4.0), "minimum"), SNR(6.0), "maximum"),
    Exponential(4.0, 0.7),
]
PERCENTS = sorted({*np.linspace(0, 1, 201).tolist(), 0.2, 0.7, 0.25, math.nextafter(0.7, 1)})
SIGMAS = [0.0, 0.3, 0.7, 5.0, 14.6, None]  # None is infinite
WEIGHTS = """({ weight }, { schedules, percents, sigmas }) => schedules.map((schedule) => sigmas.map((sigma) =>
  percents.map((percent) => weight(schedule, percent, sigma ?? Infinity))))"""
ROWS = """({ SCHEDULES, COMBINATIONS }) => [
  Object.fromEntries(Object.entries(SCHEDULES).map(([kind, { node, fields, parts = [], read }]) =>
    [kind, { node, fields, parts, isPlain: !read }])),
  Object.keys(COMBINATIONS),
]"""


def test_weights_are_those_of_the_core() -> None:
    kinds = {to_dict(schedule)["kind"] for schedule in SCHEDULES}
    ways = {schedule.how for schedule in SCHEDULES if isinstance(schedule, Combined)}
    assert (kinds, ways) == (set(core.SCHEDULES), set(core.COMBINATIONS))
    argument = {"schedules": [to_dict(entry) for entry in SCHEDULES], "percents": PERCENTS, "sigmas": SIGMAS}
    for schedule, drawn in zip(SCHEDULES, evaluate("schedules.mjs", WEIGHTS, argument), strict=True):
        for sigma, weights in zip(SIGMAS, drawn, strict=True):
            expected = [schedule(percent, math.inf if sigma is None else sigma) for percent in PERCENTS]
            np.testing.assert_allclose(weights, expected, rtol=0, atol=1e-9, err_msg=str(schedule))


READ = """({ scheduleFrom }, texts) => texts.map((text) => scheduleFrom("measured", { weight: 5, text }))"""


def test_measured_curve_is_read_as_the_core_reads_it() -> None:
    schedule = Measured(5.0, ((0.2, 0.97), (12.0, -0.1)))
    points = (7, [], [[1]], [[0, 1]], [[2, 1], [1, 1]], [[1, 1], [1, 1]], [[1, None]])
    refused = ["", "{", "7", "null", "[[1, 2]]", *(json.dumps({"points": value}) for value in points)]
    for text in refused:
        with pytest.raises(ValueError):
            from_text(text, 5.0)
    read = evaluate("schedules.mjs", READ, [to_text(schedule, "row-sum"), *refused])
    assert read == [json.loads(json.dumps(to_dict(schedule))), *[None] * len(refused)]


@pytest.mark.host
def test_rows_are_those_of_the_nodes() -> None:
    """Each schedule of the core has a row, whose node exists, and reads what that node makes its schedule of."""
    from reg_pack.nodes import NODES
    from reg_pack.reg_core.schedule import Constant, to_dict

    nodes = {node.GET_SCHEMA().node_id: node for node in NODES}
    rows, ways = evaluate("schedules.mjs", ROWS)
    assert (list(rows), ways) == (list(core.SCHEDULES), list(core.COMBINATIONS))
    for kind, row in rows.items():
        node = nodes.pop(row["node"])
        inputs = {entry.id: entry for entry in node.GET_SCHEMA().inputs}
        assert set(inputs) == {*row["fields"].values(), *row["parts"]}, kind
        if not row["isPlain"]:
            continue
        values: dict[str, Any] = {name: getattr(entry, "default", None) for name, entry in inputs.items()}
        (schedule,) = node.execute(**values | dict.fromkeys(row["parts"], Constant(3.0))).result
        made = to_dict(schedule)
        read = {field: values[name] for field, name in row["fields"].items()}
        assert {name: value for name, value in made.items() if name not in row["parts"]} == {"kind": kind, **read}
    assert [name for name in nodes if name.startswith("REG_Schedule")] == []
