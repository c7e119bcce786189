"""One request of the host for the predictions at a noisy sample, and its parts evaluated one at a time."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from comfy.model_management import throw_exception_if_processing_interrupted
from comfy.patcher_extension import WrapperExecutor
from torch import Tensor

from .gradient import GRADIENT_FREE, differentiable_attention
from .noise_level import noise_to_signal, signal_scale

# Wrappers that answer a repeated noise level from a cache: a shifted input would get the output of the unshifted one.
# LazyCache skips whole predictions instead, REG included, so that it never comes in between.
CACHE_KEYS = ("easycache",)

# Of fp8 and int8 activations, as a network averages it; of the steps tried its root is the best (15 and 6 % error).
QUANTISED = 2.0**-5

Cond = list[dict[str, Any]] | None


@dataclass(frozen=True)
class Evaluation:
    """The arguments of the host's calc_cond_batch: positive and negative conds, sample ``x [batch, ...]``, sigma."""

    executor: WrapperExecutor
    model: Any
    conds: list[Cond]
    x: Tensor
    sigma: Tensor  # [batch]
    model_options: dict[str, Any]

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
    def window(self) -> tuple[int, ...]:
        """Which frames of the whole these are, where the host samples in context windows."""
        window = self.model_options.get("transformer_options", {}).get("context_window")
        return () if window is None else tuple(window.index_list)

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

    @property
    def quantised_layers(self) -> list[Any]:
        """Layers with quantised weights; they round their inputs, too, unless they multiply in full precision."""
        return [module for module in self.model.diffusion_model.modules() if getattr(module, "layout_type", None)]

    @property
    def weight_hooks(self) -> set[Any]:
        """The groups of hooks (LoRA by prompt) of the positive conds; the host swaps weights between two of them."""
        return {cond.get("hooks") for cond in self.conds[0] or ()}

    def predictions(self) -> list[Tensor]:
        """What the host would do without REG."""
        throw_exception_if_processing_interrupted()
        return self.executor(self.model, self.conds, self.x, self.sigma, self.model_options)

    @property
    def cached(self) -> bool:
        """An output cache of the host is on this model."""
        return bool(self._cache_wrappers())

    def unconditional(self) -> Tensor:
        """D_u alone; the negative keeps its place, by which attention patches of other packs know it."""
        return self._uncached([None, self.conds[1]], self.x, self._options(None))[1]

    def both(self) -> list[Tensor]:
        """D_c and D_u in one batch, as the host makes them, but never out of a cache."""
        return self._uncached(self.conds, self.x, self._options(None))

    def conditional(
        self, estimator: str, around: Callable[[], AbstractContextManager[Any]] = nullcontext
    ) -> Callable[[Tensor], Tensor]:
        """The conditional denoiser ``x -> D_c`` for ``estimator`` to difference or differentiate, in a context."""
        options = self._options(None if estimator == GRADIENT_FREE else estimator)

        def denoiser(x: Tensor) -> Tensor:
            with around():
                return self._uncached([self.conds[0]], x, options)[0]

        return denoiser

    def _uncached(self, conds: list[Cond], x: Tensor, options: dict[str, Any]) -> list[Tensor]:
        caches = [function for functions in self._cache_wrappers() for function in functions]
        wrappers = [w for w in self.executor.wrappers[self.executor.idx + 1 :] if w not in caches]
        executor = WrapperExecutor.new_executor(self.executor.original, wrappers)
        # A step of REG is several evaluations; the host itself looks only between steps.
        throw_exception_if_processing_interrupted()
        return executor.execute(self.model, conds, x, self.sigma, options)

    def _cache_wrappers(self) -> list[list[Callable[..., Any]]]:
        wrappers = self.model_options.get("transformer_options", {}).get("wrappers", {})
        return [keyed[key] for keyed in wrappers.values() for key in CACHE_KEYS if key in keyed]

    def _options(self, derivative: str | None) -> dict[str, Any]:
        """A copy of the run's options without output caches and multi-GPU workers (which run without gradients)."""
        transformer_options = dict(self.model_options.get("transformer_options", {}))
        transformer_options["wrappers"] = {
            kind: {key: functions for key, functions in keyed.items() if key not in CACHE_KEYS}
            for kind, keyed in transformer_options.get("wrappers", {}).items()
        }
        if derivative is not None:
            before = transformer_options.get("optimized_attention_override")
            transformer_options["optimized_attention_override"] = differentiable_attention(derivative, before)
        options = {**self.model_options, "transformer_options": transformer_options}
        options.pop("multigpu_clones", None)
        return options
