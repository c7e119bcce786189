"""What the artist is told: a line in the log and under the node, live numbers, and a note in the file that is saved."""

from __future__ import annotations

import logging
import sys
from typing import Any

from .prompt import running_prompt

logger = logging.getLogger("REG")


def _server() -> Any:
    return getattr(getattr(sys.modules.get("server"), "PromptServer", None), "instance", None)


def write_down(choice: dict[str, str], node_id: str | None) -> None:
    """Put what REG chose beside node ``node_id`` in the prompt that the host saves with images, where there is one."""
    running = running_prompt()
    if running is not None and node_id is not None and running.has_node(node_id):
        running.get_node(node_id).setdefault("_meta", {})["rectified guidance"] = choice


def tell(text: str, node_id: str | None, level: int = logging.INFO) -> None:
    """Log ``text`` and show it on node ``node_id``, or on the node of the page that it was expanded from.

    Without a running server only the log line is written.
    """
    logger.log(level, "REG: %s", text)
    server, running = _server(), running_prompt()
    if server is not None and node_id is not None:
        shown = running.get_display_node_id(node_id) if running is not None else node_id
        server.send_progress_text(text, shown)


def send(event: str, data: dict[str, Any]) -> None:
    """Send an event of JSON values to the page whose prompt is running; without a running server, nothing."""
    server = _server()
    if server is not None and server.client_id is not None:
        server.send_sync(event, data, server.client_id)
