"""The memory of a gradient pass through the host's models: what is made again, what may be kept, what is told."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

import comfy.model_management
import comfy.ops
import torch
from comfy.ops import CastWeightBiasOp
from comfy.patcher_extension import WrapperExecutor
from comfy.quant_ops import QuantizedTensor
from torch import Tensor
from torch.nn import Module, ModuleList, Sequential

from ....reg_core.autograd import Fetch, MemoryBudgetExceeded
from ..evaluation import Evaluation

# Recorded activations of one sample against the host's estimate for its evaluation, at most; measured: SD1.5 9, Wan 2.1
# 36, Flux 19. Above that much free memory nothing is counted.
ROOMY = 100
# What a checkpointed pass needs, in samples of the host's estimate; measured: 2 to 3 for the inputs of the blocks, and
# below 0.5 for the block at work.
CHECKPOINTED = 4


def borrowing_layers(evaluation: Evaluation) -> dict[Module, Fetch]:
    """Layers whose weights are cast, patched or streamed for each call and not theirs afterwards; how to fetch them."""
    networks = [evaluation.model.diffusion_model, *_other_networks(evaluation)]
    modules = [module for network in networks for module in network.modules()]
    return {module: _fetch for module in modules if isinstance(module, CastWeightBiasOp) and _borrows(module)}


def _borrows(layer: Any) -> bool:
    weight = getattr(layer, "weight", None)
    changed = layer.comfy_cast_weights or layer.weight_function or layer.bias_function or hasattr(layer, "_v")
    return weight is not None and (bool(changed) or isinstance(weight, QuantizedTensor))


def _other_networks(evaluation: Evaluation) -> Iterator[Module]:
    """ControlNets, and models that patches of other packs bring along: they see the sample, too."""
    patchers = list(getattr(evaluation.model.current_patcher, "model_patches_models", list)())
    for cond in (cond for part in evaluation.conds for cond in part or ()):
        if "control" in cond:
            patchers += cond["control"].get_models()
    return (patcher.model for patcher in patchers if isinstance(patcher.model, Module))


def _fetch(layer: Any, name: str, dtype: torch.dtype, device: torch.device) -> Tensor:
    """The layer's weight or bias once more, by the host's own cast or by that of the pack that the layer is from."""
    if hasattr(layer, "cast_bias_weight"):  # GGUF
        weight, bias = layer.cast_bias_weight(dtype=dtype, device=device, bias_dtype=dtype)
        return weight if name == "weight" else bias
    weight, bias, stream = comfy.ops.cast_bias_weight(
        layer, dtype=dtype, device=device, bias_dtype=dtype, offloadable=True, compute_dtype=dtype
    )
    value = weight if name == "weight" else bias
    if stream[0] is not None or hasattr(layer, "_v"):  # it lies in a buffer that is free for others from here on
        value = value.clone()
    if isinstance(value, QuantizedTensor):
        value = value.dequantize()
    comfy.ops.uncast_bias_weight(layer, weight, bias, stream)
    return value


def doubtful(evaluation: Evaluation) -> bool:
    """Weights stream to the device (low or dynamic VRAM), or are cast by another pack: gradients want a second look."""
    model = evaluation.model
    streamed = model.current_patcher.is_dynamic() or bool(getattr(model, "model_lowvram", False))
    return streamed or any(not type(layer).__module__.startswith("comfy.") for layer in borrowing_layers(evaluation))


def repeated_blocks(network: Module) -> list[Module]:
    """The blocks that a network repeats, each the smallest that holds no list of blocks itself."""

    def blocks(module: Module) -> Iterator[Module]:
        for child in module.children():
            in_list = isinstance(module, (ModuleList, Sequential)) and not isinstance(child, (ModuleList, Sequential))
            if in_list and any(True for _ in child.children()) and not _holds_blocks(child):
                yield child
            else:
                yield from blocks(child)

    return list(blocks(network))


def _holds_blocks(module: Module) -> bool:
    lists = (child for child in module.modules() if isinstance(child, ModuleList))
    return any(any(True for _ in element.children()) for elements in lists for element in elements)


def budget(evaluation: Evaluation) -> int | None:
    """Bytes that recorded activations may take; None where memory is plenty."""
    model = evaluation.model
    free = comfy.model_management.get_free_memory(evaluation.x.device)
    one_sample = model.memory_required(list(evaluation.x.shape))
    return None if free > ROOMY * one_sample else max(int(free - one_sample), 0)


def announce(executor: WrapperExecutor, model: Any, noise_shape: Collection[int], *args: Any, **kwargs: Any) -> Any:
    """Tells the host before it loads models that more memory is needed than for its batch of two predictions."""
    batch, *rest = noise_shape
    return executor(model, [batch * CHECKPOINTED // 2, *rest], *args, **kwargs)


def is_out_of_memory(error: RuntimeError) -> bool:
    """The device's memory, the computer's, or the budget is spent."""
    spent = isinstance(error, (torch.OutOfMemoryError, MemoryBudgetExceeded))
    return spent or any(words in str(error).lower() for words in ("out of memory", "allocate memory"))
