"""Gaussian mixture with everything in closed form: the oracle of the tests, and an exact denoiser to try ideas on."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.distributions import MultivariateNormal

from .number import HIGHEST, number, whole_number
from .table import shown

MOST_NUMBERS = 2**28
"""Of a quadrature: 2 GiB in double precision."""


def _inverse(covariances: Tensor) -> Tensor:
    inverse, failed = torch.linalg.inv_ex(covariances)
    if bool(failed.any()) or not bool(inverse.isfinite().all()):
        raise ValueError("REG: a covariance is singular at this noise, or for this precision. Raise noise.")
    return inverse


def _cholesky(covariances: Tensor) -> Tensor:
    factor, failed = torch.linalg.cholesky_ex(covariances)
    if bool(failed.any()):
        raise ValueError("REG: a covariance is not positive definite, so this has no density. Raise its diagonal.")
    return factor


def _noise_and_alpha(noise: Any, alpha: Any, above: float | None = None) -> tuple[float, float]:
    return number(noise, "noise", 0, HIGHEST, above), number(alpha, "alpha", 0, HIGHEST)


@dataclass(frozen=True, eq=False)
class GaussianMixture:
    """Data ``x0 ~ sum_k weights[k] Normal(means[k], covariances[k])`` seen through ``x = alpha x0 + noise n``.

    Raises ValueError if the shapes do not fit, for anything but finite numbers in float32 or float64, and if the
    weights are not positive; weights are normalised. Its methods raise it for an x of another shape, for a noise or an
    alpha outside [0, 1e6], and for covariances that are singular there.
    """

    means: Tensor  # [component, dim]
    covariances: Tensor  # [component, dim, dim]
    weights: Tensor  # [component]

    def __post_init__(self) -> None:
        parts = self.means, self.covariances, self.weights
        for part in parts:
            if not isinstance(part, Tensor) or part.dtype not in (torch.float32, torch.float64):
                raise ValueError(
                    f"REG: expected means, covariances and weights in float32 or float64; got {shown(part)}"
                )
        sizes = [*self.means.shape, 0, 0][:2]
        if [list(part.shape) for part in parts] != [sizes, [*sizes, sizes[1]], sizes[:1]] or 0 in sizes:
            raise ValueError(
                "REG: expected means [k, d], covariances [k, d, d], weights [k]; got "
                f"{', '.join(shown(tuple(part.shape)) for part in parts)}"
            )
        if not all(bool(part.isfinite().all()) for part in parts):
            raise ValueError("REG: means, covariances and weights of a mixture must be finite")
        if not bool((self.weights > 0).all()):
            raise ValueError("REG: every mixture weight must be above 0")
        object.__setattr__(self, "weights", self.weights / self.weights.sum())

    def _check(self, x: Any) -> None:
        dim = self.means.shape[1]
        fits = isinstance(x, Tensor) and x.layout == torch.strided and x.ndim == 2 and x.shape[1] == dim
        if not (fits and x.dtype in (torch.float32, torch.float64)):
            raise ValueError(f"REG: expected x as a tensor [n, {dim}] in float32 or float64; got {shown(x)}")

    def log_density(self, x0: Tensor) -> Tensor:
        """``log p(x0)`` of the data, ``[n]`` for ``x0 [n, dim]``; raises ValueError for a singular covariance."""
        self._check(x0)
        normal = MultivariateNormal(self.means, scale_tril=_cholesky(self.covariances), validate_args=False)
        return torch.logsumexp(normal.log_prob(x0[:, None]) + self.weights.log(), dim=1)

    def sample(self, count: int, generator: torch.Generator) -> Tensor:
        """``count`` data points ``[count, dim]``; raises ValueError for a singular covariance and a count below 1."""
        count = whole_number(count, "count", 1, MOST_NUMBERS)
        component = torch.multinomial(self.weights, count, replacement=True, generator=generator)
        normal = torch.randn(count, self.means.shape[1], generator=generator, dtype=self.means.dtype)
        factor = _cholesky(self.covariances)[component]
        return self.means[component] + (factor @ normal[..., None])[..., 0]

    def _posterior(self, x: Tensor, alpha: float, noise: float) -> tuple[Tensor, Tensor, Tensor]:
        """Per component: responsibility ``[n, k]``, posterior mean of x0 ``[n, k, d]`` and its gain ``[k, d, d]``."""
        self._check(x)
        identity = torch.eye(self.means.shape[1], dtype=x.dtype)
        marginal = alpha**2 * self.covariances + noise**2 * identity
        gain = alpha * self.covariances @ _inverse(marginal)
        offset = x[:, None] - alpha * self.means
        mean = self.means + (gain @ offset[..., None])[..., 0]
        normal = MultivariateNormal(torch.zeros_like(self.means), scale_tril=_cholesky(marginal), validate_args=False)
        responsibility = torch.softmax(normal.log_prob(offset) + self.weights.log(), dim=1)
        return responsibility, mean, gain

    def denoised(self, x: Tensor, noise: float, alpha: float = 1.0) -> Tensor:
        """Exact prediction ``D = E[x0 | x]``, ``[n, dim]`` for ``x [n, dim]``."""
        noise, alpha = _noise_and_alpha(noise, alpha)
        responsibility, mean, _ = self._posterior(x, alpha, noise)
        return (responsibility[..., None] * mean).sum(dim=1)

    def jacobian(self, x: Tensor, noise: float, alpha: float = 1.0) -> Tensor:
        """Exact ``J = dD/dx = (alpha / noise^2) Cov(x0 | x)``, symmetric, ``[n, dim, dim]``; noise above 0."""
        noise, alpha = _noise_and_alpha(noise, alpha, above=0)
        responsibility, mean, gain = self._posterior(x, alpha, noise)
        centred = mean - (responsibility[..., None] * mean).sum(dim=1, keepdim=True)
        between = torch.einsum("nk,nki,nkj->nij", responsibility, centred, centred)
        within = torch.einsum("nk,kij->nij", responsibility, gain)
        return within + between * alpha / noise**2


def optimal_denoised(
    conditional: GaussianMixture,
    unconditional: GaussianMixture,
    x: Tensor,
    weight: float,
    noise: float,
    alpha: float = 1.0,
    extent: float = 8.0,
    points: int = 400,
) -> Tensor:
    """The prediction that samples the jointly scaled target exactly: ``D_q``, ``[n, dim]`` for ``x [n, dim]``, dim <=
    2.

    ``D_q = E_q[x0 | x]`` with ``q(x0) ~ p(x0 | y) R_0 = p(x0 | y)^w p(x0)^(1 - w)``. It is the optimum of arXiv
    2501.18865, ``eps_opt = eps - sqrt(1 - ab) grad log E_t`` with ``E_t = E[R_0(x0, y) | x, y]``, that is
    ``alpha (D_q - D_c) = noise^2 grad log E_t``. Quadrature by the trapezoidal rule on ``[-extent, extent]^dim`` with
    ``points`` per axis: exact to rounding once the grid resolves the posterior and holds q. Memory: n * points^dim
    numbers. Raises ValueError for more than two dimensions, for more than 2^28 numbers and for arguments that the
    mixtures refuse.
    """
    for mixture in (conditional, unconditional):
        mixture._check(x)
    dim = x.shape[1]
    if dim > 2:
        raise ValueError(f"REG: the optimum is computed by quadrature, for at most 2 dimensions; got {dim}")
    noise, alpha = _noise_and_alpha(noise, alpha, above=0)
    weight, extent = number(weight, "weight"), number(extent, "extent", above=0)
    points = whole_number(points, "points", 2, math.isqrt(MOST_NUMBERS))
    if max(len(x), 1) * points**dim > MOST_NUMBERS:
        raise ValueError(f"REG: n * points^dim may be {MOST_NUMBERS} at most; got {len(x)} * {points}^{dim}")
    x = x.to(torch.promote_types(x.dtype, conditional.means.dtype))
    axis = torch.linspace(-extent, extent, points, dtype=x.dtype)
    grid = torch.cartesian_prod(*[axis] * dim).reshape(-1, dim)
    log_target = weight * conditional.log_density(grid) + (1 - weight) * unconditional.log_density(grid)
    log_likelihood = -(torch.cdist(x, alpha * grid, compute_mode="donot_use_mm_for_euclid_dist") ** 2) / (2 * noise**2)
    return torch.softmax(log_target + log_likelihood, dim=1) @ grid
