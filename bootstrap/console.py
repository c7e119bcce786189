"""Progress on the terminal: one line that updates itself, or sparse lines where the output is not a terminal."""

import shutil
import sys
import threading
import time
from contextlib import suppress
from types import TracebackType
from typing import TextIO

SPARSE_SECONDS = 20.0


class Progress:
    """Shows that a step is under way, how long it has taken and its latest detail."""

    def __init__(self, label: str, stream: TextIO | None = None) -> None:
        self.label = label
        self.detail = ""
        self.failed = False
        self.stream = stream or sys.stdout
        self.live = self.stream.isatty()
        self.began = time.monotonic()
        self._over = threading.Event()
        self._ticker = threading.Thread(target=self._tick, daemon=True)

    def __enter__(self) -> "Progress":
        self._show()
        self._ticker.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._ticker.join()
        stopped = isinstance(error, KeyboardInterrupt)
        outcome = "stopped" if stopped else "failed" if self.failed or error is not None else "done"
        self._write(f"{self.label}: {outcome} in {self._elapsed()}", final=True)

    def update(self, detail: str) -> None:
        """Replace the detail that stands behind the label."""
        self.detail = detail

    def _tick(self) -> None:
        # Whoever reads the output may have gone; the thread that does the work will meet that too.
        with suppress(OSError):
            while not self._over.wait(0.5 if self.live else SPARSE_SECONDS):
                self._show()

    def _show(self) -> None:
        detail = f" {self.detail}" if self.detail else ""
        self._write(f"{self.label} ({self._elapsed()}){detail}", final=not self.live)

    def _elapsed(self) -> str:
        seconds = int(time.monotonic() - self.began)
        return f"{seconds // 60}:{seconds % 60:02d}"

    def _write(self, text: str, final: bool) -> None:
        if self.live:
            width = max(20, shutil.get_terminal_size().columns - 1)
            self.stream.write("\r" + text[:width].ljust(width) + ("\n" if final else ""))
        else:
            self.stream.write(text + "\n")
        self.stream.flush()
