"""The core given anything: a result as documented, finite where the inputs are, or a short refusal."""

from __future__ import annotations

import json
import math
import re
from inspect import ismodule
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

import reg_core
from arbitrary import REAL, SHAPES, anything, examples, is_finite, numbers, refused, tensors
from reg_core import (
    ESTIMATORS,
    FORMS,
    PREDICTIONS,
    REFRESHES,
    SCHEDULES,
    STATES,
    GaussianMixture,
    GradientUnavailable,
    MemoryBudgetExceeded,
    Recomputation,
    Rectification,
    RectifiedPair,
    Refresh,
    denoiser,
    guide,
    optimal_denoised,
)
from reg_core.factor import factor_statistics, places
from reg_core.factor import shown as shown_places
from reg_core.jacobian import Reverse, difference_step, disagreement
from reg_core.number import number, whole_number
from reg_core.refresh import ByNoise
from reg_core.schedule import COMBINATIONS, Combined, Constant, Linear, check_range, from_dict, to_dict
from reg_core.table import MOST_SHOWN, lookup, shown
from reg_core.trace import RECTIFIED, UNGUIDED, Step, Trace

NETWORKS = {
    "tanh": torch.tanh,
    "linear": lambda x: 0.3 * x,
    "constant": lambda x: torch.ones_like(x) + 0 * x,
    "mixing": lambda x: x - 0.5 * x.flip(-1) if x.ndim > 1 else x,
}
networks = st.sampled_from(list(NETWORKS.values()))


def test_every_public_name_is_given_anything() -> None:
    text = Path(__file__).read_text("utf-8")
    names = [name for name, value in vars(reg_core).items() if not name.startswith("_") and not ismodule(value)]
    assert len(names) > 15
    assert not [name for name in names if len(re.findall(rf"\b{name}\b", text)) < 2]


@examples(120)
@given(anything)
def test_what_came_is_quoted_in_few_words(value: Any) -> None:
    assert 0 < len(shown(value)) <= MOST_SHOWN
    assert "\n" not in shown(value)
    refused(lambda: lookup(FORMS, value, "form"))


def test_what_cannot_be_printed_is_told_by_its_type() -> None:
    class Unprintable:
        def __repr__(self) -> str:
            raise RuntimeError

    assert "Unprintable" in shown(Unprintable()) and "Unprintable" in shown([Unprintable()])


def test_a_number_with_more_digits_than_python_writes_is_told() -> None:
    with pytest.raises(ValueError, match="weight must be a number"):
        Constant(10**5000)


def test_a_number_larger_than_any_float_is_infinite() -> None:
    assert Rectification(limit=10**400).limit == math.inf
    assert number(10**400, "limit", high=math.inf) == math.inf
    with pytest.raises(ValueError, match="limit must be a number"):
        number(-(10**400), "limit", high=math.inf)


@examples(120)
@given(anything, st.floats(-10, 10), st.floats(-10, 10))
def test_a_number_is_one_within_its_limits(value: Any, low: float, high: float) -> None:
    plain = refused(lambda: number(value, "x", low, high))
    assert plain is None or (type(plain) is float and low <= plain <= high and plain == value)
    whole = refused(lambda: whole_number(value, "n", -5, 50))
    assert whole is None or (type(whole) is int and -5 <= whole <= 50 and whole == value)


@examples(120)
@given(anything | numbers, anything | numbers)
def test_a_range_is_within_its_limits(start: Any, end: Any) -> None:
    try:
        check_range(start, end)
    except ValueError as error:
        assert "start" in str(error) and len(str(error)) < 600
    else:
        assert 0 <= float(start) <= float(end) <= 1


points = st.lists(st.tuples(numbers, numbers), max_size=6)


@st.composite
def schedules(draw: st.DrawFn) -> Any:
    """A schedule made of anything, None if it was refused."""
    kind = draw(st.sampled_from(list(SCHEDULES)))
    values = draw(st.lists(numbers | st.floats(0, 1), min_size=3, max_size=3))
    if kind == "curve":
        fields: list[Any] = [draw(points | points.map(sorted) | anything)]
    elif kind == "measured":
        fields = [values[0], draw(points | points.map(sorted) | anything)]
    elif kind == "combined":
        parts = [draw(schedules() | anything) for _ in range(2)]
        fields = [*parts, draw(st.sampled_from([*COMBINATIONS, "sum", None])), values[0]]
    else:
        fields = values[: {"constant": 1, "linear": 2, "cosine": 2, "interval": 3, "snr": 2, "exponential": 2}[kind]]
    if draw(st.integers(0, 5)) == 0:
        fields[draw(st.integers(0, len(fields) - 1))] = draw(anything)
    return refused(lambda: SCHEDULES[kind](*fields))


@examples(200)
@given(schedules(), st.floats(0, 1), st.floats(0, math.inf))
def test_a_schedule_gives_finite_weights_and_is_written_down(schedule: Any, progress: float, sigma: float) -> None:
    if schedule is None:
        return
    written = refused(lambda: to_dict(schedule))  # not for a part that is a function
    if written is None:
        return
    assert from_dict(json.loads(json.dumps(written))) == schedule
    weight = refused(lambda: schedule(progress, sigma))
    if weight is None:
        assert isinstance(schedule, Combined)  # a product that overflows
        return
    assert math.isfinite(weight) and isinstance(weight, float)


dicts = st.recursive(
    anything,
    lambda inner: st.fixed_dictionaries(
        {"kind": st.sampled_from([*SCHEDULES, "sine"])},
        optional={
            name: inner | numbers
            for name in ("weight", "start", "end", "power", "spread", "points", "first", "second", "how", "at")
        },
    ),
    max_leaves=8,
)


@examples(200)
@given(dicts)
def test_a_schedule_is_read_or_refused(data: Any) -> None:
    schedule = refused(lambda: from_dict(data))
    assert schedule is None or type(schedule) in SCHEDULES.values()


def test_nested_schedules_are_refused_at_once_however_deep() -> None:
    data: Any = {"kind": "constant", "weight": 1.0}
    for _ in range(100_000):
        data = {"kind": "combined", "first": data, "second": data}
    with pytest.raises(ValueError, match="at most 100 schedules"):
        from_dict(data)
    while isinstance(data, dict) and "first" in data:  # taken apart here, since Python frees nested dicts recursively
        data = data.pop("first")


def test_a_schedule_combined_with_itself_does_not_take_for_ever() -> None:
    schedule: Any = Constant(2.0)
    with pytest.raises(ValueError, match="at most 100 schedules"):
        for _ in range(60):
            schedule = Combined(schedule, schedule, "multiply")
    assert schedule(0.5, 1.0) == 2.0


def test_a_product_that_overflows_is_refused() -> None:
    schedule: Any = Constant(1e6)
    for _ in range(60):
        schedule = Combined(schedule, Constant(1e6), "multiply")
    with pytest.raises(ValueError, match="multiply gives a guidance weight of inf"):
        schedule(0.5, 1.0)


def test_linear_never_overflows() -> None:
    with pytest.raises(ValueError, match="start must be a number"):
        Linear(1e308, -1e308)


@examples(120)
@given(
    networks,
    st.sampled_from([0.0, 1.0, 300.0, 1e-20, 1e30, 0.5])
    | numbers
    | anything
    | tensors(shapes=[(), (1,), (2,), (2, 1)]),
    st.sampled_from([*PREDICTIONS, "noise"]),
    st.sampled_from([*STATES, "vp2"]),
    tensors(),
)
def test_a_denoiser_gives_what_it_is_given(network: Any, sigma: Any, prediction: str, state: str, x: Tensor) -> None:
    denoised = refused(lambda: denoiser(network, sigma, prediction, state)(x))
    if denoised is None:
        return
    assert denoised.shape == x.shape and denoised.dtype == x.dtype
    level = float(torch.as_tensor(sigma).max()) if torch.as_tensor(sigma).numel() else 0.0
    if is_finite(x) and (level < 20 or prediction == "x0") and not (prediction == "eps" and level > 0.9):
        assert denoised.isfinite().all()


@pytest.mark.parametrize("state", ["ve", "vp"])
def test_half_precision_does_not_overflow_on_the_way(state: str) -> None:
    """300 squared is beyond float16, and the noise level of many models is."""
    x = torch.linspace(-2, 2, 12, dtype=torch.float64).reshape(3, 4)
    half = denoiser(torch.tanh, 300.0, "v", state)(x.half())
    torch.testing.assert_close(half.double(), denoiser(torch.tanh, 300.0, "v", state)(x), rtol=2e-3, atol=2e-3)


@pytest.mark.parametrize(("sigma", "state"), [(1.0, "flow"), (math.inf, "vp"), (1e20, "vp"), (torch.ones(2), "flow")])
def test_eps_of_pure_noise_is_refused(sigma: Any, state: str) -> None:
    with pytest.raises(ValueError, match="eps tells nothing of the signal"):
        denoiser(torch.tanh, sigma, "eps", state)


def test_a_sample_of_whole_numbers_is_refused() -> None:
    """A noise level of 0.5 would be 0 in its dtype."""
    with pytest.raises(ValueError, match="dense floating-point tensor"):
        denoiser(lambda x: x, 0.5, "eps", "ve")(torch.ones(2, 3, dtype=torch.int64))


rectifications = st.tuples(
    st.sampled_from([1.0, 0.0, 0.5]) | anything,
    st.sampled_from(list(FORMS)) | anything,
    st.sampled_from(list(ESTIMATORS)) | anything,
    st.sampled_from([None, 1.0, 0.3, math.inf]) | anything,
)


@examples(120)
@given(rectifications)
def test_a_rectification_is_one_or_is_refused(fields: tuple[Any, ...]) -> None:
    rectification = refused(lambda: Rectification(*fields))
    assert rectification is None or math.isfinite(rectification.strength)


@pytest.mark.parametrize("strength", [1e308, math.nan, "1", None])
def test_a_strength_that_overflows_is_refused(strength: Any) -> None:
    with pytest.raises(ValueError, match="strength"):
        Rectification(strength)


@examples(200)
@given(
    networks,
    networks,
    tensors(),
    st.sampled_from([1.0, 3.0, 0]) | numbers,
    st.sampled_from([1.0, 0.5, 0.0, torch.tensor(0.5)]) | numbers,
    st.builds(
        Rectification,
        st.sampled_from([1.0, 0.0, 0.5]),
        st.sampled_from(list(FORMS)),
        st.sampled_from(list(ESTIMATORS)),
        st.sampled_from([None, 1.0, 0.3]),
    ),
)
def test_guidance_has_the_form_of_its_sample(
    conditional: Any, unconditional: Any, x: Tensor, weight: Any, alpha: Any, rectification: Rectification
) -> None:
    before = x.clone()
    guided = refused(lambda: guide(conditional, unconditional, x, weight, alpha, rectification), GradientUnavailable)
    assert x.layout != torch.strided or torch.equal(x.nan_to_num(), before.nan_to_num())
    if guided is None:
        numbers_fit = abs(weight) <= 1e6 and abs(alpha) <= 1e6
        assert x.layout != torch.strided or not x.is_floating_point() or x.ndim == 0 or not numbers_fit
        return
    assert guided.shape == x.shape and guided.dtype == x.dtype and not guided.requires_grad
    if is_finite(x, weight, alpha):
        assert guided.isfinite().all()


@examples(120)
@given(
    st.sampled_from(list(ESTIMATORS.values())),
    networks,
    tensors(REAL, [shape for shape in SHAPES if shape]),
    st.sampled_from([1.0, 0.5, 0.0]),
)
def test_an_estimator_gives_prediction_and_product(estimator: Any, network: Any, x: Tensor, alpha: float) -> None:
    made = refused(lambda: estimator(network, x, torch.ones(x.shape, dtype=x.dtype), alpha))
    if made is None:
        assert x.layout != torch.strided
        return
    for value in made:
        assert value.shape == x.shape and value.dtype == x.dtype
        assert not is_finite(x) or value.isfinite().all()
    assert disagreement(network, x, torch.ones_like(x), alpha, *made) >= 0 or not is_finite(x) or not x.numel()


@examples(100)
@given(tensors([torch.float64], [(2, 4), (3, 5)]), st.sampled_from(list(FORMS)), st.sampled_from(list(ESTIMATORS)))
def test_samples_do_not_see_each_other(x: Tensor, form: str, estimator: str) -> None:
    if not is_finite(x):
        return
    rectification = Rectification(form=form, estimator=estimator, limit=0.5)
    together = guide(torch.tanh, torch.sin, x, 3.0, 0.5, rectification)
    alone = [guide(torch.tanh, torch.sin, x[i : i + 1], 3.0, 0.5, rectification) for i in range(len(x))]
    torch.testing.assert_close(together, torch.cat(alone), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("estimator", ESTIMATORS)
@pytest.mark.parametrize("form", FORMS)
def test_samples_of_one_number_do_not_see_each_other(form: str, estimator: str) -> None:
    """``[batch]`` is ``[batch, 1]`` without its last axis."""
    x = torch.tensor([0.2, -3.0, 40.0], dtype=torch.float64)
    rectification = Rectification(form=form, estimator=estimator, limit=0.5)
    flat = guide(torch.tanh, torch.sin, x, 3.0, 0.5, rectification)
    torch.testing.assert_close(flat, guide(torch.tanh, torch.sin, x[:, None], 3.0, 0.5, rectification)[:, 0])


budgets = st.none() | st.integers(0, 10**6)


@examples(60)
@given(budgets, st.booleans(), networks, tensors(REAL, [(2, 4), (0, 4), (2, 3, 4, 4)]))
def test_recomputation_changes_no_number(budget: Any, in_place: bool, network: Any, x: Tensor) -> None:
    if x.layout != torch.strided:
        return
    ones = torch.ones(x.shape, dtype=x.dtype)
    saved = refused(
        lambda: Reverse(Recomputation(budget=budget, in_place=in_place))(network, x, ones, 1.0),
        MemoryBudgetExceeded,
    )
    if saved is None:
        assert budget is not None
        return
    for kept, plain in zip(saved, Reverse()(network, x, ones, 1.0), strict=True):
        assert torch.equal(kept.nan_to_num(), plain.nan_to_num())


@examples(120)
@given(
    st.sampled_from([*REFRESHES, "never"]) | anything,
    st.sampled_from([*FORMS, "other"]) | anything,
    st.lists(st.floats(0, math.inf) | st.sampled_from([math.nan, -1.0, 0.0, 1.0]), max_size=8),
    st.sampled_from([(2, 3, 4), (2, 4), (0, 4), (2, 0)]),
    st.booleans(),
)
def test_a_product_is_extrapolated_or_refused(
    every: Any, form: Any, noises: list[float], shape: tuple[int, ...], planned: bool
) -> None:
    refresh = refused(lambda: Refresh(every, form, noises if planned else []))
    if refresh is None:
        assert every not in list(REFRESHES) or form not in list(FORMS)
        return
    generator = torch.Generator().manual_seed(3)
    for noise in noises:
        gap, product = torch.randn(2, *shape, generator=generator)
        due = refused(lambda noise=noise: refresh.due(noise, shape))
        if due:
            refresh.keep(noise, gap, product)
        extrapolated = refused(lambda noise=noise, gap=gap: refresh.extrapolated(noise, gap))
        if extrapolated is not None:
            assert extrapolated.shape == gap.shape and extrapolated.dtype == gap.dtype
            assert not math.isfinite(sum(noises)) or extrapolated.isfinite().all()


@examples(120)
@given(st.lists(st.floats() | st.floats(0, 100), max_size=200), st.integers(-5, 10**6))
def test_levels_lie_where_the_run_does(noises: list[float], steps: int) -> None:
    levels = ByNoise().levels(noises)
    assert all(math.isfinite(level) and level > 0 for level in levels)
    assert len(levels) <= max(len(noises), 1)
    count = refused(lambda: ByNoise().products(steps))
    assert count is None or 1 <= count <= max(steps, 1) * 2
    assert difference_step(2.0**-20) > 0


square = tensors(shapes=[(2, 2), (1, 1), (3, 3), (0, 0), (2, 0), (2,), ()])
parts = st.tuples(
    tensors(shapes=[(2, 2), (1, 1), (3, 2), (0, 2), (2, 0), (2,), ()]) | anything,
    st.sampled_from([torch.eye(2).repeat(2, 1, 1), torch.zeros(2, 2, 2), -torch.ones(1, 1, 1)])
    | tensors(shapes=[(2, 2, 2), (1, 1, 1), (3, 2, 2), (2, 2)])
    | anything,
    st.sampled_from([torch.ones(2), torch.ones(1), torch.ones(3)]) | tensors(shapes=[(2,), (1,), (3,), ()]) | anything,
)
proper = st.tuples(
    tensors([torch.float32, torch.float64], [(2, 2), (2, 1)]),
    st.sampled_from([1.0, 1e-3, 0.0]),
    st.sampled_from([1.0, 30.0]),
)


def proper_mixture(means: Tensor, variance: float, ratio: float) -> GaussianMixture:
    dim = means.shape[1]
    covariances = variance * torch.eye(dim, dtype=means.dtype).repeat(2, 1, 1)
    return GaussianMixture(means.to_dense(), covariances, torch.tensor([1.0, ratio], dtype=means.dtype))


@examples(120)
@given(parts)
def test_a_mixture_is_one_or_is_refused(fields: tuple[Any, ...]) -> None:
    mixture = refused(lambda: GaussianMixture(*fields))
    assert mixture is None or bool(mixture.weights.isfinite().all())


@examples(120)
@given(
    proper,
    tensors(shapes=[(3, 2), (3, 1), (0, 2), (2,), ()]) | anything,
    st.sampled_from([1.0, 0.1, 0.0]) | numbers | anything,
    st.sampled_from([1.0, 0.5, 0.0]) | numbers | anything,
)
def test_the_oracle_is_exact_or_refuses(data: tuple[Any, ...], x: Any, noise: Any, alpha: Any) -> None:
    mixture = refused(lambda: proper_mixture(*data))
    if mixture is None:
        return
    dim = mixture.means.shape[1]
    made = {
        "denoised": refused(lambda: mixture.denoised(x, noise, alpha)),
        "jacobian": refused(lambda: mixture.jacobian(x, noise, alpha)),
        "log density": refused(lambda: mixture.log_density(x)),
        "optimal": refused(lambda: optimal_denoised(mixture, mixture, x, 2.0, noise, alpha, points=20)),
    }
    shapes = {"denoised": (dim,), "jacobian": (dim, dim), "log density": (), "optimal": (dim,)}
    for name, value in made.items():
        if value is not None:
            assert value.shape == (len(x), *shapes[name]), name
            assert value.dtype == torch.promote_types(x.dtype, mixture.means.dtype)
            usual = is_finite(x) and (name == "log density" or (is_finite(noise, alpha) and noise > 1e-2))
            assert not usual or value.isfinite().all(), name


@examples(100)
@given(proper, st.sampled_from([1, 5]) | anything, anything)
def test_points_are_drawn_or_refused(data: tuple[Any, ...], count: Any, generator: Any) -> None:
    mixture = refused(lambda: proper_mixture(*data))
    if mixture is None:
        return
    drawn = refused(lambda: mixture.sample(count, torch.Generator().manual_seed(0)))
    assert drawn is None or (drawn.shape == (count, mixture.means.shape[1]) and drawn.isfinite().all())


@pytest.mark.parametrize("points", [1, 10**6, 2.5, None])
def test_a_quadrature_that_does_not_fit_is_refused(points: Any) -> None:
    mixture = proper_mixture(torch.zeros(2, 2), 1.0, 1.0)
    with pytest.raises(ValueError, match=r"points"):
        optimal_denoised(mixture, mixture, torch.zeros(3, 2), 2.0, 1.0, points=points)


@examples(120)
@given(tensors(REAL, [(1, 4, 3, 3), (2, 3, 2, 2, 2), (0, 4, 3, 3), (1, 4, 0, 3), (1, 0, 3, 3)]), networks)
def test_the_factor_of_places_is_told(gap: Tensor, network: Any) -> None:
    if gap.layout != torch.strided:
        return
    factor, square = places(gap, network(gap))
    assert factor.shape == square.shape == gap.shape[:1] + gap.shape[2:]
    statistics = refused(lambda: factor_statistics(factor, square))
    if statistics is not None:
        assert statistics.shape == (5,)
        assert not is_finite(gap) or not bool(square.any()) or statistics.isfinite().all()
    if gap.numel():
        looked = shown_places(factor, gap)
        assert looked is not None and looked[0].ndim == 2


values = st.none() | st.floats()
steps = st.builds(
    Step, st.floats(0, 1), st.floats(), st.sampled_from([*RECTIFIED, UNGUIDED]), *[values] * 8, st.none(), values
)


@examples(100)
@given(st.lists(steps, max_size=6), st.text(max_size=10))
def test_a_run_has_a_table_whatever_its_numbers(made: list[Step], missing: str) -> None:
    trace = Trace(total=len(made), missing=missing, steps=made)
    assert len(trace.table().splitlines()) == len(made) + 1
    assert all(row.keys() == trace.rows()[0].keys() for row in trace.rows())


def test_a_pair_is_guided_as_written() -> None:
    pair = RectifiedPair(torch.ones(2, 3), torch.zeros(2, 3), None)
    assert torch.equal(pair.guided(3), torch.full((2, 3), 3.0))
