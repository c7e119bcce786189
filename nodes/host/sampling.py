"""Hooks guidance into the host's sampling: wrappers on a cloned MODEL that stack with those of other packs.

outer sample      opens the record of the run and reports what REG did when it ends
predict noise     the schedule sets this step's cfg; the host then skips the unconditional pass where cfg is 1
calc cond batch   the conditional pass goes through the estimator; D_u is replaced by the rectified D_u'
"""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import comfy.samplers
import torch
from comfy.patcher_extension import WrapperExecutor, WrappersMP
from torch import Tensor

import nodes  # the host's own module, not the folder of this pack

from ...reg_core.packing import packed
from ...reg_core.rectification import RectifiedPair
from ...reg_core.schedule import Schedule, check_range
from ...reg_core.trace import CARRIED, OUTSIDE, PURE_NOISE, SEPARATE, TAKEN, UNGUIDED, UNUSABLE, Trace
from .estimation import Estimation, Habits, Method
from .evaluation import Evaluation
from .gradient import GRADIENT_FREE
from .keys import GUIDANCE_KEY, SCHEDULE_KEY
from .memory import announce
from .noise_level import noise_to_signal, sampling_percent
from .notice import send, tell, write_down
from .prompt import class_type, downstream, executing_node, upstream
from .record import GuidanceRecord, keep

INSPECTOR, INSPECTED = "REG_Inspector", "samples"
TRACES = "guidance_traces"
"""Where a LATENT carries the traces of the run that made it, packed."""

Model = Any


class Run(NamedTuple):
    """State of one sampler run; it lives in that run's model_options and dies with it."""

    record: GuidanceRecord
    estimation: Estimation
    inside: bool = False
    """An evaluation is being rectified: another REG among the wrappers (two MODELs merged by a guider) leaves it be."""


@dataclass(frozen=True)
class Guidance:
    """REG over a range of sampling percent.

    Raises ValueError for a reversed range. Source: arXiv 2501.18865. Cost per guided step inside the range at which a
    Jacobian product is taken: one backward pass (reverse), two with checkpointing, or one more conditional evaluation
    (forward, finite difference).
    """

    method: Method
    start_percent: float = 0.0
    end_percent: float = 1.0
    node_id: str | None = None
    habits: Habits = field(default_factory=Habits, compare=False)
    traces: dict[str | None, Trace] = field(default_factory=dict, compare=False)
    """What the last runs did, by the node that sampled."""

    def __post_init__(self) -> None:
        check_range(self.start_percent, self.end_percent)

    def install(self, model: Model) -> Model:
        """A clone of the MODEL that samples with this guidance in place of any REG it carried before."""
        model = model.clone()
        wrappers = {
            WrappersMP.OUTER_SAMPLE: self.outer_sample,
            WrappersMP.PREPARE_SAMPLING: announce if self.method.estimator != GRADIENT_FREE else None,
            WrappersMP.CALC_COND_BATCH: self.predict,
        }
        for kind, wrapper in wrappers.items():
            model.remove_wrappers_with_key(kind, GUIDANCE_KEY)
            if wrapper is not None and self.method.strength != 0:
                model.add_wrapper_with_key(kind, GUIDANCE_KEY, wrapper)
        if self.method.strength == 0:
            tell("no effect: strength is 0, which is plain CFG", self.node_id)
        return model

    def outer_sample(self, executor: WrapperExecutor, *args: Any, **kwargs: Any) -> Any:
        options = executor.class_obj.model_options  # the run's own copy
        if GUIDANCE_KEY in options:  # of two MODELs that a guider has merged: the first one's REG counts
            return executor(*args, **kwargs)
        sampler = executing_node()
        inspectors = downstream(sampler, INSPECTOR, INSPECTED) if sampler is not None else []
        run = self._run(inspectors)
        options[GUIDANCE_KEY] = run
        options["sampler_pre_cfg_function"] = run.record.around(options.get("sampler_pre_cfg_function", []))
        output = executor(*args, **kwargs)
        run.record.report(run.estimation)
        keep(self.traces, sampler, run.record.trace)
        if run.estimation.taken:
            write_down(run.estimation.choice, self.node_id)
        return output

    def _run(self, inspectors: Sequence[str] = ()) -> Run:
        record = GuidanceRecord(self.node_id, inspectors)
        return Run(record, Estimation(self.method, record.warn, self.habits))

    def predict(
        self,
        executor: WrapperExecutor,
        model: Model,
        conds: list[Any],
        x: Tensor,
        sigma: Tensor,
        options: dict[str, Any],
    ) -> list[Tensor]:
        run = options.get(GUIDANCE_KEY) or self._run()
        evaluation = Evaluation(executor, model, conds, x, sigma, {**options, GUIDANCE_KEY: run._replace(inside=True)})
        if run.inside or len(conds) != 2:  # another guidance's extra pass, or a guider with predictions of its own
            return evaluation.predictions()
        record, estimation = run.record, run.estimation
        level = float(sigma.max())
        record.expect(evaluation, level)
        where = sampling_percent(model.model_sampling, level), level
        inside = self._in_range(model.model_sampling, level)
        if not (evaluation.guided and inside):
            predictions = evaluation.predictions()
            record.evaluated((SEPARATE if inside else OUTSIDE) if conds[1] else UNGUIDED, *where)
            return predictions
        carried = estimation.carried
        unconditional, pair = self._pair(estimation, evaluation)
        if pair.product is None:
            record.evaluated(UNUSABLE, *where)
            return [pair.conditional, unconditional]
        state = CARRIED if estimation.carried > carried else TAKEN if bool(evaluation.alpha.any()) else PURE_NOISE
        record.rectified(state, *where, model.latent_format, pair.conditional, unconditional, pair.unconditional)
        return [pair.conditional, pair.unconditional]

    def _in_range(self, model_sampling: Any, sigma: float) -> bool:
        noisiest = float(model_sampling.percent_to_sigma(self.start_percent))
        return float(model_sampling.percent_to_sigma(self.end_percent)) <= sigma <= noisiest

    def _noises(self, evaluation: Evaluation) -> list[float]:
        """Noise-to-signal ratios of the run's steps inside the range."""
        sampling = evaluation.model.model_sampling
        sigmas = [sigma for sigma in evaluation.sampled_sigmas if self._in_range(sampling, sigma)]
        return [noise_to_signal(sampling, sigma) for sigma in sigmas]

    def _pair(self, estimation: Estimation, evaluation: Evaluation) -> tuple[Tensor, RectifiedPair]:
        """D_u as the model predicts it, and the rectified pair."""
        if bool(evaluation.alpha.any()):
            return estimation.pair(evaluation, lambda: self._noises(evaluation))
        # Pure noise, the first step of a flow model: R is 0 whatever the Jacobian.
        conditional, unconditional = evaluation.predictions()
        product = torch.zeros_like(conditional)
        return unconditional, estimation.rectification.rectified(conditional, unconditional, product)


def traces(model: Any) -> dict[str | None, Trace]:
    """What the last runs of a MODEL or GUIDER with REG did, by the node that sampled; none without REG."""
    model = getattr(model, "model_patcher", model)
    installed = model.get_wrappers(WrappersMP.OUTER_SAMPLE, GUIDANCE_KEY)
    return installed[0].__self__.traces if installed else {}


@dataclass(frozen=True)
class ScheduledWeight:
    """The guidance weight of every evaluation comes from a schedule, in place of the sampler's or guider's cfg."""

    schedule: Schedule
    node_id: str | None = None

    def install(self, model: Model) -> Model:
        """A clone of the MODEL that samples with this schedule in place of any it carried before."""
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
            text = f"the schedule sets the guider's cfg, which {kind.__name__} may not read. Use CFG Guider."
            tell(text, self.node_id, logging.WARNING)
        self._show(executor.class_obj.model_patcher, *args)
        return executor(*args, **kwargs)

    def _show(self, model: Model, noise: Any, latent: Any, sampler: Any, sigmas: Tensor, *args: Any) -> None:
        """Tell the schedule nodes upstream at which noise levels this run follows them."""
        if self.node_id is None or executing_node() is None:
            return
        names = [name for name in upstream(self.node_id, "schedule") if class_type(name).startswith("REG_Schedule")]
        model_sampling, levels = model.get_model_object("model_sampling"), sigmas[:-1].tolist()
        noises = [noise_to_signal(model_sampling, level) for level in levels]
        run = {
            "percent": [sampling_percent(model_sampling, level) for level in levels],
            "sigma": [noise if math.isfinite(noise) else None for noise in noises],
        }
        send("reg.schedule", {"schedules": names, **run})

    def predict_noise(self, executor: WrapperExecutor, x: Tensor, sigma: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        guider = executor.class_obj
        model_sampling, level = guider.inner_model.model_sampling, float(sigma.max())
        cfg = guider.cfg
        guider.cfg = self.schedule(sampling_percent(model_sampling, level), noise_to_signal(model_sampling, level))
        try:
            return executor(x, sigma, *args, **kwargs)
        finally:
            guider.cfg = cfg


def check_conditioning(positive: Any, negative: Any) -> None:
    """Raises ValueError for conditioning without entries."""
    for name, conditioning in (("positive", positive), ("negative", negative)):
        if not conditioning:
            raise ValueError(f"REG: {name} conditioning is empty. Connect a node that encodes a prompt or a class.")


def guider(model: Model, positive: Any, negative: Any, cfg: float) -> comfy.samplers.CFGGuider:
    """The host's CFG guider on ``model``; raises ValueError for conditioning without entries."""
    check_conditioning(positive, negative)
    result = comfy.samplers.CFGGuider(model)
    result.set_conds(positive, negative)
    result.set_cfg(cfg)
    return result


def ksample(
    model: Model,
    settings: tuple[int, int, float, str, str],
    positive: Any,
    negative: Any,
    latent_image: dict[str, Any],
    **part: Any,
) -> dict[str, Any]:
    """A LATENT sampled exactly as the host's KSampler does, with its previews, progress, interrupt, and its trace.

    ``settings`` are seed, steps, cfg, sampler name and scheduler; ``part`` says which steps, in the host's words.
    Raises ValueError for conditioning without entries.
    """
    check_conditioning(positive, negative)
    sampled = nodes.common_ksampler(  # pyright: ignore[reportAttributeAccessIssue]
        model, *settings, positive, negative, latent_image, **part
    )[0]
    return {**sampled, TRACES: packed(traces(model))}
