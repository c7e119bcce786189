"""What is kept of real runs against the predictions themselves, and the inspector in a real server."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import comfy.latent_formats
import comfy.model_management
import comfy.samplers
import pytest
import torch
from comfy.patcher_extension import WrappersMP
from comfy_extras import nodes_context_windows
from torch import Tensor

import nodes
from reg_pack.nodes.host.estimation import Method
from reg_pack.nodes.host.preview import preview
from reg_pack.nodes.host.sampling import TRACES, Guidance, ScheduledWeight, guider, ksample, traces
from reg_pack.nodes.inspection import looks
from reg_pack.reg_core.packing import unpacked
from reg_pack.reg_core.schedule import Interval, Linear
from reg_pack.reg_core.trace import CARRIED, OUTSIDE, PURE_NOISE, TAKEN, UNGUIDED, Trace
from tiny_families import FUSED_FAMILIES, GRADIENT_FAMILIES
from tiny_models import FAMILIES, conditioning, empty_latent

pytestmark = pytest.mark.host

STEPS, CFG = 6, 4.0
WINDOWS = (4, 0, "standard_static", 1, False, "flat", 3, False)
Model = Any


@pytest.fixture(autouse=True)
def inference_mode() -> Iterator[None]:
    with torch.inference_mode():
        yield


def reg(model: Model, start: float = 0.0, end: float = 1.0, **method: Any) -> Model:
    return Guidance(Method(**{"estimator": "reverse", **method}), start, end).install(model)


def sample(model: Model, cfg: float = CFG, sampler: str = "euler", batch: int = 1) -> Tensor:
    conds, latent = (conditioning(1), conditioning(2)), empty_latent(model, batch)
    return nodes.common_ksampler(model, 7, STEPS, cfg, sampler, "simple", *conds, latent)[0]["samples"]


def traced(model: Model, **options: Any) -> Trace:
    sample(model, **options)
    return traces(model)[None]


def independent(model: Model) -> list[dict[str, float]]:
    """Numbers of every step, from the host's own predictions and its rectified pair, in double precision."""
    numbers: list[dict[str, float]] = []

    def pre_cfg(arguments: dict[str, Any]) -> list[Tensor]:
        conds, x, sigma = arguments["conds"], arguments["input"], arguments["sigma"]
        options = {"transformer_options": {"sample_sigmas": torch.ones(2)}}
        plain = comfy.samplers._calc_cond_batch(arguments["model"], conds, x, sigma, options)
        gap = (plain[0] - plain[1]).double()
        rectified = (arguments["conds_out"][0] - arguments["conds_out"][1]).double()
        numbers.append(
            {
                "sigma": float(sigma[0]),
                "before": float(gap.square().mean().sqrt()),
                "after": float(rectified.square().mean().sqrt()),
                "change": float((rectified - gap).norm() / gap.norm()),
                "mean": float((rectified * gap).sum() / gap.square().sum()),
            }
        )
        return arguments["conds_out"]

    model.set_model_sampler_pre_cfg_function(pre_cfg)
    return numbers


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("form", ["row-sum", "directional"])
def test_steps_hold_the_numbers_of_the_predictions(family: str, form: str) -> None:
    model = reg(FAMILIES[family](), form=form)
    expected = independent(model)
    trace = traced(model, batch=2)
    assert trace.total == len(trace.steps) == STEPS
    for step, numbers in zip(trace.steps, expected, strict=True):
        for name, value in numbers.items():  # the predictions above come from a batch, REG's one at a time
            assert getattr(step, name) == pytest.approx(value, rel=1e-3, abs=1e-5), name
        assert step.low is not None and step.min is not None and step.max is not None and step.high is not None
        assert step.min <= step.max and step.low <= step.high
        assert step.seconds is not None and 0 < step.seconds < 60
    percents = [step.percent for step in trace.steps]
    assert percents == pytest.approx([index / STEPS for index in range(STEPS)], abs=0.02)


def test_weight_is_the_one_that_cfg_used() -> None:
    schedule = Linear(7.0, 1.5)
    for first_reg in (True, False):
        model = FAMILIES["SD3 flow"]()
        parts = [Guidance(Method(estimator="reverse")), ScheduledWeight(schedule)]
        for part in parts if first_reg else reversed(parts):
            model = part.install(model)
        for step in traced(model).steps:
            assert step.weight == pytest.approx(schedule(step.percent, 0.0), abs=1e-4)
            assert step.mean is not None
            assert step.effective == pytest.approx(1 + (step.weight - 1) * step.mean)


def test_states_say_what_was_done_at_each_step() -> None:
    flow = FAMILIES["SD3 flow"]()
    states = [step.state for step in traced(reg(flow, start=0.3, end=0.7, refresh="every 2 steps")).steps]
    assert states == [OUTSIDE, OUTSIDE, TAKEN, CARRIED, TAKEN, OUTSIDE]
    assert traced(reg(flow)).steps[0].state == PURE_NOISE
    guided = reg(ScheduledWeight(Interval(CFG, 0.3, 0.7)).install(flow))
    steps = traced(guided).steps
    assert [step.state for step in steps] == [UNGUIDED, UNGUIDED, TAKEN, TAKEN, TAKEN, UNGUIDED]
    assert [step.weight for step in steps] == [1.0, 1.0, CFG, CFG, CFG, 1.0]


def test_second_order_sampler_keeps_every_evaluation() -> None:
    trace = traced(reg(FAMILIES["SD3 flow"]()), sampler="heun")
    assert (trace.total, len(trace.steps)) == (STEPS, 2 * STEPS - 1)


def test_context_windows_of_a_step_are_one_step() -> None:
    """Two windows along the height of the latent: means of the two, the extremes of both."""
    guided = reg(FAMILIES["SD3 flow"]())
    windows = nodes_context_windows.ContextWindowsManualNode.execute(guided, *WINDOWS)[0]
    windows.model_options["context_handler"].causal_window_fix = False
    evaluations: list[float] = []

    def count(executor: Any, model: Any, conds: Any, x: Tensor, sigma: Tensor, options: Any) -> Any:
        evaluations.append(float(sigma))
        return executor(model, conds, x, sigma, options)

    kind = WrappersMP.CALC_COND_BATCH
    windows.wrappers[kind] = {"count": [count], **windows.wrappers[kind]}
    trace = traced(windows)
    assert len(evaluations) > len(trace.steps) == STEPS
    assert [step.sigma for step in trace.steps] == sorted(set(evaluations), reverse=True)
    assert all(step.weight == CFG for step in trace.steps)


def test_pictures_are_of_steps_spread_over_the_run() -> None:
    video = {**GRADIENT_FAMILIES, **FUSED_FAMILIES}["Wan 2.1"]
    model, latent = reg(video.build(torch.float32), refresh="every 3 steps"), {"samples": torch.zeros(1, *video.latent)}
    conds = video.conditioning(1), video.conditioning(2)
    nodes.common_ksampler(model, 7, 12, CFG, "euler", "simple", *conds, latent)
    trace = traces(model)[None]
    places = [round(picture.percent * 12) for picture in trace.pictures]
    assert places == [round(11 * (index + 1) / 6) for index in range(6)]
    channels, _, height, width = video.latent
    for picture in trace.pictures:
        assert picture.factor.shape == (height, width)
        assert picture.latent.shape == (1, channels, 1, height, width)
        assert picture.preview.shape[-1] == 3 and 0 <= picture.preview.min() <= picture.preview.max() <= 1
    for count in (0, 1, 4, 6):
        shown = [look.percent for look in looks(trace, count, None, pytest.fail)]
        assert len(shown) == count and shown == sorted(shown)


def test_every_latent_format_of_the_host_has_a_preview() -> None:
    formats = [member for member in vars(comfy.latent_formats).values() if isinstance(member, type)]
    drawn = 0
    for latent_format in (member() for member in formats if issubclass(member, comfy.latent_formats.LatentFormat)):
        if latent_format.latent_dimensions not in (2, 3):
            continue
        size = (8, 8) if latent_format.latent_dimensions == 2 else (1, 8, 8)
        denoised = torch.randn(1, latent_format.latent_channels, *size)
        picture, latent = preview(latent_format, denoised, pytest.fail)
        assert picture.ndim == 3 and picture.shape[-1] == 3 and bool(picture.isfinite().all())
        assert torch.equal(latent, latent_format.process_out(denoised))
        drawn += 1
    assert drawn > 10


def test_guider_and_sampler_nodes_hand_their_trace_on() -> None:
    flow, conds = FAMILIES["SD3 flow"](), (conditioning(1), conditioning(2))
    guided = reg(flow)
    assert traces(guider(guided, *conds, CFG)) is traces(guided)
    sampled = ksample(guided, (7, STEPS, CFG, "euler", "simple"), *conds, empty_latent(flow), denoise=1.0)
    assert unpacked(sampled[TRACES])[None].steps == traces(guided)[None].steps != []
    assert traces(flow) == {}
    assert traces(reg(flow, strength=0.0)) == {}


@pytest.mark.parametrize("estimator", ["reverse", "forward", "finite difference"])
@pytest.mark.parametrize("at", [1, 4, 5, 6, 7])
def test_cancel_ends_the_run_before_the_next_evaluation(estimator: str, at: int) -> None:
    """The artist cancels during evaluation ``at``: none comes after it, and no trace is left of half a run."""
    evaluations = 0

    def cancelling(apply_model: Any, options: dict[str, Any]) -> Tensor:
        nonlocal evaluations
        evaluations += 1
        if evaluations == at:
            comfy.model_management.interrupt_current_processing()
        return apply_model(options["input"], options["timestep"], **options["c"])

    guided = reg(FAMILIES["UNet eps"](), estimator=estimator)
    guided.set_model_unet_function_wrapper(cancelling)
    with pytest.raises(comfy.model_management.InterruptProcessingException):
        sample(guided)
    assert evaluations == at
    assert traces(guided) == {}
    assert comfy.model_management.in_training is False
