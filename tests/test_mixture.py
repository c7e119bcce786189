"""The oracle itself: a Gaussian mixture against quadrature, autograd, sampling and exact Gaussian identities."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from reg_core.mixture import GaussianMixture, optimal_denoised
from reg_core.rectification import guide

DTYPE = torch.float64
EXACT = 1e-12


def mixture(dim: int, components: int = 3, seed: int = 0) -> GaussianMixture:
    generator = torch.Generator().manual_seed(seed)
    factor = 0.5 * torch.randn(components, dim, dim, generator=generator, dtype=DTYPE)
    return GaussianMixture(
        means=1.5 * torch.randn(components, dim, generator=generator, dtype=DTYPE),
        covariances=factor @ factor.mT + 0.1 * torch.eye(dim, dtype=DTYPE),
        weights=1 + torch.rand(components, generator=generator, dtype=DTYPE),
    )


def gaussian(mean: list[float], covariance: list[list[float]]) -> GaussianMixture:
    return GaussianMixture(
        torch.tensor([mean], dtype=DTYPE), torch.tensor([covariance], dtype=DTYPE), torch.ones(1, dtype=DTYPE)
    )


def marginal(data: GaussianMixture, noise: float, alpha: float) -> GaussianMixture:
    """The distribution of ``alpha x0 + noise n``, again a mixture."""
    identity = torch.eye(data.means.shape[1], dtype=DTYPE)
    return GaussianMixture(alpha * data.means, alpha**2 * data.covariances + noise**2 * identity, data.weights)


def noisy(data: GaussianMixture, noise: float, alpha: float, count: int = 12) -> Tensor:
    return marginal(data, noise, alpha).sample(count, torch.Generator().manual_seed(1))


levels = pytest.mark.parametrize(
    ("alpha", "noise"), [(1.0, 0.05), (1.0, 1.0), (1.0, 20.0), (0.8, 0.6), (0.1, 0.995), (0.3, 0.7)]
)


def test_density_integrates_to_one() -> None:
    line = torch.linspace(-15, 15, 4001, dtype=DTYPE)
    # The trapezoidal rule converges faster than any power for smooth functions that vanish at both ends.
    assert torch.trapezoid(mixture(1).log_density(line[:, None]).exp(), line) == pytest.approx(1, abs=EXACT)


def test_weights_are_normalised() -> None:
    scaled = GaussianMixture(mixture(2).means, mixture(2).covariances, 7 * mixture(2).weights)
    torch.testing.assert_close(scaled.weights, mixture(2).weights, rtol=0, atol=1e-15)
    assert float(scaled.weights.sum()) == pytest.approx(1, abs=1e-15)


def test_sample_moments_are_those_of_the_mixture() -> None:
    data, count = mixture(2), 40_000
    mean = data.weights @ data.means
    centred = data.means - mean
    covariance = torch.einsum("k,kij->ij", data.weights, data.covariances + centred[:, :, None] * centred[:, None])
    samples = data.sample(count, torch.Generator().manual_seed(0))
    deviation = samples - mean
    products = deviation[:, :, None] * deviation[:, None]
    error_of_mean = (covariance.diagonal() / count).sqrt()
    assert (deviation.mean(dim=0).abs() < 5 * error_of_mean).all()
    assert ((products.mean(dim=0) - covariance).abs() < 5 * products.std(dim=0) / math.sqrt(count)).all()


@levels
@pytest.mark.parametrize("dim", [1, 2, 4])
def test_denoised_obeys_tweedies_formula(dim: int, alpha: float, noise: float) -> None:
    data = mixture(dim)
    x = noisy(data, noise, alpha).requires_grad_()
    (score,) = torch.autograd.grad(marginal(data, noise, alpha).log_density(x).sum(), x)
    tweedie = (x.detach() + noise**2 * score) / alpha
    torch.testing.assert_close(data.denoised(x.detach(), noise, alpha), tweedie, rtol=EXACT, atol=EXACT / alpha)


@levels
@pytest.mark.parametrize("dim", [1, 2, 4])
def test_jacobian_is_the_derivative_symmetric_and_positive(dim: int, alpha: float, noise: float) -> None:
    data = mixture(dim)
    x = noisy(data, noise, alpha)
    exact = data.jacobian(x, noise, alpha)
    by_autograd = torch.func.vmap(torch.func.jacrev(lambda row: data.denoised(row[None], noise, alpha)[0]))(x)
    torch.testing.assert_close(exact, by_autograd, rtol=1e-11, atol=EXACT)
    torch.testing.assert_close(exact, exact.mT, rtol=0, atol=EXACT)
    assert (torch.linalg.eigvalsh(exact) > 0).all()


@levels
def test_state_only_rescales_the_ve_problem(alpha: float, noise: float) -> None:
    data = mixture(2)
    x = noisy(data, noise, alpha)
    torch.testing.assert_close(
        data.denoised(x, noise, alpha), data.denoised(x / alpha, noise / alpha), rtol=EXACT, atol=EXACT
    )
    torch.testing.assert_close(
        alpha * data.jacobian(x, noise, alpha), data.jacobian(x / alpha, noise / alpha), rtol=EXACT, atol=EXACT
    )


@pytest.mark.parametrize(
    ("means", "covariances", "weights", "said"),
    [
        ((2, 3), (2, 3, 3), (3,), r"\(2, 3\), \(2, 3, 3\), \(3,\)"),
        ((2, 3), (2, 2, 2), (2,), r"\[k, d, d\]"),
    ],
)
def test_shapes_that_do_not_fit_are_named(
    means: tuple[int, ...], covariances: tuple[int, ...], weights: tuple[int, ...], said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        GaussianMixture(torch.ones(means), torch.ones(covariances), torch.ones(weights))


def test_weight_that_is_not_positive_is_refused() -> None:
    with pytest.raises(ValueError, match="above 0"):
        GaussianMixture(torch.zeros(2, 1), torch.ones(2, 1, 1), torch.tensor([1.0, 0.0]))


TILTED = gaussian([0.4, -0.3], [[0.50, 0.20], [0.20, 0.40]])
BROAD = gaussian([-0.2, 0.1], [[1.20, -0.30], [-0.30, 1.00]])
SHIFTED = gaussian([-0.5, 0.2], [[0.50, 0.20], [0.20, 0.40]])
points = torch.randn(10, 2, generator=torch.Generator().manual_seed(2), dtype=DTYPE)


@pytest.mark.parametrize("weight", [1.0, 1.5, 3.0])
@pytest.mark.parametrize(("alpha", "noise"), [(1.0, 0.5), (1.0, 2.0), (0.6, 0.8)])
def test_optimum_of_two_gaussians_has_its_closed_form(weight: float, alpha: float, noise: float) -> None:
    sigma = noise / alpha
    ve_c, ve_u = TILTED.jacobian(points, sigma), BROAD.jacobian(points, sigma)  # in the data's own units
    inverse_q = weight * torch.linalg.inv(ve_c) - (weight - 1) * torch.linalg.inv(ve_u)
    assert (torch.linalg.eigvalsh(inverse_q) > 0).all()
    conditional, unconditional = TILTED.denoised(points, sigma), BROAD.denoised(points, sigma)
    gap = (conditional - unconditional)[..., None]
    increment = (weight - 1) * torch.linalg.inv(inverse_q) @ torch.linalg.inv(ve_u) @ gap
    optimum = optimal_denoised(TILTED, BROAD, alpha * points, weight, noise, alpha, points=240)
    torch.testing.assert_close(optimum, conditional + increment[..., 0], rtol=0, atol=EXACT)


@pytest.mark.parametrize("weight", [1.0, 2.0, 4.0])
@pytest.mark.parametrize("sigma", [0.5, 2.0])
def test_plain_guidance_is_the_optimum_of_equal_covariances(weight: float, sigma: float) -> None:
    conditional, unconditional = TILTED.denoised(points, sigma), SHIFTED.denoised(points, sigma)
    optimum = optimal_denoised(TILTED, SHIFTED, points, weight, sigma, points=240)
    plain = unconditional + weight * (conditional - unconditional)
    torch.testing.assert_close(optimum, plain, rtol=0, atol=EXACT)


def test_optimum_in_one_dimension_and_no_more_than_two() -> None:
    one = gaussian([0.5], [[0.3]])
    x = points[:, :1]
    torch.testing.assert_close(optimal_denoised(one, one, x, 3.0, 0.7), one.denoised(x, 0.7), rtol=0, atol=EXACT)
    with pytest.raises(ValueError, match="got 3"):
        optimal_denoised(mixture(3), mixture(3), torch.zeros(1, 3, dtype=DTYPE), 2.0, 1.0)


@pytest.mark.parametrize("weight", [1.5, 2.0, 4.0])
def test_rectified_guidance_is_nearer_to_the_optimum_than_plain_guidance(weight: float) -> None:
    """A class against both classes at sigma 1: measured for the derivations at .99 of density-weighted points."""
    identity = torch.eye(2, dtype=DTYPE).expand(4, 2, 2)
    means = torch.tensor([[0.75, 0.75], [1.5, -0.5], [-0.75, -0.75], [-1.5, 0.5]], dtype=DTYPE)
    both = GaussianMixture(means, 0.09 * identity, torch.ones(4, dtype=DTYPE))
    one = GaussianMixture(means[:2], 0.09 * identity[:2], torch.ones(2, dtype=DTYPE))
    sigma = 1.0
    x = noisy(one, sigma, 1.0, count=100)
    conditional, unconditional = one.denoised(x, sigma), both.denoised(x, sigma)
    optimum = optimal_denoised(one, both, x, weight, sigma, extent=4.0, points=100)
    plain = unconditional + weight * (conditional - unconditional)
    rectified = guide(lambda x: one.denoised(x, sigma), lambda x: both.denoised(x, sigma), x, weight)
    nearer = (rectified - optimum).norm(dim=1) < (plain - optimum).norm(dim=1)
    assert nearer.to(DTYPE).mean() > 0.9
