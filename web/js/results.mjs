/**
 * Results of output nodes, wherever the host has them: just executed or from its cache, given back with a workflow, or,
 * after a reload of the page, only in its list of jobs.
 */

import { api } from "../../../scripts/api.js"
import { app } from "../../../scripts/app.js"
import { allNodes, executionId, nodeOf } from "./graph.mjs"

/** @typedef {Record<string, any>} Output what a node has given to the page, by key */

const JOBS = 5 // how many runs of a workflow are searched for the result of a node

// A workflow that was opened from a prompt has this id until it is loaded again; then the host gives it one.
const NO_ID = "00000000-0000-0000-0000-000000000000"

/**
 * Tells whether the workflow with this id is open; one without an id, or null, may be any.
 * @param {string | null | undefined} workflow
 */
export const isOpen = (workflow) => !workflow || workflow === NO_ID || workflow === app.rootGraph?.id

/** The id of the workflow that is being executed; null if the host does not say. @returns {Promise<string | null>} */
export async function runningWorkflow() {
  const { jobs } = await ask("/jobs?status=in_progress&limit=1")
  return jobs?.[0]?.workflow_id ?? null
}

/** By run. @type {Map<string, Promise<any>>} */
const workflows = new Map()

/**
 * The id of the workflow of a run; null if the host does not say.
 * @param {string} job
 * @returns {Promise<string | null>}
 */
export async function workflowOf(job) {
  const answer = workflows.get(job) ?? ask(`/jobs/${job}`)
  workflows.set(job, answer)
  return (await answer).workflow_id ?? null
}

/**
 * Hooks for `app.registerExtension`: `show(node, output)` is called for nodes of a class on the open workflow whenever
 * there is a result with this key for them.
 * @param {string} comfyClass
 * @param {string} key
 * @param {(node: LGraphNode, output: Output) => void} show
 */
export function resultHooks(comfyClass, key, show) {
  /** @type {Map<string, Output>} results by workflow and execution id */
  const known = new Map()
  /** @type {WeakMap<object, string>} results as text, made once: it may be long */
  const texts = new WeakMap()
  /** @type {Set<string>} */
  const asked = new Set()

  /** @param {Output | null | undefined} output */
  const isResult = (output) => Array.isArray(output?.[key])
  /** @param {string} id */
  const place = (id) => `${app.rootGraph.id} ${id}`
  const nodes = () => allNodes().filter((node) => node.comfyClass === comfyClass)

  api.addEventListener("executed", async ({ detail }) => {
    if (!isResult(detail?.output)) return
    const workflow = await workflowOf(detail.prompt_id)
    const id = String(detail.display_node || detail.node)
    known.set(`${workflow} ${id}`, detail.output)
    const node = isOpen(workflow) ? nodeOf(id) : null
    if (node?.comfyClass === comfyClass) show(node, detail.output)
  })

  /** @param {string[]} ids */
  function showKnown(ids) {
    for (const id of ids) {
      const output = known.get(place(id))
      const node = nodeOf(id)
      if (output && node?.comfyClass === comfyClass) show(node, output)
    }
  }

  /** @param {Output} output */
  function textOf({ [key]: result }) {
    const text = texts.get(result) ?? JSON.stringify(result)
    texts.set(result, text)
    return text
  }

  /**
   * The host keeps a result also for the node of the same id on whatever workflow was open when it came.
   * @param {LGraphNode} node
   * @param {Output} output
   */
  function isElsewhere(node, output) {
    const id = executionId(node)
    const text = textOf(output)
    const owners = [...known].filter(([, other]) => textOf(other) === text).map(([owner]) => owner)
    return id !== null && owners.length > 0 && !owners.some((owner) => owner === place(id) || owner.startsWith(NO_ID))
  }

  /** @param {string[]} ids */
  async function searchJobs(ids) {
    const workflow = app.rootGraph.id
    const { jobs } = await ask(`/jobs?status=completed&workflow_id=${workflow}&limit=${JOBS}`)
    for (const job of jobs ?? []) {
      const missing = ids.filter((id) => !known.has(`${workflow} ${id}`)) // some may have been executed meanwhile
      if (!missing.length) break
      const found = displayed((await ask(`/history/${job.id}`))[job.id])
      for (const id of missing) {
        const output = found.get(id)
        if (output && isResult(output)) known.set(`${workflow} ${id}`, output)
      }
    }
    if (workflow === app.rootGraph.id) showKnown(ids)
  }

  return {
    afterConfigureGraph() {
      const ids = nodes().flatMap((node) => executionId(node) ?? [])
      showKnown(ids)
      const unknown = ids.filter((id) => !known.has(place(id)) && !asked.has(place(id)))
      for (const id of unknown) asked.add(place(id))
      if (unknown.length) void searchJobs(unknown) // loading the graph does not wait for it
    },
    /** @param {Record<string, Output> | null} outputs */
    onNodeOutputsUpdated(outputs) {
      for (const node of nodes()) {
        const output = outputs?.[node.graph === app.rootGraph ? node.id : `${node.graph?.id}:${node.id}`]
        if (output && isResult(output) && !isElsewhere(node, output)) show(node, output)
      }
    },
  }
}

/**
 * The outputs of a finished run by the id of the node that shows them, which for an expanded node is its maker.
 * @param {any} run
 * @returns {Map<string, Output>}
 */
function displayed(run) {
  return new Map(Object.entries(run?.outputs ?? {}).map(([id, output]) => [run.meta?.[id]?.display_node ?? id, output]))
}

/** An answer of the server; an empty object if it gives none. @param {string} route */
async function ask(route) {
  try {
    const answer = await api.fetchApi(route)
    return (answer.ok && (await answer.json())) || {}
  } catch {
    return {} // a page whose server is gone has other worries
  }
}
