"""The line at the foot of a node in a real browser, in both renderers: whole, grey when old, gone with a change."""

from __future__ import annotations

import re
import uuid
from itertools import count
from typing import Any

import pytest

from browser import Page

pytestmark = pytest.mark.browser

SEEDS = count(9000)
Prompt = dict[str, Any]

# The line of a node: its text, tooltip and class, and whether all of it can be seen.
LINE = """(id) => {
  const node = app.canvas.graph.getNodeById(id)
  const element = node.widgets.find((widget) => widget.name === "reg_status")?.element
  const card = element?.shadowRoot.querySelector(".card")
  if (!card) return null
  const text = document.createRange()
  text.selectNodeContents(card)
  const [inner, outer] = [text.getBoundingClientRect(), card.getBoundingClientRect()]
  const inside = ["left", "top"].every((side) => inner[side] >= outer[side] - 1) &&
    ["right", "bottom"].every((side) => inner[side] <= outer[side] + 1)
  return { text: card.textContent, details: element.title, kind: card.className.split(" ").slice(1).join(" "),
    whole: inside && inner.width > 0, size: Number.parseFloat(card.style.fontSize) }
}"""
NODES = """() => app.rootGraph.nodes.map(
  ({ id, size, widgets }) => [id, size[1], (widgets ?? []).map((widget) => widget.name)])"""
WIDEN = "(width) => { const node = app.rootGraph.getNodeById('4'); node.setSize([width, node.size[1]]) }"
WRITE = """([id, name, value]) => {
  const node = app.rootGraph.getNodeById(id)
  const widget = node.widgets.find((candidate) => candidate.name === name)
  widget.value = value
  widget.callback?.(value, app.canvas, node)
  app.extensionManager.workflow.activeWorkflow.changeTracker.checkState()
}"""
TELL = """([id, line]) => app.api.dispatchCustomEvent("reg.status",
  { node: id, prompt: "told", inputs: {}, line, details: line, urgent: false, holds: true })"""
FIELDS = "[data-node-id='4'] input"
FIELD = f"""(text) => [...document.querySelectorAll("{FIELDS}")].findIndex(({{ value }}) => value === text)"""
LONGEST = "Not enough memory at some steps: plain CFG there, with all of 20."


def node(class_type: str, **inputs: Any) -> dict[str, Any]:
    return {"class_type": class_type, "inputs": inputs}


def rectified(steps: int = 4, **changes: Any) -> Prompt:
    """The playground with REG as node 4 and a sampler as node 5."""
    method = {"strength": 1.0, "form": "row-sum", "estimator": "reverse", "refresh": "auto", "checkpointing": "auto"}
    run = {"seed": next(SEEDS), "steps": steps, "cfg": 3.0, "control_after_generate": "fixed", "denoise": 1.0}
    links = {"positive": ["2", 0], "negative": ["2", 1], "latent_image": ["3", 0], "model": ["4", 0]}
    return {
        "1": node("UNETLoader", unet_name="reg_playground_digits.safetensors", weight_dtype="default"),
        "2": node("REG_PlaygroundConditioning", classes="38"),
        "3": node("EmptySD3LatentImage", width=64, height=64, batch_size=2),
        "4": node("REG_Guidance", model=["1", 0], **{**method, "start_percent": 0.0, "end_percent": 1.0, **changes}),
        "5": node("KSampler", **links, **run, sampler_name="euler", scheduler="simple"),
        "6": node("REG_PlaygroundDecode", samples=["5", 0], size=64),
        "7": node("PreviewImage", images=["6", 0]),
    }


def open_workflow(page: Page, prompt: Prompt, name: str = "test") -> None:
    """Open what a prompt draws as a workflow that was saved."""
    page.load_prompt(prompt, f"prompt of {name}")
    page.load({**page.saved(), "id": str(uuid.uuid4())}, name)
    page.fit("4", "5")


def line(page: Page, words: str, node_id: str = "4") -> dict[str, Any]:
    """The line of a node, once it says this."""
    said = f"([id, words]) => {{ const line = ({LINE})(id); return line?.text.includes(words) && line }}"
    page.wait_until(said, [node_id, words], 60)
    page.settle()
    return page.evaluate(LINE, node_id)


def test_run_is_told_in_one_line_and_leaves_the_workflow_as_it_is(page: Page) -> None:
    open_workflow(page, rectified())
    before, saved = page.evaluate(NODES), page.saved()
    assert not any("reg_status" in names for _, _, names in before)
    page.run()
    told = line(page, "REG on: guidance cut by ")
    assert re.fullmatch(r"REG on: guidance cut by \d+%, most of it early\.", told["text"])
    assert told["details"].startswith("guidance changed by ") and told["whole"] and told["kind"] == ""
    page.screenshot("status of a run")
    after = {name: (height, names) for name, height, names in page.evaluate(NODES)}
    for name, height, names in before:
        own = ["reg_status"] if str(name) == "4" else []
        assert after[name][1] == [*names, *own] or str(name) == "7"  # the host's picture
        assert after[name][0] - height <= (28 if own else 0) or str(name) == "7"
    values = [(entry["id"], entry.get("widgets_values")) for entry in page.saved()["nodes"]]
    assert values == [(entry["id"], entry.get("widgets_values")) for entry in saved["nodes"]]
    page.load(page.saved(), "again")
    assert page.prompt()["4"]["inputs"]["strength"] == 1 and page.prompt()["4"]["inputs"]["refresh"] == "auto"


def test_line_of_the_last_run_is_grey_while_the_next_runs(page: Page) -> None:
    open_workflow(page, rectified())
    page.run()
    line(page, "REG on: ")
    page.evaluate(WRITE, ["5", "steps", 1500])
    page.queue()
    old = line(page, "Last run: REG on: guidance cut by ")
    assert old["kind"] == "stale" and old["whole"]
    page.screenshot("status of the last run")
    page.server.post("/interrupt", {})
    page.wait_idle()
    assert line(page, "Last run: ")["kind"] == "stale"
    page.evaluate(WRITE, ["5", "steps", 5])
    page.run()
    assert line(page, "REG on: ")["text"].startswith("REG on: ")


@pytest.mark.parametrize("name", ["strength", "form"])
def test_line_goes_when_an_input_changes(page: Page, name: str) -> None:
    open_workflow(page, rectified(strength=1.5))
    page.run()
    told = line(page, "Strength 1.5 often breaks shapes: lower it to 1.")
    assert told["kind"] == "urgent" and told["whole"]
    page.screenshot("status that asks for something")
    page.evaluate(WRITE, ["5", "seed", next(SEEDS)])
    assert line(page, "Strength 1.5")["kind"] == "urgent"
    page.evaluate(WRITE, ["4", name, {"strength": 1.0, "form": "directional"}[name]])
    page.wait_until(f"(id) => ({LINE})(id).text === ''", "4", 20)
    assert page.evaluate(LINE, "4")["details"] == ""
    page.run()
    assert line(page, " on: " if name == "strength" else "Strength 1.5")["whole"]


def test_line_goes_when_the_node_is_linked_elsewhere(page: Page) -> None:
    open_workflow(page, rectified(strength=0.0))
    page.run()
    assert line(page, "No effect: strength is 0. Raise it.")["kind"] == ""
    page.evaluate(WRITE, ["5", "seed", next(SEEDS)])
    page.run()  # the node comes from the cache, and says nothing: what it said still holds
    assert line(page, "No effect: strength is 0. Raise it.")["kind"] == ""
    page.evaluate("() => app.rootGraph.getNodeById('4').disconnectInput(0)")
    page.wait_until(f"(id) => ({LINE})(id).text === ''", "4", 20)


def test_line_is_whole_at_any_width(page: Page) -> None:
    open_workflow(page, rectified())
    page.evaluate(TELL, ["4", LONGEST])
    assert line(page, "Not enough")["whole"]
    for width in (210, 260, 340):
        page.evaluate(WIDEN, width)
        page.settle()
        page.fit("4")
        page.settle()
        told = page.evaluate(LINE, "4")
        assert told["whole"] and told["size"] >= 8, (width, told)
        page.screenshot(f"status at {width}")


def test_other_workflow_does_not_get_the_line(page: Page) -> None:
    open_workflow(page, rectified(), "second")
    open_workflow(page, rectified(), "first")
    page.run()
    line(page, "REG on: ")
    page.switch_to("second")
    page.settle()
    assert page.evaluate(LINE, "4") is None
    page.switch_to("first")
    assert line(page, "REG on: ")["whole"]


def test_many_nodes_cost_nothing_while_nothing_changes(page: Page) -> None:
    prompt = rectified()
    for index in range(50):
        prompt[str(100 + index)] = node("REG_Guidance", **prompt["4"]["inputs"])
    open_workflow(page, prompt)
    assert page.evaluate("() => document.querySelectorAll('.reg-status').length") == 0
    for index in range(50):
        page.evaluate(TELL, [str(100 + index), LONGEST])
    assert line(page, "Not enough", "149")
    changes = page.evaluate("""async () => {
      let count = 0
      const watch = new MutationObserver((records) => { count += records.length })
      for (const node of app.rootGraph.nodes) for (const widget of node.widgets ?? [])
        if (widget.name === "reg_status") watch.observe(widget.element.shadowRoot, { subtree: true, childList: true,
          attributes: true, characterData: true })
      for (let i = 0; i < 5; i++) {
        app.api.dispatchCustomEvent("graphChanged", app.rootGraph.serialize())
        await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))
      }
      return count
    }""")
    assert changes == 0


def sheet(values: str) -> Prompt:
    """REG Compare as node 4, over methods."""
    prompt = rectified()
    links = {"model": ["1", 0], "positive": ["2", 0], "negative": ["2", 1], "latent_image": ["3", 0], "vae": ["8", 0]}
    axes = {"columns": "method", "column_values": values, "rows": "none", "row_values": ""}
    run = {"seed": 1, "steps": 4, "cfg": 3.0, "sampler_name": "euler", "scheduler": "simple", "denoise": 1.0}
    method = {name: value for name, value in prompt["4"]["inputs"].items() if name != "model"}
    compare = node("REG_Compare", **links, **run, **axes, **method)
    return {name: prompt[name] for name in "123"} | {"8": node("REG_PlaygroundVAE", size=64), "4": compare}


def test_typo_in_the_sheet_is_told_while_it_is_written(page: Page) -> None:
    open_workflow(page, sheet("CFG, REG"))
    assert page.evaluate(LINE, "4") is None
    if page.renderer == "classic":
        page.evaluate(WRITE, ["4", "column_values", "CFG, RGE, SNR"])
    else:
        index = page.evaluate(FIELD, "CFG, REG")
        page.raw.locator(FIELDS).nth(index).fill("CFG, RGE, SNR")
    told = line(page, "method RGE is unknown. Did you mean REG?")
    assert told["kind"] == "urgent" and told["whole"] and "method takes CFG, REG" in told["details"]
    page.screenshot("typo in the sheet")
    page.evaluate(WRITE, ["4", "column_values", "CFG, REG"])
    page.wait_until(f"(id) => ({LINE})(id).text === ''", "4", 20)
    page.run()
