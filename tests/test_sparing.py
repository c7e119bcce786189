"""Steps without the negative prompt: where REG lets through so little guidance that the last gap serves, or none."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import comfy.samplers
import comfy.sd
import pytest
import torch
from comfy.patcher_extension import WrappersMP
from comfy_extras.nodes_custom_sampler import Noise_RandomNoise, SamplerCustomAdvanced
from sampler_runs import Watched, ksample, reg, relative_error, sample_steps
from torch import Tensor

from reg_pack.nodes.host.autoguidance.guider import AutoGuider
from reg_pack.nodes.host.autoguidance.weakening import SKIP_LAYERS, WeakenedModel
from reg_pack.nodes.host.derivative.selection import Method
from reg_pack.nodes.host.keys import STOPWATCH_KEY
from reg_pack.nodes.host.runs import RUNS
from reg_pack.nodes.host.sampling import Guidance
from reg_pack.nodes.playground.digits import UNCONDITIONAL, class_conditioning
from reg_pack.reg_core.measurement import measured
from reg_pack.reg_core.rectification import FORMS
from reg_pack.reg_core.refresh import AS_CFG, BY_NOISE, REFRESHES
from reg_pack.reg_core.trace import COMPUTED, CONDITIONAL, EXTRAPOLATED, Trace
from tiny_models import FAMILIES, conditioning, empty_latent

pytestmark = [pytest.mark.host, pytest.mark.usefixtures("inference_mode")]

Model = Any
ROOT = Path(__file__).parent.parent
SPARING = [name for name, policy in REFRESHES.items() if policy.sparing and not policy.needs_measured]
DIGITS = [*range(10)]


def trace_of(model: Model) -> Trace:
    return next(iter(RUNS.of(model).values()))


def with_both(model: Model) -> Model:
    """A node on the model needs the negative prediction at every step."""
    model = model.clone()
    model.model_options["disable_cfg1_optimization"] = True
    return model


def shifted(model: Model) -> Model:
    """Denoised is x and a number that depends on the prompt: the factor is 1 at every noise level."""
    model = model.clone()

    def denoise(executor: Callable[..., Tensor], x: Tensor, sigma: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        context = kwargs.get("c_crossattn", args[1] if len(args) > 1 else None)
        return x + context.float().mean((1, 2)).view(-1, 1, 1, 1)

    model.add_wrapper_with_key(WrappersMP.APPLY_MODEL, STOPWATCH_KEY, denoise)
    return model


@pytest.mark.parametrize("refresh", SPARING)
@pytest.mark.parametrize("steps", [4, 20, 50])
def test_nothing_is_left_out_or_lost_where_the_factor_is_one(refresh: str, steps: int) -> None:
    plain = shifted(FAMILIES["UNet eps"]())
    guided = reg(plain, refresh=refresh)
    image = sample_steps(guided, steps)
    trace = trace_of(guided)
    assert len(trace.steps) == steps
    assert not [step for step in trace.steps if step.state == CONDITIONAL]
    assert relative_error(image, sample_steps(plain, steps)) < 1e-5  # float32 rounding


@pytest.mark.parametrize("sampler", ["euler", "heun", "dpmpp_2s_ancestral"])
@pytest.mark.parametrize("refresh", [name for name, policy in REFRESHES.items() if not policy.sparing])
def test_in_pure_noise_the_image_is_the_same_bit_for_bit_without_the_negative_prompt(
    refresh: str, sampler: str
) -> None:
    """Prompts of these lengths are not evaluated in one batch, whose size would change the rounding."""
    flow = FAMILIES["SD3 flow"]()
    positive, negative = conditioning(1), conditioning(2)
    negative[0][0] = torch.cat([negative[0][0]] * 5 + [positive[0][0][:, :1]], 1)
    settings = (6, 3.0, sampler, "simple", positive, negative, empty_latent(flow))
    spared, whole = Watched(reg(flow, refresh=refresh)), Watched(with_both(reg(flow, refresh=refresh)))
    images = [ksample(watched.model, 7, *settings)[0]["samples"] for watched in (spared, whole)]
    assert torch.equal(*images)
    without = [step.state for step in trace_of(spared.model).steps].count(CONDITIONAL)
    assert without >= 1
    assert spared.total == whole.total - without


@pytest.fixture(scope="module")
def digits() -> Model:
    with torch.inference_mode():
        return comfy.sd.load_diffusion_model(str(ROOT / "playground" / "reg_playground_digits.safetensors"))


def draw(
    model: Model, *, seed: int = 1, sampler: str = "euler", steps: int = 20, samples: Tensor | None = None, **part: Any
) -> Tensor:
    """Ten digits from pure noise, or from these samples (of which a noise mask keeps a part)."""
    latent = {"samples": torch.zeros(len(DIGITS), 16, 8, 8) if samples is None else samples}
    if "mask" in part:
        latent["noise_mask"] = part.pop("mask")
    conds = class_conditioning(DIGITS), class_conditioning([UNCONDITIONAL])
    return ksample(model, seed, steps, 3.0, sampler, "simple", *conds, latent, **part)[0]["samples"]


def kept(model: Model, *refreshes: str, seeds: Sequence[int] = (1,), **run: Any) -> list[float]:
    """The share of the effect of REG at every step that each refresh keeps."""

    def images(way: Model) -> Tensor:
        return torch.cat([draw(way, seed=seed, **run) for seed in seeds])

    whole, plain = images(reg(model)), images(model)
    parts = [images(reg(model, refresh=refresh)) for refresh in refreshes]
    return [float(1 - (part - whole).norm() / (plain - whole).norm()) for part in parts]


def test_the_steps_without_the_negative_prompt_are_told_and_counted(digits: Model) -> None:
    watched = Watched(reg(digits, refresh=AS_CFG))
    draw(watched.model)
    trace = trace_of(watched.model)
    rows = {CONDITIONAL: 1, EXTRAPOLATED: 2}
    for step, seen in zip(trace.steps, watched.per_level, strict=True):
        assert seen == len(DIGITS) * rows.get(step.state, seen // len(DIGITS))
        assert step.cost == (seen // len(DIGITS) + (step.state == COMPUTED)) / 2
    assert sum(step.state == CONDITIONAL for step in trace.steps) >= 3
    assert trace.cost is not None
    assert trace.cost <= 1.0


@pytest.mark.parametrize("form", FORMS)
def test_a_long_run_takes_less_than_cfg(digits: Model, form: str) -> None:
    guided = reg(digits, form=form, refresh=AS_CFG)
    draw(guided, steps=50)
    assert (trace_of(guided).cost or 9) <= 0.97


@pytest.mark.parametrize("sampler", ["euler", "euler_ancestral", "heun", "dpmpp_2m", "dpm_2"])
def test_every_sampler_keeps_the_effect(digits: Model, sampler: str) -> None:
    assert kept(digits, AS_CFG, sampler=sampler)[0] > 0.85


def test_where_noise_is_added_again_it_keeps_as_much_as_more_products_do(digits: Model) -> None:
    """Ancestral samplers of second order make much of small differences, so that one seed says little."""
    few, more = kept(digits, AS_CFG, BY_NOISE, sampler="dpmpp_2s_ancestral", steps=10, seeds=[1, 2, 3])
    assert few >= more > 0.7


def test_from_an_image_and_in_a_mask_it_keeps_the_effect(digits: Model) -> None:
    samples = draw(digits)
    mask = torch.zeros(1, 1, 8, 8)
    mask[..., 4:, :] = 1
    assert kept(digits, AS_CFG, samples=samples, denoise=0.7)[0] > 0.75
    assert kept(digits, AS_CFG, samples=samples, mask=mask)[0] > 0.8
    inpainted = draw(reg(digits, refresh=AS_CFG), samples=samples, mask=mask)
    assert relative_error(inpainted[..., :4, :], samples[..., :4, :]) < 1e-3


def test_a_weak_version_is_left_out_as_a_negative_prompt_is(digits: Model) -> None:
    def images(model: Model) -> Tensor:
        guider = AutoGuider(model, class_conditioning(DIGITS), 2.0, WeakenedModel(SKIP_LAYERS, (1,)))
        sampling = model.get_model_object("model_sampling")
        sigmas = comfy.samplers.calculate_sigmas(sampling, "simple", 20)
        latent = {"samples": torch.zeros(len(DIGITS), 16, 8, 8)}
        arguments = (Noise_RandomNoise(1), guider, comfy.samplers.sampler_object("euler"), sigmas, latent)
        return SamplerCustomAdvanced.execute(*arguments)[0]["samples"]

    plain, whole, guided = images(digits), images(reg(digits)), reg(digits, refresh=AS_CFG)
    assert float((images(guided) - whole).norm() / (plain - whole).norm()) < 0.25
    trace = trace_of(guided)
    assert sum(step.state == CONDITIONAL for step in trace.steps) >= 3
    assert (trace.cost or 9) <= 1.0


def test_a_node_that_reads_both_predictions_gets_both(digits: Model) -> None:
    guided = with_both(reg(digits, refresh=AS_CFG))
    draw(guided)
    assert not [step for step in trace_of(guided).steps if step.state == CONDITIONAL]


def test_nodes_after_cfg_get_a_pair_at_every_step(digits: Model) -> None:
    """What they see of D_u where it was left out is what REG makes of it."""
    guided = reg(digits, refresh=AS_CFG)
    shapes = []

    def look(arguments: dict[str, Any]) -> Tensor:
        shapes.append(arguments["uncond_denoised"].shape == arguments["cond_denoised"].shape)
        return arguments["denoised"]

    guided.set_model_sampler_post_cfg_function(look)
    assert torch.equal(draw(guided), draw(reg(digits, refresh=AS_CFG)))
    assert shapes == [True] * 20


def test_a_factor_that_was_measured_takes_less_than_cfg_without_a_product(digits: Model) -> None:
    exact = reg(digits)
    draw(exact)
    curve = measured([trace_of(exact).steps], 3.0, "row-sum")
    free = Guidance(Method(refresh="free", measured=curve)).install(digits)
    whole, plain = draw(exact), draw(digits)
    assert float(1 - (draw(free) - whole).norm() / (plain - whole).norm()) > 0.7
    states = {step.state for step in trace_of(free).steps}
    assert states == {CONDITIONAL, EXTRAPOLATED}
    assert (trace_of(free).cost or 9) < 1


def test_free_without_a_measured_factor_is_refused() -> None:
    with pytest.raises(ValueError, match="'free' follows a factor that was measured before; got none"):
        Method(refresh="free")
