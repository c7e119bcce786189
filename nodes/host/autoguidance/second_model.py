"""A second MODEL that gives the weak predictions of autoguidance, prepared and loaded as the host does its own."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import comfy.model_patcher
import comfy.sampler_helpers
import comfy.samplers
import torch
from comfy.patcher_extension import WrapperExecutor
from torch import Tensor

from ...messages import message
from ..evaluation import Evaluation
from ..keys import AUTOGUIDANCE_KEY
from ..noise_level import signal_scale
from ..notice import tell
from ..sampling import Model
from .guider import AutoGuider, Cond, uncached


class SecondModel:
    """A second MODEL gives the weak predictions: loaded beside the first, with its own patches and options."""

    def __init__(self, model: Model, positive: Any) -> None:
        self._own = comfy.samplers.CFGGuider(model)  # never sampled: it picks the patcher that suits the prompt
        self._own.inner_set_conds({"positive": positive})
        self._has_hooks = comfy.sampler_helpers.cond_has_hooks(positive)
        self._options: dict[str, Any] = {}
        self._encoded: Cond = []
        self._strong: Model = None
        self._swap: Callable[[Model], None] | None = None

    @property
    def patcher(self) -> Model:
        return self._own.model_patcher

    def check(self, model: Model) -> None:
        kind, weak = type(model.model).__name__, type(self.patcher.model).__name__
        if not _same_latents(model, self.patcher):
            raise ValueError(message("latents-differ", model=kind, weak=weak))
        if not _same_noise(model, self.patcher):
            raise ValueError(message("noises-differ", model=kind, weak=weak))
        if self._has_hooks and self.patcher.is_clone(model):
            raise ValueError(message("hooks-on-shared-weights"))

    @contextmanager
    def loaded(self, guider: AutoGuider, shape: torch.Size) -> Iterator[None]:
        weak, strong = self.patcher, guider.model_patcher
        conds = {"positive": [cond.copy() for cond in self._own.original_conds["positive"]]}
        comfy.samplers.preprocess_conds_hooks(conds)
        options = comfy.model_patcher.create_model_options_clone(weak.model_options)
        comfy.sampler_helpers.prepare_model_patcher(weak, conds, options)
        comfy.samplers.filter_registered_hooks_on_conds(conds, options)
        self._options, self._encoded = options, conds["positive"]
        if weak.is_clone(strong):  # one set of weights, which the host patches for one MODEL at a time
            parts = {id(strong): (guider.conds, guider.model_options), id(weak): (conds, options)}

            def swap(patcher: Model) -> None:
                needed, own_options = parts[id(patcher)]
                comfy.sampler_helpers.prepare_sampling(patcher, shape, {**needed}, own_options)
                patcher.model.current_patcher = patcher

            self._swap, self._strong = swap, strong
            if weak.patches_uuid != strong.patches_uuid:
                tell(message("weights-shared"), guider.node_id)
        else:
            strong.set_additional_models(AUTOGUIDANCE_KEY, [weak])  # the host loads them together
        try:
            yield
        finally:
            strong.remove_additional_models(AUTOGUIDANCE_KEY)
            comfy.samplers.cast_to_load_options(options, device=weak.offload_device)
            weak.cleanup()
            weak.restore_hook_patches()
            self._options, self._encoded, self._strong, self._swap = {}, [], None, None

    @contextmanager
    def _in_use(self) -> Iterator[None]:
        """The weights are those of the weak model inside; the gradient of the model is computed outside, on its own."""
        if self._swap is None:
            yield
            return
        self._swap(self.patcher)
        try:
            yield
        finally:
            self._swap(self._strong)

    def encode(self, noise: Tensor, latent: Tensor, sigmas: Tensor, *rest: Any, **more: Any) -> None:
        weak, device = self.patcher, self.patcher.load_device
        denoise_mask, seed = rest
        self._options["transformer_options"]["sample_sigmas"] = sigmas
        comfy.samplers.cast_to_load_options(self._options, device=device, dtype=weak.model_dtype())
        with self._in_use():
            weak.pre_run()
            if latent is not None and bool(torch.count_nonzero(latent)):  # the host does not shift an empty latent
                latent = weak.model.process_latent_in(latent)
            conds = {"positive": self._encoded}
            comfy.samplers.process_conds(weak.model, noise, conds, device, latent, denoise_mask, seed, **more)
            self._encoded = conds["positive"]

    def conds(self, positive: Cond) -> Cond:
        return self._encoded

    def prediction(self, evaluation: Evaluation, warn: Callable[[str], None]) -> Tensor:
        device = self.patcher.load_device
        executor = WrapperExecutor.new_executor(comfy.samplers.calc_cond_batch, [])
        x, sigma = evaluation.x.to(device), evaluation.sigma.to(device)
        there = Evaluation(executor, self.patcher.model, evaluation.conds, x, sigma, self._options)
        with self._in_use():
            return uncached(there).to(evaluation.x.device)


def _same_latents(model: Model, weak: Model) -> bool:
    """Both make the same of one latent before they see it."""
    formats = [patcher.get_model_object("latent_format") for patcher in (model, weak)]
    shapes = [(1, format.latent_channels, *[2] * format.latent_dimensions) for format in formats]
    if shapes[0] != shapes[1]:
        return False
    latent = torch.linspace(-1, 1, math.prod(shapes[0])).reshape(shapes[0])
    inner, weak_inner = (format.process_in(latent.clone()) for format in formats)
    return inner.shape == weak_inner.shape and torch.allclose(inner, weak_inner)


def _same_noise(model: Model, weak: Model) -> bool:
    """Both take a sample of one sigma for the same mixture of signal and noise."""
    sigma = torch.tensor([0.2, 0.5, 0.8])
    strong, other = (
        signal_scale(patcher.get_model_object("model_sampling"), sigma, sigma) for patcher in (model, weak)
    )
    return torch.allclose(strong, other)
