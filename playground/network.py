"""The network of the playground models: ComfyUI's own SD3 MMDiT class at depth 2, in the host's latent format."""

from __future__ import annotations

import sys
from itertools import pairwise

import torch
from torch import Tensor, nn

SCALE, SHIFT, FLOW_SHIFT = 1.5305, 0.0609, 3.0  # the host's SD3 latent format and time shift
CHANNELS, PATCH, DEPTH, WIDTH = 16, 2, 2, 128  # a patch of 1 would crash in the host's position table


def build_network(comfyui: str, words: int, cells: int) -> nn.Module:
    """The host's MMDiT with new weights, for conditions of ``words`` entries and latents ``cells`` wide and high."""
    sys.path.insert(0, comfyui)
    sys.argv = [sys.argv[0], "--cpu", "--use-pytorch-cross-attention"]
    import comfy.options

    comfy.options.enable_args_parsing()
    from comfy.ldm.modules.diffusionmodules.mmdit import OpenAISignatureMMDITWrapper, get_2d_sincos_pos_embed

    side = cells // PATCH
    network = OpenAISignatureMMDITWrapper(
        input_size=None,
        patch_size=PATCH,
        in_channels=CHANNELS,
        num_patches=side * side,
        pos_embed_max_size=side,
        depth=DEPTH,
        qk_norm="rms",
        adm_in_channels=words,
        context_embedder_config={"target": "torch.nn.Linear", "params": {"in_features": words, "out_features": WIDTH}},
        dtype=torch.float32,
        device="cpu",
        operations=nn,
    )
    with torch.no_grad():
        network.pos_embed.copy_(torch.from_numpy(get_2d_sincos_pos_embed(WIDTH, side))[None])
        for name, parameter in network.named_parameters():
            if ".ln_" in name:
                parameter.fill_(1.0)
            elif "adaLN_modulation" in name or name.startswith("final_layer.linear"):
                parameter.zero_()
    return network


def preview() -> tuple[Tensor, Tensor]:
    """The matrix [3, 16] and bias by which the host's live preview turns network latents into RGB in [-1, 1]."""
    from comfy.latent_formats import SD3

    space = SD3()
    return torch.tensor(space.latent_rgb_factors).T, torch.tensor(space.latent_rgb_factors_bias)


def time_shift(t: Tensor) -> Tensor:
    return FLOW_SHIFT * t / (1 + (FLOW_SHIFT - 1) * t)


def velocity(network: nn.Module, x: Tensor, t: Tensor, context: Tensor) -> Tensor:
    """The predicted ``noise - x0`` for the one-hot tokens ``context`` [batch, token, word]; their sum is pooled."""
    return network(x, t * 1000, context=context, y=context.sum(1))


@torch.no_grad()
def sample(network: nn.Module, context: Tensor, null: Tensor, cells: int, w: float, seed: int) -> Tensor:
    """Network latents by plain CFG, D = D_u + w (D_c - D_u), in 20 Euler steps of the host's "simple" schedule."""
    x = torch.randn(len(context), CHANNELS, cells, cells, generator=torch.Generator().manual_seed(seed))
    null = null.expand_as(context)
    for sigma, after in pairwise(time_shift(1 - torch.arange(21) / 20)):
        t = sigma.expand(len(x))
        v = velocity(network, x, t, context)
        if w != 1:
            v_null = velocity(network, x, t, null)
            v = v_null + w * (v - v_null)
        x += (after - sigma) * v
    return x
