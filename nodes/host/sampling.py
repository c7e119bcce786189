"""REG in the host's sampling: wrappers on a cloned MODEL that stack with those of other packs.

outer sample      opens the record of the run and reports what REG did when it ends
calc cond batch   the two predictions of an evaluation; D_u is replaced by the rectified D_u'
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import comfy.samplers
from comfy.patcher_extension import WrapperExecutor, WrappersMP
from torch import Tensor

import nodes  # the host's own module, not the folder of this pack

from ...reg_core.jacobian import ESTIMATORS
from ...reg_core.schedule import check_range
from ...reg_core.trace import COMPUTED, OUTSIDE, SEPARATE, UNGUIDED
from ..messages import message
from .derivative.estimation import Estimation, Outcome, untouched
from .derivative.memory import announce
from .derivative.selection import Method, ModelQuirks
from .evaluation import Evaluation
from .keys import GUIDANCE_KEY, RUNS_KEY, SCHEDULE_KEY
from .noise_level import noise_to_signal
from .notice import tell, write_down
from .prompt import executing_node, listeners
from .record import GuidanceRecord
from .runs import OFF, RUNS, key_of, new_key

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
    Jacobian product is computed: one backward pass (reverse), two with checkpointing, or one more conditional
    evaluation (forward, finite difference).
    """

    method: Method
    start_percent: float = 0.0
    end_percent: float = 1.0
    node_id: str | None = None
    quirks: ModelQuirks = field(default_factory=ModelQuirks, compare=False)
    key: str = field(default_factory=new_key, compare=False)
    """Under which the runs are kept."""
    repeated: bool = False
    """Whether it took the place of another REG."""

    def __post_init__(self) -> None:
        check_range(self.start_percent, self.end_percent)

    def install(self, model: Model) -> Model:
        """A clone of the MODEL that samples with this guidance in place of any REG it had before."""
        model = model.clone()
        former = model.get_wrappers(WrappersMP.OUTER_SAMPLE, GUIDANCE_KEY)
        for replaced in former:
            tell(message("reg-replaced"), replaced.__self__.node_id, holds=True)
        installed = replace(self, repeated=bool(former))
        wrappers = {
            WrappersMP.OUTER_SAMPLE: installed.outer_sample,
            WrappersMP.PREPARE_SAMPLING: announce if self._differentiates else None,
            WrappersMP.CALC_COND_BATCH: installed.predict,
        }
        for kind, wrapper in wrappers.items():
            model.remove_wrappers_with_key(kind, GUIDANCE_KEY)
            if wrapper is not None and self.method.strength != 0:
                model.add_wrapper_with_key(kind, GUIDANCE_KEY, wrapper)
        model.model_options[RUNS_KEY] = self.key if self.method.strength != 0 else OFF
        if self.method.strength == 0:
            scheduled = SCHEDULE_KEY in model.wrappers.get(WrappersMP.PREDICT_NOISE, {})
            tell(message("schedule-alone" if scheduled else "strength-zero"), self.node_id, holds=True)
            if former:
                tell(message("reg-repeated"), self.node_id, urgent=True, holds=True)
        return model

    @property
    def _differentiates(self) -> bool:
        return ESTIMATORS[self.method.first_estimator].differentiates

    def outer_sample(self, executor: WrapperExecutor, *args: Any, **kwargs: Any) -> Any:
        options = executor.class_obj.model_options  # the run's own copy
        if GUIDANCE_KEY in options:  # of two MODELs that a guider has merged: the first one's REG counts
            return executor(*args, **kwargs)
        sampler = executing_node()
        run = options[GUIDANCE_KEY] = self._run(listeners(sampler) if sampler is not None else [])
        wrappers = options["transformer_options"].get("wrappers", {})
        run.record.trace.scheduled = SCHEDULE_KEY in wrappers.get(WrappersMP.PREDICT_NOISE, {})
        run.record.trace.repeated = self.repeated
        options["sampler_pre_cfg_function"] = run.record.around(options.get("sampler_pre_cfg_function", []))
        output = executor(*args, **kwargs)
        run.record.report(run.estimation)
        RUNS.keep(self.key, sampler, run.record.trace)
        if run.estimation.states[COMPUTED]:
            write_down(run.estimation.selection.choice, self.node_id)
        return output

    def _run(self, inspectors: Sequence[str] = ()) -> Run:
        record = GuidanceRecord(self.node_id, inspectors)
        return Run(record, Estimation(self.method, record.warn, self.quirks))

    def predict(
        self,
        executor: WrapperExecutor,
        model: Any,
        conds: list[Any],
        x: Tensor,
        sigma: Tensor,
        options: dict[str, Any],
    ) -> list[Tensor]:
        run = options.get(GUIDANCE_KEY) or self._run()
        evaluation = Evaluation(executor, model, conds, x, sigma, {**options, GUIDANCE_KEY: run._replace(inside=True)})
        if run.inside or len(conds) != 2:  # another guidance's extra pass, or a guider with predictions of its own
            return evaluation.predictions()
        run.record.expect(evaluation)
        outcome = self._outcome(run.estimation, evaluation)
        run.record.add(outcome, evaluation)
        return [outcome.conditional, outcome.rectified]

    def _outcome(self, estimation: Estimation, evaluation: Evaluation) -> Outcome:
        inside = self._in_range(evaluation.model.model_sampling, float(evaluation.sigma.max()))
        if inside and evaluation.guided:
            return estimation.outcome(evaluation, lambda: self._planned(evaluation))
        state = UNGUIDED if not evaluation.conds[1] else SEPARATE if inside else OUTSIDE
        return untouched(state, evaluation.predictions())

    def _in_range(self, model_sampling: Any, sigma: float) -> bool:
        noisiest = float(model_sampling.percent_to_sigma(self.start_percent))
        return float(model_sampling.percent_to_sigma(self.end_percent)) <= sigma <= noisiest

    def _planned(self, evaluation: Evaluation) -> list[float]:
        """Noise-to-signal ratios of the run's steps inside the range."""
        sampling = evaluation.model.model_sampling
        sigmas = [sigma for sigma in evaluation.sampled_sigmas if self._in_range(sampling, sigma)]
        return [noise_to_signal(sampling, sigma) for sigma in sigmas]


def check_conditioning(positive: Any, negative: Any) -> None:
    """Raises ValueError for conditioning without entries."""
    for name, conditioning in (("positive", positive), ("negative", negative)):
        if not conditioning:
            raise ValueError(message("conditioning-empty", name=name))


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
    """A LATENT sampled as the host's KSampler does, with previews, progress and interrupt, and with the key of its run.

    ``settings`` are seed, steps, cfg, sampler name and scheduler; ``part`` says which steps, in the host's words.
    Raises ValueError for conditioning without entries.
    """
    check_conditioning(positive, negative)
    sampled = nodes.common_ksampler(  # pyright: ignore[reportAttributeAccessIssue]
        model, *settings, positive, negative, latent_image, **part
    )[0]
    return {**sampled, RUNS_KEY: key_of(model)}  # the LATENT that came in may carry the key of an earlier run
