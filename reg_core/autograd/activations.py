"""The activations of a gradient pass: which are kept for backward, which are computed again, and how many there may be.

Everything is done by hooks that exist during one pass: module hooks, and hooks on the tensors that autograd saves.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks
from torch.nn import Module, Parameter
from torch.utils._python_dispatch import TorchDispatchMode

from .random_state import RandomState
from .recomputation import GradientUnavailable, MemoryBudgetExceeded, Recomputation

CHANGED = "REG: a block of the model computes differently the second time, so it must be kept whole"


def plain_alias(tensor: Tensor) -> Tensor:
    """A normal tensor on the memory of an inference tensor, also of a tensor subclass that is made of such."""
    if isinstance(tensor, Parameter):
        tensor = tensor.data
    if type(tensor) is Tensor:
        return tensor.new_empty(0).set_(
            tensor.untyped_storage(), tensor.storage_offset(), tensor.size(), tensor.stride()
        )
    names, context = tensor.__tensor_flatten__()  # pyright: ignore[reportAttributeAccessIssue]
    parts = {name: plain_alias(getattr(tensor, name)) for name in names}
    return type(tensor).__tensor_unflatten__(  # pyright: ignore[reportAttributeAccessIssue]
        parts, context, tensor.size(), tensor.stride()
    )


class _Kept:
    """A tensor kept as it is; refused if the network has overwritten it since."""

    def __init__(self, tensor: Tensor) -> None:
        self._tensor, self._version = tensor, tensor._version

    def before_writing(self) -> None:
        if self._tensor._version == self._version:
            self._tensor = self._tensor.clone()
            self._version = self._tensor._version

    def get(self) -> Tensor:
        if self._tensor._version != self._version:  # with hooks on saved tensors autograd does not check it itself
            raise RuntimeError("REG: a tensor needed for backward has been modified by an inplace operation")
        return self._tensor


@dataclass(frozen=True)
class _Fetched:
    """A layer's parameter, or a view of it, that is fetched again."""

    get: Callable[[], Tensor]


@dataclass(frozen=True)
class _Input:
    """A tensor among the inputs of a block."""

    kept: _Kept
    requires_grad: bool

    def get(self) -> Tensor:
        tensor = self.kept.get()
        # Not a leaf, since the block may write into it.
        return tensor.detach().requires_grad_().clone() if self.requires_grad else tensor


@dataclass(eq=False)
class _Call:
    """One call of a checkpointed block: its inputs, the kinds of tensors autograd saves of it, and these recomputed."""

    block: Module
    inputs: tuple[tuple[Any, ...], dict[str, Any]]
    random: RandomState
    saved: list[tuple[torch.Size, torch.dtype]] = field(default_factory=list)
    made: list[_Kept | _Fetched] = field(default_factory=list)


class _Repeated(Exception):
    """Ends the second computation of a block as soon as it has made what backward needs."""


def _mapped(value: Any, kind: type, change: Callable[[Any], Any]) -> Any:
    """``value`` with everything of one kind changed, also inside tuples, lists and dicts, which are copied."""
    if isinstance(value, kind):
        return change(value)
    if type(value) in (tuple, list):
        return type(value)(_mapped(item, kind, change) for item in value)
    return {key: _mapped(item, kind, change) for key, item in value.items()} if type(value) is dict else value


def _storage(tensor: Tensor) -> int | None:
    """Address of the memory below a tensor; None for tensor subclasses, which may have none of their own."""
    return tensor.untyped_storage().data_ptr() if type(tensor) in (Tensor, Parameter) else None


class Activations:
    """The hooks of one gradient pass; ``resumed`` makes a context in which a block is recorded a second time."""

    def __init__(
        self, recomputation: Recomputation, resumed: Callable[[Activations], AbstractContextManager[None]]
    ) -> None:
        self._recomputation = recomputation
        self._resumed = resumed
        self._layers: list[Module] = []  # that are running, outermost first
        self._blocks: list[Module] = []
        self._own_weights: dict[Module, Parameter] = {}  # of quantised layers that are running
        self._call: _Call | None = None
        self._repeating: _Call | None = None
        self._constants: dict[int, tuple[str, Tensor]] = {}
        self._counted: set[int] = set()
        self._bytes = 0
        self._overwritable: dict[int, list[weakref.ref[_Kept]]] = {}
        self._parameters: set[int] = set()

    @contextmanager
    def watched(self) -> Iterator[None]:
        with ExitStack() as stack:
            for layer in self._recomputation.layers:
                stack.callback(layer.register_forward_pre_hook(self._enter_layer).remove)
                stack.callback(layer.register_forward_hook(self._leave_layer, always_call=True).remove)
            for block in self._recomputation.blocks:
                stack.callback(block.register_forward_pre_hook(self._enter_block, with_kwargs=True).remove)
                stack.callback(block.register_forward_hook(self._leave_block, always_call=True).remove)
            if self._recomputation.in_place:
                stack.enter_context(_TellBeforeWriting(self))
            stack.enter_context(saved_tensors_hooks(self._pack, self._unpack))
            yield

    @contextmanager
    def constants(self, arguments: list[Any]) -> Iterator[None]:
        """While one torch function runs: its tensors without grad next to one with grad are constants of the graph."""
        before, self._constants = self._constants, {}
        tensors = [value for value in arguments if isinstance(value, Tensor)]
        if self._recomputation.layers and any(tensor.requires_grad for tensor in tensors):
            names = ["weight", "bias"] if self._layers else []
            for tensor in tensors:
                if not tensor.requires_grad and _storage(tensor) is not None:
                    fitting = [name for name in names if _shape(self._layers[-1], name) == tensor.shape]
                    name = fitting[0] if fitting else ""
                    names = [other for other in names if other != name]
                    self._constants.setdefault(tensor.data_ptr(), (name, tensor))
        try:
            yield
        finally:
            self._constants = before

    def parameter(self, tensor: Tensor) -> None:
        """This memory was there before the pass: it costs nothing to keep."""
        self._parameters.add(tensor.untyped_storage().data_ptr())

    def before_writing(self, tensor: Tensor) -> None:
        """The network is about to overwrite this tensor."""
        for reference in self._overwritable.pop(_storage(tensor) or 0, ()):
            kept = reference()
            if kept is not None:
                kept.before_writing()

    def _enter_layer(self, layer: Module, args: Any) -> None:
        self._layers.append(layer)
        weight = layer._parameters.get("weight")
        # A quantised layer gives its weight to an autograd function of its own, which no function mode sees.
        if weight is not None and hasattr(weight.data, "__tensor_flatten__") and torch.is_grad_enabled():
            self._own_weights[layer] = weight
            layer._parameters["weight"] = Parameter(plain_alias(weight), requires_grad=False)

    def _leave_layer(self, layer: Module, args: Any, output: Any) -> None:
        if self._layers[-1:] != [layer]:  # another hook has refused the call before this one heard of it
            return
        self._layers.pop()
        if layer in self._own_weights:
            layer._parameters["weight"] = self._own_weights.pop(layer)
        differentiated = any(isinstance(value, Tensor) and value.requires_grad for value in args)
        if differentiated and isinstance(output, Tensor) and not output.requires_grad and torch.is_grad_enabled():
            raise GradientUnavailable(
                f"REG: a layer of the model ({type(layer).__qualname__}) computes in a way that has no gradient. "
                "Choose 'finite difference'."
            )

    def _enter_block(self, block: Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        self._blocks.append(block)
        if len(self._blocks) > 1 or self._repeating is not None or not torch.is_grad_enabled():
            return None
        inputs = _mapped((args, kwargs), Tensor, lambda t: _Input(self._keep(t.detach()), t.requires_grad))
        self._call = _Call(block, inputs, RandomState(self._devices(args, kwargs)))
        # A block may write into its input, whose content its second computation needs. The inputs are copied only where
        # they can change, so that what a block tells its caller through a shared dict still arrives.
        args = tuple(t.clone() if isinstance(t, Tensor) and t.requires_grad else t for t in args)
        kwargs = {k: t.clone() if isinstance(t, Tensor) and t.requires_grad else t for k, t in kwargs.items()}
        return args, kwargs

    def _devices(self, args: Any, kwargs: Any) -> set[torch.device]:
        devices: set[torch.device] = set()
        _mapped((args, kwargs), Tensor, lambda tensor: devices.add(tensor.device))
        return devices

    def _leave_block(self, block: Module, args: Any, output: Any) -> None:
        self._blocks.pop()
        if not self._blocks:
            self._call = None

    def _pack(self, tensor: Tensor) -> Any:
        if self._repeating is not None:
            call, entry = self._repeating, self._entry(tensor)
            if call.saved[len(call.made)] != (tensor.shape, tensor.dtype):
                raise RuntimeError(CHANGED)
            call.made.append(entry)
            if len(call.made) == len(call.saved):
                raise _Repeated
            return entry
        if self._call is not None:
            self._call.saved.append((tensor.shape, tensor.dtype))
            return self._call, len(self._call.saved) - 1
        return self._entry(tensor)

    def _unpack(self, packed: Any) -> Tensor:
        if not isinstance(packed, tuple):
            return packed.get()
        call, index = packed
        if not call.made:
            self._repeat(call)
        return call.made[index].get()

    def _repeat(self, call: _Call) -> None:
        self._repeating = call
        before = RandomState(call.random.devices)
        call.random.set()
        try:
            with self._resumed(self), self._recomputation.around(), saved_tensors_hooks(self._pack, self._unpack):
                args, kwargs = _mapped(call.inputs, _Input, _Input.get)
                call.block(*args, **kwargs)
        except _Repeated:
            return
        finally:
            self._repeating = None
            before.set()
        raise RuntimeError(CHANGED)

    def _entry(self, tensor: Tensor) -> _Kept | _Fetched:
        name, whole = "", tensor
        if _storage(tensor) is None:
            return self._quantised(tensor)
        if tensor.data_ptr() in self._constants:
            name, whole = self._constants[tensor.data_ptr()]
            if not name and _storage(tensor) not in self._parameters:
                return _Kept(tensor.clone())  # it may lie in a buffer that a later layer reuses
        if not name:
            return self._keep(tensor)
        fetch = self._fetch(name, whole, whole.shape)
        if whole.shape == tensor.shape and whole.stride() == tensor.stride():
            return _Fetched(fetch)

        def view() -> Tensor:
            again = fetch()
            if again.stride() != whole_stride:
                raise RuntimeError("REG: a weight was fetched again in another memory layout")
            return again.as_strided(size, stride, again.storage_offset())

        whole_stride, size, stride = whole.stride(), tensor.size(), tensor.stride()
        return _Fetched(view)

    def _quantised(self, tensor: Tensor) -> _Kept | _Fetched:
        """A quantised weight or its transpose is dequantised when it is fetched again; anything else is kept."""
        own = self._layers[-1]._parameters.get("weight") if self._layers else None
        if own is not None and _alike(tensor, own.data):
            return _Fetched(self._fetch("weight", tensor, own.shape))
        if own is not None and own.ndim == 2 and _alike(tensor, own.data.t()):
            fetch = self._fetch("weight", tensor, own.shape)
            return _Fetched(lambda: fetch().t())
        return self._keep(tensor.clone() if self._layers else tensor)

    def _fetch(self, name: str, like: Tensor, shape: torch.Size) -> Callable[[], Tensor]:
        layer, dtype, device = self._layers[-1], like.dtype, like.device

        def fetch() -> Tensor:
            with self._resumed(self):  # as in forward, where the host may write into buffers made in inference mode
                parameter = self._recomputation.layers[layer](layer, name, dtype, device)
            if parameter.shape != shape:
                raise RuntimeError("REG: a weight was fetched again in another shape")
            return parameter

        return fetch

    def _keep(self, tensor: Tensor) -> _Kept:
        kept, storage = _Kept(tensor), _storage(tensor)
        if storage is None:
            return kept
        if self._recomputation.in_place:
            self._overwritable.setdefault(storage, []).append(weakref.ref(kept))
        if self._recomputation.budget is None or self._repeating is not None or storage in self._parameters:
            return kept
        if storage not in self._counted:
            self._counted.add(storage)
            self._bytes += tensor.untyped_storage().nbytes()
        if self._bytes > self._recomputation.budget:
            raise MemoryBudgetExceeded(f"activations exceed {self._recomputation.budget / 2**20:.0f} MiB")
        return kept


def _alike(tensor: Tensor, other: Tensor) -> bool:
    """Two tensors of one subclass are made of parts of the same sizes and kinds."""
    if type(tensor) is not type(other) or not hasattr(tensor, "__tensor_flatten__"):
        return False
    (names, context), (others, other_context) = tensor.__tensor_flatten__(), other.__tensor_flatten__()  # pyright: ignore[reportAttributeAccessIssue]
    parts = [(getattr(tensor, name), getattr(other, name)) for name in names]
    same = all(a.shape == b.shape and a.stride() == b.stride() for a, b in parts)
    return same and names == others and context == other_context


def _shape(layer: Module, name: str) -> torch.Size | None:
    return getattr(getattr(layer, name, None), "shape", None)


class _TellBeforeWriting(TorchDispatchMode):
    """Sees every operation that is about to write into a tensor."""

    def __init__(self, activations: Activations) -> None:
        super().__init__()
        self._activations = activations

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if func._schema.is_mutable:
            for position, argument in enumerate(func._schema.arguments):
                if argument.alias_info is not None and argument.alias_info.is_write:
                    value = args[position] if position < len(args) else kwargs.get(argument.name)
                    _mapped(value, Tensor, self._activations.before_writing)
        return func(*args, **kwargs)
