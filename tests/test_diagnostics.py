"""What REG says of a run: finite numbers only, to the page that asked, and never at the cost of the image."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import uuid
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import aiohttp
import numpy as np
import pytest
from PIL import Image
from workflows import REG, SAMPLING, node, picture, playground, stock

from bootstrap.errors import BootstrapError
from bootstrap.server import ComfyServer

pytestmark = pytest.mark.host

FAULTY = Path(__file__).parent / "fixtures" / "faulty_pack"
Prompt = dict[str, Any]


@pytest.fixture(scope="module")
def packs() -> list[Path]:
    return [FAULTY]


class Page:
    """All that the server sends to one page while prompts run, as it arrives."""

    def __init__(self, server: ComfyServer) -> None:
        self.server = server
        self.client = uuid.uuid4().hex
        self.events: list[tuple[str, str]] = []  # kind and JSON text
        self.texts: list[tuple[str, str]] = []  # node and text

    def run(self, prompt: Prompt, *others: Page) -> dict[str, Any]:
        """Run a prompt of this page while the others listen, and return its entry of the history."""
        return asyncio.run(asyncio.wait_for(self._run(prompt, *others), 300))

    async def _run(self, prompt: Prompt, *others: Page) -> dict[str, Any]:
        async with aiohttp.ClientSession() as session:
            pages = (self, *others)
            sockets = [
                await session.ws_connect(f"{self.server.url}/ws", params={"clientId": page.client}, max_msg_size=0)
                for page in pages
            ]
            listening = [asyncio.create_task(page._listen(socket)) for page, socket in zip(pages, sockets, strict=True)]
            body = {"prompt": prompt, "client_id": self.client}
            answer = await asyncio.to_thread(self.server.post, "/prompt", body)
            await listening[0]
            for socket, task in zip(sockets[1:], listening[1:], strict=True):
                await asyncio.sleep(0.5)  # what is on its way to them
                await socket.close()
                await task
        return strict(self.server.read(f"/history/{answer['prompt_id']}"))[answer["prompt_id"]]

    async def _listen(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        async for message in socket:
            if message.type is aiohttp.WSMsgType.TEXT:
                event = json.loads(message.data)
                self.events.append((event["type"], message.data))
                if event["type"] == "reg.status":
                    self.texts.append((event["data"]["node"], event["data"]["details"]))
                if event["type"] == "execution_error":
                    raise BootstrapError(f"{event['data']['exception_type']}: {event['data']['exception_message']}")
                if event["type"] == "executing" and event["data"]["node"] is None:
                    return

    def steps(self) -> list[dict[str, Any]]:
        heard = [strict(text)["data"]["steps"] for kind, text in self.events if kind == "reg.step"]
        return [step for steps in heard for step in steps]


def strict(text: str | bytes) -> Any:
    """JSON as a browser reads it, which knows no NaN and no infinity."""

    def refuse(constant: str) -> None:
        raise ValueError(f"{constant} is no JSON: {text[:2000]!r}")

    return json.loads(text, parse_constant=refuse)


def inspected(seed: int, model: Prompt | None = None, **inspector: Any) -> Prompt:
    """Playground, REG on a model that may be changed before, a sampler of 6 steps, inspector, and its images."""
    prompt = playground(seed) | {
        "changed": model or node("REG_ApplySchedule", model=["model", 0], schedule=["plan", 0]),
        "plan": node("REG_ScheduleConstant", cfg=3.0),
        "reg": node("REG_Guidance", model=["changed", 0], **{**REG, "refresh": "every 2 steps"}),
        "k": stock("reg", seed, steps=6),
        "inspect": node("REG_Inspector", samples=["k", 0], model=["reg", 0], heat_maps=2, **inspector),
        "table": node("PreviewAny", source=["inspect", 3]),
    }
    return prompt | decoded("inspect")


def decoded(samples: str) -> Prompt:
    """What a latent shows, saved with its prompt."""
    return {
        f"decode {samples}": node("REG_PlaygroundDecode", samples=[samples, 0], size=64),
        f"image {samples}": node("SaveImage", images=[f"decode {samples}", 0], filename_prefix="test"),
    }


def drawn(server: ComfyServer, entry: dict[str, Any], name: str) -> list[np.ndarray]:
    return [picture(server, image) for image in entry["outputs"][name]["images"]]


def saved(server: ComfyServer, entry: dict[str, Any], name: str) -> Prompt:
    """The prompt in the first image of a node."""
    image = entry["outputs"][name]["images"][0]
    query = urlencode({key: image[key] for key in ("filename", "subfolder", "type")})
    with Image.open(io.BytesIO(server.read(f"/view?{query}"))) as file:
        return strict(file.text["prompt"])


def warnings(page: Page, words: str) -> set[str]:
    """The lines with these words that the page was shown."""
    return {line for _, text in page.texts for line in text.splitlines() if words in line}


def broken(steps: str, value: str) -> Prompt:
    return node("TEST_BrokenSteps", model=["model", 0], steps=steps, value=value)


@pytest.mark.parametrize("value", ["nan", "inf"])
@pytest.mark.parametrize("at", [2, 3])  # where a product is computed, and where it is extrapolated
def test_one_step_that_is_not_finite_is_shown_as_broken(server: ComfyServer, value: str, at: int) -> None:
    page = Page(server)
    entry = page.run(inspected(10 * at + len(value), broken(str(at), value)))
    for _, text in page.events:
        json.dumps(strict(text), allow_nan=False)
    strict(server.read("/history"))
    (trace,) = entry["outputs"]["inspect"]["reg_trace"]
    assert trace["steps"] == page.steps()
    assert [step["state"] == "unusable" for step in trace["steps"]] == [index == at for index in range(6)]
    step = trace["steps"][at]
    numbers = ("mean", "low", "high", "min", "max", "before", "after", "change")
    assert [step[name] for name in numbers] == [None] * len(numbers)
    assert all(trace["steps"][other]["change"] is not None for other in range(6) if other not in (0, at))
    assert "REG changed the guidance by" in trace["sentence"]
    assert f"one step ({step['percent']:.0%} of the run) were not finite" in trace["sentence"]
    assert trace["sentence"].endswith("Load the model in another precision, such as fp32.")
    rows = list(csv.DictReader(io.StringIO(entry["outputs"]["table"]["text"][0])))
    assert (rows[at]["state"], rows[at]["mean"], rows[at]["change"]) == ("unusable", "", "")
    (report,) = drawn(server, entry, "inspect")
    colour = (np.abs(report.astype(int) - (0xF3, 0xCD, 0xC8)).sum(-1) < 12).sum(0) > 40
    columns = np.flatnonzero(colour[: report.shape[1] // 2])  # a bar of a sixth of the plot
    assert 70 < columns.max() - columns.min() < 110
    assert len(warnings(page, "are not finite (NaN or infinite)")) == 1


def test_run_of_broken_steps_says_so(server: ComfyServer) -> None:
    page = Page(server)
    entry = page.run(inspected(50, broken("0 1 2 3 4 5", "nan")))
    (trace,) = entry["outputs"]["inspect"]["reg_trace"]
    assert {step["state"] for step in trace["steps"]} == {"unusable"}
    assert trace["sentence"] == (
        "REG had no effect: the numbers of every step were not finite (NaN or infinite), which can break the image. "
        "Load the model in another precision, such as fp32."
    )
    assert warnings(page, "nan") == set()
    strict(server.read("/history"))


def test_schedule_events_are_finite(server: ComfyServer) -> None:
    page = Page(server)
    page.run(inspected(51))
    (event,) = [strict(text)["data"] for kind, text in page.events if kind == "reg.schedule"]
    assert event["sigma"][0] is None and len(event["sigma"]) == 6


def test_texts_and_steps_go_to_the_page_whose_prompt_runs(server: ComfyServer) -> None:
    own, other = Page(server), Page(server)
    own.run(inspected(52), other)
    assert any("guidance changed by" in text for _, text in own.texts)
    assert len(own.steps()) == 6
    assert (other.texts, other.steps()) == ([], [])


def test_prompt_of_no_page_runs(server: ComfyServer) -> None:
    """Posted by a program that gives no client id, before one of a page, which hears of its own run only."""
    posted = server.post("/prompt", {"prompt": inspected(53)})["prompt_id"]
    page = Page(server)
    page.run(inspected(54))
    outputs = server.get(f"/history/{posted}")[posted]["outputs"]
    assert len(outputs["inspect"]["reg_trace"][0]["steps"]) == 6
    assert len(page.steps()) == 6


FAULTS: dict[str, tuple[Prompt, str]] = {
    "VAE": ({"vae": node("TEST_FailingVAE")}, "The VAE of the inspector failed (RuntimeError: this decoder is broken)"),
    "preview colours": (
        {"changed": node("TEST_OddColours", model=["model", 0])},
        "The host's preview of this latent format failed (ValueError: ",
    ),
    "fonts": ({}, "The picture of the inspector failed (OSError: no font here)"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_what_fails_costs_one_line_and_not_the_image(server: ComfyServer, fault: str) -> None:
    changes, words = FAULTS[fault]
    page, seed = Page(server), 60 + list(FAULTS).index(fault)
    prompt = inspected(seed) | changes
    if "vae" in changes:
        prompt["inspect"]["inputs"]["vae"] = ["vae", 0]
    fonts = {"fonts": node("TEST_NoFonts", samples=["k", 0], missing=fault == "fonts")}
    prompt["inspect"]["inputs"]["samples"] = ["fonts", 0]
    entry = page.run(prompt | fonts | decoded("k"))
    page.run({**prompt, "fonts": node("TEST_NoFonts", samples=["k", 0], missing=False)})
    assert len(drawn(server, entry, "image inspect")) == 2
    assert all(map(np.array_equal, drawn(server, entry, "image inspect"), drawn(server, entry, "image k")))
    (line,) = warnings(page, words)
    assert line.endswith("Start ComfyUI with --verbose DEBUG to see where.")
    (trace,) = entry["outputs"]["inspect"]["reg_trace"]
    assert len(trace["steps"]) == 6 and "REG changed the guidance by" in trace["sentence"]
    if fault == "fonts":
        assert "images" not in entry["outputs"]["inspect"]
    else:
        (report,) = drawn(server, entry, "inspect")
        assert report.shape[0] > 800  # with its heat maps


def test_sheet_that_cannot_be_drawn_leaves_its_tiles(server: ComfyServer) -> None:
    links = {"model": ["model", 0], "positive": ["digits", 0], "negative": ["digits", 1], "vae": ["vae", 0]}
    axes = {"columns": "method", "column_values": "CFG, REG", "rows": "none", "row_values": ""}
    prompt = playground(70) | {
        "vae": node("REG_PlaygroundVAE", size=64),
        "fonts": node("TEST_NoFonts", samples=["latent", 0], missing=True),
        "compare": node(
            "REG_Compare", **links, latent_image=["fonts", 0], **SAMPLING, seed=70, denoise=1.0, **REG, **axes
        ),
        "save": node("SaveImage", images=["compare", 1], filename_prefix="tiles"),
    }
    page = Page(server)
    entry = page.run(prompt)
    prompt["fonts"]["inputs"]["missing"] = False
    whole = page.run(prompt)
    assert len(warnings(page, "The drawing of the sheet failed (OSError: no font here)")) == 1
    assert len(drawn(server, entry, "save")) == 4
    assert all(map(np.array_equal, drawn(server, entry, "save"), drawn(server, whole, "save")))


def test_prompt_with_gaps_runs(server: ComfyServer) -> None:
    """A prompt from a program: null where the page writes something, and nodes that lead nowhere."""
    page = Page(server)
    prompt = inspected(80) | {
        "stray": {"class_type": "REG_Inspector", "inputs": {"samples": ["gone", 0], "heat_maps": 0}, "_meta": None},
        "empty": {"class_type": "REG_Inspector", "inputs": {"samples": ["k", 0], "heat_maps": "many"}, "_meta": None},
    }
    for content in prompt.values():
        content["_meta"] = None
    entry = page.run(prompt)
    assert len(drawn(server, entry, "image inspect")) == 2
    assert saved(server, entry, "image inspect")["reg"]["_meta"]["rectified guidance"]["estimator"] == "reverse"


def test_comparison_of_a_prompt_without_meta_is_drawn(server: ComfyServer) -> None:
    links = {"model": ["model", 0], "positive": ["digits", 0], "negative": ["digits", 1], "vae": ["vae", 0]}
    axes = {"columns": "method", "column_values": "CFG, REG", "rows": "none", "row_values": ""}
    prompt = playground(81) | {
        "vae": node("REG_PlaygroundVAE", size=64),
        "compare": node(
            "REG_Compare", **links, latent_image=["latent", 0], **SAMPLING, seed=81, denoise=1.0, **REG, **axes
        ),
        "save": node("SaveImage", images=["compare", 0], filename_prefix="sheet"),
    }
    for content in prompt.values():
        content["_meta"] = None
    entry = Page(server).run(prompt)
    assert len(saved(server, entry, "save")["compare"]["_meta"]["tiles"]) == 2


def test_run_is_found_behind_a_latent_that_was_in_a_file(server: ComfyServer) -> None:
    """Plain data: what keeps LATENTs as files refuses anything else."""
    prompt = playground(90) | {
        "k": node("REG_KSampler", **{**stock("model", 90)["inputs"], **REG}),
        "file": node("TEST_SaveAndLoad", samples=["k", 0]),
        "inspect": node("REG_Inspector", samples=["file", 0], heat_maps=2),
    }
    entry = Page(server).run(prompt)
    (trace,) = entry["outputs"]["inspect"]["reg_trace"]
    assert len(trace["steps"]) == 4 and "REG changed the guidance by" in trace["sentence"]
    (report,) = drawn(server, entry, "inspect")
    assert report.shape[0] > 800
