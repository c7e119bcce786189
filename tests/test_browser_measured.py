"""What a click does to a workflow in a real browser, in both renderers, with one undo: Make schedule, and Add REG."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

import pytest
from test_browser import ENTER, INTO_SUBGRAPH, inspected, node, open_workflow, result

from reg_core.measurement import from_text

if TYPE_CHECKING:
    from browser import Page

pytestmark = pytest.mark.browser

# What the picture of the measured schedule of the open graph says of itself.
PICTURE = """() => {
  const node = app.canvas.graph.nodes.find((node) => node.type === "REG_ScheduleMeasured")
  const root = node?.widgets.find((widget) => widget.name === "reg_preview").element.shadowRoot
  const words = (css) => [...root.querySelectorAll(css)].map((element) => element.textContent)
  return root && { labels: words("text.label"), ticks: words("text.tick:not(.end)"), hint: words(".words")[0],
    steps: words("circle.step title").length, line: root.querySelector("path.line.main")?.getAttribute("d") ?? "" }
}"""
MENU = """(id) => {
  const node = app.rootGraph.getNodeById(id)
  const items = app.collectNodeMenuItems(node).filter((item) => /^(REG: |Add REG)/.test(item?.content))
  return items.map(({ content, disabled }) => [content, Boolean(disabled)])
}"""
CHOOSE = """(id) => {
  const node = app.rootGraph.getNodeById(id)
  app.collectNodeMenuItems(node).find((item) => /^(REG: |Add REG)/.test(item?.content)).callback()
}"""


def measuring(kind: str, **changes: Any) -> dict[str, Any]:
    """A run of REG by a node of this kind as 14, a sampler as 15 where it is none itself, the inspector as 16."""
    prompt = inspected(**changes)
    if kind == "REG_KSampler":
        inputs = {**prompt.pop("15")["inputs"], **prompt["14"]["inputs"], "model": ["1", 0]}
        prompt["14"] = node(kind, **inputs)
        prompt["16"]["inputs"] = {"samples": ["14", 0], "heat_maps": 2}
    return prompt


def drawn(prompt: dict[str, Any]) -> dict[str, Any]:
    return prompt | {
        "17": node("REG_PlaygroundDecode", samples=["16", 0], size=64),
        "18": node("PreviewImage", images=["17", 0]),
    }


def make(page: Page) -> None:
    page.widget("reg-inspector").get_by_role("button", name="Make schedule").click()
    page.settle()


def undo(page: Page) -> None:
    page.evaluate("() => app.extensionManager.workflow.activeWorkflow.changeTracker.undo()")
    page.settle()


def sentence(page: Page) -> str:
    return page.widget("reg-inspector").locator("p").inner_text()


@pytest.mark.parametrize("kind", ["REG_Guidance", "REG_KSampler"])
def test_one_click_puts_the_schedule_in_the_place_of_reg(page: Page, kind: str) -> None:
    open_workflow(page, drawn(measuring(kind, steps=8)))
    page.fit("16")
    assert page.widget("reg-inspector").get_by_role("button", name="Make schedule").count() == 0  # nothing measured yet
    assert page.evaluate(MENU, "14") == [["REG: Make schedule from last run", True]]
    page.run()
    page.fit("16")
    result(page, "16", 8)
    before = page.prompt()
    (trace,) = page.evaluate("(id) => app.nodeOutputs[id].reg_trace", "16")
    make(page)
    undo(page)
    assert page.prompt() == before
    page.fit("16")
    make(page)
    assert sentence(page).startswith("The schedule guides “") and "strength is 0" in sentence(page)
    prompt = page.prompt()
    ((made, entry),) = [(name, one) for name, one in prompt.items() if one["class_type"] == "REG_ScheduleMeasured"]
    assert entry["inputs"] == {"cfg": 3, "curve": trace["curve"]}
    rectified = prompt["14"]["inputs"]
    assert (rectified["strength"], rectified["schedule"]) == (0, [made, 0])
    changed = {name for name in before if before[name]["inputs"] != prompt[name]["inputs"]}
    assert changed == {"14"} and set(prompt) - set(before) == {made}
    page.fit()
    picture = page.evaluate(PICTURE)
    assert picture["steps"] == 8 and picture["labels"] == ["w", "sampling"]  # the run has told its noise levels
    page.screenshot(f"made schedule {kind}")
    page.run()
    assert len(page.evaluate("(id) => app.nodeOutputs[id].images", "18")) == 2
    page.settle()
    assert page.evaluate(PICTURE)["steps"] == 8


def test_schedule_is_made_once_and_stands_where_there_is_room(page: Page) -> None:
    open_workflow(page, measuring("REG_Guidance"))
    page.run()
    page.fit("16")
    result(page, "16", 6)
    make(page)
    assert page.widget("reg-inspector").get_by_role("button", name="Make schedule").count() == 0
    once = page.prompt()
    page.evaluate(CHOOSE, "14")
    assert page.prompt() == once
    script = (
        """() => app.rootGraph.nodes.map(({ type, pos, size }) => [type, pos[0], pos[1] - 30, size[0], size[1] + 30])"""
    )
    boxes = {kind: box for kind, *box in page.evaluate(script)}
    left, top, width, height = boxes.pop("REG_ScheduleMeasured")
    for kind, (x, y, wide, high) in boxes.items():
        assert x + wide <= left or left + width <= x or y + high <= top or top + height <= y, kind


def test_menu_of_the_node_does_the_same(page: Page) -> None:
    open_workflow(page, measuring("REG_KSampler"))
    page.run()
    page.fit("16")
    result(page, "16", 6)
    assert page.evaluate(MENU, "14") == [["REG: Make schedule from last run", False]]
    assert page.evaluate(MENU, "16") == []
    page.evaluate(CHOOSE, "14")
    page.settle()
    rectified = page.prompt()["14"]["inputs"]
    assert rectified["strength"] == 0 and page.prompt()[rectified["schedule"][0]]["inputs"]["cfg"] == 3
    page.run()


def test_linked_strength_and_another_schedule_make_room(page: Page) -> None:
    prompt = measuring("REG_Guidance")
    prompt["7"] = node("PrimitiveFloat", value=1.0)
    prompt["8"] = node("REG_ScheduleConstant", cfg=4.0)
    prompt["14"]["inputs"] |= {"strength": ["7", 0], "schedule": ["8", 0]}
    open_workflow(page, prompt)
    page.run()
    page.fit("16")
    result(page, "16", 6)
    make(page)
    made = page.prompt()
    rectified = made["14"]["inputs"]
    assert rectified["strength"] == 0
    assert made[rectified["schedule"][0]]["class_type"] == "REG_ScheduleMeasured"
    assert made[rectified["schedule"][0]]["inputs"]["cfg"] == 4
    undo(page)
    assert page.prompt()["14"]["inputs"]["schedule"] == ["8", 0]


def test_node_with_reg_in_a_subgraph(page: Page) -> None:
    """The inspector stands outside; the schedule goes to where REG is."""
    open_workflow(page, measuring("REG_KSampler"))
    script = """(ids) => {
      const nodes = new Set(ids.map((id) => app.canvas.graph.getNodeById(id)))
      return String(app.canvas.graph.convertToSubgraph(nodes).node.id)
    }"""
    outer = page.evaluate(script, ["14"])
    page.run()
    page.fit("16")
    result(page, "16", 6)
    make(page)
    assert "in its subgraph" in sentence(page)
    prompt = page.prompt()
    (rectified,) = [entry["inputs"] for entry in prompt.values() if entry["class_type"] == "REG_KSampler"]
    assert rectified["strength"] == 0 and rectified["schedule"][0].startswith(f"{outer}:")
    page.run()


def test_inspector_in_a_subgraph_reaches_its_node(page: Page) -> None:
    open_workflow(page, measuring("REG_Guidance"))
    outer, inner = page.evaluate(INTO_SUBGRAPH, ["14", "15", "16"])
    page.run()
    page.evaluate(ENTER, outer)
    page.fit(inner)
    result(page, inner, 6)
    make(page)
    assert "in its subgraph" not in sentence(page)
    (rectified,) = [entry["inputs"] for entry in page.prompt().values() if entry["class_type"] == "REG_Guidance"]
    assert rectified["strength"] == 0 and rectified["schedule"][0].startswith(f"{outer}:")


def test_schedule_stands_beside_where_the_node_with_reg_is_gone(page: Page) -> None:
    open_workflow(page, measuring("REG_Guidance"))
    page.run()
    page.fit("16")
    result(page, "16", 6)
    page.evaluate("() => app.rootGraph.remove(app.rootGraph.getNodeById('14'))")
    make(page)
    assert sentence(page).startswith("The schedule stands beside this node. Connect it")
    assert page.evaluate(PICTURE)["line"]


def test_picture_is_over_the_noise_until_a_run_is_known(page: Page) -> None:
    curve = json.dumps({"form": "row-sum", "points": [[0.2, 0.95], [1, 0.5], [12, 0.1]]})
    add = """([curve]) => {
      const node = LiteGraph.createNode("REG_ScheduleMeasured")
      node.pos = [100, 100]
      app.graph.add(node)
      for (const [name, value] of Object.entries({ curve, cfg: 5 })) {
        const widget = node.widgets.find((widget) => widget.name === name)
        widget.value = value
        widget.callback?.(value)
      }
      return node.id
    }"""
    page.evaluate(add, [""])
    page.fit()
    assert page.evaluate(PICTURE)["hint"].startswith("No curve yet: run REG with an Inspector")
    page.evaluate("() => app.graph.clear()")
    made = page.evaluate(add, [curve])
    page.fit()
    picture = page.evaluate(PICTURE)
    assert picture["hint"] == "" and picture["labels"] == ["w", "noise (sigma)"]
    assert picture["ticks"] == ["0.2", "0.5", "1", "2", "5", "10"]
    ends = [from_text(curve, 5.0)(0.0, sigma) for sigma in (18.0, 0.2)]
    read = """(id) => [...app.graph.getNodeById(id).widgets.find((widget) => widget.name === "reg_preview")
      .element.shadowRoot.querySelectorAll("text.value")].map((text) => Number(text.textContent))"""
    assert page.evaluate(read, made) == pytest.approx(ends, abs=0.01)
    page.screenshot("measured schedule over the noise")
    run = {"schedules": [str(made)], "percent": [0.0, 0.5, 0.9], "sigma": [None, 1.0, 0.1]}
    page.evaluate("(detail) => app.api.dispatchCustomEvent('reg.schedule', detail)", run)
    page.settle()
    picture = page.evaluate(PICTURE)
    assert (picture["labels"], picture["steps"]) == (["w", "sampling"], 3)
    assert math.isclose(from_text(curve, 5.0)(0.5, 1.0), 3.0)


def test_curve_is_saved_with_the_workflow(page: Page) -> None:
    """A shared workflow carries what was measured."""
    open_workflow(page, measuring("REG_Guidance"))
    page.run()
    page.fit("16")
    result(page, "16", 6)
    make(page)
    made = page.prompt()
    page.load(json.loads(json.dumps(page.saved())), "shared")
    assert page.prompt() == made


@pytest.mark.parametrize("at", ["1", "15"])
def test_reg_is_added_by_the_menu_of_a_loader_or_a_sampler(page: Page, at: str) -> None:
    """Behind the loader every user of its model gets REG, in front of a sampler that sampler only."""
    plain = inspected()
    del plain["14"], plain["16"]
    plain["15"]["inputs"]["model"] = ["1", 0]
    plain["25"] = node("KSampler", **plain["15"]["inputs"])
    open_workflow(page, plain)
    page.fit()
    before = page.prompt()
    assert page.evaluate(MENU, at) == [["Add REG", False]] and page.evaluate(MENU, "3") == []
    page.evaluate(CHOOSE, at)
    page.settle()
    made = page.prompt()
    (reg,) = set(made) - set(before)
    assert made[reg]["class_type"] == "REG_Guidance" and made[reg]["inputs"]["model"] == ["1", 0]
    assert [made[sampler]["inputs"]["model"] for sampler in ("15", "25")] == [[reg, 0], [reg if at == "1" else "1", 0]]
    assert page.evaluate(MENU, at) == []  # it is there
    page.fit()
    page.screenshot(f"REG added at {at}")
    undo(page)
    assert page.prompt() == before
