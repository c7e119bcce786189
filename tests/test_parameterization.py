"""Every prediction type and state is the same denoiser, and the REG factor is one number per element for all."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from reg_core.jacobian import Reverse
from reg_core.mixture import GaussianMixture
from reg_core.parameterization import PREDICTIONS, STATES, denoiser, per_sample

DTYPE = torch.float64
EXACT = 1e-12
MIXTURE = GaussianMixture(
    means=torch.tensor([[-1.0, 0.5], [1.2, 0.3], [0.2, -1.1]], dtype=DTYPE),
    covariances=torch.tensor(
        [[[0.40, 0.25], [0.25, 0.30]], [[0.20, -0.10], [-0.10, 0.50]], [[0.15, 0.05], [0.05, 0.10]]], dtype=DTYPE
    ),
    weights=torch.tensor([0.5, 0.3, 0.2], dtype=DTYPE),
)
SIGMAS = [0.1, 1.0, 3.0]  # noise-to-signal ratio

# A raw network: takes the noisy state, knows its noise level, returns its own kind of output.
Network = Callable[[Tensor], Tensor]


def noisy(sigma: float, count: int = 16) -> Tensor:
    """VE samples at ``sigma``, drawn from the mixture's own marginal."""
    generator = torch.Generator().manual_seed(1)
    clean = MIXTURE.sample(count, generator)
    return clean + sigma * torch.randn(clean.shape, generator=generator, dtype=DTYPE)


def row_sums(sigma: float) -> Tensor:
    return MIXTURE.jacobian(noisy(sigma), sigma).sum(dim=1)


def gradient_of_sum(network: Network, x: Tensor) -> Tensor:
    x = x.clone().requires_grad_()
    return torch.autograd.grad(network(x).sum(), x)[0]


def level(state: str, sigma: float) -> float:
    """The state's own unit of the noise-to-signal ratio ``sigma``."""
    return sigma / (1 + sigma) if state == "flow" else sigma


def scales(state: str, sigma: float) -> tuple[Tensor, Tensor]:
    unit = torch.tensor(level(state, sigma), dtype=DTYPE)
    return STATES[state].alpha(unit), STATES[state].noise(unit)


def oracle_network(prediction: str, state: str, sigma: float) -> Network:
    alpha, noise = scales(state, sigma)
    from_denoised = PREDICTIONS[prediction].from_denoised
    return lambda x: from_denoised(MIXTURE.denoised(x, float(noise), float(alpha)), x, alpha, noise)


every_pair = pytest.mark.parametrize(("prediction", "state"), [(p, s) for p in PREDICTIONS for s in STATES])


@pytest.mark.parametrize("sigma", SIGMAS)
@every_pair
def test_conversions_are_inverses_of_each_other(prediction: str, state: str, sigma: float) -> None:
    alpha, noise = scales(state, sigma)
    x, value = torch.randn(2, 5, 3, 4, dtype=DTYPE, generator=torch.Generator().manual_seed(2))
    there, back = PREDICTIONS[prediction].to_denoised, PREDICTIONS[prediction].from_denoised
    torch.testing.assert_close(back(there(value, x, alpha, noise), x, alpha, noise), value, rtol=0, atol=EXACT)
    torch.testing.assert_close(there(back(value, x, alpha, noise), x, alpha, noise), value, rtol=0, atol=EXACT)


@pytest.mark.parametrize("sigma", SIGMAS)
@every_pair
def test_factor_is_the_row_sum_of_the_ve_jacobian(prediction: str, state: str, sigma: float) -> None:
    alpha, _ = scales(state, sigma)
    x = alpha * noisy(sigma)
    model = denoiser(oracle_network(prediction, state, sigma), level(state, sigma), prediction, state)
    denoised, factor = Reverse()(model, x, torch.ones_like(x), alpha)
    torch.testing.assert_close(denoised, MIXTURE.denoised(noisy(sigma), sigma), rtol=0, atol=EXACT)
    torch.testing.assert_close(factor, row_sums(sigma), rtol=0, atol=EXACT)


class Raw:
    """Raw networks of the exact denoiser at noise-to-signal ratio sigma, written out from the forward processes."""

    def __init__(self, sigma: float) -> None:
        self.sigma, self.ab, self.t = sigma, 1 / (1 + sigma**2), sigma / (1 + sigma)
        self.root, self.noise, self.u = self.ab**0.5, (1 - self.ab) ** 0.5, 1 - self.t
        self.x = noisy(sigma)
        self.vp, self.flow = self.root * self.x, self.u * self.x

    def x0(self, x: Tensor) -> Tensor:
        return MIXTURE.denoised(x, self.sigma)

    def eps_ve(self, x: Tensor) -> Tensor:
        return (x - self.x0(x)) / self.sigma

    def eps_vp(self, x: Tensor) -> Tensor:
        return (x - self.root * self.x0(x / self.root)) / self.noise

    def v(self, x: Tensor) -> Tensor:
        return self.root * self.eps_vp(x) - self.noise * self.x0(x / self.root)

    def velocity(self, x: Tensor) -> Tensor:  # n - x0
        clean = self.x0(x / self.u)
        return (x - self.u * clean) / self.t - clean

    def reversed_velocity(self, x: Tensor) -> Tensor:  # x0 - n
        return -self.velocity(x)


grad = gradient_of_sum
IDENTITIES: dict[str, Callable[[Raw], Tensor]] = {
    "x0, VE": lambda n: grad(n.x0, n.x),
    "eps, VE": lambda n: 1 - n.sigma * grad(n.eps_ve, n.x),
    "eps, VE, scaled input": lambda n: 1 - n.noise * grad(lambda scaled: n.eps_ve(scaled / n.root), n.root * n.x),
    "eps, VP": lambda n: 1 - n.noise * grad(n.eps_vp, n.vp),
    "x0, VP": lambda n: n.root * grad(lambda x: n.x0(x / n.root), n.vp),
    "v, VP": lambda n: n.ab - (n.ab * (1 - n.ab)) ** 0.5 * grad(n.v, n.vp),
    "rectified flow": lambda n: (1 - n.t) * (1 - n.t * grad(n.velocity, n.flow)),
    "reversed flow": lambda n: n.u * (1 + (1 - n.u) * grad(n.reversed_velocity, n.flow)),
}
WRONG_PORTS: dict[str, Callable[[Raw], Tensor]] = {
    "sqrt(1 - ab) on VE latents": lambda n: 1 - n.noise * grad(n.eps_ve, n.x),
    "eps formula on a v network": lambda n: 1 - n.noise * grad(n.v, n.vp),
    "flow without 1 - t": lambda n: 1 - n.t * grad(n.velocity, n.flow),
    "third-party 1 - (1 - t) grad": lambda n: 1 - (1 - n.u) * grad(n.reversed_velocity, n.flow),
}


@pytest.mark.parametrize("sigma", SIGMAS)
@pytest.mark.parametrize("identity", IDENTITIES)
def test_published_identity_of_each_network_gives_the_factor(identity: str, sigma: float) -> None:
    torch.testing.assert_close(IDENTITIES[identity](Raw(sigma)), row_sums(sigma), rtol=0, atol=EXACT)


@pytest.mark.parametrize("sigma", [1.0, 3.0])
@pytest.mark.parametrize("port", WRONG_PORTS)
def test_wrong_port_is_far_from_the_factor(port: str, sigma: float) -> None:
    # The smallest of the errors listed in the derivations is 0.17 in the mean; an exact identity is 1e11 times closer.
    assert (WRONG_PORTS[port](Raw(sigma)) - row_sums(sigma)).abs().mean() > 0.1


@pytest.mark.parametrize(
    ("state", "sigma", "alpha", "noise"),
    [
        ("ve", 0.0, 1.0, 0.0),
        ("ve", 80.0, 1.0, 80.0),
        ("vp", 0.0, 1.0, 0.0),
        ("vp", 0.75, 0.8, 0.6),
        ("flow", 0.0, 1.0, 0.0),
        ("flow", 1.0, 0.0, 1.0),
    ],
)
def test_signal_and_noise_scale_at_the_ends(state: str, sigma: float, alpha: float, noise: float) -> None:
    unit = torch.tensor([sigma], dtype=DTYPE)
    expected = torch.tensor([alpha, noise], dtype=DTYPE)
    got = torch.cat([STATES[state].alpha(unit), STATES[state].noise(unit)])
    torch.testing.assert_close(got, expected, rtol=0, atol=1e-15)


def test_signal_scale_of_vp_vanishes_at_infinite_noise() -> None:
    assert STATES["vp"].alpha(torch.tensor(torch.inf)) == 0


@pytest.mark.parametrize("state", STATES)
def test_noise_to_signal_is_the_ve_level_of_every_state(state: str) -> None:
    for sigma in SIGMAS:
        unit = torch.tensor(level(state, sigma), dtype=DTYPE)
        assert float(STATES[state].noise_to_signal(unit)) == pytest.approx(sigma, rel=EXACT)
    assert torch.isinf(STATES["flow"].noise_to_signal(torch.tensor(1.0)))


@every_pair
def test_noise_level_per_sample_equals_one_sample_at_a_time(prediction: str, state: str) -> None:
    sigma = torch.tensor([level(state, value) for value in SIGMAS], dtype=DTYPE)
    x = torch.randn(3, 2, 4, 5, dtype=DTYPE, generator=torch.Generator().manual_seed(3))
    together = denoiser(torch.tanh, sigma, prediction, state)(x)
    singly = [denoiser(torch.tanh, float(s), prediction, state)(x[i : i + 1]) for i, s in enumerate(sigma)]
    torch.testing.assert_close(together, torch.cat(singly), rtol=0, atol=EXACT)
    assert per_sample(sigma, x).shape == (3, 1, 1, 1)


@pytest.mark.parametrize(("prediction", "state", "legal"), [("epsilon", "ve", PREDICTIONS), ("eps", "edm", STATES)])
def test_unknown_name_lists_the_legal_ones(prediction: str, state: str, legal: dict[str, object]) -> None:
    with pytest.raises(ValueError) as error:
        denoiser(torch.tanh, 1.0, prediction, state)
    wrong = prediction if prediction not in PREDICTIONS else state
    assert all(repr(name) in str(error.value) for name in [*legal, wrong])
