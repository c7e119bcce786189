"""What comes to an input and does not fit."""

from __future__ import annotations

from .message import Message

MESSAGES: dict[str, Message] = {
    "conditioning-empty": Message(
        "REG: {name} conditioning is empty. Connect a node that encodes a prompt or a class.",
        "The input is linked to a node that gave no conditioning at all.",
        "Connect CLIP Text Encode or its like; an empty prompt is encoded, too.",
    ),
    "choice-unknown": Message(
        "REG: {name} must be one of {options}; got {value}. Change it, or the node that is linked to it.",
        "A program, a linked node or a newer version of the pack wrote a value that this one does not offer.",
        "Choose one of the options.",
    ),
    "value-wrong": Message(
        "REG: {name} must be {expected}; got {value}. Change it, or the node that is linked to it.",
        "A program or a linked node gave another kind of value.",
        "Write the value into the node, or link one that gives it.",
    ),
    "value-refused": Message(
        "{reason}. Change it, or the node that is linked to it.",
        "A number is missing, not finite, or outside the limits of the input; the sentence before says which.",
        "Change the number.",
    ),
    "connection-wrong": Message(
        "REG: {name} must be {expected}; got {value}. Connect a node that makes one.",
        "The linked node gave another kind of value than the input takes.",
        "Connect a node that makes one.",
    ),
    "link-missing": Message(
        "REG: {name} must be linked; got {value}. Connect a node to it.",
        "A program wrote a value into an input that takes a link only.",
        "Connect a node to it.",
    ),
}
