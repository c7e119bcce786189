"""REG Inspector: what REG did in a run."""

from __future__ import annotations

from comfy_api.latest import io

from .inspection import Inspector

NODES: list[type[io.ComfyNode]] = [Inspector]
