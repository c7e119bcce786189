"""Tiny random models of many families of the host's own classes, and conditioning that reaches their networks."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import comfy.ldm.audio.embedders
import comfy.ldm.cosmos.predict2
import comfy.model_management
import comfy.ops
import comfy.supported_models
import torch
from torch.overrides import TorchFunctionMode

from tiny_models import CONTEXT, POOLED, _patcher, _randomise

TOKENS = 3
WIDTH = 64
HEADS = 4
ROPE_AXES = [4, 6, 6]  # they sum to the width of a head
SDXL_SIZES = 6 * 256  # what the host appends to the pooled output for the six sizes


class _Doubled(TorchFunctionMode):
    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if len(args) == 1 and not kwargs and args[0] is not torch.float32:  # most calls: attributes of a tensor
            return (torch.Tensor.double if func is torch.Tensor.float else func)(*args)
        wide = [torch.float64 if value is torch.float32 else value for value in args]
        named = {k: torch.float64 if value is torch.float32 else value for k, value in (kwargs or {}).items()}
        return (torch.Tensor.double if func is torch.Tensor.float else func)(*wide, **named)


@contextmanager
def double_precision() -> Iterator[None]:
    """The host's casts to float32 are casts to float64 inside this block, its own rounding of every output included."""
    default, training = torch.get_default_dtype(), comfy.model_management.in_training
    torch.set_default_dtype(torch.float64)
    comfy.model_management.in_training = True  # the fused kernels refuse float64
    try:
        with _Doubled():
            yield
    finally:
        torch.set_default_dtype(default)
        comfy.model_management.in_training = training


@dataclass(frozen=True)
class Family:
    """How to build one family in a dtype, the shape of its latents without the batch, and its conditioning by seed."""

    build: Callable[[torch.dtype], Any]
    latent: tuple[int, ...]
    conditioning: Callable[[int], list[Any]]


@dataclass(frozen=True, eq=False)
class _Recipe:
    """One row: the config class, the network's arguments, and what its conditioning consists of."""

    config: str
    latent: tuple[int, ...]
    network: dict[str, Any]
    context: tuple[int, int] = (TOKENS, CONTEXT)
    pooled: tuple[int, ...] | None = None
    tensors: dict[str, tuple[int, ...]] = field(default_factory=dict)
    constants: dict[str, Any] = field(default_factory=dict)
    weights: Callable[[], dict[str, torch.Tensor]] = dict

    def build(self, dtype: torch.dtype = torch.float32) -> Any:
        """A model of its own for each call, but for its configuration, which the host only reads.

        Making one takes the host's classes far longer than copying it.
        """
        model = self._model(dtype, torch.get_default_dtype())
        with torch.inference_mode():
            return _patcher(copy.deepcopy(model, {id(model.model_config): model.model_config}))

    @cache  # noqa: B019 - a recipe lives as long as the process
    def _model(self, dtype: torch.dtype, default: torch.dtype) -> Any:
        config_class = getattr(comfy.supported_models, self.config)
        with torch.inference_mode():
            config = config_class({**config_class.unet_config, **self.network})
            config.unet_config.update(self.network)  # the class fixes heads that are wider than these models
            config.set_inference_dtype(dtype, None)
            if dtype == torch.float64:
                config.custom_operations = comfy.ops.manual_cast  # some layers stay in float32 and follow their input
            with torch._C.DisableTorchFunction() if self.config in TABULATED else nullcontext():
                model = config.get_model(self.weights())
            _randomise(model)
            generator = torch.Generator().manual_seed(1)
            for name, buffer in model.diffusion_model.named_buffers():
                if name in UNINITIALISED:
                    buffer.copy_(torch.randn(buffer.shape, generator=generator))
        return model

    def conditioning(self, seed: int) -> list[Any]:
        generator = torch.Generator().manual_seed(seed)
        shapes = dict(self.tensors)
        if self.pooled is not None:
            shapes["pooled_output"] = self.pooled
        with torch.inference_mode():
            context = torch.randn(1, *self.context, generator=generator)
            extra = {name: torch.randn(shape, generator=generator) for name, shape in shapes.items()}
            return [[context, {**extra, **self.constants}]]


# The host fills their table of noise levels in ten thousand steps: each would pass through every mode that is on.
TABULATED = ("Stable_Cascade_B", "Stable_Cascade_C")
# The checkpoint holds them.
UNINITIALISED = ("pos_embed", "transformer.rotary_pos_emb.inv_freq", "y_embedder.y_embedding")


def _v_prediction() -> dict[str, torch.Tensor]:
    """The host recognises the v-prediction of SD2 by the spread of this bias."""
    return {"output_blocks.11.1.transformer_blocks.0.norm1.bias": torch.tensor([-1.0, 1.0])}


def _seconds() -> dict[str, torch.Tensor]:
    embedder = comfy.ldm.audio.embedders.NumberConditioner(768, min_val=0, max_val=512)
    prefix = "conditioner.conditioners.seconds_"
    return {f"{prefix}{end}.{k}": v for end in ("start", "total") for k, v in embedder.state_dict().items()}


_MASK = {"attention_mask": torch.ones(1, TOKENS, dtype=torch.long)}

_UNET = (
    dict(image_size=32, in_channels=4, out_channels=4, model_channels=32, context_dim=CONTEXT, legacy=False)
    | dict(channel_mult=[1, 2], num_res_blocks=[1, 1], use_spatial_transformer=True)
    | dict(transformer_depth=[1, 1], transformer_depth_output=[1, 1, 1, 1], transformer_depth_middle=1)
)
_SDXL = (
    dict(transformer_depth=[0, 2], transformer_depth_output=[0, 0, 2, 2], transformer_depth_middle=2)
    | dict(num_head_channels=16, use_linear_in_transformer=True)
    | dict(num_classes="sequential", adm_in_channels=POOLED + SDXL_SIZES)
)
_SD3 = (
    dict(input_size=None, patch_size=2, num_patches=16, pos_embed_max_size=4, adm_in_channels=POOLED, qk_norm="rms")
    | dict(num_blocks=2, x_block_self_attn_layers=[0], mlp_ratio=2.0)
    | dict(depth=1)  # the host takes the width from it: 64
    | dict(context_embedder_config=dict(target="torch.nn.Linear", params=dict(in_features=CONTEXT, out_features=WIDTH)))
)
_STREAMS = dict(
    in_channels=16, out_channels=16, vec_in_dim=POOLED, context_in_dim=CONTEXT, hidden_size=WIDTH, mlp_ratio=2.0
) | dict(num_heads=HEADS, depth=1, depth_single_blocks=1, axes_dim=ROPE_AXES, theta=10000, patch_size=2, qkv_bias=True)
_FLUX = _STREAMS | dict(txt_ids_dims=[], guidance_embed=True)
_FLUX2 = (
    _FLUX
    | dict(in_channels=128, out_channels=128, patch_size=1, vec_in_dim=None, axes_dim=[4, 4, 4, 4], txt_ids_dims=[3])
    | dict(global_modulation=True, mlp_silu_act=True, ops_bias=False, qkv_bias=False)
)
_CHROMA = _STREAMS | dict(
    txt_ids_dims=[], in_channels=64, out_channels=64, in_dim=64, out_dim=WIDTH, hidden_dim=32, n_layers=2
)
_HUNYUAN_VIDEO = (
    _STREAMS
    | dict(patch_size=[1, 2, 2], theta=256, guidance_embed=True, byt5=False, vision_in_dim=None)
    | dict(meanflow=False, meanflow_sum=False, use_cond_type_embedding=False)
)
_HUNYUAN_DIT = dict(hidden_size=WIDTH, depth=4, num_heads=HEADS, mlp_ratio=2.0) | dict(
    text_states_dim=CONTEXT, text_states_dim_t5=CONTEXT, text_len=TOKENS, text_len_t5=TOKENS
)
_HUNYUAN_3D = dict(context_in_dim=CONTEXT, hidden_size=WIDTH, num_heads=HEADS, depth=1, depth_single_blocks=1)
_WAN = dict(dim=WIDTH, ffn_dim=128, freq_dim=32, text_dim=CONTEXT, num_heads=HEADS, num_layers=2)
_LUMINA = (
    dict(patch_size=2, in_channels=16, cap_feat_dim=CONTEXT, qk_norm=True, multiple_of=32, ffn_dim_multiplier=0.25)
    | dict(dim=WIDTH, n_heads=HEADS, n_kv_heads=2, n_layers=2, n_refiner_layers=1)
    | dict(axes_dims=ROPE_AXES, axes_lens=[32, 32, 32])
)
_Z_IMAGE = (
    _LUMINA
    | dict(dim=256, n_heads=16, n_kv_heads=16, n_layers=1)  # the host's modulation is 256 wide
    | dict(z_image_modulation=True, time_scale=1000.0, pad_tokens_multiple=32, rope_theta=256.0)
)
_QWEN = dict(num_layers=2, attention_head_dim=16, num_attention_heads=HEADS) | dict(
    joint_attention_dim=CONTEXT, axes_dims_rope=ROPE_AXES
)
_COSMOS = (
    dict(max_img_h=16, max_img_w=16, max_frames=8, in_channels=16, out_channels=16, patch_spatial=2, patch_temporal=1)
    | dict(model_channels=WIDTH, num_blocks=2, num_heads=HEADS, mlp_ratio=2.0, crossattn_emb_channels=CONTEXT)
    | dict(pos_emb_cls="rope3d", use_adaln_lora=True, adaln_lora_dim=16, concat_padding_mask=True)
)
_COSMOS1 = (
    _COSMOS
    | dict(extra_per_block_abs_pos_emb=True, extra_per_block_abs_pos_emb_type="learnable")
    | dict(block_x_format="THWBD", affline_emb_norm=True)
)
_LTXV = dict(attention_head_dim=16, num_attention_heads=HEADS, num_layers=2) | dict(
    cross_attention_dim=WIDTH, caption_channels=CONTEXT
)
_PIXART = dict(hidden_size=WIDTH, depth=2, num_heads=HEADS, caption_channels=CONTEXT, model_max_length=TOKENS) | dict(
    micro_condition=False, pe_interpolation=1
)
_AURA = dict(dim=WIDTH, n_layers=2, n_double_layers=1, n_heads=HEADS) | dict(
    global_conddim=WIDTH, cond_seq_dim=CONTEXT, max_seq=16
)
_MOCHI = (
    dict(in_channels=12, depth=2, num_heads=2, hidden_size_y=16, learn_sigma=False, timestep_scale=1000.0)
    | dict(hidden_size_x=16, mlp_ratio_x=768.0)  # the host insists on their product, 12288
    | dict(use_t5=True, t5_feat_dim=CONTEXT, t5_token_length=TOKENS, qk_norm=True, qkv_bias=False, out_bias=True)
)
_HIDREAM = (
    dict(patch_size=2, in_channels=16, out_channels=16, num_layers=1, num_single_layers=1, llama_layers=[0, 1])
    | dict(attention_head_dim=16, num_attention_heads=HEADS, axes_dims_rope=ROPE_AXES)
    | dict(caption_channels=[CONTEXT, CONTEXT], text_emb_dim=POOLED)
)
_OMNIGEN = dict(
    hidden_size=WIDTH, num_layers=2, num_refiner_layers=1, num_attention_heads=HEADS, num_kv_heads=2
) | dict(multiple_of=32, axes_dim_rope=ROPE_AXES, timestep_scale=1000.0)
_KANDINSKY = dict(in_text_dim=CONTEXT, in_text_dim2=POOLED, time_dim=32, model_dim=WIDTH, ff_dim=128) | dict(
    num_text_blocks=1, num_visual_blocks=2, axes_dims=ROPE_AXES
)
_STABLE_AUDIO = dict(embed_dim=128, depth=2, num_heads=2, cond_token_dim=768, project_cond_tokens=True)
_CASCADE = dict(c_cond=32, c_hidden=[32, 32], blocks=[[1, 1], [1, 1]])
_CASCADE_C = _CASCADE | dict(nhead=[HEADS, HEADS], c_clip_text=CONTEXT, c_clip_text_pooled=POOLED)
_CASCADE_B = (
    _CASCADE
    | dict(nhead=[-1, HEADS], level_config=["CT", "CTA"], block_repeat=[[1, 1], [1, 2]])
    | dict(dropout=[0, 0], c_clip=POOLED)
)
_COGVIDEO = dict(
    num_attention_heads=HEADS, attention_head_dim=16, time_embed_dim=32, text_embed_dim=CONTEXT, num_layers=2
) | dict(use_rotary_positional_embeddings=True)
_KREA = dict(features=WIDTH, tdim=32, heads=HEADS, kvheads=2, multiplier=2, layers=2) | dict(
    txtlayers=2, txtdim=CONTEXT, txtheads=2, txtkvheads=2
)
_BOOGU = _OMNIGEN | dict(num_double_stream_layers=1, instruction_feat_dim=CONTEXT)
_ERNIE = dict(hidden_size=WIDTH, num_attention_heads=HEADS, num_layers=2, ffn_hidden_size=128) | dict(
    text_in_dim=CONTEXT, rope_axes_dim=ROPE_AXES
)
_JOY = dict(hidden_size=WIDTH, num_attention_heads=HEADS, text_dim=CONTEXT, mlp_width_ratio=2.0, num_layers=2) | dict(
    rope_dim_list=ROPE_AXES
)
_LENS = dict(num_layers=2, attention_head_dim=16, num_attention_heads=HEADS, enc_hidden_dim=CONTEXT) | dict(
    axes_dims_rope=ROPE_AXES, selected_layer_index=(0, 1)
)

_IMAGE, _VIDEO = (16, 8, 8), (16, 2, 8, 8)
_RECIPES: dict[str, _Recipe] = {
    "SD1.5": _Recipe("SD15", (4, 8, 8), _UNET | dict(num_heads=HEADS)),
    "SD2 v": _Recipe("SD20", (4, 8, 8), _UNET | dict(num_head_channels=16), weights=_v_prediction),
    "SDXL": _Recipe("SDXL", (4, 8, 8), _UNET | _SDXL, pooled=(1, POOLED)),
    "SD3": _Recipe("SD3", _IMAGE, _SD3, pooled=(1, POOLED)),
    "Flux": _Recipe("Flux", _IMAGE, _FLUX, pooled=(1, POOLED)),
    "Flux 2": _Recipe("Flux2", (128, 4, 4), _FLUX2, pooled=(1, POOLED)),
    "Chroma": _Recipe("Chroma", _IMAGE, _CHROMA, pooled=(1, POOLED)),
    "Wan 2.1": _Recipe("WAN21_T2V", _VIDEO, _WAN),
    "Wan 2.2": _Recipe("WAN22_T2V", (48, 2, 4, 4), _WAN | dict(in_dim=48, out_dim=48)),
    "Lumina 2": _Recipe("Lumina2", _IMAGE, _LUMINA),
    "Z-Image": _Recipe("ZImage", _IMAGE, _Z_IMAGE),
    "Qwen-Image": _Recipe("QwenImage", (16, 1, 8, 8), _QWEN),
    "HunyuanVideo": _Recipe("HunyuanVideo", _VIDEO, _HUNYUAN_VIDEO, pooled=(1, POOLED)),
    "HunyuanDiT": _Recipe(
        "HunyuanDiT",
        (4, 8, 8),
        _HUNYUAN_DIT,
        tensors={"conditioning_mt5xl": (1, TOKENS, CONTEXT)},
        constants=_MASK | {"attention_mask_mt5xl": _MASK["attention_mask"]},
    ),
    "Hunyuan3D": _Recipe("Hunyuan3Dv2", (64, 16), _HUNYUAN_3D),
    "Cosmos": _Recipe("CosmosT2V", _VIDEO, _COSMOS1),
    "Cosmos Predict2": _Recipe("CosmosT2IPredict2", (16, 1, 8, 8), _COSMOS),
    "LTXV": _Recipe("LTXV", (128, 2, 4, 4), _LTXV, constants=_MASK),
    # The host divides by the mean of the two sides, rounded to a multiple of 64.
    "PixArt": _Recipe("PixArtSigma", (4, 4, 64), _PIXART),
    "AuraFlow": _Recipe("AuraFlow", (4, 8, 8), _AURA),
    "Mochi": _Recipe("GenmoMochi", (12, 2, 8, 8), _MOCHI, constants=_MASK),
    "HiDream": _Recipe(
        "HiDream", _IMAGE, _HIDREAM, pooled=(1, POOLED), tensors={"conditioning_llama3": (1, 2, TOKENS, CONTEXT)}
    ),
    "OmniGen2": _Recipe("Omnigen2", _IMAGE, _OMNIGEN | dict(text_feat_dim=CONTEXT), constants=_MASK),
    "Kandinsky 5": _Recipe("Kandinsky5", _VIDEO, _KANDINSKY | dict(visual_embed_dim=132), pooled=(1, POOLED)),
    "Kandinsky 5 image": _Recipe(
        "Kandinsky5Image", (16, 1, 8, 8), _KANDINSKY | dict(visual_embed_dim=64), pooled=(1, POOLED)
    ),
    "Stable Audio": _Recipe("StableAudio", (64, 32), _STABLE_AUDIO, context=(TOKENS, 768), weights=_seconds),
    "Stable Cascade C": _Recipe("Stable_Cascade_C", _IMAGE, _CASCADE_C, pooled=(1, 1, POOLED)),
    "Stable Cascade B": _Recipe(
        "Stable_Cascade_B",
        (4, 16, 16),
        _CASCADE_B,
        pooled=(1, 1, POOLED),
        tensors={"stable_cascade_prior": (1, 16, 4, 4)},
    ),
    "CogVideoX": _Recipe("CogVideoX_T2V", _VIDEO, _COGVIDEO),
    "Krea 2": _Recipe("Krea2", (16, 1, 8, 8), _KREA, context=(TOKENS, 2 * CONTEXT)),
    "Boogu": _Recipe("Boogu", _IMAGE, _BOOGU, constants=_MASK),
    "ERNIE-Image": _Recipe("ErnieImage", (128, 4, 4), _ERNIE),
    "JoyImage": _Recipe("JoyImage", (16, 1, 8, 8), _JOY),
    "Lens": _Recipe("Lens", (128, 4, 4), _LENS, context=(TOKENS, 2 * CONTEXT)),
}

_INPAINT = {"in_channels": 9}
_UPSCALER = dict(num_classes=1000, disable_self_attentions=[True, False])
_CHROMA_RADIANCE = _CHROMA | dict(
    in_channels=3, out_channels=3, in_dim=64, patch_size=4, nerf_hidden_size=16, nerf_mlp_ratio=2, nerf_depth=1,
    nerf_max_freqs=4, nerf_tile_size=0, nerf_final_head_type="conv", nerf_embedder_dtype=None, use_x0=False,
    use_sequential_txt_ids=False,
)  # fmt: skip
_HUNYUAN_IMAGE = _HUNYUAN_VIDEO | dict(vec_in_dim=None, guidance_embed=False)

# Further classes of networks that are above, for the compatibility matrix: inputs of their own, or another sampling.
_RELATED: dict[str, _Recipe] = {
    "SD1.5 inpainting": _Recipe("SD15", (4, 8, 8), _UNET | _INPAINT | dict(num_heads=HEADS)),
    "SD1.5 InstructPix2Pix": _Recipe(
        "SD15_instructpix2pix",
        (4, 8, 8),
        _UNET | dict(in_channels=8, num_heads=HEADS),
        tensors={"concat_latent_image": (1, 4, 8, 8)},
    ),
    "SD2.1 unCLIP": _Recipe(
        "SD21UnclipL",
        (4, 8, 8),
        _UNET | dict(num_head_channels=16, num_classes="sequential", adm_in_channels=1536),
    ),
    "SD x4 upscaler": _Recipe(
        "SD_X4Upscaler",
        (4, 8, 8),
        _UNET | dict(in_channels=7, num_heads=HEADS) | _UPSCALER,
    ),
    "Lotus-D": _Recipe(
        "LotusD", (4, 8, 8), _UNET | dict(num_head_channels=16, num_classes="sequential", adm_in_channels=4)
    ),
    "Stable Zero123": _Recipe(
        "Stable_Zero123",
        (4, 8, 8),
        _UNET | dict(in_channels=8, num_heads=HEADS, context_dim=768),
        context=(TOKENS, 768),
        weights=lambda: {"cc_projection.weight": torch.zeros(768, 772), "cc_projection.bias": torch.zeros(768)},
    ),
    "SDXL refiner": _Recipe(
        "SDXLRefiner", (4, 8, 8), _UNET | _SDXL | dict(adm_in_channels=POOLED + 5 * 256), pooled=(1, POOLED)
    ),
    "SDXL inpainting": _Recipe("SDXL", (4, 8, 8), _UNET | _SDXL | _INPAINT, pooled=(1, POOLED)),
    "SDXL InstructPix2Pix": _Recipe(
        "SDXL_instructpix2pix",
        (4, 8, 8),
        _UNET | _SDXL | dict(in_channels=8),
        pooled=(1, POOLED),
        tensors={"concat_latent_image": (1, 4, 8, 8)},
    ),
    "SVD": _Recipe(
        "SVD_img2vid",
        (4, 8, 8),
        _UNET
        | dict(in_channels=8, num_head_channels=16, num_classes="sequential", adm_in_channels=768)
        | dict(
            use_temporal_attention=True,
            use_temporal_resblock=True,
            extra_ff_mix_layer=True,
            video_kernel_size=[3, 1, 1],
        )
        | dict(merge_strategy="learned_with_images", merge_factor=0.0, use_linear_in_transformer=True),
    ),
    "Flux Schnell": _Recipe("FluxSchnell", _IMAGE, _FLUX | dict(guidance_embed=False), pooled=(1, POOLED)),
    "Flux inpainting": _Recipe("FluxInpaint", _IMAGE, _FLUX | dict(in_channels=96), pooled=(1, POOLED)),
    "Chroma Radiance": _Recipe("ChromaRadiance", (3, 8, 8), _CHROMA_RADIANCE),
    "PixArt Alpha": _Recipe("PixArtAlpha", (4, 4, 64), _PIXART),
    "HunyuanDiT 1.0": _Recipe(
        "HunyuanDiT1",
        (4, 8, 8),
        _HUNYUAN_DIT | dict(size_cond=True, use_style_cond=True),
        tensors={"conditioning_mt5xl": (1, TOKENS, CONTEXT)},
        constants=_MASK | {"attention_mask_mt5xl": _MASK["attention_mask"]},
    ),
    "Wan 2.1 image to video": _Recipe("WAN21_I2V", _VIDEO, _WAN | dict(model_type="i2v", in_dim=36)),
    "Wan Fun Control": _Recipe("WAN21_FunControl2V", _VIDEO, _WAN | dict(model_type="i2v", in_dim=48)),
    "Wan 2.1 Camera": _Recipe("WAN21_Camera", _VIDEO, _WAN | dict(model_type="camera", in_dim=32)),
    "Wan 2.2 Camera": _Recipe("WAN22_Camera", _VIDEO, _WAN | dict(model_type="camera_2.2", in_dim=36)),
    "Wan VACE": _Recipe("WAN21_Vace", _VIDEO, _WAN | dict(model_type="vace", vace_layers=1, vace_in_dim=96)),
    "Wan HuMo": _Recipe("WAN21_HuMo", _VIDEO, _WAN | dict(model_type="humo", in_dim=36)),
    "Wan S2V": _Recipe("WAN22_S2V", _VIDEO, _WAN | dict(model_type="s2v")),
    "Wan Animate": _Recipe("WAN22_Animate", _VIDEO, _WAN | dict(model_type="animate", in_dim=36)),
    "Wan FlowRVS": _Recipe("WAN21_FlowRVS", _VIDEO, _WAN | dict(model_type="flow_rvs")),
    "Wan SCAIL": _Recipe("WAN21_SCAIL", _VIDEO, _WAN | dict(model_type="scail", in_dim=20)),
    "HunyuanVideo image to video": _Recipe(
        "HunyuanVideoI2V", _VIDEO, _HUNYUAN_VIDEO | dict(in_channels=33), pooled=(1, POOLED)
    ),
    "SkyReels image to video": _Recipe(
        "HunyuanVideoSkyreelsI2V", _VIDEO, _HUNYUAN_VIDEO | dict(in_channels=32), pooled=(1, POOLED)
    ),
    "HunyuanImage 2.1": _Recipe(
        "HunyuanImage21",
        (64, 4, 4),
        _HUNYUAN_IMAGE | dict(in_channels=64, out_channels=64, patch_size=[1, 1], axes_dim=[8, 8]),
    ),
    "HunyuanVideo 1.5": _Recipe(
        "HunyuanVideo15",
        (32, 2, 4, 4),
        _HUNYUAN_IMAGE | dict(in_channels=65, out_channels=32, patch_size=[1, 1, 1], vision_in_dim=32),
        pooled=(1, POOLED),
    ),
    "Cosmos image to video": _Recipe("CosmosI2V", _VIDEO, _COSMOS1 | dict(in_channels=17)),
    "Cosmos Predict2 image to video": _Recipe("CosmosI2VPredict2", _VIDEO, _COSMOS | dict(in_channels=17)),
    "Anima": _Recipe("Anima", (16, 1, 8, 8), _COSMOS | dict(crossattn_emb_channels=1024), context=(TOKENS, 1024)),
    "CogVideoX image to video": _Recipe("CogVideoX_I2V", _VIDEO, _COGVIDEO | dict(in_channels=32)),
    "CogVideoX inpainting": _Recipe("CogVideoX_Inpaint", _VIDEO, _COGVIDEO | dict(in_channels=48)),
    "Hunyuan3D 2.1": _Recipe(
        "Hunyuan3Dv2_1",
        (64, 16),
        dict(context_dim=CONTEXT, hidden_size=WIDTH, num_heads=HEADS, depth=2, num_moe_layers=1, num_experts=2),
    ),
    "Hunyuan3D 2 mini": _Recipe("Hunyuan3Dv2mini", (64, 16), _HUNYUAN_3D),
    "LongCat-Image": _Recipe(
        "LongCatImage", _IMAGE, _FLUX | dict(guidance_embed=False, vec_in_dim=None, txt_ids_dims=[1, 2])
    ),
}

# A rope without a derivative: a kernel of comfy_kitchen, called whether the host trains or not.
_FUSED_ROPE = {"ERNIE-Image", "JoyImage"}
if not hasattr(comfy.ldm.cosmos.predict2, "apply_rotary_pos_emb"):
    _FUSED_ROPE.add("Cosmos Predict2")

_FAMILIES = {
    name: Family(recipe.build, recipe.latent, recipe.conditioning)
    for name, recipe in _RECIPES.items()
    if hasattr(comfy.supported_models, recipe.config)
}
GRADIENT_FAMILIES: dict[str, Family] = {name: f for name, f in _FAMILIES.items() if name not in _FUSED_ROPE}
FUSED_FAMILIES: dict[str, Family] = {name: f for name, f in _FAMILIES.items() if name in _FUSED_ROPE}
RELATED_FAMILIES: dict[str, Family] = {
    name: Family(recipe.build, recipe.latent, recipe.conditioning)
    for name, recipe in _RELATED.items()
    if hasattr(comfy.supported_models, recipe.config)
}


def class_of(name: str) -> str:
    """The class of the host's supported models that a family is built with."""
    return {**_RECIPES, **_RELATED}[name].config


_SAME_SDXL = "the network and the class of SDXL with other numbers of blocks, which the tiny one does not have anyway"
_NOT_SAMPLED = "no diffusion model: nothing is sampled, so there is no guidance"
_PACKED = "latents of several kinds packed into one (sound and picture), for which no tiny conditioning is made yet"
_OWN = "a network of its own that is not built tiny yet"

UNCOVERED: dict[str, str] = {
    "SD21UnclipH": "the class of SD2.1 unCLIP with another width of its image embedding",
    **dict.fromkeys(("SSD1B", "KOALA_700M", "KOALA_1B", "Segmind_Vega"), _SAME_SDXL),
    **dict.fromkeys(("SV3D_u", "SV3D_p"), "the network of SVD, with a camera in place of the frame rate"),
    **dict.fromkeys(("LTXAV", "MiniMaxH3", "TripoSplat"), _PACKED),
    "HunyuanVideo15_SR_Distilled": "the network of HunyuanVideo 1.5; distilled, so that it is used at cfg 1",
    "HunyuanImage21Refiner": "the network of HunyuanVideo with an image to refine; used at cfg 1",
    **dict.fromkeys(("RT_DETR_v4", "SAM3", "SAM31", "DepthAnything3"), _NOT_SAMPLED),
    "WAN21_CausalAR_T2V": "the network of Wan 2.1, sampled frame by frame by a sampler of its own, at cfg 1",
    **dict.fromkeys(("WAN21_SCAIL2", "WAN22_WanDancer"), "a network of Wan with inputs that are not made tiny yet"),
    **dict.fromkeys(("ACEStep", "ACEStep15"), "lyrics and speakers as conditioning, which are not made tiny yet"),
    "StableAudio3": "the network of Stable Audio with other conditioning, which is not made tiny yet",
    **dict.fromkeys(("ZImagePixelSpace", "PixelDiTT2I", "PiD", "HiDreamO1", "MageFlow", "Ideogram4", "SeedVR2"), _OWN),
}
"""Classes of the host's supported models that no family here is built with, and why."""
