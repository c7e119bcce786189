"""When a Jacobian product is computed, and how the last one is extrapolated, against closed forms of Gaussian data."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise

import pytest
import torch
from torch import Tensor

from reg_core.mixture import GaussianMixture
from reg_core.rectification import EDGE, FORMS, Computed, Rectification
from reg_core.refresh import BY_NOISE, EVERY_STEP, REFRESHES, ByNoise, EveryNth, Refresh

DTYPE = torch.float64
POLICY = ByNoise()
EXACT = 1e-12  # a handful of float64 operations on numbers of order 1
RATIOS = [0.0, 1e-12, 0.04, 0.5, 1.0, 3.0, 400.0, 1e12]
every_form = pytest.mark.parametrize("form", FORMS)


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=DTYPE)


def gaussian_factor(variance: Tensor, noise: float) -> Tensor:
    """The Jacobian of the ideal denoiser of data with this variance."""
    return variance / (variance + noise**2)


def extrapolated(form: str, product: Tensor, gap: Tensor, new_gap: Tensor, old_noise: float, noise: float) -> Tensor:
    """By the public way: kept at one noise-to-signal ratio, asked for at another."""
    refresh = Refresh(EVERY_STEP, form)
    refresh.keep(old_noise, gap, product)
    return refresh.extrapolated(noise, new_gap)


NOISES = pytest.mark.parametrize(
    ("old_noise", "noise"), [(15.0, 0.03), (2.0, 1.9), (2.0, 0.1), (1.0, 1.0), (0.03, 15.0)]
)


@NOISES
def test_row_sum_of_gaussian_data_is_extrapolated_exactly(old_noise: float, noise: float) -> None:
    variance = draw(3, 2, 4, seed=1).exp()
    gap = draw(3, 2, 4)
    got = extrapolated("row-sum", gaussian_factor(variance, old_noise), gap, draw(3, 2, 4, seed=2), old_noise, noise)
    # A factor within eps of 1 or of 0 has lost the variance: relative to the smaller of the factor and its complement.
    old, new = gaussian_factor(variance, old_noise), gaussian_factor(variance, noise)
    condition = (1 / (old * (1 - old))).max() * (new * (1 - new)).max()
    torch.testing.assert_close(got, new, rtol=0, atol=EXACT * max(1.0, float(condition)))


@pytest.mark.parametrize("power", [-0.7, 0.0, 0.5, 1.0])
def test_row_sum_continues_how_the_last_two_changed(power: float) -> None:
    """Exact where lambda is a power of the noise-to-signal ratio, and both factors tell: not too near to 0 or 1."""
    scale, gap = draw(3, 2, 4, seed=1).exp(), draw(3, 2, 4)
    noises = (2.0, 1.2, 0.7)
    factors = [gaussian_factor(scale * noise**power, noise) for noise in noises]
    telling = [(factor > EDGE) & (factor < 1 - EDGE) for factor in factors[:2]]
    assert telling[0].all() and telling[1].all()
    refresh = Refresh(EVERY_STEP, "row-sum")
    for noise, factor in zip(noises[:2], factors[:2], strict=True):
        refresh.keep(noise, gap, factor)
    torch.testing.assert_close(refresh.extrapolated(noises[2], gap), factors[2], rtol=0, atol=10 * EXACT)


def test_row_sum_forgets_the_product_before_noise_was_added() -> None:
    gap, variance = draw(3, 2, 4), draw(3, 2, 4, seed=1).exp()
    refresh = Refresh(EVERY_STEP, "row-sum")
    refresh.keep(0.5, gap, gaussian_factor(5 * variance, 0.5))
    refresh.keep(2.0, gap, gaussian_factor(variance, 2.0))
    torch.testing.assert_close(refresh.extrapolated(1.2, gap), gaussian_factor(variance, 1.2), rtol=0, atol=EXACT)


def two_modes(old_noise: float, noise: float) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Eigenvalues of J of a sample at two noises ``[sample, mode]``, and the two modes ``[sample, mode, dim]``."""
    variance = torch.tensor([[4.0, 0.1], [0.5, 0.4], [30.0, 2.0]], dtype=DTYPE)
    modes = torch.linalg.qr(draw(3, 6, 2, seed=3)).Q.mT
    return gaussian_factor(variance, old_noise), gaussian_factor(variance, noise), modes[:, 0], modes[:, 1]


@NOISES
def test_directional_of_two_modes_is_extrapolated_exactly(old_noise: float, noise: float) -> None:
    """A gap with equal weight on both modes sees equal Lanczos diagonals, as the extrapolation assumes."""
    old, new, first, second = two_modes(old_noise, noise)
    size = torch.tensor([[1.0], [1e-3], [50.0]], dtype=DTYPE)
    gap, new_gap = size * (first + second), -0.7 * size * (first + second)
    product = size * (old[:, :1] * first + old[:, 1:] * second)
    expected = -0.7 * size * (new[:, :1] * first + new[:, 1:] * second)
    got = extrapolated("directional", product, gap, new_gap, old_noise, noise)
    condition = float((1 / (old * (1 - old))).max() * (new * (1 - new)).max())
    torch.testing.assert_close(got / size, expected / size, rtol=0, atol=EXACT * max(1.0, condition))


@NOISES
def test_directional_of_a_scalar_jacobian_is_extrapolated_exactly_to_any_gap(old_noise: float, noise: float) -> None:
    variance = torch.tensor([4.0, 0.5, 0.02], dtype=DTYPE).reshape(3, 1, 1)
    gap, new_gap = draw(3, 2, 4), draw(3, 2, 4, seed=1)
    old, new = gaussian_factor(variance, old_noise), gaussian_factor(variance, noise)
    got = extrapolated("directional", old * gap, gap, new_gap, old_noise, noise)
    condition = float((1 / (old * (1 - old))).max() * (new * (1 - new)).max())
    torch.testing.assert_close(got, new * new_gap, rtol=0, atol=EXACT * max(1.0, condition))


@every_form
def test_nothing_changes_at_the_same_noise_and_gap(form: str) -> None:
    """Also for products that no ideal denoiser has."""
    product, gap = 3 * draw(4, 2, 3), draw(4, 2, 3, seed=1)
    torch.testing.assert_close(extrapolated(form, product, gap, gap, 0.8, 0.8), product, rtol=0, atol=EXACT)


@pytest.mark.parametrize("ratio", RATIOS)
def test_row_sum_outside_zero_and_one_is_held(ratio: float) -> None:
    factor = torch.tensor([[-3.0, -1e-9, 0.0, 1.0, 1.0 + 1e-9, 7.0]], dtype=DTYPE)
    gap = torch.ones_like(factor)
    last = Computed(1.0, gap, factor)
    for products in ([last], [Computed(1.5, gap, 0.5 * gap), last], [Computed(1.5, gap, factor), last]):
        got = FORMS["row-sum"].extrapolate(products, gap, math.sqrt(ratio))
        torch.testing.assert_close(got, factor, rtol=0, atol=EXACT)


@pytest.mark.parametrize("ratio", RATIOS)
def test_directional_outside_zero_and_one_is_held(ratio: float) -> None:
    """A multiple of the gap above 1 or below 0, and two modes of which none has a factor of an ideal denoiser."""
    gap = draw(3, 6)
    _, _, first, second = two_modes(1.0, 1.0)
    for product, of in ((1.5 * gap, gap), (-0.5 * gap, gap), (3 * first - second, first + second)):
        got = FORMS["directional"].extrapolate([Computed(1.0, of, product)], of, math.sqrt(ratio))
        torch.testing.assert_close(got, product, rtol=0, atol=10 * EXACT)


@pytest.mark.parametrize("ratio", RATIOS)
@pytest.mark.parametrize("factor", [-2.0, 0.0, 1e-300, 0.3, 1.0, 1.7])
@pytest.mark.parametrize("scale", [0.0, 1e-150, 1.0])
@pytest.mark.parametrize("dtype", [torch.float32, DTYPE])
@every_form
def test_extrapolation_is_always_finite(
    form: str, dtype: torch.dtype, scale: float, factor: float, ratio: float
) -> None:
    """A gap of zero, or one whose square underflows, included."""
    gap = (scale * draw(2, 5)).to(dtype)
    product = factor * (gap if form == "directional" else torch.ones_like(gap))
    for before in ([], [Computed(1.5, gap, 0.5 * product)]):
        got = FORMS[form].extrapolate([*before, Computed(1.0, gap, product)], gap.flip(1), math.sqrt(ratio))
        assert got.isfinite().all()


@every_form
def test_before_the_first_product_and_in_pure_noise_the_factor_is_its_limit_zero(form: str) -> None:
    refresh, gap = Refresh(BY_NOISE, form), draw(2, 5)
    assert torch.equal(refresh.extrapolated(40.0, gap), torch.zeros_like(gap))
    refresh.keep(20.0, gap, gap.abs())
    assert torch.equal(refresh.extrapolated(math.inf, gap), torch.zeros_like(gap))


def geometric(top: float, bottom: float, count: int) -> list[float]:
    return [top * (bottom / top) ** (i / (count - 1)) for i in range(count)]


@pytest.mark.parametrize(("top", "bottom", "steps"), [(15.0, 0.03, 20), (1000.0, 0.002, 30), (12.0, 0.5, 7)])
def test_levels_are_evenly_spaced_in_log_noise_over_the_active_range(top: float, bottom: float, steps: int) -> None:
    noises = geometric(top, bottom, steps)
    active = [noise for noise in noises if POLICY.lowest <= noise <= POLICY.highest]
    levels = POLICY.levels(noises)
    assert len(levels) == POLICY.products(steps)
    assert levels[0] == active[0]
    closed = [*levels, active[-1]]  # the lowest of the run closes the last of equal intervals
    quotients = [low / high for high, low in pairwise(closed)]
    assert quotients == pytest.approx([(active[-1] / active[0]) ** (1 / len(levels))] * len(levels), rel=1e-12)


def test_products_grow_with_the_square_root_of_the_steps() -> None:
    assert [POLICY.products(steps) for steps in (1, 4, 20, 30, 50)] == [1, 3, 6, 8, 10]


def test_levels_never_outnumber_the_steps_that_are_active() -> None:
    assert len(POLICY.levels([1000.0] * 18 + [5.0, 1.0])) == 2


@pytest.mark.parametrize(
    ("noises", "levels"),
    [
        ([math.inf, 2000.0, 500.0, 100.0], [2000.0]),  # all above the active range
        ([0.2, 0.1, 0.05, 0.0], [0.2]),  # all below
        ([5.0], [5.0]),
        ([math.inf], [POLICY.highest]),
        ([], [POLICY.highest]),
    ],
)
def test_runs_without_an_active_range_have_one_level(noises: list[float], levels: list[float]) -> None:
    assert POLICY.levels(noises) == levels


SHAPE = (2, 5)


def measured(refresh: Refresh, noises: Sequence[float]) -> list[int]:
    """Positions in the sequence of evaluations at which the product was computed, as a run computes and keeps it."""
    computed = []
    for position, noise in enumerate(noises):
        if refresh.due(noise, SHAPE):
            refresh.keep(noise, torch.ones(SHAPE), torch.ones(SHAPE))
            computed.append(position)
    return computed


def planned(noises: Sequence[float]) -> Refresh:
    return Refresh(BY_NOISE, "row-sum", noises)


@pytest.mark.parametrize("top", [15.0, 80.0, 1000.0])
def test_by_noise_measures_at_the_first_step_at_or_below_each_level(top: float) -> None:
    noises = geometric(top, 0.03, 20)
    levels = POLICY.levels(noises)
    first_below = [next(i for i, noise in enumerate(noises) if noise <= level * (1 + 1e-9)) for level in levels]
    assert len(set(first_below)) > 1
    assert measured(planned(noises), noises) == sorted(set(first_below))


@pytest.mark.parametrize("every", [name for name, policy in REFRESHES.items() if isinstance(policy, EveryNth)])
def test_every_n_steps_measures_every_nth_evaluation_whatever_the_noise(every: str) -> None:
    policy = REFRESHES[every]
    assert isinstance(policy, EveryNth)
    assert measured(Refresh(every, "row-sum"), [*geometric(1000.0, 0.03, 10), 0.0]) == list(range(0, 11, policy.steps))


def test_evaluations_between_the_steps_compute_no_more_products() -> None:
    """Heun evaluates every noise but the ends twice, DPM-Solver-2 once more in between."""
    noises = geometric(15.0, 0.03, 20)
    count = len(measured(planned(noises), noises))
    heun = [noises[0]] + [noise for noise in noises[1:] for _ in range(2)]
    middle = [n for high, low in pairwise(noises) for n in (high, math.sqrt(high * low))]
    assert len(measured(planned(noises), heun)) == count
    assert len(measured(planned(noises), middle)) == count


def test_noise_that_rises_again_is_measured_again() -> None:
    """A restart: the second pass over the same noises is measured where the first was, from its start on."""
    noises = geometric(15.0, 0.03, 20)
    once = measured(planned(noises), noises)
    again = noises[8:]
    twice = measured(planned(noises), [*noises, *again])
    assert twice[: len(once)] == once
    second = [position - len(noises) + 8 for position in twice[len(once) :]]
    assert second == sorted({8, *(position for position in once if position > 8)})


def test_a_sampler_that_does_not_tell_its_steps_is_measured_as_the_noise_falls() -> None:
    noises = geometric(100.0, 0.01, 60)
    computed = [noises[i] for i in measured(Refresh(BY_NOISE, "row-sum"), noises)]
    step = noises[0] / noises[1]
    assert POLICY.highest / step <= computed[0] <= POLICY.highest  # the first inside the active range
    assert POLICY.lowest <= computed[-1] <= POLICY.lowest * POLICY.unplanned * step  # and none below
    for high, low in pairwise(computed):
        assert POLICY.unplanned <= high / low <= POLICY.unplanned * step


@pytest.mark.parametrize(
    "every", [every for every, policy in REFRESHES.items() if every != EVERY_STEP and not policy.needs_measured]
)
def test_a_changed_shape_computes_a_new_product(every: str) -> None:
    refresh = Refresh(every, "row-sum", [5.0, 4.9, 4.8, 4.7, 4.6, 4.5])
    assert measured(refresh, [5.0]) == [0]
    assert not refresh.due(4.9, SHAPE)
    assert refresh.due(4.9, (3, 5))


def test_unknown_refresh_names_the_choices() -> None:
    with pytest.raises(ValueError, match="refresh must be one of 'every step'.*'by noise'; got 'never'"):
        Refresh("never", "row-sum")


DIM, SAMPLES, STEPS, WEIGHT = 16, 64, 24, 3.0


def mixtures() -> tuple[GaussianMixture, GaussianMixture]:
    """Data in 16 dimensions whose conditional half has three of the six components."""
    means = 1.5 * draw(6, DIM, seed=1)
    roots = draw(6, DIM, DIM, seed=2) / DIM**0.5
    covariances = roots @ roots.mT * torch.logspace(-1.0, 0.3, 6, dtype=DTYPE)[:, None, None]
    covariances += 0.02 * torch.eye(DIM, dtype=DTYPE)
    unconditional = GaussianMixture(means, covariances, torch.ones(6, dtype=DTYPE))
    return GaussianMixture(means[::2], covariances[::2], torch.ones(3, dtype=DTYPE)), unconditional


def euler(guided: Callable[[Tensor, float], Tensor]) -> Tensor:
    noises = [*geometric(15.0, 0.03, STEPS), 0.0]
    x = noises[0] * draw(SAMPLES, DIM)
    for noise, following in pairwise(noises):
        x = x + (x - guided(x, noise)) / noise * (following - noise)
    return x


def reg_run(form: str, every: str) -> tuple[Tensor, int]:
    """Final samples of REG with the exact Jacobian, and the number of products that were computed."""
    conditional, unconditional = mixtures()
    refresh = Refresh(every, form, geometric(15.0, 0.03, STEPS))
    rectification, computed = Rectification(form=form), []

    def guided(x: Tensor, noise: float) -> Tensor:
        positive, negative = conditional.denoised(x, noise), unconditional.denoised(x, noise)
        gap = positive - negative
        if refresh.due(noise, x.shape):
            direction = gap if FORMS[form].needs_gap else torch.ones_like(gap)
            product = torch.einsum("nij,nj->ni", conditional.jacobian(x, noise), direction)
            refresh.keep(noise, gap, product)
            computed.append(noise)
        else:
            product = refresh.extrapolated(noise, gap)
        return rectification.rectified(positive, negative, product).guided(WEIGHT)

    return euler(guided), len(computed)


def cfg_run() -> Tensor:
    conditional, unconditional = mixtures()

    def guided(x: Tensor, noise: float) -> Tensor:
        positive, negative = conditional.denoised(x, noise), unconditional.denoised(x, noise)
        return negative + WEIGHT * (positive - negative)

    return euler(guided)


def kept(form: str, every: str) -> tuple[float, int]:
    """The share of REG's effect on the final samples that is kept, and the number of products."""
    whole, count = reg_run(form, EVERY_STEP)
    assert count == STEPS
    samples, computed = reg_run(form, every)
    return float(1 - (samples - whole).abs().mean() / (cfg_run() - whole).abs().mean()), computed


@pytest.mark.parametrize(("form", "share"), [("row-sum", 0.97), ("directional", 0.95)])
def test_by_noise_keeps_the_effect_of_every_step(form: str, share: float) -> None:
    """Measured with these fixed draws: 98.8 % for row-sum and 97.3 % for directional."""
    kept_share, computed = kept(form, BY_NOISE)
    assert 0 < computed <= POLICY.products(STEPS)
    assert kept_share >= share


@every_form
@pytest.mark.parametrize("policy", [name for name, policy in REFRESHES.items() if policy.sparing])
def test_no_gap_serves_to_or_from_where_there_is_no_noise(form: str, policy: str) -> None:
    for kept, asked in [(1.0, 0.0), (0.0, 1.0), (0.0, 0.0)]:
        refresh, gap = Refresh(policy, form, measured=lambda noise: 0.1), draw(2, 5)
        refresh.due(2.0, gap.shape)
        refresh.keep(2.0, gap, 0.1 * gap)
        refresh.sparing.keep(kept, gap)
        refresh.due(asked, gap.shape)
        assert not refresh.spares(asked)
