"""What a whole sampler run computes, keeps and falls back to: memory, streamed weights, auto, refresh, nothing left."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import comfy.hooks
import comfy.model_management
import comfy.ops
import comfy.sample
import comfy.samplers
import comfy.sd
import pytest
import torch
from comfy.ldm.modules.attention import attention_pytorch
from comfy.patcher_extension import CallbacksMP, WrappersMP
from comfy_extras import nodes_context_windows, nodes_tomesd
from module_hooks import hooks_of
from sampler_runs import (
    CFG,
    SEED,
    STEPS,
    Interrupted,
    Watched,
    auto,
    ksample,
    lora,
    reg,
    relative_error,
    sample,
    sample_steps,
)
from torch import Tensor, nn

from reg_pack.nodes.host.derivative.memory import repeated_blocks
from reg_pack.nodes.host.derivative.selection import Method
from reg_pack.nodes.host.noise_level import noise_to_signal
from reg_pack.nodes.host.sampling import GUIDANCE_KEY, Guidance
from reg_pack.reg_core.rectification import FORMS
from reg_pack.reg_core.refresh import AS_CFG, ByNoise
from reg_pack.reg_core.trace import COMPUTED
from tiny_families import GRADIENT_FAMILIES
from tiny_models import FAMILIES, conditioning, empty_latent

pytestmark = [pytest.mark.host, pytest.mark.usefixtures("inference_mode")]

Model = Any


@pytest.fixture(params=FAMILIES)
def model(request: pytest.FixtureRequest) -> Model:
    return FAMILIES[request.param]()


@pytest.fixture
def flow() -> Model:
    return FAMILIES["SD3 flow"]()


def is_flow(model: Model) -> bool:
    return isinstance(model.model.model_sampling, comfy.model_sampling.CONST)


def rectified_steps(model: Model, steps: int = STEPS) -> int:
    """Steps at which a product may be needed: of a flow the first is pure noise, where D_c alone is computed."""
    return steps - is_flow(model)


class Calls:
    """How often every repeated block of the network has been computed."""

    def __init__(self, model: Model) -> None:
        self.blocks = repeated_blocks(model.model.diffusion_model)
        assert self.blocks
        self.counts = dict.fromkeys(self.blocks, 0)
        for block in self.blocks:
            block.register_forward_pre_hook(self._count)

    def _count(self, block: nn.Module, args: Any) -> None:
        self.counts[block] += 1

    def of(self, run: Callable[[], Tensor]) -> tuple[Tensor, set[int]]:
        """The image, and the numbers of calls that occur among the blocks: one if all were called equally often."""
        before = dict(self.counts)
        image = run()
        return image, {self.counts[block] - before[block] for block in self.blocks}


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> Callable[[], tuple[str, list[str]]]:
    """The summary of the last run, and the warnings of all."""
    caplog.set_level(logging.INFO, "REG")

    def read() -> tuple[str, list[str]]:
        records = [record for record in caplog.records if record.name == "REG"]
        warnings = [record.getMessage() for record in records if record.levelno == logging.WARNING]
        summaries = [record.getMessage().splitlines()[0] for record in records if record.levelno == logging.INFO]
        return (summaries or [""])[-1], warnings

    return read


Log = Callable[[], tuple[str, list[str]]]


def out_of_memory(times: int) -> Callable[[Tensor, Tensor], Tensor]:
    """The device has no memory left at the first gradient passes of a run."""
    left = iter(range(times))

    def fault(output: Tensor, x: Tensor) -> Tensor:
        if torch.is_grad_enabled() and next(left, None) is not None:
            raise torch.OutOfMemoryError("no memory for the graph")
        return output

    return fault


def test_checkpointing_gives_the_same_image_at_one_more_call_of_each_block(model: Model) -> None:
    calls = Calls(model)
    kept, kept_calls = calls.of(lambda: sample(reg(model, checkpointing="off")))
    twice, twice_calls = calls.of(lambda: sample(reg(model, checkpointing="on")))
    # sums of gradients in another order, in float32 through five evaluations of a network of condition about 1e2
    assert relative_error(twice, kept) < 1e-5
    passes = rectified_steps(model)
    assert kept_calls == {2 * passes + (STEPS - passes)}
    assert twice_calls == {3 * passes + (STEPS - passes)}


def test_short_memory_is_answered_by_checkpointing_for_the_rest_of_the_run(model: Model, log: Log) -> None:
    expected = sample(reg(model))
    calls = Calls(model)
    image, counts = calls.of(lambda: sample(Watched(reg(model), out_of_memory(1)).model))
    assert relative_error(image, expected) < 1e-5
    passes = rectified_steps(model)
    assert counts == {3 * passes + (STEPS - passes) + 1}  # the one that failed
    summary, warnings = log()
    assert [text for text in warnings if "Not enough memory for the gradient" in text] == warnings
    assert len(warnings) == 1
    assert "row-sum, reverse" in summary


def test_no_memory_for_checkpointing_either_is_answered_by_finite_difference(model: Model, log: Log) -> None:
    expected = sample(reg(model, estimator="finite difference"))
    watched = Watched(reg(model), out_of_memory(2))
    assert torch.equal(sample(watched.model), expected)
    _, warnings = log()
    assert ["Not enough memory for the gradient" in text for text in warnings] == [True, False]
    assert ["Using 'finite difference' for the rest of this run" in text for text in warnings] == [False, True]
    passes = rectified_steps(model)
    # what both gradient passes cost is lost
    assert watched.total == 3 * passes + (STEPS - passes) + 2


def test_no_memory_without_checkpointing_goes_straight_to_finite_difference(flow: Model, log: Log) -> None:
    expected = sample(reg(flow, estimator="finite difference"))
    watched = Watched(reg(flow, checkpointing="off"), out_of_memory(1))
    assert torch.equal(sample(watched.model), expected)
    _, warnings = log()
    assert len(warnings) == 1 and "Using 'finite difference' for the rest of this run" in warnings[0]
    assert watched.total == 1 + 3 * (STEPS - 1) + 1


def test_no_memory_late_in_a_run_keeps_what_was_sampled_until_then(flow: Model) -> None:
    passes = []

    def fault(output: Tensor, x: Tensor) -> Tensor:
        if torch.is_grad_enabled():
            passes.append(x)
            if len(passes) > 2:
                raise torch.OutOfMemoryError("no memory for the graph")
        return output

    guided = reg(flow, estimator="auto", refresh="every step")
    watched, seen = estimations(Watched(guided, fault).model)
    image = sample(watched)
    choice = seen[-1].selection.choice
    assert (choice["estimator"], choice["checkpointing"]) == ("finite difference", "on")
    # pure noise and two exact products, then two differenced ones; in between a latent is rounded to float32 once more,
    # which the difference amplifies by 1 / 3e-4
    halves = sample_halves(reg(flow), reg(flow, estimator="finite difference"), 3)
    assert relative_error(image, halves) < 1e-3 * relative_error(sample(flow), halves)


def sample_halves(first: Model, second: Model, at: int) -> Tensor:
    """The steps before ``at`` by one model, the others by another, as two advanced KSamplers do it."""
    settings = (SEED, STEPS, CFG, "euler", "simple", conditioning(1), conditioning(2))
    latent = ksample(first, *settings, empty_latent(first), last_step=at)[0]
    return ksample(second, *settings, latent, disable_noise=True, start_step=at)[0]["samples"]


def test_little_free_memory_is_seen_beforehand(model: Model, monkeypatch: pytest.MonkeyPatch, log: Log) -> None:
    """A budget of nearly nothing: the pass stops itself, before the device would."""
    expected = sample(reg(model))
    one_sample = model.model.memory_required(list(empty_latent(model)["samples"].shape))

    def free(dev: Any = None, torch_free_too: bool = False) -> Any:
        return (one_sample + 100, 0) if torch_free_too else one_sample + 100

    monkeypatch.setattr(comfy.model_management, "get_free_memory", free)
    calls = Calls(model)
    image, counts = calls.of(lambda: sample(reg(model)))
    assert relative_error(image, expected) < 1e-5
    _, warnings = log()
    assert len(warnings) == 1 and "Not enough memory for the gradient (activations exceed 0 MiB)" in warnings[0]
    # the host predicts one side at a time, and the pass that stopped itself may have computed the first blocks
    passes = rectified_steps(model)
    plain = 2 * passes + (STEPS - passes)
    assert counts <= {plain + passes, plain + passes + 1}
    # without a budget nothing is counted
    named, counts = calls.of(lambda: sample(reg(model, checkpointing="off")))
    assert relative_error(named, expected) < 1e-5
    assert counts == {plain}


def test_random_numbers_of_a_node_are_the_same_in_both_computations_of_a_block() -> None:
    """Token merging draws the tokens that it keeps, in every attention."""
    merged = nodes_tomesd.TomePatchModel.execute(FAMILIES["UNet eps"](), 0.5)[0]
    expected = sample(reg(merged, checkpointing="off"))
    assert relative_error(sample(merged), expected) > 1e-2
    assert relative_error(sample(reg(merged, checkpointing="on")), expected) < 1e-5


def streaming(model: Model) -> Model:
    """As the host marks a model that it has loaded in part."""

    def loaded_in_part(patcher: Model) -> None:
        patcher.model.model_lowvram = True

    model.add_callback(CallbacksMP.ON_PRE_RUN, loaded_in_part)
    return model


def test_streamed_weights_are_differentiated_where_the_gradient_is_right(model: Model, log: Log) -> None:
    expected = sample(reg(model))
    watched = Watched(streaming(reg(model)))
    assert torch.equal(sample(watched.model), expected)
    summary, warnings = log()
    assert warnings == []
    assert "row-sum, reverse" in summary
    plain = STEPS + rectified_steps(model)
    assert watched.total == plain + 1  # the difference that the first gradient is compared with


def test_a_gradient_through_streamed_weights_that_is_wrong_is_not_believed(model: Model, log: Log) -> None:
    """The right value with a doubled gradient, as from weights that were overwritten: autograd does not notice."""
    expected = sample(reg(model, estimator="finite difference"))

    def doubled(output: Tensor, x: Tensor) -> Tensor:
        return output.detach() + 2 * (output - output.detach())

    assert torch.equal(sample(Watched(streaming(reg(model)), doubled).model), expected)
    _, warnings = log()
    assert len(warnings) == 1
    assert (
        "Gradient check failed" in warnings[0] and "Using 'finite difference' for the rest of this run" in warnings[0]
    )


def test_prompts_with_different_loras_are_not_differentiated(model: Model, log: Log) -> None:
    """The host swaps weights in place between them, while the graph of the first still needs its own."""
    before = {key: value.clone() for key, value in model.model.state_dict().items()}
    positive = []
    for seed in (1, 3):
        hooks = comfy.hooks.create_hook_lora(lora(model, seed), 0.5, 0.0)
        positive += comfy.hooks.set_hooks_for_conditioning(conditioning(seed), hooks)
    expected = sample(reg(model, estimator="finite difference"), positive=positive)
    watched = Watched(reg(model))
    assert torch.equal(sample(watched.model, positive=positive), expected)
    _, warnings = log()
    assert len(warnings) == 1
    assert (
        "change the weights in the middle" in warnings[0]
        and "Using 'finite difference' for the rest of this run" in warnings[0]
    )
    assert all(torch.equal(value, before[key]) for key, value in model.model.state_dict().items())


def estimations(model: Model) -> tuple[Model, list[Any]]:
    """The MODEL with a post-CFG function that finds the state of each run in its options."""
    seen: list[Any] = []

    def post_cfg(args: dict[str, Any]) -> Tensor:
        seen.append(args["model_options"][GUIDANCE_KEY].estimation)
        return args["denoised"]

    model = model.clone()
    model.set_model_sampler_post_cfg_function(post_cfg)
    return model, seen


def detached(output: Tensor, x: Tensor) -> Tensor:
    return output.detach()


AUTOMATIC: dict[str, tuple[Callable[[], Any], str, str, str]] = {
    "healthy": (lambda: lambda output, x: output, "reverse", "off", "The model has a gradient and memory for it."),
    "short of memory": (lambda: out_of_memory(1), "reverse", "on", "The model has a gradient and memory for it."),
    "without gradient": (lambda: detached, "finite difference", "off", "Estimator 'reverse' failed"),
    "without memory": (
        lambda: out_of_memory(2),
        "finite difference",
        "on",
        "Estimator 'reverse' failed (no memory for the graph).",
    ),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("case", AUTOMATIC)
def test_auto_is_what_it_says_bit_for_bit(model: Model, log: Log, case: str, form: str) -> None:
    """Its choice, given back by name, repeats the image on a model without the fault."""
    fault, estimator, checkpointing, reason = AUTOMATIC[case]
    guided, seen = estimations(Watched(auto(model, form), fault()).model)
    image = sample(guided)
    summary, _ = log()
    choice = {"form": form, "estimator": estimator, "refresh": AS_CFG, "checkpointing": checkpointing}
    assert seen[-1].selection.choice == choice
    assert f"({form}, {estimator}, computed " in summary
    assert f"Chosen by auto: {reason}" in summary
    assert torch.equal(sample(Guidance(Method(1.0, **choice)).install(model)), image)


def test_what_the_artist_names_is_not_called_the_choice_of_auto(flow: Model, log: Log) -> None:
    sample(reg(flow))
    assert "auto chose" not in log()[0]


@pytest.mark.parametrize(("steps", "every"), [(2, "every 2 steps"), (3, "every 3 steps"), (4, "every 4 steps")])
def test_every_n_steps_takes_one_product_in_n(model: Model, log: Log, steps: int, every: str) -> None:
    watched = Watched(reg(model, estimator="finite difference", refresh=every))
    sample_steps(watched.model, 9)
    rectified = rectified_steps(model, 9)
    computed = -(-rectified // steps)
    assert watched.total == 9 + rectified + computed
    assert f"computed {computed} times and extrapolated {rectified - computed} times" in log()[0]


def noises(model: Model, steps: int) -> list[float]:
    sampling = model.get_model_object("model_sampling")
    sigmas = comfy.samplers.calculate_sigmas(sampling, "simple", steps)[:-1].tolist()
    return [noise_to_signal(sampling, sigma) for sigma in sigmas]


@pytest.mark.parametrize("estimator", ["reverse", "finite difference"])
def test_by_noise_takes_a_product_at_the_first_step_below_each_level(model: Model, log: Log, estimator: str) -> None:
    steps = 20
    run = noises(model, steps)
    first_below = {next(i for i, n in enumerate(run) if n <= level * 1.001) for level in ByNoise().levels(run)}
    assert 1 < len(first_below) <= ByNoise().products(steps)
    watched = Watched(reg(model, estimator=estimator, refresh="by noise"))
    sample_steps(watched.model, steps)
    first, differenced = min(first_below), estimator == "finite difference"
    assert watched.per_level == [1] * first + [2 + (differenced and i in first_below) for i in range(first, steps)]
    extrapolated = steps - first - len(first_below)
    assert f"computed {len(first_below)} times and extrapolated {extrapolated} times" in log()[0]


def products_computed(model: Model, steps: int, sampler: str) -> int:
    guided, seen = estimations(reg(model, refresh="by noise"))
    sample_steps(guided, steps, sampler)
    return seen[-1].states[COMPUTED]


@pytest.mark.parametrize("sampler", ["heun", "dpm_2", "dpmpp_2s_ancestral"])
def test_samplers_of_second_order_take_no_more_products(model: Model, sampler: str) -> None:
    euler = products_computed(model, 12, "euler")
    assert 1 <= euler <= products_computed(model, 12, sampler) <= euler + 1


@pytest.mark.parametrize("refresh", ["every step", "every 2 steps", "by noise"])
def test_context_windows_do_not_share_their_products(flow: Model, refresh: str) -> None:
    """The host asks for each window by itself; without overlap each is an image of its own."""
    guided = reg(flow, refresh=refresh)
    arguments = (4, 0, "standard_static", 1, False, "flat", 3, False)
    windowed = nodes_context_windows.ContextWindowsManualNode.execute(guided, *arguments)[0]
    windowed.model_options["context_handler"].causal_window_fix = False  # no part of one window in another
    noise, latent = comfy.sample.prepare_noise(empty_latent(flow)["samples"], SEED), empty_latent(flow)["samples"]
    settings = (9, CFG, "euler", "simple", conditioning(1), conditioning(2))
    parts = [
        comfy.sample.sample(guided, noise[..., window].clone(), *settings, latent[..., window].clone(), seed=SEED)
        for window in (slice(0, 4), slice(4, 8))
    ]
    image = comfy.sample.sample(windowed, noise, *settings, latent, seed=SEED)
    assert relative_error(image, torch.cat(parts, dim=3)) < 1e-5  # float32 rounding


def test_evaluations_of_a_run_are_counted_exactly(model: Model) -> None:
    rectified = rectified_steps(model)

    def rows(guided: Model) -> int:
        watched = Watched(guided)
        sample(watched.model)
        return watched.total

    assert rows(model) == 2 * STEPS
    assert rows(reg(model)) == STEPS + rectified
    assert rows(reg(model, refresh="by noise")) == STEPS + rectified
    assert rows(reg(model, checkpointing="on")) == STEPS + rectified  # the second computation is of blocks
    assert rows(reg(model, estimator="finite difference")) == STEPS + 2 * rectified


@pytest.mark.parametrize("estimator", ["reverse", "forward", "finite difference"])
def test_a_named_estimator_is_refreshed_at_every_step(flow: Model, estimator: str) -> None:
    named = sample(reg(flow, estimator=estimator))
    assert torch.equal(named, sample(reg(flow, estimator=estimator, refresh="every step")))
    assert not torch.equal(named, sample(reg(flow, estimator=estimator, refresh="every 4 steps")))


def test_by_noise_keeps_the_effect(model: Model) -> None:
    """Even of random networks, whose Jacobians have little of an ideal denoiser's: measured 71, 98 and 87 %."""
    whole, plain = sample_steps(reg(model), 12), sample_steps(model, 12)
    extrapolated = sample_steps(reg(model, refresh="by noise"), 12)
    assert float(1 - (extrapolated - whole).norm() / (plain - whole).norm()) > 0.65


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float8_e4m3fn, torch.float8_e5m2])
@pytest.mark.parametrize("checkpointing", ["off", "on"])
def test_weights_cast_for_each_call_are_differentiated(dtype: torch.dtype, checkpointing: str, log: Log) -> None:
    weights = {key: value.to(dtype) for key, value in FAMILIES["SD3 flow"]().model.diffusion_model.state_dict().items()}
    rounded = {key: value.float() for key, value in weights.items()}
    cast = comfy.sd.load_diffusion_model_state_dict(dict(weights), model_options={"dtype": dtype})
    cast.set_model_compute_dtype(torch.float32)  # on every machine, also one with hardware for less
    full = comfy.sd.load_diffusion_model_state_dict(rounded, model_options={"dtype": torch.float32})
    layers = [m for m in cast.model.diffusion_model.modules() if isinstance(m, comfy.ops.CastWeightBiasOp)]
    assert len(layers) > 5
    image = sample(reg(cast, checkpointing=checkpointing))
    assert any(layer.comfy_cast_weights for layer in layers)
    # float32 rounding (6e-8) through five evaluations of a network of condition about 1e2
    assert relative_error(image, sample(reg(full))) < 1e-4
    assert log()[1] == []


@pytest.mark.parametrize("batch", [1, 3])
def test_the_host_is_told_of_the_memory_before_it_loads(flow: Model, batch: int) -> None:
    seen: list[list[int]] = []

    def innermost(executor: Any, patcher: Any, noise_shape: Any, *args: Any, **kwargs: Any) -> Any:
        seen.append(list(noise_shape))
        return executor(patcher, noise_shape, *args, **kwargs)

    for guided in (flow, reg(flow, strength=0.0), reg(flow)):
        probed = guided.clone()
        probed.add_wrapper_with_key(WrappersMP.PREPARE_SAMPLING, "probe", innermost)
        conds = conditioning(1), conditioning(2)
        ksample(probed, SEED, 2, CFG, "euler", "simple", *conds, empty_latent(probed, batch))
    assert seen == [[batch, 16, 8, 8], [batch, 16, 8, 8], [2 * batch, 16, 8, 8]]


def test_switched_off_it_leaves_no_wrapper(flow: Model) -> None:
    def keys(patcher: Model) -> set[str]:
        return {key for keyed in patcher.wrappers.values() for key, functions in keyed.items() if functions}

    on = reg(flow)
    assert GUIDANCE_KEY in keys(on)
    assert GUIDANCE_KEY not in keys(reg(on, strength=0.0))
    assert GUIDANCE_KEY not in keys(flow)
    assert torch.equal(sample(reg(on, strength=0.0)), sample(flow))


def test_two_runs_with_extrapolated_products_are_bitwise_equal(model: Model) -> None:
    """Nothing is remembered from one run to the next, also on the same clone."""
    guided = auto(model)
    first = sample(guided)
    assert torch.equal(sample(guided), first)
    assert torch.equal(sample(auto(model)), first)


def raising(error: Callable[[], BaseException], at: int) -> Callable[[Model], Model]:
    """A fault in the attention of a gradient pass, also where a block is computed a second time."""

    def install(model: Model) -> Model:
        calls = iter(range(10_000))

        def attention(func: Callable[..., Tensor], q: Tensor, *args: Any, **kwargs: Any) -> Tensor:
            if q.requires_grad and next(calls) == at:
                raise error()
            return attention_pytorch(q, *args, **kwargs)

        model = model.clone()
        model.model_options["transformer_options"]["optimized_attention_override"] = attention
        return model

    return install


FAULTS: dict[str, tuple[Callable[[], BaseException], type[BaseException] | None]] = {
    "exception": (Interrupted, Interrupted),
    "interrupt": (
        comfy.model_management.InterruptProcessingException,
        comfy.model_management.InterruptProcessingException,
    ),
    "out of memory": (lambda: torch.OutOfMemoryError("no memory for the graph"), None),
}


def attentions(model: Model) -> int:
    """Calls of attention in one evaluation with a gradient."""
    counted: list[Tensor] = []

    def attention(func: Callable[..., Tensor], q: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        if q.requires_grad:
            counted.append(q)
        return attention_pytorch(q, *args, **kwargs)

    patched = model.clone()
    patched.model_options["transformer_options"]["optimized_attention_override"] = attention
    sample(reg(patched))
    return len(counted) // rectified_steps(model)


@pytest.mark.parametrize("second", [False, True], ids=["first computation", "second computation"])
@pytest.mark.parametrize("fault", FAULTS)
def test_no_hook_is_left_by_a_fault(model: Model, fault: str, second: bool) -> None:
    error, raised = FAULTS[fault]
    at = attentions(model) if second else 0
    guided = reg(raising(error, at)(model), checkpointing="on")
    if raised is None:
        healthy = raising(error, -1)(model)
        assert torch.equal(sample(guided), sample(reg(healthy, estimator="finite difference")))
    else:
        with pytest.raises(raised):
            sample(guided)
    assert hooks_of(model.model) == []
    assert comfy.model_management.in_training is False
    assert torch.is_inference_mode_enabled() and not torch.is_grad_enabled()


@pytest.mark.parametrize("checkpointing", ["off", "on", "auto"])
def test_no_hook_is_left_by_a_run(model: Model, checkpointing: str) -> None:
    during: list[int] = []

    def see(output: Tensor, x: Tensor) -> Tensor:
        if torch.is_grad_enabled():
            during.append(len(hooks_of(model.model)))
        return output

    sample(Watched(reg(model, checkpointing=checkpointing), see).model)
    assert hooks_of(model.model) == []
    assert len(during) == rectified_steps(model)
    # there is something to remove: at the network and, for a forward pre-hook with keywords, a note of them, or more
    assert min(during) >= 2 and (min(during) > 2) == (checkpointing == "on")


FLUX_STEPS = 6


def sample_flux(guided: Model) -> Tensor:
    family = GRADIENT_FAMILIES["Flux"]
    latent = {"samples": torch.zeros(1, *family.latent)}
    conds = family.conditioning(1), family.conditioning(2)
    return ksample(guided, SEED, FLUX_STEPS, CFG, "euler", "simple", *conds, latent)[0]["samples"]


def test_a_network_that_overwrites_its_activations_costs_one_evaluation_once(log: Log) -> None:
    """Flux adds to its streams in place: learnt at the first gradient pass, for this run and all that follow."""
    flux = GRADIENT_FAMILIES["Flux"].build(torch.float32)
    images = []
    for checkpointing in ("off", "on"):
        watched = Watched(reg(flux, checkpointing=checkpointing))
        images.append(sample_flux(watched.model))
        assert watched.per_level == [1, 3, *[2] * (FLUX_STEPS - 2)]
        summary, warnings = log()
        assert warnings == []
        assert "row-sum, reverse" in summary and f"in {FLUX_STEPS} of {FLUX_STEPS} evaluations" in summary
        watched.rows.clear()
        assert torch.equal(sample_flux(watched.model), images[-1])
        assert watched.per_level == [1, *[2] * (FLUX_STEPS - 1)]
    kept, twice = images
    # float32 rounding of sums in another order, through six evaluations of a network of condition about 1e2
    assert relative_error(twice, kept) < 1e-5
