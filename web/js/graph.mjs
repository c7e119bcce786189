/**
 * Finding nodes: the host names the nodes of a run by execution ids, "12" at the root and "6:3" for node 3 of the
 * subgraph that node 6 holds, and links may lead through reroutes, bypassed nodes and the borders of subgraphs.
 */

import { app } from "../../../scripts/app.js"

/** @typedef {{node: LGraphNode, slot: number}} Source a node and the number of its output */

const MUTED = 2
const BYPASSED = 4

/**
 * The node of an execution id, or null if there is none on the present graph.
 * @param {string} executionId "12" or "6:3"
 */
export function nodeOf(executionId) {
  /** @type {LGraph | undefined} */
  let graph = app.rootGraph
  let node = null
  for (const id of String(executionId).split(":")) {
    node = graph?.getNodeById(id) ?? null
    if (!node) return null
    graph = node.subgraph
  }
  return node
}

/**
 * The execution id of a node, or null where its subgraph is not placed exactly once.
 * @param {LGraphNode} node
 * @returns {string | null}
 */
export function executionId(node) {
  let id = String(node.id)
  let graph = node.graph
  while (graph && graph !== app.rootGraph) {
    const holder = holderOf(graph)
    if (!holder) return null
    id = `${holder.id}:${id}`
    graph = holder.graph
  }
  return graph ? id : null
}

/**
 * Where the value of an input comes from: the first node upstream that makes it, seen through reroutes, bypassed nodes
 * and subgraphs; null if nothing is linked, the source is muted, or the subgraph is placed more than once.
 * @param {LGraphNode} node
 * @param {string} inputName
 * @returns {Source | null}
 */
export function sourceOf(node, inputName) {
  const slot = slotOf(node, inputName)
  return slot < 0 ? null : follow(node, slot, new Set())
}

/**
 * The link into an input, as it is drawn; null if there is none.
 * @param {LGraphNode} node
 * @param {string} inputName
 */
export function linkInto(node, inputName) {
  const slot = slotOf(node, inputName)
  return slot < 0 ? null : linkAt(node, slot)
}

/**
 * The link into an input by its number. A node that holds a subgraph answers `getInputLink` with a link from inside it.
 * @param {LGraphNode} node
 * @param {number} slot
 */
function linkAt(node, slot) {
  const id = node.inputs[slot]?.link
  return id === null || id === undefined ? null : (node.graph?.getLink(id) ?? null)
}

/** @param {LGraphNode} node @param {string} inputName */
function slotOf(node, inputName) {
  return node.inputs?.findIndex((input) => input.name === inputName) ?? -1
}

/** All nodes of the present graph, those of its subgraphs too, each once. */
export function allNodes() {
  const root = app.rootGraph
  const graphs = root ? [root, ...(root.subgraphs?.values() ?? [])] : []
  return graphs.flatMap((graph) => [...graph.nodes])
}

/** The one node that holds a subgraph; null if it is placed several times or not at all. @param {LGraph} subgraph */
function holderOf(subgraph) {
  const holders = allNodes().filter((node) => node.subgraph === subgraph)
  return holders.length === 1 ? holders[0] : null
}

/**
 * @param {LGraphNode} node
 * @param {number} slot
 * @param {Set<string>} seen
 * @returns {Source | null}
 */
function follow(node, slot, seen) {
  // A loop of links cannot run, but it can be drawn.
  const place = `${node.graph?.id}/${node.id}/${slot}`
  if (seen.has(place)) return null
  seen.add(place)
  const { graph } = node
  const link = linkAt(node, slot)
  if (!graph || !link) return null
  if (link.origin_id === graph.inputNode?.id) {
    const holder = holderOf(graph)
    return holder?.inputs[link.origin_slot] ? follow(holder, link.origin_slot, seen) : null
  }
  return origin(graph, link, seen)
}

/**
 * @param {LGraph} graph
 * @param {LLink} link
 * @param {Set<string>} seen
 * @returns {Source | null}
 */
function origin(graph, link, seen) {
  const source = graph.getNodeById(link.origin_id)
  if (!source || source.mode === MUTED) return null
  if (source.mode === BYPASSED) {
    const type = source.outputs[link.origin_slot]?.type
    const same = source.inputs.findIndex((input) => input.type === type)
    return same < 0 ? null : follow(source, same, seen)
  }
  if (source.subgraph) {
    const inner = source.subgraph.getLink(source.subgraph.outputs[link.origin_slot]?.linkIds[0])
    if (!inner) return null
    if (inner.origin_id === source.subgraph.inputNode?.id) return follow(source, inner.origin_slot, seen)
    return origin(source.subgraph, inner, seen)
  }
  if (source.isVirtualNode && source.inputs?.length === 1) return follow(source, 0, seen)
  return { node: source, slot: link.origin_slot }
}
