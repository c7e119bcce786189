"""Nodes for the playground model that ships with the pack: class conditioning, and decoding to IMAGE."""

from __future__ import annotations

from comfy_api.latest import io

from .digits import PlaygroundConditioning
from .pixels import PlaygroundDecode, PlaygroundVAE

NODES: list[type[io.ComfyNode]] = [PlaygroundConditioning, PlaygroundDecode, PlaygroundVAE]
