"""Class conditioning for the playground model: which digits it draws."""

from __future__ import annotations

from typing import Any

import torch
from comfy_api.latest import io
from torch.nn.functional import one_hot

from ..kinds import CheckedNode
from ..messages import message
from .pixels import CATEGORY

CLASSES = "0123456789"
UNCONDITIONAL = len(CLASSES)
MOST_CLASSES = 4096  # the host's largest batch


def class_conditioning(indices: list[int]) -> list[Any]:
    """CONDITIONING with one class per sample of the batch: the same one-hot vector as token and as pooled output."""
    vectors = one_hot(torch.tensor(indices), UNCONDITIONAL + 1).float()  # [sample, class]
    return [[vectors[:, None], {"pooled_output": vectors}]]


class PlaygroundConditioning(CheckedNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="REG_PlaygroundConditioning",
            display_name="REG Playground Digits",
            category=CATEGORY,
            description="Chooses the digits that the playground model draws, one for each image of the batch.",
            inputs=[
                io.String.Input(
                    "classes",
                    default=CLASSES,
                    tooltip="Digits 0 to 9, one per image of the batch, repeated if the batch is larger.",
                ),
            ],
            outputs=[
                io.Conditioning.Output("positive", display_name="positive", tooltip="The chosen digits."),
                io.Conditioning.Output(
                    "negative", display_name="negative", tooltip="Any digit: the unconditional prediction."
                ),
            ],
        )

    @classmethod
    def validate_inputs(cls, classes: str | None) -> bool | str:
        if classes is None:  # linked, known when it runs
            return True
        chosen = classes.strip()
        if not chosen:
            return message("classes-missing", classes=CLASSES)
        unknown = sorted(set(chosen) - set(CLASSES))
        if unknown:
            names = ", ".join(map(repr, unknown[:5])) + (", ..." if len(unknown) > 5 else "")
            return message("classes-unknown", classes=CLASSES, value=names)
        if len(chosen) > MOST_CLASSES:
            return message("classes-too-many", most=MOST_CLASSES, count=len(chosen))
        return True

    @classmethod
    def execute(cls, classes: str) -> io.NodeOutput:
        valid = cls.validate_inputs(classes)
        if isinstance(valid, str):
            raise ValueError(valid)
        digits = [CLASSES.index(digit) for digit in classes.strip()]
        return io.NodeOutput(class_conditioning(digits), class_conditioning([UNCONDITIONAL]))
