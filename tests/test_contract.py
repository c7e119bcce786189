"""What Python sends to the page: written down alike on both sides, and sent as it is written down."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from javascript import evaluate

from bootstrap.server import ComfyServer
from reg_pack.nodes.host import contract

pytestmark = pytest.mark.host

Prompt = dict[str, Any]


def node(class_type: str, **inputs: Any) -> Prompt:
    return {"class_type": class_type, "inputs": inputs}


def without_single_states(names: dict[str, Any]) -> dict[str, Any]:
    """The constants but those of one state each."""
    return {name: value for name, value in names.items() if not (isinstance(value, str) and value in names["STATES"])}


def test_both_sides_say_the_same() -> None:
    ours = {name: value for name, value in vars(contract).items() if name.isupper()}
    theirs = evaluate("contract.mjs", "(contract) => contract")
    assert without_single_states(theirs) == json.loads(json.dumps(without_single_states(ours)))
    states = sorted(value for name, value in theirs.items() if name not in without_single_states(theirs))
    assert states == sorted(theirs["STATES"])  # the page has a name for each, once


class Heard:
    """The events of the pack while prompts run, by name."""

    def __init__(self) -> None:
        self.events: dict[str, list[dict[str, Any]]] = {}

    def __call__(self, kind: str, data: Any) -> None:
        if kind.startswith("reg"):
            self.events.setdefault(kind, []).append(dict(data))


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> tuple[Heard, dict[str, Any]]:
    """All that a real server says while it runs each node that says something to the page."""
    links = {"positive": ["conds", 0], "negative": ["conds", 1], "latent_image": ["latent", 0]}
    sampling = {"seed": 1, "steps": 8, "sampler_name": "euler", "scheduler": "simple", "denoise": 1.0, "cfg": 3.0}
    method = {"strength": 1.0, "form": "row-sum", "estimator": "reverse", "start_percent": 0.0, "end_percent": 0.4}
    axes = {"columns": "method", "column_values": "CFG, REG", "rows": "none", "row_values": ""}
    prompt = {
        "model": node("UNETLoader", unet_name="reg_playground_digits.safetensors", weight_dtype="default"),
        "conds": node("REG_PlaygroundConditioning", classes="3"),
        "latent": node("EmptySD3LatentImage", width=64, height=64, batch_size=1),
        "vae": node("REG_PlaygroundVAE", size=64),
        "plan": node("REG_ScheduleInterval", cfg=3.0, start_percent=0.0, end_percent=0.6),
        "scheduled": node("REG_ApplySchedule", model=["model", 0], schedule=["plan", 0]),
        "reg": node("REG_Guidance", model=["scheduled", 0], refresh="every 2 steps", **method),
        "sampler": node("KSampler", model=["reg", 0], **links, **sampling),
        "inspector": node("REG_Inspector", samples=["sampler", 0], model=["reg", 0], heat_maps=0),
        "compare": node("REG_Compare", model=["model", 0], vae=["vae", 0], **links, **sampling, **axes, **method),
    }
    heard, folder = Heard(), tmp_path_factory.mktemp("server")
    with ComfyServer(Path(os.environ["COMFYUI_PATH"]), folder, arguments=["--cpu"]) as server:
        return heard, server.run(prompt, heard)


def test_events_are_those_of_the_contract(said: tuple[Heard, dict[str, Any]]) -> None:
    events = said[0].events
    assert set(events) == set(contract.EVENTS)
    for name, details in events.items():
        assert [set(detail) for detail in details] == [set(contract.EVENTS[name])] * len(details)


def test_results_are_those_of_the_contract(said: tuple[Heard, dict[str, Any]]) -> None:
    results = {key: entries for output in said[1].values() for key, entries in output.items() if key.startswith("reg")}
    assert set(results) == set(contract.RESULTS)
    (trace,) = results[contract.TRACE_RESULT]
    assert set(trace) == set(contract.RESULTS[contract.TRACE_RESULT])
    first, *others = results[contract.TILES_RESULT]
    assert {*first, "changes"} == {*others[0], "prompt"} == set(contract.RESULTS[contract.TILES_RESULT])


def test_steps_are_those_of_the_contract(said: tuple[Heard, dict[str, Any]]) -> None:
    heard, outputs = said
    (trace,) = outputs["inspector"][contract.TRACE_RESULT]
    live = [step for event in heard.events[contract.STEP_EVENT] for step in event["steps"]]
    assert live == trace["steps"] and len(live) == 8
    assert {tuple(step) for step in live} == {tuple(contract.COLUMNS)}
    states = {step["state"] for step in live}
    rectified = {*contract.RECTIFIED} - {"pure noise"}  # D_u is spared there
    assert states <= set(contract.STATES) and states >= {*rectified, "outside", "unguided"}
