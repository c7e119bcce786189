"""What REG did in one sampler run, kept for the line at its end, the inspector and its live chart."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from typing import Any

from torch import Tensor

from ...reg_core.factor import places, shown
from ...reg_core.trace import OUTSIDE, RECTIFIED, SEPARATE, UNUSABLE, Picture, Step, Trace, finite
from ..effect import concerns, headline, pressing, summary, without_effect
from ..messages import message
from .contract import STEP_EVENT
from .derivative.estimation import Estimation, Outcome
from .derivative.selection import AUTO
from .evaluation import Evaluation
from .measurement import measured, merged, plain
from .noise_level import sampling_percent
from .notice import harmless, send, tell
from .preview import preview
from .reception import Reception

PICTURES = 6
"""Steps of a run that are kept to look at."""
PAUSE = 0.1
"""Seconds between two events of a run, each with all steps since: the page draws no faster, and sending takes time."""

PreCFG = Callable[[dict[str, Any]], list[Tensor]]


def _chosen(sigmas: Sequence[float]) -> set[float]:
    """The noise levels of the steps to look at, from the second to the last, evenly spread."""
    last = len(sigmas) - 1
    return {sigmas[round(last * (index + 1) / PICTURES)] for index in range(PICTURES)} if sigmas else set()


@dataclass
class GuidanceRecord:
    """The trace of one run as it grows, and what the artist was told. ``inspectors`` are told of every step."""

    node_id: str | None
    inspectors: Sequence[str] = ()
    trace: Trace = field(default_factory=Trace)
    warnings: list[str] = field(default_factory=list)
    _parts: list[Step] = field(default_factory=list)
    _reception: Reception | None = None
    _looked_at: set[float] | None = None
    _began: float = 0.0
    _unsent: list[Step] = field(default_factory=list)
    _sent: float = -math.inf

    def warn(self, text: str) -> None:
        """Tell the artist, once a run."""
        if text not in self.warnings:
            self.warnings.append(text)
            tell(text, self.node_id, logging.WARNING)

    def around(self, functions: Sequence[PreCFG]) -> list[PreCFG]:
        """The pre-CFG functions of a run with those of this record, which pass the predictions on unchanged.

        The first one, what REG hands on, is compared with the last where others come between.
        """
        if not functions:
            return [self.weigh]
        self._reception = Reception()
        return [self.hand_on, *functions, self.weigh]

    def expect(self, evaluation: Evaluation) -> None:
        """Note when a step begins, and at the first of them how many the sampler announces."""
        sigma = float(evaluation.sigma.max())
        if self._looked_at is None:
            self._looked_at = set()
            with self._harmless:
                sigmas = evaluation.sampled_sigmas
                self._looked_at, self.trace.total = _chosen(sigmas), len(sigmas)
        if self._parts and self._parts[0].sigma != sigma:
            with self._harmless:
                self._end_step(None)
        if not self._parts:
            self._began = time.perf_counter()

    def add(self, outcome: Outcome, evaluation: Evaluation) -> None:
        """Keep the numbers of an evaluation, and its picture if it is one of those to look at.

        One transfer from the device, which also makes the time of the step true.
        """
        model, sigma = evaluation.model, float(evaluation.sigma.max())
        percent = sampling_percent(model.model_sampling, sigma)
        step = Step(percent, sigma, outcome.state, noise=evaluation.noise, cost=evaluation.compute.cost)
        if outcome.unconditional is None:
            step = replace(step, mean=0.0, after=0.0, change=1.0)
        elif outcome.state in RECTIFIED:
            with self._harmless:
                step = self._measured(step, outcome, outcome.unconditional, model.latent_format)
        elif outcome.state == OUTSIDE:
            with self._harmless:
                step = plain(step, outcome.conditional - outcome.unconditional)
        self._parts.append(step)

    def _measured(self, step: Step, outcome: Outcome, unconditional: Tensor, latent_format: Any) -> Step:
        gap, rectified_gap = outcome.conditional - unconditional, outcome.conditional - outcome.rectified
        factor, square = places(gap, rectified_gap)
        if self._reception is not None:
            self._reception.rectified(gap, alone=not self._parts)
        step = measured(step, factor, square, gap, rectified_gap, outcome.conditional)
        if step.state == UNUSABLE:
            self._break(step.percent)
        elif step.sigma in (self._looked_at or ()) and step.change is not None:
            self._look(step, latent_format, factor, outcome.conditional)
        return step

    def hand_on(self, arguments: dict[str, Any]) -> list[Tensor]:
        """The first pre-CFG function, before those of other nodes."""
        with self._harmless:
            if self._reception is not None and any(part.state in RECTIFIED for part in self._parts):
                self._reception.hand_on(arguments["conds_out"])
        return arguments["conds_out"]

    def weigh(self, arguments: dict[str, Any]) -> list[Tensor]:
        """The last pre-CFG function, which hears the weight: ends the step."""
        with self._harmless:
            if self._reception is not None:
                self._reception.receive(arguments["conds_out"])
            if any(part.state == UNUSABLE for part in self._parts) and not all(
                bool(prediction.isfinite().all()) for prediction in arguments["conds_out"]
            ):
                self._break(self._parts[0].percent)
            self._end_step(finite(float(arguments["cond_scale"])))
        return arguments["conds_out"]

    @property
    def _harmless(self) -> AbstractContextManager[None]:
        return harmless("record", self._fail)

    def _fail(self, text: str) -> None:
        self.trace.missing = message("record-failed")
        self.warn(text)

    def _look(self, step: Step, latent_format: Any, factor: Tensor, conditional: Tensor) -> None:
        """Keep the picture of a step to look at."""
        seen = shown(factor, conditional)
        if seen is not None and self._looked_at is not None:
            self._looked_at.discard(step.sigma)
            self.trace.pictures.append(Picture(step.percent, seen[0], *preview(latent_format, seen[1], self.warn)))

    def _break(self, percent: float) -> None:
        """A step without usable factor is plain CFG; one whose numbers are not finite is broken."""
        if not self.trace.broken:
            self.warn(message("not-finite", percent=percent))
        if self.trace.broken[-1:] != [percent]:
            self.trace.broken.append(percent)

    def _end_step(self, weight: float | None) -> None:
        if not self._parts:
            return
        if weight is None and all(part.state == SEPARATE for part in self._parts):
            self._parts.clear()  # what another node asked for besides, after the step
            return
        step = replace(merged(self._parts), weight=weight, seconds=time.perf_counter() - self._began)
        self._parts.clear()
        self.trace.steps.append(step)
        if self.inspectors:
            self._unsent.append(step)
            if time.perf_counter() - self._sent > PAUSE:
                self._send()

    def _send(self) -> None:
        """Send the steps that no inspector has heard of."""
        if not self._unsent:
            return
        index, total = len(self.trace.steps) - len(self._unsent), self.trace.total
        data = {"inspectors": list(self.inspectors), "run": str(id(self)), "index": index, "total": total}
        rows = [step.row() for step in self._unsent]
        self._unsent.clear()
        if not send(STEP_EVENT, {**data, "steps": rows}):
            self.inspectors = ()  # it would fail again at every step
        self._sent = time.perf_counter()

    def report(self, estimation: Estimation) -> None:
        """Tell what happened; the warnings once more, since a node shows only the last that it was told."""
        with self._harmless:
            self._end_step(None)
            self._send()
            if self._reception is not None:
                self.trace.altered, self.trace.undone = self._reception.altered, self._reception.undone
            if self.trace.changed:
                self.trace.missing = ""  # what is there is worth showing
            selection = estimation.selection
            self.trace.strength = estimation.method.strength
            method = {"strength": f"{self.trace.strength:g}", **selection.choice}
            settings = ", ".join(f"{name} {value}" for name, value in method.items())
            self.trace.how = " ".join([f"{settings}.", *self.warnings])
            self.trace.form, self.trace.source = estimation.method.form, self.node_id
            reason = selection.reason if estimation.method.estimator == AUTO else ""
            told = summary(self.trace, selection.choice, estimation.states, reason)
            urgent = bool(without_effect(self.trace) or pressing(self.trace) or self.warnings)
            text = "\n".join([told, *concerns(self.trace), *self.warnings])
            tell(text, self.node_id, line=headline(self.trace), urgent=urgent)
