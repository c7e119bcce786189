"""The pictures of the playground models, which ship with the pack and are loaded by the host's Load Diffusion Model.

Their latents have SD3's layout, 16 channels of 8 x 8. Those of the digits hold the pixels of a 32 x 32 grey image,
``latent = pixel_unshuffle(2 * pixel - 1, 4)``; those of the emoji a 64 x 64 picture in colour, see ``autoencoder``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from comfy_api.latest import io
from safetensors.torch import load_file
from torch import Tensor
from torch.nn.functional import interpolate, pixel_shuffle, pixel_unshuffle

from ..kinds import CheckedNode
from ..messages import message
from .autoencoder import Autoencoder

CATEGORY = "REG/playground"
CELLS = 8
WEIGHTS = Path(__file__).with_name("emoji.safetensors")


def resized(pixels: Tensor, size: int) -> Tensor:
    """Pixels ``[batch, channels, size, size]`` in [0, 1] of ones of any size."""
    return interpolate(pixels, size=(size, size), mode="bicubic", antialias=True).clamp(0, 1)


class Pictures(ABC):
    """How a model's latents ``[batch, 16, 8, 8]`` hold its pictures."""

    @abstractmethod
    def decode(self, latent: Tensor) -> Tensor:
        """Pixels ``[batch, 1 or 3, side, side]`` of latents, not clamped."""

    @abstractmethod
    def encode(self, image: Tensor) -> Tensor:
        """Latents of an IMAGE ``[batch, height, width, 3]`` of any size."""


class Digits(Pictures):
    def decode(self, latent: Tensor) -> Tensor:
        return (pixel_shuffle(latent, 4) + 1) / 2

    def encode(self, image: Tensor) -> Tensor:
        return pixel_unshuffle(2 * resized(image.mean(-1)[:, None].float(), 32) - 1, 4)


@cache
def emoji_autoencoder() -> Autoencoder:
    """The autoencoder that the emoji model was trained with."""
    made = Autoencoder()
    made.load_state_dict(load_file(WEIGHTS))
    return made.requires_grad_(False)


class Emoji(Pictures):
    def decode(self, latent: Tensor) -> Tensor:
        return emoji_autoencoder().decode(latent.float().cpu())

    def encode(self, image: Tensor) -> Tensor:
        return emoji_autoencoder().encode(resized(image.movedim(-1, 1).float().cpu(), 64))


DIGITS = "digits"
MODELS: dict[str, Pictures] = {DIGITS: Digits(), "emoji": Emoji()}


def decode(latent: Tensor, size: int, model: str = DIGITS) -> Tensor:
    """IMAGE ``[batch, size, size, 3]`` in [0, 1] of latents ``[batch, 16, 8, 8]``; ValueError for other shapes."""
    if latent.ndim != 4 or latent.shape[1] != 16 or not latent.numel() or not latent.is_floating_point():
        raise ValueError(message("latents-wrong", shape=list(latent.shape)))
    pixels = resized(MODELS[model].decode(latent).clamp(0, 1), size).movedim(1, -1)
    return pixels.repeat(1, 1, 1, 3 // pixels.shape[-1])


def encode(image: Tensor, model: str = DIGITS) -> Tensor:
    """Latents ``[batch, 16, 8, 8]`` of an IMAGE ``[batch, height, width, channels]`` of any size."""
    return MODELS[model].encode(image[..., :3])


@dataclass(frozen=True)
class PixelVAE:
    """What the host's VAE Decode and VAE Encode nodes ask of a VAE, for images of ``size`` x ``size`` pixels."""

    size: int
    model: str = DIGITS

    def decode(self, samples: Tensor) -> Tensor:
        """IMAGE ``[batch, size, size, 3]`` in [0, 1]; ValueError for latents of another model."""
        return decode(samples, self.size, self.model)

    def encode(self, pixels: Tensor) -> Tensor:
        """Latents of an IMAGE of any size."""
        return encode(pixels, self.model)

    def spacial_compression_encode(self) -> int:
        """Pixels of the image, along one side, for one element of the latent; the name is the host's."""
        return self.size // CELLS


def model_input() -> io.Combo.Input:
    """Which model's pictures; the digits where a saved workflow does not say."""
    tooltip = "Which playground model the latents belong to."
    return io.Combo.Input("model", options=list(MODELS), default=DIGITS, optional=True, tooltip=tooltip)


class PlaygroundDecode(CheckedNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="REG_PlaygroundDecode",
            display_name="REG Playground Decode",
            category=CATEGORY,
            description="Turns latents of a playground model into images.",
            inputs=[
                io.Latent.Input("samples", tooltip="Latents that a playground model has sampled."),
                io.Int.Input(
                    "size", default=128, min=32, max=1024, step=32, tooltip="Width and height of each image in pixels."
                ),
                model_input(),
            ],
            outputs=[io.Image.Output(tooltip="One image for each latent.")],
        )

    @classmethod
    def execute(cls, samples: dict[str, Any], size: int, model: str = DIGITS) -> io.NodeOutput:
        return io.NodeOutput(decode(samples["samples"], size, model))


class PlaygroundVAE(CheckedNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="REG_PlaygroundVAE",
            display_name="REG Playground VAE",
            category=CATEGORY,
            description="A VAE for the playground models, so that VAE Decode, VAE Encode and VAE Encode (for "
            "Inpainting) work with them.",
            inputs=[
                io.Int.Input(
                    "size",
                    default=128,
                    min=32,
                    max=1024,
                    step=32,
                    tooltip="Width and height of each decoded image in pixels; the models themselves draw 32 x 32 "
                    "(digits) and 64 x 64 (emoji).",
                ),
                model_input(),
            ],
            outputs=[io.Vae.Output(tooltip="For VAE Decode, VAE Encode and REG Compare.")],
        )

    @classmethod
    def execute(cls, size: int, model: str = DIGITS) -> io.NodeOutput:
        return io.NodeOutput(PixelVAE(size, model))
