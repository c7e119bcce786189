"""Gaussian mixture with everything in closed form: the oracle of the tests, the demo and the documentation."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class GaussianMixture:
    """Data ``x0 ~ sum_k weights[k] Normal(means[k], covariances[k])`` seen through ``x = alpha x0 + noise n``.

    Raises ValueError if the shapes do not fit or the weights are not positive; weights are normalised.
    """

    means: Tensor  # [component, dim]
    covariances: Tensor  # [component, dim, dim]
    weights: Tensor  # [component]

    def __post_init__(self) -> None:
        components, dim = self.means.shape
        if self.covariances.shape != (components, dim, dim) or self.weights.shape != (components,):
            raise ValueError(
                "REG: expected means [k, d], covariances [k, d, d], weights [k]; got "
                f"{tuple(self.means.shape)}, {tuple(self.covariances.shape)}, {tuple(self.weights.shape)}"
            )
        if not bool((self.weights > 0).all()):
            raise ValueError("REG: every mixture weight must be above 0")
        object.__setattr__(self, "weights", self.weights / self.weights.sum())

    def log_density(self, x0: Tensor) -> Tensor:
        """Logarithm of the data density ``p(x0)``, ``[n]`` for ``x0 [n, dim]``."""
        normal = torch.distributions.MultivariateNormal(self.means, self.covariances)
        return torch.logsumexp(normal.log_prob(x0[:, None]) + self.weights.log(), dim=1)

    def sample(self, count: int, generator: torch.Generator) -> Tensor:
        """``count`` data points ``[count, dim]``."""
        component = torch.multinomial(self.weights, count, replacement=True, generator=generator)
        normal = torch.randn(count, self.means.shape[1], generator=generator, dtype=self.means.dtype)
        factor = torch.linalg.cholesky(self.covariances)[component]
        return self.means[component] + (factor @ normal[..., None])[..., 0]

    def _posterior(self, x: Tensor, alpha: float, noise: float) -> tuple[Tensor, Tensor, Tensor]:
        """Per component: responsibility ``[n, k]``, posterior mean of x0 ``[n, k, d]`` and its gain ``[k, d, d]``."""
        identity = torch.eye(self.means.shape[1], dtype=x.dtype)
        marginal = alpha**2 * self.covariances + noise**2 * identity
        gain = alpha * self.covariances @ torch.linalg.inv(marginal)
        offset = x[:, None] - alpha * self.means
        mean = self.means + (gain @ offset[..., None])[..., 0]
        normal = torch.distributions.MultivariateNormal(torch.zeros_like(self.means), marginal)
        responsibility = torch.softmax(normal.log_prob(offset) + self.weights.log(), dim=1)
        return responsibility, mean, gain

    def denoised(self, x: Tensor, noise: float, alpha: float = 1.0) -> Tensor:
        """Exact prediction ``D = E[x0 | x]``, ``[n, dim]`` for ``x [n, dim]``."""
        responsibility, mean, _ = self._posterior(x, alpha, noise)
        return (responsibility[..., None] * mean).sum(dim=1)

    def jacobian(self, x: Tensor, noise: float, alpha: float = 1.0) -> Tensor:
        """Exact ``J = dD/dx = (alpha / noise^2) Cov(x0 | x)``, symmetric, ``[n, dim, dim]``."""
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

    ``D_q = E_q[x0 | x]`` with ``q(x0) ~ p(x0 | y)^w p(x0)^(1 - w)``; then ``noise^2 grad log E_t = D_q - D_c`` with the
    E_t of arXiv 2501.18865. Quadrature by the trapezoidal rule on ``[-extent, extent]^dim`` with ``points`` per axis:
    exact to rounding once the grid resolves the posterior and holds q. Memory: n * points^dim numbers. Raises
    ValueError for more than two dimensions.
    """
    dim = x.shape[1]
    if dim > 2:
        raise ValueError(f"REG: the optimum is computed by quadrature, for at most 2 dimensions; got {dim}")
    axis = torch.linspace(-extent, extent, points, dtype=x.dtype)
    grid = torch.cartesian_prod(*[axis] * dim).reshape(-1, dim)
    log_target = weight * conditional.log_density(grid) + (1 - weight) * unconditional.log_density(grid)
    log_likelihood = -(torch.cdist(x, alpha * grid, compute_mode="donot_use_mm_for_euclid_dist") ** 2) / (2 * noise**2)
    return torch.softmax(log_target + log_likelihood, dim=1) @ grid
