/** New nodes beside those that are there. */

const GAP = 40 // pixels of the canvas between two nodes
const TITLE = 30 // height of the title above a node

/**
 * A new node at a side of another one, where there is room.
 * @param {string} comfyClass
 * @param {LGraphNode} beside
 * @param {"left" | "right"} side
 */
export function place(comfyClass, beside, side) {
  const node = LiteGraph.createNode(comfyClass)
  const { graph } = beside
  if (!node || !graph) throw new Error(`REG: ${comfyClass} is not there. Reload the page.`)
  const others = graph.nodes.map(boxOf)
  const x = side === "left" ? beside.pos[0] - node.size[0] - GAP : beside.pos[0] + beside.size[0] + GAP
  node.pos = [x, beside.pos[1]]
  graph.add(node)
  for (let moves = 0; moves < others.length; moves++) {
    const own = boxOf(node)
    const above = others.find((other) => overlap(own, other))
    if (!above) break
    node.pos = [node.pos[0], node.pos[1] + above[1] + above[3] + GAP - own[1]]
  }
  return node
}

/** Left, top, width and height of a node; the host knows them only once it has drawn it. @param {LGraphNode} node */
const boxOf = ({ pos, size }) => [pos[0], pos[1] - TITLE, size[0], size[1] + TITLE]

/**
 * Whether two boxes have a place in common.
 * @param {number[]} one
 * @param {number[]} other
 */
function overlap(one, other) {
  return [0, 1].every((i) => one[i] < other[i] + other[i + 2] && other[i] < one[i] + one[i + 2])
}
