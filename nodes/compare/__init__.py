"""REG Compare: a contact sheet over two axes."""

from __future__ import annotations

from comfy_api.latest import io

from .comparison import Compare
from .measures import CompareMatched, CompareMeasured
from .parts import CompareSheet, CompareStopwatch, CompareTile

NODES: list[type[io.ComfyNode]] = [
    Compare,
    CompareStopwatch,
    CompareTile,
    CompareSheet,
    CompareMatched,
    CompareMeasured,
]
