"""The demo, run in the private environment: a contact sheet by REG Compare, on a ComfyUI of our own."""

import argparse
import io
import json
import signal
import sys
import time
import webbrowser
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from .cache import open_cache
from .console import Progress
from .errors import BootstrapError, last_lines
from .host import REPOSITORY, host_version
from .runs import SERVED, log_of, run_folder
from .server import PACK_NAME, ComfyServer
from .watch import Watch
from .workflow import to_prompt

WORKFLOW_NAME = "3-Compare-settings"
WORKFLOW_FILE = REPOSITORY / "example_workflows" / f"{WORKFLOW_NAME}.json"
SERVED_WORKFLOW = "1-Start-here"
WHAT_TO_SEE = (
    "All tiles of one picture are drawn from the same noise. As cfg rises, CFG burns colours and shapes; REG and the "
    "schedule that it has measured stay near what the model draws unguided (cfg 1)."
)


def saved_image(server: ComfyServer, outputs: Mapping[str, Any]) -> Image.Image:
    """Fetch the image that the workflow has saved; raises BootstrapError if there is none."""
    saved = [item for output in outputs.values() for item in output.get("images", []) if item["type"] == "output"]
    if len(saved) != 1:
        raise BootstrapError(f"Expected one image from {WORKFLOW_FILE.name}, but got {len(saved)}. See {server.log}.")
    query = urlencode({key: saved[0][key] for key in ("filename", "subfolder", "type")})
    return Image.open(io.BytesIO(server.read(f"/view?{query}"))).convert("RGB")


def draw(server: ComfyServer, workflow: Mapping[str, Any], output: Path) -> None:
    """Run the workflow and save its sheet; raises BootstrapError if a node fails or the sheet cannot be written."""
    prompt = to_prompt(workflow, server.get("/object_info"))
    began = time.monotonic()
    with Progress("Drawing") as progress:
        outputs = server.run(prompt, Watch(prompt, progress).on_event, timeout=3600.0)
    seconds = time.monotonic() - began
    sheet, texts = saved_image(server, outputs), PngInfo()
    for name, value in (("prompt", prompt), ("workflow", workflow)):  # where ComfyUI looks for a workflow
        texts.add_text(name, json.dumps(value))
    try:
        sheet.save(output, format="PNG", pnginfo=texts)
    except OSError as error:
        raise BootstrapError(
            f"Expected to write {output}, but: {error}.\nChoose another file with --output."
        ) from error
    print(f"\n{output}, drawn in {seconds:.0f} s on ComfyUI {host_version(server.host)}\n{WHAT_TO_SEE}", flush=True)


def serve(server: ComfyServer) -> None:
    """Open the user interface with the workflow until Ctrl-C; raises BootstrapError if the server ends before."""
    address = f"{server.url}/?{urlencode({'template': SERVED_WORKFLOW, 'source': PACK_NAME})}"
    print(f"\nComfyUI runs at {address}", flush=True)
    print(f"It opens the first of {PACK_NAME}'s templates. The workflow of the picture is in it: drop it on the page.")
    print("Ctrl-C stops ComfyUI; the images and workflows that you save in it are kept.", flush=True)
    (server.folder / SERVED).touch()
    webbrowser.open(address)
    if server.process is None:
        return
    try:
        server.process.wait()
    except KeyboardInterrupt:
        print("\nStopped.", flush=True)
        return
    raise BootstrapError(
        f"Expected ComfyUI to run until Ctrl-C, but it has ended. The last lines of its log:\n"
        f"{last_lines(server.log)}\nThe whole log: {server.log}. Run this again to start another."
    )


def run(options: argparse.Namespace) -> None:
    """Draw the sheet on a fresh server, and serve if asked to."""
    try:
        workflow = json.loads(WORKFLOW_FILE.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise BootstrapError(
            f"Expected the demo's workflow in {WORKFLOW_FILE}, but: {error}.\nFetch this repository again."
        ) from error
    with (
        run_folder(open_cache()) as folder,
        ComfyServer(options.host, folder, port=options.port, log=log_of(folder)) as server,
    ):
        draw(server, workflow, options.output)
        if options.serve:
            serve(server)


def main() -> None:
    """Run the demo; raises BootstrapError for every expected failure."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--host", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--port", type=int)
    parser.add_argument("--serve", action="store_true")
    # A termination has to pass through the clean-up like an interruption.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    run(parser.parse_args())


if __name__ == "__main__":
    main()
