"""What only shows something has failed."""

from __future__ import annotations

from .message import Message

MESSAGES: dict[str, Message] = {
    "diagnostics-failed": Message(
        "{what} failed ({error}); the image does not depend on it. Start ComfyUI with --verbose DEBUG to see where.",
        "A fault in what REG shows, or in what it shows it with, such as a VAE or a preview.",
        "Report it with the log, if the fault is ours.",
        "{what} failed; the image does not depend on it.",
    ),
}

PARTS: dict[str, str] = {
    "record": "The record of what REG does",
    "preview": "The host's preview of this latent format",
    "vae": "The VAE of the inspector",
    "picture": "The picture of the inspector",
    "sheet": "The drawing of the sheet",
    "tile": "The picture of a tile in the node",
    "progress": "Keeping the host's progress messages short",
    "note": "The note in the saved prompt",
    "text": "The text on the node",
    "event": "Sending live numbers to the page",
}
"""What may stand for ``what`` in ``diagnostics-failed``."""
