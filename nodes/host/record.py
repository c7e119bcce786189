"""What REG did in one sampler run, kept for the one line at its end."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field

import torch
from torch import Tensor

from .estimation import AUTO, Estimation
from .notice import tell


@dataclass
class GuidanceRecord:
    """Counts and numbers of one run."""

    node_id: str | None
    evaluations: int = 0
    guided: int = 0
    in_range: int = 0
    unusable: int = 0
    changes: list[float] = field(default_factory=list)
    factors: list[float] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def warn(self, text: str) -> None:
        """Tell the artist, once a run."""
        if text not in self.warnings:
            self.warnings.append(text)
            tell(text, self.node_id, logging.WARNING)

    def rectified(self, conditional: Tensor, unconditional: Tensor, rectified: Tensor) -> None:
        """Keep how far the guidance moved, ``|G - g| / |g|``, and its effective factor ``<G, g> / <g, g>``."""
        gap, rectified_gap = conditional - unconditional, conditional - rectified
        norm = torch.linalg.vector_norm(gap)
        change = torch.linalg.vector_norm(rectified_gap - gap) / norm
        factor = (rectified_gap * gap).sum() / norm**2
        size = norm / torch.linalg.vector_norm(conditional)
        change, factor, size = torch.stack([change, factor, size]).tolist()
        if size > 16 * torch.finfo(gap.dtype).eps:  # a gap of rounding errors says nothing
            self.changes.append(change)
            self.factors.append(factor)

    def report(self, estimation: Estimation) -> None:
        """Tell what happened; the warnings once more, since a node shows only the last that it was told."""
        tell("\n".join([self.summary(estimation), *self.warnings]), self.node_id)

    def summary(self, estimation: Estimation) -> str:
        """One sentence: what happened and how it was chosen, or why nothing did."""
        if self.changes:
            choice = estimation.choice
            how = f"{choice['form']}, {choice['estimator'] if estimation.taken else 'pure noise'}"
            if estimation.carried:
                how += f", taken {estimation.taken} times and carried {estimation.carried} times"
            why = f"; auto chose this because {estimation.reason}" if estimation.method.estimator == AUTO else ""
            return (
                f"guidance changed by {sum(self.changes) / len(self.changes):.0%}, "
                f"factor {min(self.factors):.2f} to {max(self.factors):.2f}, "
                f"in {len(self.changes)} of {self.evaluations} evaluations ({how}){why}"
            )
        if not self.evaluations:
            return (
                "no effect: this guider asks for its predictions in a way of its own. Use the CFG Guider or REG Guider."
            )
        if not self.guided:
            return "no effect: no guidance to rectify (cfg is 1, or no negative conditioning). Raise cfg above 1."
        if not self.in_range:
            return "no effect: no guided step of this run lies between start_percent and end_percent. Widen the range."
        if self.unusable:
            return "no effect: the factor could not be used at any step, so the image is plain CFG."
        return "no effect: positive and negative conditioning give the same prediction. Change one of them."
