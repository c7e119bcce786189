/** What Python says of a node, on the node: of this run, of the last one, or nothing once an input has changed. */

import { api } from "../../../scripts/api.js"
import { app } from "../../../scripts/app.js"
import { STATUS_EVENT } from "./contract.mjs"
import { linkInto, nodeOf } from "./graph.mjs"
import { isOpen, workflowOf } from "./results.mjs"
import { inputValue, refresh, watch } from "./schedule_nodes.mjs"
import { showStatus } from "./status.mjs"

/** The inputs that the host changes after each run, which say nothing of what REG does. */
const SEEDS = ["seed", "noise_seed", "control_after_generate"]

/**
 * @typedef {object} Status what a node was told in one run
 * @property {string} id of the node, as the run names it
 * @property {string} workflow
 * @property {string} prompt of the run
 * @property {Record<string, unknown>} inputs what the run had written into the node
 * @property {string} line
 * @property {string[]} details
 * @property {boolean} urgent
 * @property {boolean} holds whether it is true of the inputs and not of one run
 * @property {string} [links] into the node, when it was first shown
 */

/** By workflow and node. @type {Map<string, Status>} */
const statuses = new Map()
/** The run of each workflow that has begun last. @type {Map<string, string>} */
const begun = new Map()
/** The nodes that have shown a status, and under which key theirs is. @type {WeakMap<LGraphNode, string>} */
const keys = new WeakMap()

api.addEventListener("execution_start", async ({ detail }) => {
  const prompt = detail?.prompt_id
  begun.set(await graphOf(prompt), prompt)
  showAll()
})

api.addEventListener(STATUS_EVENT, async ({ detail }) => {
  /** @type {import("./contract.mjs").SentStatus} */
  const { node: id, prompt, inputs, line, details, urgent, holds } = detail ?? {}
  if (![id, prompt, line, details].every((part) => typeof part === "string")) return
  const workflow = await graphOf(prompt)
  const key = `${workflow} ${id}`
  const former = statuses.get(key)
  const told = { line, urgent: urgent === true, holds: holds === true }
  const before = former?.prompt === prompt ? former : null
  const first = before && weight(before) > weight(told) ? before : told
  const lines = new Set([...(before?.details ?? []), ...details.split("\n")])
  const [shown, presses, stays] = [first.line, first.urgent, first.holds]
  const rest = { id, workflow, prompt, inputs: inputs ?? {}, details: [...lines] }
  statuses.set(key, { ...rest, line: shown, urgent: presses, holds: stays })
  showAll()
})

/** The workflow of a run; that which is open, where the host does not say. @param {string} prompt */
async function graphOf(prompt) {
  const workflow = await workflowOf(prompt)
  return isOpen(workflow) ? app.rootGraph.id : (workflow ?? "")
}

/**
 * What is to be done stands before what happened in the run, and that before what is true anyhow.
 * @param {{urgent: boolean, holds: boolean}} status
 */
const weight = ({ urgent, holds }) => 2 * Number(urgent) + Number(!holds)

/** Finds the nodes on the open workflow that were told something. */
function showAll() {
  for (const [key, { id, workflow }] of statuses) {
    const node = workflow === app.rootGraph?.id ? nodeOf(id) : null
    if (!node) continue
    const isNew = !keys.has(node)
    keys.set(node, key)
    show(node)
    if (isNew) watch(node, () => show(node))
  }
}

/** @param {LGraphNode} node */
function show(node) {
  const key = keys.get(node) ?? ""
  const status = statuses.get(key)
  if (!status) return
  status.links ??= linksOf(node)
  if (status.links !== linksOf(node) || isChanged(node, status.inputs)) {
    statuses.delete(key)
    showStatus(node, "told", null)
    return
  }
  const { line, details, urgent, holds, workflow, prompt } = status
  const stale = !holds && begun.get(workflow) !== prompt
  showStatus(node, "told", { line, details: details.join("\n"), urgent, stale })
}

/** What is linked into a node, and whether it is bypassed. @param {LGraphNode} node */
function linksOf(node) {
  const links = node.inputs.map(({ name }) => linkInto(node, name))
  return JSON.stringify([node.mode, ...links.map((link) => link && [link.origin_id, link.origin_slot])])
}

/**
 * Whether the widgets of a node hold something else than a run had written into it.
 * @param {LGraphNode} node
 * @param {Record<string, unknown>} inputs
 */
function isChanged(node, inputs) {
  return Object.entries(inputs).some(([name, written]) => {
    const value = SEEDS.includes(name) ? undefined : inputValue(node, name)
    return value !== undefined && JSON.stringify(value) !== JSON.stringify(written)
  })
}

app.registerExtension({ name: "REG.Status", afterConfigureGraph: showAll })
api.addEventListener("graphChanged", refresh)
