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
            raise ValueError(f"REG: expected layers as numbers from 0, such as 7, 8, 9 or 7-9; got {shown(text)}.")
        layers.update(numbers)
        if len(layers) > MOST_LAYERS:
            raise ValueError(f"REG: at most {MOST_LAYERS} layers can be skipped; got {shown(text)}. Choose fewer.")
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


WEAKENINGS: dict[str, Patch] = {SKIP_LAYERS: _skip_layers, PERTURBED_ATTENTION: _perturb_attention}


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
        network = model.get_model_object("diffusion_model")
        kind = type(model.model).__name__
        is_unet = isinstance(network, UNetModel)
        if self.weaken == SKIP_LAYERS and is_unet:
            raise ValueError(
                f"REG: this model ({kind}) is a UNet, which has no layers that could be skipped. "
                f"Choose '{PERTURBED_ATTENTION}', or connect weak_model."
            )
        if self.weaken == PERTURBED_ATTENTION and not (is_unet and _attends_in_the_middle(network)):
            raise ValueError(
                f"REG: '{PERTURBED_ATTENTION}' needs a UNet with attention in its middle (SD1.5, SD2, SDXL); "
                f"this model is {kind}. Choose '{SKIP_LAYERS}', or connect weak_model."
            )
        lists = dict(_lists_of_blocks(network))
        if self.weaken == SKIP_LAYERS and lists and min(self.layers) >= max(lists.values()):
            self._refuse(model)

    def _refuse(self, model: Model) -> NoReturn:
        if self.weaken == PERTURBED_ATTENTION:
            raise ValueError(
                f"REG: '{PERTURBED_ATTENTION}' changes nothing in this model: another node that patches it stands in "
                "the way. Remove that node, or connect weak_model."
            )
        blocks = (f"{name} 0 to {count - 1}" for name, count in _lists_of_blocks(model.model.diffusion_model))
        raise ValueError(
            f"REG: skipping {_named(self.layers)} changes nothing in this model ({type(model.model).__name__}; "
            f"blocks: {', '.join(blocks) or 'none'}). "
            "Choose layers that it has; if it has them, it does not let them be skipped: connect weak_model."
        )

    @contextmanager
    def loaded(self, guider: AutoGuider, shape: torch.Size) -> Iterator[None]:
        self._touched.clear()
        yield

    def encode(self, noise: Tensor, latent: Tensor, sigmas: Tensor, *rest: Any, **more: Any) -> None:
        pass  # the model's own conds serve

    def conds(self, positive: Cond) -> Cond:
        return [{**cond, "uuid": uuid.uuid4()} for cond in positive]

    def prediction(self, evaluation: Evaluation, warn: Callable[[str], None]) -> Tensor:
        options = WEAKENINGS[self.weaken](evaluation.model_options, self.layers, self._touched)
        output = uncached(replace(evaluation, model_options=options))
        if self._touched.issuperset(self.layers) and self._touched:
            return output
        if not bool(output.any()):  # no part of the prompt is active at this noise level: nothing was evaluated
            return output
        if not self._touched:
            self._refuse(evaluation.model.current_patcher)
        warn(f"this model has no {_named(sorted(set(self.layers) - self._touched))}; the others are skipped")
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
