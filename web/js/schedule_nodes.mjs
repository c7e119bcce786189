/**
 * What the pictures in the schedule nodes share: reading the schedule that a node describes, redrawing when it changes,
 * the steps of the last run, and the marks that every picture has.
 */

import { executionId, linkInto, nodeOf, sourceOf } from "./graph.mjs"
import { finite, isNumber, readable } from "./numbers.mjs"
import { kindOf, SCHEDULES, scheduleFrom } from "./schedules.mjs"

/** @typedef {import("./chart.mjs").Chart} Chart */
/** @typedef {import("./schedules.mjs").Schedule} Schedule */
/** @typedef {{percent: number[], sigma: (number | null)[]}} Run sigma null where it is infinite */

/** The row of the schedule that a node makes; undefined if it makes none. @param {LGraphNode} node */
export function rowOf(node) {
  const kind = kindOf(node.comfyClass)
  return kind === undefined ? undefined : SCHEDULES[kind]
}

/**
 * The schedule that a node describes, or null while a value of it is not known before the run.
 * @param {LGraphNode | undefined} node
 * @param {LGraphNode[]} [within] the nodes whose schedules it is a part of: a loop of links can be drawn
 * @returns {Schedule | null}
 */
export function scheduleOf(node, within = []) {
  const kind = kindOf(node?.comfyClass)
  if (!node || !kind || within.includes(node)) return null
  const { fields, parts = [] } = SCHEDULES[kind]
  const values = Object.entries(fields).map(([field, name]) => [field, inputValue(node, name)])
  const schedules = parts.map((name) => [name, partOf(node, name, within)])
  return scheduleFrom(kind, Object.fromEntries([...values, ...schedules]))
}

/** The schedules that are known of those that a node combines. @param {LGraphNode} node */
export function knownParts(node) {
  return (rowOf(node)?.parts ?? []).flatMap((name) => partOf(node, name, []) ?? [])
}

/**
 * The schedule that is linked into an input.
 * @param {LGraphNode} node
 * @param {string} name
 * @param {LGraphNode[]} within
 * @returns {Schedule | null}
 */
function partOf(node, name, within) {
  return scheduleOf(sourceOf(node, name)?.node, [...within, node])
}

/**
 * The value of an input: of its widget, of the primitive, curve editor or subgraph that it is linked from, or undefined
 * if it is known in the run only.
 * @param {LGraphNode} node
 * @param {string} name
 * @returns {any}
 */
export function inputValue(node, name) {
  const input = node.inputs?.find((slot) => slot.name === name)
  const widget = node.widgets?.find((candidate) => candidate.name === (input?.widget?.name ?? name))
  const link = linkInto(node, name)
  if (!link) return widget?.value
  const source = sourceOf(node, name)?.node
  if (source?.type?.startsWith("Primitive")) return source.widgets?.[0]?.value
  if (source?.type === "CurveEditor") return inputValue(source, "curve")
  return source ? undefined : promoted(node, link)
}

/**
 * The value of a widget that the subgraph of the node shows outside.
 * @param {LGraphNode} node
 * @param {LLink} link
 */
function promoted(node, link) {
  const id = link.origin_id === node.graph?.inputNode?.id ? executionId(node) : null
  const holder = id === null ? null : nodeOf(id.slice(0, id.lastIndexOf(":")))
  const slot = holder?.inputs[link.origin_slot]
  return slot ? inputValue(holder, slot.name) : undefined
}

/** @type {WeakMap<LGraphNode, Run>} the last run of a node */
const runs = new WeakMap()

/** @param {LGraphNode} node */
export const lastRun = (node) => runs.get(node)

/** Shows a schedule over the steps of a run as if it had followed it. @param {LGraphNode} node @param {Run} run */
export function follow(node, run) {
  runs.set(node, run)
  refresh()
}

/**
 * Keeps the steps of a run for the nodes that followed it.
 * @param {import("./contract.mjs").SentSchedule | null | undefined} detail
 */
export function remember(detail) {
  const { schedules, percent, sigma } = detail ?? {}
  if (![schedules, percent, sigma].every(Array.isArray)) return
  /** @type {Run} */
  const run = { percent: [], sigma: [] }
  for (const [i, value] of percent.entries()) {
    if (!isNumber(value)) continue
    run.percent.push(value)
    run.sigma.push(finite(sigma[i]))
  }
  if (!run.percent.length) return
  for (const node of schedules.map(nodeOf)) if (node) runs.set(node, run)
  refresh()
}

/** @type {Map<() => void, LGraphNode>} the pictures of the nodes that are on a graph; a node may have several */
const pictures = new Map()
let isWaiting = false

/**
 * Calls draw before the next frame whenever the node may have changed: a widget, a link, a loaded or restored value.
 * @param {LGraphNode} node
 * @param {() => void} draw cheap if nothing changed
 * @param {() => void} [leave] called when the node leaves its graph
 */
export function watch(node, draw, leave) {
  for (const widget of node.widgets ?? []) chain(widget, "callback", refresh)
  for (const event of ["onConfigure", "onConnectionsChange"]) chain(node, event, refresh)
  chain(node, "onAdded", () => {
    pictures.set(draw, node)
    refresh()
  })
  chain(node, "onRemoved", () => {
    pictures.delete(draw)
    leave?.()
  })
  if (node.graph) pictures.set(draw, node)
  refresh()
}

/** Lets every picture look for a change, once before the next frame: a schedule may be part of another picture too. */
export function refresh() {
  if (isWaiting) return
  isWaiting = true
  requestAnimationFrame(() => {
    isWaiting = false
    for (const draw of pictures.keys()) draw()
  })
}

/**
 * Calls a function after a method of an object that may have none.
 * @param {any} object
 * @param {string} name
 * @param {() => void} after
 */
function chain(object, name, after) {
  const before = object[name]
  object[name] = function (/** @type {unknown[]} */ ...values) {
    const result = before?.apply(this, values)
    after()
    return result
  }
}

/**
 * The weights at both ends, written beside the line.
 * @param {Chart} chart
 * @param {[number, number][]} points
 * @param {number} [gap] pixels to the line
 */
export function markEnds(chart, points, gap = 4) {
  const [low, high] = chart.y
  /** @type {[[number, number], string, number][]} */
  const ends = [
    [points[0], "start", gap],
    [points[points.length - 1], "end", -gap],
  ]
  for (const [[x, w], side, shift] of ends) {
    const down = (w - low) / (high - low) > 0.8 ? 9 + gap : -2 - gap
    chart.text(x, w, readable(w), `${side} value`, [shift, down])
  }
}

/**
 * The steps of the last run as dots.
 * @param {Chart} chart
 * @param {Run} run
 * @param {(percent: number, sigma: number) => number} weightAt
 */
export function markSteps(chart, run, weightAt) {
  /** @type {[number, number][]} */
  const steps = run.percent.map((percent, i) => [percent, weightAt(percent, run.sigma[i] ?? Infinity)])
  const title = (/** @type {number} */ i) =>
    `step ${i + 1} of ${steps.length}: ${readable(100 * steps[i][0])} %, ` +
    `sigma ${readable(run.sigma[i] ?? Infinity)}, w ${readable(steps[i][1])}`
  chart.dots(steps, "second step", title)
}
