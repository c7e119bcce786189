"""The model itself made weaker for autoguidance: layers of a transformer skipped, or attention of a UNet perturbed."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, NoReturn

import comfy.model_patcher
import torch
from comfy.ldm.modules.attention import BasicTransformerBlock
from comfy.ldm.modules.diffusionmodules.openaimodel import UNetModel
from torch import Tensor
from torch.nn import Module, ModuleList

from ....reg_core.table import lookup, shown
from ...messages import message
from ..evaluation import Evaluation
from ..sampling import Model
from .guider import AutoGuider, Cond, uncached

SKIP_LAYERS, PERTURBED_ATTENTION = "skip layers", "perturbed attention"
MOST_LAYERS = 256

Patch = Callable[[dict[str, Any], tuple[int, ...], set[int]], dict[str, Any]]


def read_layers(text: str) -> tuple[int, ...]:
    """Layer numbers from text such as ``7, 8, 9`` or ``7-9``.

    Raises ValueError for any other text, for none, and for more than 256 layers.
    """
    layers: set[int] = set()
    joined = "-".join(part.strip() for part in text.split("-"))  # spaces around a hyphen mean nothing
    for part in re.split(r"[,;\s]+", joined):
        match = re.fullmatch(r"(\d{1,4})(?:-(\d{1,4}))?", part)
        numbers = range(int(match[1]), int(match[2] or match[1]) + 1) if match else range(0)
        if not numbers:
            raise ValueError(message("layers-unreadable", value=shown(text)))
        layers.update(numbers)
        if len(layers) > MOST_LAYERS:
            raise ValueError(message("layers-too-many", most=MOST_LAYERS, value=shown(text)))
    return tuple(sorted(layers))


def _skip_layers(options: dict[str, Any], layers: tuple[int, ...], touched: set[int]) -> dict[str, Any]:
    def skip(layer: int) -> Callable[..., dict[str, Any]]:
        def pass_on(block: dict[str, Any], original: dict[str, Any]) -> dict[str, Any]:
            touched.add(layer)
            return block

        return pass_on

    options = {**options}
    for layer in layers:
        for kind in ("double_block", "single_block"):
            comfy.model_patcher.set_model_options_patch_replace(options, skip(layer), "dit", kind, layer)
    return options


def _perturb_attention(options: dict[str, Any], layers: tuple[int, ...], touched: set[int]) -> dict[str, Any]:
    """Self-attention in the middle block with the identity for its map, arXiv 2403.17377."""

    def identity(q: Tensor, k: Tensor, v: Tensor, extra_options: dict[str, Any]) -> Tensor:
        touched.add(0)
        return v

    options = {**options}
    comfy.model_patcher.set_model_options_patch_replace(options, identity, "attn1", "middle", 0)
    replaced = options["transformer_options"]["patches_replace"]["attn1"]  # copies from here up, made by the host
    for place in [place for place in replaced if len(place) > 2 and place[:2] == ("middle", 0)]:
        del replaced[place]  # one layer of that block: the host would prefer it
    return options


def _check_layers(model: Model, layers: tuple[int, ...]) -> None:
    network = model.get_model_object("diffusion_model")
    if isinstance(network, UNetModel):
        kind = type(model.model).__name__
        raise ValueError(message("unet-has-no-layers", model=kind, other=PERTURBED_ATTENTION))
    lists = dict(_lists_of_blocks(network))
    if lists and min(layers) >= max(lists.values()):
        _refuse_layers(model, layers)


def _refuse_layers(model: Model, layers: tuple[int, ...]) -> NoReturn:
    lists = (f"{name} 0 to {count - 1}" for name, count in _lists_of_blocks(model.model.diffusion_model))
    kind, blocks = type(model.model).__name__, ", ".join(lists) or "none"
    raise ValueError(message("skipping-changes-nothing", layers=_named(layers), model=kind, blocks=blocks))


def _check_attention(model: Model, layers: tuple[int, ...]) -> None:
    network = model.get_model_object("diffusion_model")
    if not (isinstance(network, UNetModel) and _attends_in_the_middle(network)):
        kind, other = type(model.model).__name__, SKIP_LAYERS
        raise ValueError(message("middle-without-attention", weaken=PERTURBED_ATTENTION, model=kind, other=other))


def _refuse_attention(model: Model, layers: tuple[int, ...]) -> NoReturn:
    raise ValueError(message("perturbation-blocked", weaken=PERTURBED_ATTENTION))


@dataclass(frozen=True)
class Weakening:
    """A way to weaken a model: the options with its patches, what it needs, and what to say where nothing changed.

    ``check(model, layers)`` raises ValueError where that is known before a run, ``refuse(model, layers)`` always.
    """

    patch: Patch
    check: Callable[[Model, tuple[int, ...]], None]
    refuse: Callable[[Model, tuple[int, ...]], NoReturn]
    takes_layers: bool = False


WEAKENINGS: dict[str, Weakening] = {
    SKIP_LAYERS: Weakening(_skip_layers, _check_layers, _refuse_layers, takes_layers=True),
    PERTURBED_ATTENTION: Weakening(_perturb_attention, _check_attention, _refuse_attention),
}


def weakened(weaken: str, layers: str) -> WeakenedModel:
    """The model weakened in this way, at the layers of this text where it takes any; ValueError as ``read_layers``."""
    takes_layers = lookup(WEAKENINGS, weaken, "weaken").takes_layers
    return WeakenedModel(weaken, read_layers(layers) if takes_layers else ())


@dataclass
class WeakenedModel:
    """The model itself, weakened: ``layers`` of its transformer skipped, or self-attention perturbed.

    Raises ValueError for an unknown name, and after the first prediction where the model took no notice of it.
    """

    weaken: str
    layers: tuple[int, ...] = ()
    _touched: set[int] = field(default_factory=set)

    def __post_init__(self) -> None:
        lookup(WEAKENINGS, self.weaken, "weaken")

    def check(self, model: Model) -> None:
        WEAKENINGS[self.weaken].check(model, self.layers)

    @contextmanager
    def loaded(self, guider: AutoGuider, shape: torch.Size) -> Iterator[None]:
        self._touched.clear()
        yield

    def encode(self, noise: Tensor, latent: Tensor, sigmas: Tensor, *rest: Any, **more: Any) -> None:
        pass  # the model's own conds serve

    def conds(self, positive: Cond) -> Cond:
        return [{**cond, "uuid": uuid.uuid4()} for cond in positive]

    def prediction(self, evaluation: Evaluation, warn: Callable[[str], None]) -> Tensor:
        options = WEAKENINGS[self.weaken].patch(evaluation.model_options, self.layers, self._touched)
        output = uncached(replace(evaluation, model_options=options))
        if self._touched.issuperset(self.layers) and self._touched:
            return output
        if not bool(output.any()):  # no part of the prompt is active at this noise level: nothing was evaluated
            return output
        if not self._touched:
            WEAKENINGS[self.weaken].refuse(evaluation.model.current_patcher, self.layers)
        warn(message("layers-missing", layers=_named(sorted(set(self.layers) - self._touched))))
        return output


def _named(layers: tuple[int, ...] | list[int]) -> str:
    names = [*map(str, layers[:8]), *(["..."] if len(layers) > 8 else [])]
    return f"layer{'s' if len(layers) > 1 else ''} {', '.join(names)}"


def _attends_in_the_middle(network: Any) -> bool:
    middle = network.middle_block
    return middle is not None and any(isinstance(module, BasicTransformerBlock) for module in middle.modules())


def _lists_of_blocks(network: Module) -> Iterator[tuple[str, int]]:
    for name, child in network.named_children():
        if isinstance(child, ModuleList):
            if any(True for block in child for _ in block.children()):
                yield name, len(child)
        else:
            yield from _lists_of_blocks(child)
