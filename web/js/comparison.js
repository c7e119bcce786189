/** REG_Compare: any tile of the sheet can be opened as a workflow of its own. */

import { app } from "../../../scripts/app.js"
import { TILES_RESULT } from "./contract.mjs"
import { isNumber } from "./numbers.mjs"
import { addPanel, makeRoom, panel, part, remount } from "./panel.mjs"
import { resultHooks } from "./results.mjs"

const NODE = "REG_Compare"
const NAME = "reg-comparison"
const HEIGHT = 40
const WIDTH = 360
const HINT = "After a run, you can open any tile of the sheet here as a workflow."

/**
 * A tile has its prompt, or what is other in it than in that of the first: nodes by id, null for one that it lacks.
 * @typedef {import("./contract.mjs").SentTile & {label: string}} Tile
 * @typedef {Record<string, any>} Prompt
 */

class TileList {
  /** @param {LGraphNode} node */
  constructor(node) {
    this.node = node
    const { element, card } = panel(NAME, STYLE)
    this.element = element
    card.innerHTML = `<p>${HINT}</p>
      <form hidden><select aria-label="Tile of the sheet"></select>
      <button title="Opens the tile in a new tab; this workflow stays open.">Open tile as workflow</button>
      </form>`
    this.hint = part(card, "p", HTMLElement)
    this.form = part(card, "form", HTMLElement)
    this.select = part(card, "select", HTMLSelectElement)
    /** @type {Tile[]} */
    this.tiles = []
    this.form.addEventListener("submit", (event) => {
      event.preventDefault()
      const { label, prompt, changes } = this.tiles[this.select.selectedIndex]
      openTile(label, prompt ?? changed(this.tiles[0].prompt, changes))
    })
    this.form.addEventListener("keydown", (event) => event.stopPropagation()) // keys here are no shortcuts of the host
    const widget = addPanel(node, "reg_tiles", "REG_TILES", element, HEIGHT, { serialize: false })
    widget.serialize = false
    makeRoom(node)
    requestAnimationFrame(() => this.show(this.tiles))
  }

  /** @param {import("./contract.mjs").SentTile[]} tiles as they were sent */
  show(tiles) {
    remount(this.node, this.element, NAME)
    const chosen = this.tiles[this.select.selectedIndex]?.label
    this.tiles = tiles.filter(isTile)
    this.select.replaceChildren(...this.tiles.map((tile) => new Option(tile.label + duration(tile.seconds))))
    const same = this.tiles.findIndex((tile) => tile.label === chosen)
    this.select.selectedIndex = Math.max(0, same)
    this.hint.hidden = this.tiles.length > 0
    this.form.hidden = !this.tiles.length
  }
}

/** @param {import("./contract.mjs").SentTile} tile @returns {tile is Tile} */
function isTile(tile) {
  return typeof tile?.label === "string" && Boolean(tile.prompt || tile.changes)
}

/**
 * A prompt with other nodes, without those that are null.
 * @param {Prompt} [prompt]
 * @param {Prompt} [changes]
 */
function changed(prompt, changes) {
  return Object.fromEntries(Object.entries({ ...prompt, ...changes }).filter(([, node]) => node))
}

/**
 * Opens the prompt of a tile the way the host opens a prompt in API format: in a new tab.
 * @param {string} label
 * @param {Prompt} prompt
 */
function openTile(label, prompt) {
  app.canvas.setGraph(app.rootGraph)
  app.loadApiJson(renumbered(prompt), `Tile ${label.replaceAll(/[\\/:*?"<>|]/g, "-")}`)
}

/**
 * The prompt with node ids that the open workflow does not use, for the host would show its pictures on nodes of the
 * same id; and with seeds that stay, for a new node draws another after each run.
 * @param {Prompt} prompt
 */
function renumbered(prompt) {
  const used = app.rootGraph.nodes.map((node) => Number(node.id)).filter(Number.isFinite)
  const first = Math.max(0, ...used) + 1
  const ids = new Map(Object.keys(prompt).map((id, index) => [id, String(first + index)]))
  const moved = Object.entries(prompt).map(([id, node]) => {
    const inputs = Object.entries(node.inputs).map(([name, value]) => [name, isLink(value) ? link(value) : value])
    if ("seed" in node.inputs || "noise_seed" in node.inputs) inputs.push(["control_after_generate", "fixed"])
    return [ids.get(id), { ...node, inputs: Object.fromEntries(inputs) }]
  })
  return Object.fromEntries(moved)

  /** @param {[unknown, unknown]} value */
  function link([id, slot]) {
    return [ids.get(String(id)), slot]
  }

  /** @param {unknown} value @returns {value is [unknown, unknown]} */
  function isLink(value) {
    return Array.isArray(value) && value.length === 2 && ids.has(String(value[0]))
  }
}

/** The time of one image; the host's cache may keep an image without it. @param {number | null} seconds */
const duration = (seconds) => (isNumber(seconds) ? ` (${Number(seconds.toPrecision(2))} s)` : "")

const STYLE = `
  .card { height: ${HEIGHT}px; padding: 6px 8px; }
  form { display: flex; gap: 6px; margin: 0; }
  [hidden] { display: none; }
  p { margin: 6px 2px; color: var(--reg-dim); }
  select, button { box-sizing: border-box; height: 28px; padding: 0 8px; border-radius: 5px; font: inherit;
    color: inherit; background: color-mix(in srgb, var(--reg-ink) 9%, var(--reg-paper));
    border: 1px solid var(--reg-line); cursor: pointer; }
  select { flex: 1; min-width: 0; text-overflow: ellipsis; }
  option { color: var(--reg-ink); background: var(--reg-paper); }
  button { white-space: nowrap; }
  select:hover, button:hover { background: color-mix(in srgb, var(--reg-ink) 17%, var(--reg-paper)); }
  select:focus-visible, button:focus-visible { outline: 2px solid var(--reg-main); outline-offset: 1px; }
`

/** @type {WeakMap<object, TileList>} */
const lists = new WeakMap()

app.registerExtension({
  name: "REG.Compare",
  nodeCreated(node) {
    if (node.comfyClass !== NODE) return
    lists.set(node, new TileList(node))
    if (node.size[0] < WIDTH) node.setSize([WIDTH, node.size[1]])
  },
  ...resultHooks(NODE, TILES_RESULT, (node, output) => lists.get(node)?.show(output[TILES_RESULT])),
})
