"""What the artist is told: a line in the log and under the node, and a note in the file that is saved."""

from __future__ import annotations

import logging
import sys

logger = logging.getLogger("REG")


def write_down(choice: dict[str, str], node_id: str | None) -> None:
    """Put what REG chose beside node ``node_id`` in the prompt that the host saves with images, where there is one."""
    progress = sys.modules.get("comfy_execution.progress")
    if progress is not None and node_id is not None:
        running = progress.get_progress_state().dynprompt
        if running.has_node(node_id):
            running.get_node(node_id).setdefault("_meta", {})["rectified guidance"] = choice


def tell(text: str, node_id: str | None, level: int = logging.INFO) -> None:
    """Log ``text`` and show it on node ``node_id``; without a running server only the log line is written."""
    logger.log(level, "REG: %s", text)
    server = getattr(getattr(sys.modules.get("server"), "PromptServer", None), "instance", None)
    if server is not None and node_id is not None:
        server.send_progress_text(text, node_id)
