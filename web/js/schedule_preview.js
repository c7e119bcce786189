/** Every schedule node shows its guidance weight over the sampling, before anything runs. */

import { api } from "../../../scripts/api.js"
import { app } from "../../../scripts/app.js"
import { Chart } from "./chart.mjs"
import { SCHEDULE_EVENT } from "./contract.mjs"
import { linkInto } from "./graph.mjs"
import { noiseAxis } from "./measured_curve.mjs"
import { sigmaFlow, sigmaSD } from "./noise_levels.mjs"
import { readable } from "./numbers.mjs"
import { addPanel, makeRoom, panel, remount } from "./panel.mjs"
import {
  knownParts,
  lastRun,
  markEnds,
  markSteps,
  refresh,
  remember,
  rowOf,
  scheduleOf,
  watch,
} from "./schedule_nodes.mjs"
import { faultOf, readsNoise, sample, weight } from "./schedules.mjs"

/** @typedef {import("./schedules.mjs").Schedule} Schedule */
/** @typedef {import("./schedule_nodes.mjs").Run} Run */

const HEIGHT = 140
const CARD = HEIGHT + 8
const NAME = "reg-schedule"
const STYLE = `
  .words { position: absolute; inset: 0 24px 14px 40px; display: grid; place-content: center; text-align: center;
    color: var(--reg-dim); pointer-events: none; }
`

class Preview {
  /** @param {LGraphNode} node */
  constructor(node) {
    this.node = node
    this.drawn = ""
    const { element, card } = panel(NAME, STYLE)
    this.element = element
    this.chart = new Chart(card, { height: HEIGHT, xLabel: "sampling", yLabel: "w", y: [0, 2] })
    this.words = card.appendChild(document.createElement("div"))
    this.words.className = "words"
    const widget = addPanel(node, "reg_preview", "REG_SCHEDULE", element, CARD, { serialize: false })
    widget.serialize = false
    makeRoom(node)
    watch(node, () => this.draw())
  }

  draw() {
    remount(this.node, this.element, NAME)
    const schedule = scheduleOf(this.node)
    const parts = knownParts(this.node)
    const run = lastRun(this.node)
    const words = this.say(schedule)
    const drawn = JSON.stringify([schedule, parts, run, words])
    if (drawn === this.drawn) return
    this.drawn = drawn
    this.chart.clear()
    this.words.textContent = words
    this.chart.describe(`Guidance weight: ${words}`)
    const axis = schedule?.kind === "measured" && !run ? noiseAxis(schedule.points) : null
    this.chart.setAcross(axis ? "noise (sigma)" : "sampling", axis && ticksOf(axis))
    if (!schedule && !parts.length) return
    const lines = schedule ? linesOf(schedule, run, axis) : []
    const behind = parts.map((part, i) => ({ ...linesOf(part, run, null)[0], className: `${PARTS[i]} faint thin` }))
    const weights = [...lines, ...behind].flatMap(({ points }) => points.map(([, w]) => w))
    this.chart.setRange({ y: [Math.min(0, ...weights), Math.max(1.5, 1.08 * Math.max(...weights))] })
    this.chart.level(1, "dim thin dashed reference")
    for (const { points, className } of [...behind, ...[...lines].reverse()]) this.chart.line(points, className)
    if (!schedule) return
    this.chart.legend(lines.filter(({ words }) => words))
    if (run) markSteps(this.chart, run, (percent, sigma) => weight(schedule, percent, sigma))
    const { points } = lines[0]
    markEnds(this.chart, points)
    const [start, end] = [points[0][1], points[points.length - 1][1]].map(readable)
    const [across, first, last] = axis ? ["noise", "noisiest level", "cleanest"] : ["sampling", "first step", "last"]
    this.chart.describe(`Guidance weight over the ${across}: ${start} at the ${first}, ${end} at the ${last}`)
  }

  /** What stands in place of a curve, or beside one that would be refused. @param {Schedule | null} schedule */
  say(schedule) {
    if (schedule) return faultOf(schedule)
    const { parts = [], fields = {}, hint } = rowOf(this.node) ?? {}
    if (parts.some((name) => !linkInto(this.node, name))) return "Connect two schedules"
    const isLinked = [...parts, ...Object.values(fields)].some((name) => linkInto(this.node, name))
    return hint && !isLinked ? hint : "Linked: known only in the run"
  }
}

const PARTS = ["second", "third"]

/** @typedef {ReturnType<typeof noiseAxis>} NoiseAxis */

/** The ticks of an axis of noise, with their words. @param {NoiseAxis} axis */
const ticksOf = ({ ticks }) => ticks.map(({ at, noise }) => ({ at, words: readable(noise) }))

/**
 * The lines of a schedule; one that reads the noise has one for each family, or the one of the last run, or that over
 * an axis of noise.
 * @param {Schedule} schedule
 * @param {Run | undefined} run
 * @param {NoiseAxis | null} axis
 * @returns {{points: [number, number][], className: string, words: string}[]}
 */
function linesOf(schedule, run, axis) {
  if (axis) return [{ points: sample(schedule, axis.noiseAt), className: "main", words: "" }]
  if (!readsNoise(schedule)) return [{ points: sample(schedule, sigmaSD), className: "main", words: "" }]
  if (run) {
    /** @type {[number, number][]} */
    const points = run.percent.map((percent, i) => [percent, weight(schedule, percent, run.sigma[i] ?? Infinity)])
    return [{ points, className: "main", words: "last run" }]
  }
  return [
    { points: sample(schedule, sigmaSD), className: "main", words: "SD" },
    { points: sample(schedule, sigmaFlow), className: "main dashed", words: "flow" },
  ]
}

app.registerExtension({
  name: "REG.SchedulePreview",
  setup() {
    api.addEventListener(SCHEDULE_EVENT, ({ detail }) => remember(detail))
    api.addEventListener("graphChanged", refresh)
  },
  nodeCreated(node) {
    const row = rowOf(node)
    if (row && !row.hasEditor) new Preview(node)
  },
})
