"""Traces as plain data, which travels with a LATENT: whatever keeps one, in a cache or a file, can keep these too."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from torch import Tensor

from .trace import COLUMNS, Picture, Step, Trace


def packed(traces: Mapping[str | None, Trace]) -> list[dict[str, Any]]:
    """Traces by sampler as lists, dicts, text, numbers and tensors."""
    return [
        {
            **{entry.name: getattr(trace, entry.name) for entry in fields(Trace)},
            "sampler": sampler,
            "broken": list(trace.broken),
            "steps": [{name: getattr(step, name) for name in COLUMNS[:-1]} for step in trace.steps],
            "pictures": [picture._asdict() for picture in trace.pictures],
        }
        for sampler, trace in traces.items()
    ]


def unpacked(data: Any) -> dict[str | None, Trace]:
    """The traces that ``packed`` gave; none where the data are anything else."""
    try:
        return {_text(run["sampler"], None): _unpacked(run) for run in data}
    except (AttributeError, KeyError, TypeError, ValueError):
        return {}


def _unpacked(run: dict[str, Any]) -> Trace:
    return Trace(
        total=int(run["total"]),
        how=_text(run["how"]),
        source=_text(run["source"], None),
        missing=_text(run["missing"]),
        altered=_number(run["altered"]),
        undone=bool(run["undone"]),
        broken=[_number(percent) for percent in run["broken"]],
        steps=[Step(**{name: _cell(name, value) for name, value in step.items()}) for step in run["steps"]],
        pictures=[
            Picture(
                _number(picture["percent"]),
                _tensor(picture["factor"], 2),
                _tensor(picture["preview"], 3),
                _tensor(picture["latent"], 4, 5),
            )
            for picture in run["pictures"]
        ],
    )


def _text(value: Any, *others: None) -> Any:
    if isinstance(value, str) or value in others:
        return value
    raise TypeError(f"expected text, got {value!r}")


def _number(value: Any) -> float:
    if isinstance(value, int | float) and math.isfinite(value):
        return value
    raise TypeError(f"expected a finite number, got {value!r}")


def _cell(name: str, value: Any) -> Any:
    if name == "state":
        return _text(value)
    return None if value is None and name not in ("percent", "sigma") else _number(value)


def _tensor(value: Any, *dimensions: int) -> Tensor:
    if isinstance(value, Tensor) and value.ndim in dimensions:
        return value
    raise TypeError(f"expected a tensor of {dimensions} dimensions, got {type(value)}")
