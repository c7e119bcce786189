"""REG beside what other packs do with a MODEL: against an independent computation of what the sampler sees."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from typing import Any

import comfy.hooks
import comfy.samplers
import neighbours
import pytest
import torch
from comfy.patcher_extension import WrappersMP
from comfy_extras import nodes_nag, nodes_slg, nodes_tomesd
from sampler_runs import CFG, SEED, STEPS, Watched, auto, custom, lora, reg, relative_error, sample, sample_steps
from torch import Tensor

from reg_pack.nodes.effect import without_effect
from reg_pack.nodes.host.autoguidance.guider import AutoGuider
from reg_pack.nodes.host.autoguidance.weakening import PERTURBED_ATTENTION, WeakenedModel
from reg_pack.nodes.host.keys import GUIDANCE_KEY
from reg_pack.nodes.host.runs import RUNS
from reg_pack.reg_core.rectification import FORMS
from reg_pack.reg_core.trace import COMPUTED, EXTRAPOLATED, SEPARATE
from tiny_families import GRADIENT_FAMILIES
from tiny_models import FAMILIES, conditioning, empty_latent

pytestmark = [pytest.mark.host, pytest.mark.usefixtures("inference_mode")]

Model = Any
ESTIMATORS = ["reverse", "forward", "finite difference"]


def nag(model: Model) -> Model:
    return nodes_nag.NAGuidance.execute(model, 5.0, 0.5, 1.5)[0]


COUPLING: dict[str, Callable[[Model], Model]] = {
    "host's normalized attention guidance": nag,
    "attention": neighbours.couple_attention,
    "outputs": neighbours.couple_outputs,
}


class Log:
    """The lines that REG has logged."""

    def __init__(self, caplog: pytest.LogCaptureFixture) -> None:
        self._caplog = caplog

    @property
    def lines(self) -> list[str]:
        return [line for r in self._caplog.records if r.name == "REG" for line in r.getMessage().splitlines()]

    def forget(self) -> None:
        self._caplog.clear()

    @property
    def warnings(self) -> list[str]:
        records = [r for r in self._caplog.records if r.name == "REG" and r.levelno == logging.WARNING]
        return [record.getMessage() for record in records]


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> Log:
    caplog.set_level(logging.INFO, "REG")
    return Log(caplog)


@pytest.fixture(params=FAMILIES)
def model(request: pytest.FixtureRequest) -> Model:
    return FAMILIES[request.param]()


@pytest.fixture
def unet() -> Model:
    return FAMILIES["UNet eps"]()


class Probe:
    """At one evaluation of a run, what REG returned and the same from central differences of the host's own batch."""

    def __init__(self, guided: Model, form: str) -> None:
        self.form = form
        self.errors: list[float] = []
        self.model = guided.clone()
        kind = WrappersMP.CALC_COND_BATCH
        self.model.wrappers[kind] = {"probe": [self._probe], **self.model.wrappers[kind]}

    def _probe(self, executor: Any, model: Any, conds: Any, x: Tensor, sigma: Tensor, options: Any) -> Any:
        result = executor(model, conds, x, sigma, options)
        alpha = 1 - float(sigma) if isinstance(model.model_sampling, comfy.model_sampling.CONST) else 1.0
        if len(conds) == 2 and conds[0] and conds[1] and alpha > 0.05:
            without = {kind: dict(keyed) for kind, keyed in options["transformer_options"]["wrappers"].items()}
            for key in ("probe", GUIDANCE_KEY):
                without[kind_of_batches].pop(key, None)
            plain = {**options, "transformer_options": {**options["transformer_options"], "wrappers": without}}

            def batch(at: Tensor) -> list[Tensor]:
                return comfy.samplers._calc_cond_batch_outer(model, conds, at, sigma, plain)

            conditional, unconditional = batch(x)
            gap = conditional - unconditional
            assert relative_error(result[0], conditional) < 1e-4  # the neighbour acts in D_c, too
            generator = torch.Generator().manual_seed(3)
            probe = torch.randn(x.shape, generator=generator)
            h = 2e-3 * float(x.norm() / probe.norm())
            along = alpha * (batch(x + h * probe)[0] - batch(x - h * probe)[0]) / (2 * h)  # alpha J u
            rectified = result[0] - result[1]
            if self.form == "row-sum":  # <alpha J^T 1, u> = <1, alpha J u>
                product, expected = (rectified / gap * probe).sum(), along.sum()
            else:
                product, expected = (rectified * probe).sum(), (gap * along).sum()
            scale = (rectified / gap if self.form == "row-sum" else rectified).norm() * probe.norm()
            self.errors.append(float((product - expected).abs() / scale))
        return result


kind_of_batches = WrappersMP.CALC_COND_BATCH


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("neighbour", COUPLING)
def test_coupled_predictions_are_differentiated_as_the_host_composes_them(
    unet: Model, log: Log, neighbour: str, form: str
) -> None:
    """<J^T v, u> against central differences of the pair in one batch, at every evaluation."""
    probe = Probe(reg(COUPLING[neighbour](unet), form=form), form)
    sample(probe.model)
    assert len(probe.errors) == STEPS
    # of a random direction in 256 dimensions; the central difference itself is off by some 1e-3 in float32
    assert max(probe.errors) < 2e-3
    assert [text for text in log.warnings if "act on each other" in text] == log.warnings
    assert len(log.warnings) == 1


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("neighbour", COUPLING)
def test_coupled_predictions_are_differenced_with_one_composition(
    model: Model, log: Log, neighbour: str, form: str
) -> None:
    """Finite difference and forward mode agree to first order in the step; apart they differ hundreds of times."""
    coupled = COUPLING[neighbour](model)
    exact = sample(reg(coupled, form=form, estimator="forward"))
    effect = (exact - sample(coupled)).norm()
    difference = sample(reg(coupled, form=form, estimator="finite difference"))
    assert (difference - exact).norm() < 0.1 * effect
    assert not [text for text in log.warnings if "act on each other" not in text]


def test_weights_that_are_swapped_within_a_coupled_batch_are_not_differentiated(unet: Model, log: Log) -> None:
    """Positive and the first negative share a LoRA and a batch; for the second negative the host swaps it out."""
    hooks = comfy.hooks.create_hook_lora(lora(unet, 1), 0.5, 0.0)
    positive = comfy.hooks.set_hooks_for_conditioning(conditioning(1), hooks)
    negative = comfy.hooks.set_hooks_for_conditioning(conditioning(2), hooks) + conditioning(3)
    coupled = neighbours.couple_attention(unet)
    image = sample(reg(coupled), positive=positive, negative=negative)
    expected = sample(reg(coupled, estimator="finite difference"), positive=positive, negative=negative)
    assert relative_error(image, expected) < 1e-3
    assert [text for text in log.warnings if "change the weights in the middle" in text]


def test_a_little_strength_changes_a_coupled_image_a_little(unet: Model) -> None:
    """REG used to switch the neighbour off: at strength 0.001 the image was another by a quarter."""
    coupled = nag(unet)
    plain, slight = sample(coupled), sample(reg(coupled, strength=1e-3))
    assert relative_error(slight, plain) < 1e-2
    assert relative_error(sample(unet), plain) > 0.05  # the neighbour acts


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_a_neighbour_that_couples_nothing_is_looked_at_once(unet: Model, log: Log, estimator: str) -> None:
    """One more row to see D_c in the batch, and one to check a gradient; then as cheap as without it."""
    harmless = unet.clone()
    harmless.set_model_unet_function_wrapper(lambda apply, o: apply(o["input"], o["timestep"], **o["c"]))
    watched, plain = Watched(reg(harmless, estimator=estimator)), Watched(reg(unet, estimator=estimator))
    image, expected = sample(watched.model), sample(plain.model)
    # once D_u comes from the batch: float32 rounding, which a difference amplifies by 1 / 3e-4
    assert relative_error(image, expected) < 1e-3
    assert watched.total - plain.total == (1 if estimator == "finite difference" else 2)
    assert log.warnings == []


def test_token_merging_draws_the_same_tokens_for_all_parts_of_a_step(unet: Model, log: Log) -> None:
    """It merges by random tokens and is no coupling: the parts of one step must draw what the host's batch draws."""
    merged = nodes_tomesd.TomePatchModel.execute(unet, 0.5)[0]
    probe = Probe(reg(merged), "row-sum")
    state = torch.get_rng_state()
    torch.manual_seed(5)
    kept: list[Tensor] = []

    def same_draws(executor: Any, *args: Any) -> Any:
        torch.manual_seed(5)
        result = executor(*args)
        kept.append(torch.get_rng_state())
        return result

    probe.model.wrappers[kind_of_batches]["draws"] = [same_draws]
    sample(probe.model)
    torch.set_rng_state(state)
    assert not [text for text in log.warnings if "act on each other" in text]
    assert len({tuple(random.tolist()) for random in kept}) == 1


def test_reg_leaves_the_random_numbers_where_the_host_leaves_them(unet: Model) -> None:
    """Samplers that draw from the global generator see the same numbers with REG and without."""
    merged, after = nodes_tomesd.TomePatchModel.execute(unet, 0.5)[0], []
    for patched in (merged, reg(merged)):
        torch.manual_seed(5)
        sample(patched)
        after.append(torch.get_rng_state())
    assert torch.equal(*after)


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_two_models_that_both_have_reg_are_rectified_once(unet: Model, log: Log, estimator: str) -> None:
    """The one that stands first among the wrappers acts, and reports."""
    second = reg(unet, form="directional")
    guider = neighbours.MergingGuider(reg(unet, estimator=estimator), second)
    guider.set_conds(conditioning(1), conditioning(2))
    guider.set_cfg(CFG)
    image = custom(guider, unet)
    assert len(log.lines) == 1 and "guidance changed by" in log.lines[0] and "(directional" in log.lines[0]
    assert torch.equal(image, sample(second))


def test_the_same_reg_twice_among_the_wrappers_acts_once(unet: Model) -> None:
    guided = reg(unet)
    guider = neighbours.MergingGuider(guided, guided)
    guider.set_conds(conditioning(1), conditioning(2))
    guider.set_cfg(CFG)
    assert torch.equal(custom(guider, unet), sample(guided))


@pytest.mark.parametrize("refresh", ["by noise", "as CFG", "every 2 steps"])
def test_windows_of_another_pack_do_not_share_products(unet: Model, refresh: str) -> None:
    """Each window is told in an option that only the other pack knows; as separate images they give the same."""
    guided = neighbours.sub_windows(reg(unet, refresh=refresh))
    noise = comfy.sample.prepare_noise(empty_latent(unet)["samples"], SEED)
    latent = empty_latent(unet)["samples"]
    settings = (9, CFG, "euler", "simple", conditioning(1), conditioning(2))

    def run(model: Model, rows: slice) -> Tensor:
        return comfy.sample.sample(model, noise[:, :, rows].clone(), *settings, latent[:, :, rows].clone(), seed=SEED)

    parts = [run(reg(unet, refresh=refresh), rows) for rows in (slice(0, 4), slice(4, 8))]
    assert relative_error(run(guided, slice(0, 8)), torch.cat(parts, dim=2)) < 2e-2
    shared = (parts[0] - parts[1]).norm() / parts[1].norm()
    assert shared > 0.5  # windows differ


def test_an_option_that_cannot_be_compared_takes_every_product_anew(unet: Model) -> None:
    """The windows are told by an object of the other pack's own."""
    guided = reg(unet, refresh="every 4 steps")

    class Window:
        pass

    def windowed(executor: Any, model: Any, conds: Any, x: Tensor, sigma: Tensor, options: Any) -> Any:
        outputs = []
        for part in x.chunk(2, dim=2):
            options["transformer_options"]["window"] = Window()
            outputs.append(executor(model, conds, part, sigma, options))
        return [torch.cat(parts, dim=2) for parts in zip(*outputs, strict=True)]

    guided.wrappers[kind_of_batches] = {"neighbour": [windowed], **guided.wrappers[kind_of_batches]}
    runs: list[Any] = []
    guided.set_model_sampler_post_cfg_function(
        lambda args: runs.append(args["model_options"][GUIDANCE_KEY].estimation) or args["denoised"]
    )
    sample(guided)
    assert (runs[-1].states[COMPUTED], runs[-1].states[EXTRAPOLATED]) == (2 * STEPS, 0)


def test_an_option_that_follows_the_noise_does_not_cost_products(unet: Model) -> None:
    guided = reg(unet, refresh="every 4 steps")

    def count(executor: Any, model: Any, conds: Any, x: Tensor, sigma: Tensor, options: Any) -> Any:
        options["transformer_options"]["step"] = options["transformer_options"].get("step", 0) + 1
        return executor(model, conds, x, sigma, options)

    guided.wrappers[kind_of_batches] = {"neighbour": [count], **guided.wrappers[kind_of_batches]}
    computed: list[int] = []
    guided.set_model_sampler_post_cfg_function(
        lambda args: (
            computed.append(args["model_options"][GUIDANCE_KEY].estimation.states[COMPUTED]) or args["denoised"]
        )
    )
    assert relative_error(sample(guided), sample(reg(unet, refresh="every 4 steps"))) < 1e-5
    assert computed == [1, 1, 1, 1, 2]


def test_prompts_that_take_turns_do_not_share_products(unet: Model) -> None:
    """Two positive conds, one for each half of the sampling: the second denoiser is another one."""
    sampling = unet.get_model_object("model_sampling")
    turns = [
        [cond[0], {**cond[1], "start_percent": start, "end_percent": end}]
        for seed, start, end in ((1, 0.0, 0.5), (3, 0.5, 1.0))
        for cond in conditioning(seed)
    ]
    watched: list[tuple[float, int]] = []
    guided = reg(unet, refresh="every 4 steps")
    guided.set_model_sampler_post_cfg_function(
        lambda args: (
            watched.append(
                (float(args["sigma"].max()), args["model_options"][GUIDANCE_KEY].estimation.states[COMPUTED])
            )
            or args["denoised"]
        )
    )
    sample(guided, positive=turns)
    middle = float(sampling.percent_to_sigma(0.5))
    before = [computed for level, computed in watched if level > middle]
    after = [computed for level, computed in watched if level <= middle]
    assert set(before) == {1} and set(after) == {2}


INSTALLING = [neighbours.install_at_every_evaluation, neighbours.install_around_the_network]


@pytest.mark.parametrize("estimator", ["reverse", "forward"])
@pytest.mark.parametrize("install", INSTALLING, ids=["at every evaluation", "around the network"])
def test_an_override_that_is_installed_again_does_not_take_the_gradient(
    model: Model, log: Log, install: Callable[[Model], Model], estimator: str
) -> None:
    """Where a product is computed, D_c and D_u come from PyTorch's attention: as if the other node were not there."""
    image, expected = sample(reg(install(model), estimator=estimator)), sample(reg(model, estimator=estimator))
    assert relative_error(image, expected) < 1e-3  # the first step of a flow is pure noise and needs no product
    assert not [text for text in log.warnings if "for the rest of this run" in text]


def test_a_part_of_the_network_that_runs_without_a_gradient_is_noticed(unet: Model, log: Log) -> None:
    """A mixture of experts under no_grad (Hunyuan3D 2.1): a small share, which no difference would show."""
    layer = next(m for name, m in unet.model.diffusion_model.named_modules() if name.endswith("ff.net.2"))
    expected = sample(reg(unet, estimator="finite difference"))

    class Experts(torch.nn.Module):
        def __init__(self, expert: torch.nn.Module) -> None:
            super().__init__()
            self.expert = expert

        @torch.no_grad()
        def forward(self, x: Tensor) -> Tensor:
            return self.expert(x)

    parent, _, name = next(
        name for name, module in unet.model.diffusion_model.named_modules() if module is layer
    ).rpartition(".")
    setattr(unet.model.diffusion_model.get_submodule(parent), name, Experts(layer))
    assert relative_error(sample(reg(unet)), expected) < 1e-5
    assert [text.removeprefix("REG: ") for text in log.warnings] == [
        "Estimator 'reverse' failed (a part of the model (Linear) runs without a gradient). "
        "Using 'finite difference' for the rest of this run."
    ]


def test_both_predictions_of_a_step_come_from_the_same_kernel(unet: Model) -> None:
    """With equal prompts the guidance is nothing but the difference of kernels, which w - 1 amplifies."""
    seen: list[float] = []
    guided = reg(neighbours.install_at_every_evaluation(unet))
    guided.set_model_sampler_pre_cfg_function(
        lambda args: seen.append(relative_error(*args["conds_out"])) or args["conds_out"]
    )
    sample(guided, negative=conditioning(1))
    assert len(seen) == STEPS and max(seen) < 1e-5  # float32 rounding; the kernels themselves differ by 2e-2


@pytest.mark.parametrize("estimator", ["reverse", "forward"])
def test_a_gradient_that_a_neighbour_cuts_off_is_not_believed(unet: Model, log: Log, estimator: str) -> None:
    cut = neighbours.forget_the_gradient(unet)
    image = sample(reg(cut, estimator=estimator))
    assert relative_error(image, sample(reg(cut, estimator="finite difference"))) < 1e-3
    assert len(log.warnings) == 1 and "Using 'finite difference' for the rest of this run" in log.warnings[0]


@pytest.mark.parametrize("rectified", [True, False])
def test_autoguidance_says_that_a_node_which_needs_a_negative_does_nothing(
    unet: Model, log: Log, rectified: bool
) -> None:
    for patched, told in ((nag(unet), 1), (unet, 0)):
        model = reg(patched) if rectified else patched
        own = AutoGuider(model, conditioning(1), 2.0, WeakenedModel(PERTURBED_ATTENTION))
        custom(own, unet)
        assert len([text for text in log.warnings if "Autoguidance has no negative" in text]) == told
        log.forget()


@pytest.fixture
def switches(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The switches of newer hosts, as 0.33 and later declare them."""
    arguments = comfy.cli_args.args
    monkeypatch.setattr(arguments, "disable_comfy_compiler", False, raising=False)
    monkeypatch.setattr(arguments, "disable_cuda_graphs", False, raising=False)
    yield arguments


@pytest.mark.parametrize("fault", [False, True])
def test_the_compiler_of_newer_hosts_is_off_while_a_gradient_is_recorded(
    unet: Model, switches: Any, fault: bool
) -> None:
    during: list[tuple[bool, bool]] = []

    class Stop(Exception):
        pass

    def see(output: Tensor, x: Tensor) -> Tensor:
        if torch.is_grad_enabled():
            during.append((switches.disable_comfy_compiler, switches.disable_cuda_graphs))
            if fault:
                raise Stop
        else:
            assert comfy.model_management.in_training or not switches.disable_comfy_compiler
        return output

    guided = Watched(reg(unet), see).model
    if fault:
        with pytest.raises(Stop):
            sample(guided)
    else:
        sample(guided)
    assert set(during) == {(True, True)}
    assert (switches.disable_comfy_compiler, switches.disable_cuda_graphs) == (False, False)


def test_a_network_that_keeps_tensors_between_evaluations_is_told_not_to_while_a_product_is_computed() -> None:
    """Qwen-Image 2.1 keeps keys and values of its prefix, and a graph with them, unless its option says off."""
    unet = FAMILIES["UNet eps"]()
    unet.model.diffusion_model.prefix_cache_enabled = True  # as that network has it
    said: list[tuple[bool, Any]] = []

    def see(executor: Any, *args: Any, **kwargs: Any) -> Tensor:
        options = next(value for value in (*args, *kwargs.values()) if isinstance(value, dict) and "sigmas" in value)
        said.append((comfy.model_management.in_training, options.get("qwen_image21_cache")))
        return executor(*args, **kwargs)

    guided = reg(unet, refresh="every 4 steps")
    guided.add_wrapper_with_key(WrappersMP.DIFFUSION_MODEL, "neighbour", see)
    sample(guided)
    assert {off for computed, off in said if not computed} == {None}
    assert all(off == {"device": "off"} for computed, off in said if computed)
    assert any(computed for computed, _ in said)


def test_no_memory_for_the_extra_evaluation_gives_cfg_at_that_step(unet: Model, log: Log) -> None:
    """The third row of the second step fails; the image goes on."""
    rows: list[float] = []

    def fault(output: Tensor, x: Tensor) -> Tensor:
        rows.append(0.0)
        if len(rows) == 6:
            raise torch.OutOfMemoryError("no memory left")
        return output

    image = sample(Watched(reg(unet, estimator="finite difference"), fault).model)
    assert torch.isfinite(image).all()
    assert len(log.warnings) == 1 and "Not enough memory for one more evaluation" in log.warnings[0]
    assert f"in {STEPS - 1} of {STEPS} evaluations" in log.lines[-2]
    assert relative_error(image, sample(reg(unet, estimator="finite difference"))) > 1e-3


def test_an_implausible_product_is_never_applied(unet: Model, log: Log) -> None:
    """An output that jumps with the slightest change of its input: the difference is hundreds of times the guidance."""
    calls = iter(range(1000))

    def jump(output: Tensor, x: Tensor) -> Tensor:
        return output + 30 * (next(calls) % 2) * torch.sin(torch.arange(output.numel())).reshape(output.shape[1:])[None]

    def fault(output: Tensor, x: Tensor) -> Tensor:
        return jump(output, x) if x.shape[0] == 1 else output

    image = sample(Watched(reg(unet, estimator="finite difference"), fault).model)
    assert [text for text in log.warnings if "times as large" in text]
    assert torch.isfinite(image).all()


def test_an_extrapolated_product_that_is_not_finite_gives_cfg(
    unet: Model, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    from reg_pack.reg_core import refresh as refreshing

    whole = refreshing.Refresh.extrapolated
    monkeypatch.setattr(
        refreshing.Refresh, "extrapolated", lambda self, noise, gap: whole(self, noise, gap) / torch.zeros(())
    )
    image = sample(reg(unet, refresh="every 2 steps"))
    assert torch.isfinite(image).all()
    assert [text for text in log.warnings if "not finite" in text]


def test_a_refused_first_product_is_computed_again_at_the_next_step(unet: Model) -> None:
    """Extrapolating before any product gives a factor of 0: after a refusal that would be a run without guidance."""
    steps = iter(range(1000))

    def fault(output: Tensor, x: Tensor) -> Tensor:
        if torch.is_grad_enabled() and next(steps) == 0:
            return output + (0 * x).abs().sqrt()  # a gradient that is not a number, once
        return output

    watched = Watched(auto(unet), fault)
    runs: list[Any] = []
    watched.model.set_model_sampler_post_cfg_function(
        lambda args: runs.append(args["model_options"][GUIDANCE_KEY].estimation.states[COMPUTED]) or args["denoised"]
    )
    sample_steps(watched.model, 12)
    first = next(index for index, computed in enumerate(runs) if computed)
    expected: list[int] = []
    plain = auto(unet)
    plain.set_model_sampler_post_cfg_function(
        lambda args: (
            expected.append(args["model_options"][GUIDANCE_KEY].estimation.states[COMPUTED]) or args["denoised"]
        )
    )
    sample_steps(plain, 12)
    assert first == next(index for index, computed in enumerate(expected) if computed) + 1


def test_flux_with_normalized_attention_guidance_keeps_its_image(log: Log) -> None:
    """It overwrites parts of its attention in place; finite difference used to be 18 times off."""
    family = GRADIENT_FAMILIES["Flux"]
    flux = nag(family.build(torch.float32))
    latent = torch.zeros(1, *family.latent)
    noise = comfy.sample.prepare_noise(latent, SEED)
    conds = family.conditioning(1), family.conditioning(2)

    def run(guided: Model) -> Tensor:
        return comfy.sample.sample(guided, noise, 4, CFG, "euler", "simple", *conds, latent, seed=SEED)

    exact, plain = run(reg(flux)), run(flux)
    difference = run(reg(flux, estimator="finite difference", form="directional"))
    assert relative_error(difference, plain) < 2 * relative_error(exact, plain) + 0.5
    assert not [text for text in log.warnings if "act on each other" not in text]


def simple_layer_skip(model: Model, end: float = 1.0) -> Model:
    return nodes_slg.SkipLayerGuidanceDiTSimple.execute(model, 0.0, end, "0", "")[0]


@pytest.mark.parametrize("ask", [neighbours.ask_one_at_a_time, simple_layer_skip])
def test_predictions_that_are_asked_for_one_at_a_time_are_named(log: Log, ask: Callable[[Model], Model]) -> None:
    """Not the cfg, which is 3, is the reason."""
    guided = ask(reg(FAMILIES["SD3 flow"]()))
    assert torch.equal(sample(guided), sample(ask(FAMILIES["SD3 flow"]())))
    trace = RUNS.of(guided)[None]
    assert [step.state for step in trace.steps] == [SEPARATE] * STEPS
    assert log.lines == [f"REG: {without_effect(trace)}"] and "one at a time" in log.lines[0]
    assert "Remove that node" in log.lines[0]


def test_steps_at_which_predictions_are_asked_for_one_at_a_time_are_told_beside_the_others(log: Log) -> None:
    flow = FAMILIES["SD3 flow"]()
    guided = simple_layer_skip(reg(flow), 0.4)
    sample(guided)
    trace = RUNS.of(guided)[None]
    separate = sum(float(flow.model.model_sampling.percent_to_sigma(0.4)) <= step.sigma for step in trace.steps)
    assert 0 < separate < STEPS
    assert [step.state == SEPARATE for step in trace.steps] == [True] * separate + [False] * (STEPS - separate)
    assert any(f"At {separate} of {STEPS} steps another node" in line for line in log.lines)


def test_the_whole_layer_skip_of_the_host_works_with_reg(log: Log) -> None:
    """It is what the message recommends."""
    guided = nodes_slg.SkipLayerGuidanceDiT.execute(reg(FAMILIES["SD3 flow"]()), 3.0, 0.0, 1.0, "0", "")[0]
    sample(guided)
    assert "guidance changed by" in log.lines[0] and len(log.lines) == 1


def test_a_negative_that_is_thrown_away_leaves_no_effect(unet: Model, log: Log) -> None:
    """``w D_c - (w - 1) 0`` whatever REG makes of D_u."""
    image = sample(neighbours.multiply_the_negative(reg(unet)))
    assert relative_error(image, sample(neighbours.multiply_the_negative(unet))) < 1e-5
    assert len(log.lines) == 1 and "replaces the negative prediction" in log.lines[0]


@pytest.mark.parametrize("factor", [0.25, 0.5])
def test_what_the_sampler_receives_is_told_where_another_node_changes_it(unet: Model, log: Log, factor: float) -> None:
    """``|H - G| / |G|`` of the guidance that arrives, over the run, from what both functions see."""
    seen: list[list[Tensor]] = []

    def see(args: dict[str, Any]) -> list[Tensor]:
        seen.append([part.clone() for part in args["conds_out"]])
        return args["conds_out"]

    guided = reg(unet)
    guided.set_model_sampler_pre_cfg_function(see)
    guided = neighbours.multiply_the_negative(guided, factor)
    sample(guided)
    # the negative is multiplied: H - G = (1 - factor) D_u'
    moved = sum(float(((1 - factor) * negative).norm()) for _, negative in seen)
    size = sum(float((positive - negative).norm()) for positive, negative in seen)
    assert RUNS.of(guided)[None].altered == pytest.approx(moved / size, rel=1e-4)
    assert any(f"differs from REG's by {moved / size:.0%}" in line for line in log.lines)


def test_a_node_that_only_looks_changes_no_message(unet: Model, log: Log) -> None:
    guided = reg(unet)
    guided.set_model_sampler_pre_cfg_function(lambda args: args["conds_out"])
    assert torch.equal(sample(guided), sample(reg(unet)))
    assert len(log.lines) == 2 and log.lines[0] == log.lines[1]


def test_predictions_that_are_put_back_leave_no_effect_and_are_named(unet: Model, log: Log) -> None:
    guided = neighbours.put_back(reg(unet))
    assert relative_error(sample(guided), sample(unet)) < 1e-5
    assert RUNS.of(guided)[None].undone
    assert len(log.lines) == 1 and "replaces the negative prediction" in log.lines[0]


def test_a_replaced_sampling_function_sees_what_the_host_would_give(unet: Model) -> None:
    expected = sample(reg(unet))
    with neighbours.replaced_sampling_function() as asked:
        assert torch.equal(sample(reg(unet)), expected)
    assert asked == [CFG] * STEPS
