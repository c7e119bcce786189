/**
 * What the pictures in the schedule nodes share: reading the schedule that a node describes, redrawing when it changes,
 * the steps of the last run, and the marks that every picture has.
 */

import { readable } from "./chart.mjs"
import { executionId, linkInto, nodeOf, sourceOf } from "./graph.mjs"
import { curveSchedule } from "./schedules.mjs"
import { finite } from "./trace.mjs"

/** @typedef {import("./schedules.mjs").Schedule} Schedule */
/** @typedef {{percent: number[], sigma: (number | null)[]}} Run sigma null where it is infinite */

/** Per node type: the kind of schedule, and its fields with the widgets that set them. */
const SCHEDULES = {
  REG_ScheduleConstant: { kind: "constant", fields: { weight: "cfg" } },
  REG_ScheduleLinear: { kind: "linear", fields: { start: "start_cfg", end: "end_cfg" } },
  REG_ScheduleCosine: { kind: "cosine", fields: { weight: "cfg", power: "power" } },
  REG_ScheduleInterval: {
    kind: "interval",
    fields: { weight: "cfg", start: "start_percent", end: "end_percent" },
  },
  REG_ScheduleSNR: { kind: "snr", fields: { weight: "cfg", spread: "spread" } },
  REG_ScheduleCurve: { kind: "curve", fields: { curve: "curve", low: "min_cfg", high: "max_cfg" } },
  REG_ScheduleCombine: { kind: "combined", fields: { how: "combine", at: "switch_percent" } },
}

export const isSchedule = (node) => node.comfyClass in SCHEDULES

/**
 * The schedule that a node describes, or null while a value of it is not known before the run.
 * @returns {Schedule | null}
 */
export function scheduleOf(node) {
  const definition = node && SCHEDULES[node.comfyClass]
  if (!definition) return null
  const fields = {}
  for (const [field, name] of Object.entries(definition.fields)) {
    fields[field] = valueOf(node, name)
    if (fields[field] === undefined) return null
  }
  if (definition.kind === "curve") return curveSchedule(fields.curve, fields.low, fields.high)
  if (definition.kind === "combined") {
    const [first, second] = partsOf(node)
    return first && second && { kind: "combined", first, second, ...fields }
  }
  return { kind: definition.kind, ...fields }
}

/** The schedules that a combination is made of. @returns {(Schedule | null)[]} */
export function partsOf(node) {
  return ["first", "second"].map((name) => scheduleOf(sourceOf(node, name)?.node))
}

/**
 * The value of an input: of its widget, of the primitive, curve editor or subgraph that it is linked from, or undefined
 * if it is known in the run only.
 */
export function valueOf(node, name) {
  const input = node.inputs?.find((slot) => slot.name === name)
  const widget = node.widgets?.find((candidate) => candidate.name === (input?.widget?.name ?? name))
  const link = linkInto(node, name)
  if (!link) return widget?.value
  const source = sourceOf(node, name)?.node
  if (source?.type?.startsWith("Primitive")) return source.widgets?.[0]?.value
  if (source?.type === "CurveEditor") return valueOf(source, "curve")
  return source ? undefined : promoted(node, link)
}

/** The value of a widget that the subgraph of the node shows outside. */
function promoted(node, link) {
  const id = link.origin_id === node.graph.inputNode?.id ? executionId(node) : null
  const holder = id && nodeOf(id.slice(0, id.lastIndexOf(":")))
  const slot = holder?.inputs[link.origin_slot]
  return slot ? valueOf(holder, slot.name) : undefined
}

/** @type {WeakMap<object, Run>} the last run of a node */
const runs = new WeakMap()

/** @returns {Run | undefined} */
export const lastRun = (node) => runs.get(node)

/** @param {{schedules: string[], percent: number[], sigma: (number | null)[]}} detail of the event "reg.schedule" */
export function remember(detail) {
  const { schedules, percent, sigma } = detail ?? {}
  if (![schedules, percent, sigma].every(Array.isArray)) return
  const known = percent.map((_, i) => i).filter((i) => Number.isFinite(percent[i]))
  const run = { percent: known.map((i) => percent[i]), sigma: known.map((i) => finite(sigma[i])) }
  for (const node of schedules.map(nodeOf)) if (node) runs.set(node, run)
  refresh()
}

/** @type {Map<object, () => void>} the pictures of the nodes that are on a graph */
const pictures = new Map()
let frame = 0

/**
 * Calls draw before the next frame whenever the node may have changed: a widget, a link, a loaded or restored value.
 * @param {() => void} draw cheap if nothing changed
 * @param {() => void} [leave] called when the node leaves its graph
 */
export function watch(node, draw, leave) {
  for (const widget of node.widgets ?? []) chain(widget, "callback", refresh)
  for (const event of ["onConfigure", "onConnectionsChange"]) chain(node, event, refresh)
  chain(node, "onAdded", () => {
    pictures.set(node, draw)
    refresh()
  })
  chain(node, "onRemoved", () => {
    pictures.delete(node)
    leave?.()
  })
  if (node.graph) pictures.set(node, draw)
  refresh()
}

/** Lets every picture look for a change, once before the next frame: a schedule may be part of another one's picture. */
export function refresh() {
  frame ||= requestAnimationFrame(() => {
    frame = 0
    for (const draw of pictures.values()) draw()
  })
}

function chain(object, name, after) {
  const before = object[name]
  object[name] = function (...values) {
    const result = before?.apply(this, values)
    after()
    return result
  }
}

/** The weights at both ends, written beside the curve. @param {[number, number][]} points @param {number} [gap] */
export function markEnds(chart, points, gap = 4) {
  const [low, high] = chart.y
  for (const [[x, w], side, shift] of [[points[0], "start", gap], [points[points.length - 1], "end", -gap]]) {
    const down = (w - low) / (high - low) > 0.8 ? 9 + gap : -2 - gap
    chart.text(x, w, readable(w), `${side} value`, [shift, down])
  }
}

/**
 * The steps of the last run as dots.
 * @param {Run} run
 * @param {(percent: number, sigma: number) => number} weightAt
 */
export function markSteps(chart, run, weightAt) {
  const steps = run.percent.map((percent, i) => [percent, weightAt(percent, run.sigma[i] ?? Infinity)])
  const title = (i) =>
    `step ${i + 1} of ${steps.length}: ${readable(100 * steps[i][0])} %, ` +
    `sigma ${readable(run.sigma[i] ?? Infinity)}, w ${readable(steps[i][1])}`
  chart.dots(steps, "second step", title)
}
