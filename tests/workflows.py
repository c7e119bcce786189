"""Prompts for a real server with the playground model, what it draws for them, and the server itself as a fixture."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import numpy as np
import pytest
from PIL import Image

from bootstrap.server import ComfyServer

REG = {"strength": 1.0, "form": "row-sum", "estimator": "auto", "start_percent": 0.0, "end_percent": 1.0}
SAMPLING = {"steps": 4, "cfg": 3.0, "sampler_name": "euler", "scheduler": "simple"}
Prompt = dict[str, Any]


@pytest.fixture(scope="module")
def packs() -> list[Path]:
    """Further packs for the server of a module; one with the name of ours takes its place."""
    return []


@contextmanager
def started(temporary: pytest.TempPathFactory, packs: list[Path]) -> Iterator[ComfyServer]:
    """A server whose API is what is tested, so it needs no user interface."""
    folder, front_end = temporary.mktemp("server"), temporary.mktemp("front_end")
    (front_end / "index.html").write_text("<!doctype html>", "utf-8")
    host = Path(os.environ["COMFYUI_PATH"])
    with ComfyServer(host, folder, packs=packs, front_end_root=front_end, arguments=["--cpu"]) as running:
        yield running


@pytest.fixture(scope="session")
def shared_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ComfyServer]:
    """One server for all modules that add no packs: each start takes 12 s of a processor."""
    with started(tmp_path_factory, []) as running:
        yield running


@pytest.fixture(scope="module")
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, packs: list[Path]
) -> Iterator[ComfyServer]:
    """The server of a module, with nothing in its cache."""
    if packs:
        with started(tmp_path_factory, packs) as running:
            yield running
    else:
        running = request.getfixturevalue("shared_server")
        running.post("/free", {"unload_models": True, "free_memory": True})
        yield running


def node(class_type: str, **inputs: Any) -> dict[str, Any]:
    return {"class_type": class_type, "inputs": inputs}


def playground(seed: int = 1) -> Prompt:
    """Stock loader, playground conditioning, empty latent, REG on the model."""
    return {
        "model": node("UNETLoader", unet_name="reg_playground_digits.safetensors", weight_dtype="default"),
        "digits": node("REG_PlaygroundConditioning", classes="38"),
        "latent": node("EmptySD3LatentImage", width=64, height=64, batch_size=2),
        "reg": node("REG_Guidance", model=["model", 0], **REG),
        "noise": node("RandomNoise", noise_seed=seed),
        "sampler": node("KSamplerSelect", sampler_name="euler"),
        "sigmas": node("BasicScheduler", model=["model", 0], scheduler="simple", steps=4, denoise=1.0),
    }


def stock(model: str, seed: int = 1, **changes: Any) -> dict[str, Any]:
    inputs = {**SAMPLING, "positive": ["digits", 0], "negative": ["digits", 1], "latent_image": ["latent", 0]}
    return node("KSampler", model=[model, 0], seed=seed, denoise=1.0, **{**inputs, **changes})


def custom(guider: str) -> dict[str, Any]:
    links = {"noise": ["noise", 0], "sampler": ["sampler", 0], "sigmas": ["sigmas", 0], "latent_image": ["latent", 0]}
    return node("SamplerCustomAdvanced", guider=[guider, 0], **links)


def images(server: ComfyServer, prompt: Prompt, *samplers: str) -> list[np.ndarray]:
    """What each sampler of the prompt draws, decoded and saved by the server, [batch, height, width, 3]."""
    prompt = dict(prompt)
    for sampler in samplers:
        prompt[f"decode {sampler}"] = node("REG_PlaygroundDecode", samples=[sampler, 0], size=64)
        prompt[f"save {sampler}"] = node("SaveImage", images=[f"decode {sampler}", 0], filename_prefix="test")
    outputs = server.run(prompt)
    return [
        np.stack([picture(server, entry) for entry in outputs[f"save {sampler}"]["images"]]) for sampler in samplers
    ]


def picture(server: ComfyServer, entry: dict[str, str]) -> np.ndarray:
    query = urlencode({key: entry[key] for key in ("filename", "subfolder", "type")})
    return np.asarray(Image.open(io.BytesIO(server.read(f"/view?{query}"))).convert("RGB"))


def saved_prompts(server: ComfyServer, prompt: Prompt, sampler: str) -> list[Prompt]:
    """The prompts that the host has saved inside the images that it draws."""
    prompt = prompt | {
        "decode": node("REG_PlaygroundDecode", samples=[sampler, 0], size=64),
        "save": node("SaveImage", images=["decode", 0], filename_prefix="test"),
    }
    entries = server.run(prompt)["save"]["images"]
    queries = [urlencode({key: entry[key] for key in ("filename", "subfolder", "type")}) for entry in entries]
    return [json.loads(Image.open(io.BytesIO(server.read(f"/view?{query}"))).text["prompt"]) for query in queries]


def queue_goes_on(server: ComfyServer, seed: int) -> bool:
    (drawn,) = images(server, playground(seed) | {"k": stock("reg", seed)}, "k")
    return drawn.shape == (2, 64, 64, 3)
