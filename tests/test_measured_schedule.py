"""The schedule that REG measured in the real host: out of the inspector, through the node, in the place of REG."""

from __future__ import annotations

import json
import logging
import time

import numpy as np
import pytest
from sampler_runs import reg
from workflows import REG, Prompt, images, node, playground, stock

from bootstrap.errors import BootstrapError
from bootstrap.server import ComfyServer
from reg_pack.nodes.messages import message
from reg_pack.reg_core.measurement import from_text
from reg_pack.reg_core.schedule import Constant
from tiny_models import FAMILIES

pytestmark = pytest.mark.host

STEPS = 20


def measuring(form: str, seed: int = 11) -> Prompt:
    """A run of REG with its exact product at each step, and the inspector of it."""
    prompt = playground(seed)
    prompt["latent"]["inputs"]["batch_size"] = 8
    prompt["reg"]["inputs"] |= {"form": form, "estimator": "reverse"}
    return prompt | {
        "measured": stock("reg", seed, steps=STEPS),
        "inspect": node("REG_Inspector", samples=["measured", 0], model=["reg", 0], heat_maps=0),
    }


@pytest.mark.parametrize(("form", "least"), [("row-sum", 0.72), ("directional", 0.55)])
def test_schedule_of_the_inspector_keeps_most_of_what_reg_does(server: ComfyServer, form: str, least: float) -> None:
    """Measured on other seeds than the schedule: 83 and 78 % of row-sum, 65 and 63 % of directional."""
    prompt = measuring(form) | {"scheduled": node("REG_ApplySchedule", model=["model", 0], schedule=["inspect", 4])}
    models = {"whole": "reg", "plain": "model", "free": "scheduled"}
    for seed in (21, 22):
        samplers = {name: stock(model, seed, steps=STEPS) for name, model in models.items()}
        whole, plain, free = (drawn.astype(float) for drawn in images(server, prompt | samplers, *samplers))
        assert 1 - np.abs(free - whole).mean() / np.abs(plain - whole).mean() >= least


def test_curve_of_the_result_takes_the_place_of_reg(server: ComfyServer) -> None:
    """What Make schedule does: the same image as Apply Guidance Schedule, and that of the inspector's schedule."""
    prompt = measuring("row-sum")
    (trace,) = server.run(prompt)["inspect"]["reg_trace"]
    assert (trace["source"], trace["weight"], json.loads(trace["curve"])["form"]) == ("reg", 3.0, "row-sum")
    noises = [noise for noise, _ in from_text(trace["curve"], 3.0).points]
    levels = [step["noise"] for step in trace["steps"] if step["noise"] and step["before"]]
    assert noises == pytest.approx(sorted(levels), rel=1e-3)
    prompt |= {
        "curve": node("REG_ScheduleMeasured", cfg=trace["weight"], curve=trace["curve"]),
        "replaced": node("REG_Guidance", model=["model", 0], schedule=["curve", 0], **{**REG, "strength": 0.0}),
        "applied": node("REG_ApplySchedule", model=["model", 0], schedule=["curve", 0]),
        "handed": node("REG_ApplySchedule", model=["model", 0], schedule=["inspect", 4]),
    }
    kinds = ("replaced", "applied", "handed")
    samplers = {f"by {kind}": stock(kind, 23, cfg=1.0, steps=STEPS) for kind in kinds}
    replaced, applied, handed = images(server, prompt | samplers, *samplers)
    assert np.array_equal(replaced, applied)
    assert np.abs(handed.astype(int) - applied.astype(int)).max() <= 1  # four digits of the curve


def test_without_a_run_only_what_follows_the_schedule_stops(server: ComfyServer) -> None:
    prompt = measuring("row-sum", 12)
    prompt["measured"]["inputs"]["model"] = ["model", 0]  # without REG
    prompt["scheduled"] = node("REG_ApplySchedule", model=["model", 0], schedule=["inspect", 4])
    prompt["stopped"] = stock("scheduled", 24)
    for sampler in ("measured", "stopped"):
        prompt[f"decode {sampler}"] = node("REG_PlaygroundDecode", samples=[sampler, 0], size=64)
        prompt[f"save {sampler}"] = node("SaveImage", images=[f"decode {sampler}", 0], filename_prefix="test")
    reason = "there is no schedule to hand on.*no run with REG was found.*Sample with REG"
    with pytest.raises(BootstrapError, match=reason):
        server.run(prompt)
    while any(server.get("/queue").values()):
        time.sleep(0.1)
    (run,) = [entry for entry in server.get("/history").values() if "save stopped" in entry["prompt"][2]]
    assert {"inspect", "save measured"} <= set(run["outputs"]) and "save stopped" not in run["outputs"]
    (trace,) = run["outputs"]["inspect"]["reg_trace"]
    assert (trace["source"], trace["curve"], trace["weight"]) == (None, "", None)


def test_empty_curve_is_refused_before_the_run(server: ComfyServer) -> None:
    prompt = playground() | {
        "curve": node("REG_ScheduleMeasured", cfg=3.0, curve=""),
        "applied": node("REG_ApplySchedule", model=["model", 0], schedule=["curve", 0]),
        "k": stock("applied"),
        "end": node("SaveLatent", samples=["k", 0], filename_prefix="test"),
    }
    with pytest.raises(BootstrapError, match="curve is empty. Run REG with an Inspector and click Make schedule"):
        server.run(prompt)


def test_strength_0_under_a_schedule_says_that_the_schedule_guides(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "REG")
    reg(FAMILIES["SD3 flow"](), strength=0.0, schedule=Constant(3.0))
    reg(FAMILIES["SD3 flow"](), strength=0.0)
    followed, plain = [record.getMessage() for record in caplog.records]
    assert followed == f"REG: {message('schedule-alone')}" and plain == f"REG: {message('strength-zero')}"
