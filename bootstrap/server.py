"""A ComfyUI of our own: started headless on the loopback, followed while it works, stopped with everything it left."""

import asyncio
import atexit
import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Mapping, Sequence
from http.client import HTTPException
from pathlib import Path
from types import TracebackType
from typing import Any

from .console import Progress
from .errors import BootstrapError, last_lines
from .host import REPOSITORY, read_part
from .installer import child_environment
from .links import add_link, remove_link
from .ports import LOOPBACK, claim_port
from .prompts import Event, Prompt, follow, refusal

PACK_NAME = "rectified-gradient-guidance"
LAUNCHER = Path(__file__).with_name("launch.py")
WANTED_FLAGS = ("--disable-auto-launch", "--disable-api-nodes", "--disable-assets-autoscan")
FOLDERS = ("custom_nodes", "models", "input", "output", "user", "temp")


class RequestError(BootstrapError):
    """An answer of the server that says no, with its status and its body."""

    def __init__(self, message: str, status: int, body: str) -> None:
        super().__init__(message)
        self.status = status
        self.body = body


class ComfyServer:
    """A context manager that runs a ComfyUI with this node pack in a folder of its own.

    The folder gets ComfyUI's output, settings and models; the repository and further packs are linked into it.
    """

    def __init__(
        self,
        host: Path,
        folder: Path,
        *,
        python: Path | None = None,
        packs: Sequence[Path] = (),
        port: int | None = None,
        front_end_root: Path | None = None,
        arguments: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
        timeout: float = 300.0,
        log: Path | None = None,
    ) -> None:
        self.host = host
        self.folder = folder
        self.python = python or Path(sys.executable)
        self.packs = {PACK_NAME: REPOSITORY, **{pack.name: pack for pack in packs}}
        self.port = claim_port(port)
        self.front_end_root = front_end_root
        self.arguments = list(arguments)
        self.environment = dict(environment or {})
        self.timeout = timeout
        self.log = log or folder / "comfyui.log"
        self.process: subprocess.Popen[bytes] | None = None
        self._links: list[Path] = []
        # A proxy of the user's network has no way to this machine's loopback.
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    @property
    def url(self) -> str:
        """The address of the user interface."""
        return f"http://{LOOPBACK}:{self.port}"

    def __enter__(self) -> "ComfyServer":
        try:
            self.start()
            self.wait_ready(self.timeout)
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Start the process; raises BootstrapError if this ComfyUI is too old to be kept in a folder of its own."""
        command = [str(self.python), str(LAUNCHER), str(self.host / "main.py"), *self._flags()]
        for name in FOLDERS:
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        for name, pack in self.packs.items():
            link = self.folder / "custom_nodes" / name
            add_link(link, pack)
            self._links.append(link)
        atexit.register(self.stop)
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(
                command,
                cwd=self.folder,
                env={**child_environment(), **self.environment},
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                # Ctrl-C is for us: we then stop the server.
                start_new_session=os.name == "posix",
            )

    def wait_ready(self, timeout: float = 300.0) -> None:
        """Wait until the server answers; raises BootstrapError if it ends first or takes too long."""
        deadline = time.monotonic() + timeout
        with Progress("Starting ComfyUI"):
            while time.monotonic() < deadline:
                self._require_alive()
                try:
                    # Another program may have taken the port since it was claimed; ours then ends and says so.
                    if str(self.folder) in self.get("/system_stats")["system"]["argv"]:
                        return
                except (OSError, RequestError, HTTPException, ValueError, LookupError, TypeError):
                    pass
                time.sleep(0.25)
        raise BootstrapError(
            f"Expected ComfyUI to answer at {self.url} within {timeout:.0f} s, but it did not. Its last lines:\n"
            f"{last_lines(self.log)}\nThe whole log: {self.log}"
        )

    def get(self, path: str) -> Any:
        """Get a path and return its JSON; raises RequestError for an HTTP error, OSError without a connection."""
        return json.loads(self.read(path))

    def post(self, path: str, content: Any) -> Any:
        """Post JSON to a path and return the JSON of the answer, if any; raises as get does."""
        body = self.read(path, json.dumps(content).encode("utf-8"))
        return json.loads(body) if body.strip() else None

    def read(self, path: str, content: bytes | None = None) -> bytes:
        """Get a path, or post JSON text to it, and return the bytes of the answer; raises as get does."""
        request = urllib.request.Request(self.url + path, data=content, headers={"Content-Type": "application/json"})
        try:
            with self._opener.open(request, timeout=60) as answer:
                return answer.read()
        except urllib.error.HTTPError as error:
            body = error.read().decode("utf-8", "replace")
            raise RequestError(f"{path}: the server answered {error.code}: {body[:300]}", error.code, body) from error

    def run(self, prompt: Prompt, on_event: Event | None = None, timeout: float = 600.0) -> dict[str, Any]:
        """Run a prompt (API format) and return its outputs by node; raises BootstrapError if a node fails.

        Each event of the server about it is given to on_event as its type and its data.
        """
        client = uuid.uuid4().hex
        following = follow(self.url, client, lambda: self._submit(prompt, client), prompt, on_event)
        try:
            prompt_id = asyncio.run(asyncio.wait_for(following, timeout))
        except asyncio.TimeoutError as error:
            raise BootstrapError(f"Expected the prompt to end within {timeout:.0f} s, but it still runs.") from error
        except OSError as error:
            self._require_alive()
            raise BootstrapError(f"Expected to follow the prompt at {self.url}, but: {error}.") from error
        return self.get(f"/history/{prompt_id}")[prompt_id]["outputs"]

    def stop(self) -> None:
        """End the process that was started, if any, and remove the links."""
        atexit.unregister(self.stop)
        if self.process is not None:
            if self.process.poll() is None:
                self.process.terminate()
                try:
                    self.process.wait(10)
                except subprocess.TimeoutExpired:
                    self.process.kill()
                    self.process.wait()
            if self.process.stdin:
                self.process.stdin.close()
            self.process = None
        while self._links:
            remove_link(self._links.pop())

    def _submit(self, prompt: Prompt, client: str) -> str:
        try:
            return self.post("/prompt", {"prompt": prompt, "client_id": client})["prompt_id"]
        except RequestError as error:
            raise BootstrapError(refusal(error.body, prompt)) from error

    def _require_alive(self) -> None:
        code = self.process.poll() if self.process else None
        if self.process is None or code is not None:
            raise BootstrapError(
                f"Expected ComfyUI to run, but it ended with code {code}. The last lines of its log:\n"
                f"{last_lines(self.log)}\nThe whole log: {self.log}"
            )

    def _flags(self) -> list[str]:
        known = read_part(self.host, "comfy/cli_args.py")
        if '"--base-directory"' not in known:
            raise BootstrapError(
                f"Expected a ComfyUI that knows --base-directory in {self.host}, but this one is older.\n"
                "Update it, or unset COMFYUI_PATH to use the pinned download."
            )
        flags = ["--listen", LOOPBACK, "--port", str(self.port), "--base-directory", str(self.folder)]
        if '"--database-url"' in known:
            flags += ["--database-url", f"sqlite:///{(self.folder / 'user' / 'comfyui.db').as_posix()}"]
        flags += [flag for flag in WANTED_FLAGS if f'"{flag}"' in known]
        if self.front_end_root is not None and '"--front-end-root"' in known:
            flags += ["--front-end-root", str(self.front_end_root)]
        return flags + self.arguments
