"""A text prompt for the emoji model, made of the words that it knows."""

from __future__ import annotations

from typing import Any

import torch
from comfy_api.latest import io

from ..kinds import CheckedNode
from ..messages import message
from .digits import MOST_CLASSES
from .pixels import CATEGORY
from .words import choice, rivals, tokens, unknown

DEFAULT = "blue butterfly, fluent"


def prompts(text: str) -> list[str]:
    """One prompt per line that is not empty; an empty text is one empty prompt."""
    return [line for line in text.splitlines() if line.strip()] or [""]


def misunderstood(text: str) -> str:
    """Why the model does not understand prompts, and what to do; empty if it does."""
    if strange := unknown(text):
        return message("words-unknown", words=", ".join(strange[:5]) + (", ..." if len(strange) > 5 else ""))
    for line in prompts(text):
        for kind, words in rivals(line):
            return message("words-rival", kind=kind, words=" and ".join(words))
    if len(prompts(text)) > MOST_CLASSES:
        return message("prompts-too-many", most=MOST_CLASSES, count=len(prompts(text)))
    return ""


def conditioning(text: str) -> list[Any]:
    """CONDITIONING with one prompt per sample of the batch: three one-hot tokens, and their sum as pooled output."""
    context = tokens(torch.tensor([choice(line) for line in prompts(text)]))
    return [[context, {"pooled_output": context.sum(1)}]]


class PlaygroundPrompt(CheckedNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="REG_PlaygroundPrompt",
            display_name="REG Playground Prompt",
            category=CATEGORY,
            description="Says in words what the playground's emoji model draws: a subject, a colour and an art style.",
            inputs=[
                io.String.Input(
                    "text",
                    default=DEFAULT,
                    multiline=True,
                    tooltip="Words in any order, such as: blue apple, noto. One line per image of the batch, repeated "
                    "if the batch is larger.",
                ),
                io.String.Input("negative", default="", tooltip="The negative prompt, in the same words or empty."),
            ],
            outputs=[
                io.Conditioning.Output("positive", display_name="positive", tooltip="The prompt."),
                io.Conditioning.Output("negative", display_name="negative", tooltip="The negative prompt."),
            ],
        )

    @classmethod
    def validate_inputs(cls, text: str | None, negative: str | None) -> bool | str:
        linked = ""  # known when it runs
        return misunderstood(text or linked) or misunderstood(negative or linked) or True

    @classmethod
    def execute(cls, text: str, negative: str) -> io.NodeOutput:
        valid = cls.validate_inputs(text, negative)
        if isinstance(valid, str):
            raise ValueError(valid)
        return io.NodeOutput(conditioning(text), conditioning(negative))
