"""The pack in a real ComfyUI server: workflows through its HTTP API, bad input, and a queue that goes on."""

from __future__ import annotations

import csv
import io
import itertools
import json
import re
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from workflows import (
    REG,
    SAMPLING,
    Prompt,
    custom,
    images,
    node,
    picture,
    playground,
    queue_goes_on,
    saved_prompts,
    stock,
)

from bootstrap.errors import BootstrapError
from bootstrap.server import ComfyServer
from bootstrap.workflow import to_prompt

pytestmark = pytest.mark.host

ROOT = Path(__file__).parents[1]

# Saved workflows rely on the orders of the inputs: they are appended to, never changed. The menus follow that of nodes.
RANGE = ["start_percent", "end_percent"]
RECTIFICATION = ["strength", "form", "estimator", *RANGE, "schedule", "refresh", "checkpointing"]
KSAMPLER = [
    "model",
    "seed",
    "steps",
    "cfg",
    "sampler_name",
    "scheduler",
    "positive",
    "negative",
    "latent_image",
    "denoise",
]
KSAMPLER_ADVANCED = [
    *["model", "add_noise", "noise_seed", "steps", "cfg", "sampler_name", "scheduler"],
    *["positive", "negative", "latent_image", "start_at_step", "end_at_step", "return_with_leftover_noise"],
]
INPUTS = {
    "REG_Guidance": ["model", *RECTIFICATION, "measured"],
    "REG_Guider": ["model", "positive", "negative", "cfg", *RECTIFICATION, "measured"],
    "REG_AutoGuider": ["model", "positive", "cfg", "weaken", "layers", *RECTIFICATION, "weak_model", "measured"],
    "REG_KSampler": [*KSAMPLER, *RECTIFICATION, "measured"],
    "REG_KSamplerAdvanced": [*KSAMPLER_ADVANCED, *RECTIFICATION, "measured"],
    "REG_Inspector": ["samples", "heat_maps", "model", "vae"],
    "REG_ApplySchedule": ["model", "schedule"],
    "REG_ScheduleConstant": ["cfg"],
    "REG_ScheduleLinear": ["start_cfg", "end_cfg"],
    "REG_ScheduleCosine": ["cfg", "power"],
    "REG_ScheduleInterval": ["cfg", *RANGE],
    "REG_ScheduleSNR": ["cfg", "spread"],
    "REG_ScheduleCurve": ["curve", "min_cfg", "max_cfg"],
    "REG_ScheduleCombine": ["first", "second", "combine", "switch_percent"],
    "REG_ScheduleExponential": ["cfg", "rate"],
    "REG_ScheduleMeasured": ["cfg", "curve"],
    "REG_PlaygroundConditioning": ["classes"],
    "REG_PlaygroundDecode": ["samples", "size", "model"],
    "REG_PlaygroundVAE": ["size", "model"],
    "REG_PlaygroundPrompt": ["text", "negative"],
    "REG_Compare": [
        *["model", "positive", "negative", "latent_image", "vae"],
        *["seed", "steps", "cfg", "sampler_name", "scheduler", "denoise"],
        *["columns", "column_values", "rows", "row_values", *RECTIFICATION],
    ],
    "REG_CompareStopwatch": ["model", "run", "rectified", "scheduled"],
    "REG_CompareTile": ["image", "stopwatch", "previous", "cfg", "run", "source", "source_run"],
    "REG_CompareSheet": ["tiles", "layout"],
    "REG_CompareMatched": ["samples", "stopwatch"],
    "REG_CompareMeasured": ["samples", "stopwatch", "form", "cfg"],
}
OUTPUTS = {
    "REG_Guidance": ["MODEL"],
    "REG_Guider": ["GUIDER"],
    "REG_AutoGuider": ["GUIDER"],
    "REG_KSampler": ["LATENT"],
    "REG_KSamplerAdvanced": ["LATENT"],
    "REG_ApplySchedule": ["MODEL"],
    "REG_Inspector": ["LATENT", "IMAGE", "STRING", "STRING", "GUIDANCE_SCHEDULE"],
    "REG_PlaygroundConditioning": ["CONDITIONING", "CONDITIONING"],
    "REG_PlaygroundDecode": ["IMAGE"],
    "REG_PlaygroundVAE": ["VAE"],
    "REG_PlaygroundPrompt": ["CONDITIONING", "CONDITIONING"],
    "REG_Compare": ["IMAGE", "IMAGE"],
    "REG_CompareStopwatch": ["MODEL", "REG_STOPWATCH"],
    "REG_CompareTile": ["REG_TILES"],
    "REG_CompareSheet": ["IMAGE", "IMAGE"],
    "REG_CompareMatched": ["FLOAT"],
    "REG_CompareMeasured": ["GUIDANCE_SCHEDULE"],
} | {node: ["GUIDANCE_SCHEDULE"] for node in INPUTS if node.startswith("REG_Schedule")}


def ordered_inputs(info: dict[str, Any]) -> list[str]:
    return [name for part in ("required", "optional") for name in info["input"].get(part, {})]


def widget(info: dict[str, Any], name: str) -> tuple[Any, ...]:
    """The options or the default and range of an input."""
    kind, settings = info["input"]["required"][name]
    if isinstance(kind, list) or kind == "COMBO":
        return tuple(kind if isinstance(kind, list) else settings["options"])
    return kind, settings["default"], settings["min"], settings["max"]


@pytest.mark.parametrize("node_id", INPUTS)
def test_inputs_and_outputs_keep_their_order(server: ComfyServer, node_id: str) -> None:
    info = server.get(f"/object_info/{node_id}")[node_id]
    assert ordered_inputs(info) == INPUTS[node_id]
    assert info["output"] == OUTPUTS[node_id]


@pytest.mark.parametrize("node_id", INPUTS)
def test_every_input_and_output_says_what_it_is(server: ComfyServer, node_id: str) -> None:
    info = server.get(f"/object_info/{node_id}")[node_id]
    parts = [info["input"].get(part, {}) for part in ("required", "optional")]
    options = {name: spec[1] for part in parts for name, spec in part.items()}
    assert [name for name, extra in options.items() if not extra.get("tooltip")] == []
    assert all(info["output_tooltips"])
    assert info["description"]


@pytest.mark.parametrize(("kind", "inputs"), {"KSampler": KSAMPLER, "KSamplerAdvanced": KSAMPLER_ADVANCED}.items())
def test_ksampler_inputs_are_the_hosts(server: ComfyServer, kind: str, inputs: list[str]) -> None:
    host, own = (server.get(f"/object_info/{name}")[name] for name in (kind, f"REG_{kind}"))
    assert ordered_inputs(host) == inputs
    for name in ("add_noise", "return_with_leftover_noise", "start_at_step", "end_at_step"):
        if name in inputs:
            assert widget(own, name) == widget(host, name)


def test_the_pack_adds_these_nodes_in_this_order(server: ComfyServer) -> None:
    assert [name for name in server.get("/object_info") if name.startswith("REG_")] == list(INPUTS)


def test_every_route_draws_the_same_image(server: ComfyServer) -> None:
    conditioning = {"positive": ["digits", 0], "negative": ["digits", 1]}
    prompt = playground() | {
        "KSampler": stock("reg"),
        "CFGGuider": node("CFGGuider", model=["reg", 0], cfg=3.0, **conditioning),
        "custom": custom("CFGGuider"),
        "REG_Guider": node("REG_Guider", model=["model", 0], cfg=3.0, **conditioning, **REG),
        "custom with REG": custom("REG_Guider"),
        "REG_KSampler": {
            **stock("model"),
            "class_type": "REG_KSampler",
            "inputs": {**stock("model")["inputs"], **REG},
        },
        "CFG": stock("model"),
    }
    drawn = images(server, prompt, "KSampler", "custom", "custom with REG", "REG_KSampler", "CFG")
    for other in drawn[1:4]:
        assert np.array_equal(other, drawn[0])
    # On this model the factor is well below 1, so plain CFG at the same weight has the larger contrast.
    assert drawn[4].std() > drawn[0].std()


@pytest.mark.parametrize(("leftover", "add_noise"), [("enable", "disable"), ("disable", "enable")])
def test_part_of_the_steps_is_sampled_as_by_the_host(server: ComfyServer, leftover: str, add_noise: str) -> None:
    """Two samplers in a row: the first leaves its noise to the second, or the second adds its own."""
    first = {"add_noise": "enable", "start_at_step": 0, "end_at_step": 2, "return_with_leftover_noise": leftover}
    second = {"add_noise": add_noise, "start_at_step": 2, "end_at_step": 9, "return_with_leftover_noise": "disable"}
    prompt = playground()
    for kind, model, own in (("KSamplerAdvanced", "reg", {}), ("REG_KSamplerAdvanced", "model", REG)):
        shared = {"noise_seed": 1, "model": [model, 0], "positive": ["digits", 0], "negative": ["digits", 1]}
        shared |= {**SAMPLING, **own}
        prompt[f"{kind} begins"] = node(kind, **shared, **first, latent_image=["latent", 0])
        prompt[kind] = node(kind, **shared, **second, latent_image=[f"{kind} begins", 0])
    stock_images, own_images = images(server, prompt, "KSamplerAdvanced", "REG_KSamplerAdvanced")
    assert np.array_equal(stock_images, own_images)


@pytest.mark.parametrize("route", ["REG_Guidance", "REG_KSampler"])
def test_what_auto_chose_is_saved_with_the_image_and_repeats_it(server: ComfyServer, route: str) -> None:
    """Also when the host takes the REG node from its cache and only samples again."""
    for seed in (400, 401):
        prompt = playground(seed) | {"reg": node("REG_Guidance", model=["model", 0], **REG)}
        prompt["k"] = stock("reg", seed)
        if route == "REG_KSampler":
            prompt["k"] = node(route, **{**stock("model", seed)["inputs"], **REG})
        where = "reg" if route == "REG_Guidance" else "k"
        for saved in saved_prompts(server, prompt, "k"):
            choice = saved[where]["_meta"]["rectified guidance"]
            assert choice == {
                "form": "row-sum",
                "estimator": "reverse",
                "refresh": "as CFG",
                "checkpointing": "off",
            }
            pinned = {**prompt[where], "inputs": {**prompt[where]["inputs"], **choice}}
            (drawn,), (again,) = images(server, prompt, "k"), images(server, prompt | {where: pinned}, "k")
            assert np.array_equal(drawn, again)


@pytest.mark.parametrize(
    "schedule",
    [
        node("REG_ScheduleConstant", cfg=3.0),
        node("REG_ScheduleLinear", start_cfg=3.0, end_cfg=3.0),
        node("REG_ScheduleInterval", cfg=3.0, start_percent=0.0, end_percent=1.0),
        node(
            "REG_ScheduleCurve",
            curve={"points": [[0, 0.5], [1, 0.5]], "interpolation": "linear"},
            min_cfg=1.0,
            max_cfg=5.0,
        ),
    ],
    ids=lambda schedule: schedule["class_type"],
)
def test_schedule_of_constant_weight_is_that_cfg(server: ComfyServer, schedule: dict[str, Any]) -> None:
    prompt = playground() | {
        "schedule": schedule,
        "scheduled": node("REG_ApplySchedule", model=["model", 0], schedule=["schedule", 0]),
        "fixed": stock("model"),
        "by schedule": stock("scheduled", cfg=8.0),
        "REG by schedule": {
            **stock("model"),
            "class_type": "REG_KSampler",
            "inputs": {**stock("model", cfg=8.0)["inputs"], **REG, "schedule": ["schedule", 0]},
        },
        "REG fixed": stock("reg"),
    }
    fixed, scheduled, rectified, rectified_fixed = images(
        server, prompt, "fixed", "by schedule", "REG by schedule", "REG fixed"
    )
    assert np.array_equal(scheduled, fixed)
    assert np.array_equal(rectified, rectified_fixed)


@pytest.mark.parametrize(
    "schedule",
    [node("REG_ScheduleCosine", cfg=1.0, power=2.0), node("REG_ScheduleSNR", cfg=1.0, spread=1.0)],
    ids=lambda schedule: schedule["class_type"],
)
def test_schedule_that_rises_to_no_guidance_is_cfg_1(server: ComfyServer, schedule: dict[str, Any]) -> None:
    prompt = playground() | {
        "schedule": schedule,
        "scheduled": node("REG_ApplySchedule", model=["reg", 0], schedule=["schedule", 0]),
        "by schedule": stock("scheduled", cfg=8.0),
        "unguided": stock("model", cfg=1.0),
    }
    scheduled, unguided = images(server, prompt, "by schedule", "unguided")
    assert np.array_equal(scheduled, unguided)


def test_linked_values_are_checked_when_they_are_known(server: ComfyServer) -> None:
    """Widgets turned into inputs: what comes over a link is not known before the run."""
    linked = {**REG, "start_percent": ["start", 0]}
    prompt = playground() | {
        "start": node("PrimitiveFloat", value=0.0),
        "text": node("PrimitiveString", value="38"),
        "digits": node("REG_PlaygroundConditioning", classes=["text", 0]),
        "linked": node("REG_Guidance", model=["model", 0], **linked),
        "by link": stock("linked"),
        "direct": stock("reg"),
    }
    by_link, direct = images(server, prompt, "by link", "direct")
    assert np.array_equal(by_link, direct)
    bad_range = prompt | {
        "start": node("PrimitiveFloat", value=0.9),
        "linked": node("REG_Guidance", model=["model", 0], **{**linked, "end_percent": 0.1}),
    }
    with pytest.raises(BootstrapError, match="start 0.9 and end 0.1"):
        images(server, bad_range, "by link")
    with pytest.raises(BootstrapError, match="unknown class 'x'"):
        images(server, prompt | {"text": node("PrimitiveString", value="x")}, "direct")


BAD = {
    "percent range reversed": (
        {"reg": node("REG_Guidance", model=["model", 0], **{**REG, "start_percent": 0.8, "end_percent": 0.2})},
        "start 0.8 and end 0.2",
    ),
    "percent out of range": (
        {"reg": node("REG_Guidance", model=["model", 0], **{**REG, "end_percent": 1.5})},
        "inside 0 to 1",
    ),
    "strength out of range": (
        {"reg": node("REG_Guidance", model=["model", 0], **{**REG, "strength": 9.0})},
        "strength",
    ),
    "unknown estimator": (
        {"reg": node("REG_Guidance", model=["model", 0], **{**REG, "estimator": "magic"})},
        "'magic' not in",
    ),
    "cfg missing": (
        {
            "k": {
                "class_type": "REG_KSampler",
                "inputs": {name: value for name, value in {**stock("model")["inputs"], **REG}.items() if name != "cfg"},
            }
        },
        "cfg",
    ),
    "model without conditioning": (
        {"k": {**stock("reg"), "inputs": {k: v for k, v in stock("reg")["inputs"].items() if k != "negative"}}},
        "negative",
    ),
    "unknown class": ({"digits": node("REG_PlaygroundConditioning", classes="3a8")}, "unknown class 'a'"),
    "no class": ({"digits": node("REG_PlaygroundConditioning", classes=" ")}, "got none. Write at least one digit."),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_refused_and_the_queue_goes_on(server: ComfyServer, case: str) -> None:
    changes, message = BAD[case]
    prompt = playground() | {"k": stock("reg")} | changes
    with pytest.raises(BootstrapError) as refused:
        images(server, prompt, "k")
    assert message in str(refused.value)
    assert queue_goes_on(server, seed=100 + list(BAD).index(case))


def test_wrong_latent_gives_a_clear_error_and_the_queue_goes_on(server: ComfyServer) -> None:
    prompt = playground() | {"k": node("EmptyLatentImage", width=64, height=64, batch_size=1)}
    with pytest.raises(BootstrapError, match="Use Empty SD3 Latent Image at 64 x 64"):
        images(server, prompt, "k")
    assert queue_goes_on(server, seed=200)


def test_interrupt_ends_the_run_and_the_queue_goes_on(server: ComfyServer) -> None:
    prompt = playground(seed=300) | {"k": stock("reg", 300, steps=2000)}

    def interrupt(kind: str, data: Any) -> None:
        if kind == "progress" and data.get("value", 0) >= 2:
            server.post("/interrupt", {})

    prompt["decode"] = node("REG_PlaygroundDecode", samples=["k", 0], size=64)
    prompt["save"] = node("SaveImage", images=["decode", 0], filename_prefix="test")
    began = time.monotonic()
    with pytest.raises(BootstrapError, match="interrupted"):
        server.run(prompt, interrupt)
    assert time.monotonic() - began < 60
    assert queue_goes_on(server, seed=301)


def example(server: ComfyServer, name: str) -> Prompt:
    """An example workflow as the prompt that the page would queue."""
    workflow = json.loads((ROOT / "example_workflows" / f"{name}.json").read_text("utf-8"))
    return to_prompt(workflow, server.get("/object_info"))


def clipped(images: np.ndarray) -> float:
    """The share of values that lie at an end of their range."""
    return float(((images == 0) | (images == 255)).mean())


def test_sheet_of_the_demo_compares_cfg_reg_and_the_measured_schedule(server: ComfyServer) -> None:
    """Rows of equal noise and cfg: alike without guidance; at high cfg, CFG drives more values to the ends."""
    prompt = example(server, "3-Compare-settings")
    (sheet,) = [name for name, entry in prompt.items() if entry["class_type"] == "REG_Compare"]
    prompt["tiles"] = node("SaveImage", images=[sheet, 1], filename_prefix="tiles")
    tiles = np.stack([picture(server, entry) for entry in server.run(prompt)["tiles"]["images"]])
    unguided, low, middle, high = tiles.reshape(4, 3, 5, *tiles.shape[1:])  # cfg 1, 2, 5, 8; method; prompt
    for method in (1, 2):
        assert np.array_equal(unguided[0], unguided[method])
        for row in (low, middle, high):
            assert clipped(row[0]) > clipped(row[method])
    assert clipped(high[0]) > 2 * clipped(unguided[0])


def test_start_draws_the_same_noise_with_and_without_reg(server: ComfyServer) -> None:
    """At most nine nodes beside the note, and the host's slider gets one picture of each."""
    prompt = example(server, "1-Start-here")
    (slider,) = [name for name, entry in prompt.items() if entry["class_type"] == "ImageCompare"]
    outputs = server.run(prompt)[slider]
    without, rectified = (picture(server, entry) for name in ("a_images", "b_images") for entry in outputs[name])
    assert len(prompt) <= 9 and without.shape == rectified.shape == (512, 512, 3)
    assert clipped(without) > clipped(rectified)


@pytest.mark.parametrize("path", sorted((ROOT / "example_workflows").glob("*.json")), ids=lambda path: path.stem)
def test_note_of_an_example_is_about_that_example(path: Path) -> None:
    """It names the model files that the workflow loads, and the cfg of its sampler."""
    nodes = json.loads(path.read_text("utf-8"))["nodes"]
    (note,) = [item["widgets_values"][0] for item in nodes if item["type"] == "MarkdownNote"]
    settings = [value for item in nodes if item["type"] != "MarkdownNote" for value in item.get("widgets_values") or []]
    files = {value for value in settings if isinstance(value, str) and value.endswith(".safetensors")}
    assert set(re.findall(r"[\w.]+\.safetensors", note)) == {name for name in files if "playground" not in name}
    samplers = [item["widgets_values"] for item in nodes if item["type"] == "KSampler"]
    assert {float(cfg) for cfg in re.findall(r"cfg is (\d+)", note)} <= {float(values[3]) for values in samplers}


def inspected(seed: int, *samplers: str) -> Prompt:
    """An inspector ``inspect <name>`` on each sampler, all of the same MODEL with REG."""
    prompt = playground(seed)
    for index, sampler in enumerate(samplers):
        prompt[sampler] = stock("reg", seed, steps=4 + index)
        prompt[f"inspect {sampler}"] = node("REG_Inspector", samples=[sampler, 0], model=["reg", 0], heat_maps=2)
    return prompt


def test_inspector_tells_live_and_after_the_run_the_same(server: ComfyServer) -> None:
    """Also with ids as in subgraphs, and each of two inspectors hears of its own sampler only."""
    events: list[dict[str, Any]] = []
    samplers = ("6:3", "7:1:2")
    prompt = inspected(500, *samplers)
    outputs = server.run(prompt, lambda kind, data: events.append(dict(data)) if kind == "reg.step" else None)
    for sampler, steps in zip(samplers, (4, 5), strict=True):
        own = [event for event in events if event["inspectors"] == [f"inspect {sampler}"]]
        ends = list(itertools.accumulate(len(event["steps"]) for event in own))
        assert [event["index"] for event in own] == [0, *ends[:-1]] and ends[-1] == steps
        assert {(event["run"], event["total"]) for event in own} == {(own[0]["run"], steps)}
        (trace,) = outputs[f"inspect {sampler}"]["reg_trace"]
        assert trace["steps"] == [step for event in own for step in event["steps"]]
        assert "REG changed the guidance by" in trace["sentence"]
        (report,) = [picture(server, entry) for entry in outputs[f"inspect {sampler}"]["images"]]
        assert report.shape[1] == 1280
    assert sum(len(event["steps"]) for event in events) == 9


@pytest.mark.parametrize("route", ["REG_Guidance", "REG_KSampler"])
def test_inspectors_tell_nodes_apart_that_do_the_same(server: ComfyServer, route: str) -> None:
    """The host gives the result of one node to its twins; also to the same node after it moved into a subgraph."""
    prompt = playground(506)
    for index, place in enumerate(("", "6:")):
        reg, sampler = f"{place}reg", f"{place}k"
        if route == "REG_KSampler":
            prompt[sampler] = node(route, **{**stock("model", 506)["inputs"], **REG})
            prompt[f"{place}inspect"] = node("REG_Inspector", samples=[sampler, 0], heat_maps=index)
        else:
            prompt |= {reg: node(route, model=["model", 0], **REG), sampler: stock(reg, 506, steps=4 + index)}
            prompt[f"{place}inspect"] = node("REG_Inspector", samples=[sampler, 0], model=[reg, 0], heat_maps=0)
    outputs = server.run(prompt)
    steps = [len(outputs[inspector]["reg_trace"][0]["steps"]) for inspector in ("inspect", "6:inspect")]
    assert steps == ([4, 4] if route == "REG_KSampler" else [4, 5])
    cached: list[str] = []
    server.run(prompt, lambda kind, data: cached.extend(data["nodes"]) if kind == "execution_cached" else None)
    assert {"k", "6:k", "inspect", "6:inspect"} <= set(cached)


def test_inspector_without_the_model_says_what_to_connect(server: ComfyServer) -> None:
    prompt = inspected(501, "k")
    del prompt["inspect k"]["inputs"]["model"]
    outputs = server.run(prompt)
    assert "Connect the MODEL or GUIDER" in outputs["inspect k"]["reg_trace"][0]["sentence"]


def test_inspector_does_not_show_the_run_of_a_sampler_that_was_rewired(server: ComfyServer) -> None:
    prompt = inspected(505, "k")
    assert "changed" in server.run(prompt)["inspect k"]["reg_trace"][0]["sentence"]
    (trace,) = server.run(prompt | {"k": stock("model", 505)})["inspect k"]["reg_trace"]
    assert trace["steps"] == [] and "no run with REG was found" in trace["sentence"]


@pytest.mark.parametrize("route", ["REG_KSampler", "REG_Guider"])
def test_inspector_works_behind_every_node_with_reg(server: ComfyServer, route: str) -> None:
    prompt = playground(502)
    if route == "REG_KSampler":
        prompt["k"] = node(route, **{**stock("model", 502)["inputs"], **REG})
        prompt["inspect"] = node("REG_Inspector", samples=["k", 0], heat_maps=0)
    else:
        conditioning = {"positive": ["digits", 0], "negative": ["digits", 1]}
        prompt |= {"guider": node(route, model=["model", 0], cfg=3.0, **conditioning, **REG), "k": custom("guider")}
        prompt["inspect"] = node("REG_Inspector", samples=["k", 0], model=["guider", 0], heat_maps=0)
    (trace,) = server.run(prompt)["inspect"]["reg_trace"]
    assert len(trace["steps"]) == 4 and "REG changed the guidance by" in trace["sentence"]


def test_inspector_hands_on_latent_picture_and_numbers(server: ComfyServer) -> None:
    prompt = inspected(503, "k") | {
        "decode": node("REG_PlaygroundDecode", samples=["inspect k", 0], size=64),
        "plain": node("REG_PlaygroundDecode", samples=["k", 0], size=64),
        "image": node("PreviewImage", images=["decode", 0]),
        "plain image": node("PreviewImage", images=["plain", 0]),
        "report": node("PreviewImage", images=["inspect k", 1]),
        "sentence": node("PreviewAny", source=["inspect k", 2]),
        "table": node("PreviewAny", source=["inspect k", 3]),
    }
    outputs = server.run(prompt)
    shown = {name: picture(server, outputs[name]["images"][0]) for name in ("image", "plain image", "report")}
    assert np.array_equal(shown["image"], shown["plain image"])
    assert np.array_equal(shown["report"], picture(server, outputs["inspect k"]["images"][0]))
    (trace,) = outputs["inspect k"]["reg_trace"]
    assert outputs["sentence"]["text"] == [trace["sentence"]]
    rows = list(csv.DictReader(io.StringIO(outputs["table"]["text"][0])))
    assert [row["state"] for row in rows] == [step["state"] for step in trace["steps"]]
    for row, step in zip(rows, trace["steps"], strict=True):
        assert float(row["effective"]) == pytest.approx(step["effective"], rel=1e-5)


def test_schedule_nodes_hear_at_which_noise_levels_they_are_followed(server: ComfyServer) -> None:
    events: list[dict[str, Any]] = []
    prompt = playground(504) | {
        "3:1": node("REG_ScheduleInterval", cfg=2.0, start_percent=0.2, end_percent=0.8),
        "schedule": node("REG_ScheduleLinear", start_cfg=3.0, end_cfg=1.0),
        "both": node(
            "REG_ScheduleCombine", first=["3:1", 0], second=["schedule", 0], combine="multiply", switch_percent=0.5
        ),
        "scheduled": node("REG_ApplySchedule", model=["model", 0], schedule=["both", 0]),
        "k": stock("scheduled", 504),
        "decode": node("REG_PlaygroundDecode", samples=["k", 0], size=64),
        "image": node("PreviewImage", images=["decode", 0]),
    }
    server.run(prompt, lambda kind, data: events.append(dict(data)) if kind == "reg.schedule" else None)
    (event,) = events
    assert set(event["schedules"]) == {"both", "3:1", "schedule"}
    assert event["percent"] == pytest.approx([0.0, 0.25, 0.5, 0.75], abs=1e-3)
    # SD3's shift of 3 maps 1 - t to 3 t / (1 + 2 t); the noise-to-signal ratio of a flow is sigma / (1 - sigma)
    sigmas = [3 * t / (1 + 2 * t) for t in (0.75, 0.5, 0.25)]
    assert event["sigma"][0] is None
    assert event["sigma"][1:] == pytest.approx([sigma / (1 - sigma) for sigma in sigmas], rel=1e-2)


@pytest.mark.parametrize(
    "word", ["cfg", "guidance", "burn", "burnt", "fried", "oversaturated", "contrast", "xy", "schedule"]
)
def test_search_words_of_an_artist_are_names_of_ours(server: ComfyServer, word: str) -> None:
    """The host's search takes a node's name and its aliases."""
    ours = [definition for name, definition in server.get("/object_info").items() if name.startswith("REG_")]
    assert any(word in [*(node["search_aliases"] or []), *node["display_name"].casefold().split()] for node in ours)


def test_templates_of_the_pack_are_offered(server: ComfyServer) -> None:
    offered = server.get("/workflow_templates")
    assert "1-Start-here" in [name for names in offered.values() for name in names]
