"""Noisy states and network outputs, both expressed through the denoised prediction.

Every noisy state is ``x = alpha * x0 + noise * n`` with unit normal ``n``. A network may predict eps, v, x0 or the flow
velocity; the denoised prediction ``D`` is the same object for all of them, and so is the REG factor
``R = alpha * d(1^T D)/dx`` of the REG update (arXiv 2501.18865), which reads, elementwise:

    eps, VP   1 - sqrt(1 - ab) * d(1^T eps)/dx                 the paper's own form
    eps, VE   1 - sigma * d(1^T eps)/dx
    x0, VE    d(1^T D)/dx                                      the paper's code for EDM2
    v, VP     ab - sqrt(ab * (1 - ab)) * d(1^T v)/dx
    flow      (1 - t) * (1 - t * d(1^T v)/dx)
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from .number import number
from .table import lookup, shown

Denoiser = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class State:
    """How a noisy sample is made from signal and noise at noise level sigma.

    ``alpha(sigma)`` and ``noise(sigma)`` are elementwise functions of a tensor of noise levels, in the state's own
    unit: VE and VP take sigma = noise/signal from 0 (VP also inf), flow takes t in [0, 1]; ``highest`` is the end.
    """

    alpha: Callable[[Tensor], Tensor]
    noise: Callable[[Tensor], Tensor]
    highest: float

    def noise_to_signal(self, sigma: Tensor) -> Tensor:
        """The noise level in VE units, ``noise / alpha``: one scale for every state; infinite where alpha is 0."""
        return self.noise(sigma) / self.alpha(sigma)


LARGE = 1e15
"""A finite noise-to-signal ratio whose square is far from overflow in float32."""

STATES: dict[str, State] = {
    "ve": State(alpha=torch.ones_like, noise=lambda sigma: sigma, highest=LARGE),
    "vp": State(
        alpha=lambda sigma: (1 + sigma**2).rsqrt(), noise=lambda sigma: (1 + sigma**-2).rsqrt(), highest=math.inf
    ),
    "flow": State(alpha=lambda t: 1 - t, noise=lambda t: t, highest=1.0),
}


@dataclass(frozen=True)
class Prediction:
    """What a network predicts: a linear map between its output and the denoised prediction.

    ``to_denoised(output, x, alpha, noise)`` and ``from_denoised(denoised, x, alpha, noise)`` are inverses of each
    other; all tensors broadcast against ``x [batch, ...]``. eps gives no denoised prediction where alpha is 0, and none
    but x0 can be had of one where noise is 0.
    """

    to_denoised: Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]
    from_denoised: Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]
    needs_signal: bool = False
    """It tells nothing of the signal where alpha is 0."""


# v is defined on the unit sphere of (alpha, noise), so states that are not variance preserving are normalised first.
PREDICTIONS: dict[str, Prediction] = {
    "x0": Prediction(
        to_denoised=lambda output, x, alpha, noise: output,
        from_denoised=lambda denoised, x, alpha, noise: denoised,
    ),
    "eps": Prediction(
        to_denoised=lambda output, x, alpha, noise: (x - noise * output) / alpha,
        from_denoised=lambda denoised, x, alpha, noise: (x - alpha * denoised) / noise,
        needs_signal=True,
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


def check_sample(x: Any) -> None:
    """Raises ValueError unless ``x`` is a dense floating-point tensor ``[batch, ...]``."""
    if not isinstance(x, Tensor) or x.layout != torch.strided or not x.is_floating_point() or x.ndim == 0:
        layout = f", {x.layout}" if isinstance(x, Tensor) and x.layout != torch.strided else ""
        raise ValueError(
            f"REG: expected x as a dense floating-point tensor [batch, ...]; got {shown(x)}{layout}. Convert it first."
        )


def _check_sigma(sigma: Any, prediction: str, state: str) -> None:
    highest = lookup(STATES, state, "state").highest
    if not isinstance(sigma, Tensor):
        sigma = torch.tensor(number(sigma, "sigma", 0, highest), dtype=torch.float64)
    if sigma.ndim > 1 or sigma.is_complex() or sigma.layout != torch.strided:
        raise ValueError(f"REG: sigma must be one number or [batch]; got {shown(sigma)}")
    level = sigma.detach().double()
    defined = (level >= 0) & (level <= highest) & ((level <= LARGE) | level.isinf())
    needs_signal = lookup(PREDICTIONS, prediction, "prediction").needs_signal
    if needs_signal:
        defined &= STATES[state].alpha(level) > 0
    if not bool(defined.all()):
        end = f" (of pure noise, {prediction} tells nothing of the signal)" if needs_signal else ""
        span = f"between 0 and {min(highest, LARGE):g}{' or inf' if highest > LARGE and not end else ''}"
        raise ValueError(f"REG: sigma of state {state!r} with prediction {prediction!r} must be {span}{end}")


def denoiser(network: Callable[[Tensor], Tensor], sigma: Tensor | float, prediction: str, state: str) -> Denoiser:
    """The denoised prediction ``D(x)`` of a network at one noise level, in the dtype of x.

    ``network(x [batch, ...])`` returns its output for the state ``x``; ``sigma`` is one number or ``[batch]`` in the
    state's unit. What is computed of its output is in float32 at least. Raises ValueError for an unknown prediction or
    state and for a noise level at which D is not defined; the prediction, for an x that is no dense floating-point
    tensor or of another batch. Cost: one evaluation of the network per call.
    """
    output_type, scaling = lookup(PREDICTIONS, prediction, "prediction"), lookup(STATES, state, "state")
    _check_sigma(sigma, prediction, state)

    def denoised(x: Tensor) -> Tensor:
        check_sample(x)
        wide = x.to(torch.promote_types(x.dtype, torch.float32))
        level = per_sample(sigma, wide)
        if level.ndim and len(level) not in (1, len(x)):
            raise ValueError(f"REG: sigma is of {len(level)} samples, x of {len(x)}. Give one number or as many.")
        output = network(x).to(wide.dtype)
        return output_type.to_denoised(output, wide, scaling.alpha(level), scaling.noise(level)).to(x.dtype)

    return denoised
