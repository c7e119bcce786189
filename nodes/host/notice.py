"""One line to the artist: in the log, and under the node in the user interface where there is one."""

from __future__ import annotations

import logging
import sys

logger = logging.getLogger("REG")


def tell(text: str, node_id: str | None, level: int = logging.INFO) -> None:
    """Log ``text`` and show it on node ``node_id``; without a running server only the log line is written."""
    logger.log(level, "REG: %s", text)
    server = getattr(getattr(sys.modules.get("server"), "PromptServer", None), "instance", None)
    if server is not None and node_id is not None:
        server.send_progress_text(text, node_id)
