"""A guidance schedule in the host's sampling: wrappers on a cloned MODEL that set the guider's cfg at every step."""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass
from typing import Any

import comfy.samplers
from comfy.patcher_extension import WrapperExecutor, WrappersMP
from torch import Tensor

from ...reg_core.number import HIGHEST, number
from ...reg_core.schedule import Schedule
from ...reg_core.table import shown
from ..effect import span
from ..messages import message
from .contract import SCHEDULE_EVENT
from .keys import SCHEDULE_KEY
from .noise_level import noise_to_signal, sampling_percent
from .notice import send, tell
from .prompt import executing_node, shown_schedules

Model = Any


@dataclass(frozen=True)
class ScheduledWeight:
    """The guidance weight of every evaluation comes from a schedule, in place of the sampler's or guider's cfg."""

    schedule: Schedule
    node_id: str | None = None
    tells: bool = True
    """Whether it tells what the schedule did; on a node with REG, that does."""

    def install(self, model: Model) -> Model:
        """A clone of the MODEL that samples with this schedule in place of any it had before."""
        model = model.clone()
        for kind, wrapper in (
            (WrappersMP.OUTER_SAMPLE, self.outer_sample),
            (WrappersMP.PREDICT_NOISE, self.predict_noise),
        ):
            model.remove_wrappers_with_key(kind, SCHEDULE_KEY)
            model.add_wrapper_with_key(kind, SCHEDULE_KEY, wrapper)
        return model

    def outer_sample(self, executor: WrapperExecutor, *args: Any, **kwargs: Any) -> Any:
        kind = type(executor.class_obj)
        if kind.predict_noise is not comfy.samplers.CFGGuider.predict_noise:
            text = message("guider-ignores-schedule", guider=kind.__name__)
            tell(text, self.node_id, logging.WARNING)
        self._show(executor.class_obj.model_patcher, *args)
        weights = executor.class_obj.model_options[SCHEDULE_KEY] = []  # the run's own copy
        output = executor(*args, **kwargs)
        if self.tells and weights:
            none = all(math.isclose(weight, 1.0) for weight in weights)
            told = message("schedule-one") if none else message("cfg-from-schedule", span=span(weights))
            tell(told, self.node_id, urgent=none)
        return output

    def _show(self, model: Model, noise: Any, latent: Any, sampler: Any, sigmas: Tensor, *args: Any) -> None:
        """Tell the schedule nodes upstream at which noise levels this run follows them."""
        if self.node_id is None or executing_node() is None:
            return
        model_sampling, levels = model.get_model_object("model_sampling"), sigmas[:-1].tolist()
        noises = [noise_to_signal(model_sampling, level) for level in levels]
        run = {
            "percent": [sampling_percent(model_sampling, level) for level in levels],
            "sigma": [noise if math.isfinite(noise) else None for noise in noises],
        }
        send(SCHEDULE_EVENT, {"schedules": shown_schedules(self.node_id), **run})

    def predict_noise(self, executor: WrapperExecutor, x: Tensor, sigma: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        guider = executor.class_obj
        model_sampling, level = guider.inner_model.model_sampling, float(sigma.max())
        cfg, percent = guider.cfg, sampling_percent(model_sampling, level)
        weight = self.schedule(percent, noise_to_signal(model_sampling, level))
        try:  # a schedule of another pack may give anything; ours check themselves
            weight = number(weight, "weight")
        except ValueError:
            text = message("weight-not-a-number", weight=shown(weight), percent=percent, limit=HIGHEST)
            raise ValueError(text) from None
        guider.model_options.get(SCHEDULE_KEY, []).append(weight)
        guider.cfg = weight
        try:
            return executor(x, sigma, *args, **kwargs)
        finally:
            guider.cfg = cfg
