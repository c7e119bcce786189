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
    "words-unknown": Message(
        "REG playground: unknown word {words}. Write a subject, a colour and a style that it knows, such as "
        '"blue apple, noto".',
        "The emoji model knows 49 words, which the help page of REG Playground Prompt lists.",
        "Write one of the nearest words, or leave the word out.",
    ),
    "words-rival": Message(
        "REG playground: one {kind} per prompt; got {words}. Keep one, or write one prompt per line.",
        "The emoji model takes one subject, one colour and one style for an image.",
        "Keep one of the words. For several images, write one prompt per line.",
    ),
    "prompts-too-many": Message(
        "REG playground: at most {most} prompts, one per image; got {count}. Write fewer lines.",
        "The host's largest batch has as many images.",
        "Write fewer lines.",
    ),
    "latents-wrong": Message(
        "REG playground: expected latents [batch, 16, 8, 8] of a playground model; got {shape}. Use Empty SD3 Latent "
        "Image at 64 x 64.",
        "The latents come from another model, or have another size.",
        "Use Empty SD3 Latent Image at 64 x 64, and a playground model.",
    ),
}
