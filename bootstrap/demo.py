"""The demo, run in the private environment: one prompt on a ComfyUI of our own, and a sheet of its images."""

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

from .cache import open_cache
from .console import Progress
from .errors import BootstrapError, last_lines
from .host import REPOSITORY, host_version
from .prompts import Prompt
from .runs import SERVED, log_of, run_folder
from .server import PACK_NAME, ComfyServer
from .sheet import Strip, compose, save
from .watch import Watch
from .workflow import to_prompt

WORKFLOW_NAME = "playground"
WORKFLOW_FILE = REPOSITORY / "example_workflows" / f"{WORKFLOW_NAME}.json"
WHAT_TO_SEE = (
    "Compare CFG with REG in one row: same seed, steps and weight w. "
    "At w = 1 there is no guidance to correct, so they agree; the differences grow with w."
)


def sampler_of(node: str, prompt: Prompt) -> str:
    """Find the sampler whose images a node saves; raises BootstrapError if there is none."""
    waiting = [node]
    while waiting:
        name = waiting.pop(0)
        inputs = prompt[name]["inputs"]
        if "cfg" in inputs:
            return name
        waiting += [value[0] for value in inputs.values() if isinstance(value, list)]
    raise BootstrapError(f"Expected a sampler before node {node} of {WORKFLOW_FILE.name}, but there is none.")


def load_images(server: ComfyServer, output: Mapping[str, Any]) -> list[Image.Image]:
    """Fetch the images that a node has saved."""
    queries = [urlencode({key: item[key] for key in ("filename", "subfolder", "type")}) for item in output["images"]]
    return [Image.open(io.BytesIO(server.read(f"/view?{query}"))).convert("RGB") for query in queries]


def collect(server: ComfyServer, prompt: Prompt, outputs: Mapping[str, Any], watch: Watch) -> list[Strip]:
    """Make a strip of each node that has saved images, in the order of the prompt."""
    strips = []
    for node in prompt:
        if not outputs.get(node, {}).get("images"):
            continue
        sampler = sampler_of(node, prompt)
        method = prompt[sampler]["_meta"]["title"].split()[0]
        weight = float(prompt[sampler]["inputs"]["cfg"])
        images = load_images(server, outputs[node])
        strips.append(Strip(method, weight, images, watch.seconds.get(sampler, 0.0)))
    return strips


def draw(server: ComfyServer, workflow: Mapping[str, Any], output: Path) -> None:
    """Run the workflow and save its sheet; raises BootstrapError if a node fails or the sheet cannot be written."""
    prompt = to_prompt(workflow, server.get("/object_info"))
    began = time.monotonic()
    with Progress("Drawing") as progress:
        watch = Watch(prompt, progress)
        outputs = server.run(prompt, watch.on_event, timeout=3600.0)
        strips = collect(server, prompt, outputs, watch)
    seconds = time.monotonic() - began
    if not strips:
        raise BootstrapError(f"Expected images from {WORKFLOW_FILE.name}, but none were saved. See {server.log}.")
    count = sum(len(strip.images) for strip in strips)
    title = "Classifier-free guidance (CFG) and rectified gradient guidance (REG)"
    about = f"{count} images in {seconds:.0f} s on ComfyUI {host_version(server.host)}; w is the guidance weight (cfg)"
    texts = {"prompt": json.dumps(prompt), "workflow": json.dumps(workflow)}
    try:
        save(compose(strips, title, about), output, texts)
    except OSError as error:
        raise BootstrapError(
            f"Expected to write {output}, but: {error}.\nChoose another file with --output."
        ) from error
    print(f"\n{output}\n{WHAT_TO_SEE}", flush=True)


def serve(server: ComfyServer) -> None:
    """Open the user interface with the workflow until Ctrl-C; raises BootstrapError if the server ends before."""
    address = f"{server.url}/?{urlencode({'template': WORKFLOW_NAME, 'source': PACK_NAME})}"
    print(f"\nComfyUI runs at {address}", flush=True)
    print(f"It opens the workflow, which is also in {PACK_NAME}'s templates and in the picture: drop that on the page.")
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
