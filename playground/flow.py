"""Training a playground model as a rectified flow, with a moving average of its weights, in runs that can go on."""

from __future__ import annotations

import copy
import math
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from network import time_shift, velocity
from safetensors.torch import save_file
from torch import Tensor, nn

Batch = Callable[[int], tuple[Tensor, Tensor]]
"""``count`` network-space latents [batch, 16, 8, 8] and their one-hot tokens [batch, token, word]."""


@dataclass(frozen=True)
class Recipe:
    """``steps`` in all: a linear warm-up, a flat learning rate, and a cosine over their last share, ``cooling``."""

    steps: int
    batch: int
    rate: float
    cooling: float
    warmup: int = 300
    decay: float = 0.999
    every: int = 2000  # steps between two checkpoints

    def pace(self, step: int) -> float:
        left = (self.steps - step) / max(1.0, self.cooling * self.steps)
        return min(1.0, (step + 1) / self.warmup) * (0.5 - 0.495 * math.cos(math.pi * min(1.0, left)))


def flow_loss(network: nn.Module, x0: Tensor, context: Tensor) -> Tensor:
    """The squared error of the velocity at logit-normal times under the host's shift: v = noise - x0."""
    noise, t = torch.randn_like(x0), time_shift(torch.randn(len(x0)).sigmoid())
    return F.mse_loss(velocity(network, torch.lerp(x0, noise, t[:, None, None, None]), t, context), noise - x0)


def write(path: Path, save: Callable[[Path], object]) -> None:
    """Have a file written whole or not at all."""
    partial = path.with_name(path.name + ".part")
    save(partial)
    partial.chmod(0o644)
    os.replace(partial, path)


def save_weights(network: nn.Module, path: Path, metadata: dict[str, str]) -> None:
    state = {key: value.to(torch.float16).contiguous() for key, value in network.state_dict().items()}
    write(path, lambda partial: save_file(state, partial, metadata=metadata | {"format": "pt"}))


def train(
    network: nn.Module, batch: Batch, recipe: Recipe, run: Path, look: Callable[[nn.Module, int], None]
) -> nn.Module:
    """Train to ``recipe.steps``, from the state in the folder ``run`` if there is one; returns the moving average.

    ``look`` is called with the average and the step at every checkpoint.
    """
    average, state, step = copy.deepcopy(network).eval().requires_grad_(False), run / "state.pt", 0
    parameters = list(network.parameters())
    optimizer = torch.optim.AdamW(parameters, lr=recipe.rate, betas=(0.9, 0.99), weight_decay=0.01, fused=True)
    if state.exists():
        stored = torch.load(state, weights_only=True)
        network.load_state_dict(stored["network"])
        average.load_state_dict(stored["average"])
        optimizer.load_state_dict(stored["optimizer"])
        step = stored["step"]
        torch.manual_seed(step)
    start, first, losses = time.monotonic(), step, []
    while step < recipe.steps:
        optimizer.param_groups[0]["lr"] = recipe.rate * recipe.pace(step)
        loss = flow_loss(network, *batch(recipe.batch))
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        step += 1
        share = 1 - min(recipe.decay, (1 + step) / (10 + step))
        for kept, new in zip(average.parameters(), parameters, strict=True):
            kept.lerp_(new.data, share)
        losses.append(loss.item())
        if step % 100 == 0:
            pace = (time.monotonic() - start) / (step - first)
            print(f"step {step}  loss {np.mean(losses[-1000:]):.4f}  {pace:.3f} s a step", flush=True)
        if step % recipe.every == 0 or step == recipe.steps:
            parts = {"network": network, "average": average, "optimizer": optimizer}
            stored = {name: part.state_dict() for name, part in parts.items()} | {"step": step}
            write(state, lambda partial, stored=stored: torch.save(stored, partial))
            look(average, step)
    return average
