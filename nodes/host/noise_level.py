"""Noise levels as the host counts them: signal scale, noise-to-signal ratio, sampling percent."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

ModelSampling = Any


def signal_scale(model_sampling: ModelSampling, sigma: Tensor, x: Tensor) -> Tensor:
    """``alpha`` in ``x = alpha x0 + noise``, shaped ``[batch, 1, ...]`` for ``sigma [batch]`` and ``x [batch, ...]``.

    Asked of the host itself, by noising a signal of ones without noise: 1 for eps, v and x0 models (VE latents),
    1 - sigma for flow models, and whatever a model family yet to come does.
    """
    ones = torch.ones(sigma.shape[:1] + (1,) * (x.ndim - 1), dtype=x.dtype, device=x.device)
    return model_sampling.noise_scaling(sigma.to(x.dtype), torch.zeros_like(ones), ones)


def noise_to_signal(model_sampling: ModelSampling, sigma: float) -> float:
    """The noise level in VE units: sigma itself, or sigma / (1 - sigma) for flow models; infinite for pure noise."""
    alpha = float(signal_scale(model_sampling, torch.tensor([sigma], dtype=torch.float64), torch.zeros(1, 1)).flatten())
    return sigma / alpha if alpha > 0 else float("inf")


def sampling_percent(model_sampling: ModelSampling, sigma: float) -> float:
    """The share of the trajectory in [0, 1] at which the host reaches ``sigma``; inverts its percent_to_sigma."""
    low, high = 0.0, 1.0  # percent_to_sigma falls from the noisiest level to 0, so bisection finds the one crossing
    for _ in range(30):
        middle = (low + high) / 2
        if float(model_sampling.percent_to_sigma(middle)) > sigma:
            low = middle
        else:
            high = middle
    # Midpoints never reach the ends, where the host jumps to its out-of-range sentinels.
    return 0.0 if low == 0.0 else 1.0 if high == 1.0 else high
