"""Noisy states and network outputs, both expressed through the denoised prediction.

Every noisy state is ``x = alpha * x0 + noise * n`` with unit normal ``n``. A network may predict eps, v, x0 or the flow
velocity; the denoised prediction ``D`` is the same object for all of them, and so is the REG factor
``R = alpha * d(1^T D)/dx``. Identities: arXiv 2501.18865, eq. of the REG update, restated for each parameterization.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from .table import lookup

Denoiser = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class State:
    """How a noisy sample is made from signal and noise at noise level sigma.

    ``alpha(sigma)`` and ``noise(sigma)`` are elementwise functions of a tensor of noise levels, in the state's own
    unit: VE and VP take sigma = noise/signal in [0, inf), flow takes t in [0, 1].
    """

    alpha: Callable[[Tensor], Tensor]
    noise: Callable[[Tensor], Tensor]

    def noise_to_signal(self, sigma: Tensor) -> Tensor:
        """The noise level in VE units, ``noise / alpha``: one scale for every state; infinite where alpha is 0."""
        return self.noise(sigma) / self.alpha(sigma)


STATES: dict[str, State] = {
    "ve": State(alpha=torch.ones_like, noise=lambda sigma: sigma),
    "vp": State(alpha=lambda sigma: (1 + sigma**2).rsqrt(), noise=lambda sigma: (1 + sigma**-2).rsqrt()),
    "flow": State(alpha=lambda t: 1 - t, noise=lambda t: t),
}


@dataclass(frozen=True)
class Prediction:
    """What a network predicts: a linear map between its output and the denoised prediction.

    ``to_denoised(output, x, alpha, noise)`` and ``from_denoised(denoised, x, alpha, noise)`` are inverses of each
    other; all tensors broadcast against ``x [batch, ...]``.
    """

    to_denoised: Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]
    from_denoised: Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]


# v is defined on the unit sphere of (alpha, noise), so states that are not variance preserving are normalised first.
PREDICTIONS: dict[str, Prediction] = {
    "x0": Prediction(
        to_denoised=lambda output, x, alpha, noise: output,
        from_denoised=lambda denoised, x, alpha, noise: denoised,
    ),
    "eps": Prediction(
        to_denoised=lambda output, x, alpha, noise: (x - noise * output) / alpha,
        from_denoised=lambda denoised, x, alpha, noise: (x - alpha * denoised) / noise,
    ),
    "v": Prediction(
        to_denoised=lambda output, x, alpha, noise: (
            (alpha * x - noise * (alpha**2 + noise**2).sqrt() * output) / (alpha**2 + noise**2)
        ),
        from_denoised=lambda denoised, x, alpha, noise: (
            (alpha * x - (alpha**2 + noise**2) * denoised) / (noise * (alpha**2 + noise**2).sqrt())
        ),
    ),
    "flow": Prediction(
        to_denoised=lambda output, x, alpha, noise: (x - noise * output) / (alpha + noise),
        from_denoised=lambda denoised, x, alpha, noise: (x - (alpha + noise) * denoised) / noise,
    ),
}


def per_sample(sigma: Tensor | float, x: Tensor) -> Tensor:
    """Noise levels ``[batch]`` (or one number) shaped ``[batch, 1, ...]`` to broadcast against ``x``."""
    level = torch.as_tensor(sigma, dtype=x.dtype, device=x.device)
    return level.reshape(level.shape[:1] + (1,) * (x.ndim - 1)) if level.ndim else level


def denoiser(network: Callable[[Tensor], Tensor], sigma: Tensor | float, prediction: str, state: str) -> Denoiser:
    """The denoised prediction ``D(x)`` of a network at one noise level.

    ``network(x [batch, ...])`` returns its output for the state ``x``; ``sigma`` is one number or ``[batch]`` in the
    state's unit. Raises ValueError for an unknown prediction or state. Cost: one evaluation of the network per call.
    """
    output_type, scaling = lookup(PREDICTIONS, prediction, "prediction"), lookup(STATES, state, "state")

    def denoised(x: Tensor) -> Tensor:
        level = per_sample(sigma, x)
        return output_type.to_denoised(network(x), x, scaling.alpha(level), scaling.noise(level))

    return denoised
