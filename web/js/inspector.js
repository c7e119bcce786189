/** REG_Inspector: what REG does, drawn in the node while the sampler runs, and kept with the result. */

import { api } from "../../../scripts/api.js"
import { app } from "../../../scripts/app.js"
import { Chart } from "./chart.mjs"
import { CONDITIONAL, EXTRAPOLATED, STEP_EVENT, TRACE_RESULT, UNUSABLE } from "./contract.mjs"
import { nodeOf } from "./graph.mjs"
import { extent, finite, isNumber, niceTicks, readable } from "./numbers.mjs"
import { addPanel, makeRoom, panel, part, remount } from "./panel.mjs"
import { keep, replace } from "./replacement.mjs"
import { isOpen, resultHooks, runningWorkflow } from "./results.mjs"
import { readStep, readTrace, withoutFactor } from "./trace.mjs"

const NODE = "REG_Inspector"
const NAME = "reg-inspector"
const HEIGHT = 288
const MAKE = "Puts a schedule of what REG has measured in the place of REG, at no cost. Undo brings REG back."
const CHART = 114
const WIDTH = 360
const DIGITS = 4 // characters that the numbers at the left have room for, at least
const SHADES = 60 // how many groups of steps are shaded apart, at most
const REST = 99 // times as long as a drawing took: drawing takes 1 % of the time of a run, however long it is
const LONGEST_REST = 1000 // ms

/** @typedef {import("./chart.mjs").Point} Point */
/** @typedef {import("./chart.mjs").Title} Title */
/** @typedef {import("./trace.mjs").Step} Step */
/** @typedef {import("./trace.mjs").Trace} Trace */
/** @typedef {import("./contract.mjs").Column} Column */

/**
 * @typedef {object} Tab
 * @property {string} name
 * @property {string} says
 * @property {Record<string, string>} legend words by the style of what they stand for
 * @property {(step: Step) => (number | null)[]} values what the axis reaches over
 * @property {(chart: Chart, steps: Step[]) => void} draw
 */

/** What the lower chart can show. @type {Tab[]} */
const TABS = [
  {
    name: "Weight",
    says: "The weight that was asked for, and the weight at which plain CFG would guide as strongly.",
    legend: { "solid main": "effective", "dashed second": "asked" },
    values: (step) => [step.weight, step.effective],
    draw(chart, steps) {
      chart.line(points(steps, "weight"), "dashed second")
      chart.line(points(steps, "effective"), "main")
      chart.dots(...dots(steps, "effective", "main"))
    },
  },
  {
    name: "Guidance",
    says: "Size of the guidance (conditional minus unconditional, root mean square) before and after REG.",
    legend: { "solid main": "after", "dashed second": "before" },
    values: (step) => [step.before, step.after, 0],
    draw(chart, steps) {
      chart.line(points(steps, "before"), "dashed second")
      chart.line(points(steps, "after"), "main")
      chart.dots(...dots(steps, "after", "main"))
    },
  },
  {
    name: "Time",
    says: "Seconds per step.",
    legend: { "box third": "seconds per step" },
    values: (step) => [step.seconds, 0],
    draw(chart, steps) {
      const say = (/** @type {number} */ i) => `${title(steps[i])}: ${readable(steps[i].seconds)} s`
      chart.bars(points(steps, "seconds"), 0.7 * spacing(steps), "third", say)
    },
  },
]

const FACTOR_LEGEND = { "solid main": "mean", "box main": "90 % of places", "solid thin main": "extremes" }

class InspectorView {
  /** @param {LGraphNode} node */
  constructor(node) {
    this.node = node
    const { element, card } = panel(NAME, STYLE)
    this.element = element
    card.innerHTML = `
      <div class="part factor"><div class="strip end"><span class="legend">${legend(FACTOR_LEGEND)}</span></div></div>
      <div class="part lower"><div class="strip">
        <div role="tablist" aria-label="Lower chart"></div><span class="legend"></span></div></div>
      <div class="foot"><p role="status" data-capture-wheel="true"></p>
        <button class="make" type="button" title="${MAKE}" hidden>Make schedule</button></div>`
    this.sentence = part(card, "p", HTMLElement)
    this.make = part(card, ".make", HTMLButtonElement)
    this.make.addEventListener("click", () => this.makeSchedule())
    this.make.addEventListener("keydown", (event) => event.stopPropagation()) // keys here are no shortcuts of the host
    const shared = { height: CHART, digits: DIGITS }
    this.factor = new Chart(part(card, ".factor", HTMLElement), { ...shared, yLabel: "Factor (1 is CFG)", y: [0, 1] })
    this.lower = new Chart(part(card, ".lower", HTMLElement), { ...shared, y: [0, 8] })
    this.legend = part(card, ".lower .legend", HTMLElement)
    this.tabs = TABS.map((tab, index) => this.makeTab(tab, index))
    part(card, "[role=tablist]", HTMLElement).append(...this.tabs)
    this.tab = 0
    this.frame = 0
    this.timer = 0
    this.restUntil = 0
    /** @type {Trace} */
    this.trace = { steps: [], total: 0, sentence: "", source: "", curve: "", weight: 1 }
    this.choose(0)
    const widget = addPanel(node, "reg_trace", "REG_INSPECTOR", element, HEIGHT, { serialize: false })
    widget.serialize = false
    makeRoom(node)
  }

  /** @param {Trace} trace */
  show(trace) {
    this.trace = trace
    keep(trace)
    this.redraw()
  }

  makeSchedule() {
    const sentence = replace(this.trace, this.node)
    this.trace = { ...this.trace, sentence, curve: "" } // it is made
    this.redraw()
  }

  /** Shows a trace that grows, or what was added to it, as soon as the last drawing has rested. @param {Trace} trace */
  follow(trace) {
    this.trace = trace
    this.timer ||= window.setTimeout(() => {
      this.timer = 0
      this.redraw()
    }, this.restUntil - performance.now())
  }

  /** @param {Tab} tab @param {number} index */
  makeTab(tab, index) {
    const button = document.createElement("button")
    button.type = "button"
    button.role = "tab"
    button.textContent = tab.name
    button.title = tab.says
    button.addEventListener("click", () => this.choose(index))
    button.addEventListener("keydown", (event) => {
      const move = event.key === "ArrowRight" ? 1 : event.key === "ArrowLeft" ? -1 : 0
      if (!move) return
      event.preventDefault()
      event.stopPropagation() // the host moves nodes with the arrow keys
      const next = (index + move + TABS.length) % TABS.length
      this.choose(next)
      this.tabs[next].focus()
    })
    return button
  }

  /** @param {number} index of a tab */
  choose(index) {
    this.tab = index
    this.tabs.forEach((button, i) => {
      button.ariaSelected = String(i === index)
      button.tabIndex = i === index ? 0 : -1
    })
    this.legend.innerHTML = legend(TABS[index].legend)
    this.redraw()
  }

  /** Draws once, before the next frame. */
  redraw() {
    this.frame ||= requestAnimationFrame(() => {
      this.frame = 0
      this.draw()
    })
  }

  draw() {
    const began = performance.now()
    remount(this.node, this.element, NAME)
    const steps = Object.values(this.trace.steps).sort((a, b) => a.percent - b.percent)
    const tab = TABS[this.tab]
    for (const chart of [this.factor, this.lower]) {
      chart.clear()
      shadeSkipped(chart, steps)
    }
    drawFactor(this.factor, steps)
    const range = extent(steps.flatMap(tab.values))
    if (isNumber(range[0])) this.lower.setRange({ y: range })
    tab.draw(this.lower, steps)
    this.describe(steps, tab)
    // The same room for the numbers of both, so that a step stands above itself.
    this.factor.digits = this.lower.digits = Math.max(DIGITS, this.factor.longest, this.lower.longest)
    for (const chart of [this.factor, this.lower]) chart.draw()
    const now = performance.now()
    this.restUntil = now + Math.min(LONGEST_REST, REST * (now - began))
  }

  /** @param {Step[]} steps @param {Tab} tab */
  describe(steps, tab) {
    const { total, sentence, stopped } = this.trace
    const of = total ? ` of ${total}` : ""
    const broken = steps.filter((step) => step.state === UNUSABLE).length
    const but = broken ? `, ${broken} broken` : ""
    if (sentence) this.sentence.textContent = sentence
    else if (!steps.length) this.sentence.textContent = "Run the workflow: every step of the sampler appears here."
    else this.sentence.textContent = `${stopped ? "Stopped at step" : "Step"} ${steps.length}${of}${but}`
    this.sentence.className = sentence ? "" : "dim"
    this.sentence.title = sentence
    this.make.hidden = !this.trace.curve
    const [low, high] = extent(steps.map((step) => step.mean))
    const range = isNumber(low) ? `, mean from ${readable(low)} to ${readable(high)}` : ""
    this.factor.describe(`Factor of REG over the run: ${steps.length}${of} steps${but}${range}`)
    this.lower.describe(`${tab.name} over the run: ${tab.says}`)
  }
}

/** How the dots of the factor tell what came of a step: by their class, the steps that have it. */
const DOTS = /** @type {[string, (step: Step) => boolean][]} */ ([
  ["main", ({ state }) => state !== EXTRAPOLATED && state !== CONDITIONAL],
  ["hollow main", ({ state }) => state === EXTRAPOLATED],
  ["hollow third", ({ state }) => state === CONDITIONAL],
])

/**
 * The band of the factor; extremes that would flatten it are cut off at the edge.
 * @param {Chart} chart
 * @param {Step[]} steps
 */
function drawFactor(chart, steps) {
  const [low, high] = extent([0, 1, ...steps.flatMap((step) => [step.low, step.high, step.mean])])
  const reach = Math.max(0.1, 0.35 * (high - low))
  const [least, most] = extent([low, high, ...steps.flatMap((step) => [step.min, step.max])])
  const [foot, head] = [Math.max(low - reach, least), Math.min(high + reach, most)]
  const [first, second] = niceTicks(foot, head, 6)
  const step = second - first
  chart.setRange({ y: [Math.floor(foot / step) * step, Math.ceil(head / step) * step], exact: true })
  chart.level(1, "dashed thin dim")
  if (!steps.length) return
  chart.line(points(steps, "min"), "thin faint main")
  chart.line(points(steps, "max"), "thin faint main")
  chart.band(steps.map(({ percent, low, high }) => [percent, low, high]))
  chart.line(points(steps, "mean"), "main")
  for (const [className, has] of DOTS) chart.dots(...dots(steps.filter(has), "mean", className))
}

/**
 * Shades the steps without a factor, each up to halfway to its neighbours, and puts a cross on the broken ones.
 * @param {Chart} chart
 * @param {Step[]} steps
 */
function shadeSkipped(chart, steps) {
  const half = spacing(steps) / 2
  for (const [why, first, last] of stretches(steps)) {
    const [start, end] = [steps[first].percent, steps[last].percent]
    const from = first ? (steps[first - 1].percent + start) / 2 : Math.min(start, 0)
    const to = last + 1 < steps.length ? (end + steps[last + 1].percent) / 2 : end + half
    const broken = steps[first].state === UNUSABLE
    const where = first === last ? title(steps[first]) : `From ${readable(100 * start)} % to ${readable(100 * end)} %`
    const words = `${where}: ${why}`
    chart.shade(from, Math.min(1, to), broken ? "warn" : "dim", words)
    if (broken) chart.cross((start + end) / 2, "warn", words)
  }
}

/**
 * The steps without a factor, by the reason why, with the first and last of them. Many steps are put into groups, in
 * which a stretch reaches from the first to the last step of its kind.
 * @param {Step[]} steps
 * @returns {[string, number, number][]}
 */
function stretches(steps) {
  const size = Math.ceil(steps.length / SHADES)
  /** @type {[string, number, number][]} */
  const found = []
  for (let start = 0; start < steps.length; start += size) {
    const kinds = new Map()
    for (let i = start; i < Math.min(steps.length, start + size); i++) {
      const why = withoutFactor(steps[i])
      if (why) kinds.set(why, [kinds.get(why)?.[0] ?? i, i])
    }
    for (const [why, [first, last]] of kinds) found.push([why, first, last])
  }
  return found
}

/** One number of the steps, over the run. @param {Step[]} steps @param {Column} name @returns {Point[]} */
function points(steps, name) {
  return steps.map((step) => [step.percent, step[name]])
}

/**
 * Points, class and words of the dots of one number of the steps.
 * @param {Step[]} steps
 * @param {Column} name
 * @param {string} className
 * @returns {[Point[], string, Title]}
 */
function dots(steps, name, className) {
  /** @type {Title} */
  const say = (i) => {
    const { state, change, [name]: value } = steps[i]
    const changed = isNumber(change) ? `, guidance changed by ${readable(100 * change)} %` : ""
    const how = state === CONDITIONAL ? "without the negative prompt" : state
    return `${title(steps[i])}: ${readable(value)} (${how}${changed})`
  }
  return [points(steps, name), className, say]
}

/** @param {Step} step */
const title = (step) => `At ${readable(100 * step.percent)} %`

/** The usual distance between two steps. @param {Step[]} steps */
function spacing(steps) {
  const all = steps.slice(1).map((step, i) => step.percent - steps[i].percent)
  const gaps = all.filter((gap) => gap > 0).sort((a, b) => a - b)
  return gaps[gaps.length >> 1] ?? 0.05
}

/** @param {Record<string, string>} entries words by the style of what they stand for */
function legend(entries) {
  return Object.entries(entries)
    .map(([style, words]) => `<i class="key ${style}"></i>${words}`)
    .join(" ")
}

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
  [role=tab] { all: unset; padding: 0 7px; border-radius: 4px; line-height: 15px; cursor: pointer;
    color: var(--reg-dim); }
  [role=tab]:hover { color: var(--reg-ink); }
  [role=tab][aria-selected=true] { color: var(--reg-ink);
    background: color-mix(in srgb, var(--reg-ink) 12%, transparent); }
  [role=tab]:focus-visible { outline: 2px solid var(--reg-main); outline-offset: -1px; }
  .foot { display: flex; gap: 6px; align-items: start; margin-top: 4px; }
  .make { all: unset; flex: none; padding: 2px 8px; border-radius: 4px; cursor: pointer; white-space: nowrap;
    background: color-mix(in srgb, var(--reg-ink) 12%, transparent); }
  .make[hidden] { display: none; }
  .make:hover { background: color-mix(in srgb, var(--reg-ink) 20%, transparent); }
  .make:focus-visible { outline: 2px solid var(--reg-main); outline-offset: -1px; }
  p { flex: 1; margin: 0 4px; max-height: 45px; overflow-y: auto; user-select: text; }
  p.dim { color: var(--reg-dim); }
`

/** @type {WeakMap<LGraphNode, InspectorView>} */
const views = new WeakMap()

const WAITING = "not asked yet"

/**
 * @typedef {Trace & {inspectors: string[], workflow: string | null}} Run its steps may have gaps, and come in any order
 */

/** Runs whose result is not there yet. @type {Map<string, Run>} */
const runs = new Map()

/** The views of a run that are on the open workflow. @param {Run} run */
function viewsOf(run) {
  const nodes = isOpen(run.workflow) ? run.inspectors.map(nodeOf) : []
  return nodes.flatMap((node) => (node && views.get(node)) ?? [])
}

function showRuns() {
  for (const run of runs.values()) for (const view of viewsOf(run)) view.show(run)
}

/**
 * A run in the place of any that its inspectors have shown.
 * @param {string} key
 * @param {string[]} inspectors
 * @returns {Run}
 */
function begin(key, inspectors) {
  for (const [other, former] of runs) {
    if (former.inspectors.some((id) => inspectors.includes(id))) runs.delete(other)
  }
  /** @type {Run} */
  const run = { steps: [], total: 0, sentence: "", source: "", curve: "", weight: 1, inspectors, workflow: WAITING }
  runs.set(key, run)
  return run
}

api.addEventListener(STEP_EVENT, async ({ detail }) => {
  /** @type {import("./contract.mjs").SentSteps} */
  const { run: key, inspectors, index, total, steps } = detail ?? {}
  if (![inspectors, steps].every(Array.isArray) || !Number.isInteger(index) || index < 0) return
  const former = index > 0 ? runs.get(key) : undefined
  const run = former ?? begin(key, inspectors)
  run.total = finite(total) ?? 0
  for (const [offset, step] of steps.entries()) run.steps[index + offset] = readStep(step, index + offset, run.total)
  if (!former) run.workflow = await runningWorkflow()
  for (const view of viewsOf(run)) view.follow(run)
})

api.addEventListener("executed", ({ detail }) => {
  const id = String(detail?.display_node || detail?.node)
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

const hooks = resultHooks(NODE, TRACE_RESULT, (node, output) => {
  const trace = readTrace(output[TRACE_RESULT][0])
  if (trace) views.get(node)?.show(trace)
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
