"""The line that a node shows of a run, each heard from a real server that samples with a real model."""

from __future__ import annotations

from typing import Any

import pytest
from workflows import REG, Prompt, custom, node, playground, stock

from bootstrap.server import ComfyServer

pytestmark = pytest.mark.host

CONDS = {"positive": ["digits", 0], "negative": ["digits", 1]}
Statuses = dict[str, list[dict[str, Any]]]


def told(server: ComfyServer, prompt: Prompt) -> tuple[Statuses, dict[str, Any]]:
    """What the page hears for each node, in order, and the outputs."""
    heard: Statuses = {}

    def listen(kind: str, data: Any) -> None:
        if kind == "reg.status":
            heard.setdefault(data["node"], []).append(dict(data))

    return heard, server.run(prompt, listen)


def sampled(seed: int, last: str = "reg", nodes: Prompt | None = None, after: str = "model", **changes: Any) -> Prompt:
    """The playground, REG on it, other nodes, a KSampler on one of them, and an inspector."""
    cfg = {"cfg": changes.pop("cfg")} if "cfg" in changes else {}
    prompt = playground(seed) | (nodes or {}) | {"k": stock(last, seed, **cfg)}
    prompt["reg"]["inputs"] |= {"model": [after, 0], **changes}
    return prompt | {"inspect": node("REG_Inspector", samples=["k", 0], model=[last, 0], heat_maps=0)}


def plan(low: float, high: float) -> Prompt:
    return {
        "plan": node("REG_ScheduleLinear", start_cfg=high, end_cfg=low),
        "apply": node("REG_ApplySchedule", model=["model", 0], schedule=["plan", 0]),
    }


def trace(outputs: dict[str, Any]) -> dict[str, Any]:
    return outputs["inspect"]["reg_trace"][0]


def weights(outputs: dict[str, Any]) -> str:
    """The weights of a run from the lowest to the highest."""
    found = [step["weight"] for step in trace(outputs)["steps"]]
    return f"{round(min(found), 1):g} to {round(max(found), 1):g}"


def cut(outputs: dict[str, Any]) -> str:
    """How much smaller REG made the guidance, on average over the steps on which it acted."""
    steps = [step for step in trace(outputs)["steps"] if step["change"] is not None]
    cuts = [1 - step["after"] / step["before"] if step["before"] else 1 for step in steps]
    return f"{sum(cuts) / len(cuts):.0%}"


def test_line_of_a_run_says_how_much_and_when(server: ComfyServer) -> None:
    heard, outputs = told(server, sampled(300))
    (status,) = heard["reg"]
    assert status["line"] == f"REG on: guidance cut by {cut(outputs)}, most of it early."
    assert status["details"].startswith("guidance changed by ")
    assert (status["urgent"], status["holds"]) == (False, False)
    assert status["inputs"] == REG and status["prompt"]


def test_line_says_over_which_part_of_the_run_reg_acted(server: ComfyServer) -> None:
    heard, outputs = told(server, sampled(301, start_percent=0.2, end_percent=0.6))
    steps = [step["percent"] for step in trace(outputs)["steps"] if step["change"] is not None]
    assert 1 < len(steps) < 4
    where = f"from {steps[0]:.0%} to {steps[-1]:.0%} of the run"
    assert heard["reg"][-1]["line"] == f"REG on: guidance cut by {cut(outputs)} {where}."


def test_strength_above_one_is_told(server: ComfyServer) -> None:
    heard, outputs = told(server, sampled(302, strength=1.5))
    (status,) = heard["reg"]
    assert status["line"] == "Strength 1.5 often breaks shapes: lower it to 1."
    assert status["urgent"] and status["details"].startswith("guidance changed by ")
    assert "Strength is 1.5, and above 1 REG often breaks shapes. Lower it to 1." in trace(outputs)["sentence"]


def test_strength_zero_is_told_also_by_the_inspector(server: ComfyServer) -> None:
    heard, outputs = told(server, sampled(303, strength=0.0))
    (status,) = heard["reg"]
    assert (status["line"], status["holds"]) == ("No effect: strength is 0. Raise it.", True)
    expected = "REG had no effect to show: strength is 0, so REG did nothing in this run. Raise strength."
    assert trace(outputs)["sentence"] == expected
    ksampler = node("REG_KSampler", **{**stock("model", 303)["inputs"], **REG, "strength": 0.0})
    prompt = playground(303) | {"k": ksampler, "inspect": node("REG_Inspector", samples=["k", 0], heat_maps=0)}
    assert trace(told(server, prompt)[1])["sentence"] == expected


def test_strength_zero_beside_a_schedule_says_what_guides(server: ComfyServer) -> None:
    nodes = {"plan": node("REG_ScheduleLinear", start_cfg=6.0, end_cfg=2.0)}
    heard, _ = told(server, sampled(304, nodes=nodes, strength=0.0, schedule=["plan", 0]))
    first, last = heard["reg"]
    assert first["line"] == "Strength is 0: guidance follows the schedule alone." and first["holds"]
    assert last["line"] == "cfg comes from the schedule, 3 to 6."  # four steps, from 0 % to 75 %


def test_second_reg_says_that_it_counts_and_the_first_that_it_does_not(server: ComfyServer) -> None:
    nodes = {"again": node("REG_Guidance", model=["reg", 0], **REG)}
    heard, outputs = told(server, sampled(305, "again", nodes))
    (first,), (last,) = heard["reg"], heard["again"]
    assert first["line"] == "Not in use: another REG comes after it. Remove one."
    assert (first["urgent"], first["holds"]) == (False, True)
    assert last["line"] == "REG is applied twice; the last one counts. Remove one."
    assert last["urgent"] and last["details"].startswith("guidance changed by ")
    assert "REG is applied twice to this model; the last one counts." in trace(outputs)["sentence"]
    # Each run says so, also where the nodes come from the cache.
    assert [status["line"] for status in told(server, sampled(306, "again", nodes))[0]["again"]] == [last["line"]]


def test_last_reg_of_two_that_is_off_says_so(server: ComfyServer) -> None:
    nodes = {"again": node("REG_Guidance", model=["reg", 0], **{**REG, "strength": 0.0})}
    heard, outputs = told(server, sampled(307, "again", nodes))
    assert {status["line"] for status in heard["again"]} == {
        "No effect: strength is 0. Raise it.",
        "REG is applied twice; the last one counts. Remove one.",
    }
    assert {step["state"] for step in trace(outputs)["steps"]} == set()


def test_reg_that_another_sampler_uses_alone_tells_of_its_run(server: ComfyServer) -> None:
    nodes = {"again": node("REG_Guidance", model=["reg", 0], **REG)}
    nodes["alone"] = node("REG_Inspector", samples=["first", 0], heat_maps=0)
    heard, _ = told(server, sampled(308, "again", nodes | {"first": stock("reg", 308)}))
    assert any(status["line"].startswith("REG on: ") and not status["holds"] for status in heard["reg"])


def test_schedule_says_that_it_sets_cfg(server: ComfyServer) -> None:
    heard, outputs = told(server, sampled(309, nodes=plan(1.0, 7.0), after="apply"))
    assert heard["apply"][-1]["line"] == f"cfg comes from the schedule, {weights(outputs)}."
    assert not heard["apply"][-1]["urgent"]
    on = f"REG on, cfg {weights(outputs)} from the schedule: guidance cut by {cut(outputs)}."
    assert heard["reg"][-1]["line"] == on
    assert "in place of the sampler's" in heard["reg"][-1]["details"]


def test_schedule_on_the_node_of_reg_is_told_once(server: ComfyServer) -> None:
    heard, outputs = told(server, sampled(310, nodes=plan(1.0, 7.0), schedule=["plan", 0]))
    (status,) = heard["reg"]
    assert status["line"].startswith(f"REG on, cfg {weights(outputs)} from the schedule: ")


@pytest.mark.parametrize("route", ["apply", "reg"])
def test_schedule_of_one_throughout_is_told(server: ComfyServer, route: str) -> None:
    links: dict[str, Any] = {"schedule": ["plan", 0]} if route == "reg" else {"after": "apply"}
    heard, outputs = told(server, sampled(311, nodes=plan(1.0, 1.0), **links))
    for name in {"reg", route}:
        (status,) = heard[name]
        assert status["line"] == "Your schedule is 1 throughout: raise it." and status["urgent"]
    assert "the schedule is 1 throughout" in trace(outputs)["sentence"]


def test_schedule_of_one_without_reg_is_told(server: ComfyServer) -> None:
    heard, _ = told(server, sampled(312, "apply", plan(1.0, 1.0)))
    (status,) = heard["apply"]
    assert status["line"] == "Your schedule is 1 throughout: raise it." and status["urgent"]


def test_cfg_one_is_told(server: ComfyServer) -> None:
    (status,) = told(server, sampled(313, cfg=1.0))[0]["reg"]
    assert status["line"] == "No effect: no guidance to rectify. Raise cfg above 1." and status["urgent"]


def test_guider_without_a_negative_is_told(server: ComfyServer) -> None:
    prompt = sampled(314, nodes=plan(3.0, 3.0), after="apply")
    prompt |= {"basic": node("BasicGuider", model=["reg", 0], conditioning=["digits", 0]), "k": custom("basic")}
    (status,) = told(server, prompt)[0]["reg"]
    assert status["line"] == "No effect: no negative prompt. Use CFG Guider or REG Guider."


def test_faint_reg_says_what_to_do(server: ComfyServer) -> None:
    (status,) = told(server, sampled(315, strength=0.01))[0]["reg"]
    assert status["line"] == "REG on, but faint (within 2% of CFG): raise strength."
    (status,) = told(server, sampled(315, strength=1.0, start_percent=0.97))[0]["reg"]
    assert status["line"] == "No effect: no guided step in the range. Widen it."
