/** A measured schedule in the place of REG: what the inspectors have shown of each node with REG, and the exchange. */

import { app } from "../../../scripts/app.js"
import { linkInto, nodeOf } from "./graph.mjs"
import { place } from "./placement.mjs"
import { follow } from "./schedule_nodes.mjs"

/** @typedef {import("./trace.mjs").Trace} Trace */

/** The nodes that rectify, which follow a schedule alone where strength is 0. */
const RECTIFYING = ["REG_Guidance", "REG_Guider", "REG_AutoGuider", "REG_KSampler", "REG_KSamplerAdvanced"]
const SCHEDULE = "REG_ScheduleMeasured"

/** @type {WeakMap<LGraphNode, Trace>} the last run that a node has rectified and an inspector has shown */
const measurements = new WeakMap()

/** @param {LGraphNode} node */
export const rectifies = (node) => RECTIFYING.includes(node.comfyClass)

/** @param {LGraphNode} node */
export const measurementOf = (node) => measurements.get(node)

/** Keeps what a run has measured for the menu of the node that rectified it. @param {Trace} trace */
export function keep(trace) {
  const node = sourceOf(trace)
  if (node && trace.curve) measurements.set(node, trace)
}

/** The node with REG that a run tells of; null where it is not on the present workflow. @param {Trace} trace */
export function sourceOf({ source }) {
  const node = source ? nodeOf(source) : null
  return node && rectifies(node) ? node : null
}

/**
 * Lets a schedule of what REG measured take its place: one step to undo. Gives a sentence that says what is done, and
 * what is left to do.
 * @param {Trace} trace
 * @param {LGraphNode} beside where the schedule goes if the node with REG is not there
 */
export function replace(trace, beside) {
  const target = sourceOf(trace)
  app.canvas.emitBeforeChange() // the host records no undo step from here to emitAfterChange
  try {
    const schedule = (target && connected(target)) ?? place(SCHEDULE, target ?? beside, "left")
    write(schedule, "curve", trace.curve)
    write(schedule, "cfg", trace.weight)
    follow(schedule, {
      percent: trace.steps.map(({ percent }) => percent),
      sigma: trace.steps.map(({ noise }) => noise),
    })
    if (!target)
      return "The schedule stands beside this node. Connect it to the node with REG, and set strength to 0 there."
    schedule.connect(0, target, slotOf(target, "schedule"))
    target.disconnectInput(slotOf(target, "strength"))
    write(target, "strength", 0)
    const where = target.graph === beside.graph ? "" : ", in its subgraph"
    return `The schedule guides “${target.title}”${where} in the place of REG: strength is 0. Queue, or undo.`
  } finally {
    app.canvas.emitAfterChange()
    app.canvas.setDirty(true, true)
  }
}

/** The measured schedule that is linked to a node with REG already. @param {LGraphNode} target */
function connected(target) {
  const origin = linkInto(target, "schedule")?.origin_id
  const node = origin === undefined ? null : target.graph?.getNodeById(origin)
  return node?.comfyClass === SCHEDULE ? node : null
}

/**
 * Writes a value as the artist would.
 * @param {LGraphNode} node
 * @param {string} name
 * @param {unknown} value
 */
function write(node, name, value) {
  const widget = node.widgets?.find((candidate) => candidate.name === name)
  if (!widget) throw new Error(`REG: ${node.title} has no ${name}. Reload the page.`)
  widget.value = value
  widget.callback?.(value, app.canvas, node)
}

/** @param {LGraphNode} node @param {string} name */
function slotOf(node, name) {
  return node.inputs.findIndex((input) => input.name === name)
}
