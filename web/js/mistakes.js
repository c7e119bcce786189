/** A word that an input does not take is told on the node while it is written. */

import { app } from "../../../scripts/app.js"
import { WORDS_OPTION } from "./contract.mjs"
import { inputValue, watch } from "./schedule_nodes.mjs"
import { mistake } from "./spelling.mjs"
import { showStatus } from "./status.mjs"

/**
 * Which words an input takes, by the value of another one.
 * @typedef {{axis: string, words: Record<string, import("./spelling.mjs").Words>}} Taken
 */

/** By type of node, the inputs that take words only. @type {Map<string, [string, Taken][]>} */
const inputs = new Map()

/** @param {LGraphNode} node @param {[string, Taken][]} taking */
function show(node, taking) {
  const found = taking.map(([name, { axis, words }]) => {
    const [kind, text] = [axis, name].map((input) => inputValue(node, input))
    return typeof text === "string" && words[kind] ? mistake(kind, text, words[kind]) : null
  })
  const first = found.find(Boolean)
  showStatus(node, "mistake", first ? { ...first, urgent: true, stale: false } : null)
}

app.registerExtension({
  name: "REG.Mistakes",
  beforeRegisterNodeDef(_type, { name, input }) {
    const specs = Object.entries({ ...input?.required, ...input?.optional })
    const taking = specs.flatMap(([id, [, options]]) => {
      const taken = /** @type {Taken | undefined} */ (options?.[WORDS_OPTION])
      return taken ? [/** @type {[string, Taken]} */ ([id, taken])] : []
    })
    if (taking.length) inputs.set(name, taking)
  },
  nodeCreated(node) {
    const taking = inputs.get(node.comfyClass)
    if (taking) watch(node, () => show(node, taking))
  },
})
