"""Tiny random models of the host's own classes, made inside inference mode as its loader nodes make them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import comfy.latent_formats
import comfy.model_base
import comfy.model_management
import comfy.model_patcher
import comfy.sd
import comfy.supported_models
import torch
from comfy.ldm.modules.diffusionmodules.mmdit import OpenAISignatureMMDITWrapper

CONTEXT = 16
POOLED = 11


def _randomise(model: torch.nn.Module, seed: int = 0) -> None:
    """Weights of the usual size, so that every layer, also zero-initialised ones, takes part in the Jacobian."""
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in model.named_parameters():
        fan_in = parameter[0].numel() if parameter.ndim > 1 else 4
        value = torch.randn(parameter.shape, generator=generator) / fan_in**0.5
        is_scale = parameter.ndim == 1 and name.endswith("weight")
        parameter.data.copy_(1 + 0.1 * value if is_scale else value)


def _patcher(model: Any) -> Any:
    cpu = torch.device("cpu")
    model.eval()
    return comfy.model_patcher.ModelPatcher(model, load_device=cpu, offload_device=cpu)


def unet(kind: Any) -> Any:
    config = comfy.supported_models.SD15(
        {
            "image_size": 32,
            "in_channels": 4,
            "out_channels": 4,
            "model_channels": 32,
            "num_res_blocks": [1, 1],
            "channel_mult": [1, 2],
            "transformer_depth": [1, 1],
            "transformer_depth_output": [1, 1, 1, 1],
            "transformer_depth_middle": 1,
            "context_dim": CONTEXT,
            "num_heads": 4,
            "use_spatial_transformer": True,
            "adm_in_channels": None,
            "use_linear_in_transformer": False,
            "legacy": False,
            "dtype": torch.float32,
        }
    )
    config.latent_format = comfy.latent_formats.SD15()
    with torch.inference_mode():
        model = comfy.model_base.BaseModel(config, model_type=kind)
        _randomise(model)
    return _patcher(model)


def unet_eps() -> Any:
    return unet(comfy.model_base.ModelType.EPS)


def unet_v() -> Any:
    return unet(comfy.model_base.ModelType.V_PREDICTION)


def sd3_flow() -> Any:
    """Width 64, depth 1: loaded through the host's own detection."""
    with torch.inference_mode():
        source = OpenAISignatureMMDITWrapper(
            input_size=None,
            patch_size=2,
            in_channels=16,
            depth=1,
            adm_in_channels=POOLED,
            context_embedder_config={
                "target": "torch.nn.Linear",
                "params": {"in_features": CONTEXT, "out_features": 64},
            },
            num_patches=16,
            pos_embed_max_size=4,
            qk_norm="rms",
            operations=comfy.ops.disable_weight_init,
            dtype=torch.float32,
        )
        _randomise(source)
        source.pos_embed.normal_(generator=torch.Generator().manual_seed(1))
        return comfy.sd.load_diffusion_model_state_dict(source.state_dict())


FAMILIES: dict[str, Callable[[], Any]] = {"UNet eps": unet_eps, "UNet v": unet_v, "SD3 flow": sd3_flow}


def conditioning(seed: int) -> list[Any]:
    generator = torch.Generator().manual_seed(seed)
    with torch.inference_mode():
        return [
            [
                torch.randn(1, 3, CONTEXT, generator=generator),
                {"pooled_output": torch.randn(1, POOLED, generator=generator)},
            ]
        ]


def empty_latent(model: Any, batch: int = 1) -> dict[str, torch.Tensor]:
    return {"samples": torch.zeros(batch, model.model.latent_format.latent_channels, 8, 8)}
