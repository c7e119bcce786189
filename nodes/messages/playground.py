"""The nodes of the playground model."""

from __future__ import annotations

from .message import Message

MESSAGES: dict[str, Message] = {
    "classes-missing": Message(
        "REG playground: expected classes as digits, such as {classes}; got none. Write at least one digit.",
        "The field of the classes is empty.",
        "Write at least one digit.",
    ),
    "classes-unknown": Message(
        "REG playground: expected classes as digits, such as {classes}; got unknown class {value}. Write digits only.",
        "The playground model knows the digits 0 to 9 and nothing else.",
        "Write digits only, without spaces or commas.",
    ),
    "classes-too-many": Message(
        "REG playground: at most {most} classes, one per image; got {count}. Write fewer digits.",
        "The host's largest batch has as many images.",
        "Write fewer digits.",
    ),
    "latents-wrong": Message(
        "REG playground: expected latents [batch, 16, 8, 8] of the playground model; got {shape}. Use Empty SD3 Latent "
        "Image at 64 x 64.",
        "The latents come from another model, or have another size.",
        "Use Empty SD3 Latent Image at 64 x 64, and the playground model.",
    ),
}
