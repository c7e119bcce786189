"""How long a sampler run takes and what REG does in it, measured on a cloned MODEL."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from comfy.model_management import InterruptProcessingException
from comfy.patcher_extension import WrapperExecutor, WrappersMP
from torch import Tensor

from ...reg_core.trace import Step
from ..messages import message
from .keys import GUIDANCE_KEY, SCHEDULE_KEY, STOPWATCH_KEY
from .sampling import Model


class Skipped(InterruptProcessingException):
    """Ends one sampler run, by the way of an interrupt, which whatever lies between lets pass."""


@dataclass
class Stopwatch:
    """Seconds and batch size of the last sampler run of the MODEL it is installed on; None before any.

    ``steps`` are those of its REG. The host keeps them as long as the run that they are of, unlike the log of all runs.
    A run that ``unwanted`` ends has zeros for its latents, and is ``skipped``.
    """

    seconds: float | None = None
    batch: int = 1
    steps: Sequence[Step] = ()
    skipped: bool = False
    unwanted: Callable[[], bool] = lambda: False

    def install(self, model: Model) -> Model:
        """A clone of the MODEL that is timed by this stopwatch in place of any before."""
        model = model.clone()
        # Around the steps alone: the run that happens to come first would also load the model.
        model.remove_wrappers_with_key(WrappersMP.SAMPLER_SAMPLE, STOPWATCH_KEY)
        model.add_wrapper_with_key(WrappersMP.SAMPLER_SAMPLE, STOPWATCH_KEY, self.sampler_sample)
        return model

    def sampler_sample(
        self,
        executor: WrapperExecutor,
        guider: Any,
        sigmas: Tensor,
        extra_args: dict[str, Any],
        callback: Any,
        noise: Tensor,
        *args: Any,
        **kwargs: Any,
    ) -> Tensor:
        def watched(step: int, *state: Any) -> None:
            self._check_wanted()
            if callback is not None:
                callback(step, *state)

        began = time.perf_counter()
        self.batch, self.seconds, self.steps, self.skipped = noise.shape[0], None, (), False
        try:
            self._check_wanted()
            samples = executor(guider, sigmas, extra_args, watched, noise, *args, **kwargs)
        except Skipped:
            self.skipped = True
            return torch.zeros_like(noise)
        samples.flatten()[:1].tolist()  # waits until the device has computed them
        self.seconds = time.perf_counter() - began
        run = extra_args["model_options"].get(GUIDANCE_KEY)
        self.steps = () if run is None else run.record.trace.steps  # the last of them is added when the run ends
        return samples

    def _check_wanted(self) -> None:
        if self.unwanted():
            raise Skipped

    @property
    def seconds_per_sample(self) -> float | None:
        return None if self.seconds is None else self.seconds / self.batch


def check_plain(model: Model, rectified: bool, scheduled: bool) -> None:
    """Raises ValueError for a MODEL with REG or a schedule where it should have none."""
    present = {
        "REG": not rectified and model.get_wrappers(WrappersMP.CALC_COND_BATCH, GUIDANCE_KEY),
        "a guidance schedule": not scheduled and model.get_wrappers(WrappersMP.PREDICT_NOISE, SCHEDULE_KEY),
    }
    for what, found in present.items():
        if found:
            raise ValueError(message("model-not-plain", what=what))
