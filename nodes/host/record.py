"""What REG did in one sampler run, kept for the one line at its end."""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass, field

import torch
from torch import Tensor

from .notice import tell


@dataclass
class GuidanceRun:
    """State of one sampler run; it lives in that run's model_options and dies with it."""

    node_id: str | None
    estimator: str | None = None
    evaluations: int = 0
    guided: int = 0
    changes: list[float] = field(default_factory=list)
    factors: list[float] = field(default_factory=list)
    told: set[str] = field(default_factory=set)

    def warn(self, text: str) -> None:
        """Tell the artist, once a run."""
        if text not in self.told:
            self.told.add(text)
            tell(text, self.node_id, logging.WARNING)

    def rectified(self, gap: Tensor, rectified_gap: Tensor) -> None:
        """Keep how far the guidance moved, ``|G - g| / |g|``, and its effective factor ``<G, g> / <g, g>``."""
        norm = torch.linalg.vector_norm(gap)
        change = torch.linalg.vector_norm(rectified_gap - gap) / norm
        factor = (rectified_gap * gap).sum() / norm**2
        change, factor = torch.stack([change, factor]).tolist()
        if math.isfinite(change):  # a gap of zero says nothing
            self.changes.append(change)
            self.factors.append(factor)

    def summary(self, form: str) -> str:
        """One sentence: what happened, or why nothing did."""
        if self.changes:
            return (
                f"guidance changed by {sum(self.changes) / len(self.changes):.0%}, "
                f"factor {min(self.factors):.2f} to {max(self.factors):.2f}, "
                f"in {len(self.changes)} of {self.evaluations} evaluations ({form}, {self.estimator})"
            )
        if not self.evaluations:
            return (
                "no effect: this guider asks for its predictions in a way of its own. Use the CFG Guider or REG Guider."
            )
        if not self.guided:
            return "no effect: no guidance to rectify (cfg is 1, or no negative conditioning). Raise cfg above 1."
        return "no effect: no guided step of this run lies between start_percent and end_percent. Widen the range."
