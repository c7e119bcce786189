"""Prompts through the host's own validation and executor, in this process, with nodes of the tests among them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import comfy.model_management
import comfy_execution.progress
import execution
import folder_paths
import pytest
import torch
from torch import Tensor
from workflows import Prompt, node

import nodes as host_nodes
from reg_pack.nodes import NODES
from reg_pack.nodes.playground.pixels import PixelVAE
from tiny_models import FAMILIES, conditioning, empty_latent


class Anything:
    """A node of the host's older kind whose output goes into every input, as nodes of many packs have it."""

    INPUT_TYPES = classmethod(lambda cls: {"required": {"name": ("STRING", {})}})
    RETURN_TYPES = ("*",)
    FUNCTION = "give"
    CATEGORY = "test"
    held: dict[str, Any] = {}

    def give(self, name: str) -> tuple[Any]:
        return (self.held[name],)


class End:
    """Asks for the outputs of a node and keeps them."""

    INPUT_TYPES = classmethod(lambda cls: {"required": {}, "optional": {f"output{i}": ("*", {}) for i in range(6)}})
    RETURN_TYPES = ()
    OUTPUT_NODE = True
    FUNCTION = "take"
    CATEGORY = "test"
    taken: list[Any] = []

    def take(self, **outputs: Any) -> tuple[()]:
        self.taken.extend(outputs.values())
        return ()


class Client:
    """The part of the host's server that an executor talks to: nobody is connected."""

    client_id = None
    last_node_id = None

    def send_sync(self, *message: Any) -> None:
        pass


@pytest.fixture(autouse=True, scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The host with the nodes of the pack, as its loader adds them, and its temporary folder elsewhere."""
    own, temporary = dict(host_nodes.NODE_CLASS_MAPPINGS), folder_paths.temp_directory
    progress = comfy_execution.progress.global_progress_registry
    for own_node in NODES:
        host_nodes.NODE_CLASS_MAPPINGS[own_node.GET_SCHEMA().node_id] = own_node
    host_nodes.NODE_CLASS_MAPPINGS |= {"Anything": Anything, "End": End}
    folder_paths.temp_directory = str(tmp_path_factory.mktemp("temp"))
    yield
    host_nodes.NODE_CLASS_MAPPINGS.clear()
    host_nodes.NODE_CLASS_MAPPINGS.update(own)
    folder_paths.temp_directory = temporary
    comfy_execution.progress.global_progress_registry = progress


def execute(prompt: dict[str, Any]) -> tuple[str, str]:
    """Who refused (the host, or nobody, or the type of the error that was raised) and the message."""
    valid, _, outputs, errors = execution.asyncio.run(execution.validate_prompt("id", prompt, None))
    if not valid or errors:
        found = [error for entry in errors.values() for error in entry["errors"]]
        raised = [error["details"] for error in found if "exception" in error["type"]]
        assert all(details.startswith("REG: ") for details in raised), found
        own = [error["details"] for error in found if error["type"] == "custom_validation_failed"]
        return "host", max([*own, *raised], key=len, default="")
    executor = execution.PromptExecutor(Client(), cache_args={"lru": 0, "ram": 0, "ram_inactive": 0})
    executor.execute(prompt, "id", {}, outputs)
    comfy.model_management.unload_all_models()  # or the host collects garbage before every run
    raised = [data for event, data in executor.status_messages if event == "execution_error"]
    return (raised[0]["exception_type"], raised[0]["exception_message"]) if raised else ("", "")


SAMPLING = {"seed": 7, "steps": 3, "sampler_name": "euler", "scheduler": "simple", "denoise": 1.0}
LINKS = ("model", "positive", "negative", "latent_image")


def run(prompt: Prompt, output: Any, **held: Any) -> Any:
    """An output of a prompt whose links to a model, conditioning, latent and VAE are those of a tiny model.

    ``held`` are values for links of other names.

    Raises ValueError where the host or a node refuses it.
    """
    model = FAMILIES["SD3 flow"]()
    Anything.held = {
        "model": model,
        "positive": conditioning(1),
        "negative": conditioning(2),
        "latent_image": empty_latent(model),
        "vae": PixelVAE(32),
    } | held
    End.taken = []
    sources = {name: node("Anything", name=name) for name in Anything.held}
    with torch.inference_mode():
        who, message = execute(sources | prompt | {"end": node("End", output0=output)})
    if who:
        raise ValueError(message)
    return End.taken[0]


METHOD = {"strength": 1.0, "form": "row-sum", "estimator": "reverse", "start_percent": 0.0, "end_percent": 1.0}


def sheet(
    columns: tuple[str, str], rows: tuple[str, str] = ("none", ""), before: Prompt | None = None, **changes: Any
) -> Tensor:
    """All tiles of REG Compare, as one batch, with other nodes before it."""
    axes = {"columns": columns[0], "column_values": columns[1], "rows": rows[0], "row_values": rows[1]}
    links = {name: [name, 0] for name in (*LINKS, "vae")}
    inputs = {**links, **SAMPLING, "cfg": 4.0, **METHOD, **axes, **changes}
    return run((before or {}) | {"compare": node("REG_Compare", **inputs)}, ["compare", 1])


def sampled(before: Prompt | None = None, held: dict[str, Any] | None = None, **changes: Any) -> Tensor:
    """The host's KSampler, decoded, with other nodes before it."""
    inputs = {name: [name, 0] for name in LINKS} | SAMPLING | {"cfg": 4.0} | changes
    decode = node("VAEDecode", samples=["sampler", 0], vae=["vae", 0])
    prompt = {"sampler": node("KSampler", **inputs), "decode": decode}
    return run((before or {}) | prompt, ["decode", 0], **(held or {}))
