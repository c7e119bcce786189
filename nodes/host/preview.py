"""A denoised prediction as a small picture, by the linear map that the host's own live previews use."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import latent_preview
import numpy as np
import torch
from torch import Tensor

from .notice import harmless


def preview(latent_format: Any, denoised: Tensor, warn: Callable[[str], None]) -> tuple[Tensor, Tensor]:
    """RGB ``[height, width, 3]`` in [0, 1] of ``denoised [1, channels, ...]``, and the latent that a VAE decodes.

    A latent format for which the host has no colours, or colours of another number of channels, gives grey; so do
    colours that fail, of which ``warn`` tells.
    """
    picture, latent = _grey(denoised), denoised
    with harmless("preview", warn):
        latent = latent_format.process_out(denoised)
        picture = _coloured(latent_format, denoised, picture)
    return picture, latent


def decoded(vae: Any, latent: Tensor) -> Tensor:
    """RGB ``[height, width, 3]`` in [0, 1] that a VAE makes of a latent ``[1, channels, ...]``."""
    images = vae.decode(latent)
    return images.reshape(-1, *images.shape[-3:])[0, ..., :3].float().cpu().nan_to_num(0.0).clamp(0, 1)


def _coloured(latent_format: Any, denoised: Tensor, grey: Tensor) -> Tensor:
    factors = latent_format.latent_rgb_factors
    reshape = getattr(latent_format, "latent_rgb_factors_reshape", None)
    channels = (denoised if reshape is None else reshape(denoised)).shape[1]
    if factors is None or len(factors) != channels:
        return grey
    previewer = latent_preview.Latent2RGBPreviewer(factors, latent_format.latent_rgb_factors_bias, reshape)
    drawn = np.array(previewer.decode_latent_to_preview(denoised).convert("RGB"))
    return torch.from_numpy(drawn).float() / 255


def _grey(denoised: Tensor) -> Tensor:
    """The mean of the channels, from its lowest to its highest value; of a video, its first frame."""
    grey = denoised[0].mean(0).reshape(-1, *denoised.shape[-2:])[0]
    low, high = grey.aminmax()
    return ((grey - low) / (high - low).clamp(min=1e-6))[..., None].expand(-1, -1, 3)
