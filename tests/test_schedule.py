"""Guidance schedules: values, shape, serialisation, and the translation of the paper's own weights."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
import torch

from reg_core.mixture import GaussianMixture
from reg_core.schedule import (
    COMBINATIONS,
    SCHEDULES,
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
    check_range,
    from_dict,
    to_dict,
)

POINTS = ((0.0, 1.0), (0.25, 6.0), (0.5, 2.0), (1.0, 3.0))
EXAMPLES: list[Schedule] = [
    Constant(4.0),
    Linear(7.0, 2.0),
    Cosine(5.0, 2.0),
    Interval(3.0, 0.2, 0.7),
    SNR(6.0, 0.5),
    Curve(POINTS),
    Measured(5.0, ((0.2, 0.9), (1.0, 0.7), (12.0, 0.1))),
    Combined(Linear(7.0, 2.0), Combined(SNR(6.0, 0.5), Curve(POINTS), "maximum"), "join", 0.25),
    Exponential(3.0, math.log(2)),
]
PROGRESS = [i / 100 for i in range(101)]


@pytest.mark.parametrize(
    ("schedule", "progress", "expected"),
    [
        (Constant(4.0), 0.0, 4.0),
        (Constant(4.0), 1.0, 4.0),
        (Linear(7.0, 2.0), 0.0, 7.0),
        (Linear(7.0, 2.0), 0.5, 4.5),
        (Linear(7.0, 2.0), 1.0, 2.0),
        (Cosine(5.0), 0.0, 1.0),
        (Cosine(5.0), 0.5, 3.0),
        (Cosine(5.0), 1.0, 5.0),
        (Cosine(5.0, 2.0), 0.5, 1 + 4 * math.sin(math.pi / 8) ** 2),
        (Interval(3.0, 0.2, 0.7), 0.2, 3.0),
        (Interval(3.0, 0.2, 0.7), 0.45, 3.0),
        (Interval(3.0, 0.2, 0.7), 0.7, 3.0),
        (Interval(3.0, 0.2, 0.7), math.nextafter(0.2, 0), 1.0),
        (Interval(3.0, 0.2, 0.7), math.nextafter(0.7, 1), 1.0),
        (Exponential(3.0, math.log(2)), 0.0, 3.0),
        (Exponential(3.0, math.log(2)), 0.5, 3.0 * math.sqrt(2)),
        (Exponential(3.0, math.log(2)), 1.0, 6.0),
        (Exponential(3.0, 0.0), 0.7, 3.0),
        (Curve(POINTS), 0.125, 3.5),
        (Curve(((0.3, 2.0), (0.6, 5.0))), 0.0, 2.0),
        (Curve(((0.3, 2.0), (0.6, 5.0))), 1.0, 5.0),
    ],
)
def test_value(schedule: Schedule, progress: float, expected: float) -> None:
    assert schedule(progress, 1.0) == pytest.approx(expected, abs=1e-14)


@pytest.mark.parametrize(
    ("schedule", "sign"),
    [
        (Linear(2.0, 7.0), 1),
        (Linear(7.0, 2.0), -1),
        (Cosine(5.0, 0.5), 1),
        (Cosine(5.0, 3.0), 1),
        (Exponential(5.0, 0.2), 1),
    ],
)
def test_weight_moves_in_one_direction_over_the_trajectory(schedule: Schedule, sign: int) -> None:
    weights = [sign * schedule(progress, 1.0) for progress in PROGRESS]
    assert all(earlier < later for earlier, later in zip(weights, weights[1:], strict=False))


@pytest.mark.parametrize("weight", [0.0, 1.0, 7.5])
@pytest.mark.parametrize("spread", [0.3, 1.0, 4.0])
def test_snr_halves_the_excess_where_noise_equals_spread(weight: float, spread: float) -> None:
    snr = SNR(weight, spread)
    assert snr(0.5, spread) == pytest.approx(1 + (weight - 1) / 2, abs=1e-14)
    assert snr(0.5, 0.0) == pytest.approx(weight, abs=1e-14)
    assert snr(0.0, math.inf) == 1
    excess = [abs(snr(0.5, sigma) - 1) for sigma in (0.0, 0.1, 1.0, 10.0)]
    assert excess == sorted(excess, reverse=True)


@pytest.mark.parametrize("sigma", [0.2, 1.0, 5.0])
def test_snr_is_the_factor_of_white_data(sigma: float) -> None:
    spread, dtype = 1.7, torch.float64
    white = GaussianMixture(
        torch.zeros(1, 3, dtype=dtype), spread**2 * torch.eye(3, dtype=dtype)[None], torch.ones(1, dtype=dtype)
    )
    factor = white.jacobian(torch.randn(1, 3, dtype=dtype), sigma).sum(dim=1)
    damped = SNR(3.0, spread)(0.5, sigma)
    torch.testing.assert_close(1 + (3 - 1) * factor, torch.full_like(factor, damped), rtol=0, atol=1e-12)


def test_curve_passes_through_its_points() -> None:
    assert [Curve(POINTS)(progress, 1.0) for progress, _ in POINTS] == [weight for _, weight in POINTS]


def test_join_changes_hands_exactly_at_the_switch() -> None:
    joined = Combined(Linear(7.0, 2.0), Constant(3.0), "join", 0.4)
    before = math.nextafter(0.4, 0)
    assert joined(before, 1.0) == Linear(7.0, 2.0)(before, 1.0) == pytest.approx(5.0)
    assert joined(0.4, 1.0) == joined(1.0, 1.0) == 3.0
    assert all(Combined(Constant(2.0), Constant(3.0), "join", 0.0)(p, 1.0) == 3.0 for p in PROGRESS)


def test_multiply_multiplies_the_amounts_of_guidance() -> None:
    product = Combined(Constant(4.0), Constant(2.5), "multiply")
    assert product(0.5, 1.0) == pytest.approx(1 + 3 * 1.5)
    assert Combined(Constant(4.0), Constant(1.0), "multiply")(0.5, 1.0) == 1


@pytest.mark.parametrize("how", COMBINATIONS)
def test_combination_that_is_no_number_is_refused(how: str) -> None:
    combined = Combined(lambda progress, sigma: math.nan, Constant(2.0), how)
    with pytest.raises(ValueError, match=f"{how} gives a guidance weight of nan. Lower"):
        combined(0.1, 1.0)


@pytest.mark.parametrize("progress", PROGRESS)
def test_interval_of_weight_2_gates_the_other_schedule(progress: float) -> None:
    gated = Combined(SNR(6.0, 0.5), Interval(2.0, 0.2, 0.7), "multiply")
    inside = 0.2 <= progress <= 0.7
    assert gated(progress, 1.5) == pytest.approx(SNR(6.0, 0.5)(progress, 1.5) if inside else 1.0, abs=1e-14)


@pytest.mark.parametrize("progress", [0.0, 0.3, 0.6, 1.0])
@pytest.mark.parametrize("sigma", [0.0, 0.7, math.inf])
def test_minimum_and_maximum_split_the_two_weights_between_them(progress: float, sigma: float) -> None:
    first, second = Linear(7.0, 2.0), SNR(6.0, 0.5)
    lower = Combined(first, second, "minimum")(progress, sigma)
    higher = Combined(first, second, "maximum")(progress, sigma)
    assert lower <= higher
    assert sorted([first(progress, sigma), second(progress, sigma)]) == [lower, higher]


def test_every_combination_but_join_is_symmetric() -> None:
    first, second = Linear(7.0, 2.0), Cosine(5.0, 2.0)
    for how in COMBINATIONS:
        forward, back = (Combined(*pair, how) for pair in [(first, second), (second, first)])
        assert all(forward(p, 1.0) == back(p, 1.0) for p in PROGRESS) == (how != "join")


@pytest.mark.parametrize("schedule", EXAMPLES)
@pytest.mark.parametrize("sigma", [0.0, 0.1, 1.0, 80.0, math.inf])
def test_weight_is_finite_over_the_whole_trajectory(schedule: Schedule, sigma: float) -> None:
    assert all(math.isfinite(schedule(progress, sigma)) for progress in PROGRESS)


def test_every_kind_has_an_example_here() -> None:
    assert {type(schedule) for schedule in EXAMPLES} == set(SCHEDULES.values())


@pytest.mark.parametrize("schedule", EXAMPLES)
def test_round_trip_through_json(schedule: Schedule) -> None:
    data = json.loads(json.dumps(to_dict(schedule)))
    assert from_dict(data) == schedule
    assert from_dict(to_dict(from_dict(data))) == schedule


def make(kind: str, *fields: Any) -> Schedule:
    return SCHEDULES[kind](*fields)


@pytest.mark.parametrize(
    ("kind", "fields", "said"),
    [
        ("interval", (3.0, 0.7, 0.2), ["start 0.7", "end 0.2", "0 to 1"]),
        ("interval", (3.0, -0.1, 0.2), ["start -0.1"]),
        ("interval", (3.0, 0.1, 1.2), ["end 1.2"]),
        ("interval", (3.0, math.nan, 1.0), ["start nan"]),
        ("cosine", (3.0, 0.0), ["power must be a number above 0", "0.0"]),
        ("cosine", (3.0, math.nan), ["power must be a number above 0", "nan"]),
        ("snr", (3.0, -1.0), ["spread must be a number above 0", "-1.0"]),
        ("exponential", (3.0, -0.1), ["rate must be a number between 0 and 10", "-0.1"]),
        ("exponential", (3.0, math.inf), ["rate must be a number between 0 and 10", "inf"]),
        ("curve", (((0.0, 1.0),),), ["at least two points", "got 1"]),
        ("curve", (((0.0, 1.0), (0.5, math.inf)),), ["weight of a point must be a number", "inf"]),
        ("curve", (((0.5, 1.0), (0.5, 2.0)),), ["rising progress"]),
        ("curve", (((0.5, 1.0), (0.2, 2.0)),), ["rising progress"]),
        ("combined", (Constant(1.0), Constant(2.0), "add"), [*map(repr, COMBINATIONS), "'add'"]),
        ("combined", (Constant(1.0), Constant(2.0), "join", 1.2), ["inside 0 to 1", "1.2"]),
    ],
)
def test_bad_input_says_what_was_expected_and_what_came(kind: str, fields: tuple[Any, ...], said: list[str]) -> None:
    with pytest.raises(ValueError) as error:
        make(kind, *fields)
    assert all(part in str(error.value) for part in ["REG: ", *said])


@pytest.mark.parametrize("start, end", [(0.0, 1.0), (0.0, 0.0), (1.0, 1.0)])
def test_range_may_be_whole_or_a_point(start: float, end: float) -> None:
    check_range(start, end)
    assert Interval(2.0, start, end)(start, 1.0) == Interval(2.0, start, end)(end, 1.0) == 2.0


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ({"kind": "sine", "weight": 1.0}, [repr(kind) for kind in SCHEDULES] + ["'sine'"]),
        ({"weight": 1.0}, [repr(kind) for kind in SCHEDULES]),
        ({"kind": "linear", "start": 1.0}, ["'linear'", "end"]),
        ({"kind": "constant", "weight": 1.0, "amount": 2.0}, ["'constant'", "amount"]),
        ({"kind": "combined", "first": {"kind": "constant", "weight": 1.0}}, ["'combined'", "second"]),
        ({"kind": "combined", "first": {"kind": "sine"}, "second": {"kind": "sine"}}, ["'sine'"]),
    ],
)
def test_unreadable_dict_is_named(data: dict[str, Any], said: list[str]) -> None:
    with pytest.raises(ValueError) as error:
        from_dict(data)
    assert all(part in str(error.value) for part in said)


def test_only_own_schedules_are_written() -> None:
    with pytest.raises(ValueError, match="function"):
        to_dict(lambda progress, sigma: 1.0)


# The paper's code writes `cond + w1 (cond - uncond)` or `uncond + w2 (cond - uncond)`; ours is w = w2 = w1 + 1.


@pytest.mark.parametrize(("scale", "end_scale"), [(1.5, 0.0), (1.5, 3.0), (4.0, 1.0)])
def test_dit_linear_weights_are_a_linear_schedule(scale: float, end_scale: float) -> None:
    ours = Linear(start=1 + 2 * scale - end_scale, end=1 + scale)
    for t in range(0, 1001, 50):
        slope = (end_scale - scale) / (-1000)
        w1 = scale + slope * t
        assert ours(1 - t / 1000, 1.0) == pytest.approx(1 + w1, abs=1e-12)


@pytest.mark.parametrize("power", [0.5, 1.0, 2.0, 4.0])
def test_dit_cosine_weights_of_reg_are_a_cosine_schedule(power: float) -> None:
    scale = 1.5
    for t in range(0, 1001, 50):
        published = (1 - math.cos(math.pi * (1 - t / 1000) ** power)) / 2 * scale
        assert Cosine(scale + 1, power)(1 - t / 1000, 1.0) == pytest.approx(1 + published, abs=1e-12)


@pytest.mark.parametrize(("rectified", "weight"), [(False, 2.0), (True, 3.0)])
def test_edm_interval_weights_are_an_interval_schedule(rectified: bool, weight: float) -> None:
    guidance, low, high = 2.0, 0.28, 2.90
    root_max, root_min = 80 ** (1 / 7), 0.002 ** (1 / 7)

    def progress(sigma: float) -> float:  # of the rho = 7 grid
        return (root_max - sigma ** (1 / 7)) / (root_max - root_min)

    ours = Interval(weight, progress(high), progress(low))
    sigmas = [(root_max + i / 31 * (root_min - root_max)) ** 7 for i in range(32)]
    published = [guidance + rectified if low <= sigma <= high else 1.0 for sigma in sigmas]
    assert [ours(progress(sigma), sigma) for sigma in sigmas] == published
    assert published.count(1.0) not in (0, 32)
