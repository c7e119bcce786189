"""The update rules of the paper's three code bases, restated from their formulas, equal ours with w = w1 + 1."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from reg_core.jacobian import Reverse
from reg_core.parameterization import PREDICTIONS, STATES, denoiser
from reg_core.rectification import Rectification, guide

DTYPE = torch.float64
EXACT = 1e-12
WEIGHTS = [0.0, 0.5, 1.5, 6.5]  # w1


class Network(nn.Module):
    """A small random network with a class embedding, mixing all channels and positions."""

    def __init__(self, channels: int, width: int = 16, seed: int = 0) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.first = nn.Conv1d(channels, width, 3, padding=1, dtype=DTYPE)
        self.last = nn.Conv1d(width, channels, 3, padding=1, dtype=DTYPE)
        self.label = nn.Embedding(3, width, dtype=DTYPE)
        self.requires_grad_(False)

    def forward(self, x: Tensor, label: Tensor) -> Tensor:
        hidden = self.first(x.flatten(2)) + self.label(label)[..., None]
        hidden = hidden + torch.tanh(hidden.roll(1, dims=2)) * torch.sigmoid(hidden.mean(dim=2, keepdim=True))
        return self.last(torch.nn.functional.silu(hidden)).reshape(x.shape)


def draw(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(1), dtype=DTYPE)


LABEL, NULL = torch.tensor([0, 1]), torch.tensor([2, 2])


def to_eps(denoised: Tensor, x: Tensor, sigma: float) -> Tensor:
    level = torch.tensor(sigma, dtype=DTYPE)
    return PREDICTIONS["eps"].from_denoised(denoised, x, STATES["vp"].alpha(level), STATES["vp"].noise(level))


def alpha_bar(step: int, first: float, last: float, count: int) -> float:
    return float(torch.cumprod(1 - torch.linspace(first, last, count, dtype=DTYPE), dim=0)[step])


@pytest.mark.parametrize("w1", WEIGHTS)
@pytest.mark.parametrize("step", [0, 9, 19])
def test_toy_in_one_dimension(step: int, w1: float) -> None:
    """VP, eps: cond + w1 (1 - sqrt(1 - ab) grad) (cond - uncond)."""
    ab = alpha_bar(step, 1e-4, 0.02, 20)
    model, x = Network(1), draw(2, 1, 1)

    recorded = x.clone().requires_grad_()
    conditional = model(recorded, LABEL)
    grad = torch.autograd.grad(conditional.sum(), recorded)[0]
    unconditional = model(x, NULL)
    published = conditional + w1 * (1 - (1 - ab) ** 0.5 * grad) * (conditional - unconditional)

    sigma = ((1 - ab) / ab) ** 0.5
    ours = guide(
        denoiser(lambda x: model(x, LABEL), sigma, "eps", "vp"),
        denoiser(lambda x: model(x, NULL), sigma, "eps", "vp"),
        x,
        weight=w1 + 1,
        alpha=ab**0.5,
    )
    torch.testing.assert_close(to_eps(ours, x, sigma), published.detach(), rtol=EXACT, atol=EXACT)


@pytest.mark.parametrize("w1", WEIGHTS)
@pytest.mark.parametrize("sigma", [0.002, 0.5, 80.0])
def test_edm2(sigma: float, w1: float) -> None:
    """VE, x0, a weaker network as the reference: D + w1 d(1^T D)/dx (D - D_ref)."""
    main, weaker, x = Network(3), Network(3, width=8, seed=1), sigma * draw(2, 3, 4, 4)

    def precondition(network: Network, x: Tensor, label: Tensor) -> Tensor:
        total = 0.5**2 + sigma**2
        return 0.5**2 / total * x + sigma * 0.5 / total**0.5 * network(x / total**0.5, label)

    recorded = x.clone().requires_grad_()
    conditional = precondition(main, recorded, LABEL)
    grad = torch.autograd.grad(conditional.sum(), recorded)[0]
    published = conditional + w1 * grad * (conditional - precondition(weaker, x, NULL))

    ours = guide(
        denoiser(lambda x: precondition(main, x, LABEL), sigma, "x0", "ve"),
        denoiser(lambda x: precondition(weaker, x, NULL), sigma, "x0", "ve"),
        x,
        weight=w1 + 1,
    )
    torch.testing.assert_close(ours, published.detach(), rtol=EXACT, atol=EXACT)


@pytest.mark.parametrize("w1", WEIGHTS)
@pytest.mark.parametrize("t", [50, 300, 900])
def test_dit(t: int, w1: float) -> None:
    """VP, eps: one batch of both halves under grad; the sum runs over 4 channels, 3 of them are guided."""
    ab = alpha_bar(t, 1e-4, 0.02, 1000)
    model, x = Network(4), draw(2, 4, 4, 4)

    recorded = x.clone().requires_grad_()
    both = model(torch.cat([recorded, recorded]), torch.cat([LABEL, NULL]))
    conditional, unconditional = both.chunk(2)
    grad = torch.autograd.grad(conditional.sum(), recorded)[0]
    factor = 1 - (1 - ab) ** 0.5 * grad[:, :3]
    increment = factor * (conditional[:, :3] - unconditional[:, :3])
    published = torch.cat([conditional[:, :3] + w1 * increment, conditional[:, 3:]], dim=1).detach()

    sigma = ((1 - ab) / ab) ** 0.5
    reference = denoiser(lambda x: model(x, NULL), sigma, "eps", "vp")(x)
    pair = Rectification().pair(denoiser(lambda x: model(x, LABEL), sigma, "eps", "vp"), x, reference, ab**0.5)
    ours = to_eps(pair.guided(w1 + 1), x, sigma)
    torch.testing.assert_close(ours[:, :3], published[:, :3], rtol=EXACT, atol=EXACT)
    # A pair whose last channel agrees leaves that channel conditional.
    unguided = torch.cat([pair.unconditional[:, :3], pair.conditional[:, 3:]], dim=1)
    ours = to_eps(pair._replace(unconditional=unguided).guided(w1 + 1), x, sigma)
    torch.testing.assert_close(ours, published, rtol=EXACT, atol=EXACT)


def test_sum_over_guided_channels_only_is_another_factor() -> None:
    """The restriction of the sum to the 3 guided channels would be a different rule; the paper's sums all 4."""
    model, x, sigma = Network(4), draw(2, 4, 4, 4), 1.0
    conditional = denoiser(lambda x: model(x, LABEL), sigma, "eps", "vp")
    _, every = Reverse()(conditional, x, torch.ones_like(x), 0.5**0.5)
    guided = torch.ones_like(x)
    guided[:, 3] = 0
    _, some = Reverse()(conditional, x, guided, 0.5**0.5)
    _, fourth = Reverse()(conditional, x, torch.ones_like(x) - guided, 0.5**0.5)
    torch.testing.assert_close(every, some + fourth, rtol=0, atol=EXACT)
    assert fourth[:, :3].abs().mean() > 1e-3
