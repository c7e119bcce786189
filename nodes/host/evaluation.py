"""One request of the host for the predictions at a noisy sample, and its parts evaluated one at a time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from comfy.model_management import throw_exception_if_processing_interrupted
from comfy.patcher_extension import WrapperExecutor
from torch import Tensor

from ...reg_core.autograd import RandomState
from .derivative.attention import PREFIX_CACHES, DifferentiableAttention
from .noise_level import noise_to_signal, signal_scale

# Wrappers that answer a repeated noise level from a cache: a shifted input would get the output of the unshifted one.
# LazyCache skips whole predictions instead, REG included, so that it never comes in between.
CACHE_KEYS = ("easycache",)

# Of fp8 and int8 activations, as a network averages it; of the steps tried its root is the best (15 and 6 % error).
QUANTISED = 2.0**-5

Cond = list[dict[str, Any]] | None


def _count(conds: list[Cond]) -> int:
    return sum(1 for cond in conds if cond)


@dataclass
class Compute:
    """What an evaluation has taken so far: the rows that were evaluated, and those that a derivative went through."""

    rows: int = 0
    differentiated: int = 0

    @property
    def cost(self) -> float:
        """In steps of CFG, which evaluates two rows; a derivative counts as another evaluation of its row."""
        return (self.rows + self.differentiated) / 2


@dataclass(frozen=True)
class Evaluation:
    """The arguments of the host's calc_cond_batch: positive and negative conds, sample ``x [batch, ...]``, sigma.

    With ``random`` every evaluation but ``predictions`` draws the same random numbers, as parts of one have to.
    """

    executor: WrapperExecutor
    model: Any
    conds: list[Cond]
    x: Tensor
    sigma: Tensor  # [batch]
    model_options: dict[str, Any]
    random: RandomState | None = None
    compute: Compute = field(default_factory=Compute, compare=False)

    @property
    def guided(self) -> bool:
        """Both predictions are asked for; the host drops the negative one where cfg is 1."""
        return len(self.conds) == 2 and bool(self.conds[0]) and bool(self.conds[1])

    @property
    def alpha(self) -> Tensor:
        return signal_scale(self.model.model_sampling, self.sigma, self.x)

    @property
    def noise(self) -> float:
        """Noise-to-signal ratio of the noisiest sample."""
        return noise_to_signal(self.model.model_sampling, float(self.sigma.max()))

    @property
    def sampled_sigmas(self) -> list[float]:
        """The noise levels of this sampler run, one per step, falling; none where the sampler does not tell."""
        sigmas = self.model_options.get("transformer_options", {}).get("sample_sigmas")
        return [] if sigmas is None else sigmas[:-1].tolist()

    @property
    def eps(self) -> float:
        """Relative rounding of what the model computes in: its dtype, or the few bits of quantised activations."""
        eps = torch.finfo(self.model.get_dtype_inference()).eps
        rounding = any(not getattr(layer, "_full_precision_mm", False) for layer in self.quantised_layers)
        return max(eps, QUANTISED) if rounding else eps

    @cached_property
    def quantised_layers(self) -> list[Any]:
        """Layers with quantised weights; they round their inputs, too, unless they multiply in full precision."""
        return [module for module in self.model.diffusion_model.modules() if getattr(module, "layout_type", None)]

    def weight_hooks(self, conds: list[Cond]) -> set[Any]:
        """The groups of hooks (LoRA by prompt) of these conds; the host swaps weights between two of them."""
        return {cond.get("hooks") for part in conds for cond in part or ()}

    def predictions(self) -> list[Tensor]:
        """What the host would do without REG."""
        return self._as_host(self.conds)

    def conditional(self) -> Tensor:
        """D_c without D_u, as the host evaluates it where cfg is 1."""
        return self._as_host([self.conds[0], None])[0]

    def _as_host(self, conds: list[Cond]) -> list[Tensor]:
        throw_exception_if_processing_interrupted()
        self.compute.rows += _count(conds)
        return self.executor(self.model, conds, self.x, self.sigma, self.model_options)

    @property
    def spares_unconditional(self) -> bool:
        """Whether D_u may be left out where REG needs none; False where a sampler or another node reads it, too."""
        return not self.model_options.get("disable_cfg1_optimization", False)

    @property
    def cached(self) -> bool:
        """An output cache of the host is on this model."""
        return bool(self._cache_wrappers())

    def alone(self, place: int, x: Tensor, attention: DifferentiableAttention | None = None) -> Tensor:
        """D_c (place 0) or D_u (place 1) at ``x`` alone, never out of a cache, with an attention of ours.

        The negative keeps its place, by which attention patches of other packs know it.
        """
        conds = [cond if place == index else None for index, cond in enumerate(self.conds[: place + 1])]
        return self._uncached(conds, x, attention)[place]

    def both(self, x: Tensor, attention: DifferentiableAttention | None = None) -> list[Tensor]:
        """D_c and D_u at ``x`` in one batch, as the host makes them, never out of a cache."""
        return self._uncached(self.conds, x, attention)

    def _uncached(self, conds: list[Cond], x: Tensor, attention: DifferentiableAttention | None) -> list[Tensor]:
        caches = [function for functions in self._cache_wrappers() for function in functions]
        wrappers = [w for w in self.executor.wrappers[self.executor.idx + 1 :] if w not in caches]
        executor = WrapperExecutor.new_executor(self.executor.original, wrappers)
        # A step of REG is several evaluations; the host itself looks only between steps.
        throw_exception_if_processing_interrupted()
        self.compute.rows += _count(conds)
        if self.random is not None:
            self.random.set()
        options = self._options(attention)
        if attention is None:
            return executor.execute(self.model, conds, x, self.sigma, options)
        with attention.insisted(self.model.diffusion_model):
            return executor.execute(self.model, conds, x, self.sigma, options)

    def _cache_wrappers(self) -> list[list[Callable[..., Any]]]:
        wrappers = self.model_options.get("transformer_options", {}).get("wrappers", {})
        return [keyed[key] for keyed in wrappers.values() for key in CACHE_KEYS if key in keyed]

    def _options(self, attention: DifferentiableAttention | None) -> dict[str, Any]:
        """A copy of the run's options without output caches and multi-GPU workers (which run without gradients)."""
        transformer_options = dict(self.model_options.get("transformer_options", {}))
        transformer_options["wrappers"] = {
            kind: {key: functions for key, functions in keyed.items() if key not in CACHE_KEYS}
            for kind, keyed in transformer_options.get("wrappers", {}).items()
        }
        if attention is not None:
            attention.install(transformer_options)
            for key, (reader, off) in PREFIX_CACHES.items():
                if hasattr(self.model.diffusion_model, reader):
                    transformer_options[key] = off
        options = {**self.model_options, "transformer_options": transformer_options}
        options.pop("multigpu_clones", None)
        return options
