"""reg_core without ComfyUI: the examples of its page run as they stand, and a real diffusers UNet is guided right."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from diffusers import UNet2DConditionModel

from reg_core import Rectification, denoiser, guide

ROOT = Path(__file__).parents[1]
EXAMPLES = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "library.md").read_text("utf-8"), re.DOTALL)


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda code: code.splitlines()[0])
def test_example_of_the_readme_runs(example: str) -> None:
    torch.manual_seed(0)
    names: dict[str, torch.Tensor] = {}
    exec(compile(example, "library.md", "exec"), names)
    assert names["x"].isfinite().all()


def test_readme_has_both_examples() -> None:
    assert len(EXAMPLES) == 2


def test_diffusers_unet_equals_the_papers_update() -> None:
    """eps_c + (w - 1) (1 - sqrt(1 - ab) d(1^T eps_c)/dx) (eps_c - eps_u), arXiv 2501.18865, on VP states."""
    torch.manual_seed(0)
    unet = UNet2DConditionModel(
        sample_size=8,
        block_out_channels=(32, 64),
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        cross_attention_dim=16,
        attention_head_dim=8,
        layers_per_block=1,
    ).requires_grad_(False)
    unet = unet.double()
    contexts = torch.randn(2, 1, 3, 16, dtype=torch.float64)
    x = torch.randn(1, 4, 8, 8, dtype=torch.float64, requires_grad=True)
    alpha_bar, weight, t = torch.tensor(0.4, dtype=torch.float64), 3.0, torch.tensor(500)

    eps = [unet(x, t, context).sample for context in contexts]
    (gradient,) = torch.autograd.grad(eps[0].sum(), x)
    expected = eps[0] + (weight - 1) * (1 - (1 - alpha_bar).sqrt() * gradient) * (eps[0] - eps[1])

    sigma = ((1 - alpha_bar) / alpha_bar).sqrt()
    pair = [denoiser(lambda y, c=context: unet(y, t, c).sample, sigma, "eps", "vp") for context in contexts]
    denoised = guide(pair[0], pair[1], x.detach(), weight, alpha_bar.sqrt(), Rectification())
    guided = (x - alpha_bar.sqrt() * denoised) / (1 - alpha_bar).sqrt()
    torch.testing.assert_close(guided, expected, rtol=0, atol=1e-10)
