"""Fitting the autoencoder of the emoji model: first its linear windows, then the network that adds the details."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from autoencoder import CHANNELS, MARGIN, STRIDE, Autoencoder, analyse, synthesise
from torch import Tensor, nn

STEPS, SMOOTHNESS = 2000, 0.001  # of the windows
DETAIL_STEPS, DETAIL_BATCH, DETAIL_RATE = 6000, 16, 2e-3
NOISE, TORN, SHIFT = 0.3, 0.3, 2  # of latents as a sampler leaves them: sd; share of misplaced tokens, by pixels
GAIN = (0.7, 1.6)  # contrast and chroma, far beyond those of the data: burnt latents must look burnt


def components(pixels: Tensor) -> Tensor:
    """The 16 principal components [16, 3, 8, 8] of the 8 x 8 patches of pixels."""
    patches = F.pixel_unshuffle(pixels, STRIDE).movedim(1, -1).flatten(0, -2)
    basis = torch.linalg.svd(patches.T @ patches / len(patches))[2][:CHANNELS]
    return basis.view(CHANNELS, 3, STRIDE, STRIDE)


def fit(autoencoder: Autoencoder, pixels: Tensor) -> None:
    """Give it the windows with the least squared error on pixels in [0, 1], less a little for ones that end softly.

    Their latents are rotated to be uncorrelated and scaled by sd^-0.5, so that coarse ones stay the larger, with a mean
    square of 1 over all.
    """
    data = 2 * pixels - 1
    generator = torch.Generator().manual_seed(0)
    start = F.pad(components(data), (MARGIN,) * 4)
    analysis, synthesis = nn.Parameter(start.clone()), nn.Parameter(start.clone())
    optimizer = torch.optim.Adam([analysis, synthesis], lr=3e-3)
    pace = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, STEPS)
    for _ in range(STEPS):
        batch = data[torch.randint(len(data), (16,), generator=generator)]
        made = synthesise(analyse(batch, analysis), synthesis)
        speck = F.pad(synthesise(torch.randn(4, CHANNELS, 8, 8, generator=generator), synthesis), (1,) * 4)
        rough = speck.diff(dim=2).square().mean() + speck.diff(dim=3).square().mean()
        loss = F.mse_loss(made, batch) + SMOOTHNESS * rough / speck.square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        pace.step()
    with torch.no_grad():
        latent = analyse(data, analysis).movedim(1, -1).flatten(0, -2)
        centred = latent - latent.mean(0)
        variance, rotation = torch.linalg.eigh(centred.T @ centred / len(centred))
        variance, rotation = variance.flip(0), rotation.flip(1)
        scale = variance.pow(-0.25)
        scale *= (CHANNELS / (scale.square() * variance).sum()).sqrt()
        forward, backward = scale[:, None] * rotation.T, rotation.T / scale[:, None]
        autoencoder.analysis.copy_(torch.einsum("ij,jabc->iabc", forward, analysis))
        autoencoder.synthesis.copy_(torch.einsum("ij,jabc->iabc", backward, synthesis))
        autoencoder.offset.copy_(-forward @ latent.mean(0))


@torch.no_grad()
def align(autoencoder: Autoencoder, pixels: Tensor, factors: Tensor, bias: Tensor) -> None:
    """Mix and move its latents so that the host's live preview shows the picture's own colours.

    The host previews a network latent z as factors z + bias, RGB in [-1, 1] from 16 channels, for Stable Diffusion 3.
    Three directions of the latent (the row space of ``factors``, 3 x 16) are given to the mean colour of a cell, the
    other thirteen take what is orthogonal to it, unscaled.
    """
    latent = autoencoder.encode(pixels).movedim(1, -1).flatten(0, -2)
    colour = F.avg_pool2d(2 * pixels - 1, STRIDE).movedim(1, -1).flatten(0, -2)
    fitted = torch.linalg.lstsq(F.pad(latent, (0, 1), value=1.0), colour).solution
    seen, middle = fitted[:-1].T, fitted[-1]
    inverse = torch.linalg.pinv(factors)
    unseen, unused = (torch.linalg.svd(matrix)[2][len(matrix) :] for matrix in (seen, factors))
    mix = inverse @ seen + unused.T @ unseen
    autoencoder.analysis.copy_(torch.einsum("ij,jabc->iabc", mix, autoencoder.analysis))
    autoencoder.synthesis.copy_(torch.einsum("ji,jabc->iabc", torch.linalg.inv(mix), autoencoder.synthesis))
    autoencoder.offset.copy_(mix @ autoencoder.offset + inverse @ (middle - bias))


def strained(pixels: Tensor) -> Tensor:
    """Pixels with more or less contrast and chroma, not clamped."""
    contrast, chroma = (torch.empty(len(pixels), 1, 1, 1).uniform_(*GAIN) for _ in range(2))
    grey = pixels.mean(1, keepdim=True)
    return (grey + chroma * (pixels - grey) - 0.5) * contrast + 0.5


def worn(autoencoder: Autoencoder, pixels: Tensor) -> Tensor:
    """Latents as a sampler may leave them: noisy, and some tokens of 2 x 2 latents not where they belong."""
    n, _, height, width = pixels.shape
    around = F.pad(pixels, (SHIFT,) * 4, mode="replicate")
    x, y = torch.randint(2 * SHIFT + 1, (2,)).tolist()
    moved = autoencoder.encode(around[:, :, y : y + height, x : x + width])
    token = 2 * STRIDE
    torn = torch.rand(n, 1, height // token, width // token) < TORN * torch.rand(n, 1, 1, 1)
    latent = torch.where(torn.repeat_interleave(2, 2).repeat_interleave(2, 3), moved, autoencoder.encode(pixels))
    return latent + NOISE * torch.rand(n, 1, 1, 1) * torch.randn_like(latent)


def fit_details(autoencoder: Autoencoder, pictures: Callable[[int], Tensor]) -> None:
    """Train the network that adds the details: the mean error of pixels and of their differences, from worn latents.

    ``pictures`` gives so many pictures [count, 3, 64, 64] in [0, 1].
    """
    last = autoencoder.details[-1]
    nn.init.zeros_(last.weight)  # the linear picture is where it begins
    nn.init.zeros_(last.bias)
    optimizer = torch.optim.AdamW(autoencoder.details.parameters(), lr=DETAIL_RATE, weight_decay=0.01)
    pace = torch.optim.lr_scheduler.OneCycleLR(optimizer, DETAIL_RATE, DETAIL_STEPS, pct_start=0.1)
    for step in range(DETAIL_STEPS):
        pixels = strained(pictures(DETAIL_BATCH))
        error = autoencoder.decode(worn(autoencoder, pixels)) - pixels
        loss = error.abs().mean() + error.diff(dim=2).abs().mean() + error.diff(dim=3).abs().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        pace.step()
        if step % 500 == 499:
            print(f"details {step + 1}  loss {loss.item():.4f}", flush=True)
