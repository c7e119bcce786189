"""Nodes for the playground model that ships with the pack: class conditioning, and decoding to IMAGE.

The model is loaded by the host's Load Diffusion Model. Its latent is SD3's layout, 16 channels of 8 x 8, which hold the
pixels of a 32 x 32 grey image: ``latent = pixel_unshuffle(2 * pixel - 1, 4)``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from comfy_api.latest import io
from torch import Tensor
from torch.nn.functional import interpolate, one_hot, pixel_shuffle, pixel_unshuffle

from .kinds import CheckedNode

CLASSES = "0123456789"
UNCONDITIONAL = len(CLASSES)
MOST_CLASSES = 4096  # the host's largest batch
CATEGORY = "advanced/guidance/playground"


def class_conditioning(indices: list[int]) -> list[Any]:
    """CONDITIONING with one class per sample of the batch: the same one-hot vector as token and as pooled output."""
    vectors = one_hot(torch.tensor(indices), UNCONDITIONAL + 1).float()  # [sample, class]
    return [[vectors[:, None], {"pooled_output": vectors}]]


def decode(latent: Tensor, size: int) -> Tensor:
    """IMAGE ``[batch, size, size, 3]`` in [0, 1] of latents ``[batch, 16, 8, 8]``; ValueError for other shapes."""
    if latent.ndim != 4 or latent.shape[1] != 16 or not latent.numel() or not latent.is_floating_point():
        raise ValueError(
            f"REG playground: expected latents [batch, 16, 8, 8] of the playground model; got {list(latent.shape)}. "
            "Use Empty SD3 Latent Image at 64 x 64."
        )
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


class PlaygroundConditioning(CheckedNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="REG_PlaygroundConditioning",
            display_name="REG Playground Digits",
            category=CATEGORY,
            description="Which digits the playground model draws, one for each image of the batch.",
            inputs=[
                io.String.Input(
                    "classes",
                    default=CLASSES,
                    tooltip="Digits 0 to 9, one per image of the batch, repeated if the batch is larger.",
                ),
            ],
            outputs=[
                io.Conditioning.Output("positive", display_name="positive", tooltip="The chosen digits."),
                io.Conditioning.Output(
                    "negative", display_name="negative", tooltip="Any digit: the unconditional prediction."
                ),
            ],
        )

    @classmethod
    def validate_inputs(cls, classes: str | None) -> bool | str:
        if classes is None:  # linked, known when it runs
            return True
        unknown = sorted(set(classes.strip()) - set(CLASSES))
        if unknown or not classes.strip():
            names = ", ".join(map(repr, unknown[:5])) + (", ..." if len(unknown) > 5 else "")
            what = f"unknown class {names}" if unknown else "no class at all"
            return f"REG playground: expected classes as digits, such as 0123456789; got {what}. Write digits only."
        if len(classes.strip()) > MOST_CLASSES:
            count = len(classes.strip())
            return f"REG playground: at most {MOST_CLASSES} classes, one per image; got {count}. Write fewer digits."
        return True

    @classmethod
    def execute(cls, classes: str) -> io.NodeOutput:
        valid = cls.validate_inputs(classes)
        if isinstance(valid, str):
            raise ValueError(valid)
        digits = [CLASSES.index(digit) for digit in classes.strip()]
        return io.NodeOutput(class_conditioning(digits), class_conditioning([UNCONDITIONAL]))


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
            description="A VAE for the playground model, so that the host's VAE Decode, VAE Encode and VAE Encode (for "
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
