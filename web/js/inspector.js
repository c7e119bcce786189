/** REG_Inspector: what REG does, drawn in the node while the sampler runs, and kept with the result. */

import { app } from "../../../scripts/app.js"
import { api } from "../../../scripts/api.js"
import { Chart, niceTicks, readable } from "./chart.mjs"
import { nodeOf } from "./graph.mjs"
import { addPanel, makeRoom, panel, remount } from "./panel.mjs"
import { isOpen, resultHooks, runningWorkflow } from "./results.mjs"

const NODE = "REG_Inspector"
const NAME = "reg-inspector"
const HEIGHT = 284
const CHART = 114
const WIDTH = 360
const RECTIFIED = ["taken", "carried", "pure noise"]
const SKIPPED = { outside: "outside the range", unguided: "no guidance", unusable: "factor not usable: plain CFG" }

/**
 * @typedef {object} Step one evaluation of the sampler, as Python sends it; any number may be null
 * @property {number} percent
 * @property {string} state
 * @property {number | null} weight
 * @property {number | null} effective
 * @property {number | null} mean
 * @property {number | null} low
 * @property {number | null} high
 * @property {number | null} min
 * @property {number | null} max
 * @property {number | null} before
 * @property {number | null} after
 * @property {number | null} seconds
 * @typedef {{steps: Step[], total: number, sentence: string}} Trace
 */

/** What the lower chart can show: name of its tab, legend, and how it is drawn. */
const TABS = [
  {
    name: "Weight",
    says: "Guidance weight that was asked for, and the weight that plain CFG would need for as much guidance.",
    legend: [["solid main", "effective"], ["dashed second", "asked"]],
    values: (step) => [step.weight, step.effective],
    draw(chart, steps) {
      chart.line(steps.map((step) => [step.percent, step.weight]), "dashed second")
      chart.line(steps.map((step) => [step.percent, step.effective]), "main")
      chart.dots(...dots(steps, "effective", "main"))
    },
  },
  {
    name: "Guidance",
    says: "Size of the guidance (conditional minus unconditional, root mean square) before and after REG.",
    legend: [["solid main", "after"], ["dashed second", "before"]],
    values: (step) => [step.before, step.after, 0],
    draw(chart, steps) {
      chart.line(steps.map((step) => [step.percent, step.before]), "dashed second")
      chart.line(steps.map((step) => [step.percent, step.after]), "main")
      chart.dots(...dots(steps, "after", "main"))
    },
  },
  {
    name: "Time",
    says: "Seconds that each step took.",
    legend: [["box third", "seconds a step"]],
    values: (step) => [step.seconds, 0],
    draw(chart, steps) {
      const titles = steps.map((step) => `${title(step)}: ${readable(step.seconds)} s`)
      chart.bars(steps.map((step) => [step.percent, step.seconds]), 0.7 * spacing(steps), "third", titles)
    },
  },
]

class InspectorView {
  /** @param {object} node */
  constructor(node) {
    this.node = node
    const { element, card } = panel(NAME, STYLE)
    this.element = element
    card.innerHTML = `
      <div class="part factor"><div class="strip end"><span class="legend">${legend([
        ["solid main", "mean"],
        ["box main", "90 % of places"],
        ["solid thin main", "extremes"],
      ])}</span></div></div>
      <div class="part lower"><div class="strip">
        <div role="tablist" aria-label="Lower chart"></div><span class="legend"></span></div></div>
      <p role="status" data-capture-wheel="true"></p>`
    this.sentence = card.querySelector("p")
    const shared = { height: CHART, digits: 4 } // the same room for numbers, so that a step stands above itself
    this.factor = new Chart(card.querySelector(".factor"), { ...shared, yLabel: "Factor (1 is CFG)", y: [0, 1] })
    this.lower = new Chart(card.querySelector(".lower"), { ...shared, y: [0, 8] })
    this.legend = card.querySelector(".lower .legend")
    this.tabs = TABS.map((tab, index) => this.makeTab(tab, index))
    card.querySelector("[role=tablist]").append(...this.tabs)
    this.tab = 0
    this.frame = 0
    /** @type {Trace} */
    this.trace = { steps: [], total: 0, sentence: "" }
    this.choose(0)
    const widget = addPanel(node, "reg_trace", "REG_INSPECTOR", element, HEIGHT, { serialize: false })
    widget.serialize = false
    makeRoom(node)
  }

  /** @param {Trace} trace */
  show(trace) {
    this.trace = trace
    this.redraw()
  }

  makeTab(tab, index) {
    const button = document.createElement("button")
    button.type = "button"
    button.role = "tab"
    button.textContent = tab.name
    button.title = tab.says
    button.addEventListener("click", () => this.choose(index))
    button.addEventListener("keydown", (event) => {
      const move = { ArrowRight: 1, ArrowLeft: -1 }[event.key]
      if (!move) return
      event.preventDefault()
      event.stopPropagation() // the host moves nodes with the arrow keys
      const next = (index + move + TABS.length) % TABS.length
      this.choose(next)
      this.tabs[next].focus()
    })
    return button
  }

  choose(index) {
    this.tab = index
    this.tabs.forEach((button, i) => {
      button.ariaSelected = String(i === index)
      button.tabIndex = i === index ? 0 : -1
    })
    this.legend.innerHTML = legend(TABS[index].legend)
    this.redraw()
  }

  /** Draws once a frame, however many steps arrive. */
  redraw() {
    this.frame ||= requestAnimationFrame(() => {
      this.frame = 0
      this.draw()
    })
  }

  draw() {
    remount(this.node, this.element, NAME)
    const steps = this.trace.steps.filter(Boolean).sort((a, b) => a.percent - b.percent)
    const tab = TABS[this.tab]
    for (const chart of [this.factor, this.lower]) {
      chart.clear()
      shadeSkipped(chart, steps)
    }
    drawFactor(this.factor, steps)
    const values = steps.flatMap(tab.values).filter(known)
    if (values.length) this.lower.setRange({ y: [Math.min(...values), Math.max(...values)] })
    tab.draw(this.lower, steps)
    this.describe(steps, tab)
  }

  describe(steps, tab) {
    const { total, sentence, stopped } = this.trace
    const of = total ? ` of ${total}` : ""
    if (sentence) this.sentence.textContent = sentence
    else if (!steps.length) this.sentence.textContent = "Run the workflow: every step of the sampler appears here."
    else this.sentence.textContent = `${stopped ? "Stopped at step" : "Step"} ${steps.length}${of}`
    this.sentence.className = sentence ? "" : "dim"
    this.sentence.title = sentence
    const means = steps.map((step) => step.mean).filter(known)
    const range = means.length ? `, mean from ${readable(Math.min(...means))} to ${readable(Math.max(...means))}` : ""
    this.factor.describe(`Factor of REG over the run: ${steps.length}${of} steps${range}`)
    this.lower.describe(`${tab.name} over the run: ${tab.says}`)
  }
}

/** The band of the factor; extremes that would flatten it are cut off at the edge. */
function drawFactor(chart, steps) {
  const band = steps.flatMap((step) => [step.low, step.high, step.mean]).filter(known)
  const [low, high] = [Math.min(0, ...band), Math.max(1, ...band)]
  const reach = Math.max(0.1, 0.35 * (high - low))
  const extremes = steps.flatMap((step) => [step.min, step.max]).filter(known)
  const inside = (value) => Math.min(high + reach, Math.max(low - reach, value))
  const y = [Math.min(low, ...extremes.map(inside)), Math.max(high, ...extremes.map(inside))]
  const [first, second] = niceTicks(...y, 6)
  const step = second - first
  chart.setRange({ y: [Math.floor(y[0] / step) * step, Math.ceil(y[1] / step) * step], exact: true })
  chart.line([[0, 1], [1, 1]], "dashed thin dim")
  if (!steps.length) return
  chart.line(steps.map((step) => [step.percent, step.min]), "thin faint main")
  chart.line(steps.map((step) => [step.percent, step.max]), "thin faint main")
  chart.band(steps.map((step) => [step.percent, step.low, step.high]), "main")
  chart.line(steps.map((step) => [step.percent, step.mean]), "main")
  chart.dots(...dots(steps.filter((step) => step.state !== "carried"), "mean", "main"))
  chart.dots(...dots(steps.filter((step) => step.state === "carried"), "mean", "hollow main"))
}

/** Shades the steps that were not rectified, each up to halfway to its neighbours. */
function shadeSkipped(chart, steps) {
  steps.forEach((step, i) => {
    if (RECTIFIED.includes(step.state)) return
    const from = i ? (steps[i - 1].percent + step.percent) / 2 : Math.min(step.percent, 0)
    const to = i + 1 < steps.length ? (step.percent + steps[i + 1].percent) / 2 : step.percent + spacing(steps) / 2
    const className = step.state === "unusable" ? "warn" : "dim"
    chart.shade(from, Math.min(1, to), className, `${title(step)}: ${SKIPPED[step.state] ?? step.state}`)
  })
}

/** Points, class and titles of the dots of one number of the steps. */
function dots(steps, name, className) {
  const titles = steps.map((step) => {
    const change = known(step.change) ? `, guidance changed by ${readable(100 * step.change)} %` : ""
    return `${title(step)}: ${readable(step[name])} (${step.state}${change})`
  })
  return [steps.map((step) => [step.percent, step[name]]), className, titles]
}

const title = (step) => `At ${readable(100 * step.percent)} %`

const known = (value) => Number.isFinite(value)

/** The usual distance between two steps. */
function spacing(steps) {
  const gaps = steps.slice(1).map((step, i) => step.percent - steps[i].percent).filter((gap) => gap > 0)
  return gaps.sort((a, b) => a - b)[gaps.length >> 1] ?? 0.05
}

const legend = (entries) => entries.map(([style, words]) => `<i class="key ${style}"></i>${words}`).join(" ")

const STYLE = `
  .card { height: ${HEIGHT}px; overflow: hidden; padding: 4px 6px 0; }
  .part { position: relative; }
  .lower { margin-top: 7px; }
  .strip { position: absolute; inset: -4px 14px auto 4px; height: 16px; display: flex; gap: 8px; align-items: center;
    justify-content: space-between; font-size: 10px; color: var(--reg-dim); pointer-events: none; white-space: nowrap; }
  .strip.end { justify-content: end; }
  .key { display: inline-block; width: 14px; margin: 0 4px 3px 8px; border-top: 2px solid currentColor; }
  .key.dashed { border-top-style: dashed; }
  .key.thin { border-top-width: 1px; opacity: 0.6; }
  .key.box { height: 8px; width: 10px; margin-bottom: -1px; border: 0; opacity: 0.45; background: currentColor; }
  [role=tablist] { display: flex; gap: 2px; pointer-events: auto; }
  [role=tab] { all: unset; padding: 0 7px; border-radius: 4px; line-height: 15px; cursor: pointer; color: var(--reg-dim); }
  [role=tab]:hover { color: var(--reg-ink); }
  [role=tab][aria-selected=true] { color: var(--reg-ink); background: color-mix(in srgb, var(--reg-ink) 12%, transparent); }
  [role=tab]:focus-visible { outline: 2px solid var(--reg-main); outline-offset: -1px; }
  p { margin: 4px 4px 0; max-height: 41px; overflow-y: auto; user-select: text; }
  p.dim { color: var(--reg-dim); }
`

/** @type {WeakMap<object, InspectorView>} */
const views = new WeakMap()

const WAITING = "not asked yet"

/** Runs whose result is not there yet. @type {Map<string, object>} */
const runs = new Map()

function showRun(run) {
  if (!isOpen(run.workflow)) return
  for (const id of run.inspectors) views.get(nodeOf(id))?.show(run)
}

function showRuns() {
  for (const run of runs.values()) showRun(run)
}

api.addEventListener("reg.step", async ({ detail }) => {
  let run = runs.get(detail.run)
  if (!run || detail.index === 0) {
    for (const [key, former] of runs) {
      if (former.inspectors.some((id) => detail.inspectors.includes(id))) runs.delete(key)
    }
    run = { steps: [], total: 0, sentence: "", inspectors: detail.inspectors, workflow: WAITING }
    runs.set(detail.run, run)
    run.steps[detail.index] = detail.step
    run.workflow = await runningWorkflow()
  }
  run.steps[detail.index] = detail.step
  run.total = detail.total
  showRun(run)
})

api.addEventListener("executed", ({ detail }) => {
  const id = String(detail.display_node || detail.node)
  for (const [key, run] of runs) {
    run.inspectors = run.inspectors.filter((other) => other !== id)
    if (!run.inspectors.length) runs.delete(key)
  }
})

for (const end of ["execution_interrupted", "execution_error"]) {
  api.addEventListener(end, () => {
    for (const run of runs.values()) run.stopped = true
    showRuns()
  })
}

const hooks = resultHooks(NODE, "reg_trace", (node, output) => {
  views.get(node)?.show(output.reg_trace[0])
})

app.registerExtension({
  name: "REG.Inspector",
  nodeCreated(node) {
    if (node.comfyClass !== NODE) return
    views.set(node, new InspectorView(node))
    if (node.size[0] < WIDTH) node.setSize([WIDTH, node.size[1]])
  },
  afterConfigureGraph() {
    hooks.afterConfigureGraph()
    showRuns() // what is still running is newer than any result
  },
  onNodeOutputsUpdated(outputs) {
    hooks.onNodeOutputsUpdated(outputs)
    showRuns()
  },
})
