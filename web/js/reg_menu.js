/** The menus of nodes: REG put into a workflow, and a schedule of what its last run has measured in its place. */

import { app } from "../../../scripts/app.js"
import { insertion } from "./insertion.mjs"
import { measurementOf, rectifies, replace } from "./replacement.mjs"

app.registerExtension({
  name: "REG.Menu",
  getNodeMenuItems(node) {
    if (!rectifies(node)) {
      const insert = insertion(node)
      return insert ? [{ content: "Add REG", callback: insert }] : []
    }
    const trace = measurementOf(node)
    const item = { content: "REG: Make schedule from last run", disabled: !trace }
    return [{ ...item, callback: () => trace && replace(trace, node) }]
  },
})
