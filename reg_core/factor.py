"""The factor by which REG multiplies the guidance at each place of a latent: statistics, and what is shown."""

from __future__ import annotations

import torch
from torch import Tensor

FAINT = 0.01
"""Squared guidance, relative to its mean, below which a place has no say in the smallest and largest factor."""


def places(gap: Tensor, rectified_gap: Tensor) -> tuple[Tensor, Tensor]:
    """Factor ``<G, g> / <g, g>`` over channels and squared guidance, both ``[batch, ...]`` without the channel axis.

    ``gap`` g and ``rectified_gap`` G are ``[batch, channels, ...]``; the factor is nan where there is no guidance.
    """
    gap, rectified_gap = gap.float(), rectified_gap.float()
    square = gap.square().sum(1)
    return (rectified_gap * gap).sum(1) / square, square


def factor_statistics(factor: Tensor, square: Tensor) -> Tensor:
    """Mean, 5 % and 95 % quantile, smallest and largest factor of ``places``; the mean is nan without any guidance.

    Cost: a sort of the places. In single precision, since not every device has double.
    """
    factor, square = factor.flatten(), square.flatten()
    if not len(factor):
        return factor.new_full((5,), torch.nan)
    factor = factor.nan_to_num(0.0, 0.0, 0.0)
    ordered, order = factor.sort()
    share = square[order].cumsum(0)
    total = share[-1]
    marks = torch.searchsorted(share, torch.stack([0.05 * total, 0.95 * total])).clamp(max=len(factor) - 1)
    strongest = factor[square.argmax(keepdim=True)]
    extremes = torch.where(square < total * (FAINT / len(factor)), strongest, factor).aminmax()
    return torch.stack([(factor * square).sum() / total, *ordered[marks], *extremes])


def shown(factor: Tensor, denoised: Tensor) -> tuple[Tensor, Tensor] | None:
    """Factor ``[height, width]`` and prediction ``[1, channels, ...]`` to look at, on the CPU; None if packed."""
    if denoised.ndim not in (4, 5):
        return None
    factor, denoised = factor[0], denoised[:1]
    if denoised.ndim == 5:
        middle = factor.shape[0] // 2
        factor, denoised = factor[middle], denoised[:, :, middle : middle + 1]
    # Copies, for a part of a tensor keeps the whole of it.
    return factor.float().cpu().clone(), denoised.float().cpu().clone()
