"""REG through the host's own samplers on tiny real models, against a plain computation that shares no code with it."""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable
from typing import Any

import comfy.hooks
import comfy.model_management
import comfy.sample
import comfy.samplers
import comfy.utils
import latent_preview
import pytest
import torch
from comfy.ldm.modules.attention import attention_pytorch
from comfy.patcher_extension import WrappersMP
from comfy_extras import nodes_custom_sampler, nodes_easycache, nodes_model_advanced
from sampler_runs import CFG, SEED, STEPS, Interrupted, custom, reg, relative_error, sample
from torch import Tensor

import nodes
from reg_pack.nodes.host.sampling import GUIDANCE_KEY, guider, ksample
from reg_pack.nodes.host.scheduling import ScheduledWeight
from reg_pack.reg_core.schedule import SNR, Interval, Linear
from tiny_models import FAMILIES, conditioning, empty_latent

pytestmark = [pytest.mark.host, pytest.mark.usefixtures("inference_mode")]

Model = Any


@pytest.fixture(params=FAMILIES)
def family(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def model(family: str) -> Model:
    return FAMILIES[family]()


@pytest.fixture
def flow() -> Model:
    return FAMILIES["SD3 flow"]()


def prediction(network: Any, host: Any, x: Tensor, sigma: Tensor, cond: Any) -> tuple[Tensor, Tensor]:
    """D and the raw network output with the parameterizations written out (arXiv 2206.00364 for eps and v)."""
    context, pooled = cond[0][0].clone(), cond[0][1]["pooled_output"].clone()
    if isinstance(host.model_sampling, comfy.model_sampling.CONST):
        output = network(x, sigma.expand(1) * 1000, context=context, y=pooled)
        return x - sigma * output, output
    output = network(x / (sigma**2 + 1).sqrt(), host.model_sampling.timestep(sigma.expand(1)).float(), context=context)
    if isinstance(host.model_sampling, comfy.model_sampling.V_PREDICTION):
        return x / (sigma**2 + 1) - output * sigma / (sigma**2 + 1).sqrt(), output
    return x - sigma * output, output


def euler_by_hand(model: Model, rectify: Callable[[Tensor, Tensor, Tensor, Tensor, Tensor, Any], Tensor]) -> Tensor:
    """Euler's method with normal weights outside inference mode; ``rectify`` gives the rectified gap."""
    with torch.inference_mode(False), torch.enable_grad():
        host, sampling = model.model, model.model.model_sampling
        network = copy.deepcopy(host.diffusion_model)
        for owner in network.modules():  # normal tensors in place of the loader's inference tensors
            for name, parameter in list(owner.named_parameters(recurse=False)):
                setattr(owner, name, torch.nn.Parameter(parameter.detach().clone(), requires_grad=False))
            for name, buffer in list(owner.named_buffers(recurse=False)):
                setattr(owner, name, buffer.detach().clone())
        sigmas = comfy.samplers.simple_scheduler(sampling, STEPS)
        flow_model = isinstance(sampling, comfy.model_sampling.CONST)
        noise = comfy.sample.prepare_noise(empty_latent(model)["samples"], SEED).clone()
        x = noise * (sigmas[0] if flow_model else (1 + sigmas[0] ** 2).sqrt())
        for sigma, following in zip(sigmas[:-1], sigmas[1:], strict=True):
            x = x.detach().requires_grad_()
            conditional, output = prediction(network, host, x, sigma, conditioning(1))
            unconditional, _ = prediction(network, host, x, sigma, conditioning(2))
            gap = (conditional - unconditional).detach()
            denoised = conditional + (CFG - 1) * rectify(x, sigma, conditional, output, gap, sampling)
            x = x + (x - denoised) / sigma * (following - sigma)
        return host.process_latent_out(x.detach())


def row_sum_by_hand(
    x: Tensor, sigma: Tensor, conditional: Tensor, output: Tensor, gap: Tensor, sampling: Any
) -> Tensor:
    """R from the gradient of the raw network output, one identity per parameterization."""
    (gradient,) = torch.autograd.grad(output.sum(), x)
    if isinstance(sampling, comfy.model_sampling.CONST):
        factor = (1 - sigma) * (1 - sigma * gradient)
    elif isinstance(sampling, comfy.model_sampling.V_PREDICTION):
        factor = 1 / (sigma**2 + 1) - sigma / (sigma**2 + 1).sqrt() * gradient
    else:
        factor = 1 - sigma * gradient
    return factor * gap


def directional_by_hand(
    x: Tensor, sigma: Tensor, conditional: Tensor, output: Tensor, gap: Tensor, sampling: Any
) -> Tensor:
    alpha = 1 - sigma if isinstance(sampling, comfy.model_sampling.CONST) else 1.0
    return alpha * torch.autograd.grad(conditional, x, gap)[0]


@pytest.mark.parametrize(("form", "by_hand"), [("row-sum", row_sum_by_hand), ("directional", directional_by_hand)])
def test_whole_run_equals_plain_computation(model: Model, form: str, by_hand: Callable[..., Tensor]) -> None:
    # float32 rounding (6e-8) through five evaluations of a network of condition about 1e2
    assert relative_error(sample(reg(model, form=form)), euler_by_hand(model, by_hand)) < 1e-4


def test_plain_computation_without_rectification_is_the_hosts_cfg(model: Model) -> None:
    plain = euler_by_hand(model, lambda x, sigma, conditional, output, gap, sampling: gap)
    assert relative_error(sample(model), plain) < 1e-4


@pytest.mark.parametrize("form", ["row-sum", "directional"])
def test_finite_difference_agrees_with_forward(model: Model, form: str) -> None:
    exact = sample(reg(model, form=form, estimator="forward"))
    effect = (exact - sample(model)).norm()
    difference = sample(reg(model, form=form, estimator="finite difference"))
    # first order in a step of 3e-3 of the signal, on random networks whose outputs are up to 100 times the signal
    assert (difference - exact).norm() < 5e-2 * effect


def test_every_route_gives_the_same_image(model: Model) -> None:
    guided = reg(model)
    expected = sample(guided)
    stock = comfy.samplers.CFGGuider(guided)
    stock.set_conds(conditioning(1), conditioning(2))
    stock.set_cfg(CFG)
    latent = empty_latent(model)
    own = ksample(guided, (SEED, STEPS, CFG, "euler", "simple"), conditioning(1), conditioning(2), latent, denoise=1.0)
    assert torch.equal(custom(stock, model), expected)
    assert torch.equal(custom(guider(guided, conditioning(1), conditioning(2), CFG), model), expected)
    assert torch.equal(own["samples"], expected)


def test_strength_zero_is_cfg_bit_for_bit(model: Model) -> None:
    assert torch.equal(sample(reg(model, strength=0.0)), sample(model))


def test_empty_range_is_cfg_bit_for_bit(model: Model) -> None:
    assert torch.equal(sample(reg(model, start=1.0)), sample(model))


def test_reversed_range_is_refused(flow: Model) -> None:
    with pytest.raises(ValueError, match="start 0.8 and end 0.2"):
        reg(flow, start=0.8, end=0.2)


def test_two_runs_are_bitwise_equal(model: Model) -> None:
    assert torch.equal(sample(reg(model)), sample(reg(model)))


def state(model: Model) -> list[tuple[Tensor, bool, bool]]:
    return [(p.clone(), p.requires_grad, p.is_inference()) for p in model.model.parameters()]


def untouched(model: Model, before: list[tuple[Tensor, bool, bool]]) -> bool:
    """Weights, their flags, the process-wide flag and the modes are what they were."""
    same = [
        torch.equal(new, old) and new_flags == old_flags
        for (new, *new_flags), (old, *old_flags) in zip(state(model), before, strict=True)
    ]
    return (
        all(same)
        and all(p.grad is None for p in model.model.parameters())
        and comfy.model_management.in_training is False
        and torch.is_inference_mode_enabled()
        and not torch.is_grad_enabled()
        and GUIDANCE_KEY not in model.model_options
    )


@pytest.mark.parametrize("estimator", ["reverse", "forward", "finite difference"])
def test_nothing_is_left_behind(model: Model, estimator: str) -> None:
    before = state(model)
    sample(reg(model, estimator=estimator))
    assert untouched(model, before)


@pytest.mark.parametrize("estimator", ["reverse", "forward", "finite difference"])
def test_nothing_is_left_behind_by_an_exception(model: Model, estimator: str) -> None:
    before = state(model)
    guided, calls = reg(model, estimator=estimator), iter(range(100))

    def fail(apply_model: Callable[..., Tensor], options: dict[str, Any]) -> Tensor:
        output = apply_model(options["input"], options["timestep"], **options["c"])
        if next(calls) == 3:
            raise Interrupted
        return output

    guided.set_model_unet_function_wrapper(fail)
    with pytest.raises(Interrupted):
        sample(guided)
    assert untouched(model, before)


@pytest.mark.parametrize("estimator", ["reverse", "forward"])
def test_nothing_is_left_behind_by_an_interrupt(model: Model, estimator: str) -> None:
    """The host's stop signal arrives in the middle of the gradient pass."""
    before, in_pass = state(model), []
    guided = reg(model, estimator=estimator)

    def stop(apply_model: Callable[..., Tensor], options: dict[str, Any]) -> Tensor:
        output = apply_model(options["input"], options["timestep"], **options["c"])
        if comfy.model_management.in_training and torch.is_grad_enabled():  # the negative comes first, without one
            in_pass.append(not torch.is_inference_mode_enabled())
            comfy.model_management.interrupt_current_processing()
        comfy.model_management.throw_exception_if_processing_interrupted()
        return output

    guided.set_model_unet_function_wrapper(stop)
    with pytest.raises(comfy.model_management.InterruptProcessingException):
        sample(guided)
    assert in_pass == [True]
    assert untouched(model, before)
    assert not comfy.model_management.processing_interrupted()


def recorded(model: Model) -> tuple[Model, list[dict[str, Any]]]:
    """The MODEL with a post-CFG function of another pack that keeps what it is given."""
    seen: list[dict[str, Any]] = []

    def post_cfg(args: dict[str, Any]) -> Tensor:
        seen.append(args)
        return args["denoised"]

    model = model.clone()
    model.set_model_sampler_post_cfg_function(post_cfg)
    return model, seen


def test_what_comes_after_sees_a_consistent_pair(model: Model) -> None:
    guided, seen = recorded(reg(model))
    sample(guided)
    assert len(seen) == STEPS
    for args in seen:
        pair = args["uncond_denoised"] + (args["cond_denoised"] - args["uncond_denoised"]) * args["cond_scale"]
        assert torch.equal(args["denoised"], pair)


def test_guidance_of_another_node_acts_on_the_rectified_pair(flow: Model) -> None:
    """RescaleCFG takes the single CFG slot; it has to find D_u' there."""
    rescaled = nodes_model_advanced.RescaleCFG().patch(reg(flow), 0.0)[0]  # multiplier 0: its own formula for plain CFG
    assert relative_error(sample(rescaled), sample(reg(flow))) < 1e-3


def test_last_reg_node_wins(flow: Model) -> None:
    assert torch.equal(sample(reg(reg(flow, form="directional"), form="row-sum")), sample(reg(flow)))


def test_schedule_sets_the_weight_at_any_noise_level(model: Model) -> None:
    """Heun evaluates between the steps: the weight follows the noise level, not the step index."""
    schedule = Linear(5.0, 1.5)
    guided, seen = recorded(ScheduledWeight(schedule).install(model))
    sample(guided, sampler="heun")
    sampling = model.get_model_object("model_sampling")
    levels = [float(args["sigma"].max()) for args in seen]
    assert len(set(levels)) >= STEPS
    for args, level in zip(seen, levels, strict=True):
        percent = (5.0 - args["cond_scale"]) / 3.5
        if 0 < percent < 1:  # beyond the ends the host has sentinels
            assert float(sampling.percent_to_sigma(percent)) == pytest.approx(level, rel=1e-3)
        else:
            assert level >= float(sampling.percent_to_sigma(1e-6)) * 0.999


def test_snr_schedule_counts_noise_in_one_unit(family: str, model: Model) -> None:
    guided, seen = recorded(ScheduledWeight(SNR(4.0, 0.7)).install(model))
    sample(guided)
    for args in seen:
        sigma = float(args["sigma"].max())
        ratio = sigma / (1 - sigma) if family == "SD3 flow" and sigma < 1 else sigma
        expected = 1.0 if family == "SD3 flow" and sigma == 1 else 1 + 3 * 0.49 / (0.49 + ratio**2)
        assert args["cond_scale"] == pytest.approx(expected, rel=1e-5)


def test_schedule_leaves_the_guider_as_it_was(flow: Model) -> None:
    own = guider(ScheduledWeight(Linear(5.0, 1.5)).install(flow), conditioning(1), conditioning(2), CFG)
    custom(own, flow)
    assert own.cfg == CFG


def test_outside_the_interval_there_is_no_unconditional_pass(flow: Model) -> None:
    rows: list[int] = []

    def count(apply_model: Callable[..., Tensor], options: dict[str, Any]) -> Tensor:
        rows.append(options["input"].shape[0])
        return apply_model(options["input"], options["timestep"], **options["c"])

    guided = reg(flow, schedule=Interval(CFG, 0.3, 0.6), estimator="finite difference")
    guided.set_model_unet_function_wrapper(count)
    sample(guided)
    sampling = flow.get_model_object("model_sampling")
    sigmas = comfy.samplers.simple_scheduler(sampling, STEPS)[:-1].tolist()
    inside = sum(sampling.percent_to_sigma(0.6) <= sigma <= sampling.percent_to_sigma(0.3) for sigma in sigmas)
    assert 0 < inside < STEPS
    # one more to see D_c beside D_u, since another node wraps the network
    assert sum(rows) == (STEPS - inside) + 3 * inside + 1


@pytest.mark.parametrize("estimator", ["reverse", "finite difference"])
def test_lora_by_hook_equals_lora_by_loader(model: Model, estimator: str) -> None:
    """The host swaps hooked weights in between the two predictions, in place, also while a gradient is recorded."""
    weights = model.model.state_dict()
    layer = next(key for key in weights if key.endswith(("mlp.fc1.weight", "ff.net.2.weight")))
    rows, columns = weights[layer].shape
    generator = torch.Generator().manual_seed(0)
    name = layer.removesuffix(".weight")
    lora = {
        f"{name}.lora_up.weight": torch.randn(rows, 2, generator=generator),
        f"{name}.lora_down.weight": torch.randn(2, columns, generator=generator),
    }
    before = sample(reg(model, estimator=estimator))
    loaded = sample(reg(comfy.sd.load_lora_for_models(model, None, lora, 0.5, 0.0)[0], estimator=estimator))
    hooks = comfy.hooks.create_hook_lora(lora, 0.5, 0.0)
    hooked = [comfy.hooks.set_hooks_for_conditioning(conditioning(seed), hooks) for seed in (1, 2)]
    assert torch.equal(sample(reg(model, estimator=estimator), positive=hooked[0], negative=hooked[1]), loaded)
    assert relative_error(loaded, before) > 0.1  # the LoRA is on
    assert torch.equal(sample(reg(model, estimator=estimator)), before)  # and off again


def area(cond: list[Any], x: int) -> Any:
    return nodes.ConditioningSetArea().append(cond, 32, 64, x, 0, 1.0)[0]


def test_regional_prompts_are_differentiated_as_the_host_composes_them(flow: Model) -> None:
    """<J^T 1, u> against the central difference of 1^T D_c along u, both through the host's own composition."""
    regions = area(conditioning(1), 0) + area(conditioning(3), 32)
    guided, seen = recorded(reg(flow, strength=1.0))
    predictions: list[Tensor] = []

    def probe(executor: Any, model: Any, conds: Any, x: Tensor, sigma: Tensor, options: Any) -> Any:
        result = executor(model, conds, x, sigma, options)
        if len(conds) == 2 and conds[0] and conds[1] and len(predictions) == 0 and float(sigma) < 0.99:
            u = torch.randn(x.shape, generator=torch.Generator().manual_seed(3))
            h, host = 1e-2, comfy.samplers
            ends = [host._calc_cond_batch(model, [conds[0]], x + s * h * u, sigma, options)[0].sum() for s in (1, -1)]
            plain = host._calc_cond_batch(model, conds, x, sigma, options)
            factor = (result[0] - result[1]) / (plain[0] - plain[1])
            predictions.extend([(factor * u).sum(), (1 - sigma) * (ends[0] - ends[1]) / (2 * h)])
        return result

    kind = WrappersMP.CALC_COND_BATCH
    guided.wrappers[kind] = {"probe": [probe], **guided.wrappers[kind]}
    sample(guided, positive=regions)
    product, difference = predictions
    assert float(product) == pytest.approx(float(difference), rel=2e-2)


@pytest.mark.parametrize("estimator", ["reverse", "finite difference"])
@pytest.mark.parametrize("reg_first", [True, False])
def test_output_cache_does_not_reach_what_reg_evaluates(reg_first: bool, estimator: str) -> None:
    """At this threshold EasyCache answers every step after the first from its cache, where the model has its hook."""
    unet = FAMILIES["UNet eps"]()

    def cached(model: Model) -> Model:
        return nodes_easycache.EasyCacheNode.execute(model, 10.0, 0.0, 1.0, False)[0]

    def guided(model: Model) -> Model:
        return reg(model, estimator=estimator)

    assert not torch.equal(sample(cached(unet)), sample(unet))
    both = cached(guided(unet)) if reg_first else guided(cached(unet))
    assert torch.equal(sample(both), sample(guided(unet)))


@pytest.mark.parametrize(
    ("cfg", "options", "message"),
    [
        (CFG, {}, "guidance changed by"),
        (1.0, {}, "cfg is 1"),
        (CFG, {"start": 1.0}, "no guided step of this run lies between"),
        (CFG, {"strength": 0.0}, "strength is 0"),
    ],
)
def test_the_artist_is_told_what_happened(
    flow: Model, caplog: pytest.LogCaptureFixture, cfg: float, options: dict[str, float], message: str
) -> None:
    with caplog.at_level(logging.INFO, "REG"):
        sample(reg(flow, **options), cfg=cfg)
    assert message in caplog.text


def test_equal_conditioning_is_named(flow: Model, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "REG"):
        sample(reg(flow), negative=conditioning(1))
    assert "give the same prediction" in caplog.text


def test_factor_that_is_never_usable_is_named(caplog: pytest.LogCaptureFixture) -> None:
    """A node with its own output cache: a shifted input gets the output of the unshifted one."""
    unet, kept = FAMILIES["UNet eps"](), {}

    def cache(apply_model: Callable[..., Tensor], options: dict[str, Any]) -> Tensor:
        key = (float(options["timestep"][0]), tuple(options["cond_or_uncond"]))
        if key not in kept:
            kept[key] = apply_model(options["input"], options["timestep"], **options["c"])
            for index, part in zip(key[1], kept[key].chunk(len(key[1])), strict=True):
                kept[(key[0], (index,))] = part
        return kept[key]

    guided = reg(unet, estimator="finite difference")
    guided.set_model_unet_function_wrapper(cache)
    with caplog.at_level(logging.INFO, "REG"):
        image = sample(guided)
    assert relative_error(image, sample(unet)) < 1e-5  # D_c alone and in the batch: float32 rounding
    assert "gave a shifted input the same output" in caplog.text
    assert "could not be used at any step" in caplog.text


def test_a_guider_that_cannot_be_reached_is_named(flow: Model, caplog: pytest.LogCaptureFixture) -> None:
    dual = nodes_custom_sampler.Guider_DualCFG(reg(flow, schedule=Linear(5.0, 1.5)))
    dual.set_conds(conditioning(1), conditioning(3), conditioning(2))
    dual.set_cfg(CFG, 2.0)
    with caplog.at_level(logging.INFO, "REG"):
        custom(dual, flow)
    assert "computes its predictions itself" in caplog.text
    assert "Guider_DualCFG may not read" in caplog.text


def out_of_memory(output: Tensor, x: Tensor) -> Tensor:
    if torch.is_grad_enabled():
        raise torch.OutOfMemoryError("no memory for the graph")
    return output


@pytest.mark.parametrize("fault", [lambda output, x: output.detach(), out_of_memory], ids=["detached", "out of memory"])
def test_model_without_a_gradient_is_differenced_instead(
    flow: Model, caplog: pytest.LogCaptureFixture, fault: Callable[[Tensor, Tensor], Tensor]
) -> None:
    """The image is not lost, and the artist is told."""
    expected = sample(reg(flow, estimator="finite difference"))
    guided = reg(flow)
    guided.set_model_unet_function_wrapper(
        lambda apply_model, o: fault(apply_model(o["input"], o["timestep"], **o["c"]), o["input"])
    )
    with caplog.at_level(logging.INFO, "REG"):
        # one of the two predictions comes from the batch once: float32 rounding, which a difference amplifies
        assert relative_error(sample(guided), expected) < 1e-3
    assert "Using 'finite difference' for the rest of this run" in caplog.text
    assert comfy.model_management.in_training is False


def test_factor_that_is_not_finite_gives_cfg(flow: Model, caplog: pytest.LogCaptureFixture) -> None:
    """The root of 0 has the right value and a gradient that is not a number."""
    guided = reg(flow)
    guided.set_model_unet_function_wrapper(
        lambda apply_model, o: apply_model(o["input"], o["timestep"], **o["c"]) + (0 * o["input"]).abs().sqrt()
    )
    with caplog.at_level(logging.INFO, "REG"):
        image = sample(guided)
    assert "not finite" in caplog.text
    # all steps but the first, where R is 0 for a flow whatever the gradient
    assert relative_error(image, sample(reg(flow, end=0.001))) < 1e-4


@pytest.mark.parametrize("estimator", ["reverse", "forward"])
def test_attention_without_a_derivative_is_replaced_where_one_is_computed(flow: Model, estimator: str) -> None:
    """An override of another pack that leaves the graph, as sage and flash attention do."""
    calls: list[bool] = []

    def detached(func: Callable[..., Tensor], q: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        calls.append(q.requires_grad or torch.autograd.forward_ad.unpack_dual(q).tangent is not None)
        plain = torch.autograd.forward_ad.unpack_dual(q.detach()).primal
        return attention_pytorch(plain, *[a.detach() for a in args[:2]], *args[2:], **kwargs).detach()

    patched = flow.clone()
    patched.model_options["transformer_options"]["optimized_attention_override"] = detached
    expected = sample(reg(flow, estimator=estimator))
    assert relative_error(sample(reg(patched, estimator=estimator)), expected) < 1e-5
    assert set(calls) == {True, False}


def test_empty_conditioning_is_refused(flow: Model) -> None:
    with pytest.raises(ValueError, match="negative conditioning is empty"):
        guider(flow, conditioning(1), [], CFG)


@pytest.mark.parametrize("sampler", ["euler", "heun"])
def test_progress_and_live_previews_are_those_of_the_host(
    model: Model, sampler: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One tick and one picture a step, from 1 to the end, whatever REG evaluates in between."""
    monkeypatch.setattr(latent_preview.args, "preview_method", latent_preview.LatentPreviewMethod.Latent2RGB)
    ticks: list[tuple[int, int, bool]] = []
    monkeypatch.setattr(
        comfy.utils,
        "PROGRESS_BAR_HOOK",
        lambda value, total, picture, **_: ticks.append((value, total, picture is not None)),
    )
    conds, settings = (conditioning(1), conditioning(2)), (SEED, STEPS, CFG, sampler, "simple")

    def told(run: Callable[[], object]) -> list[tuple[int, int, bool]]:
        ticks.clear()
        run()
        return list(ticks)

    plain = told(lambda: sample(model, sampler=sampler))
    assert [value for value, _, _ in plain] == list(range(1, STEPS + 1))
    assert all(total == STEPS and pictured for _, total, pictured in plain)
    assert told(lambda: sample(reg(model), sampler=sampler)) == plain
    assert told(lambda: ksample(reg(model), settings, *conds, empty_latent(model), denoise=1.0)) == plain
    assert told(lambda: custom(guider(reg(model), *conds, CFG), model)) == plain


@pytest.mark.parametrize("weight", [float("nan"), float("inf"), 1e9, "7", None])
def test_schedule_of_another_pack_that_gives_no_number_is_refused(flow: Model, weight: Any) -> None:
    """Half of the run is sampled by then; the guider's own cfg is back afterwards."""
    scheduled = ScheduledWeight(lambda progress, sigma: 4.0 if progress < 0.5 else weight).install(flow)
    own = guider(scheduled, conditioning(1), conditioning(2), CFG)
    with pytest.raises(ValueError, match=r"the guidance schedule gave .* at \d+% of the sampling.*Change the schedule"):
        custom(own, scheduled)
    assert own.cfg == CFG
