"""The nodes of the host, and uses of them, that REG meets in the compatibility matrix."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import comfy.cldm.cldm
import comfy.controlnet
import comfy.gligen
import comfy.hooks
import comfy.ldm.modules.attention
import comfy.model_management
import comfy.ops
import comfy.samplers
import comfy.sd
import comfy.t2i_adapter.adapter
import node_helpers
import torch
from comfy.patcher_extension import WrappersMP
from compatibility import CFG, REPRESENTATIVES, Column, Conds, Model, Setting, Subject, reg
from neighbours import NEIGHBOURS, MergingGuider, replaced_sampling_function
from torch import Tensor

import nodes as node_module
from reg_pack.nodes.host.autoguidance.guider import AutoGuider
from reg_pack.nodes.host.autoguidance.second_model import SecondModel
from reg_pack.nodes.host.autoguidance.weakening import SKIP_LAYERS, WeakenedModel
from reg_pack.nodes.host.derivative.selection import Method
from reg_pack.nodes.host.keys import GUIDANCE_KEY
from reg_pack.nodes.host.scheduling import ScheduledWeight
from reg_pack.reg_core.schedule import Linear
from tiny_models import CONTEXT

importlib.import_module("comfy_extras.nodes_post_processing")  # nodes_latent and it import each other, in this order

nodes: Any = node_module
Patch = Callable[[Model, Setting], Model]
UNETS = ("SD1.5", "SD2 v")
DISCRETE, FLOWS = ("SD1.5", "SD2 v", "SDXL"), ("SD3", "Flux", "AuraFlow", "Wan 2.1", "LTXV")


def node(module: str, name: str) -> Any:
    """A node class of the host, or None where this version has none."""
    name_of_module = f"comfy_extras.nodes_{module}"
    found = importlib.import_module(name_of_module) if importlib.util.find_spec(name_of_module) else None
    return getattr(found, name, None)


def run(kind: Any, *args: Any, **inputs: Any) -> Any:
    """The first output of a node of either API."""
    output = (
        kind.execute(*args, **inputs) if hasattr(kind, "execute") else getattr(kind(), kind.FUNCTION)(*args, **inputs)
    )
    return getattr(output, "args", output)[0]


def model_node(
    label: str, group: str, module: str, name: str, more: dict[str, Any] | None = None, **inputs: Any
) -> Any:
    """A column for a node from MODEL to MODEL; None where this host has no such node."""
    kind = node(module, name)
    if kind is None:
        return None
    return Column(label, group, model=lambda model, setting: run(kind, model, **inputs), **(more or {}))


GUIDANCE, ATTENTION, CACHES = "Guidance", "Attention and network", "Caches and context windows"
SAMPLING, GUIDERS, PROMPTS = "Model sampling", "Guiders", "Conditioning, masks and control"
WEIGHTS, OWN, PLAIN, SAMPLERS = "Weights", "REG with REG", "REG alone", "Samplers and schedulers"
NEIGHBOUR = "Patterns of other packs"


def perp_neg(model: Model, setting: Setting) -> Model:
    return run(node("perpneg", "PerpNeg"), model, empty_conditioning=setting.conditioning(4), neg_scale=1.0)


def sharpen(model: Model, setting: Setting) -> Model:
    operation = run(node("latent", "LatentOperationTonemapReinhard"), multiplier=0.9)
    return run(node("latent", "LatentApplyOperationCFG"), model, operation=operation)


GUIDANCE_COLUMNS = [
    model_node("APG", GUIDANCE, "apg", "APG", {"percents": (0.3, 0.6)}, eta=0.5, norm_threshold=5.0, momentum=0.5),
    model_node("TCFG", GUIDANCE, "tcfg", "TCFG"),
    model_node("CFG-Zero*", GUIDANCE, "cfg", "CFGZeroStar"),
    model_node("CFGNorm", GUIDANCE, "cfg", "CFGNorm", strength=1.0),
    model_node("RescaleCFG", GUIDANCE, "model_advanced", "RescaleCFG", multiplier=0.7),
    model_node("RenormCFG", GUIDANCE, "lumina2", "RenormCFG", cfg_trunc=100.0, renorm_cfg=1.0),
    model_node("Mahiro", GUIDANCE, "mahiro", "Mahiro"),
    model_node("FreSca", GUIDANCE, "fresca", "FreSca", scale_low=1.0, scale_high=1.25, freq_cutoff=2),
    Column("Perp-Neg (model patch)", GUIDANCE, model=perp_neg),
    model_node("Epsilon Scaling", GUIDANCE, "eps", "EpsilonScaling", scaling_factor=1.05),
    model_node("Temporal Score Rescaling", GUIDANCE, "eps", "TemporalScoreRescaling", tsr_k=0.95, tsr_sigma=1.0),
    model_node("Video Linear CFG", GUIDANCE, "video_model", "VideoLinearCFGGuidance", min_cfg=1.5),
    model_node("Video Triangle CFG", GUIDANCE, "video_model", "VideoTriangleCFGGuidance", min_cfg=1.5),
    Column("LatentApplyOperationCFG", GUIDANCE, model=sharpen),
    model_node(
        "CFG Override", GUIDANCE, "custom_sampler", "CFGOverride", cfg=2.0, start_percent=0.5, end_percent=1.0
    ),
    model_node("Perturbed-Attention Guidance", GUIDANCE, "pag", "PerturbedAttentionGuidance", scale=3.0),
    model_node("Self-Attention Guidance", GUIDANCE, "sag", "SelfAttentionGuidance", scale=0.5, blur_sigma=2.0),
    model_node(
        "Skip Layer Guidance (DiT)", GUIDANCE, "slg", "SkipLayerGuidanceDiT",
        double_layers="0", single_layers="0", scale=3.0, start_percent=0.0, end_percent=1.0, rescaling_scale=0.1,
    ),
    model_node(
        "Skip Layer Guidance (DiT, simple)", GUIDANCE, "slg", "SkipLayerGuidanceDiTSimple",
        {"refusal": "one at a time"},
        double_layers="0", single_layers="0", start_percent=0.0, end_percent=1.0,
    ),
    model_node(
        "Skip Layer Guidance (SD3)", GUIDANCE, "sd3", "SkipLayerGuidanceSD3",
        layers="0", scale=3.0, start_percent=0.0, end_percent=1.0,
    ),
]  # fmt: skip

MULTIPLY: Any = dict(q=1.1, k=0.9, v=1.1, out=0.9)
ATTENTION_COLUMNS = [
    model_node("NAG", ATTENTION, "nag", "NAGuidance", {"kinks": True}, nag_scale=5.0, nag_alpha=0.5, nag_tau=1.5),
    model_node("FreeU", ATTENTION, "freelunch", "FreeU", b1=1.1, b2=1.2, s1=0.9, s2=0.2),
    model_node("FreeU V2", ATTENTION, "freelunch", "FreeU_V2", b1=1.3, b2=1.4, s1=0.9, s2=0.2),
    model_node("Token merging", ATTENTION, "tomesd", "TomePatchModel", {"random": True, "kinks": True}, ratio=0.5),
    model_node(
        "HyperTile", ATTENTION, "hypertile", "HyperTile", {"random": True},
        tile_size=32, swap_size=2, max_depth=1, scale_depth=False,
    ),
    model_node(
        "Kohya deep shrink", ATTENTION, "model_downscale", "PatchModelAddDownscale",
        block_number=1, downscale_factor=2.0, start_percent=0.0, end_percent=1.0, downscale_after_skip=True,
        downscale_method="bicubic", upscale_method="bicubic",
    ),
    model_node("Self-attention multiply", ATTENTION, "attention_multiply", "UNetSelfAttentionMultiply", **MULTIPLY),
    model_node("Cross-attention multiply", ATTENTION, "attention_multiply", "UNetCrossAttentionMultiply", **MULTIPLY),
    model_node(
        "Scale RoPE", ATTENTION, "rope", "ScaleROPE",
        scale_x=1.2, shift_x=0.5, scale_y=1.2, shift_y=0.5, scale_t=1.0, shift_t=0.0,
    ),
]  # fmt: skip


def hypernetwork(model: Model, setting: Setting) -> Model:
    loader = importlib.import_module("comfy_extras.nodes_hypernetwork")
    state: dict[Any, Any] = {"activation_func": "tanh", "is_layer_norm": False}
    for width in (CONTEXT, 32, 64):
        state[width] = [
            {
                f"linear.{layer}.{part}": setting.draw(*shape, seed=width + index, scale=0.1)
                for layer in (0, 1)
                for part, shape in (("weight", (width, width)), ("bias", (width,)))
            }
            for index in (0, 1)
        ]
    before, loader.comfy.utils.load_torch_file = loader.comfy.utils.load_torch_file, lambda path, safe_load: state
    try:
        patch = loader.load_hypernetwork_patch("", 0.7)
    finally:
        loader.comfy.utils.load_torch_file = before
    patch.hypernet = {width: both.to(setting.dtype) for width, both in patch.hypernet.items()}
    model = model.clone()
    model.set_model_attn1_patch(patch)
    model.set_model_attn2_patch(patch)
    return model


def compiled(model: Model, setting: Setting) -> Model:
    return run(node("torch_compile", "TorchCompileModel"), model, backend="eager")


ATTENTION_COLUMNS += [
    Column("Hypernetwork", ATTENTION, model=hypernetwork, families=UNETS),
    Column("torch.compile (eager backend)", ATTENTION, model=compiled, idle=True, alike=True, families=("SD3",)),
]

CACHE_COLUMNS = [
    model_node(
        "EasyCache", CACHES, "easycache", "EasyCacheNode", {"without": True, "percents": (0.3, 0.35, 0.4)},
        reuse_threshold=3.0, start_percent=0.0, end_percent=1.0, verbose=False,
    ),
    model_node(
        "LazyCache", CACHES, "easycache", "LazyCacheNode", {"percents": (0.3, 0.35, 0.4)},
        reuse_threshold=3.0, start_percent=0.0, end_percent=1.0, verbose=False,
    ),
]  # fmt: skip


def windows(length: int, overlap: int, axis: int) -> Patch:
    def install(model: Model, setting: Setting) -> Model:
        arguments = (length, overlap, "standard_static", 1, False, "pyramid" if overlap else "flat", axis, False)
        model = run(node("context_windows", "ContextWindowsManualNode"), model, *arguments)
        model.model_options["context_handler"].causal_window_fix = False  # each window is a sample of its own
        return model

    return install


CACHE_COLUMNS += [
    Column("Context windows over frames", CACHES, model=windows(1, 0, 2), windows=True, without=True, frames=True),
    Column(
        "Context windows, overlapping", CACHES, model=windows(4, 2, 3), windows=True, without=True,
        families=REPRESENTATIVES,
    ),
]  # fmt: skip


def sampling_node(label: str, name: str, **inputs: Any) -> Any:
    flow = label in ("ModelSamplingSD3", "ModelSamplingAuraFlow", "ModelSamplingFlux", "ModelNoiseScale")
    families = ("Stable Cascade C",) if "Cascade" in label else FLOWS if flow else DISCRETE
    return model_node(label, SAMPLING, "model_advanced", name, {"idle": True, "families": families}, **inputs)


SAMPLING_COLUMNS = [
    sampling_node("ModelSamplingDiscrete eps", "ModelSamplingDiscrete", sampling="eps", zsnr=False),
    sampling_node("ModelSamplingDiscrete v, zsnr", "ModelSamplingDiscrete", sampling="v_prediction", zsnr=True),
    sampling_node("ModelSamplingDiscrete x0", "ModelSamplingDiscrete", sampling="x0", zsnr=False),
    sampling_node("ModelSamplingDiscrete lcm", "ModelSamplingDiscrete", sampling="lcm", zsnr=False),
    sampling_node("ModelSamplingSD3", "ModelSamplingSD3", shift=5.0),
    sampling_node("ModelSamplingAuraFlow", "ModelSamplingAuraFlow", shift=1.73),
    sampling_node(
        "ModelSamplingFlux", "ModelSamplingFlux", max_shift=1.15, base_shift=0.5, width=512, height=512
    ),
    sampling_node("ModelSamplingStableCascade", "ModelSamplingStableCascade", shift=2.0),
    sampling_node(
        "ModelSamplingContinuousEDM v", "ModelSamplingContinuousEDM",
        sampling="v_prediction", sigma_max=120.0, sigma_min=0.002,
    ),
    sampling_node(
        "ModelSamplingContinuousEDM", "ModelSamplingContinuousEDM",
        sampling="edm", sigma_max=80.0, sigma_min=0.002,
    ),
    sampling_node(
        "ModelSamplingContinuousV", "ModelSamplingContinuousV",
        sampling="v_prediction", sigma_max=500.0, sigma_min=0.03,
    ),
    model_node(
        "ModelSamplingLTXV", SAMPLING, "lt", "ModelSamplingLTXV", {"idle": True, "families": FLOWS},
        max_shift=2.05, base_shift=0.95,
    ),
    sampling_node("ModelNoiseScale", "ModelNoiseScale", noise_scale=1.2),
]  # fmt: skip


def dual_cfg(model: Model, conds: Conds, setting: Setting, nested: bool = False) -> Any:
    guiding = node("custom_sampler", "Guider_DualCFG")(model)
    guiding.set_conds(conds["positive"], setting.conditioning(3), conds["negative"])
    guiding.set_cfg(CFG, 2.0, nested)
    return guiding


def perp_neg_guider(model: Model, conds: Conds, setting: Setting) -> Any:
    guiding = node("perpneg", "Guider_PerpNeg")(model)
    guiding.set_conds(conds["positive"], conds["negative"], setting.conditioning(4))
    guiding.set_cfg(CFG, 1.0)
    return guiding


def dual_model(model: Model, conds: Conds, setting: Setting) -> Any:
    guiding = node("custom_sampler", "Guider_DualModel")(model, setting.model.clone())
    guiding.set_conds(conds["positive"], conds["negative"])
    guiding.set_cfg(CFG)
    return guiding


def basic(model: Model, conds: Conds, setting: Setting) -> Any:
    guiding = node("custom_sampler", "Guider_Basic")(model)
    guiding.set_conds(conds["positive"])
    return guiding


GUIDER_COLUMNS = [
    Column("Dual CFG Guider", GUIDERS, guider=dual_cfg),
    Column("Dual CFG Guider, nested", GUIDERS, guider=partial(dual_cfg, nested=True)),
    Column("Perp-Neg Guider", GUIDERS, guider=perp_neg_guider),
    Column("Dual Model Guider", GUIDERS, guider=dual_model, idle=True)
    if node("custom_sampler", "Guider_DualModel")
    else None,
    Column("Basic Guider", GUIDERS, guider=basic),
]


def more_prompts(conds: Conds, setting: Setting, change: Callable[[Any, int], Any]) -> Conds:
    parts = change(conds["positive"], 0) + change(setting.conditioning(3), 1)
    return {**conds, "positive": parts}


def area(cond: Any, part: int) -> Any:
    return nodes.ConditioningSetAreaPercentage().append(cond, 0.5, 1.0, part / 2, 0.0, 1.0)[0]


def masked(cond: Any, part: int) -> Any:
    mask = torch.zeros(1, 8, 8)
    mask[..., 4 * part : 4 * part + 4] = 1.0
    mask[..., 3:5] = 0.5  # both prompts
    return nodes.ConditioningSetMask().append(cond, mask, "default", 1.0)[0]


def over(cond: Any, start: float, end: float) -> Any:
    return nodes.ConditioningSetTimestepRange().set_range(cond, start, end)[0]


def averaged(cond: Any, part: int) -> Any:
    return cond


def ranged(cond: Any, part: int) -> Any:
    return over(cond, 0.0, 0.5) if part == 0 else over(cond, 0.2, 1.0)


def inpainting(model: Model, setting: Setting) -> Model:
    return run(node("differential_diffusion", "DifferentialDiffusion"), model)


def lora_weights(setting: Setting, seed: int) -> dict[str, Tensor]:
    weights = setting.model.model.state_dict()
    fitting = [
        k for k, v in weights.items() if k.startswith("diffusion_model.") and k.endswith(".weight") and v.ndim == 2
    ]
    layer = fitting[len(fitting) // 2]
    rows, columns = weights[layer].shape
    name = layer.removesuffix(".weight")
    return {
        f"{name}.lora_up.weight": setting.draw(rows, 2, seed=seed),
        f"{name}.lora_down.weight": setting.draw(2, columns, seed=seed + 1),
    }


def lora(model: Model, setting: Setting) -> Model:
    return comfy.sd.load_lora_for_models(model, None, lora_weights(setting, 41), 0.5, 0.0)[0]


def hooked(cond: Any, setting: Setting, seed: int) -> Any:
    hooks = comfy.hooks.create_hook_lora(lora_weights(setting, seed), 0.5, 0.0)
    return comfy.hooks.set_hooks_for_conditioning(cond, hooks)


def lora_by_hook(conds: Conds, setting: Setting) -> Conds:
    hooks = comfy.hooks.create_hook_lora(lora_weights(setting, 41), 0.5, 0.0)
    return {side: comfy.hooks.set_hooks_for_conditioning(cond, hooks) for side, cond in conds.items()}


def lora_on_the_prompt(conds: Conds, setting: Setting) -> Conds:
    return {**conds, "positive": hooked(conds["positive"], setting, 41)}


def two_loras(conds: Conds, setting: Setting) -> Conds:
    parts = hooked(conds["positive"], setting, 41) + hooked(setting.conditioning(3), setting, 43)
    return {**conds, "positive": parts}


_UNET_CONTROL = dict(
    image_size=32, in_channels=4, model_channels=32, hint_channels=3, num_res_blocks=[1, 1], channel_mult=[1, 2],
    num_heads=4, use_spatial_transformer=True, transformer_depth=[1, 1], transformer_depth_middle=1,
    context_dim=CONTEXT, legacy=False,
)  # fmt: skip


def control(conds: Conds, setting: Setting) -> Conds:
    network = comfy.cldm.cldm.ControlNet(**_UNET_CONTROL, dtype=setting.dtype, operations=comfy.ops.disable_weight_init)
    _same_weights(network, setting)
    found = comfy.controlnet.ControlNet(network.eval(), load_device=torch.device("cpu"))
    return _controlled(found, conds, setting)


class Adapter(torch.nn.Module):
    """A T2I adapter for a network of this size: the picture, made small, is added to one of its input blocks."""

    unshuffle_amount = 8

    def __init__(self) -> None:
        super().__init__()
        self.unshuffle = torch.nn.PixelUnshuffle(8)
        self.body = comfy.t2i_adapter.adapter.ResnetBlock(192, 32, down=False, ksize=1, sk=True)

    def forward(self, x: Tensor) -> dict[str, list[Tensor | None]]:
        return {"input": [None, None, self.body(self.unshuffle(x)), None]}


def t2i_adapter(conds: Conds, setting: Setting) -> Conds:
    network = Adapter().to(setting.dtype)
    _same_weights(network, setting)
    found = comfy.controlnet.T2IAdapter(network.eval(), 3, 8, "nearest-exact", device=torch.device("cpu"))
    return _controlled(found, conds, setting)


def _same_weights(network: torch.nn.Module, setting: Setting) -> None:
    for index, parameter in enumerate(network.parameters()):
        fan_in = parameter[0].numel() if parameter.ndim > 1 else 4
        parameter.data.copy_(setting.draw(*parameter.shape, seed=100 + index, scale=fan_in**-0.5))
        parameter.requires_grad_(False)


def _controlled(control: Any, conds: Conds, setting: Setting) -> Conds:
    image = setting.draw(1, 64, 64, 3, seed=9).sigmoid()
    apply = nodes.ControlNetApplyAdvanced()
    positive, negative = apply.apply_controlnet(conds["positive"], conds["negative"], control, image, 0.8, 0.0, 1.0)
    return {"positive": positive, "negative": negative}


def gligen(conds: Conds, setting: Setting) -> Conds:
    position = comfy.gligen.PositionNet(CONTEXT, 16)
    widths = (32, 64, 64, 64, 64, 32, 32)  # of the transformers, in the order of the network
    blocks = [comfy.gligen.GatedSelfAttentionDense(width, 16, 4, width // 4) for width in widths]
    network = comfy.gligen.Gligen(blocks, position, CONTEXT).to(setting.dtype)
    _same_weights(network, setting)
    patcher = comfy.model_patcher.ModelPatcher(network, torch.device("cpu"), torch.device("cpu"))
    boxes = [(setting.draw(1, CONTEXT, seed=51), 4, 4, 1, 1)]
    return {
        **conds,
        "positive": node_helpers.conditioning_set_values(conds["positive"], {"gligen": ("position", patcher, boxes)}),
    }


PROMPT_COLUMNS = [
    Column("Two prompts combined", PROMPTS, conds=partial(more_prompts, change=averaged)),
    Column("Area conditioning", PROMPTS, conds=partial(more_prompts, change=area)),
    Column("Mask conditioning", PROMPTS, conds=partial(more_prompts, change=masked)),
    Column(
        "Prompts with timestep ranges", PROMPTS, families=REPRESENTATIVES,
        conds=partial(more_prompts, change=ranged), percents=(0.3, 0.6),
    ),
    Column(
        "Negative prompt over a part of the run", PROMPTS, families=REPRESENTATIVES,
        conds=lambda conds, setting: {**conds, "negative": over(conds["negative"], 0.0, 0.5)}, percents=(0.3, 0.6),
    ),
    Column("Inpainting (noise mask)", PROMPTS, mask=True, idle=True),
    Column("Differential Diffusion", PROMPTS, model=inpainting, mask=True, percents=(0.3, 0.6)),
    Column("ControlNet", PROMPTS, conds=control, families=UNETS),
    Column("T2I adapter", PROMPTS, conds=t2i_adapter, families=UNETS),
    Column("GLIGEN", PROMPTS, conds=gligen, families=UNETS),
]  # fmt: skip


def stored(subject: Subject, dtype: torch.dtype, storage: torch.dtype) -> Model:
    """Weights stored in few bits and cast for each call."""
    model = subject.fresh(dtype)
    layers: Any = model.model.diffusion_model.modules()
    for layer in layers:
        if isinstance(layer, comfy.ops.CastWeightBiasOp) and isinstance(layer, (torch.nn.Linear, torch.nn.Conv2d)):
            layer.weight = torch.nn.Parameter(layer.weight.data.to(storage), requires_grad=False)
            layer.comfy_cast_weights = True
    return model


WEIGHT_COLUMNS = [
    Column("LoRA", WEIGHTS, model=lora),
    Column("LoRA by hook, on both prompts", WEIGHTS, families=REPRESENTATIVES, conds=lora_by_hook),
    Column("LoRA by hook, on the positive prompt", WEIGHTS, families=REPRESENTATIVES, conds=lora_on_the_prompt),
    Column("Two prompts with different LoRAs", WEIGHTS, conds=two_loras),
    *(
        Column(
            f"{name} weights",
            WEIGHTS,
            build=partial(stored, storage=storage),
            families=None if name == "fp8 e4m3" else REPRESENTATIVES,
        )
        for name, storage in {
            "fp16": torch.float16,
            "bf16": torch.bfloat16,
            "fp8 e4m3": torch.float8_e4m3fn,
            "fp8 e5m2": torch.float8_e5m2,
        }.items()
    ),
    Column("Computed in fp16", WEIGHTS, compute=torch.float16, idle=True, families=REPRESENTATIVES),
    Column("Computed in bf16", WEIGHTS, compute=torch.bfloat16, idle=True, families=REPRESENTATIVES),
]


def weak_prompt(model: Model, conds: Conds, setting: Setting) -> Any:
    weak = WeakenedModel(SKIP_LAYERS, (0,))
    return AutoGuider(model, conds["positive"], CFG, weak)


def weak_attention(model: Model, conds: Conds, setting: Setting) -> Any:
    return AutoGuider(model, conds["positive"], CFG, WeakenedModel("perturbed attention", ()))


def weak_model(model: Model, conds: Conds, setting: Setting, rectified: bool = False) -> Any:
    second = lora(setting.model, setting)
    second = reg(second, "directional") if rectified else second
    return AutoGuider(model, conds["positive"], CFG, SecondModel(second, conds["positive"]))


def scheduled(model: Model, setting: Setting) -> Model:
    return ScheduledWeight(Linear(5.0, 1.5)).install(model)


OWN_COLUMNS = [
    Column(
        "REG on a MODEL with REG", OWN, model=lambda m, s: reg(m, "directional"), without=True, last_wins=True
    ),
    Column("Apply Guidance Schedule", OWN, model=scheduled, percents=(0.3, 0.6)),
    Column("REG AutoGuider, skip layers", OWN, guider=weak_prompt, families=REPRESENTATIVES),
    Column("REG AutoGuider, perturbed attention", OWN, guider=weak_attention, families=REPRESENTATIVES),
    Column("REG AutoGuider, second MODEL", OWN, guider=weak_model, families=REPRESENTATIVES),
    Column(
        "REG AutoGuider, second MODEL with REG", OWN, guider=partial(weak_model, rectified=True),
        families=REPRESENTATIVES,
    ),
]  # fmt: skip

SAMPLED = ("SD1.5", "SD3")
WHOLE_RUNS = [
    *(Column(f"sampler {name}", SAMPLERS, sampler=name, families=SAMPLED) for name in comfy.samplers.KSampler.SAMPLERS),
    *(
        Column(f"scheduler {name}", SAMPLERS, scheduler=name, families=SAMPLED)
        for name in comfy.samplers.KSampler.SCHEDULERS
    ),
]

NEIGHBOUR_TRAITS: dict[str, dict[str, Any]] = {
    "attention override installed at every evaluation": {"kernel": True},
    "attention override installed around the network": {"kernel": True},
    "part of the network without a gradient": {"idle": True},
    "negative overwritten before CFG": {"refusal": "replaces the negative prediction"},
    "plain predictions put back before CFG": {"idle": True, "refusal": "replaces the negative prediction"},
    "predictions asked for one at a time": {"idle": True, "refusal": "one at a time"},
    "windows of another pack": {"windows": True, "without": True},
}


class ElsewhereGuider(comfy.samplers.CFGGuider):
    """Samples while the sampling function of the host is another one for the whole process."""

    def sample(self, *args: Any, **kwargs: Any) -> Tensor:
        with replaced_sampling_function():
            return super().sample(*args, **kwargs)


def other_guider(model: Model, conds: Conds, setting: Setting, kind: Any) -> Any:
    guiding = kind(model)
    guiding.set_conds(conds["positive"], conds["negative"])
    guiding.set_cfg(CFG)
    return guiding


def merging(model: Model, conds: Conds, setting: Setting) -> Any:
    """The second MODEL has REG, too, where the first has it."""
    second, installed = setting.model.clone(), model.get_wrappers(WrappersMP.CALC_COND_BATCH, GUIDANCE_KEY)
    if installed:
        second = replace(installed[0].__self__, method=Method(form="directional")).install(second)
    return other_guider(model, conds, setting, lambda model: MergingGuider(model, second))


def _alone(patch: Callable[[Model], Model]) -> Patch:
    return lambda model, setting: patch(model)


NEIGHBOUR_COLUMNS = [
    *(
        Column(name, NEIGHBOUR, model=_alone(patch), **NEIGHBOUR_TRAITS.get(name, {}))
        for name, patch in NEIGHBOURS.items()
    ),
    Column("guider that merges a second MODEL with REG", NEIGHBOUR, guider=merging, idle=True, either=True),
    Column(
        "sampling function replaced for the process",
        NEIGHBOUR,
        guider=partial(other_guider, kind=ElsewhereGuider),
        idle=True,
    ),
]

COLUMNS: dict[str, Column] = {
    column.name: column
    for column in (
        Column("REG", PLAIN, idle=True),
        *GUIDANCE_COLUMNS,
        *GUIDER_COLUMNS,
        *ATTENTION_COLUMNS,
        *CACHE_COLUMNS,
        *SAMPLING_COLUMNS,
        *PROMPT_COLUMNS,
        *WEIGHT_COLUMNS,
        *OWN_COLUMNS,
        *NEIGHBOUR_COLUMNS,
        *WHOLE_RUNS,
    )
    if column is not None
}
