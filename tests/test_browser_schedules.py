"""Schedules in the browser, in both renderers: the curve in each node, and the editor of the drawn curve."""

from __future__ import annotations

import io
import math
import time
from itertools import pairwise
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import numpy as np
import pytest

from bootstrap.server import PACK_NAME
from browser import RENDERERS, Page
from reg_core.schedule import SNR, Combined, Constant, Cosine, Curve, Exponential, Interval, Linear, Schedule

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytestmark = pytest.mark.browser

KNOTS = [(0.0, 0.2), (0.1, 0.9), (0.31, 0.9), (0.33, 0.1), (0.6, 0.5), (0.95, 0.55)]
PERCENTS = sorted({*np.linspace(0, 1, 201).tolist(), 0.2, 0.7, 0.25, 0.31, math.nextafter(0.7, 1)})
SCRIPTS = f"/extensions/{PACK_NAME}/js"

ADD = """([type, values, x, y]) => {
  const node = LiteGraph.createNode(type)
  node.pos = [x, y]
  app.graph.add(node)
  for (const [name, value] of Object.entries(values)) {
    const widget = node.widgets.find((widget) => widget.name === name)
    widget.value = value
    widget.callback?.(value)
  }
  app.canvas.setDirty(true, true)
  return node.id
}"""
# From the picture alone: the path in pixels, and the scale that the tick labels and their places give.
READ = """([id, selector]) => {
  const node = app.canvas.graph.getNodeById(id)
  const root = node.widgets.find((widget) => widget.type.startsWith("REG_")).element.shadowRoot
  const path = root.querySelector(selector)
  if (!path) return null
  const box = root.querySelector("rect.plot")
  const [left, width] = ["x", "width"].map((name) => Number(box.getAttribute(name)))
  const ticks = [...root.querySelectorAll("text.tick")].filter((text) => !text.textContent.includes("%"))
  const [[y0, w0], [y1, w1]] = [ticks[0], ticks.at(-1)].map((text) => [
    Number(text.getAttribute("y")) - 3.5, Number(text.textContent)])
  return path.getAttribute("d").split(/[ML]/).slice(1).map((pair) => {
    const [x, y] = pair.split(",").map(Number)
    return [(x - left) / width, w0 + ((y - y0) * (w1 - w0)) / (y1 - y0)]
  })
}"""
LINE = "path.line.main:not(.dashed)"


def add(page: Page, kind: str, values: dict[str, Any] | None = None, x: float = 100, y: float = 100) -> int:
    node = page.evaluate(ADD, [kind, values or {}, x, y])
    page.settle()
    return node


def connect(page: Page, source: int, target: int, name: str) -> None:
    script = """([source, target, name]) => {
      const to = app.graph.getNodeById(target)
      app.graph.getNodeById(source).connect(0, to, to.inputs.findIndex((input) => input.name === name))
    }"""
    page.evaluate(script, [source, target, name])
    page.settle()


def shown(page: Page, node: int, selector: str = LINE) -> list[tuple[float, float]]:
    points = page.evaluate(READ, [node, selector])
    assert points, f"no line {selector} is drawn in node {node}"
    return [(x, y) for x, y in points]


def assert_shows(page: Page, node: int, expected: Any, percents: Any = (0.0, 0.1, 0.33, 0.5, 0.8, 1.0)) -> None:
    """The line in the node is the expected weight over the percent; a busy machine may be some frames behind."""
    weights = [pytest.approx(expected(percent), abs=0.06) for percent in percents]
    deadline = time.monotonic() + 5
    while True:
        points = page.evaluate(READ, [node, LINE])
        drawn = [float(np.interp(percent, *zip(*points, strict=True))) for percent in percents] if points else []
        if drawn == weights or time.monotonic() > deadline:
            break
        page.settle()
    assert drawn == weights


def words(page: Page, node: int, selector: str) -> list[str]:
    script = """([id, selector]) => {
      const root = app.graph.getNodeById(id).widgets.find((widget) => widget.type.startsWith("REG_")).element.shadowRoot
      return [...root.querySelectorAll(selector)].map((element) => element.textContent)
    }"""
    return page.evaluate(script, [node, selector])


def curve_in_prompt(page: Page, node: int) -> dict[str, Any]:
    return page.prompt()[str(node)]["inputs"]["curve"]


def points_in_prompt(page: Page, node: int) -> list[list[float]]:
    return curve_in_prompt(page, node)["points"]


def assert_becomes(page: Page, node: int, curve: dict[str, Any]) -> None:
    """The prompt has this curve within some seconds, and keeps it."""
    deadline = time.monotonic() + 10
    while curve_in_prompt(page, node) != curve and time.monotonic() < deadline:
        page.settle()
    page.settle()
    assert curve_in_prompt(page, node) == curve


def centre(page: Page, index: int) -> tuple[float, float]:
    box = page.widget("reg-curve").locator(".handle .knob").nth(index).bounding_box()
    assert box is not None
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def drag(page: Page, start: tuple[float, float], end: tuple[float, float]) -> None:
    page.raw.mouse.move(*start)
    page.raw.mouse.down()
    page.raw.mouse.move((start[0] + end[0]) / 2, (start[1] + end[1]) / 2)
    page.raw.mouse.move(*end, steps=3)
    page.raw.mouse.up()
    page.settle()


def place(page: Page, x: float, height: float) -> tuple[float, float]:
    """Where on the screen a point of the curve with this percent and height lies."""
    box = page.widget("reg-curve").locator("rect.plot").bounding_box()
    assert box is not None
    return box["x"] + x * box["width"], box["y"] + (1 - height) * box["height"]


def edited(page: Page, values: dict[str, Any] | None = None) -> int:
    """A curve node in the middle of the page."""
    node = add(page, "REG_ScheduleCurve", values)
    page.fit(node)
    page.widget("reg-curve").locator(".handle").first.wait_for()
    return node


def test_drawn_curve_is_the_one_that_runs(page: Page) -> None:
    from reg_pack.nodes.schedules import ScheduleCurve

    script = f"""async ([curve, percents]) => {{
      const {{ scheduleFrom, weight }} = await import("{SCRIPTS}/schedules.mjs")
      const schedule = scheduleFrom("curve", {{ curve, low: 1.5, high: 8 }})
      return percents.map((percent) => weight(schedule, percent, 1))
    }}"""
    for interpolation in ("linear", "monotone_cubic"):
        for knots in (KNOTS, KNOTS[1:4], [(0.2, 0.3), (0.2001, 0.9)]):
            value = {"points": [list(knot) for knot in knots], "interpolation": interpolation}
            (schedule,) = ScheduleCurve.execute(value, 1.5, 8.0).result
            expected = [schedule(percent, 1.0) for percent in PERCENTS]
            np.testing.assert_allclose(page.evaluate(script, [value, PERCENTS]), expected, rtol=0, atol=1e-9)


def test_noise_levels_are_the_hosts(page: Page) -> None:
    import comfy.model_sampling as sampling

    script = f"""async (percents) => {{
      const {{ sigmaSD, sigmaFlow }} = await import("{SCRIPTS}/noise_levels.mjs")
      return percents.map((percent) => [sigmaSD(percent), sigmaFlow(percent)])
    }}"""
    inside = [percent for percent in PERCENTS if 0 < percent < 1]
    diffusion, flow = sampling.ModelSamplingDiscrete(), sampling.ModelSamplingDiscreteFlow()
    drawn = page.evaluate(script, [0.0, *inside, 1.0])
    assert drawn[0] == [math.inf, math.inf] and drawn[-1] == [0.0, 0.0]
    for percent, (sd, ratio) in zip(inside, drawn[1:-1], strict=True):
        assert sd == pytest.approx(float(diffusion.percent_to_sigma(percent)), rel=1e-4)
        noise = float(flow.percent_to_sigma(percent))
        assert ratio == pytest.approx(noise / (1 - noise), rel=1e-6)


PREVIEWS: list[tuple[str, dict[str, Any], Schedule]] = [
    ("REG_ScheduleConstant", {"cfg": 4.0}, Constant(4.0)),
    ("REG_ScheduleLinear", {"start_cfg": 7.0, "end_cfg": 2.0}, Linear(7.0, 2.0)),
    ("REG_ScheduleCosine", {"cfg": 5.0, "power": 2.0}, Cosine(5.0, 2.0)),
    ("REG_ScheduleInterval", {"cfg": 3.0, "start_percent": 0.25, "end_percent": 0.75}, Interval(3.0, 0.25, 0.75)),
    ("REG_ScheduleExponential", {"cfg": 2.0, "rate": 0.7}, Exponential(2.0, 0.7)),
    (
        "REG_ScheduleCurve",
        {"curve": {"points": [[0, 0], [0.5, 1], [1, 0.5]], "interpolation": "linear"}, "min_cfg": 2.0, "max_cfg": 8.0},
        Curve(((0.0, 2.0), (0.5, 8.0), (1.0, 5.0))),
    ),
]


def test_every_schedule_shows_its_weight(page: Page) -> None:
    for i, (kind, values, schedule) in enumerate(PREVIEWS):
        node = add(page, kind, values, x=100 + 330 * (i % 3), y=100 + 400 * (i // 3))
        page.fit()
        assert_shows(page, node, lambda percent, schedule=schedule: schedule(percent, 1.0))
        ends = [f"{round(schedule(percent, 1.0), 2):g}" for percent in (0.0, 1.0)]
        assert words(page, node, "text.value") == ends
        assert words(page, node, "text.label") == ["w", "sampling"]


def test_snr_is_drawn_for_both_families_and_then_for_the_run(page: Page) -> None:
    import comfy.model_sampling as sampling

    node = add(page, "REG_ScheduleSNR", {"cfg": 6.0, "spread": 1.0})
    page.fit()
    diffusion = sampling.ModelSamplingDiscrete()
    inside = (0.2, 0.5, 0.7, 0.9)
    assert_shows(page, node, lambda percent: SNR(6.0)(percent, float(diffusion.percent_to_sigma(percent))), inside)
    xs, ys = zip(*shown(page, node, "path.line.main.dashed"), strict=True)
    for percent in inside:
        weight = SNR(6.0)(percent, (1 - percent) / percent)
        assert np.interp(percent, xs, ys) == pytest.approx(weight, abs=0.05)
    assert words(page, node, "text.key") == ["flow", "SD"]

    nothing = {"schedules": [str(node)], "percent": [None], "sigma": [None]}
    page.evaluate("(detail) => app.api.dispatchCustomEvent('reg.schedule', detail)", nothing)
    page.settle()
    assert words(page, node, "text.key") == ["flow", "SD"]

    run = {"schedules": [str(node), "999"], "percent": [0.0, 0.3, 0.6, 0.9], "sigma": [None, 5.0, 1.0, 0.1]}
    page.evaluate("(detail) => app.api.dispatchCustomEvent('reg.schedule', detail)", run)
    page.settle()
    assert_shows(page, node, dict(zip((0.0, 0.3, 0.6, 0.9), (1.0, 1.1923, 3.5, 5.9505), strict=True)).get, (0.3, 0.6))
    assert words(page, node, "text.key") == ["last run"]
    assert words(page, node, "circle.step title") == [
        "step 1 of 4: 0 %, sigma ∞, w 1",
        "step 2 of 4: 30 %, sigma 5, w 1.19",
        "step 3 of 4: 60 %, sigma 1, w 3.5",
        "step 4 of 4: 90 %, sigma 0.1, w 5.95",
    ]


def sampled(page: Page, schedules: dict[str, Any], last: str) -> dict[str, Any]:
    """A prompt that samples the playground model with the schedule of node `last`; node 10 shows the picture."""

    def node(kind: str, **inputs: Any) -> dict[str, Any]:
        return {"class_type": kind, "inputs": inputs}

    sampling = {"steps": 5, "cfg": 3.0, "sampler_name": "euler", "scheduler": "simple", "denoise": 1.0}
    sampling["seed"] = list(RENDERERS).index(page.renderer)  # what came from the cache has no steps
    sampling["control_after_generate"] = "fixed"
    return {
        "1": node("UNETLoader", unet_name="reg_playground_digits.safetensors", weight_dtype="default"),
        "2": node("REG_PlaygroundConditioning", classes="3"),
        "3": node("EmptySD3LatentImage", width=64, height=64, batch_size=1),
        **schedules,
        "7": node("REG_ApplySchedule", model=["1", 0], schedule=[last, 0]),
        "8": node("KSampler", model=["7", 0], positive=["2", 0], negative=["2", 1], latent_image=["3", 0], **sampling),
        "9": node("REG_PlaygroundDecode", samples=["8", 0], size=64),
        "10": node("PreviewImage", images=["9", 0]),
    }


def test_run_marks_its_steps_on_the_schedules(page: Page) -> None:
    schedules = {
        "4": {"class_type": "REG_ScheduleSNR", "inputs": {"cfg": 6.0, "spread": 1.0}},
        "5": {"class_type": "REG_ScheduleLinear", "inputs": {"start_cfg": 7.0, "end_cfg": 2.0}},
        "6": {
            "class_type": "REG_ScheduleCombine",
            "inputs": {"first": ["4", 0], "second": ["5", 0], "combine": "minimum", "switch_percent": 0.5},
        },
    }
    page.load_prompt(sampled(page, schedules, "6"))
    page.fit()
    page.run()
    ids = {n["type"]: n["id"] for n in page.saved()["nodes"]}
    snr, linear, combine = (ids[f"REG_Schedule{kind}"] for kind in ("SNR", "Linear", "Combine"))
    for one in (snr, linear, combine):
        assert len(words(page, one, "circle.step title")) == 5
    noise = [float(title.split("sigma ")[1].split(",")[0].replace("∞", "inf")) for title in words(page, snr, "title")]
    weights = [float(title.split("w ")[1]) for title in words(page, snr, "title")]
    assert noise == sorted(noise, reverse=True)
    assert weights == pytest.approx([SNR(6.0)(0.5, sigma) for sigma in noise], abs=0.02)
    assert words(page, snr, "text.key") == ["last run"]


def test_picture_follows_the_mouse_while_a_widget_is_dragged(page: Page) -> None:
    node = add(page, "REG_ScheduleConstant", {"cfg": 4.0})
    page.fit()
    if page.renderer == "classic":
        script = """(id) => {
          const node = app.graph.getNodeById(id)
          const box = app.canvas.canvas.getBoundingClientRect()
          const [x, y] = app.canvas.ds.convertOffsetToCanvas([
            node.pos[0] + node.size[0] / 2, node.pos[1] + node.widgets[0].y + 10])
          return [box.left + x, box.top + y]
        }"""
        x, y = page.evaluate(script, node)
    else:
        box = page.raw.locator(f'[data-node-id="{node}"] [data-testid=node-widget] input').first.bounding_box()
        assert box is not None
        x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.raw.mouse.move(x, y)
    page.raw.mouse.down()
    for i in range(1, 11):
        page.raw.mouse.move(x + 4 * i, y)
    page.settle()
    weight = page.evaluate("(id) => app.graph.getNodeById(id).widgets[0].value", node)
    assert weight > 4.05
    assert_shows(page, node, lambda _: weight)
    page.raw.mouse.up()


def test_combination_follows_its_parts(page: Page) -> None:
    linear = add(page, "REG_ScheduleLinear", {"start_cfg": 7.0, "end_cfg": 2.0})
    interval = add(page, "REG_ScheduleInterval", {"cfg": 2.0, "start_percent": 0.25, "end_percent": 0.75}, y=420)
    combine = add(page, "REG_ScheduleCombine", {"combine": "multiply"}, x=500)
    page.fit()
    assert words(page, combine, ".words") == ["Connect two schedules"]
    connect(page, linear, combine, "first")
    connect(page, interval, combine, "second")
    product = Combined(Linear(7.0, 2.0), Interval(2.0, 0.25, 0.75), "multiply")
    assert_shows(page, combine, lambda percent: product(percent, 1.0))
    assert words(page, combine, ".words") == [""]
    for part, schedule in {"second": product.first, "third": product.second}.items():
        xs, ys = zip(*shown(page, combine, f"path.line.faint.{part}"), strict=True)
        for percent in (0.1, 0.5, 0.9):
            assert np.interp(percent, xs, ys) == pytest.approx(schedule(percent, 1.0), abs=0.06)
    change = "(id) => { const w = app.graph.getNodeById(id).widgets[0]; w.value = 9; w.callback?.(9) }"
    page.evaluate(change, linear)
    page.settle()
    assert_shows(page, combine, lambda p: Combined(Linear(9.0, 2.0), product.second, "multiply")(p, 1.0))
    page.evaluate("(id) => app.graph.getNodeById(id).disconnectInput(0)", combine)
    page.settle()
    assert words(page, combine, ".words") == ["Connect two schedules"]


def test_loop_of_combinations_is_drawn_as_one_that_is_not_known(page: Page) -> None:
    """The host draws a loop of links, which cannot run."""
    first, second = (add(page, "REG_ScheduleCombine", x=x) for x in (100, 600))
    interval = add(page, "REG_ScheduleInterval", {"start_percent": 0.6, "end_percent": 0.4}, y=400)
    for source, target in ((first, second), (interval, first)):
        connect(page, source, target, "second")
    connect(page, second, first, "first")
    page.fit()
    assert words(page, first, ".words") == ["Linked: known only in the run"]
    assert words(page, second, ".words") == ["Connect two schedules"]
    assert words(page, interval, ".words") == ["Lower start_percent or raise end_percent"]


SAW = """async (scripts) => {
  const { COMBINATIONS, SCHEDULES } = await import(`${scripts}/schedules.mjs`)
  SCHEDULES.saw = {
    node: "SawSchedule", fields: { top: "cfg" }, weight: ({ top }, percent) => 1 + (top - 1) * ((2 * percent) % 1),
    corners: () => [0.5],
  }
  COMBINATIONS.mean = { weight: (first, second) => (first + second) / 2 }
  await app.registerNodeDef("SawSchedule", {
    name: "SawSchedule", display_name: "Saw", description: "", category: "test", python_module: "custom_nodes.test",
    input: { required: { cfg: ["FLOAT", { default: 5 }] } }, output_node: false,
    output: ["GUIDANCE_SCHEDULE"], output_name: ["schedule"], output_is_list: [false],
  })
}"""
NO_SAW = """async (scripts) => {
  const { COMBINATIONS, SCHEDULES } = await import(`${scripts}/schedules.mjs`)
  delete SCHEDULES.saw
  delete COMBINATIONS.mean
  LiteGraph.unregisterNodeType("SawSchedule")
}"""


def test_new_schedule_and_combination_are_one_row_each(page: Page) -> None:
    page.evaluate(SAW, SCRIPTS)
    try:
        saw = add(page, "SawSchedule", {"cfg": 9.0})
        constant = add(page, "REG_ScheduleConstant", {"cfg": 3.0}, y=400)
        combine = add(page, "REG_ScheduleCombine", {"combine": "mean"}, x=600)
        connect(page, saw, combine, "first")
        connect(page, constant, combine, "second")
        page.fit()
        percents = (0.0, 0.25, 0.499, 0.501, 0.75)
        assert_shows(page, saw, lambda percent: 1 + 8 * (2 * percent % 1), percents)
        assert_shows(page, combine, lambda percent: 2 + 4 * (2 * percent % 1), percents)
        page.screenshot("new schedule")
    finally:
        page.evaluate(NO_SAW, SCRIPTS)


def test_linked_weight_is_the_one_of_the_primitive(page: Page) -> None:
    schedule = add(page, "REG_ScheduleConstant", {"cfg": 4.0}, x=500)
    primitive = add(page, "PrimitiveFloat", {"value": 6.5})
    connect(page, primitive, schedule, "cfg")
    page.fit()
    assert_shows(page, schedule, lambda _: 6.5)
    only_the_run_knows = add(page, "SamplingPercentToSigma", y=400)
    connect(page, only_the_run_knows, schedule, "cfg")
    assert words(page, schedule, ".words") == ["Linked: known only in the run"]
    assert page.evaluate(READ, [schedule, LINE]) is None


def test_point_is_dragged_with_the_mouse_however_far_the_canvas_is_zoomed(page: Page) -> None:
    straight = {"points": [[0, 0], [0.4, 0.5], [1, 1]], "interpolation": "linear"}
    node = edited(page, {"curve": straight})
    zoom = """([id, scale, curve]) => {
      const node = app.graph.getNodeById(id)
      node.widgets[0].value = curve
      app.canvas.ds.scale = scale
      app.canvas.ds.offset = [500 / scale - node.pos[0], 250 / scale - node.pos[1]]
      app.canvas.setDirty(true, true)
    }"""
    where = (
        "(id) => JSON.stringify([[...app.graph.getNodeById(id).pos], app.canvas.ds.scale, [...app.canvas.ds.offset]])"
    )
    for scale in (0.5, 1.0, 2.0):
        page.evaluate(zoom, [node, scale, straight])
        page.settle()
        page.settle()
        before = page.evaluate(where, node)
        drag(page, centre(page, 1), place(page, 0.7, 0.25))
        points = points_in_prompt(page, node)
        assert points[0] == [0, 0] and points[2] == [1, 1]
        assert points[1] == pytest.approx([0.7, 0.25], abs=0.012 / scale)
        assert points[1] == [round(number, 3) for number in points[1]]
        assert page.evaluate(where, node) == before
        drag(page, centre(page, 1), place(page, 1.3, 1.4))  # no further than its neighbour, and not above the plot
        assert points_in_prompt(page, node)[1] == [0.999, 1]
        assert_shows(page, node, lambda percent: Curve(((0, 1), (0.999, 7), (1, 7)))(percent, 1.0))


def test_points_are_added_and_removed_with_the_mouse(page: Page) -> None:
    node = edited(page, {"curve": {"points": [[0, 0], [1, 1]], "interpolation": "linear"}})
    page.raw.mouse.click(*place(page, 0.3, 0.8))
    page.settle()
    assert points_in_prompt(page, node)[1] == pytest.approx([0.3, 0.8], abs=0.01)
    drag(page, place(page, 0.6, 0.3), place(page, 0.7, 0.5))  # a new point goes on with the mouse
    assert points_in_prompt(page, node)[2] == pytest.approx([0.7, 0.5], abs=0.01)
    page.raw.mouse.click(*centre(page, 1), button="right")
    page.settle()
    assert [x for x, _ in points_in_prompt(page, node)] == pytest.approx([0, 0.7, 1], abs=0.01)
    page.raw.mouse.dblclick(*place(page, 0.4, 0.9))  # adds one, and does not remove it at once
    page.settle()
    assert len(points_in_prompt(page, node)) == 4
    page.raw.wait_for_timeout(600)
    for left in (3, 2, 2):
        page.raw.mouse.dblclick(*centre(page, 0))
        page.settle()
        assert len(points_in_prompt(page, node)) == left
        page.raw.wait_for_timeout(600)
    assert words(page, node, ".state") == ["A curve needs at least two points."]


def test_curve_is_drawn_with_the_keyboard(page: Page) -> None:
    node = edited(page, {"curve": {"points": [[0, 0], [0.5, 0.5], [1, 1]], "interpolation": "linear"}})
    page.widget("reg-curve").locator(".handle").first.focus()
    press = page.raw.keyboard.press
    press("Tab")
    press("ArrowRight")
    press("ArrowUp")
    press("Shift+ArrowUp")
    page.settle()
    assert points_in_prompt(page, node) == [[0, 0], [0.51, 0.61], [1, 1]]
    assert words(page, node, ".state") == ["51 %, w 4.66"]
    press("Home")
    press("ArrowLeft")
    press("ArrowUp")
    press("End")
    press("ArrowDown")
    page.settle()
    assert points_in_prompt(page, node) == [[0, 0.01], [0.51, 0.61], [1, 0.99]]
    press("Insert")
    page.settle()
    assert points_in_prompt(page, node)[2] == [0.755, 0.8]
    press("Delete")
    press("Delete")
    page.settle()
    assert len(points_in_prompt(page, node)) == 2
    press("Delete")
    page.settle()
    assert len(points_in_prompt(page, node)) == 2
    assert page.evaluate("(id) => !!app.graph.getNodeById(id)", node), "Delete removed the node"
    labels = page.widget("reg-curve").locator(".handle").evaluate_all("(all) => all.map((h) => h.ariaLabel)")
    assert labels == ["Point 1 of 2", "Point 2 of 2"]


PRESETS = ["Constant", "Linear", "Cosine", "Interval", "SNR", "Late", "Early", "Mid"]


def test_presets_load_into_the_curve_and_stay_editable(page: Page) -> None:
    node = edited(page)
    menu = page.widget("reg-curve").locator("select")
    assert menu.locator("option").all_text_contents() == ["Presets", *PRESETS]
    seen = []
    for preset in PRESETS:
        menu.select_option(preset)
        page.settle()
        curve = curve_in_prompt(page, node)
        xs = [x for x, _ in curve["points"]]
        assert all(left < right for left, right in pairwise(xs)) and {xs[0], xs[-1]} == {0, 1}
        assert all(0 <= height <= 1 for _, height in curve["points"])
        assert curve not in seen
        seen.append(curve)
    drag(page, centre(page, 2), place(page, 0.35, 0.6))
    assert points_in_prompt(page, node)[2] == pytest.approx([0.35, 0.6], abs=0.01)
    page.widget("reg-curve").get_by_role("button", name="Linear").click()
    assert curve_in_prompt(page, node)["interpolation"] == "linear"
    page.widget("reg-curve").get_by_role("button", name="Smooth").click()
    assert curve_in_prompt(page, node)["interpolation"] == "monotone_cubic"


def test_undo_takes_back_one_edit_at_a_time(page: Page) -> None:
    node = edited(page, {"curve": {"points": [[0, 0], [0.5, 0.5], [1, 1]], "interpolation": "linear"}})
    capture = "() => app.extensionManager.workflow.activeWorkflow.changeTracker.captureCanvasState()"
    page.evaluate(capture)
    values = [curve_in_prompt(page, node)]
    drag(page, centre(page, 1), place(page, 0.7, 0.2))
    values.append(curve_in_prompt(page, node))
    page.widget("reg-curve").locator("select").select_option("Late")
    page.settle()
    values.append(curve_in_prompt(page, node))
    page.widget("reg-curve").locator(".handle").nth(1).focus()
    for _ in range(3):
        page.raw.keyboard.down("ArrowUp")  # held
    page.raw.keyboard.up("ArrowUp")
    page.settle()
    values.append(curve_in_prompt(page, node))
    assert all(left != right for left, right in pairwise(values))
    for value in values[-2::-1]:
        page.raw.keyboard.press("Control+z")
        assert_becomes(page, node, value)
        page.settle()
    assert_shows(page, node, lambda percent: 1 + 6 * percent)
    for value in values[1:]:
        page.raw.keyboard.press("Control+y")
        assert_becomes(page, node, value)


def test_value_is_kept_by_saving_pasting_and_the_other_renderer(page: Page) -> None:
    value = {"points": [[0.05, 0.1], [0.4, 1], [0.9, 0.3]], "interpolation": "linear"}
    node = edited(page, {"curve": value, "min_cfg": 2.0, "max_cfg": 9.0})
    combine = add(page, "REG_ScheduleCombine", {"combine": "maximum", "switch_percent": 0.3}, x=600)
    first = page.renderer
    for renderer in [*(other for other in RENDERERS if other != first), first]:
        page.use_renderer(renderer)
        page.fit()
        assert curve_in_prompt(page, node) == value
        assert_shows(page, node, lambda percent: Curve(((0.05, 2.7), (0.4, 9), (0.9, 4.1)))(percent, 1.0))
        drag(page, centre(page, 1), place(page, 0.4, 1))
        assert curve_in_prompt(page, node) == value
    saved = page.saved()
    (curve,) = [entry for entry in saved["nodes"] if entry["type"] == "REG_ScheduleCurve"]
    named = {"curve": value, "min_cfg": 2, "max_cfg": 9}
    assert curve.setdefault("widgets_values_named", named) == named  # which newer frontends write besides
    page.load(saved)
    page.fit()
    again = page.saved()

    def kept(workflow: dict[str, Any]) -> list[Any]:
        return sorted((str(node["id"]), node["widgets_values"]) for node in workflow["nodes"])

    def sizes(workflow: dict[str, Any]) -> dict[str, Any]:
        return {str(node["id"]): node["size"] for node in workflow["nodes"]}

    assert sizes(again) == sizes(saved)
    assert kept(again) == kept(saved) == [(node, [value, 2, 9]), (combine, ["maximum", 0.3])]
    page.evaluate(
        """(id) => {
      app.canvas.selectItems([app.graph.getNodeById(id)])
      app.canvas.copyToClipboard()
      app.canvas.pasteFromClipboard({})
    }""",
        node,
    )
    page.settle()
    curves = [n["widgets_values"] for n in page.saved()["nodes"] if n["type"] == "REG_ScheduleCurve"]
    assert curves == [[value, 2, 9]] * 2


def test_curve_of_the_hosts_editor_is_shown_and_not_edited(page: Page) -> None:
    node = edited(page)
    own = curve_in_prompt(page, node)
    editor = add(page, "CurveEditor", x=600)
    linked = {"points": [[0, 1], [0.5, 0.25], [1, 0]], "interpolation": "linear"}
    script = "([id, value]) => { app.graph.getNodeById(id).widgets.find((w) => w.name === 'curve').value = value }"
    page.evaluate(script, [editor, linked])
    connect(page, editor, node, "curve")
    page.fit()
    assert_shows(page, node, lambda percent: Curve(((0, 7), (0.5, 2.5), (1, 1)))(percent, 1.0))
    assert words(page, node, ".state") == ["linked: edit it at its source"]
    assert page.widget("reg-curve").locator(".handle").count() == 0
    page.raw.mouse.click(*place(page, 0.3, 0.8))
    assert curve_in_prompt(page, node) == [str(editor), 0]
    page.screenshot("linked curve")
    page.evaluate("(id) => { const n = app.graph.getNodeById(id); n.disconnectInput(n.findInputSlot('curve')) }", node)
    page.settle()
    assert curve_in_prompt(page, node) == own
    assert page.widget("reg-curve").locator(".handle").count() == len(own["points"])


def test_curve_inside_a_subgraph(page: Page) -> None:
    value = {"points": [[0, 0.1], [1, 0.9]], "interpolation": "linear"}
    node = edited(page, {"curve": value})
    combine = add(page, "REG_ScheduleCombine", x=600)
    connect(page, node, combine, "first")
    script = """(id) => {
      const { subgraph } = app.graph.convertToSubgraph(new Set([app.graph.getNodeById(id)]))
      app.canvas.setGraph(subgraph)
    }"""
    page.evaluate(script, node)
    page.settle()
    page.fit()
    drag(page, centre(page, 0), place(page, 0.2, 0.6))
    inner = [v for k, v in page.prompt().items() if v["class_type"] == "REG_ScheduleCurve"]
    assert inner[0]["inputs"]["curve"]["points"][0] == pytest.approx([0.2, 0.6], abs=0.01)
    page.evaluate("() => app.canvas.setGraph(app.rootGraph)")
    page.settle()
    xs, ys = zip(*shown(page, combine, "path.line.faint.second"), strict=True)
    assert np.interp(0.1, xs, ys) == pytest.approx(1 + 6 * 0.6, abs=0.1)


def test_combination_inside_a_subgraph_of_schedules_outside(page: Page) -> None:
    first, second = (
        add(page, "REG_ScheduleConstant", {"cfg": 3.0}),
        add(page, "REG_ScheduleConstant", {"cfg": 4.0}, y=500),
    )
    combine = add(page, "REG_ScheduleCombine", {"combine": "multiply"}, x=600)
    connect(page, first, combine, "first")
    connect(page, second, combine, "second")
    script = """(id) => {
      const { subgraph } = app.graph.convertToSubgraph(new Set([app.graph.getNodeById(id)]))
      app.canvas.setGraph(subgraph)
      return subgraph.nodes[0].id
    }"""
    inside = page.evaluate(script, combine)
    page.settle()
    page.fit()
    assert_shows(page, inside, lambda percent: 1 + (3 - 1) * (4 - 1))


def pixels(page: Page, node: str) -> Any:
    """The picture that a node shows after a run."""
    from PIL import Image

    (shown,) = page.evaluate("(id) => app.nodeOutputs[id].images", node)
    return np.asarray(Image.open(io.BytesIO(page.server.read(f"/view?{urlencode(shown)}"))))


def test_without_our_javascript_the_workflow_is_the_same(page: Page, browser: Browser) -> None:
    value = {"points": [[0, 0.1], [0.5, 0.7], [1, 0.9]], "interpolation": "linear"}
    page.load_prompt(
        sampled(page, {"4": {"class_type": "REG_ScheduleCurve", "inputs": {"min_cfg": 2.0, "max_cfg": 7.0}}}, "4")
    )
    page.evaluate("(value) => { app.graph.getNodeById('4').widgets[0].value = value }", value)
    add(page, "REG_ScheduleInterval", {"cfg": 3.0}, x=600)
    saved = page.saved()
    page.run()
    other = Page(browser, page.server)
    try:
        other.raw.route(f"**/extensions/{PACK_NAME}/**", lambda route: route.abort())
        other.open(page.renderer)
        other.load(saved)
        types = "(kind) => app.graph.nodes.find((node) => node.type === kind).widgets.map((widget) => widget.type)"
        assert other.evaluate(types, "REG_ScheduleCurve") == ["curve", "number", "number"]
        assert other.evaluate(types, "REG_ScheduleInterval") == ["number", "number", "number"]
        for one, again in zip(saved["nodes"], other.saved()["nodes"], strict=True):
            assert (one.get("widgets_values") or []) == (again.get("widgets_values") or [])
            assert [slot["name"] for slot in one["inputs"]] == [slot["name"] for slot in again["inputs"]]
        prompt = other.prompt()
        sent = prompt["4"]["inputs"]
        sent["curve"] = sent["curve"].get("__value__", sent["curve"])  # newer frontends wrap it
        assert prompt == page.prompt()
        other.run()
        np.testing.assert_array_equal(pixels(other, "10"), pixels(page, "10"))
    finally:
        other.close()


def test_fifty_nodes_draw_nothing_while_nothing_changes(page: Page) -> None:
    kinds = [
        f"REG_Schedule{kind}" for kind in ("Constant", "Linear", "Cosine", "Interval", "SNR", "Exponential", "Curve")
    ]
    for i in range(50):
        page.evaluate(ADD, [kinds[i % len(kinds)], {}, 100 + 300 * (i % 10), 100 + 400 * (i // 10)])
    page.fit()
    page.settle()
    script = """async () => {
      let changes = 0
      const count = new MutationObserver((records) => { changes += records.length })
      for (const node of app.graph.nodes) {
        const { element } = node.widgets.find((widget) => widget.type.startsWith("REG_"))
        count.observe(element.shadowRoot, { subtree: true, childList: true, attributes: true, characterData: true })
      }
      for (let i = 0; i < 20; i++) {
        app.canvas.setDirty(true, true)
        await new Promise(requestAnimationFrame)
      }
      const idle = changes
      const widget = app.graph.nodes[0].widgets[0]
      widget.value = 9
      widget.callback?.(9)
      for (let i = 0; i < 3; i++) await new Promise(requestAnimationFrame)
      count.disconnect()
      const touched = app.graph.nodes.filter((node) => node.widgets[0].value === 9).length
      return [idle, changes > idle, touched]
    }"""
    assert page.evaluate(script) == [0, True, 1]


def test_pictures(page: Page) -> None:
    """To be looked at: every schedule node, with a run, in both themes."""
    ids = {}
    for i, (kind, values) in enumerate(
        [
            ("Constant", {"cfg": 4.0}),
            ("Linear", {"start_cfg": 7.0, "end_cfg": 2.0}),
            ("Cosine", {"cfg": 5.0, "power": 2.0}),
            ("Interval", {"cfg": 2.0, "start_percent": 0.2, "end_percent": 0.7}),
            ("SNR", {"cfg": 6.0}),
            ("Curve", {}),
            ("Combine", {"combine": "multiply"}),
            ("Combine", {"combine": "join"}),
        ]
    ):
        ids[i] = add(page, f"REG_Schedule{kind}", values, x=100 + 330 * (i % 4), y=100 + 380 * (i // 4))
    connect(page, ids[4], ids[6], "first")
    connect(page, ids[3], ids[6], "second")
    percent = [i / 12 for i in range(12)]
    run = {"percent": percent, "sigma": [None, *((1 - p) / p for p in percent[1:])]}
    detail = {"schedules": [str(ids[1]), str(ids[5])], **run}
    page.evaluate("(detail) => app.api.dispatchCustomEvent('reg.schedule', detail)", detail)
    page.fit()
    page.widget("reg-curve").locator(".handle").nth(1).focus()
    for theme in ("dark", "light"):
        page.use_theme(theme)
        page.screenshot(f"schedules {theme}")
    page.use_theme("dark")
