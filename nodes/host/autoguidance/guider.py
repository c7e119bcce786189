"""Autoguidance: guidance away from what a weaker version of the model predicts for the same prompt.

``D = D_weak(x; c) + w (D(x; c) - D_weak(x; c))``, arXiv 2406.02507. The weak prediction stands where CFG has the
unconditional one, so REG, schedules and whatever else acts on that pair act on it as they do with CFG.
"""

from __future__ import annotations

import logging
import math
import uuid
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import Any, Protocol

import comfy.samplers
import torch
from comfy.patcher_extension import WrapperExecutor, WrappersMP, add_wrapper_with_key
from torch import Tensor

from ....reg_core.autograd import RandomState
from ...messages import message
from ..derivative.composition import Separate
from ..evaluation import Evaluation
from ..keys import AUTOGUIDANCE_KEY, GUIDANCE_KEY
from ..neighbours import reach_inside
from ..notice import tell
from ..sampling import Model, check_conditioning

Cond = list[dict[str, Any]]


class Weak(Protocol):
    """Where the weak predictions of a run come from."""

    def check(self, model: Model) -> None:
        """Raises ValueError where it can be known before a run that ``model`` cannot be guided by this."""
        ...

    def loaded(self, guider: AutoGuider, shape: torch.Size) -> AbstractContextManager[None]:
        """Around a run on noise of this shape, before the host loads the model."""
        ...

    def encode(self, noise: Tensor, latent: Tensor, sigmas: Tensor, *rest: Any, **more: Any) -> None:
        """What the host does with its own conds once the models are loaded."""
        ...

    def conds(self, positive: Cond) -> Cond:
        """The conds of the weak prediction; ``positive`` are those of the model."""
        ...

    def prediction(self, evaluation: Evaluation, warn: Callable[[str], None]) -> Tensor:
        """D_weak for the one list of conds in ``evaluation``. Cost: one evaluation of the weak version."""
        ...


class AutoGuider(comfy.samplers.CFGGuider):
    """The host's CFG guider with the weak prediction for the prompt in place of the unconditional one.

    Raises ValueError for an empty prompt and for a weak version that cannot be one of this model. Cost per step: one
    evaluation of each; none of the weak version where cfg is 1.
    """

    def __init__(self, model: Model, positive: Any, cfg: float, weak: Weak, node_id: str | None = None) -> None:
        check_conditioning(positive, positive)
        weak.check(model)
        super().__init__(model.clone())
        self.inner_set_conds({"positive": positive})
        self.set_cfg(cfg)
        self.weak, self.node_id = weak, node_id
        self._ids: set[uuid.UUID] = set()
        self._told: set[str] = set()
        self._looked = False
        self._prediction: Tensor | None = None

    def outer_sample(self, noise: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        options = self.model_options  # the run's own copy
        if not self._may_guide(options):
            tell(message("weak-not-used"), self.node_id)
            return super().outer_sample(noise, *args, **kwargs)
        # Last, so inside every other wrapper: REG, or another pack, may ask for the two predictions one at a time.
        add_wrapper_with_key(WrappersMP.CALC_COND_BATCH, AUTOGUIDANCE_KEY, self._predict, options, True)
        add_wrapper_with_key(WrappersMP.SAMPLER_SAMPLE, AUTOGUIDANCE_KEY, self._sample, options, True)
        options["sampler_pre_cfg_function"] = [self._compare, *options.get("sampler_pre_cfg_function", [])]
        self._told.clear()
        self._looked = False
        try:
            with self.weak.loaded(self, noise.shape):
                return super().outer_sample(noise, *args, **kwargs)
        finally:
            self._ids, self._prediction = set(), None

    def inner_sample(
        self, noise: Tensor, latent_image: Tensor, device: Any, sampler: Any, sigmas: Tensor, *args: Any, **kwargs: Any
    ) -> Tensor:
        if self._uses_weak:
            denoise_mask, _callback, _quiet, seed = args
            self.weak.encode(noise, latent_image, sigmas, denoise_mask, seed, **kwargs)
        return super().inner_sample(noise, latent_image, device, sampler, sigmas, *args, **kwargs)

    @property
    def _uses_weak(self) -> bool:
        wrappers = self.model_options["transformer_options"].get("wrappers", {})
        return AUTOGUIDANCE_KEY in wrappers.get(WrappersMP.CALC_COND_BATCH, {})

    def _may_guide(self, options: dict[str, Any]) -> bool:
        """Whether the weight may leave 1 in this run; wrappers of predict noise, such as schedules, set it."""
        wrappers = options["transformer_options"].get("wrappers", {}).get(WrappersMP.PREDICT_NOISE, {})
        return (
            not math.isclose(self.cfg, 1.0) or any(wrappers.values()) or options.get("disable_cfg1_optimization", False)
        )

    def _sample(self, executor: WrapperExecutor, *args: Any, **kwargs: Any) -> Tensor:
        negative = self.weak.conds(self.conds["positive"])
        self._ids = {cond["uuid"] for cond in negative}
        self.conds["negative"] = negative
        return executor(*args, **kwargs)

    def _predict(
        self,
        executor: WrapperExecutor,
        model: Any,
        conds: list[Cond | None],
        x: Tensor,
        sigma: Tensor,
        options: dict[str, Any],
    ) -> list[Tensor]:
        """Every place of ``conds`` that holds the weak ones is answered by the weak version."""
        weak = {place: cond for place, cond in enumerate(conds) if cond and cond[0]["uuid"] in self._ids}
        if weak and not self._looked:
            self._looked = True
            self._look(Evaluation(executor, model, [self.conds["positive"]], x, sigma, options))
        others = [None if place in weak else cond for place, cond in enumerate(conds)]
        outputs = [torch.zeros_like(x) for _ in conds]
        if any(others) or not weak:
            outputs = executor(model, others, x, sigma, options)
        for place, cond in weak.items():
            evaluation = Evaluation(executor, model, [cond], x, sigma, options)
            outputs[place] = self._prediction = self.weak.prediction(evaluation, lambda text: self._warn(text, options))
        return outputs

    def _look(self, evaluation: Evaluation) -> None:
        """Once a run, say so if another node works inside a batch that autoguidance does not make."""
        negative = _blank(evaluation.conds[0] or [])
        if not negative or not reach_inside(evaluation):
            return
        random = RandomState({evaluation.x.device})
        both = replace(evaluation, conds=[*evaluation.conds, negative], random=random)
        shared = Separate(both, None, nullcontext, compared=True)
        if shared.coupled(shared.conditional(evaluation.x)):
            self._warn(message("node-needs-negative"), evaluation.model_options)

    def _compare(self, arguments: dict[str, Any]) -> list[Tensor]:
        """The host's pre-CFG hook, before those of others; the predictions pass unchanged."""
        weak, self._prediction = self._prediction, None
        outputs = arguments["conds_out"]
        if weak is not None and torch.equal(outputs[0], weak):
            self._warn(message("weak-not-weaker"), arguments["model_options"])
        return outputs

    def _warn(self, text: str, options: dict[str, Any]) -> None:
        """Tell the artist, once a run, through the record of REG where there is one: it is shown at the end again."""
        if text in self._told:
            return
        self._told.add(text)
        if GUIDANCE_KEY in options:
            options[GUIDANCE_KEY].record.warn(text)
        else:
            tell(text, self.node_id, logging.WARNING)


def _blank(positive: Cond) -> Cond:
    """Conds of an empty prompt of the same shape; none where the model has no prompt to empty."""
    blank: Cond = []
    for cond in positive:
        prompt = cond.get("model_conds", {}).get("c_crossattn")
        if prompt is not None:
            empty = prompt._copy_with(torch.zeros_like(prompt.cond))
            blank.append({**cond, "uuid": uuid.uuid4(), "model_conds": {**cond["model_conds"], "c_crossattn": empty}})
    return blank


def uncached(evaluation: Evaluation) -> Tensor:
    """The prediction for the one list of conds, never out of an output cache: that holds the one of the model."""
    return evaluation.alone(0, evaluation.x)
