"""The user interface in a real browser, in both renderers: workflows open and stay as they are, the inspector draws
while the sampler runs and after everything that can happen to a page, and a tile of the sheet opens as a workflow."""

from __future__ import annotations

import json
import math
import re
import uuid
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from PIL import Image

from bootstrap.server import PACK_NAME, ComfyServer
from browser import Page

pytestmark = pytest.mark.browser

ROOT = Path(__file__).parents[1]
EXAMPLES = sorted((ROOT / "example_workflows").glob("*.json"))
RELEASED = ROOT / "tests" / "fixtures" / "playground_0.1.0.json"
SEEDS = count(1)
Prompt = dict[str, Any]

# What the chart of an inspector shows, by the id of its node; the node may lie in the subgraph that is open.
CHART = """(id) => {
  const node = app.canvas.graph.getNodeById(id)
  const root = node.widgets.find((widget) => widget.name === "reg_trace").element.shadowRoot
  const count = (part, css) => root.querySelectorAll(`.${part} ${css}`).length
  return {
    dots: count("factor", "circle.dot"), hollow: count("factor", "circle.hollow"), shades: count("factor", ".shade"),
    bars: count("lower", ".bar"), plots: [...root.querySelectorAll("rect.plot")].map((plot) => plot.getAttribute("x")),
    crosses: count("factor", ".cross"), sentence: root.querySelector("p").textContent,
    steps: Number(/: (\\d+)/.exec(root.querySelector(".factor .chart").ariaLabel ?? "")?.[1] ?? 0),
  }
}"""
# The mean line of an inspector, read back through its own axes: [[percent, factor], ...].
MEANS = """(id) => {
  const node = app.canvas.graph.getNodeById(id)
  const root = node.widgets.find((widget) => widget.name === "reg_trace").element.shadowRoot
  const svg = root.querySelector(".factor svg.chart")
  const box = svg.querySelector("rect.plot")
  const [left, top, width, height] = ["x", "y", "width", "height"].map((name) => Number(box.getAttribute(name)))
  const labels = [...svg.querySelectorAll("text.tick.end")].filter((tick) => !tick.textContent.includes("%"))
  const [foot, head] = [labels[0], labels.at(-1)].map((label) => Number(label.textContent))
  const line = [...svg.querySelectorAll("path.line.main:not(.thin)")].at(-1).getAttribute("d")
  return line.slice(1).split("L").map((point) => point.split(",").map(Number))
    .map(([x, y]) => [(x - left) / width, foot + (top + height - y) / height * (head - foot)])
}"""
# What the tiles of a light table are called, by the id of its node.
TABLE = """(id) => {
  const node = app.canvas.graph.getNodeById(id)
  const root = node.widgets.find((widget) => widget.name === "reg_tiles").element.shadowRoot
  return [...root.querySelectorAll(".grid [role=option]")].map((option) => option.ariaLabel)
}"""
# The states of the tiles of node 8 whenever they change, since it was called.
WATCH = """() => {
  const root = app.rootGraph.getNodeById("8").widgets.find(({ name }) => name === "reg_tiles").element.shadowRoot
  window.seen = []
  new MutationObserver(() => {
    const tiles = [...root.querySelectorAll(".grid [role=option]")]
    window.seen.push(tiles.map(({ dataset: { state } }) => state).join(" "))
  }).observe(root.querySelector(".grid"), { childList: true })
}"""
RESULT = "(id) => app.nodeOutputs[id].reg_trace[0]"
INTO_SUBGRAPH = """(ids) => {
  const { node } = app.canvas.graph.convertToSubgraph(new Set(ids.map((id) => app.canvas.graph.getNodeById(id))))
  const inner = node.subgraph.nodes.find((inside) => inside.comfyClass === "REG_Inspector")
  return [String(node.id), String(inner.id)]
}"""
ENTER = "(id) => app.canvas.openSubgraph(app.rootGraph.getNodeById(id).subgraph, app.rootGraph.getNodeById(id))"


def node(class_type: str, **inputs: Any) -> dict[str, Any]:
    return {"class_type": class_type, "inputs": inputs}


def inspected(steps: int = 6, inspectors: int = 1, **rectification: Any) -> Prompt:
    """The playground: nodes 1 to 3, then for each inspector REG, sampler and inspector as 14, 15, 16; 24, 25, 26; ...

    Each call has another seed, for the server would answer the same prompt from its cache. All inputs are given, for
    where a prompt lacks one the page takes it from the node with this id that it had before.
    """
    method = {"strength": 1.0, "form": "row-sum", "estimator": "reverse", "refresh": "every step", **rectification}
    method = {"start_percent": 0.0, "end_percent": 1.0, "checkpointing": "auto", **method}
    prompt = {
        "1": node("UNETLoader", unet_name="reg_playground_digits.safetensors", weight_dtype="default"),
        "2": node("REG_PlaygroundConditioning", classes="38"),
        "3": node("EmptySD3LatentImage", width=64, height=64, batch_size=2),
    }
    for ten in range(1, inspectors + 1):
        reg, sampler = f"{ten}4", f"{ten}5"
        links = {"positive": ["2", 0], "negative": ["2", 1], "latent_image": ["3", 0], "model": [reg, 0]}
        kind = {"sampler_name": "euler", "scheduler": "simple", "denoise": 1.0, "cfg": 3.0}
        run = {"seed": next(SEEDS), "steps": steps + 2 * ten - 2, "control_after_generate": "fixed"}
        prompt[reg] = node("REG_Guidance", model=["1", 0], **method)
        prompt[sampler] = node("KSampler", **links, **kind, **run)
        prompt[f"{ten}6"] = node("REG_Inspector", samples=[sampler, 0], heat_maps=2, model=[reg, 0])
    return prompt


def open_workflow(page: Page, prompt: Prompt, name: str = "test") -> None:
    """Open what a prompt draws as a workflow that was saved."""
    page.load_prompt(prompt, f"prompt of {name}")
    page.load({**page.saved(), "id": str(uuid.uuid4())}, name)


def widget_values(workflow: dict[str, Any]) -> dict[str, Any]:
    """What the nodes of a workflow save of their widgets, those of subgraphs too."""
    nodes = [("", entry) for entry in workflow["nodes"]]
    for definition in workflow.get("definitions", {}).get("subgraphs", []):
        nodes += [(definition["id"], entry) for entry in definition["nodes"]]
    return {f"{graph} {entry['id']}": entry.get("widgets_values") for graph, entry in nodes}


def result(page: Page, inspector: str, steps: int) -> dict[str, Any]:
    """The chart of an inspector, once it shows a result with this many steps."""
    there = f"([id, n]) => {{ const chart = ({CHART})(id); return chart.steps === n && /^REG/.test(chart.sentence) }}"
    page.wait_until(there, [inspector, steps])
    return page.evaluate(CHART, inspector)


def test_workflows_open_and_are_saved_as_they_are(page: Page) -> None:
    for path in [*EXAMPLES, RELEASED]:
        workflow = json.loads(path.read_text("utf-8"))
        page.load(workflow, path.stem)
        assert page.missing_types() == [], path.name
        page.fit()
        page.screenshot(f"example {path.stem}")
        saved = page.saved()
        page.load(saved, f"{path.stem} again")
        assert json.dumps(widget_values(page.saved())) == json.dumps(widget_values(saved)), path.name
        for name, values in widget_values(workflow).items():
            # Inputs may have been appended since it was saved; what was saved stays.
            assert (widget_values(saved)[name] or [])[: len(values or [])] == (values or []), (path.name, name)


def test_start_opens_readable_and_runs(page: Page) -> None:
    """As from the list of templates: all of its nodes in sight, none smaller than its words can be read."""
    query = urlencode({"template": "1-Start-here", "source": PACK_NAME})
    page.raw.goto(f"{page.server.url}/?{query}")
    page.wait_until("() => window.app?.rootGraph?.nodes.some((node) => node.type === 'ImageCompare')")
    page.settle()
    page.screenshot("start")
    assert page.evaluate("() => app.canvas.ds.scale") >= 0.6
    page.run()
    page.screenshot("start after its run")


def test_workflow_of_the_first_release_runs(page: Page) -> None:
    page.load(json.loads(RELEASED.read_text("utf-8")))
    prompt = page.prompt()
    (rectified,) = [entry for entry in prompt.values() if entry["class_type"] == "REG_Guidance"]
    assert rectified["inputs"] == {
        "model": ["1", 0],
        "strength": 1,
        "form": "row-sum",
        "estimator": "auto",
        "start_percent": 0,
        "end_percent": 1,
        "refresh": "auto",
        "checkpointing": "auto",
    }
    page.run()


def test_points_arrive_while_the_sampler_runs(page: Page) -> None:
    open_workflow(page, inspected(steps=120))
    page.fit("16")
    assert page.evaluate(CHART, "16")["sentence"] == "Run the workflow: every step of the sampler appears here."
    page.screenshot("inspector before a run")
    page.queue()
    seen = page.wait_until(f"(id) => {{ const chart = ({CHART})(id); return chart.steps > 3 && chart }}", "16")
    assert re.fullmatch(r"Step \d+ of 120", seen["sentence"])
    assert seen["steps"] < 120
    assert page.server.get("/queue")["queue_running"] != []
    page.wait_idle()
    assert result(page, "16", 120)["sentence"].startswith("REG changed the guidance by ")


def test_chart_shows_the_numbers_of_the_result(page: Page) -> None:
    open_workflow(page, inspected(steps=20, start_percent=0.2, end_percent=0.8))
    page.run()
    page.fit("16")
    trace = page.evaluate(RESULT, "16")
    means = {step["percent"]: step["mean"] for step in trace["steps"] if step["mean"] is not None}
    assert 10 <= len(means) <= 14
    chart = result(page, "16", 20)
    assert chart["dots"] == len(means)
    assert chart["sentence"] == trace["sentence"]
    assert chart["shades"] == 20 - len(means)
    assert len(chart["plots"]) == 2 and len(set(chart["plots"])) == 1  # a step stands above itself
    drawn = page.evaluate(MEANS, "16")
    assert [x for x, _ in drawn] == pytest.approx(list(means), abs=0.003)
    assert [y for _, y in drawn] == pytest.approx(list(means.values()), abs=0.02)
    for theme in ("light", "dark"):
        page.use_theme(theme)
        page.screenshot(f"inspector {theme}")
    tabs = page.widget("reg-inspector").get_by_role("tab")
    assert tabs.all_inner_texts() == ["Weight", "Guidance", "Time"]
    tabs.first.focus()
    page.raw.keyboard.press("ArrowLeft")
    page.settle()
    assert page.evaluate(CHART, "16")["bars"] == 20
    page.screenshot("inspector time")


def test_reload_shows_the_chart_again(page: Page) -> None:
    page.evaluate("() => app.extensionManager.setting.set('Comfy.Workflow.Persist', true)")
    open_workflow(page, inspected())
    page.run()
    sentence = result(page, "16", 6)["sentence"]
    page.reload(page.saved()["id"])
    page.wait_until("() => !!app.rootGraph.getNodeById('16')")
    page.fit("16")
    assert result(page, "16", 6)["sentence"] == sentence
    page.run()  # the same prompt: the host has its result in the cache and samples nothing
    assert result(page, "16", 6)["sentence"] == sentence


def test_reload_while_the_sampler_runs(page: Page) -> None:
    page.evaluate("() => app.extensionManager.setting.set('Comfy.Workflow.Persist', true)")
    open_workflow(page, inspected(steps=150))
    page.queue()
    page.wait_until(f"(id) => ({CHART})(id).steps > 3", "16")
    page.reload(page.saved()["id"])
    page.wait_until("() => !!app.rootGraph.getNodeById('16')")
    page.fit("16")
    page.wait_idle()
    result(page, "16", 150)


def test_every_inspector_shows_its_own_sampler(page: Page) -> None:
    open_workflow(page, inspected(inspectors=2))
    page.run()
    page.fit("16", "26")
    assert result(page, "16", 6)["dots"] == 6
    assert result(page, "26", 8)["dots"] == 8
    page.fit("16", "26")
    page.screenshot("two inspectors")


def test_inspector_in_a_subgraph(page: Page) -> None:
    page.evaluate("() => app.extensionManager.setting.set('Comfy.Workflow.Persist', true)")
    open_workflow(page, inspected())
    outer, inner = page.evaluate(INTO_SUBGRAPH, ["14", "15", "16"])
    page.run()
    page.evaluate(ENTER, outer)
    page.fit(inner)
    sentence = result(page, inner, 6)["sentence"]
    assert sentence.startswith("REG changed the guidance by ")
    page.screenshot("inspector in a subgraph")
    page.run()
    page.reload(page.saved()["definitions"]["subgraphs"][0]["id"])
    page.wait_until("(id) => !!app.rootGraph.getNodeById(id)", outer)
    page.evaluate(ENTER, outer)
    page.fit(inner)
    assert result(page, inner, 6)["sentence"] == sentence


def test_queued_runs_each_start_afresh(page: Page) -> None:
    prompt = inspected(steps=20)
    del prompt["15"]["inputs"]["control_after_generate"]  # the host then draws another seed for each
    open_workflow(page, prompt)
    page.fit("16")
    page.run(3)
    assert result(page, "16", 20)["sentence"] == page.evaluate(RESULT, "16")["sentence"]


def test_interrupted_run_keeps_its_points(page: Page) -> None:
    open_workflow(page, inspected(steps=2000))
    page.fit("16")
    page.queue()
    page.wait_until(f"(id) => ({CHART})(id).steps > 3", "16")
    page.server.post("/interrupt", {})
    page.wait_idle()
    chart = page.evaluate(CHART, "16")
    assert 3 < chart["steps"] < 2000
    assert re.fullmatch(r"Stopped at step \d+ of 2000", chart["sentence"])


def test_inspector_says_why_it_has_nothing_to_show(page: Page) -> None:
    prompt = inspected(strength=0.7)  # no other test samples with it
    prompt["15"]["inputs"]["model"] = ["1", 0]  # REG is connected to the inspector, and not to the sampler
    open_workflow(page, prompt)
    page.run()
    page.fit("16")
    page.wait_until(f"(id) => ({CHART})(id).sentence.includes('no run with REG was found')", "16")
    assert page.evaluate(CHART, "16")["dots"] == 0
    page.screenshot("inspector without a trace")


def test_other_workflow_does_not_get_the_points(page: Page) -> None:
    """Two tabs with inspectors of the same id: the one that runs gets the points, also while the other is shown."""
    open_workflow(page, inspected(steps=4), "second")
    open_workflow(page, inspected(steps=120), "first")
    page.fit("16")
    page.queue()
    page.wait_until(f"(id) => ({CHART})(id).steps > 3", "16")
    page.switch_to("second")
    page.fit("16")
    page.wait_idle()
    assert page.evaluate(CHART, "16")["dots"] == 0
    page.switch_to("first")
    page.fit("16")
    result(page, "16", 120)
    page.switch_to("second")
    page.fit("16")
    page.wait_until(f"(id) => ({CHART})(id).dots === 0", "16")  # a frontend may name the tab before it shows its graph


def test_undo_keeps_the_chart(page: Page) -> None:
    open_workflow(page, inspected())
    page.run()
    page.fit("16")
    result(page, "16", 6)
    changed = "() => app.rootGraph.getNodeById('15').widgets.find((w) => w.name === 'cfg').value"
    page.evaluate(
        "() => { app.rootGraph.getNodeById('15').widgets.find((w) => w.name === 'cfg').value = 5;"
        " app.extensionManager.workflow.activeWorkflow.changeTracker.checkState() }"
    )
    page.evaluate("() => app.extensionManager.workflow.activeWorkflow.changeTracker.undo()")
    page.wait_until(f"() => ({changed})() === 3")
    page.fit("16")
    assert result(page, "16", 6)["dots"] == 6


def test_points_for_nodes_that_are_not_there_are_ignored(page: Page) -> None:
    open_workflow(page, inspected())
    page.evaluate(
        """() => { for (const id of ["99", "6:3", "15"]) app.api.dispatchCustomEvent("reg.step",
        { inspectors: [id], run: "r" + id, index: 0, total: 1,
        steps: [{ percent: 0, state: "computed", mean: 1 }] }) }"""
    )
    page.settle()
    assert page.evaluate(CHART, "16")["dots"] == 0


# Feeds an inspector the steps of a run, ten a frame, and counts what its page does with them.
FEED = """async ([id, steps]) => {
  const node = app.canvas.graph.getNodeById(id)
  const root = node.widgets.find((widget) => widget.name === "reg_trace").element.shadowRoot
  const chart = root.querySelector(".factor .chart")
  const counts = { frames: 0, drawings: 0, shapes: 0 }
  const watch = new MutationObserver((records) => {
    counts.drawings += records.filter(({ target }) => target === chart.firstElementChild).length
    for (const { addedNodes } of records) counts.shapes += addedNodes.length
  })
  watch.observe(root, { subtree: true, childList: true })
  chart.ariaLabel = "" // a run that was not finished may be shown on this workflow too, until this one begins
  const frame = () => new Promise((done) => requestAnimationFrame(() => done(counts.frames++)))
  for (const [index, step] of steps.entries()) {
    app.api.dispatchCustomEvent("reg.step", { inspectors: [id], run: "fed", index, total: steps.length, steps: [step] })
    if (index % 10 === 9) await frame()
  }
  const last = `${steps.length} of ${steps.length} steps`
  for (let left = 1000; left && !chart.ariaLabel.includes(last); left--) await frame()
  watch.disconnect()
  return { ...counts, elements: root.querySelectorAll("*").length }
}"""
TITLES = """([id, selector]) => {
  const node = app.canvas.graph.getNodeById(id)
  const root = node.widgets.find((widget) => widget.name === "reg_trace").element.shadowRoot
  return [...root.querySelectorAll(`.factor ${selector} title`)].map((title) => title.textContent)
}"""
NUMBERS = ["sigma", "weight", "mean", "low", "high", "min", "max", "before", "after", "change", "seconds", "effective"]
Step = dict[str, Any]


def fed_steps(count: int, state: str = "computed", **numbers: float) -> list[Step]:
    """Steps of a run as Python sends them."""
    known = {"weight": 3.0, "mean": 0.5, "low": 0.2, "high": 0.9, "min": -0.5, "max": 1.5, "seconds": 0.03, **numbers}
    row = dict.fromkeys(NUMBERS) | known | {"effective": 1 + 2 * known["mean"], "state": state}
    return [{**row, "percent": index / count} for index in range(count)]


def broken(step: Step) -> Step:
    """The step as it arrives when its numbers were not finite."""
    return dict.fromkeys(NUMBERS) | {"percent": step["percent"], "state": "unusable"}


def test_thousand_steps_are_few_drawings_of_few_shapes(page: Page) -> None:
    steps = fed_steps(1000)
    for index in (0, 500, 501, 999):
        steps[index] = broken(steps[index])
    open_workflow(page, inspected())
    page.fit("16")
    page.evaluate(CHART, "16")
    seen = page.evaluate(FEED, ["16", steps])
    assert seen["frames"] >= 100 and 1 <= seen["drawings"] <= seen["frames"]
    assert seen["shapes"] <= 300 * seen["drawings"]  # of two charts
    assert seen["elements"] <= 600
    assert page.evaluate(CHART, "16")["sentence"] == "Step 1000 of 1000, 4 broken"
    why = "broken: the factor could not be used"
    crosses = [f"At 0 %: {why}", f"From 50 % to 50.1 %: {why}", f"At 99.9 %: {why}"]
    assert page.evaluate(TITLES, ["16", ".cross"]) == page.evaluate(TITLES, ["16", ".shade.warn"]) == crosses
    assert 20 <= page.evaluate(CHART, "16")["dots"] <= 100
    line = page.widget("reg-inspector").locator(".factor path.line.main:not(.thin)").get_attribute("d")
    assert len(re.findall("[ML]", line or "")) == 996  # the line goes through every step
    for tab in ("Weight", "Guidance", "Time"):
        page.widget("reg-inspector").get_by_role("tab", name=tab).click()
        page.settle()
        page.screenshot(f"thousand steps, {tab}")
    assert 20 <= page.evaluate(CHART, "16")["bars"] <= 100


def test_step_stands_above_itself_however_long_the_numbers_are(page: Page) -> None:
    open_workflow(page, inspected())
    page.fit("16")
    page.evaluate(FEED, ["16", fed_steps(10, low=-0.1, min=-0.2, max=1.2)])  # the factor's axis begins at -0.25
    page.settle()
    chart = page.evaluate(CHART, "16")
    assert len(chart["plots"]) == 2 and len(set(chart["plots"])) == 1


def test_broken_steps_are_marked_whatever_arrives(page: Page) -> None:
    steps = fed_steps(10)
    steps[2] = broken(steps[2])
    steps[4] = {"state": "computed", "percent": 0.4, "mean": None}  # nothing to rectify there
    steps[6] = {}
    open_workflow(page, inspected())
    page.fit("16")
    page.evaluate(FEED, ["16", [*steps[:8], None, {**steps[9], "mean": math.nan, "min": -math.inf}]])
    page.settle()
    chart = page.evaluate(CHART, "16")
    assert (chart["steps"], chart["dots"], chart["crosses"]) == (10, 5, 3)
    assert chart["sentence"] == "Step 10 of 10, 3 broken"
    why = "broken: the factor could not be used"
    assert page.evaluate(TITLES, ["16", ".cross"]) == [f"At {percent} %: {why}" for percent in (20, 60, 80)]
    assert page.evaluate(TITLES, ["16", ".shade.dim"]) == [f"At {x} %: no guidance to rectify" for x in (40, 90)]
    page.screenshot("broken steps")


def test_events_and_results_with_missing_parts_do_no_harm(page: Page) -> None:
    open_workflow(page, {**inspected(), "8": compared()["8"], "4": compared()["4"]})
    page.fit()
    script = """([name, details]) => { for (const detail of details) app.api.dispatchCustomEvent(name, detail) }"""
    whole = {"inspectors": ["16"], "run": "r", "index": 0, "total": 2, "steps": [{}]}
    parts = [{**whole, name: None} for name in ("inspectors", "index", "steps", "total", "run")]
    steps = [None, {}, *parts]
    page.evaluate(script, ["reg.step", steps])
    page.wait_until(f"(id) => ({CHART})(id).crosses === 1", "16")
    schedules = {"schedules": ["16"], "percent": [None], "sigma": [None]}
    page.evaluate(script, ["reg.schedule", [None, {}, schedules, {**schedules, "sigma": None}]])
    # Of a version that kept less, and had other words.
    older = [{"percent": 0.5, "state": "taken", "mean": 0.7}, {"percent": 0.6, "state": "carried", "mean": 0.6}]
    traces = [None, {}, [], [None], ["x"], [{"steps": None}], [{"steps": [*older, None]}]]
    tiles = [None, {}, [], [None], [{}], [{"label": "CFG", "prompt": {}}, {"label": None, "prompt": {}}]]
    show = """([id, key, results]) => {
      for (const result of results) {
        app.api.dispatchCustomEvent("executed", { node: id, prompt_id: "none", output: { [key]: result } })
        app.nodeOutputs = { ...app.nodeOutputs, [id]: { [key]: result } }
      }
      app.api.dispatchCustomEvent("executed", { node: id, prompt_id: "none", output: null })
    }"""
    page.evaluate(show, ["16", "reg_trace", traces])
    page.wait_until(f"(id) => ({CHART})(id).steps === 3", "16")
    chart = page.evaluate(CHART, "16")
    assert (chart["dots"], chart["hollow"], chart["crosses"]) == (2, 1, 1)
    assert page.evaluate(TITLES, ["16", ".dot"]) == ["At 50 %: 0.7 (computed)", "At 60 %: 0.6 (extrapolated)"]
    page.evaluate(show, ["8", "reg_tiles", tiles])
    page.wait_until(f"({TABLE})('8').length === 1")
    assert page.evaluate(TABLE, "8") == ["CFG"]
    sheet = {"node": "8", "prompt_id": "p", "runs": ["a"], "tiles": [{"label": "REG", "prompt": {}}]}
    page.evaluate(script, ["reg.sheet", [None, {}, *({**sheet, name: None} for name in sheet), sheet]])
    one = {"node": "8", "prompt_id": "p", "drawn": [], "drawing": None}
    drawn = [None, {}, {"index": 4}, {"index": 0, "note": "1 s", "image": None}]
    page.evaluate(script, ["reg.tiles", [None, {}, *({**one, name: None} for name in one), {**one, "drawn": drawn}]])
    page.wait_until(f"({TABLE})('8')[0] === 'REG, 1 s'")


def compared() -> Prompt:
    """A sheet of two columns and two rows as node 8."""
    links = {"positive": ["2", 0], "negative": ["2", 1], "latent_image": ["3", 0], "model": ["1", 0], "vae": ["4", 0]}
    kind = {"sampler_name": "euler", "scheduler": "simple", "denoise": 1.0, "cfg": 3.0}
    axes = {"columns": "method", "column_values": "CFG, REG", "rows": "cfg", "row_values": "3, 6"}
    shared = {name: entry for name, entry in inspected().items() if name in ("1", "2", "3")}
    return shared | {
        "4": node("REG_PlaygroundVAE", size=64),
        "8": node("REG_Compare", **links, **kind, **axes, seed=5, steps=4, control_after_generate="fixed"),
    }


LABELS = ["CFG, cfg = 3", "REG, cfg = 3", "CFG, cfg = 6", "REG, cfg = 6"]


def labels(page: Page) -> list[str]:
    """The tiles on the light table, without their times."""
    return [re.sub(r", [0-9.]+ s( per image)?$", "", tile) for tile in page.evaluate(TABLE, "8")]


def drawn(page: Page, count: int = 4) -> None:
    """Wait until the pictures of so many tiles are on the light table."""
    script = """(count) => {
      const root = app.rootGraph.getNodeById("8").widgets.find(({ name }) => name === "reg_tiles").element.shadowRoot
      const images = [...root.querySelectorAll(".grid img")]
      return images.length === count && images.every((image) => image.complete && image.naturalWidth > 0)
    }"""
    page.wait_until(script, count)


def kinds(page: Page) -> dict[str, Any]:
    return {entry["class_type"]: entry["inputs"] for entry in page.prompt().values()}


def test_tiles_appear_one_by_one_and_one_opens_as_a_workflow(page: Page) -> None:
    open_workflow(page, compared(), "sheet")
    page.fit("8")
    box = page.widget("reg-comparison")
    assert box.locator("p").first.inner_text() == "When you run the workflow, its tiles appear here one by one."
    page.evaluate(WATCH)
    page.run()
    drawn(page)
    seen = page.evaluate("() => [...new Set(window.seen)]")
    live = [" ".join(["drawn"] * i + ["drawing"] + ["waiting"] * (3 - i)) for i in range(4)]
    assert [states for states in seen if "drawing" in states] == live
    assert labels(page) == LABELS
    page.fit("8")
    for theme in ("light", "dark"):
        page.use_theme(theme)
        page.screenshot(f"light table {theme}")
    saved = page.saved()
    box.get_by_role("option").first.focus()
    for key in ("ArrowDown", "ArrowRight", "Enter"):
        page.raw.keyboard.press(key)
    page.wait_until("() => app.rootGraph.nodes.some((node) => node.type === 'SaveImage')")
    assert page.missing_types() == []
    page.screenshot("tile")
    opened = kinds(page)
    assert "REG_Compare" not in opened
    assert (opened["KSampler"]["cfg"], opened["KSampler"]["seed"], opened["KSampler"]["steps"]) == (6, 5, 4)
    assert opened["REG_Guidance"]["strength"] == 1
    page.run()
    assert kinds(page) == opened  # the seed stays
    page.switch_to("sheet")
    page.wait_until("() => app.rootGraph.nodes.some((node) => node.type === 'REG_Compare')")
    assert widget_values(page.saved()) == widget_values(saved)
    page.fit("8")
    drawn(page)
    assert labels(page) == LABELS


def test_tile_is_enlarged_and_wiped_against_another(page: Page) -> None:
    open_workflow(page, compared())
    page.run()
    drawn(page)
    page.fit("8")
    box = page.widget("reg-comparison")
    box.get_by_role("option").nth(1).click()
    shown = box.get_by_role("dialog")
    assert shown.locator(".label").inner_text().startswith("REG, cfg = 3 (")
    assert (
        shown.locator(".one").evaluate("(image) => image.decode().then(() => image.naturalWidth)") == 131
    )  # two images
    assert shown.locator(".other").is_hidden()
    page.raw.keyboard.press("ArrowDown")
    assert shown.locator(".label").inner_text().startswith("REG, cfg = 6 (")
    page.screenshot("tile enlarged")
    shown.get_by_role("combobox").select_option("CFG, cfg = 6")
    shown.focus()
    place = shown.locator(".view").bounding_box()
    assert place is not None
    page.raw.mouse.move(place["x"] + place["width"] / 4, place["y"] + 30)
    assert abs(float(shown.get_by_role("slider").input_value()) - 25) <= 1
    assert "25" in shown.locator(".other").evaluate("(image) => getComputedStyle(image).clipPath")
    page.screenshot("two tiles")
    page.raw.keyboard.press("Shift+ArrowUp")
    assert shown.locator(".other").get_attribute("alt") == "CFG, cfg = 3"
    page.raw.keyboard.press("Escape")
    assert shown.count() == 0 or shown.is_hidden()
    box.get_by_role("option").nth(0).click(modifiers=["Shift"])
    assert shown.locator(".other").get_attribute("alt") == "CFG, cfg = 3"
    assert shown.locator(".one").get_attribute("alt") == "REG, cfg = 6"
    page.raw.keyboard.press("Enter")
    page.wait_until("() => app.rootGraph.nodes.some((node) => node.type === 'SaveImage')")
    assert kinds(page)["KSampler"]["cfg"] == 6


def test_saved_tile_is_a_picture_that_opens_as_its_workflow(page: Page, tmp_path: Path) -> None:
    open_workflow(page, compared())
    page.run()
    drawn(page)
    page.fit("8")
    box = page.widget("reg-comparison")
    box.get_by_role("option").nth(1).focus()
    with page.raw.expect_download() as saving:
        box.get_by_role("button", name="Save").click()
    file = tmp_path / saving.value.suggested_filename
    saving.value.save_as(file)
    assert file.name == "CFG, cfg = 3.png"
    with Image.open(file) as picture:
        picture.load()
        assert picture.size == (131, 64)  # two images
        assert json.loads(picture.text["prompt"])  # pyright: ignore[reportAttributeAccessIssue]
    drop = """async (bytes) => {
      const file = new File([new Uint8Array(bytes)], "tile.png", { type: "image/png" })
      await app.handleFile(file)
    }"""
    page.evaluate(drop, list(file.read_bytes()))
    page.wait_until("() => app.rootGraph.nodes.some((node) => node.type === 'SaveImage')")
    assert kinds(page)["KSampler"]["cfg"] == 3 and "REG_Guidance" not in kinds(page)


def test_values_of_an_axis_are_chips(page: Page) -> None:
    open_workflow(page, compared())
    page.fit("8")
    lines = page.widget("reg-comparison").get_by_role("group")
    columns, rows = lines.nth(0), lines.nth(1)
    assert columns.get_by_role("button").all_inner_texts() == ["CFG", "REG"]
    assert rows.get_by_role("button").all_inner_texts() == ["3", "6"]
    offered = columns.locator("option").evaluate_all("(options) => options.map((option) => option.value)")
    assert "CFG matched" in offered and "REG" not in offered
    columns.get_by_role("button", name="CFG").click()
    columns.get_by_role("combobox").fill("measured")
    columns.get_by_role("combobox").press("Enter")
    rows.get_by_role("combobox").fill("2-8 x4; 9")
    rows.get_by_role("combobox").press("Enter")
    page.settle()
    page.screenshot("chips")
    inputs = page.prompt()["8"]["inputs"]
    assert (inputs["column_values"], inputs["row_values"]) == ("REG, measured", "3, 6, 2-8 x4, 9")
    script = """([name, value]) => {
      const node = app.rootGraph.getNodeById("8"), widget = node.widgets.find((other) => other.name === name)
      widget.value = value
      widget.callback?.(value, app.canvas, node)
    }"""
    for change in (("rows", "widget"), ("row_values", 'size = 32; "64"')):
        page.evaluate(script, list(change))
    page.wait_until("""() => document.querySelector(".reg-comparison").shadowRoot.querySelectorAll(".axis")[1]
      .querySelector("b").textContent === "rows: widget, size ="
    """)
    assert rows.get_by_role("button").all_inner_texts() == ["32", "64"]
    rows.get_by_role("button", name="64").click()
    assert page.prompt()["8"]["inputs"]["row_values"] == "size = 32"
    page.run()
    drawn(page, 2)


def test_tile_is_skipped_and_the_sheet_is_stopped(page: Page) -> None:
    prompt = compared()
    prompt["8"]["inputs"] |= {"steps": 3000, "column_values": "CFG", "row_values": "3, 4, 5, 6", "seed": 77}
    open_workflow(page, prompt)
    page.fit("8")
    page.queue()
    box = page.widget("reg-comparison")
    for tile, button in ((0, "Skip tile"), (1, "Stop")):
        page.wait_until(f"({TABLE})('8')[{tile}]?.endsWith(', drawing')")
        page.fit("8")  # it has grown
        page.screenshot(f"drawing tile {tile}")
        box.get_by_role("button", name=button).click()
    page.wait_idle()
    page.wait_until(f"({TABLE})('8').filter((tile) => tile.endsWith(', skipped')).length === 4")
    assert box.get_by_role("button", name="Stop").is_hidden()


def test_reload_shows_the_tiles_again(page: Page) -> None:
    page.evaluate("() => app.extensionManager.setting.set('Comfy.Workflow.Persist', true)")
    open_workflow(page, compared())
    page.run()
    page.reload(page.saved()["id"])
    page.wait_until("() => !!app.rootGraph.getNodeById('8')")
    page.fit("8")
    drawn(page)


def test_switching_the_renderer_keeps_the_chart(page: Page) -> None:
    open_workflow(page, inspected())
    page.run()
    page.fit("16")
    result(page, "16", 6)
    other = {"classic": "nodes 2.0", "nodes 2.0": "classic"}[page.renderer]
    page.use_renderer(other)
    page.fit("16")
    assert result(page, "16", 6)["dots"] == 6
    assert page.widget("reg-inspector").is_visible()


def test_every_node_has_a_help_page(site: ComfyServer) -> None:
    nodes = site.get("/object_info")
    ours = [name for name, entry in nodes.items() if name.startswith("REG_") and not entry.get("dev_only")]
    pages = {name: ROOT / "web" / "docs" / f"{name}.md" for name in ours}
    assert [name for name, page in pages.items() if not page.is_file()] == []
    for name, path in pages.items():
        assert site.read(f"/extensions/{PACK_NAME}/docs/{name}.md").decode("utf-8") == path.read_text("utf-8")
