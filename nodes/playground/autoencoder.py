"""The autoencoder of the emoji model: 64 x 64 pixels in 16 x 8 x 8 latents, an eighth of the size as in SD3.

Encoding is linear. Decoding adds to a linear picture the details that a small convolutional network knows. Both look
through windows that overlap by half, so that an error of one latent fades out instead of ending at a seam.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, conv_transpose2d, pad

CHANNELS, STRIDE, WINDOW = 16, 8, 16  # of a latent; pixels
MARGIN = (WINDOW - STRIDE) // 2
WIDTHS = (64, 48, 32, 16)  # of the network at 1, 2, 4 and 8 times the size of the latent


def analyse(pixels: Tensor, windows: Tensor) -> Tensor:
    """Products ``[batch, channels, h / 8, w / 8]`` of pixels with windows; the border is repeated outwards."""
    return conv2d(pad(pixels, (MARGIN,) * 4, mode="replicate"), windows, stride=STRIDE)


def synthesise(latent: Tensor, windows: Tensor) -> Tensor:
    """Pixels ``[batch, 3, 8 h, 8 w]`` as a sum of windows; the outermost latents are repeated outwards."""
    outside = STRIDE + MARGIN
    return conv_transpose2d(pad(latent, (1,) * 4, mode="replicate"), windows, stride=STRIDE, padding=outside)


def convolution(before: int, after: int) -> nn.Module:
    return nn.Conv2d(before, after, 3, padding=1, padding_mode="replicate")


def details() -> nn.Sequential:
    """What decoding adds to the linear picture: from latents without their offset to pixels in [-1, 1]."""
    layers: list[nn.Module] = [convolution(CHANNELS, WIDTHS[0]), nn.SiLU()]
    layers += [convolution(WIDTHS[0], WIDTHS[0]), nn.SiLU()]
    for before, after in pairwise(WIDTHS):
        layers += [nn.Upsample(scale_factor=2.0), convolution(before, after), nn.SiLU()]
        layers += [convolution(after, after), nn.SiLU()]
    return nn.Sequential(*layers, convolution(WIDTHS[-1], 3))


class Autoencoder(nn.Module):
    """``latent = analyse(2 p - 1) + offset`` and ``2 p - 1 = synthesise(z) + details(z)``, z the latent less offset.

    Pixels p are RGB in [0, 1]; the windows for both ways are ``[16, 3, 16, 16]``.
    """

    analysis: Tensor
    synthesis: Tensor
    offset: Tensor

    def __init__(self) -> None:
        super().__init__()
        for name in ("analysis", "synthesis"):
            self.register_buffer(name, torch.zeros(CHANNELS, 3, WINDOW, WINDOW))
        self.register_buffer("offset", torch.zeros(CHANNELS))
        self.details = details()

    def encode(self, pixels: Tensor) -> Tensor:
        """Latents ``[batch, 16, h / 8, w / 8]`` of pixels ``[batch, 3, h, w]``."""
        return analyse(2 * pixels - 1, self.analysis) + self.offset[:, None, None]

    def decode(self, latent: Tensor) -> Tensor:
        """Pixels ``[batch, 3, 8 h, 8 w]`` of latents, not clamped."""
        centred = latent - self.offset[:, None, None]
        return (synthesise(centred, self.synthesis) + self.details(centred) + 1) / 2
