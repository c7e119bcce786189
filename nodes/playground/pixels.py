"""The pictures of the playground model, which ships with the pack and is loaded by the host's Load Diffusion Model.

Its latent is SD3's layout, 16 channels of 8 x 8, which hold the pixels of a 32 x 32 grey image:
``latent = pixel_unshuffle(2 * pixel - 1, 4)``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from comfy_api.latest import io
from torch import Tensor
from torch.nn.functional import interpolate, pixel_shuffle, pixel_unshuffle

from ..kinds import CheckedNode
from ..messages import message

CATEGORY = "REG/playground"


def decode(latent: Tensor, size: int) -> Tensor:
    """IMAGE ``[batch, size, size, 3]`` in [0, 1] of latents ``[batch, 16, 8, 8]``; ValueError for other shapes."""
    if latent.ndim != 4 or latent.shape[1] != 16 or not latent.numel() or not latent.is_floating_point():
        raise ValueError(message("latents-wrong", shape=list(latent.shape)))
    pixels = ((pixel_shuffle(latent, 4) + 1) / 2).clamp(0, 1)
    pixels = interpolate(pixels, size=(size, size), mode="bicubic", antialias=True).clamp(0, 1)
    return pixels.movedim(1, -1).repeat(1, 1, 1, 3)


def encode(image: Tensor) -> Tensor:
    """Latents ``[batch, 16, 8, 8]`` of an IMAGE ``[batch, height, width, channels]``, made grey and 32 x 32 pixels."""
    pixels = image[..., :3].mean(-1)[:, None].float()  # [batch, 1, height, width]
    pixels = interpolate(pixels, size=(32, 32), mode="bicubic", antialias=True).clamp(0, 1)
    return pixel_unshuffle(2 * pixels - 1, 4)


@dataclass(frozen=True)
class PixelVAE:
    """What the host's VAE Decode and VAE Encode nodes ask of a VAE, for images of ``size`` x ``size`` pixels."""

    size: int

    def decode(self, samples: Tensor) -> Tensor:
        """IMAGE ``[batch, size, size, 3]`` in [0, 1]; ValueError for latents of another model."""
        return decode(samples, self.size)

    def encode(self, pixels: Tensor) -> Tensor:
        """Latents ``[batch, 16, 8, 8]`` of an IMAGE of any size."""
        return encode(pixels)

    def spacial_compression_encode(self) -> int:
        """Pixels of the image, along one side, for one element of the latent; the name is the host's."""
        return self.size // 8


class PlaygroundDecode(CheckedNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="REG_PlaygroundDecode",
            display_name="REG Playground Decode",
            category=CATEGORY,
            description="Turns latents of the playground model into images.",
            inputs=[
                io.Latent.Input("samples", tooltip="Latents that the playground model has sampled."),
                io.Int.Input(
                    "size", default=128, min=32, max=1024, step=32, tooltip="Width and height of each image in pixels."
                ),
            ],
            outputs=[io.Image.Output(tooltip="One image for each latent.")],
        )

    @classmethod
    def execute(cls, samples: dict[str, Any], size: int) -> io.NodeOutput:
        return io.NodeOutput(decode(samples["samples"], size))


class PlaygroundVAE(CheckedNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="REG_PlaygroundVAE",
            display_name="REG Playground VAE",
            category=CATEGORY,
            description="A VAE for the playground model, so that VAE Decode, VAE Encode and VAE Encode (for "
            "Inpainting) work with it.",
            inputs=[
                io.Int.Input(
                    "size",
                    default=128,
                    min=32,
                    max=1024,
                    step=32,
                    tooltip="Width and height of each decoded image in pixels; the model itself draws 32 x 32.",
                ),
            ],
            outputs=[io.Vae.Output(tooltip="For VAE Decode, VAE Encode and REG Compare.")],
        )

    @classmethod
    def execute(cls, size: int) -> io.NodeOutput:
        return io.NodeOutput(PixelVAE(size))
