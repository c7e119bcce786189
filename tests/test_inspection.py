"""What is kept of real runs against the predictions themselves, and the inspector in a real server."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import Any, NamedTuple

import comfy.latent_formats
import comfy.model_management
import comfy.samplers
import pytest
import torch
from comfy.patcher_extension import WrappersMP
from comfy_execution.graph import DynamicPrompt
from comfy_execution.progress import reset_progress_state
from comfy_extras import nodes_context_windows
from torch import Tensor

import nodes
from reg_pack.nodes.host.derivative.estimation import Outcome
from reg_pack.nodes.host.derivative.selection import Method
from reg_pack.nodes.host.evaluation import Compute
from reg_pack.nodes.host.keys import RUNS_KEY
from reg_pack.nodes.host.measurement import merged
from reg_pack.nodes.host.notice import write_down
from reg_pack.nodes.host.preview import preview
from reg_pack.nodes.host.prompt import display_node, listeners, upstream
from reg_pack.nodes.host.record import GuidanceRecord
from reg_pack.nodes.host.runs import RUNS, RunLog
from reg_pack.nodes.host.sampling import Guidance, guider, ksample
from reg_pack.nodes.host.scheduling import ScheduledWeight
from reg_pack.nodes.inspector.inspection import Inspector, looks
from reg_pack.reg_core.schedule import Interval, Linear
from reg_pack.reg_core.trace import (
    COMPUTED,
    CONDITIONAL,
    EXTRAPOLATED,
    OUTSIDE,
    PURE_NOISE,
    UNGUIDED,
    UNUSABLE,
    Step,
    Trace,
)
from tiny_families import FUSED_FAMILIES, GRADIENT_FAMILIES
from tiny_models import FAMILIES, conditioning, empty_latent

pytestmark = [pytest.mark.host, pytest.mark.usefixtures("inference_mode")]

STEPS, CFG = 6, 4.0
WINDOWS = (4, 0, "standard_static", 1, False, "flat", 3, False)
Model = Any


def reg(model: Model, start: float = 0.0, end: float = 1.0, **method: Any) -> Model:
    return Guidance(Method(**{"estimator": "reverse", **method}), start, end).install(model)


def sample(model: Model, cfg: float = CFG, sampler: str = "euler", batch: int = 1) -> Tensor:
    conds, latent = (conditioning(1), conditioning(2)), empty_latent(model, batch)
    return nodes.common_ksampler(model, 7, STEPS, cfg, sampler, "simple", *conds, latent)[0]["samples"]


def traced(model: Model, **options: Any) -> Trace:
    sample(model, **options)
    return RUNS.of(model)[None]


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
    model.model_options["disable_cfg1_optimization"] = True  # so that both predictions are known in pure noise
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
    assert states == [OUTSIDE, OUTSIDE, COMPUTED, EXTRAPOLATED, COMPUTED, OUTSIDE]
    both = reg(flow)
    both.model_options["disable_cfg1_optimization"] = True
    assert traced(reg(flow)).steps[0].state == CONDITIONAL
    assert traced(both).steps[0].state == PURE_NOISE
    guided = reg(ScheduledWeight(Interval(CFG, 0.3, 0.7)).install(flow))
    steps = traced(guided).steps
    assert [step.state for step in steps] == [UNGUIDED, UNGUIDED, COMPUTED, COMPUTED, COMPUTED, UNGUIDED]
    assert [step.weight for step in steps] == [1.0, 1.0, CFG, CFG, CFG, 1.0]


def test_size_of_the_guidance_is_known_outside_the_range() -> None:
    flow = FAMILIES["SD3 flow"]()
    whole = reg(flow)
    whole.model_options["disable_cfg1_optimization"] = True  # so that both predictions are known in pure noise
    whole, part = traced(whole).steps, traced(reg(flow, start=0.3, end=0.7)).steps
    assert part[0].state == OUTSIDE and part[0].before == pytest.approx(whole[0].before)
    outside = [step for step in part if step.state == OUTSIDE]
    assert all(step.before and step.before == step.after and step.mean is None for step in outside)
    windows = merged([replace(outside[0], before=3.0, after=3.0), replace(outside[0], before=1.0, after=1.0)])
    assert (windows.state, windows.before, windows.after) == (OUTSIDE, 2.0, 2.0)


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
    trace = RUNS.of(model)[None]
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
    assert RUNS.of(guider(guided, *conds, CFG)) == RUNS.of(guided)
    sampled = ksample(guided, (7, STEPS, CFG, "euler", "simple"), *conds, empty_latent(flow), denoise=1.0)
    assert RUNS.of(sampled)[None].steps == RUNS.of(guided)[None].steps != []
    assert RUNS.of(flow) == {}
    assert RUNS.of(reg(flow, strength=0.0)) == {}


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
    assert RUNS.of(guided) == {}
    assert comfy.model_management.in_training is False


class Inputs(NamedTuple):
    """What a record asks of an evaluation."""

    sampled_sigmas: list[float]
    sigma: Tensor
    model: Model
    noise: float = 1.0
    compute: Compute = Compute(2)


def add(record: GuidanceRecord, sigmas: list[float], sigma: float, predictions: Tensor) -> None:
    """One evaluation with a computed product, as the wrappers write it."""
    evaluation: Any = Inputs(sigmas, torch.tensor([sigma]), FAMILIES["SD3 flow"]().model)
    record.expect(evaluation)
    record.add(Outcome(COMPUTED, *predictions), evaluation)


def recorded(steps: int, inspectors: tuple[str, ...] = ("inspect",)) -> GuidanceRecord:
    """The record of a run of plain steps."""
    record, prediction = GuidanceRecord("reg", inspectors), torch.randn(3, 1, 16, 8, 8)
    sigmas = [1 - index / steps for index in range(steps)]
    for sigma in sigmas:
        add(record, sigmas, sigma, prediction)
        record.weigh({"cond_scale": CFG, "conds_out": list(prediction[:2])})
    record._send()  # as its report does
    return record


def test_work_of_a_record_grows_with_the_steps_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    built = 0
    effective = Step.effective.fget

    def counted(step: Step) -> float | None:
        nonlocal built
        built += 1
        return effective(step)

    monkeypatch.setattr(Step, "effective", property(counted))
    for steps in (10, 40):
        built = 0
        assert len(recorded(steps).trace.steps) == steps
        assert built == steps
    built = 0
    recorded(40, inspectors=())
    assert built == 0


def test_step_with_a_broken_window_is_broken() -> None:
    record = GuidanceRecord(None)
    good, bad = torch.randn(3, 1, 16, 8, 8), torch.full((3, 1, 16, 8, 8), torch.nan)
    for predictions in (good, bad, good):
        add(record, [1.0, 0.5], 1.0, predictions)
    record.weigh({"cond_scale": CFG, "conds_out": list(bad[:2])})
    assert [step.row() for step in record.trace.steps] == [
        {
            **Step(0.0, 1.0, UNUSABLE, CFG, noise=1.0, cost=1.0).row(),
            "seconds": record.trace.steps[0].seconds,
            "effective": CFG,
        }
    ]
    assert record.trace.broken == [0.0]


def test_traces_of_the_last_runs_are_kept() -> None:
    log = RunLog(most=5)
    for index in range(12):
        log.keep("a", str(index), Trace(total=index))
        log.keep("b", "often", Trace(total=index))
    assert list(log.of({RUNS_KEY: "a"})) == [str(index) for index in range(8, 12)]
    assert log.of({RUNS_KEY: "b"})["often"].total == 11
    assert log.of({RUNS_KEY: "c"}, {RUNS_KEY: None}, {RUNS_KEY: ["a"]}, {}, None) == {}


def test_key_in_a_latent_is_plain_data() -> None:
    flow, conds = FAMILIES["SD3 flow"](), (conditioning(1), conditioning(2))
    sampled = ksample(reg(flow), (7, STEPS, CFG, "euler", "simple"), *conds, empty_latent(flow), denoise=1.0)
    file = io.BytesIO()
    torch.save(sampled, file)
    file.seek(0)
    assert RUNS.of(torch.load(file, weights_only=True)) == RUNS.of(sampled) != {}


def test_record_that_fails_costs_no_image() -> None:
    """Predictions of a shape that nothing can be made of, as of a sampler that is unlike any other."""
    model = reg(FAMILIES["SD3 flow"]())
    expected = sample(model)
    run = Guidance._run

    def failing(guidance: Guidance, inspectors: Any = ()) -> Any:
        result = run(guidance, inspectors)
        result.record.trace.pictures = None  # pyright: ignore[reportAttributeAccessIssue]
        return result

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Guidance, "_run", failing)
        assert torch.equal(sample(model), expected)
    trace = RUNS.of(model)[None]
    assert len(trace.steps) == STEPS
    assert any("The record of what REG does failed (AttributeError" in part for part in trace.how.split(". "))


def test_colours_that_fail_give_grey_and_one_line() -> None:
    def reshape(denoised: Tensor) -> Tensor:
        raise IndexError("no such axis")

    latent_format, warned = comfy.latent_formats.SD15(), []
    latent_format.latent_rgb_factors_reshape = reshape  # pyright: ignore[reportAttributeAccessIssue]
    denoised = torch.randn(1, 4, 8, 8)
    picture, latent = preview(latent_format, denoised, warned.append)
    assert picture.shape == (8, 8, 3) and torch.equal(picture[..., 0], picture[..., 2])
    assert (float(picture.min()), float(picture.max())) == (0.0, pytest.approx(1.0))
    assert torch.equal(latent, latent_format.process_out(denoised))
    assert len(warned) == 1 and "(IndexError: no such axis)" in warned[0]


def test_interrupt_passes_where_other_faults_are_caught() -> None:
    class CancelledVAE:
        def decode(self, latent: Tensor) -> Tensor:
            raise comfy.model_management.InterruptProcessingException

    trace = traced(reg(FAMILIES["SD3 flow"]()))
    with pytest.raises(comfy.model_management.InterruptProcessingException):
        looks(trace, 2, CancelledVAE(), pytest.fail)


@pytest.mark.parametrize("data", [None, "text", {"k": Trace()}, [{"sampler": "k"}]], ids=str)
def test_malformed_key_in_a_latent_finds_no_run(data: Any) -> None:
    samples = {"samples": torch.zeros(1, 16, 8, 8), RUNS_KEY: data}
    result = Inspector.PREPARE_CLASS_CLONE(None).execute(samples, 2).args
    assert result[0] is samples
    assert "no run with REG was found. Connect" in result[2]


GAPS: dict[str, Any] = {
    "k": {"class_type": "KSampler", "inputs": {"model": ["reg", 0], "latent_image": ["gone", 0]}},
    "reg": {"class_type": "REG_Guidance", "inputs": None, "_meta": None},
    "stray": {"class_type": "REG_Inspector"},
    "null": {"class_type": "REG_Inspector", "inputs": None},
    "list": {"class_type": "REG_Inspector", "inputs": [["k", 0]]},
    "odd": {"class_type": None, "inputs": {"samples": ["k", 0]}},
    "text": "no node at all",
    "other": {"class_type": "OtherPack", "inputs": {"samples": ["k", 0]}},
    "inspect": {"class_type": "REG_Inspector", "inputs": {"samples": ["k", 0]}},
}


def test_prompt_is_searched_past_its_gaps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(nodes.NODE_CLASS_MAPPINGS, "REG_Inspector", Inspector)  # as a host that has loaded the pack
    monkeypatch.setitem(nodes.NODE_CLASS_MAPPINGS, "OtherPack", type("OtherPack", (), {"RUN_INPUT": {"samples": 1}}))
    reset_progress_state("gaps", DynamicPrompt(GAPS))
    try:
        assert listeners("k") == ["inspect"]
        assert list(upstream("inspect")) == ["k", "reg", "gone"]
        assert [display_node(name) for name in ("k", "gone")] == ["k", "gone"]
        write_down({"form": "row-sum"}, "reg")
        assert GAPS["reg"]["_meta"] == {"rectified guidance": {"form": "row-sum"}}
        write_down({"form": "row-sum"}, "text")  # nothing to write it on
    finally:
        reset_progress_state("", DynamicPrompt({}))
