"""A small convolutional classifier of subject, colour and style, trained apart from the emoji model, to judge it."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from train import choose, render
from words import COLOURS, STYLES, SUBJECTS

SEED, STEPS, BATCH, RATE = 90, 2500, 48, 2e-3
WIDTHS = (3, 24, 48, 96, 128)


class Judge(nn.Module):
    """RGB [batch, 3, 64, 64] in [0, 1] -> scores of 40 subjects, 7 colours (the first: as drawn) and 3 styles."""

    def __init__(self) -> None:
        super().__init__()
        layers = [
            nn.Sequential(nn.Conv2d(before, after, 3, 2, 1), nn.GroupNorm(8, after), nn.ReLU())
            for before, after in pairwise(WIDTHS)
        ]
        self.body = nn.Sequential(*layers)
        self.heads = nn.ModuleList(nn.Linear(WIDTHS[-1], n) for n in (len(SUBJECTS), 1 + len(COLOURS), len(STYLES)))

    def features(self, pixels: Tensor) -> Tensor:
        """The 128 values [batch, 128] whose distribution the Frechet distance compares."""
        return self.body(pixels.clamp(0, 1) - 0.5).mean((2, 3))

    def forward(self, pixels: Tensor) -> list[Tensor]:
        features = self.features(pixels)
        return [head(features) for head in self.heads]


def worn(pixels: Tensor, generator: torch.Generator) -> Tensor:
    """Pictures as a sampler may leave them: some blurred, some noisy, all with another contrast."""
    n = len(pixels)
    blurred = F.avg_pool2d(F.pad(pixels, (1,) * 4, mode="replicate"), 3, 1)
    share = torch.rand(n, 1, 1, 1, generator=generator)
    noise = torch.randn(pixels.shape, generator=generator) * 0.04 * torch.rand(n, 1, 1, 1, generator=generator)
    contrast = 0.8 + 0.5 * torch.rand(n, 1, 1, 1, generator=generator)
    return ((pixels + share * (blurred - pixels) + noise - 0.5) * contrast + 0.5).clamp(0, 1)


def batches(pictures: Tensor, seed: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Pictures of the training data in variations of another seed, with subject, colour and style."""
    generator = torch.Generator().manual_seed(seed)
    while True:
        chosen = choose(BATCH, generator)
        yield worn(render(pictures, chosen, generator), generator), chosen


def trained_judge(pictures: Tensor) -> Judge:
    torch.manual_seed(SEED)
    judge = Judge()
    optimizer = torch.optim.AdamW(judge.parameters(), lr=RATE, weight_decay=0.01)
    pace = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, STEPS)
    for _, (pixels, chosen) in zip(range(STEPS), batches(pictures, SEED), strict=False):
        answers = zip(judge(pixels), chosen.unbind(1), strict=True)
        loss = torch.stack([F.cross_entropy(scores, answer) for scores, answer in answers]).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        pace.step()
    return judge.eval().requires_grad_(False)
