"""Jacobian products against closed forms: exactness, order, cost, independence of samples, and what is left behind."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from reg_core.autograd import GradientUnavailable
from reg_core.jacobian import ESTIMATORS, Direction, FiniteDifference, Reverse, difference_step
from reg_core.mixture import GaussianMixture

DTYPE = torch.float64
EXACT = 1e-12
EPS = torch.finfo(DTYPE).eps
# The finite difference in float64: truncation of the order of its step, rounding of the order of eps / step.
TOLERANCE = {"reverse": EXACT, "forward": EXACT, "finite difference": 10 * difference_step(EPS)}
SIGMA, ALPHA = 1.3, 0.6
NOISE = SIGMA * ALPHA
MIXTURE = GaussianMixture(
    means=torch.tensor([[-1.0, 0.5], [1.2, 0.3], [0.2, -1.1]], dtype=DTYPE),
    covariances=torch.tensor(
        [[[0.40, 0.25], [0.25, 0.30]], [[0.20, -0.10], [-0.10, 0.50]], [[0.15, 0.05], [0.05, 0.10]]], dtype=DTYPE
    ),
    weights=torch.tensor([0.5, 0.3, 0.2], dtype=DTYPE),
)
SHAPES = [(3, 8), (3, 1, 8), (3, 2, 4), (3, 2, 2, 2), (3, 2, 1, 2, 2)]
every_estimator = pytest.mark.parametrize("name", ESTIMATORS)
exact_estimators = pytest.mark.parametrize("name", ["reverse", "forward"])


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=DTYPE)


def oracle(x: Tensor) -> Tensor:
    return MIXTURE.denoised(x, NOISE, ALPHA)


MATRIX = draw(8, 8, seed=5) / 3


def mixing(x: Tensor) -> Tensor:
    """tanh of an asymmetric linear map of everything but the batch, for latents of any rank."""
    return torch.tanh(x.flatten(1) @ MATRIX.T).reshape(x.shape)


class Network(nn.Module):
    """Attention, normalisation, joined weights and in-place residual adds over values that autograd has saved."""

    def __init__(self, width: int = 8) -> None:
        super().__init__()
        self.query, self.key = nn.Linear(width, width, dtype=DTYPE), nn.Linear(width, width, dtype=DTYPE)
        self.norm = nn.LayerNorm(width, dtype=DTYPE)
        self.bias = nn.Parameter(torch.full((1, width), 0.3, dtype=DTYPE))
        self.required_grad: list[bool] = []

    def forward(self, x: Tensor) -> Tensor:
        self.required_grad += [parameter.requires_grad for parameter in self.parameters()]
        hidden = self.norm(x + self.bias)
        joined = torch.cat([self.query.weight, self.key.weight])
        query, key = (hidden @ joined.T).chunk(2, dim=-1)
        hidden = torch.exp(hidden / 4)
        hidden += torch.softmax(query @ key.mT, dim=-1) @ hidden  # exp has saved its output
        hidden *= torch.sigmoid(hidden)
        return hidden + self.query(hidden)


def network() -> Network:
    torch.manual_seed(0)
    return Network().requires_grad_(False)


@pytest.mark.parametrize("alpha", [1.0, ALPHA, "per sample"])
@pytest.mark.parametrize("along_gap", [False, True])
@every_estimator
def test_product_is_the_oracles(name: str, along_gap: bool, alpha: float | str) -> None:
    x = draw(6, 2)
    scale = torch.linspace(0.2, 1, 6, dtype=DTYPE)[:, None] if alpha == "per sample" else alpha
    v = oracle(x) - 0.3 if along_gap else torch.ones_like(x)
    direction: Direction = (lambda denoised: denoised - 0.3) if along_gap else v
    denoised, product = ESTIMATORS[name](oracle, x, direction, scale)
    expected = scale * torch.einsum("nij,nj->ni", MIXTURE.jacobian(x, NOISE, ALPHA), v)
    torch.testing.assert_close(denoised, oracle(x), rtol=0, atol=EXACT)
    torch.testing.assert_close(product, expected, rtol=0, atol=TOLERANCE[name])


@every_estimator
def test_only_reverse_transposes_an_asymmetric_jacobian(name: str) -> None:
    x, v = draw(4, 8), draw(4, 8, seed=1)
    _, product = ESTIMATORS[name](lambda x: x @ MATRIX.T, x, v, ALPHA)
    expected = ALPHA * v @ (MATRIX if name == "reverse" else MATRIX.T)
    # Of a linear map the finite difference has no truncation, only rounding.
    rounding = 100 * EPS / difference_step(EPS) if name == "finite difference" else EXACT
    torch.testing.assert_close(product, expected, rtol=0, atol=rounding)


def test_finite_difference_converges_with_order_one() -> None:
    x, v = draw(6, 2), draw(6, 2, seed=1)
    exact = ALPHA * torch.einsum("nij,nj->ni", MIXTURE.jacobian(x, NOISE, ALPHA), v)
    steps = [2.0**-k for k in range(5, 14)]
    errors = [(FiniteDifference(step)(oracle, x, v, ALPHA)[1] - exact).norm() for step in steps]
    log_step, log_error = torch.tensor(steps, dtype=DTYPE).log(), torch.stack(errors).log()
    centred = log_step - log_step.mean()
    assert float((centred @ log_error) / (centred @ centred)) == pytest.approx(1, abs=0.05)


def test_default_step_keeps_float32_within_truncation_plus_rounding() -> None:
    x, v, h = draw(200, 2), draw(200, 2, seed=1), difference_step(torch.finfo(torch.float32).eps)
    single = GaussianMixture(MIXTURE.means.float(), MIXTURE.covariances.float(), MIXTURE.weights.float())
    _, product = FiniteDifference()(lambda x: single.denoised(x, NOISE, ALPHA), x.float(), v.float(), ALPHA)
    scale = h / v.square().mean(dim=1).sqrt()  # shift = scale * alpha * v

    def slope(t: Tensor) -> Tensor:
        return torch.func.jvp(lambda t: oracle(x + t[:, None] * ALPHA * v), (t,), (torch.ones_like(t),))[1]

    def second_derivative(t: Tensor) -> Tensor:
        return torch.func.jvp(slope, (t,), (torch.ones_like(t),))[1].abs()

    on_the_way = [second_derivative(fraction * scale) for fraction in (0.0, 0.5, 1.0)]
    truncation = 1.05 * torch.stack(on_the_way).amax(dim=0) * scale[:, None] / 2
    # Two predictions, each a few dozen operations on numbers up to the largest of x, D and the means.
    size = torch.cat([x, oracle(x), MIXTURE.means]).abs().max()
    rounding = 2 * 8 * torch.finfo(torch.float32).eps * size / scale[:, None]
    exact = ALPHA * torch.einsum("nij,nj->ni", MIXTURE.jacobian(x, NOISE, ALPHA), v)
    assert ((product.double() - exact).abs() <= truncation + rounding).all()


def test_step_balances_truncation_and_rounding() -> None:
    """a h + b eps / h is least where h goes with the root of eps."""
    assert difference_step(2.0**-24) == 2.0**-12
    assert difference_step(2.0**-52) == 2.0**-26


def test_step_scales_with_the_noise() -> None:
    """A quadratic denoiser's truncation is the step itself: h v'' / 2, with h grown by sqrt(1 + rms(x) / alpha)."""
    x = torch.full((1, 8), 3.0, dtype=torch.float64)
    ones = torch.ones_like(x)
    _, product = ESTIMATORS["finite difference"](lambda y: y.square(), x, ones, 0.25)
    excess = product - 0.25 * 2 * x
    step = difference_step(EPS) * (1 + 3.0 / 0.25) ** 0.5
    torch.testing.assert_close(excess, 0.25**2 * step * ones, rtol=0, atol=9 * EPS / step)


@pytest.mark.parametrize(
    ("name", "needs_prediction", "known", "evaluations"),
    [("reverse", needs, known, 1) for needs in (False, True) for known in (False, True)]
    + [
        ("forward", False, False, 1),
        ("forward", False, True, 1),
        ("forward", True, False, 2),
        ("forward", True, True, 1),
    ]
    + [("finite difference", needs, known, 1 if known else 2) for needs in (False, True) for known in (False, True)],
)
def test_number_of_evaluations(name: str, needs_prediction: bool, known: bool, evaluations: int) -> None:
    calls: list[Tensor] = []

    def counted(x: Tensor) -> Tensor:
        calls.append(x)
        return oracle(x)

    x = draw(2, 2)
    direction: Direction = (lambda denoised: denoised) if needs_prediction else torch.ones_like(x)
    ESTIMATORS[name](counted, x, direction, ALPHA, oracle(x) if known else None)
    assert len(calls) == evaluations


@pytest.mark.parametrize("shape", SHAPES)
@every_estimator
def test_samples_of_any_rank_are_independent(name: str, shape: tuple[int, ...]) -> None:
    magnitude = torch.tensor([1.0, 1e-3, 1e3], dtype=DTYPE).reshape(3, *[1] * (len(shape) - 1))
    x, v = draw(*shape), magnitude * draw(*shape, seed=1)
    _, product = ESTIMATORS[name](mixing, x, v, ALPHA)
    slope = 1 - mixing(x).flatten(1) ** 2
    if name == "reverse":
        expected = ALPHA * (slope * v.flatten(1)) @ MATRIX
    else:
        expected = ALPHA * slope * (v.flatten(1) @ MATRIX.T)
    atol = TOLERANCE[name]
    torch.testing.assert_close(product / magnitude, expected.reshape(shape) / magnitude, rtol=0, atol=atol)
    alone = torch.cat([ESTIMATORS[name](mixing, x[i : i + 1], v[i : i + 1], ALPHA)[1] for i in range(3)])
    torch.testing.assert_close(product / magnitude, alone / magnitude, rtol=0, atol=atol)


@pytest.mark.parametrize("dtype", [torch.float32, DTYPE])
def test_finite_difference_along_zero_is_zero(dtype: torch.dtype) -> None:
    x = draw(2, 8).to(dtype)
    v = torch.stack([torch.zeros(8, dtype=dtype), torch.ones(8, dtype=dtype)])
    _, product = FiniteDifference()(torch.tanh, x, v, ALPHA)
    assert (product[0] == 0).all() and (product[1] > 0).all()


@exact_estimators
def test_inference_tensors_give_exactly_the_values_of_normal_ones(name: str) -> None:
    x, v = draw(2, 3, 8), draw(2, 3, 8, seed=1)
    expected = ESTIMATORS[name](network(), x, v, ALPHA)
    with torch.inference_mode():
        inside = network()
        got = ESTIMATORS[name](inside, x.clone(), v.clone(), ALPHA)
        assert inside.bias.is_inference()
    assert all(torch.equal(ours, theirs) for ours, theirs in zip(got, expected, strict=True))
    assert not any(inside.required_grad)


@pytest.mark.parametrize("inference", [False, True])
def test_in_place_residual_adds_keep_the_reverse_gradient_exact(inference: bool) -> None:
    x, v = draw(2, 3, 8), draw(2, 3, 8, seed=1)
    # Forward mode saves nothing, so overwriting cannot mislead it: its full Jacobian is the reference.
    jacobian = torch.func.jacfwd(network())(x)
    with torch.inference_mode(inference):
        _, product = Reverse()(network(), x, v, ALPHA)
    torch.testing.assert_close(product, ALPHA * torch.einsum("abc,abcijk->ijk", v, jacobian), rtol=0, atol=EXACT)


@exact_estimators
def test_output_without_gradient_is_refused_with_the_remedy(name: str) -> None:
    with pytest.raises(GradientUnavailable, match=f"'{name}'.*'finite difference'"):
        ESTIMATORS[name](lambda x: oracle(x).detach(), draw(2, 2), torch.ones(2, 2, dtype=DTYPE), 1.0)


def modes() -> tuple[bool, bool]:
    return torch.is_inference_mode_enabled(), torch.is_grad_enabled()


@pytest.mark.parametrize("fails", [False, True])
@pytest.mark.parametrize("mode", [torch.inference_mode, torch.no_grad, torch.enable_grad])
@every_estimator
def test_modes_and_weights_are_left_as_they_were(name: str, mode: Callable[[], Any], fails: bool) -> None:
    with mode():
        model = network()
        weights = {key: value.clone() for key, value in model.state_dict().items()}
        x, before = draw(2, 3, 8), modes()
        original = x.clone()

        def denoiser(x: Tensor) -> Tensor:
            return [model(x)][fails]  # out of range where it is to fail

        with pytest.raises(IndexError) if fails else nullcontext():
            ESTIMATORS[name](denoiser, x, torch.ones_like(x), ALPHA)
        assert modes() == before
        assert torch.equal(x, original) and not x.requires_grad
        for key, parameter in model.named_parameters():
            assert torch.equal(parameter, weights[key])
            assert parameter.grad is None and not parameter.requires_grad
        assert model.required_grad and not any(model.required_grad)
        ESTIMATORS[name](model, x, torch.ones_like(x), ALPHA)  # nothing is left open: it works again


@every_estimator
def test_network_may_overwrite_its_input(name: str) -> None:
    def overwriting(x: Tensor) -> Tensor:
        x += torch.tanh(x)
        return x

    x = draw(2, 8)
    original = x.clone()
    _, product = ESTIMATORS[name](overwriting, x, torch.ones_like(x), ALPHA)
    torch.testing.assert_close(product, ALPHA * (2 - torch.tanh(original) ** 2), rtol=0, atol=TOLERANCE[name])
    assert torch.equal(x, original)
