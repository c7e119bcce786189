"""Look-up in the tables that list the members of each axis: predictions, forms, estimators, schedules."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

Member = TypeVar("Member")


def lookup(table: Mapping[str, Member], name: str, axis: str) -> Member:
    """The member called ``name``; raises ValueError that names every legal value of this axis."""
    if name not in table:
        raise ValueError(f"REG: {axis} must be one of {', '.join(map(repr, table))}; got {name!r}")
    return table[name]
