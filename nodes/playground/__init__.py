"""Nodes for the playground models that ship with the pack: their conditioning, and decoding to IMAGE."""

from __future__ import annotations

from comfy_api.latest import io

from .digits import PlaygroundConditioning
from .pixels import PlaygroundDecode, PlaygroundVAE
from .prompt import PlaygroundPrompt

NODES: list[type[io.ComfyNode]] = [PlaygroundConditioning, PlaygroundDecode, PlaygroundVAE, PlaygroundPrompt]
