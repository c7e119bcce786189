/** The menu of the nodes with REG: a schedule of what the last run has measured in the place of REG. */

import { app } from "../../../scripts/app.js"
import { measurementOf, rectifies, replace } from "./replacement.mjs"

app.registerExtension({
  name: "REG.Menu",
  getNodeMenuItems(node) {
    if (!rectifies(node)) return []
    const trace = measurementOf(node)
    const item = { content: "REG: Make schedule from last run", disabled: !trace }
    return [{ ...item, callback: () => trace && replace(trace, node) }]
  },
})
