"""What other nodes have put on a MODEL: whether it reaches into the network, and which denoiser it makes of it."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterator
from typing import Any, Generic, TypeVar

from comfy.patcher_extension import CallbacksMP, WrappersMP
from torch import Tensor

from .evaluation import CACHE_KEYS, Cond, Evaluation
from .keys import OWN_KEYS

# What does not reach into the network. Everything else in a MODEL's options may make it predict one sample otherwise
# beside another, or give it a derivative that is not its own.
OUTSIDE = {
    "transformer_options",
    "sampler_calc_cond_batch_function",
    "sampler_pre_cfg_function",
    "sampler_cfg_function",
    "sampler_post_cfg_function",
    "disable_cfg1_optimization",
    "denoise_mask_function",
    "context_handler",
    "registered_hooks",
    "to_load_options",
    "multigpu_clones",
    "multigpu_thread_pool",
    "ignore_multigpu",
}
OUTSIDE_NETWORK = {"wrappers", "callbacks", "sample_sigmas", "context_window"}
OUTSIDE_OBJECTS = {"model_sampling", "latent_format"}
INSIDE_WRAPPERS = (WrappersMP.CALC_COND_BATCH, WrappersMP.APPLY_MODEL, WrappersMP.DIFFUSION_MODEL)

# Entries of transformer_options that say how the network computes and not which part of the whole: functions, and what
# follows the noise.
FUNCTIONS = {"patches", "patches_replace", "optimized_attention_override", "sigmas", "cond_or_uncond", "uuids"}
LARGEST_TENSOR = 4096
"""Elements up to which the content of a tensor among the options is compared."""


def reach_inside(evaluation: Evaluation) -> bool:
    """Whether something of another node reaches into the network of this MODEL, or wraps it."""
    options = evaluation.model_options.get("transformer_options", {})
    keys = {*evaluation.model_options} - OUTSIDE | {*options} - OUTSIDE_NETWORK
    for kind in INSIDE_WRAPPERS:
        keys |= {key for key, functions in options.get("wrappers", {}).get(kind, {}).items() if functions}
    patcher = evaluation.model.current_patcher
    return bool(
        keys - OWN_KEYS - {*CACHE_KEYS}
        or {*patcher.object_patches} - OUTSIDE_OBJECTS
        or patcher.get_all_callbacks(CallbacksMP.ON_PREPARE_STATE)
    )


def may_couple(evaluation: Evaluation) -> bool:
    """Whether predictions may act on each other inside a batch: beside another node, or where several prompts act.

    The network of Hunyuan3D 2.1 exchanges the halves of its batch, which three prompts do not survive.
    """
    return reach_inside(evaluation) or any(sum(1 for _ in _active(part, evaluation)) > 1 for part in evaluation.conds)


class _Opaque:
    """An object of another pack, of which nothing can be told but whether it is the same one."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Opaque) and self.value is other.value

    def __hash__(self) -> int:
        return id(self.value)


def _readable(value: Any) -> Hashable:
    """A value as something that can be compared; what is not plain data stays opaque."""
    if value is None or isinstance(value, (bool, int, float, str, bytes)):
        return value
    if isinstance(value, dict):
        return tuple((str(key), _readable(item)) for key, item in value.items())
    if isinstance(value, (list, tuple, range)):
        return tuple(_readable(item) for item in value)
    if isinstance(value, (set, frozenset)):
        return frozenset(_readable(item) for item in value)
    if isinstance(value, Tensor) and value.numel() <= LARGEST_TENSOR:
        return tuple(value.shape), tuple(value.flatten().tolist())
    return _Opaque(value)


def _is_opaque(value: Hashable) -> bool:
    if isinstance(value, (tuple, frozenset)):
        return any(_is_opaque(item) for item in value)
    return isinstance(value, _Opaque)


def _active(conds: Cond, evaluation: Evaluation) -> Iterator[dict[str, Any]]:
    """Those of the conds that act at this noise level."""
    level = float(evaluation.sigma[0])
    for cond in conds or ():
        if cond.get("timestep_end", -math.inf) <= level <= cond.get("timestep_start", math.inf):
            yield cond


def _conds(evaluation: Evaluation) -> Iterator[Hashable]:
    """The positive conds that act at this noise level, each with its hooks and their strengths there."""
    patcher = evaluation.model.current_patcher
    for cond in _active(evaluation.conds[0], evaluation):
        hooks = cond.get("hooks")
        if hooks is None:
            yield cond.get("uuid")
            continue
        # The host does the same in a moment; a second call at one noise level does nothing.
        patcher.prepare_hook_patches_current_keyframe(evaluation.sigma, hooks, evaluation.model_options)
        yield cond.get("uuid"), tuple((id(hook.hook_ref), hook.strength) for hook in hooks.hooks)


def _denoiser(evaluation: Evaluation) -> Hashable:
    """What makes the conditional denoiser of this evaluation another one, as far as the host itself tells."""
    window = evaluation.model_options.get("transformer_options", {}).get("context_window")
    frames = None if window is None else (window.dim, *window.index_list)
    return id(evaluation.model), tuple(evaluation.x.shape), frames, tuple(_conds(evaluation))


State = TypeVar("State")


class PerDenoiser(Generic[State]):
    """A state of a run for each denoiser that it asks for: model, shape, window, conds and their hooks.

    An option of another pack tells denoisers apart as soon as it has changed between two evaluations of one noise level
    (windows of its own); one that merely follows the noise does not. Where such an option cannot be compared, every
    evaluation has a new state. A state that is not asked for during a whole noise level is dropped.
    """

    def __init__(self) -> None:
        self._level = math.nan
        self._states: dict[Hashable, State] = {}
        self._former: dict[Hashable, State] = {}
        self._options: dict[Hashable, dict[str, Hashable]] = {}
        self._telling: set[str] = set()

    def of(self, evaluation: Evaluation, make: Callable[[], State]) -> State:
        """The state of the denoiser that is evaluated, made if there is none."""
        level = float(evaluation.sigma.max())
        if level != self._level:
            self._level, self._former, self._states, self._options = level, self._states, {}, {}
        denoiser, options = _denoiser(evaluation), _options(evaluation)
        first = self._options.setdefault(denoiser, options)
        self._telling |= {name for name in {*first, *options} if first.get(name) != options.get(name)}
        told = tuple(options.get(name) for name in sorted(self._telling))
        if _is_opaque(told):
            return make()
        key = denoiser, told
        if key not in self._states:
            self._states[key] = self._former.pop(key) if key in self._former else make()
        return self._states[key]


def _options(evaluation: Evaluation) -> dict[str, Hashable]:
    options = evaluation.model_options.get("transformer_options", {})
    return {name: _readable(value) for name, value in options.items() if name not in OUTSIDE_NETWORK | FUNCTIONS}
