/** Every schedule node shows its guidance weight over the sampling, before anything runs. */

import { api } from "../../../scripts/api.js"
import { app } from "../../../scripts/app.js"
import { Chart, readable } from "./chart.mjs"
import { linkInto } from "./graph.mjs"
import { addPanel, makeRoom, panel, remount } from "./panel.mjs"
import {
  isSchedule,
  lastRun,
  markEnds,
  markSteps,
  partsOf,
  refresh,
  remember,
  scheduleOf,
  watch,
} from "./schedule_nodes.mjs"
import { readsNoise, sample, sigmaFlow, sigmaSD, weight } from "./schedules.mjs"

const HEIGHT = 140
const CARD = HEIGHT + 8
const NAME = "reg-schedule"
const EDITED_ELSEWHERE = "REG_ScheduleCurve" // curve_editor.js shows its curve and edits it
const STYLE = `
  .words { position: absolute; inset: 0 24px 14px 40px; display: grid; place-content: center; text-align: center;
    color: var(--reg-dim); pointer-events: none; }
`

class Preview {
  constructor(node) {
    this.node = node
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
    const parts = partsOf(this.node).filter(Boolean)
    const run = lastRun(this.node)
    const drawn = JSON.stringify([schedule, parts, run])
    if (drawn === this.drawn) return
    this.drawn = drawn
    this.chart.clear()
    this.words.textContent = this.say(schedule)
    this.chart.describe(`Guidance weight: ${this.words.textContent}`)
    if (!schedule && !parts.length) return
    const lines = schedule ? linesOf(schedule, run) : []
    const behind = parts.map((part, i) => ({ ...linesOf(part, run)[0], className: `${PARTS[i]} faint thin` }))
    const weights = [...lines, ...behind].flatMap(({ points }) => points.map(([, w]) => w))
    this.chart.setRange({ y: [Math.min(0, ...weights), Math.max(1.5, 1.08 * Math.max(...weights))] })
    this.chart.line([[0, 1], [1, 1]], "dim thin dashed reference")
    for (const { points, className } of [...behind, ...[...lines].reverse()]) this.chart.line(points, className)
    if (!schedule) return
    const keys = lines.filter(({ words }) => words)
    if (keys.length) this.chart.legend(keys)
    if (run) markSteps(this.chart, run, (percent, sigma) => weight(schedule, percent, sigma))
    const { points } = lines[0]
    markEnds(this.chart, points)
    const [start, end] = [points[0][1], points[points.length - 1][1]].map(readable)
    this.chart.describe(`Guidance weight over the sampling: ${start} at the first step, ${end} at the last`)
  }

  /** What stands in place of a curve, or beside one that would be refused. */
  say(schedule) {
    if (schedule?.kind === "interval" && schedule.start > schedule.end) return "start_percent lies after end_percent"
    if (schedule) return ""
    const parts = this.node.inputs?.filter(({ name }) => ["first", "second"].includes(name)) ?? []
    const open = parts.some(({ name }) => !linkInto(this.node, name))
    return open ? "Connect two schedules" : "Linked: known when it runs"
  }
}

const PARTS = ["second", "third"]

/** The lines of a schedule; one that reads the noise has one for each family, or the one of the last run. */
function linesOf(schedule, run) {
  if (!readsNoise(schedule)) return [{ points: sample(schedule, sigmaSD), className: "main" }]
  if (run) {
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
    api.addEventListener("reg.schedule", ({ detail }) => remember(detail))
    api.addEventListener("graphChanged", refresh)
  },
  nodeCreated(node) {
    if (isSchedule(node) && node.comfyClass !== EDITED_ELSEWHERE) new Preview(node)
  },
})
