"""What REG costs on models of full width with random weights, one step of the host's own KSampler, as Markdown tables.

    python run.py bench cost [model ...]

Every way runs in this process, on the same inputs, in turns. ``the paper's way`` is the public code of arXiv 2501.18865
restated: both predictions in one batch under grad, weights that require grad, one gradient with respect to the sample.
The times of whole runs are put together from these, by what the steps of such a run come to on the playground model,
since the factor of random weights is not that of a trained model.
"""

from __future__ import annotations

import statistics
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from harness import CUDA, REPOSITORY, peak_bytes, side_by_side  # first: it imports the host

# isort: split
import comfy.model_management
import comfy.model_patcher
import comfy.samplers
import comfy.sd
import comfy.supported_models
import comfy.utils
import torch
from frontier import calibrated, ran, rectified
from torch import Tensor
from torch.autograd.graph import allow_mutation_on_saved_tensors

import nodes
from playground import STEPS, sample
from reg_pack.nodes.host.derivative.kernels import differentiable_kernels
from reg_pack.nodes.host.derivative.selection import Method
from reg_pack.nodes.host.noise_level import signal_scale
from reg_pack.nodes.host.sampling import Guidance
from reg_pack.nodes.host.scheduling import ScheduledWeight
from reg_pack.reg_core.refresh import AS_CFG, BY_NOISE
from reg_pack.reg_core.schedule import Constant, Interval, Schedule
from reg_pack.reg_core.trace import COMPUTED, CONDITIONAL, UNGUIDED, Step

WEIGHT, ROUNDS = 5.0, 3
ESTIMATORS = ("reverse", "finite difference")
ALL_ROWS = 1.5
"""Compute of a step whose product was computed, as the trace counts it, with D_u."""
DTYPE = torch.float16 if CUDA else torch.float32
Model = Any

UNET = {"image_size": 32, "in_channels": 4, "out_channels": 4, "model_channels": 320, "use_spatial_transformer": True}
MODELS: dict[str, tuple[str, dict[str, Any], tuple[int, int], int, tuple[int, ...]]] = {
    # name: the host's class, its network, context (tokens, width), width of the pooled output, latent
    "SD1.5": (
        "SD15",
        {
            **UNET,
            "num_res_blocks": [2, 2, 2, 2],
            "channel_mult": [1, 2, 4, 4],
            "transformer_depth": [1, 1, 1, 1, 1, 1, 0, 0],
            "transformer_depth_output": [1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0],
            "transformer_depth_middle": 1,
            "context_dim": 768,
            "num_heads": 8,
            "adm_in_channels": None,
            "use_linear_in_transformer": False,
            "legacy": False,
        },
        (77, 768),
        0,
        (4, 32, 32),
    ),
    "SDXL": (
        "SDXL",
        {
            **UNET,
            "num_res_blocks": [2, 2, 2],
            "channel_mult": [1, 2, 4],
            "transformer_depth": [0, 0, 2, 2, 10, 10],
            "transformer_depth_output": [0, 0, 0, 2, 2, 2, 10, 10, 10],
            "transformer_depth_middle": 10,
            "context_dim": 2048,
            "num_head_channels": 64,
            "num_heads": -1,
            "adm_in_channels": 2816,
            "num_classes": "sequential",
            "use_linear_in_transformer": True,
            "legacy": False,
        },
        (77, 2048),
        1280,
        (4, 32, 32),
    ),
    "Flux-like, 3 blocks": (
        "Flux",
        {
            "image_model": "flux",
            "in_channels": 16,
            "out_channels": 16,
            "patch_size": 2,
            "vec_in_dim": 768,
            "context_in_dim": 4096,
            "hidden_size": 3072,
            "mlp_ratio": 4.0,
            "num_heads": 24,
            "depth": 1,
            "depth_single_blocks": 2,
            "axes_dim": [16, 56, 56],
            "txt_ids_dims": [],
            "theta": 10000,
            "qkv_bias": True,
            "guidance_embed": False,
        },
        (64, 4096),
        768,
        (16, 32, 32),
    ),
    "Wan-like, 8 blocks": (
        "WAN21_T2V",
        {
            "image_model": "wan2.1",
            "model_type": "t2v",
            "dim": 1536,
            "ffn_dim": 8960,
            "num_heads": 12,
            "num_layers": 8,
            "patch_size": (1, 2, 2),
            "freq_dim": 256,
            "in_dim": 16,
            "out_dim": 16,
            "text_dim": 4096,
            "text_len": 512,
            "window_size": (-1, -1),
            "qk_norm": True,
            "cross_attn_norm": True,
            "eps": 1e-6,
        },
        (128, 4096),
        0,
        (16, 1, 32, 32),
    ),
}


def build(name: str) -> tuple[Model, list[Any], list[Any], Tensor]:
    config_name, network, (tokens, width), pooled, latent = MODELS[name]
    config_class = getattr(comfy.supported_models, config_name)
    config = config_class({**config_class.unet_config, **network})
    config.unet_config.update(network)
    config.set_inference_dtype(DTYPE, None)
    device = comfy.model_management.get_torch_device()
    model = config.get_model({}, device=device).eval()
    generator = torch.Generator(device).manual_seed(0)
    for parameter in model.parameters():
        parameter.requires_grad_(False).normal_(std=0.02, generator=generator)
    patcher = comfy.model_patcher.ModelPatcher(model, device, device)

    def conditioning() -> list[Any]:
        return [[torch.randn(1, tokens, width), {"pooled_output": torch.randn(1, pooled)} if pooled else {}]]

    torch.manual_seed(0)
    return patcher, conditioning(), conditioning(), torch.zeros(1, *latent)


def papers_way(model: Model) -> Model:
    """MODEL with the rectified pair made as in the public code of the paper."""
    model = model.clone()

    def predict(
        executor: Any, inner: Any, conds: Any, x: Tensor, sigma: Tensor, options: dict[str, Any]
    ) -> list[Tensor]:
        weights = list(inner.diffusion_model.parameters())
        for weight in weights:
            weight.requires_grad_(True)
        try:
            with torch.enable_grad(), differentiable_kernels(), allow_mutation_on_saved_tensors():
                x = x.clone().requires_grad_()
                conditional, unconditional = executor(inner, conds, x, sigma, options)
                (gradient,) = torch.autograd.grad(conditional.sum(), x)
        finally:
            for weight in weights:
                weight.requires_grad_(False)
        factor = signal_scale(inner.model_sampling, sigma, x.detach()) * gradient
        conditional, unconditional = conditional.detach(), unconditional.detach()
        return [conditional, conditional - factor * (conditional - unconditional)]

    model.add_wrapper_with_key("calc_cond_batch", "paper", predict)
    return model


def reg(model: Model, **method: str) -> Model:
    return Guidance(Method(**method)).install(model)


def ways_of(model: Model) -> dict[str, Model]:
    """What one step may cost; a step at which the product is extrapolated costs what one of CFG does."""
    return {
        "CFG": model,
        "no guidance": ScheduledWeight(Constant(1.0)).install(model),
        "the paper's way": papers_way(model),
        "reverse": reg(model, estimator="reverse", checkpointing="off"),
        "reverse, checkpointing": reg(model, estimator="reverse", checkpointing="on"),
        "finite difference": reg(model, estimator="finite difference"),
    }


def print_cost(name: str, runs: Mapping[str, Mapping[str, Sequence[Step]]]) -> None:
    model, positive, negative, latent = build(name)

    def step(guided: Model) -> Callable[[], object]:
        """One Euler step that begins at middle noise."""
        settings = (1, 1, WEIGHT, "euler", "simple", positive, negative, {"samples": latent})
        return lambda: nodes.common_ksampler(guided, *settings, denoise=0.5)

    ways = {way: step(guided) for way, guided in ways_of(model).items()}
    ways["CFG"]()
    weights = sum(parameter.nbytes for parameter in model.model.parameters())
    peaks = {way: peak_bytes(run) for way, run in ways.items()}
    times = side_by_side(ways, ROUNDS)
    size = "x".join(str(length) for length in latent.shape[1:])
    print(
        f"\n| {name}, {weights / 2**30:.1f} GiB, latent {size} | ms per step | time, ratio to CFG "
        "| MiB beyond the weights | peak with weights, ratio to CFG |\n| --- | --- | --- | --- | --- |"
    )
    for way, (median, ratio) in times.items():
        peak = (weights + peaks[way]) / (weights + peaks["CFG"])
        print(f"| {way} | {median * 1000:.0f} | {ratio:.2f} | {peaks[way] / 2**20:.0f} | {peak:.2f} |")
    print(f"\n| a run, from these, ratio to CFG | {' | '.join(ESTIMATORS)} |\n| --- | --- | --- |")
    ratios = {way: ratio for way, (_, ratio) in times.items()}
    for run, steps in runs.items():
        cells = [f"{statistics.mean(cost(step, way, ratios) for step in steps[way]):.2f}" for way in ESTIMATORS]
        print(f"| {run} | " + " | ".join(cells) + " |", flush=True)


def cost(step: Step, estimator: str, ratios: Mapping[str, float]) -> float:
    """The time of a step of a run, as a ratio to CFG's."""
    if step.state in (CONDITIONAL, UNGUIDED):
        return ratios["no guidance"]
    if step.state != COMPUTED:
        return 1.0
    alone = step.cost is not None and step.cost < ALL_ROWS  # D_u was left out
    return ratios[estimator] - (ratios["no guidance"] if alone else 0.0)


def playground_runs() -> dict[str, dict[str, list[Step]]]:
    """The steps of whole runs of the playground model, by run and estimator."""
    model = comfy.sd.load_diffusion_model(str(REPOSITORY / "playground" / "reg_playground_digits.safetensors"))
    curve = calibrated(model, "row-sum", WEIGHT)
    schedules: dict[str, Schedule] = {"": Constant(WEIGHT), ", guidance at 8 of them": Interval(WEIGHT, 0.2, 0.6)}
    runs = [(STEPS, name, "") for name in ("every step", "every 2 steps", BY_NOISE, "best", AS_CFG, "free")]
    steps: dict[str, dict[str, list[Step]]] = {}
    for count, refresh, where in (*runs, (50, AS_CFG, ""), (STEPS, AS_CFG, ", guidance at 8 of them")):
        named = steps[f"{count} steps, {refresh}{where}"] = {}
        for estimator in ESTIMATORS:
            method = Method(estimator=estimator, refresh=refresh, measured=curve if refresh == "free" else None)
            guided = ScheduledWeight(schedules[where]).install(rectified(model, method))
            sample(guided, WEIGHT, steps=count)
            named[estimator] = ran(guided).steps
    return steps


def main() -> None:
    comfy.utils.set_progress_bar_enabled(False)
    for name in sys.argv[1:]:
        if name not in MODELS:
            known = "; ".join(MODELS)
            sys.exit(f"Expected one of the models {known}, but got '{name}'.\nName one of these, or none for all.")
    with torch.no_grad():  # not inference mode: the paper's way needs weights that can require grad
        with torch.inference_mode():
            runs = playground_runs()
        for name in sys.argv[1:] or MODELS:
            print_cost(name, runs)


if __name__ == "__main__":
    main()
