"""The REG formula written out, its limits, its symmetries, and what its options refuse."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from reg_core.jacobian import ESTIMATORS, Forward
from reg_core.mixture import GaussianMixture
from reg_core.rectification import FORMS, Rectification, guide

DTYPE = torch.float64
EXACT = 1e-12
MEANS = torch.tensor([[-1.0, 0.5], [1.2, 0.3], [0.2, -1.1], [1.0, 1.5]], dtype=DTYPE)
COVARIANCES = torch.tensor(
    [
        [[0.40, 0.25], [0.25, 0.30]],
        [[0.20, -0.10], [-0.10, 0.50]],
        [[0.15, 0.05], [0.05, 0.10]],
        [[0.3, 0.0], [0.0, 0.2]],
    ],
    dtype=DTYPE,
)
BOTH = GaussianMixture(MEANS, COVARIANCES, torch.tensor([0.3, 0.2, 0.3, 0.2], dtype=DTYPE))
ONE = GaussianMixture(MEANS[:2], COVARIANCES[:2], torch.tensor([0.6, 0.4], dtype=DTYPE))
every_form = pytest.mark.parametrize("form", FORMS)
every_weight = pytest.mark.parametrize("weight", [0.0, 1.0, 2.5, 7.0])


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=DTYPE)


X = draw(8, 2)


def rotated(data: GaussianMixture, matrix: Tensor) -> GaussianMixture:
    return GaussianMixture(data.means @ matrix.T, matrix @ data.covariances @ matrix.T, data.weights)


def guided(
    x: Tensor, weight: float, sigma: float = 1.0, alpha: float = 1.0, turn: Tensor | None = None, **options: Any
) -> Tensor:
    one, both = (ONE, BOTH) if turn is None else (rotated(ONE, turn), rotated(BOTH, turn))
    noise = sigma * alpha
    return guide(
        lambda x: one.denoised(x, noise, alpha),
        lambda x: both.denoised(x, noise, alpha),
        x,
        weight,
        alpha,
        Rectification(**options),
    )


def correction(form: str, x: Tensor, sigma: float = 1.0, alpha: float = 1.0) -> tuple[Tensor, Tensor, Tensor]:
    """D_c, the gap g and the rectified gap G, from the closed forms."""
    conditional = ONE.denoised(x, sigma * alpha, alpha)
    gap = conditional - BOTH.denoised(x, sigma * alpha, alpha)
    jacobian = alpha * ONE.jacobian(x, sigma * alpha, alpha)
    if form == "row-sum":
        return conditional, gap, jacobian.sum(dim=1) * gap
    return conditional, gap, torch.einsum("nji,nj->ni", jacobian, gap)


@every_weight
@every_form
@pytest.mark.parametrize("estimator", ["reverse", "forward", Forward()])
@pytest.mark.parametrize("alpha", [1.0, 0.6])
def test_guided_prediction_is_the_formula(form: str, weight: float, estimator: Any, alpha: float) -> None:
    conditional, _, rectified = correction(form, alpha * X, alpha=alpha)
    got = guided(alpha * X, weight, alpha=alpha, form=form, estimator=estimator)
    torch.testing.assert_close(got, conditional + (weight - 1) * rectified, rtol=0, atol=EXACT)


@every_weight
@every_form
@pytest.mark.parametrize("strength", [-0.5, 0.3, 1.0, 1.7])
def test_strength_blends_from_plain_guidance(form: str, weight: float, strength: float) -> None:
    conditional, gap, rectified = correction(form, X)
    expected = conditional + (weight - 1) * (gap + strength * (rectified - gap))  # R_s = 1 + s (R - 1)
    torch.testing.assert_close(guided(X, weight, form=form, strength=strength), expected, rtol=0, atol=EXACT)


@every_weight
@every_form
def test_strength_zero_is_plain_guidance_bit_for_bit(form: str, weight: float) -> None:
    conditional, unconditional = ONE.denoised(X, 1.0), BOTH.denoised(X, 1.0)
    pair = Rectification(strength=0, form=form).pair(lambda x: ONE.denoised(x, 1.0), X, unconditional)
    assert pair.unconditional is unconditional and pair.product is None
    assert torch.equal(pair.guided(weight), unconditional + (conditional - unconditional) * weight)
    assert Rectification(strength=0, form=form).unconditional(conditional, unconditional, X) is unconditional
    known = Rectification(strength=0, form=form).pair(torch.tanh, X, unconditional, conditional=conditional)
    assert known.conditional is conditional


@every_form
@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_weight_one_is_no_guidance(form: str, estimator: str) -> None:
    got = guided(X, 1.0, form=form, estimator=estimator)
    torch.testing.assert_close(got, ONE.denoised(X, 1.0), rtol=0, atol=EXACT)


@every_form
def test_guide_is_the_pair(form: str) -> None:
    rectification = Rectification(form=form)
    pair = rectification.pair(lambda x: ONE.denoised(x, 1.0), X, BOTH.denoised(X, 1.0))
    by_hand = pair.unconditional + 3.0 * (pair.conditional - pair.unconditional)
    torch.testing.assert_close(guided(X, 3.0, form=form), by_hand, rtol=0, atol=EXACT)
    assert not guided(X.clone().requires_grad_(), 3.0, form=form).requires_grad  # no graph outlives the call
    assert pair.product is not None
    jacobian = ONE.jacobian(X, 1.0)
    v = torch.ones_like(X) if form == "row-sum" else pair.conditional - BOTH.denoised(X, 1.0)
    torch.testing.assert_close(pair.product, torch.einsum("nji,nj->ni", jacobian, v), rtol=0, atol=EXACT)


def test_weight_may_differ_between_samples() -> None:
    weights = torch.linspace(0, 7, len(X), dtype=DTYPE)
    noise = (lambda x: ONE.denoised(x, 1.0), lambda x: BOTH.denoised(x, 1.0))
    together = guide(*noise, X, weights[:, None])
    singly = torch.cat([guide(*noise, X[i : i + 1], float(weight)) for i, weight in enumerate(weights)])
    torch.testing.assert_close(together, singly, rtol=0, atol=EXACT)


def slope(sigmas: list[float], values: list[Tensor]) -> float:
    log_sigma, log_value = torch.tensor(sigmas, dtype=DTYPE).log(), torch.stack(values).log()
    centred = log_sigma - log_sigma.mean()
    return float(centred @ log_value / (centred @ centred))


@every_form
def test_tends_to_plain_guidance_as_noise_vanishes(form: str) -> None:
    """J = 1 + sigma^2 Hessian of log p: the relative difference from plain guidance is of order sigma^2."""
    sigmas = [2.0**-k for k in range(7, 11)]
    relative = []
    for sigma in sigmas:
        conditional, gap, _ = correction(form, X, sigma)
        difference = guided(X, 3.0, sigma, form=form) - (conditional + 2 * gap)
        relative.append(difference.norm() / (2 * gap).norm())
    assert slope(sigmas, relative) == pytest.approx(2, abs=0.05)


@every_form
def test_tends_to_no_guidance_as_noise_grows(form: str) -> None:
    """J = Cov(x0) / sigma^2 (1 + O(1 / sigma^2)): so is the increment, relative to the plain one."""
    centred = ONE.means - ONE.weights @ ONE.means
    between = torch.einsum("k,ki,kj->ij", ONE.weights, centred, centred)
    covariance = between + torch.einsum("k,kij->ij", ONE.weights, ONE.covariances)
    sigmas = [2.0**k for k in range(5, 9)]
    errors = []
    for sigma in sigmas:
        conditional, gap, _ = correction(form, X, sigma)
        scaled = sigma**2 * (guided(X, 3.0, sigma, form=form) - conditional) / 2
        limit = covariance.sum(dim=0) * gap if form == "row-sum" else gap @ covariance
        errors.append((scaled - limit).norm() / limit.norm())
    assert slope(sigmas, errors) == pytest.approx(-2, abs=0.05)


@pytest.mark.parametrize(
    "turn",
    [
        torch.tensor([[math.cos(0.7), -math.sin(0.7)], [math.sin(0.7), math.cos(0.7)]], dtype=DTYPE),
        torch.tensor([[1.0, 0.0], [0.0, -1.0]], dtype=DTYPE),
    ],
    ids=["rotation", "sign"],
)
def test_only_the_directional_form_ignores_the_basis_of_the_latent(turn: Tensor) -> None:
    def change(form: str) -> Tensor:
        return guided(X @ turn.T, 3.0, turn=turn, form=form) - guided(X, 3.0, form=form) @ turn.T

    assert change("directional").abs().max() < EXACT
    assert change("row-sum").abs().max() > 0.01


def test_forms_coincide_where_the_jacobian_is_a_multiple_of_one() -> None:
    white = GaussianMixture(MEANS[:1], 0.7 * torch.eye(2, dtype=DTYPE)[None], torch.ones(1, dtype=DTYPE))
    results = [
        guide(lambda x: white.denoised(x, 1.2), lambda x: BOTH.denoised(x, 1.2), X, 3.0, 1.0, Rectification(form=form))
        for form in FORMS
    ]
    conditional = white.denoised(X, 1.2)
    expected = conditional + 2 * 0.7 / (0.7 + 1.2**2) * (conditional - BOTH.denoised(X, 1.2))
    for result in results:
        torch.testing.assert_close(result, expected, rtol=0, atol=EXACT)


CONDITIONAL, UNCONDITIONAL = torch.tensor([[3.0, 4.0]], dtype=DTYPE), torch.zeros(1, 2, dtype=DTYPE)  # |g| = 5


@pytest.mark.parametrize(
    ("form", "limit", "product", "rectified"),
    [
        ("row-sum", None, [3.0, -4.0], [9.0, -16.0]),
        ("row-sum", 2.0, [3.0, -4.0], [6.0, -8.0]),
        ("row-sum", 2.0, [1.5, -2.0], [4.5, -8.0]),
        ("directional", None, [30.0, 40.0], [30.0, 40.0]),
        ("directional", 2.0, [-30.0, 40.0], [-6.0, 8.0]),
        ("directional", 2.0, [6.0, 8.0], [6.0, 8.0]),
        ("directional", 0.5, [0.3, 0.4], [0.3, 0.4]),
        ("directional", 0.5, [0.0, 0.0], [0.0, 0.0]),
    ],
)
def test_limit_bounds_the_growth(form: str, limit: float | None, product: list[float], rectified: list[float]) -> None:
    rectification = Rectification(form=form, limit=limit)
    got = rectification.unconditional(CONDITIONAL, UNCONDITIONAL, torch.tensor([product], dtype=DTYPE))
    expected = CONDITIONAL - torch.tensor([rectified], dtype=DTYPE)
    torch.testing.assert_close(got, expected, rtol=0, atol=EXACT)


def test_directional_limit_is_per_sample_and_safe_without_a_gap() -> None:
    conditional = torch.cat([CONDITIONAL, CONDITIONAL, UNCONDITIONAL])
    unconditional = torch.cat([UNCONDITIONAL, UNCONDITIONAL, UNCONDITIONAL])
    product = torch.tensor([[30.0, 40.0], [0.3, 0.4], [0.0, 0.0]], dtype=DTYPE)
    got = Rectification(form="directional", limit=2.0).unconditional(conditional, unconditional, product)
    expected = conditional - torch.tensor([[6.0, 8.0], [0.3, 0.4], [0.0, 0.0]], dtype=DTYPE)
    torch.testing.assert_close(got, expected, rtol=0, atol=EXACT)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"form": "rowsum"}, [*map(repr, FORMS), "'rowsum'"]),
        ({"estimator": "vjp"}, [*map(repr, ESTIMATORS), "'vjp'"]),
        ({"limit": 0.0}, ["above 0", "None", "0.0"]),
        ({"limit": -1.5}, ["above 0", "-1.5"]),
        ({"limit": math.nan}, ["above 0", "nan"]),
    ],
)
def test_invalid_option_says_what_was_expected_and_what_came(options: dict[str, Any], said: list[str]) -> None:
    with pytest.raises(ValueError) as error:
        Rectification(**options)
    assert all(part in str(error.value) for part in ["REG: ", *said])
