"""Look-up in the tables that list the members of each axis: predictions, forms, estimators, schedules."""

from __future__ import annotations

import reprlib
from collections.abc import Mapping
from typing import Any, TypeVar

from torch import Tensor

Member = TypeVar("Member")

MOST_SHOWN = 200
"""Characters of a message that may come from outside."""

_BRIEF = reprlib.Repr()
_BRIEF.maxstring = _BRIEF.maxother = _BRIEF.maxlong = 120
_BRIEF.maxlevel = 3


def shown(value: Any) -> str:
    """A value from outside as a message quotes it: ``repr``, cut to 200 characters, at once however large it is."""
    if isinstance(value, Tensor):
        return f"a tensor {list(value.shape)} of {value.dtype}"[:MOST_SHOWN]
    try:
        text = " ".join(_BRIEF.repr(value).split())
    except Exception:  # a repr that fails, or a whole number with more digits than Python converts
        text = f"a value of type {type(value).__name__}"
    return text if len(text) <= MOST_SHOWN else f"{text[: MOST_SHOWN - 3]}..."


def lookup(table: Mapping[str, Member], name: str, axis: str) -> Member:
    """The member called ``name``; raises ValueError that names every legal value of this axis."""
    if not isinstance(name, str) or name not in table:
        raise ValueError(f"REG: {axis} must be one of {', '.join(map(repr, table))}; got {shown(name)}")
    return table[name]
