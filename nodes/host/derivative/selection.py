"""Which estimator a run uses, and how much of the model its gradient recomputes: what was asked for, until it fails."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

from ....reg_core.autograd import Recomputation
from ....reg_core.jacobian import ESTIMATORS, Circumstances, Estimator, is_overwriting
from ....reg_core.rectification import Rectification
from ....reg_core.refresh import AS_CFG, EVERY_STEP, Refresh
from ....reg_core.schedule import Measured
from ....reg_core.table import lookup
from ...messages import message
from ..evaluation import Cond, Evaluation
from .kernels import DecomposedKernels, is_fused
from .memory import borrowing_layers, budget, is_out_of_memory, repeated_blocks

AUTO = "auto"
CHECKPOINTING = {AUTO: None, "on": True, "off": False}
FIRST, FALLBACK = "reverse", "finite difference"
"""What ``auto`` begins with, and what takes over where no derivative can be had."""


@dataclass(frozen=True)
class Method:
    """What the artist asked for: strength and form, and estimator, refresh, checkpointing by name or ``auto``.

    Estimator ``auto`` is reverse, at about the compute of CFG, and finite difference where the model gives no gradient
    or has no memory for it; it never changes the form, since that shows more than an estimator does (on the playground
    model row-sum by finite difference keeps 83 % of the effect of the paper's REG, directional 60 %). A named
    estimator is refreshed at every step unless something else is named. ``measured`` holds until the first product.
    Raises ValueError for an unknown name, and for a refresh that needs ``measured`` without it.
    """

    strength: float = 1.0
    form: str = "row-sum"
    estimator: str = AUTO
    refresh: str = AUTO
    checkpointing: str = AUTO
    measured: Measured | None = None

    def __post_init__(self) -> None:
        lookup(CHECKPOINTING, self.checkpointing, "checkpointing")
        Rectification(self.strength, self.form, self.first_estimator)
        self.refreshed()

    @property
    def first_estimator(self) -> str:
        """The name of the estimator that a run begins with."""
        return FIRST if self.estimator == AUTO else self.estimator

    @property
    def policy(self) -> str:
        """The name of the refresh policy."""
        if self.refresh != AUTO:
            return self.refresh
        return AS_CFG if self.estimator == AUTO else EVERY_STEP

    def refreshed(self, planned: Sequence[float] = ()) -> Refresh:
        """The products of a run with these noise-to-signal ratios, none of them computed yet."""
        return Refresh(self.policy, self.form, planned, None if self.measured is None else self.measured.factor)


@dataclass
class ModelQuirks:
    """What runs have learned about the derivative of a network, so that only the first pays for a pass that fails."""

    in_place: bool = False
    """It overwrites activations that backward needs."""
    decomposed: bool = False
    """Its fused kernels have no derivative and are taken apart."""
    plain_attention: bool = False
    """The attention that another node installed leaves the graph."""
    no_grad_checked: bool = False
    """None of its layers runs under no_grad."""

    @property
    def kernels(self) -> tuple[bool, bool]:
        """Those by which a prediction comes from other kernels."""
        return self.decomposed, self.plain_attention

    def context(self) -> AbstractContextManager[Any]:
        """Around every computation of the network that is differentiated."""
        return DecomposedKernels() if self.decomposed else nullcontext()


class Selection:
    """The estimator of a run: the one that was asked for, with checkpointing where memory is short, then ``FALLBACK``.

    ``warn`` tells the artist of each change.
    """

    def __init__(self, method: Method, quirks: ModelQuirks, warn: Callable[[str], None]) -> None:
        self.method, self.quirks, self.warn = method, quirks, warn
        self.name = method.first_estimator
        self.checkpointed = bool(CHECKPOINTING[method.checkpointing])
        self.reason = message("estimator-suited")

    @property
    def estimator(self) -> Estimator:
        return ESTIMATORS[self.name]

    @property
    def choice(self) -> dict[str, str]:
        """The inputs that repeat this run on any machine that can."""
        return {
            "form": self.method.form,
            "estimator": self.name,
            "refresh": self.method.policy,
            "checkpointing": "on" if self.checkpointed else "off",
        }

    def suited(self, evaluation: Evaluation, recorded: list[Cond]) -> Estimator:
        """The estimator with the options for this evaluation, of which these conds are differentiated.

        Raises GradientUnavailable.
        """
        circumstances = Circumstances(
            evaluation.eps,
            quantised=bool(evaluation.quantised_layers),
            weights_change=len(evaluation.weight_hooks(recorded)) > 1,
            recomputation=lambda: self._recomputation(evaluation),
        )
        return self.estimator.suited(circumstances)

    def _recomputation(self, evaluation: Evaluation) -> Recomputation:
        return Recomputation(
            borrowing_layers(evaluation),
            repeated_blocks(evaluation.model.diffusion_model) if self.checkpointed else (),
            budget(evaluation) if self._may_checkpoint else None,
            self.quirks.in_place,
            self.quirks.context,
        )

    @property
    def _may_checkpoint(self) -> bool:
        return self.estimator.transposed and CHECKPOINTING[self.method.checkpointing] is None and not self.checkpointed

    def learn(self, error: RuntimeError) -> None:
        """Change what made this error; a fault of the model itself comes again."""
        first = str(error).strip().splitlines()[0].removeprefix("REG: ")
        reason = first.split(". ")[0].removesuffix(".")  # without advice, which is followed here
        if is_overwriting(error) and not self.quirks.in_place:
            self.quirks.in_place = True
        elif is_fused(error) and not self.quirks.decomposed:
            self.quirks.decomposed = True
        elif is_out_of_memory(error) and self._may_checkpoint:
            self.checkpointed = True
            self.warn(message("checkpointing-on", reason=reason))
        else:
            self.give_up(message("estimator-failed", estimator=self.name, reason=reason))

    def give_up(self, reason: str) -> None:
        """``FALLBACK`` from here on; ``reason`` is a sentence."""
        self.name, self.reason = FALLBACK, reason
        self.warn(message("estimator-replaced", reason=reason, fallback=FALLBACK))
