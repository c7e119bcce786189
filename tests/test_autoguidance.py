"""Autoguidance through the host's sampling: against predictions that the host makes of the two versions separately."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, NamedTuple

import comfy.hooks
import comfy.model_management
import comfy.ops
import comfy.sample
import comfy.samplers
import comfy.sd
import comfy.supported_models
import numpy as np
import pytest
import torch
from comfy.patcher_extension import WrappersMP
from comfy_extras import nodes_custom_sampler, nodes_easycache, nodes_model_advanced, nodes_pag, nodes_slg
from torch import Tensor
from workflows import REG, custom, images, node, playground, queue_goes_on, stock

from bootstrap.errors import BootstrapError
from bootstrap.server import ComfyServer
from reg_pack.nodes.host.autoguidance.guider import AUTOGUIDANCE_KEY, AutoGuider
from reg_pack.nodes.host.autoguidance.second_model import SecondModel
from reg_pack.nodes.host.autoguidance.weakening import PERTURBED_ATTENTION, SKIP_LAYERS, WeakenedModel, read_layers
from reg_pack.nodes.host.derivative.selection import Method
from reg_pack.nodes.host.keys import STOPWATCH_KEY
from reg_pack.nodes.host.sampling import GUIDANCE_KEY, Guidance
from reg_pack.nodes.host.scheduling import ScheduledWeight
from reg_pack.reg_core.schedule import Interval, Linear
from tiny_families import GRADIENT_FAMILIES
from tiny_models import FAMILIES, _randomise, conditioning

pytestmark = [pytest.mark.host, pytest.mark.usefixtures("inference_mode")]

STEPS, SEED, CFG = 4, 7, 2.5
Model = Any


@pytest.fixture
def unet() -> Model:
    return FAMILIES["UNet eps"]()


@pytest.fixture
def flow() -> Model:
    return FAMILIES["SD3 flow"]()


class Step(NamedTuple):
    """What the sampler saw: the noisy sample, its noise level, the guided prediction."""

    x: Tensor
    sigma: Tensor
    denoised: Tensor


class Case(NamedTuple):
    """A model, how to weaken it, its prompt, the shape of its latents, and the same weakening by the host alone."""

    model: Model
    weak: WeakenedModel
    positive: Any
    latent: tuple[int, ...]
    by_host: Model


def skipping(model: Model, *layers: int) -> Model:
    """The model with layers skipped for good, through the host's own patches."""
    model = model.clone()
    for layer in layers:
        for kind in ("double_block", "single_block"):
            model.set_model_patch_replace(lambda block, original: block, "dit", kind, layer)
    return model


def perturbed(model: Model) -> Model:
    model = model.clone()
    model.set_model_attn1_replace(lambda q, k, v, extra_options: v, "middle", 0)
    return model


LAYERS = {
    "SD3": (0,),
    "Flux": (0,),
    "Wan 2.1": (1,),
    "Qwen-Image": (0,),
    "HunyuanVideo": (0,),
    "AuraFlow": (0, 1),
    "LTXV": (0,),
}
PERTURBED = ("SD1.5", "SD2 v", "SDXL")


def case(name: str) -> Case:
    family = GRADIENT_FAMILIES[name]
    model, positive = family.build(torch.float32), family.conditioning(1)
    if name in PERTURBED:
        return Case(model, WeakenedModel(PERTURBED_ATTENTION), positive, family.latent, perturbed(model))
    layers = LAYERS[name]
    return Case(model, WeakenedModel(SKIP_LAYERS, layers), positive, family.latent, skipping(model, *layers))


def weakened(model: Model) -> WeakenedModel:
    """For the models of tiny_models."""
    return WeakenedModel(SKIP_LAYERS, (0,)) if hasattr(model.model.diffusion_model, "joint_blocks") else PAG


PAG = WeakenedModel(PERTURBED_ATTENTION)


def weaker(model: Model) -> Model:
    return skipping(model, 0) if weakened(model) is not PAG else perturbed(model)


def shape(model: Model) -> tuple[int, ...]:
    return (model.model.latent_format.latent_channels, 8, 8)


def reg(model: Model, form: str = "row-sum", estimator: str = "reverse", strength: float = 1.0) -> Model:
    return Guidance(Method(strength, form, estimator, "every step", "off")).install(model)


def euler(seen: list[Step]) -> comfy.samplers.KSAMPLER:
    def sample(model: Any, x: Tensor, sigmas: Tensor, extra_args: Any, **_: Any) -> Tensor:
        for sigma, following in zip(sigmas[:-1], sigmas[1:], strict=True):
            denoised = model(x, sigma.expand(len(x)), **extra_args)
            seen.append(Step(x, sigma, denoised))
            x = x + (x - denoised) / sigma * (following - sigma)
        return x

    return comfy.samplers.KSAMPLER(sample)


def run(guider: Any, latent: tuple[int, ...], **start: Tensor) -> tuple[Tensor, list[Step]]:
    """SamplerCustomAdvanced; the latent, and every step."""
    seen: list[Step] = []
    sigmas = comfy.samplers.calculate_sigmas(guider.model_patcher.get_model_object("model_sampling"), "simple", STEPS)
    noise = nodes_custom_sampler.Noise_RandomNoise(SEED)
    arguments = (noise, guider, euler(seen), sigmas, {"samples": torch.zeros(1, *latent), **start})
    return nodes_custom_sampler.SamplerCustomAdvanced.execute(*arguments)[0]["samples"], seen


def alone(model: Model, positive: Any) -> comfy.samplers.CFGGuider:
    """The host's guider without guidance."""
    guider = comfy.samplers.CFGGuider(model)
    guider.inner_set_conds({"positive": positive})
    return guider


def predictions(
    model: Model, positive: Any, points: list[tuple[Tensor, Tensor]], latent: Tensor | None = None, mask: Any = None
) -> list[Tensor]:
    """What the host predicts by this model alone at given samples ``[batch, ...]`` and noise levels."""
    found: list[Tensor] = []

    def evaluate(model: Any, x: Tensor, sigmas: Tensor, extra_args: Any, **_: Any) -> Tensor:
        found.extend(model(point, sigma.expand(len(point)), **extra_args) for point, sigma in points)
        return x

    latent = torch.zeros_like(points[0][0][:1]) if latent is None else latent
    noise = comfy.sample.prepare_noise(latent, SEED)
    sampler, sigmas = comfy.samplers.KSAMPLER(evaluate), torch.tensor([1.0, 0.0])
    alone(model, positive).sample(noise, latent, sampler, sigmas, denoise_mask=mask)
    return found


def relative_error(value: Tensor, expected: Tensor) -> float:
    return float((value - expected).norm() / expected.norm())


def assert_formula(steps: list[Step], model: Model, weak: Model, positive: Any, cfg: float = CFG) -> None:
    """D = D_weak + w (D - D_weak) at every step, and the two are not the same."""
    points = [(step.x, step.sigma) for step in steps]
    pairs = zip(predictions(model, positive, points), predictions(weak, positive, points), strict=True)
    for step, (strong, weak_prediction) in zip(steps, pairs, strict=True):
        gap = strong - weak_prediction
        assert gap.norm() > 3e-4 * strong.norm()
        # float32 rounding (6e-8) of the same evaluations
        assert (step.denoised - (weak_prediction + cfg * gap)).norm() < 1e-6 * (strong.norm() + gap.norm())


@pytest.mark.parametrize("name", [*LAYERS, *PERTURBED])
def test_every_step_is_the_formula(name: str) -> None:
    model, weak, positive, latent, by_host = case(name)
    _, steps = run(AutoGuider(model, positive, CFG, weak), latent)
    assert len(steps) == STEPS
    assert_formula(steps, model, by_host, positive)


def test_skipped_layers_are_the_hosts_skip_layer_guidance(flow: Model) -> None:
    """Its scale counts from 0 on top of the model, so at cfg 1 it is w - 1."""
    skip = nodes_slg.SkipLayerGuidanceDiT.execute(flow, CFG - 1, 0.0, 1.0, "0", "")[0]
    image, _ = run(AutoGuider(flow, conditioning(1), CFG, weakened(flow)), shape(flow))
    assert relative_error(image, run(alone(skip, conditioning(1)), shape(flow))[0]) < 1e-4


def test_perturbed_attention_is_the_hosts(unet: Model) -> None:
    pag = nodes_pag.PerturbedAttentionGuidance.execute(unet, CFG - 1)[0]
    image, _ = run(AutoGuider(unet, conditioning(1), CFG, PAG), shape(unet))
    assert relative_error(image, run(alone(pag, conditioning(1)), shape(unet))[0]) < 1e-4


def gradient_of_sum(model: Model, positive: Any, x: Tensor, sigma: Tensor) -> Tensor:
    """J^T 1 by central differences along every axis, all in two batches of the host."""
    steps = 1e-2 * x.std() * torch.eye(x.numel()).reshape(-1, *x.shape[1:])
    above, below = predictions(model, positive, [(x + steps, sigma), (x - steps, sigma)])
    summed = (above - below).double().flatten(1).sum(1)
    return (summed / (2e-2 * x.std())).reshape(x.shape).float()


@pytest.mark.parametrize("family", FAMILIES)
def test_reg_rectifies_the_gap_to_the_weak_version(family: str) -> None:
    """(w - 1) alpha (J^T 1) (D - D_weak) on top of the model, the Jacobian by central differences."""
    model = FAMILIES[family]()
    _, steps = run(AutoGuider(reg(model), conditioning(1), CFG, weakened(model)), shape(model))
    x, sigma, denoised = steps[2]
    ((strong,), (weak,)) = (predictions(m, conditioning(1), [(x, sigma)]) for m in (model, weaker(model)))
    alpha = 1 - sigma if family == "SD3 flow" else 1.0
    expected = alpha * gradient_of_sum(model, conditioning(1), x, sigma) * (strong - weak)
    # second order in a step of 1e-2 of the signal, and float32 rounding over it
    assert relative_error((denoised - strong) / (CFG - 1), expected) < 1e-2


def test_reg_without_gradients(unet: Model) -> None:
    """Finite difference asks for the two predictions at once."""
    guided = reg(unet, estimator="finite difference")
    _, steps = run(AutoGuider(guided, conditioning(1), CFG, PAG), shape(unet))
    x, sigma, denoised = steps[2]
    ((strong,), (weak,)) = (predictions(m, conditioning(1), [(x, sigma)]) for m in (unet, weaker(unet)))
    step = 1e-2 * x.std()
    above, below = predictions(unet, conditioning(1), [(x + step, sigma), (x - step, sigma)])
    expected = (above - below) / (2 * step) * (strong - weak)
    # the estimator is of first order in a step of 3e-3 of the signal
    assert relative_error((denoised - strong) / (CFG - 1), expected) < 5e-2


@pytest.mark.parametrize("family", FAMILIES)
def test_strength_zero_is_autoguidance_bit_for_bit(family: str) -> None:
    model = FAMILIES[family]()
    images = [
        run(AutoGuider(m, conditioning(1), CFG, weakened(model)), shape(model))[0]
        for m in (model, reg(model, strength=0.0))
    ]
    assert torch.equal(*images)


def test_reg_and_schedule_may_be_on_the_model_in_any_order(flow: Model) -> None:
    schedule = ScheduledWeight(Linear(4.0, 1.5))
    images = [
        run(AutoGuider(model, conditioning(1), 9.0, weakened(flow)), shape(flow))[0]
        for model in (reg(schedule.install(flow)), schedule.install(reg(flow)), reg(schedule.install(reg(flow))))
    ]
    assert torch.equal(images[0], images[1])
    assert torch.equal(images[0], images[2])


def weighed(model: Model) -> tuple[Model, list[float]]:
    """The MODEL with a post-CFG function of another pack that keeps the weights."""
    weights: list[float] = []

    def post_cfg(args: dict[str, Any]) -> Tensor:
        weights.append(args["cond_scale"])
        return args["denoised"]

    model = model.clone()
    model.set_model_sampler_post_cfg_function(post_cfg)
    return model, weights


def test_a_schedule_sets_the_weight(flow: Model) -> None:
    model, weights = weighed(ScheduledWeight(Linear(4.0, 1.5)).install(flow))
    guider = AutoGuider(model, conditioning(1), 9.0, weakened(flow))
    _, steps = run(guider, shape(flow))
    assert weights[0] == 4.0 and 1.5 < weights[-1] < 3.0
    assert guider.cfg == 9.0
    for step, weight in zip(steps, weights, strict=True):
        assert_formula([step], flow, weaker(flow), conditioning(1), weight)


def counted(model: Model) -> tuple[Model, list[int]]:
    """The MODEL with a wrapper that counts its evaluations, under a key of the pack so that REG does not look at it."""
    batches: list[int] = []

    def count(executor: Callable[..., Tensor], x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        batches.append(len(x))
        return executor(x, *args, **kwargs)

    model = model.clone()
    model.add_wrapper_with_key(WrappersMP.APPLY_MODEL, STOPWATCH_KEY, count)
    return model, batches


def test_cfg_1_never_evaluates_the_weak_version(flow: Model) -> None:
    model, batches = counted(flow)
    second, second_batches = counted(variant(flow))
    expected = run(alone(flow, conditioning(1)), shape(flow))[0]
    assert torch.equal(run(AutoGuider(model, conditioning(1), 1.0, weakened(flow)), shape(flow))[0], expected)
    assert batches == [1] * STEPS
    guider = AutoGuider(flow, conditioning(1), 1.0, SecondModel(second, conditioning(1)))
    assert torch.equal(run(guider, shape(flow))[0], expected)
    assert second_batches == []
    assert second.model not in [loaded.model.model for loaded in comfy.model_management.current_loaded_models]


def test_steps_of_weight_1_skip_the_weak_version(flow: Model) -> None:
    sampling = flow.get_model_object("model_sampling")
    sigmas = comfy.samplers.calculate_sigmas(sampling, "simple", STEPS)[:-1].tolist()
    middle = float(sampling.percent_to_sigma(0.5))
    model, batches = counted(ScheduledWeight(Interval(3.0, 0.5, 1.0)).install(flow))
    run(AutoGuider(model, conditioning(1), 1.0, weakened(flow)), shape(flow))
    assert len(batches) == STEPS + sum(sigma <= middle for sigma in sigmas)


def variant(model: Model, seed: int = 5) -> Model:
    """Another model of the same architecture, through the host's loader."""
    network = model.model.diffusion_model
    loaded = comfy.sd.load_diffusion_model_state_dict({k: v.clone() for k, v in network.state_dict().items()})
    position = loaded.model.diffusion_model.pos_embed.clone()
    _randomise(loaded.model, seed)
    loaded.model.diffusion_model.pos_embed.copy_(position)
    return loaded


def lora(model: Model, scale: float = 0.5) -> Model:
    """A clone with a LoRA on its weights, as the host's loader node makes it."""
    name = next(k for k in model.model.state_dict() if k.endswith("x_block.attn.qkv.weight"))
    rows, columns = model.model.state_dict()[name].shape
    generator = torch.Generator().manual_seed(4)
    key = name.removesuffix(".weight")
    weights = {
        f"{key}.lora_up.weight": torch.randn(rows, 2, generator=generator),
        f"{key}.lora_down.weight": torch.randn(2, columns, generator=generator) / columns**0.5,
    }
    patched = comfy.sd.load_lora_for_models(model, None, weights, scale, 0.0)[0]
    assert patched.patches
    return patched


@pytest.mark.parametrize("rectified", [False, True])
@pytest.mark.parametrize("pair", ["other weights", "LoRA on the weak", "LoRA on the model", "patched on the weak"])
def test_second_model(flow: Model, pair: str, rectified: bool) -> None:
    model, weak = {
        "other weights": lambda: (flow, variant(flow)),
        "LoRA on the weak": lambda: (flow, lora(flow)),
        "LoRA on the model": lambda: (lora(flow), flow),
        "patched on the weak": lambda: (flow, skipping(flow, 0)),
    }[pair]()
    before = {name: weight.clone() for name, weight in flow.model.state_dict().items()}
    guided = reg(model) if rectified else model
    image, steps = run(AutoGuider(guided, conditioning(1), CFG, SecondModel(weak, conditioning(1))), shape(flow))
    if rectified:
        x, sigma, denoised = steps[2]
        ((strong,), (other,)) = (predictions(m, conditioning(1), [(x, sigma)]) for m in (model, weak))
        expected = (1 - sigma) * gradient_of_sum(model, conditioning(1), x, sigma) * (strong - other)
        assert relative_error((denoised - strong) / (CFG - 1), expected) < 1e-2
    else:
        assert_formula(steps, model, weak, conditioning(1))
    comfy.model_management.unload_all_models()
    assert all(torch.equal(weight, before[name]) for name, weight in flow.model.state_dict().items())


def test_a_second_model_with_its_own_sampling_shift(flow: Model) -> None:
    """An object patch on a clone: the host swaps it with the weights."""
    shifted = nodes_model_advanced.ModelSamplingSD3().patch(lora(flow), 1.0)[0]
    guider = AutoGuider(flow, conditioning(1), CFG, SecondModel(shifted, conditioning(1)))
    _, steps = run(guider, shape(flow))
    assert_formula(steps, flow, lora(flow), conditioning(1))
    assert flow.get_model_object("model_sampling").shift == 3.0


def test_a_lora_on_the_prompt_reaches_both_models(flow: Model) -> None:
    name = next(k for k in flow.model.state_dict() if k.endswith("x_block.attn.qkv.weight")).removesuffix(".weight")
    generator = torch.Generator().manual_seed(6)
    rows, columns = flow.model.state_dict()[f"{name}.weight"].shape
    weights = {
        f"{name}.lora_up.weight": torch.randn(rows, 2, generator=generator),
        f"{name}.lora_down.weight": torch.randn(2, columns, generator=generator) / columns**0.5,
    }
    other = variant(flow)
    loaded = [comfy.sd.load_lora_for_models(m, None, weights, 0.5, 0.0)[0] for m in (flow, other)]
    hooked = comfy.hooks.set_hooks_for_conditioning(conditioning(1), comfy.hooks.create_hook_lora(weights, 0.5, 0.0))
    _, steps = run(AutoGuider(flow, hooked, CFG, SecondModel(other, hooked)), shape(flow))
    assert_formula(steps, *loaded, conditioning(1))
    assert not other.hook_patches
    with pytest.raises(ValueError, match="LoRA on the prompt"):
        AutoGuider(flow, hooked, CFG, SecondModel(flow.clone(), hooked))


@pytest.mark.parametrize("reg_first", [True, False])
def test_an_output_cache_never_answers_for_the_weak_version(unet: Model, reg_first: bool) -> None:
    """At this threshold EasyCache answers every step after the first from its cache."""

    def cached(model: Model) -> Model:
        return nodes_easycache.EasyCacheNode.execute(model, 10.0, 0.0, 1.0, False)[0]

    plain, steps = run(AutoGuider(cached(unet), conditioning(1), CFG, PAG), shape(unet))
    weak = predictions(weaker(unet), conditioning(1), [(step.x, step.sigma) for step in steps])
    strong = run_at(cached(unet), steps)
    for step, strong_prediction, weak_prediction in zip(steps, strong, weak, strict=True):
        expected = weak_prediction + CFG * (strong_prediction - weak_prediction)
        assert relative_error(step.denoised, expected) < 1e-4
    both = cached(reg(unet)) if reg_first else reg(cached(unet))
    expected = run(AutoGuider(reg(unet), conditioning(1), CFG, PAG), shape(unet))[0]
    assert torch.equal(run(AutoGuider(both, conditioning(1), CFG, PAG), shape(unet))[0], expected)


def run_at(model: Model, steps: list[Step]) -> list[Tensor]:
    """What the host predicts by this model, output cache included, in a run that passes the same points."""
    return predictions(model, conditioning(1), [(step.x, step.sigma) for step in steps])


def test_attention_patches_of_others_stay(unet: Model) -> None:
    """On both versions; only the perturbed place itself is taken from a patch there, in the weak one."""

    def halve(q: Tensor, k: Tensor, v: Tensor, extra_options: dict[str, Any]) -> Tensor:
        return v / 2

    model = unet.clone()
    model.set_model_attn1_replace(halve, "output", 3)
    model.set_model_attn1_replace(halve, "middle", 0, 0)
    model.set_model_attn2_patch(lambda q, k, v, extra_options: (q, k, v * 1.5))
    weak = unet.clone()
    weak.set_model_attn1_replace(halve, "output", 3)
    weak.set_model_attn2_patch(lambda q, k, v, extra_options: (q, k, v * 1.5))
    _, steps = run(AutoGuider(model, conditioning(1), CFG, PAG), shape(unet))
    assert_formula(steps, model, perturbed(weak), conditioning(1))


def test_what_comes_after_sees_the_weak_prediction(flow: Model) -> None:
    """RescaleCFG takes the single CFG slot; at multiplier 0 it is plain CFG on the pair."""
    rescaled = nodes_model_advanced.RescaleCFG().patch(flow, 0.0)[0]
    images = [
        run(AutoGuider(model, conditioning(1), CFG, weakened(flow)), shape(flow))[0] for model in (flow, rescaled)
    ]
    assert relative_error(*images) < 1e-3


def test_a_prompt_in_ranges(flow: Model) -> None:
    """Two prompts for the two halves of the sampling; and none at all at first, where nothing is evaluated."""
    late = [[c, {**d, "start_percent": 0.5, "end_percent": 1.0}] for c, d in conditioning(2)]
    halves = [[c, {**d, "start_percent": 0.0, "end_percent": 0.5}] for c, d in conditioning(1)] + late
    for weak, by_host in ((weakened(flow), weaker(flow)), (SecondModel(lora(flow), halves), lora(flow))):
        _, steps = run(AutoGuider(flow, halves, CFG, weak), shape(flow))
        assert_formula(steps, flow, by_host, halves)
    _, steps = run(AutoGuider(flow, late, CFG, weakened(flow)), shape(flow))
    assert not bool(steps[0].denoised.any())
    assert_formula(steps[-1:], flow, weaker(flow), late)


def test_an_inpainting_model_as_the_weak_one(unet: Model) -> None:
    """It sees the latent and the mask beside the sample, scaled as it is used to."""
    weak = FAMILIES["UNet eps"]()
    weak.model.diffusion_model.input_blocks[0][0] = comfy.ops.disable_weight_init.Conv2d(9, 32, 3, padding=1)
    weak.model.set_inpaint()
    _randomise(weak.model, 5)
    latent = torch.randn(1, *shape(unet), generator=torch.Generator().manual_seed(8))
    mask = (torch.arange(8) < 4).float().expand(1, 1, 8, 8)
    guider = AutoGuider(unet, conditioning(1), CFG, SecondModel(weak, conditioning(1)))
    _, steps = run(guider, shape(unet), samples=latent, noise_mask=mask)
    points = [(step.x, step.sigma) for step in steps]
    strong, other = (predictions(m, conditioning(1), points, latent, mask) for m in (unet, weak))
    for step, strong_prediction, weak_prediction in zip(steps, strong, other, strict=True):
        expected = weak_prediction + CFG * (strong_prediction - weak_prediction)
        assert relative_error(step.denoised, expected) < 1e-5


def test_both_models_are_loaded_together(flow: Model) -> None:
    weak, loaded = variant(flow), []

    def look(apply_model: Callable[..., Tensor], options: dict[str, Any]) -> Tensor:
        loaded.append({id(entry.model.model) for entry in comfy.model_management.current_loaded_models})
        return apply_model(options["input"], options["timestep"], **options["c"])

    weak.set_model_unet_function_wrapper(look)
    comfy.model_management.unload_all_models()
    run(AutoGuider(flow, conditioning(1), CFG, SecondModel(weak, conditioning(1))), shape(flow))
    assert len(loaded) == STEPS
    assert all({id(flow.model), id(weak.model)} <= models for models in loaded)


def test_other_requests_get_what_they_ask_for(flow: Model) -> None:
    """Another pack may ask for any of the two conds, in any place."""
    agreed = []

    def post_cfg(args: dict[str, Any]) -> Tensor:
        rest = (args["input"], args["sigma"], args["model_options"])
        strong = comfy.samplers.calc_cond_batch(args["model"], [None, args["cond"]], *rest)
        weak = comfy.samplers.calc_cond_batch(args["model"], [args["uncond"]], *rest)
        agreed.append(torch.equal(strong[1], args["cond_denoised"]) and torch.equal(weak[0], args["uncond_denoised"]))
        return args["denoised"]

    model = flow.clone()
    model.set_model_sampler_post_cfg_function(post_cfg)
    run(AutoGuider(model, conditioning(1), CFG, weakened(flow)), shape(flow))
    assert agreed == [True] * STEPS


def frozen(value: Any) -> Any:
    """Options as nested tuples, containers by content and everything else as it is."""
    if isinstance(value, dict):
        return tuple((key, frozen(entry)) for key, entry in value.items())
    return tuple(map(frozen, value)) if isinstance(value, (list, tuple)) else value


def state(model: Model) -> Any:
    return tuple(
        frozen(part) for part in (model.model_options, model.wrappers, model.patches, model.additional_models)
    ), [weight.clone() for weight in model.model.state_dict().values()]


def unchanged(model: Model, before: Any) -> bool:
    options, weights = state(model)
    return options == before[0] and all(map(torch.equal, weights, before[1]))


class Interrupted(Exception):
    pass


@pytest.mark.parametrize("fails", [False, True])
@pytest.mark.parametrize("kind", ["weakened", "second", "clone"])
def test_nothing_is_left_behind(flow: Model, kind: str, fails: bool) -> None:
    model = reg(flow)
    weak_model = {"weakened": flow, "second": variant(flow), "clone": lora(flow)}[kind]
    calls = iter(range(100))

    def fail(apply_model: Callable[..., Tensor], options: dict[str, Any]) -> Tensor:
        output = apply_model(options["input"], options["timestep"], **options["c"])
        if fails and next(calls) == 3:
            raise Interrupted
        return output

    model.set_model_unet_function_wrapper(fail)
    before = [state(patcher) for patcher in (model, weak_model)]
    weak = weakened(flow) if kind == "weakened" else SecondModel(weak_model, conditioning(1))
    guider = AutoGuider(model, conditioning(1), CFG, weak)
    options = frozen(guider.model_options)
    if fails:
        with pytest.raises(Interrupted):
            run(guider, shape(flow))
    else:
        first, again = run(guider, shape(flow))[0], run(guider, shape(flow))[0]
        assert torch.equal(first, again)
    assert frozen(guider.model_options) == options
    assert AUTOGUIDANCE_KEY not in guider.model_patcher.additional_models
    assert AUTOGUIDANCE_KEY not in guider.model_patcher.wrappers.get(WrappersMP.CALC_COND_BATCH, {})
    assert GUIDANCE_KEY not in guider.model_options
    assert comfy.model_management.in_training is False
    comfy.model_management.unload_all_models()
    for patcher, was in zip((model, weak_model), before, strict=True):
        assert unchanged(patcher, was)


REFUSED = {
    "skip layers of a UNet": ("UNet eps", WeakenedModel(SKIP_LAYERS, (7,)), "is a UNet, which has no layers"),
    "perturb a transformer": ("SD3 flow", PAG, "Choose 'skip layers'"),
    "no such layer": ("SD3 flow", WeakenedModel(SKIP_LAYERS, (7, 8)), "skipping layers 7, 8 .*joint_blocks 0 to 0"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_cannot_be_weakened_is_refused_before_the_run(what: str) -> None:
    family, weak, message = REFUSED[what]
    with pytest.raises(ValueError, match=message):
        AutoGuider(FAMILIES[family](), conditioning(1), CFG, weak)


def test_a_unet_without_attention_in_the_middle_is_refused(unet: Model) -> None:
    unet.model.diffusion_model.middle_block = None
    with pytest.raises(ValueError, match="needs a UNet with attention in its middle"):
        AutoGuider(unet, conditioning(1), CFG, PAG)


def test_a_model_that_does_not_skip_layers_says_so_at_its_first_step() -> None:
    family = GRADIENT_FAMILIES["PixArt"]
    model = family.build(torch.float32)
    guider = AutoGuider(model, family.conditioning(1), CFG, WeakenedModel(SKIP_LAYERS, (1,)))
    with pytest.raises(ValueError, match="skipping layer 1 changes nothing in this model .*connect weak_model"):
        run(guider, family.latent)


def test_a_node_that_stands_in_the_way_is_told_of_at_the_first_step(unet: Model) -> None:
    def forget(apply_model: Callable[..., Tensor], options: dict[str, Any]) -> Tensor:
        transformer_options = {**options["c"]["transformer_options"], "patches_replace": {}}
        return apply_model(
            options["input"], options["timestep"], **{**options["c"], "transformer_options": transformer_options}
        )

    unet.set_model_unet_function_wrapper(forget)
    with pytest.raises(ValueError, match="another node that patches it stands in the way"):
        run(AutoGuider(unet, conditioning(1), CFG, PAG), shape(unet))


def test_layers_that_do_not_exist_are_named(caplog: pytest.LogCaptureFixture) -> None:
    family = GRADIENT_FAMILIES["Wan 2.1"]
    model = family.build(torch.float32)
    guider = AutoGuider(model, family.conditioning(1), CFG, WeakenedModel(SKIP_LAYERS, (1, 7, 8)))
    with caplog.at_level(logging.INFO, "REG"):
        _, steps = run(guider, family.latent)
    assert caplog.text.count("This model has no layers 7, 8; the others are skipped.") == 1
    assert_formula(steps, model, skipping(model, 1), family.conditioning(1))


@pytest.mark.parametrize("strength", [0.0, 1.0])
def test_a_weak_version_that_is_not_weaker_is_named(
    flow: Model, caplog: pytest.LogCaptureFixture, strength: float
) -> None:
    same = AutoGuider(reg(flow, strength=strength), conditioning(1), CFG, SecondModel(flow.clone(), conditioning(1)))
    with caplog.at_level(logging.INFO, "REG"):
        run(same, shape(flow))
    assert "The weak version predicts the same as the model" in caplog.text


def test_cfg_1_is_named(flow: Model, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "REG"):
        run(AutoGuider(flow, conditioning(1), 1.0, weakened(flow)), shape(flow))
    assert "The weak version is not used: cfg is 1" in caplog.text


def test_swapped_weights_are_named(flow: Model, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "REG"):
        run(AutoGuider(flow, conditioning(1), CFG, SecondModel(lora(flow), conditioning(1))), shape(flow))
    assert "share their weights" in caplog.text


@pytest.mark.parametrize(
    ("model", "weak", "message"),
    [
        ("UNet eps", "SD3 flow", "must share a latent space"),
        ("SD3 flow", "Flux", "must share a latent space"),
        ("UNet eps", "SDXL", "must share a latent space"),
    ],
)
def test_models_that_cannot_be_combined_are_refused(model: str, weak: str, message: str) -> None:
    builders = {**FAMILIES, **{name: lambda n=name: GRADIENT_FAMILIES[n].build(torch.float32) for name in ("Flux",)}}
    builders["SDXL"] = lambda: GRADIENT_FAMILIES["SDXL"].build(torch.float32)
    with pytest.raises(ValueError, match=message):
        AutoGuider(builders[model](), conditioning(1), CFG, SecondModel(builders[weak](), conditioning(1)))


def test_flow_and_eps_are_not_mixed(unet: Model) -> None:
    discrete = nodes_model_advanced.ModelSamplingSD3().patch(unet, 3.0)[0]
    with pytest.raises(ValueError, match="mix noise in different ways"):
        AutoGuider(unet, conditioning(1), CFG, SecondModel(discrete, conditioning(1)))


def test_eps_and_v_may_be_mixed(unet: Model) -> None:
    """Both count in one noise level and give a denoised prediction."""
    v = FAMILIES["UNet v"]()
    _, steps = run(AutoGuider(unet, conditioning(1), CFG, SecondModel(v, conditioning(1))), shape(unet))
    assert_formula(steps, unet, v, conditioning(1))


@pytest.mark.parametrize(
    ("text", "layers"),
    [("7, 8, 9", (7, 8, 9)), ("7-9", (7, 8, 9)), (" 3 1 ", (1, 3)), ("2;4 - 5, 4", (2, 4, 5)), ("0", (0,))],
)
def test_layers_are_read(text: str, layers: tuple[int, ...]) -> None:
    assert read_layers(text) == layers


@pytest.mark.parametrize("text", ["", "seven", "9-7", "-3", "1.5", " " * 30_000, "0-9999999", "9" * 10**6])
def test_layers_that_cannot_be_read_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="such as 7, 8, 9 or 7-9") as error:
        read_layers(text)
    assert len(str(error.value)) < 300


def test_spaces_between_layers_take_no_time() -> None:
    """They took half an hour by a regular expression that looked at every one from every one."""
    assert read_layers(f"7{' ' * 300_000}8 {' ' * 300_000}-{' ' * 300_000}9") == (7, 8, 9)


@pytest.mark.parametrize("text", ["0-9999", ", ".join(map(str, range(300)))])
def test_more_layers_than_any_model_has_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="at most 256 layers") as error:
        read_layers(text)
    assert len(str(error.value)) < 300


def test_empty_prompt_is_refused(flow: Model) -> None:
    with pytest.raises(ValueError, match="positive conditioning is empty"):
        AutoGuider(flow, [], CFG, weakened(flow))


AUTO = {"cfg": 1.25, "weaken": SKIP_LAYERS, "layers": "1", **REG}


def guided(name: str, **changes: Any) -> dict[str, Any]:
    """A REG AutoGuider on the playground model, and the sampler that it guides, called ``name``."""
    inputs = {"model": ["model", 0], "positive": ["digits", 0], **AUTO, **changes}
    return {f"guider of {name}": node("REG_AutoGuider", **inputs), name: custom(f"guider of {name}")}


def test_in_a_real_server(server: ComfyServer) -> None:
    """Plain, it is the host's skip layer guidance; REG keeps more of the greys; a second model may stand in."""
    skip = {"double_layers": "1", "single_layers": "", "scale": 0.25, "start_percent": 0.0, "end_percent": 1.0}
    prompt = playground() | {
        "skipping": node("SkipLayerGuidanceDiT", model=["model", 0], rescaling_scale=0.0, **skip),
        "host": stock("skipping", cfg=1.0),
        "unguided": stock("model", cfg=1.0),
        "halved": node("ModelMergeSubtract", model1=["model", 0], model2=["model", 0], multiplier=0.2),
        "schedule": node("REG_ScheduleConstant", cfg=1.25),
        **guided("plain", strength=0.0),
        **guided("scheduled", strength=0.0, cfg=7.0, schedule=["schedule", 0]),
        **guided("rectified"),
        **guided("at cfg 1", cfg=1.0),
        **guided("against the same", weak_model=["model", 0]),
        **guided("against another", strength=0.0, weak_model=["halved", 0]),
    }
    names = ["host", "plain", "scheduled", "rectified", "unguided", "at cfg 1", "against the same", "against another"]
    drawn = dict(zip(names, images(server, prompt, *names), strict=True))
    assert np.abs(drawn["plain"].astype(int) - drawn["host"]).max() <= 1
    assert np.array_equal(drawn["scheduled"], drawn["plain"])
    assert np.array_equal(drawn["at cfg 1"], drawn["unguided"])
    assert np.array_equal(drawn["against the same"], drawn["unguided"])
    assert drawn["unguided"].std() < drawn["rectified"].std() < drawn["plain"].std()
    assert drawn["against another"].std() > drawn["unguided"].std()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"layers": "7, 8, 9"}, "joint_blocks 0 to 1"),
        ({"layers": "all"}, "such as 7, 8, 9 or 7-9"),
        ({"weaken": PERTURBED_ATTENTION}, "Choose 'skip layers'"),
    ],
)
def test_the_server_refuses_and_goes_on(
    server: ComfyServer,
    changes: dict[str, str],
    message: str,
) -> None:
    with pytest.raises(BootstrapError, match=message):
        images(server, playground() | guided("refused", **changes), "refused")
    assert queue_goes_on(server, seed=500 + len(message))
