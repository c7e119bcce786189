"""REG Compare in a real server: its tiles, its cache, its prompts; and the sheet that it draws."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

import numpy as np
import pytest
from PIL import Image
from workflows import SAMPLING, Prompt, node, picture, playground

from bootstrap.errors import BootstrapError
from bootstrap.server import ComfyServer, RequestError

pytestmark = pytest.mark.host

REG = {"strength": 1.0, "form": "row-sum", "estimator": "auto", "start_percent": 0.0, "end_percent": 1.0}
LINKS = {"model": ["model", 0], "positive": ["digits", 0], "negative": ["digits", 1], "latent_image": ["latent", 0]}
SIZE = 64


def sources() -> Prompt:
    """Model, conditioning, latent and VAE of the playground."""
    return {name: playground()[name] for name in ("model", "digits", "latent")} | {
        "vae": node("REG_PlaygroundVAE", size=SIZE)
    }


def compare(columns: str, column_values: str, rows: str, row_values: str, seed: int = 1, **changes: Any) -> Prompt:
    axes = {"columns": columns, "column_values": column_values, "rows": rows, "row_values": row_values}
    inputs = {**LINKS, "vae": ["vae", 0], **SAMPLING, "seed": seed, "denoise": 1.0, **REG, **axes, **changes}
    return sources() | {"compare": node("REG_Compare", **inputs)}


def saved(prompt: Prompt, output: int) -> Prompt:
    return prompt | {"save": node("SaveImage", images=["compare", output], filename_prefix="test")}


def drawn(server: ComfyServer, entries: list[dict[str, str]]) -> list[np.ndarray]:
    return [picture(server, entry) for entry in entries]


def by_hand(server: ComfyServer, tiles: list[Prompt]) -> list[np.ndarray]:
    """What the workflows draw that somebody builds for these tiles: a sampler's changes and what is before it."""
    prompt = sources()
    for index, tile in enumerate(tiles):
        tile = dict(tile)
        inputs = {**LINKS, **SAMPLING, "seed": 1, "denoise": 1.0, **tile.pop("sampler", {})}
        for name in ("schedule", "reg", "scheduled"):
            if name in tile:
                given = tile[name]["inputs"]
                links = {key: [f"{value[0]} {index}", 0] for key, value in given.items() if key == "schedule"}
                prompt[f"{name} {index}"] = {**tile[name], "inputs": {**given, **links}}
        last = next((name for name in ("scheduled", "reg") if name in tile), None)
        inputs["model"] = ["model", 0] if last is None else [f"{last} {index}", 0]
        if "digits" in tile:
            prompt[f"digits {index}"] = node("REG_PlaygroundConditioning", classes=tile["digits"])
            inputs |= {"positive": [f"digits {index}", 0], "negative": [f"digits {index}", 1]}
        prompt[f"sampler {index}"] = node("KSampler", **inputs)
        prompt[f"decode {index}"] = node("VAEDecode", samples=[f"sampler {index}", 0], vae=["vae", 0])
        prompt[f"save {index}"] = node("SaveImage", images=[f"decode {index}", 0], filename_prefix="hand")
    results = server.run(prompt)
    return [image for index in range(len(tiles)) for image in drawn(server, results[f"save {index}"]["images"])]


def reg(**changes: Any) -> dict[str, Any]:
    return node("REG_Guidance", model=["model", 0], **{**REG, **changes})


def scheduled() -> dict[str, Any]:
    return node("REG_ApplySchedule", model=["model", 0], schedule=["schedule", 0])


class Events:
    """What the server said of one run."""

    def __init__(self) -> None:
        self.sampled: set[str] = set()
        self.shown: list[dict[str, Any]] = []
        self.sheet: Mapping[str, Any] = {}
        self.drawn: list[dict[str, Any]] = []
        self.drawing: list[int] = []
        self.longest = 0

    def __call__(self, kind: str, data: Mapping[str, Any]) -> None:
        if kind == "reg.sheet":
            self.sheet = data
        if kind == "reg.tiles":
            self.drawn += data["drawn"]
            self.drawing += [] if data["drawing"] is None else [data["drawing"]]
        if kind == "progress_state":
            self.longest = max(self.longest, len(json.dumps(data)))
        if kind == "progress" and data["max"] > 1:
            self.sampled.add(data["node"])
        if kind == "executed" and "reg_tiles" in (data["output"] or {}):
            self.shown.append({"at": data["display_node"], **data["output"]})


def shown(server: ComfyServer, prompt: Prompt) -> tuple[Events, dict[str, Any], Any]:
    """The events of a run, what the page gets for the node, and what the prompt has saved."""
    events = Events()
    results = server.run(prompt, events)
    (output,) = events.shown
    return events, output, results.get("save")


def prompts(tiles: list[dict[str, Any]]) -> list[Prompt]:
    """The prompt of each tile, as the page makes it of that of the first."""
    whole = [tile.get("prompt") or {**tiles[0]["prompt"], **tile["changes"]} for tile in tiles]
    return [{name: content for name, content in prompt.items() if content is not None} for prompt in whole]


def without_pictures(tiles: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The tiles as they are kept in a file, which lasts longer than the host's temporary folder."""
    return [{key: value for key, value in tile.items() if key != "image"} for tile in tiles]


def in_sheet(sheet: np.ndarray, image: np.ndarray) -> bool:
    """Whether these very pixels are somewhere on the sheet."""
    height, width = image.shape[:2]
    rows = np.lib.stride_tricks.sliding_window_view(sheet[..., 0], width, axis=1)
    found = np.argwhere((rows == image[height // 2, :, 0]).all(-1))
    return any(np.array_equal(sheet[y - height // 2 :][:height, x : x + width], image) for y, x in found)


CONNECTED = node("REG_ScheduleLinear", start_cfg=6.0, end_cfg=2.0)
LINEAR = node("REG_ScheduleLinear", start_cfg=3.0, end_cfg=1.0)
COSINE = node("REG_ScheduleCosine", cfg=3.0, power=2.0)
HAND_BUILT: dict[str, tuple[Prompt, list[Prompt]]] = {
    "methods by cfg": (
        compare("method", "cfg, REG, Interval 0.2 0.6, snr 0.5, exponential 0.7", "cfg", "1.5, 4"),
        [
            tile
            for cfg in (1.5, 4.0)
            for tile in (
                {"sampler": {"cfg": cfg}},
                {"reg": reg(), "sampler": {"cfg": cfg}},
                {
                    "schedule": node("REG_ScheduleInterval", cfg=cfg, start_percent=0.2, end_percent=0.6),
                    "scheduled": scheduled(),
                },
                {"schedule": node("REG_ScheduleSNR", cfg=cfg, spread=0.5), "scheduled": scheduled()},
                {"schedule": node("REG_ScheduleExponential", cfg=cfg, rate=0.7), "scheduled": scheduled()},
            )
        ],
    ),
    "seeds by strength": (
        compare("seed", "+1, 7", "strength", "0, 0.5", start_percent=0.1, refresh="every step"),
        [
            tile
            for strength in (0, 0.5)
            for seed in (2, 7)
            for tile in (
                {"sampler": {"seed": seed}}
                | ({"reg": reg(strength=strength, start_percent=0.1, refresh="every step")} if strength else {}),
            )
        ],
    ),
    "forms by estimator": (
        compare("form", "row-sum, directional", "estimator", "reverse, finite difference", cfg=5.0),
        [
            {"reg": reg(form=form, estimator=estimator), "sampler": {"cfg": 5.0}}
            for estimator in ("reverse", "finite difference")
            for form in ("row-sum", "directional")
        ],
    ),
    "schedules by method": (
        compare("schedule", "constant, linear, linear 6 2, cosine 2", "method", "REG, CFG, SNR 0.5"),
        [
            {"schedule": schedule, name: {"class_type": kind["class_type"], "inputs": {**kind["inputs"], **link}}}
            for name, kind in (("reg", reg()), ("scheduled", scheduled()))
            for link in ({"schedule": ["schedule", 0]},)
            for schedule in (node("REG_ScheduleConstant", cfg=3.0), LINEAR, CONNECTED, COSINE)
        ]
        + [{"schedule": node("REG_ScheduleSNR", cfg=3.0, spread=0.5), "scheduled": scheduled()}] * 4,
    ),
    "samplers by steps": (
        compare("sampler", "Euler, heun", "steps", "2-4 x2", strength=0.0),
        [{"sampler": {"sampler_name": name, "steps": steps}} for steps in (2, 4) for name in ("euler", "heun")],
    ),
    "schedulers by denoise": (
        compare("scheduler", "simple, karras", "denoise", "50%, 1", strength=0.0),
        [{"sampler": {"scheduler": name, "denoise": part}} for part in (0.5, 1.0) for name in ("simple", "karras")],
    ),
    "starts by ends": (
        compare("start", "0%, 20%", "end", "60%-80% x2"),
        [{"reg": reg(start_percent=start, end_percent=end)} for end in (0.6, 0.8) for start in (0.0, 0.2)],
    ),
    "budget by prompt": (
        compare("budget", "every step, as CFG", "prompt", "38; 05"),
        [{"reg": reg(refresh=name), "digits": digits} for digits in ("38", "05") for name in ("every step", "as CFG")],
    ),
    "connected schedule": (
        compare("method", "CFG, REG", "schedule", "connected, cosine 2", schedule=["plan", 0]) | {"plan": CONNECTED},
        [
            {"schedule": schedule, name: {"class_type": kind["class_type"], "inputs": {**kind["inputs"], **link}}}
            for schedule in (CONNECTED, COSINE)
            for link in ({"schedule": ["schedule", 0]},)
            for name, kind in (("scheduled", scheduled()), ("reg", reg()))
        ],
    ),
    "connected schedule, plain CFG": (
        compare("method", "CFG, REG", "none", "", schedule=["plan", 0]) | {"plan": CONNECTED},
        [{}, {"schedule": CONNECTED, "reg": reg(schedule=["schedule", 0])}],
    ),
}


@pytest.mark.parametrize("case", HAND_BUILT)
def test_tiles_are_what_the_workflow_built_by_hand_draws(server: ComfyServer, case: str) -> None:
    prompt, tiles = HAND_BUILT[case]
    _, output, save = shown(server, saved(prompt, 1))
    expected = by_hand(server, tiles)
    made = drawn(server, save["images"])
    assert len(made) == len(expected) == 2 * len(tiles) == 2 * len(output["reg_tiles"])
    for index, (image, hand) in enumerate(zip(made, expected, strict=True)):
        assert np.array_equal(image, hand), (index // 2, output["reg_tiles"][index // 2]["label"])


def test_sheet_shows_in_the_node_and_has_the_pixels_of_every_tile(server: ComfyServer) -> None:
    """Without SaveImage, too: the node itself is an output."""
    prompt = compare("method", "CFG, REG", "cfg", "3, 6", seed=11)
    events, output, _ = shown(server, prompt)
    assert output["at"] == "compare"
    assert len(events.sampled) == 4
    assert [(tile["label"], tile["row"], tile["column"]) for tile in output["reg_tiles"]] == [
        ("CFG, cfg = 3", "cfg = 3", "CFG"),
        ("REG, cfg = 3", "cfg = 3", "REG"),
        ("CFG, cfg = 6", "cfg = 6", "CFG"),
        ("REG, cfg = 6", "cfg = 6", "REG"),
    ]
    (preview,) = drawn(server, output["images"])
    _, again, save = shown(server, saved(prompt, 0))
    (sheet,) = drawn(server, save["images"])
    assert np.array_equal(sheet, preview)
    _, _, tiles = shown(server, saved(prompt, 1))
    for image in drawn(server, tiles["images"]):
        assert in_sheet(sheet, image)


def test_only_new_tiles_are_sampled_and_the_others_keep_their_time(server: ComfyServer) -> None:
    first, before, _ = shown(server, compare("method", "CFG, REG", "cfg", "3, 6", seed=21))
    second, after, _ = shown(server, compare("method", "CFG, SNR, REG", "cfg", "6, 3", seed=21))
    again, same, _ = shown(server, compare("method", "CFG, SNR, REG", "cfg", "6, 3", seed=21))
    assert (len(first.sampled), len(second.sampled), len(again.sampled)) == (4, 2, 0)
    assert not first.sampled & second.sampled
    times = {tile["label"]: tile["seconds"] for tile in after["reg_tiles"]}
    assert all(seconds > 0 for seconds in times.values())
    assert times | {tile["label"]: tile["seconds"] for tile in before["reg_tiles"]} == times
    assert times == {tile["label"]: tile["seconds"] for tile in same["reg_tiles"]}


def test_tiles_that_come_out_the_same_are_sampled_once(server: ComfyServer) -> None:
    events, output, _ = shown(server, compare("method", "CFG, REG", "strength", "0, 0.5, 1", seed=31))
    assert len(events.sampled) == 3
    assert len(output["reg_tiles"]) == 6


class Skipping(Events):
    """Skips tiles of a sheet by their indices, as the page does, when the sampler is at work on one of them."""

    def __init__(self, server: ComfyServer, at: int, tiles: list[int], step: int = 2) -> None:
        super().__init__()
        self.server, self.at, self.tiles, self.step = server, at, tiles, step

    def __call__(self, kind: str, data: Mapping[str, Any]) -> None:
        super().__call__(kind, data)
        if kind == "progress" and data["value"] >= self.step and self.drawing[-1] == self.at and self.tiles:
            runs = [self.sheet["runs"][index] for index in self.tiles]
            self.server.post("/reg/skip", {"prompt_id": self.sheet["prompt_id"], "runs": runs})
            self.tiles = []


def test_page_gets_each_tile_as_it_is_drawn(server: ComfyServer) -> None:
    """In reading order, each before the next is begun, and what the cache has together with the next."""
    prompt = saved(compare("method", "CFG, REG", "cfg", "3, 6", seed=91), 1)
    heard: list[tuple[str, Any]] = []
    events, output, save = Events(), {}, None

    def listen(kind: str, data: Mapping[str, Any]) -> None:
        events(kind, data)
        if kind == "reg.tiles":
            heard.extend([("drawn", tile["index"]) for tile in data["drawn"]] + [("drawing", data["drawing"])])

    save = server.run(prompt, listen)["save"]
    (output,) = events.shown
    order = list(dict.fromkeys(entry for entry in heard if entry[1] is not None))
    assert order == [entry for index in range(4) for entry in (("drawing", index), ("drawn", index))]
    assert events.sheet["node"] == "compare" and len(events.sheet["runs"]) == 4
    assert [tile["label"] for tile in events.sheet["tiles"]] == [tile["label"] for tile in output["reg_tiles"]]
    assert [tile["image"] for tile in events.drawn] == [tile["image"] for tile in output["reg_tiles"]]
    assert all(re.fullmatch(r"[0-9.]+ s per image", tile["note"]) for tile in events.drawn)
    assert prompts(list(events.sheet["tiles"])) == prompts(output["reg_tiles"])
    images = drawn(server, save["images"])
    for index, tile in enumerate(events.drawn):  # a batch stands side by side
        strip = picture(server, tile["image"])
        assert np.array_equal(strip[:, :SIZE], images[2 * index])
        assert np.array_equal(strip[:, -SIZE:], images[2 * index + 1])
    added, _, _ = shown(server, saved(compare("method", "CFG, REG", "cfg", "3, 6, 4", seed=91), 1))
    assert [tile["index"] for tile in added.drawn] == list(range(6))
    assert [tile["image"] for tile in added.drawn[:4]] == [tile["image"] for tile in events.drawn]
    assert set(added.drawing) == {4, 5}


def test_what_is_sent_of_each_step_does_not_grow_with_the_tiles(server: ComfyServer) -> None:
    """64 tiles of 2 steps sent 38 MB, since the host sends all nodes of a run with each step."""
    events, _, _ = shown(server, compare("cfg", "1-6 x12", "none", "", seed=92, steps=1, strength=0.0))
    assert len(events.drawn) == 12
    assert events.longest < 4000


def test_skipped_tile_is_left_out_and_is_drawn_in_the_next_run(server: ComfyServer) -> None:
    long = {"seed": 93, "steps": 200}
    prompt = saved(compare("cfg", "2, 3, 4", "none", "", **long), 1)
    events = Skipping(server, 1, [1])
    images = drawn(server, server.run(prompt, events)["save"]["images"])
    (output,) = events.shown
    assert len(images) == 4  # two tiles of two images
    assert [tile["image"] is None for tile in output["reg_tiles"]] == [False, True, False]
    assert [tile["note"] == "skipped" for tile in events.drawn] == [False, True, False]
    again, after, save = shown(server, prompt)
    assert len(drawn(server, save["images"])) == 6 and all(tile["image"] for tile in after["reg_tiles"])
    assert len(again.sampled) == 1
    last, _, _ = shown(server, prompt)
    assert not last.sampled and not last.drawing
    (direct,) = server.run(prompts(after["reg_tiles"])[1]).values()
    assert all(map(np.array_equal, drawn(server, direct["images"]), drawn(server, save["images"])[2:4]))


def test_stop_ends_with_the_tiles_so_far(server: ComfyServer) -> None:
    prompt = saved(compare("cfg", "2, 3, 4, 5", "none", "", seed=94, steps=200), 0)
    events = Skipping(server, 1, [1, 2, 3])
    save = server.run(prompt, events)["save"]
    assert set(events.drawing) == {0, 1}
    (sheet,) = drawn(server, save["images"])
    assert in_sheet(sheet, picture(server, events.drawn[0]["image"])[:, :SIZE])
    assert [tile["note"] for tile in events.drawn[1:]] == ["skipped"] * 3


def test_tiles_that_follow_a_skipped_one_are_skipped_with_it(server: ComfyServer) -> None:
    for order in ("REG, CFG matched, measured, CFG", "CFG matched, measured, REG, CFG"):
        prompt = compare("method", order, "none", "", seed=95, steps=300)
        prompt["compare"]["inputs"]["seed"] += len(order) + order.index("REG")
        events = Skipping(server, 0, [order.split(", ").index("REG")])
        server.run(prompt, events)
        (output,) = events.shown
        assert [tile["image"] is None for tile in output["reg_tiles"]] == [True, True, True, False]


def test_sheet_of_which_all_is_skipped_says_so_where_images_are_asked_for(server: ComfyServer) -> None:
    prompt = compare("cfg", "2, 3", "none", "", seed=96, steps=200)
    events = Skipping(server, 0, [0, 1])
    server.run(prompt, events)
    assert len(events.shown) == 1
    with pytest.raises(BootstrapError, match="all tiles were skipped"):
        server.run(saved(prompt, 1), Skipping(server, 0, [0, 1]))


@pytest.mark.parametrize(
    "command", [None, [], {}, {"prompt_id": 1, "runs": []}, {"prompt_id": "a", "runs": ["x"] * 65}]
)
def test_command_that_is_none_is_refused(server: ComfyServer, command: Any) -> None:
    with pytest.raises(RequestError, match="400"):
        server.post("/reg/skip", command)


def test_tiles_of_different_sizes_are_one_batch(server: ComfyServer) -> None:
    prompt = compare("widget", "vae.size = 32, 64", "none", "", seed=97)
    _, _, save = shown(server, saved(prompt, 1))
    small, *_, large = drawn(server, save["images"])
    assert small.shape == large.shape == (SIZE, SIZE, 3)
    assert (small[32:] == 255).all() and (small[:, 32:] == 255).all() and not (small[:32, :32] == 255).all()


MEASURES = "CFG, REG, CFG matched, measured"


def test_tiles_by_the_measure_of_reg_share_its_run_and_come_from_the_cache(server: ComfyServer) -> None:
    prompt = saved(compare("method", MEASURES, "form", "row-sum, directional", seed=81), 1)
    first, before, save = shown(server, prompt)
    again, after, same = shown(server, prompt)
    assert (len(first.sampled), len(again.sampled)) == (6, 0)  # CFG and measured are the same in both rows
    assert after["reg_tiles"] == before["reg_tiles"]
    assert all(map(np.array_equal, drawn(server, save["images"]), drawn(server, same["images"])))
    added, later, _ = shown(server, compare("method", "REG, CFG matched", "form", "row-sum, directional", seed=82))
    assert len(added.sampled) == 4
    added, _, _ = shown(server, compare("method", MEASURES, "form", "row-sum, directional", seed=82))
    assert len(added.sampled) == 2  # REG ran before, and is measured still
    assert all(tile["seconds"] > 0 for tile in later["reg_tiles"])


def test_tile_that_is_matched_says_its_cfg(server: ComfyServer) -> None:
    _, output, _ = shown(server, compare("method", "REG, CFG matched", "cfg", "3, 6", seed=83))
    labels = [tile["label"] for tile in output["reg_tiles"]]
    found = [re.fullmatch(r"CFG matched \(cfg ([0-9.]+)\), cfg = ([36])", label) for label in labels[1::2]]
    assert labels[::2] == ["REG, cfg = 3", "REG, cfg = 6"]
    assert all(match and 1 < float(match[1]) < float(match[2]) for match in found)
    assert [tile["column"] for tile in output["reg_tiles"]] == ["REG", "CFG matched"] * 2


def test_matched_tile_has_the_contrast_of_reg(server: ComfyServer) -> None:
    """Where plain CFG at the same cfg has more by several times the tolerance."""
    prompt = saved(compare("method", "CFG, REG, CFG matched", "cfg", "2, 5", seed=84, steps=20), 1)
    prompt["latent"]["inputs"]["batch_size"] = 10
    prompt["digits"]["inputs"]["classes"] = "0123456789"
    _, _, save = shown(server, prompt)
    contrasts = np.array([image.std() for image in drawn(server, save["images"])]).reshape(2, 3, 10).mean(-1)
    for cfg, reg, matched in contrasts:
        assert abs(matched - reg) < 0.2 * (cfg - reg), contrasts


def test_each_tile_opens_as_a_prompt_that_draws_it(server: ComfyServer) -> None:
    """Posted as it is, also where the node was in a subgraph, whose ids a prompt of its own cannot have."""
    methods = f"{MEASURES}, SNR 1"
    prompt = saved(compare("method", methods, "schedule", "connected, linear", schedule=["plan", 0]), 1)
    prompt |= {"plan": CONNECTED}
    names = {name: f"6:{number}" for number, name in enumerate(prompt)} | {"model": "4", "save": "save"}
    moved = {
        names[name]: {
            **content,
            "inputs": {
                key: [names[value[0]], value[1]] if isinstance(value, list) else value
                for key, value in content["inputs"].items()
            },
        }
        for name, content in prompt.items()
    }
    _, output, save = shown(server, moved)
    assert output["at"] == names["compare"]
    made = drawn(server, save["images"])
    for index, (tile, alone) in enumerate(zip(output["reg_tiles"], prompts(output["reg_tiles"]), strict=True)):
        assert all(name.isdecimal() for name in alone)
        assert alone["4"]["class_type"] == "UNETLoader"
        titles = [content["_meta"]["title"] for content in alone.values()]
        assert f"Save {tile['column']}, {tile['row']}" in titles
        runs = 2 if tile["column"] in ("CFG matched", "measured") else 1  # theirs, and that of REG
        assert sum(title.startswith("KSampler") for title in titles) == runs
        (result,) = server.run(alone).values()
        assert all(map(np.array_equal, drawn(server, result["images"]), made[2 * index : 2 * index + 2])), tile["label"]


def test_saved_sheet_carries_its_tiles_and_still_opens(server: ComfyServer) -> None:
    prompt = saved(compare("method", "CFG, REG", "seed", "41, 42"), 0)
    for _ in range(2):  # the second time everything comes from the cache
        _, output, save = shown(server, prompt)
        for entry in (save["images"][0], output["images"][0]):
            query = urlencode({key: entry[key] for key in ("filename", "subfolder", "type")})
            with Image.open(io.BytesIO(server.read(f"/view?{query}"))) as image:
                embedded = json.loads(image.text["prompt"])
            assert embedded["compare"]["_meta"]["tiles"] == without_pictures(output["reg_tiles"])
            assert embedded["compare"]["inputs"] == prompt["compare"]["inputs"]
    _, opened, _ = shown(server, embedded)
    assert prompts(opened["reg_tiles"]) == prompts(output["reg_tiles"])


def test_long_text_is_in_the_file_once_and_not_once_a_tile(server: ComfyServer) -> None:
    """64 tiles of a prompt of 10 KB, in a subgraph, whose ids are none for a prompt of its own."""
    text = "38" + " painted in oil, highly detailed" * 320
    prompt = saved(compare("cfg", "1,2,3,4,5,6,7,8", "method", "CFG, REG, SNR 1, SNR 2, SNR 3, SNR 4, SNR 5, SNR 6"), 0)
    prompt |= {
        "6:1": node("StringSubstring", string=text, start=0, end=2),
        "digits": node("REG_PlaygroundConditioning", classes=["6:1", 0]),
    }
    prompt["compare"]["inputs"]["steps"] = 1
    results = server.run(prompt)
    (entry,) = results["save"]["images"]
    query = urlencode({key: entry[key] for key in ("filename", "subfolder", "type")})
    with Image.open(io.BytesIO(server.read(f"/view?{query}"))) as image:
        embedded = image.text["prompt"]
    tiles = json.loads(embedded)["compare"]["_meta"]["tiles"]
    assert len(tiles) == 64
    assert len(embedded) < 100_000
    for prompt_of_tile in prompts(tiles):
        (words,) = [part["inputs"]["string"] for part in prompt_of_tile.values() if "string" in part["inputs"]]
        assert words == text


def test_linked_widgets(server: ComfyServer) -> None:
    prompt = compare("method", "", "none", "", seed=51) | {
        "weight": node("PrimitiveFloat", value=4.0),
        "text": node("PrimitiveString", value="REG, CFG"),
        "start": node("PrimitiveFloat", value=0.0),
    }
    prompt["compare"]["inputs"] |= {"cfg": ["weight", 0], "column_values": ["text", 0], "start_percent": ["start", 0]}
    _, _, save = shown(server, saved(prompt, 1))
    _, _, direct = shown(server, saved(compare("method", "REG, CFG", "none", "", seed=51, cfg=4.0), 1))
    assert all(map(np.array_equal, drawn(server, save["images"]), drawn(server, direct["images"])))
    with pytest.raises(BootstrapError, match="method must be one of CFG, REG"):
        server.run(prompt | {"text": node("PrimitiveString", value="REG, APG")})


BAD: dict[str, tuple[Prompt, str]] = {
    "method": (compare("method", "CFG, APG", "none", ""), "SNR 1.0, exponential 0.2; got 'APG'"),
    "form": (compare("form", "rowsum", "none", ""), "form rowsum is unknown. Did you mean row-sum?"),
    "estimator": (compare("none", "", "estimator", "magic"), "estimator must be one of auto, reverse"),
    "schedule": (compare("schedule", "ramp", "none", ""), "one of constant, linear 7 1, cosine 2"),
    "numbers of a schedule": (compare("schedule", "linear 7 1 3", "none", ""), "linear takes 0 to 2 numbers"),
    "interval without range": (compare("method", "interval", "none", ""), "interval takes 1 to 2 numbers"),
    "reversed interval": (compare("method", "interval 0.6 0.2", "none", ""), "start 0.6 and end 0.2"),
    "spread": (compare("method", "SNR 0", "none", ""), "spread of SNR must be a number between 0.01 and 100; got 0"),
    "not a number": (compare("cfg", "3, high", "none", ""), "cfg takes numbers such as 3, 6, 9; got 'high'"),
    "not finite": (compare("cfg", "nan", "none", ""), "cfg must be a number between 0 and 100; got nan"),
    "cfg": (compare("cfg", "3, 101", "none", ""), "cfg must be a number between 0 and 100; got 101"),
    "strength": (compare("strength", "-1", "none", ""), "strength must be a number between 0 and 2; got -1"),
    "seed": (compare("seed", "1.5", "none", ""), "seed takes whole numbers such as 1, 2, +1; got '1.5'"),
    "no values": (compare("cfg", " , ", "none", ""), "cfg has no values"),
    "same axis": (compare("cfg", "1, 2", "cfg", "3"), "columns and rows are both cfg"),
    "unknown axis": (compare("colour", "red", "none", ""), "an axis must be one of none, method, cfg"),
    "too many": (compare("cfg", ",".join("123456789"), "seed", ",".join("12345678")), "9 columns x 8 rows = 72"),
    "matched to nothing": (
        compare("method", "CFG, CFG matched", "none", ""),
        "CFG matched takes its weight from tiles",
    ),
    "measured by nothing": (compare("method", "measured", "none", ""), "Add REG to the values of method."),
    "nothing connected": (compare("schedule", "connected", "none", ""), "needs a connected schedule"),
    "reversed range of a tile": (compare("start", "20%, 60%", "end", "40%, 80%"), "start 0.6 and end 0.4"),
    "reversed range": (compare("none", "", "none", "", start_percent=0.8, end_percent=0.2), "start 0.8 and end 0.2"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_values_are_refused_before_anything_runs(server: ComfyServer, case: str) -> None:
    prompt, message = BAD[case]
    events = Events()
    with pytest.raises(BootstrapError) as refused:
        server.run(prompt, events)
    assert message in str(refused.value)
    assert "accept the prompt" in str(refused.value)
    assert not events.sampled


@pytest.mark.parametrize("carried", ["REG", "a guidance schedule"])
def test_model_that_already_has_guidance_is_refused(server: ComfyServer, carried: str) -> None:
    before = reg() if carried == "REG" else scheduled()
    prompt = compare("method", "CFG", "none", "", model=["before", 0]) | {"before": before, "schedule": CONNECTED}
    with pytest.raises(BootstrapError, match=f"already carries {carried}"):
        server.run(prompt)


def test_interrupt_ends_the_run_and_the_queue_goes_on(server: ComfyServer) -> None:
    long = compare("method", "CFG, REG", "cfg", "3, 6", seed=61, steps=2000)

    def interrupt(kind: str, data: Mapping[str, Any]) -> None:
        if kind == "progress" and data.get("value", 0) >= 2:
            server.post("/interrupt", {})

    with pytest.raises(BootstrapError, match="interrupted at node compare"):
        server.run(long, interrupt)
    events, output, _ = shown(server, compare("method", "CFG, REG", "cfg", "3, 6", seed=61))
    assert len(events.sampled) == 4
    assert all(tile["seconds"] > 0 for tile in output["reg_tiles"])


def test_vae_decodes_and_encodes_with_the_hosts_nodes(server: ComfyServer) -> None:
    prompt = sources() | {
        "k": node("KSampler", **LINKS, **SAMPLING, seed=1, denoise=1.0),
        "vae": node("REG_PlaygroundVAE", size=32),
        "image": node("VAEDecode", samples=["k", 0], vae=["vae", 0]),
        "own": node("REG_PlaygroundDecode", samples=["k", 0], size=32),
        "latents": node("VAEEncode", pixels=["image", 0], vae=["vae", 0]),
        "back": node("VAEDecode", samples=["latents", 0], vae=["vae", 0]),
    }
    names = ("image", "own", "back")
    prompt |= {f"save {name}": node("SaveImage", images=[name, 0], filename_prefix="vae") for name in names}
    results = server.run(prompt)
    image, own, back = (np.stack(drawn(server, results[f"save {name}"]["images"])).astype(int) for name in names)
    assert np.array_equal(image, own)
    assert abs(image - back).max() <= 1  # the host cuts grey levels off when it saves


@pytest.mark.parametrize("encode", ["VAEEncodeForInpaint", "SetLatentNoiseMask"])
def test_inpainting_keeps_what_is_not_masked(server: ComfyServer, encode: str) -> None:
    """The right half of the picture is drawn again as another digit, in each tile."""
    pixels = {"pixels": ["image", 0], "vae": ["vae", 0]}
    masks = {
        "all": node("SolidMask", value=0.0, width=SIZE, height=SIZE),
        "half": node("SolidMask", value=1.0, width=SIZE // 2, height=SIZE),
        "mask": node("MaskComposite", destination=["all", 0], source=["half", 0], x=SIZE // 2, y=0, operation="add"),
    }
    masked = {"latents": node("VAEEncode", **pixels), "inpaint": node(encode, samples=["latents", 0], mask=["mask", 0])}
    if encode == "VAEEncodeForInpaint":
        masked = {"inpaint": node(encode, **pixels, mask=["mask", 0], grow_mask_by=0)}
    prompt = compare("method", "CFG, REG", "none", "", seed=71, latent_image=["inpaint", 0], positive=["other", 0])
    prompt |= (
        masks
        | masked
        | {
            "k": node("KSampler", **LINKS, **SAMPLING, seed=2, denoise=1.0),
            "image": node("VAEDecode", samples=["k", 0], vae=["vae", 0]),
            "other": node("REG_PlaygroundConditioning", classes="04"),
            "before": node("SaveImage", images=["image", 0], filename_prefix="before"),
            "save": node("SaveImage", images=["compare", 1], filename_prefix="after"),
        }
    )
    results = server.run(prompt)
    before, after = (np.stack(drawn(server, results[name]["images"])).astype(int) for name in ("before", "save"))
    after = after.reshape(2, *before.shape)
    kept, made = slice(0, SIZE // 2 - 8), slice(SIZE // 2 + 8, None)
    assert abs(after - before)[..., kept, :].max() <= 24  # decoded at 64 pixels and encoded at 32 blurs the edges
    assert abs(after - before)[..., made, :].mean(axis=(1, 2, 3, 4)).min() > 20
