"""Products that cannot be right: gradients that disagree with a difference, corrections beyond any Jacobian."""

from __future__ import annotations

import math

from torch import Tensor

from ....reg_core.jacobian import Estimator, difference_step, disagreement
from ....reg_core.rectification import FORMS, RectifiedPair
from ...messages import message
from ..evaluation import Evaluation
from ..neighbours import reach_inside
from .composition import Composition
from .memory import doubtful

MISTRUST = 0.25
"""Relative disagreement with a difference above which a gradient through doubtful weights is not believed."""
MOST_SAID = 10.0
IMPLAUSIBLE = 10.0
"""Growth of the guidance above which a product is an error; at most 1.7 was measured (31 families, random weights)."""


def refusal(unconditional: Tensor, pair: RectifiedPair) -> str:
    """What is wrong with a product that must not be applied; empty for one that may."""
    growth = pair.growth(unconditional)
    if not math.isfinite(growth):
        return message("correction-not-finite")
    return message("correction-too-large", growth=growth) if growth > IMPLAUSIBLE else ""


def is_doubtful(evaluation: Evaluation) -> bool:
    """Whether another node provides weights or attention of the model, so that its gradient has to be checked."""
    return doubtful(evaluation) or reach_inside(evaluation)


def gradient_fault(
    evaluation: Evaluation,
    composition: Composition,
    estimator: Estimator,
    form: str,
    conditional: Tensor,
    product: Tensor,
) -> str:
    """Whether a product agrees with a difference along it; what to say where it does not, else empty.

    Cost: one evaluation.
    """
    share = disagreement(
        composition.conditional,
        evaluation.x,
        FORMS[form].direction(evaluation.x, composition.unconditional),
        evaluation.alpha,
        conditional,
        product,
        difference_step(evaluation.eps),
        transposed=estimator.transposed,
    )
    if share < MISTRUST:
        return ""
    source = "streamed weights" if doubtful(evaluation) else "weights or attention from another node"
    by = f"{share:.0%}" if share < MOST_SAID else f"more than {MOST_SAID:.0%}"  # also where it is not finite
    return message("gradient-check-failed", source=source, by=by)
