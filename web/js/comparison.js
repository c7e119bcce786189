/** REG_Compare: its tiles on a light table, while they are drawn and afterwards. */

import { api } from "../../../scripts/api.js"
import { app } from "../../../scripts/app.js"
import { SHEET_EVENT, SKIP_COMMAND, TILES_EVENT, TILES_RESULT, WORDS_OPTION } from "./contract.mjs"
import { nodeOf } from "./graph.mjs"
import { address, LightTable } from "./light_table.mjs"
import { isNumber } from "./numbers.mjs"
import { isOpen, resultHooks } from "./results.mjs"
import { changed, renumbered, withPrompt } from "./tile_prompt.mjs"

const NODE = "REG_Compare"
const WIDTH = 420

/** @typedef {import("./light_table.mjs").Tile} Tile */
/**
 * @typedef {object} Run a sheet that is being drawn
 * @property {string} node
 * @property {string} prompt
 * @property {string[]} runs the name of each tile's sampling
 * @property {Tile[]} tiles
 * @property {string | null | undefined} workflow
 */

/** @type {WeakMap<object, LightTable>} */
const tables = new WeakMap()
/** The sheets that are being drawn, by node. @type {Map<string, Run>} */
const sheets = new Map()

/** @param {import("./contract.mjs").SentTile} tile @returns {tile is Tile} */
function isTile(tile) {
  return typeof tile?.label === "string" && Boolean(tile.prompt || tile.changes)
}

/** A tile of a result with its words; the cache may keep an image without its time. @param {Tile} tile */
function finished(tile) {
  const time = isNumber(tile.seconds) ? `${Number(tile.seconds.toPrecision(2))} s` : ""
  const skipped = tile.image === null && !time
  return { ...tile, state: skipped ? "skipped" : "drawn", note: skipped ? "skipped" : time }
}

/** @param {Run} run */
function showRun(run) {
  const node = isOpen(run.workflow) ? nodeOf(run.node) : null
  if (node) tables.get(node)?.show(run.tiles, true)
}

const showRuns = () => sheets.forEach(showRun)

api.addEventListener(SHEET_EVENT, ({ detail }) => {
  /** @type {import("./contract.mjs").SentSheet} */
  const { node, prompt_id: prompt, workflow, tiles, runs } = detail ?? {}
  if (![tiles, runs].every(Array.isArray) || !tiles.every(isTile)) return
  const waiting = tiles.map((/** @type {Tile} */ tile) => ({ ...tile, state: "waiting", note: "" }))
  const run = { node: String(node), prompt, runs, tiles: waiting, workflow }
  sheets.set(run.node, run)
  showRun(run)
})

api.addEventListener(TILES_EVENT, ({ detail }) => {
  /** @type {import("./contract.mjs").SentTiles} */
  const { node, prompt_id: prompt, drawn, drawing } = detail ?? {}
  const run = sheets.get(String(node))
  if (!run || run.prompt !== prompt || !Array.isArray(drawn)) return
  for (const { index, note, seconds, image } of drawn.filter((tile) => run.tiles[tile?.index])) {
    run.tiles[index] = { ...run.tiles[index], note, seconds, image, state: image ? "drawn" : "skipped" }
  }
  if (run.tiles[drawing]) run.tiles[drawing] = { ...run.tiles[drawing], state: "drawing", note: "drawing" }
  showRun(run)
})

api.addEventListener("executed", ({ detail }) => {
  if (detail?.output?.[TILES_RESULT]) sheets.delete(String(detail.display_node || detail.node))
})

for (const end of ["execution_interrupted", "execution_error"]) {
  api.addEventListener(end, () => {
    for (const run of sheets.values()) {
      run.tiles = run.tiles.map((tile) =>
        tile.state === "drawing" || tile.state === "waiting" ? { ...tile, state: "skipped", note: "not drawn" } : tile,
      )
      const node = isOpen(run.workflow) ? nodeOf(run.node) : null
      if (node) tables.get(node)?.show(run.tiles, false)
    }
    sheets.clear()
  })
}

/** @param {Tile[]} tiles of one sheet @param {Tile} tile */
const promptOf = (tiles, tile) => tile.prompt ?? changed(tiles[0].prompt, tile.changes)

/** @param {Tile} tile */
const fileName = (tile) => tile.label.replaceAll(/[\\/:*?"<>|]/g, "-")

/** @param {LGraphNode} node */
function tableOf(node) {
  const actions = /** @type {import("./light_table.mjs").Actions} */ ({
    /** Opens the prompt of a tile the way the host opens a prompt in API format: in a new tab. */
    open(tile) {
      const prompt = promptOf(table.tiles, tile)
      app.canvas.setGraph(app.rootGraph)
      app.loadApiJson(
        renumbered(
          prompt,
          app.rootGraph.nodes.map((other) => other.id),
        ),
        `Tile ${fileName(tile)}`,
      )
    },
    async save(tile) {
      const prompt = promptOf(table.tiles, tile)
      const file = new Uint8Array(await (await fetch(address(tile.image))).arrayBuffer())
      const link = document.createElement("a")
      link.href = URL.createObjectURL(new Blob([withPrompt(file, prompt)], { type: "image/png" }))
      link.download = `${fileName(tile)}.png`
      link.click()
      setTimeout(() => URL.revokeObjectURL(link.href), 10_000) // the browser reads it after the click
    },
    skip(tiles) {
      const run = [...sheets.values()].find((other) => other.tiles.some((tile) => tiles.includes(tile)))
      if (!run) return
      const runs = run.runs.filter((_, index) => tiles.includes(run.tiles[index]))
      void api.fetchApi(SKIP_COMMAND, {
        method: "POST",
        headers: { "Content-Type": "application/json" },
        body: JSON.stringify({ prompt_id: run.prompt, runs }),
      })
    },
  })
  const table = new LightTable(node, actions, offersOf(node))
  return table
}

/**
 * The values that each axis offers, as the host has them from the node's definition.
 * @param {LGraphNode} node
 * @returns {Record<string, string[]>}
 */
function offersOf(node) {
  const { required, optional } = node.constructor.nodeData?.input ?? {}
  const option = { ...required, ...optional }.column_values?.[1]?.[WORDS_OPTION]
  const { words } = /** @type {{words?: Record<string, {offers: string[]}>}} */ (option ?? {})
  return Object.fromEntries(Object.entries(words ?? {}).map(([axis, { offers }]) => [axis, offers]))
}

const hooks = resultHooks(NODE, TILES_RESULT, (node, output) => {
  tables.get(node)?.show(output[TILES_RESULT].filter(isTile).map(finished), false)
})

app.registerExtension({
  name: "REG.Compare",
  nodeCreated(node) {
    if (node.comfyClass !== NODE) return
    tables.set(node, tableOf(node))
    if (node.size[0] < WIDTH) node.setSize([WIDTH, node.size[1]])
  },
  afterConfigureGraph() {
    hooks.afterConfigureGraph()
    showRuns() // what is still running is newer than any result
  },
  onNodeOutputsUpdated(outputs) {
    hooks.onNodeOutputsUpdated(outputs)
    showRuns()
  },
})
