"""What a node takes at each of its inputs, checked when it arrives, whatever road it came.

The host holds what is written into an input to its range, but not what comes over a link, and lets nan pass.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any

from comfy_api.latest import io
from torch import Tensor

from ..reg_core.number import number, whole_number
from ..reg_core.table import MOST_SHOWN, shown
from .host.curve import curve_points
from .host.graph import is_link
from .messages import message


def _float(spec: Any, value: Any) -> float:
    return number(int(value) if isinstance(value, bool) else value, spec.id, spec.min, spec.max)


def _int(spec: Any, value: Any) -> int:
    return whole_number(int(value) if isinstance(value, bool) else value, spec.id, spec.min, spec.max)


def _choice(spec: Any, value: Any) -> str:
    if not isinstance(value, str) or value not in spec.options:
        names = ", ".join(map(repr, spec.options))
        names = names if len(names) <= MOST_SHOWN else f"{names[: MOST_SHOWN - 3]}..."
        raise ValueError(message("choice-unknown", name=spec.id, options=names, value=shown(value)))
    return value


def _written(kind: type, expected: str) -> Callable[[Any, Any], Any]:
    """A check of what is written into an input."""

    def check(spec: Any, value: Any) -> Any:
        if not isinstance(value, kind):
            raise ValueError(message("value-wrong", name=spec.id, expected=expected, value=shown(value)))
        return value

    return check


def _made(fits: Callable[[Any], bool], expected: str) -> Callable[[Any, Any], Any]:
    """A check of what other nodes make, by what is asked of it here."""

    def check(spec: Any, value: Any) -> Any:
        if not fits(value):
            raise ValueError(message("connection-wrong", name=spec.id, expected=expected, value=shown(value)))
        return value

    return check


def _has(*names: str) -> Callable[[Any], bool]:
    return lambda value: all(hasattr(value, name) for name in names)


def _is_conditioning(value: Any) -> bool:
    return isinstance(value, (list, tuple)) and all(
        isinstance(entry, (list, tuple)) and len(entry) >= 2 and isinstance(entry[1], dict) for entry in value
    )


KINDS: dict[str, Callable[[Any, Any], Any]] = {
    "FLOAT": _float,
    "INT": _int,
    "COMBO": _choice,
    "STRING": _written(str, "text"),
    "BOOLEAN": _written(bool, "true or false"),
    "MODEL": _made(_has("clone", "model_options"), "a MODEL"),
    "MODEL,GUIDER": _made(lambda v: _has("get_wrappers")(getattr(v, "model_patcher", v)), "a MODEL or GUIDER"),
    "CONDITIONING": _made(_is_conditioning, "CONDITIONING"),
    # The host's packed latents are no Tensor.
    "LATENT": _made(lambda v: isinstance(v, Mapping) and hasattr(v.get("samples"), "shape"), "a LATENT"),
    "IMAGE": _made(lambda value: isinstance(value, Tensor) and value.ndim == 4, "an IMAGE"),
    "VAE": _made(_has("decode"), "a VAE"),
    "CURVE": lambda spec, value: curve_points(value),
    "GUIDANCE_SCHEDULE": _made(callable, "a guidance schedule"),
    "REG_STOPWATCH": _made(_has("batch", "seconds_per_sample", "steps", "skipped"), "a stopwatch of REG Compare"),
    "REG_TILES": _made(lambda value: isinstance(value, list) and all(map(_has("images"), value)), "tiles"),
    "REG_SHEET_LAYOUT": _made(lambda value: isinstance(value, dict) and "tiles" in value, "the layout of a sheet"),
}
"""By type of input: the value as the node takes it, given what the schema says; raises ValueError."""
WRITTEN = ("FLOAT", "INT", "COMBO", "STRING", "BOOLEAN", "CURVE")


def received(spec: Any, value: Any) -> Any:
    """The value of one input as the node takes it; raises ValueError that names the input, what it takes and came."""
    kind = spec.get_io_type()
    if value is None and (spec.lazy or (spec.optional and kind not in WRITTEN)):  # a lazy one that was not asked for
        return value
    if spec.rawLink:
        if not is_link(value):
            raise ValueError(message("link-missing", name=spec.id, value=shown(value)))
        return value
    try:
        return KINDS[kind](spec, value)
    except ValueError as error:
        # What the library refuses has no word on what to do.
        text = str(error) if str(error).endswith(".") else message("value-refused", reason=error)
        raise ValueError(text) from None


class CheckedNode(io.ComfyNode):
    """A node whose inputs are held to its schema before it executes."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        execute = cls.__dict__.get("execute")
        # The host makes subclasses of its own for each run, which share what is checked already.
        if isinstance(execute, classmethod) and not hasattr(execute.__func__, "__wrapped__"):
            cls.execute = classmethod(_checked(execute.__func__))  # pyright: ignore[reportAttributeAccessIssue]


def _checked(execute: Callable[..., io.NodeOutput]) -> Callable[..., io.NodeOutput]:
    _, *names = inspect.signature(execute).parameters

    @functools.wraps(execute)
    def check_and_execute(cls: type[CheckedNode], *args: Any, **inputs: Any) -> io.NodeOutput:
        inputs |= dict(zip(names, args, strict=False))
        specs = {spec.id: spec for spec in cls.define_schema().inputs}
        checked = {name: received(specs[name], value) for name, value in inputs.items() if name in specs}
        return execute(cls, **{**inputs, **checked})

    return check_and_execute
