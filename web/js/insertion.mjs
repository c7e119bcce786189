/** REG put into a workflow: behind a node that gives a model, or in front of one that samples with it. */

import { app } from "../../../scripts/app.js"
import { linkInto, sourceOf } from "./graph.mjs"
import { place } from "./placement.mjs"
import { rectifies } from "./replacement.mjs"

const REG = "REG_Guidance"
const MODEL = "MODEL"

/**
 * Puts REG beside a node and into its links with models, as one step to undo; null where REG cannot go, or is there.
 * @param {LGraphNode} node
 * @returns {(() => void) | null}
 */
export function insertion(node) {
  if (rectifies(node)) return null
  const output = slotOf(node.outputs)
  if (output >= 0) return users(node, output).some(([user]) => rectifies(user)) ? null : () => insertAfter(node, output)
  const input = slotOf(node.inputs)
  if (input < 0) return null
  const source = sourceOf(node, node.inputs[input].name)
  return source && rectifies(source.node) ? null : () => insertBefore(node, input)
}

/** The first slot with a model; -1 without one. @param {{type: unknown}[] | undefined} slots */
const slotOf = (slots) => slots?.findIndex(({ type }) => type === MODEL) ?? -1

/**
 * The nodes that an output is linked to, each with the number of its input.
 * @param {LGraphNode} node
 * @param {number} slot
 * @returns {[LGraphNode, number][]}
 */
function users(node, slot) {
  return (node.outputs[slot].links ?? []).flatMap((id) => {
    const link = node.graph?.getLink(id)
    const user = link && node.graph?.getNodeById(link.target_id)
    return link && user ? [/** @type {[LGraphNode, number]} */ ([user, link.target_slot])] : []
  })
}

/** @param {LGraphNode} node @param {number} slot of its output */
function insertAfter(node, slot) {
  asOneStep(() => {
    const reg = place(REG, node, "right")
    for (const [user, input] of users(node, slot)) reg.connect(0, user, input)
    node.connect(slot, reg, slotOf(reg.inputs))
  })
}

/** @param {LGraphNode} node @param {number} slot of its input */
function insertBefore(node, slot) {
  asOneStep(() => {
    const link = linkInto(node, node.inputs[slot].name)
    const source = link ? node.graph?.getNodeById(link.origin_id) : null
    const reg = place(REG, node, "left")
    if (link && source) source.connect(link.origin_slot, reg, slotOf(reg.inputs))
    reg.connect(0, node, slot)
  })
}

/** @param {() => void} change */
function asOneStep(change) {
  app.canvas.emitBeforeChange() // the host records no undo step from here to emitAfterChange
  try {
    change()
  } finally {
    app.canvas.emitAfterChange()
    app.canvas.setDirty(true, true)
  }
}
