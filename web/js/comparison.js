/** REG_Compare: any tile of the sheet can be opened as a workflow of its own. */

import { app } from "../../../scripts/app.js"
import { Chart } from "./chart.mjs"
import { resultHooks } from "./results.mjs"

const NODE = "REG_Compare"
const HEIGHT = 40
const WIDTH = 360
const HINT = "After a run, any tile of the sheet can be opened here as a workflow."

/**
 * @typedef {{label: string, row: string, column: string, seconds: number | null, prompt: object}} Tile
 */

class TileList {
  /** @param {object} node */
  constructor(node) {
    this.element = document.createElement("div")
    this.element.className = "reg-comparison"
    const root = this.element.attachShadow({ mode: "open" })
    root.innerHTML = `<style>${Chart.style}${STYLE}</style><p>${HINT}</p>
      <form hidden><select aria-label="Tile of the sheet"></select>
      <button title="Opens the tile in a tab of its own; this workflow stays open.">Open tile as workflow</button></form>`
    this.hint = root.querySelector("p")
    this.form = root.querySelector("form")
    this.select = root.querySelector("select")
    /** @type {Tile[]} */
    this.tiles = []
    this.form.addEventListener("submit", (event) => {
      event.preventDefault()
      openTile(this.tiles[this.select.selectedIndex])
    })
    this.form.addEventListener("keydown", (event) => event.stopPropagation()) // keys here are no shortcuts of the host
    const widget = node.addDOMWidget("reg_tiles", "REG_TILES", this.element, {
      serialize: false,
      hideOnZoom: false,
      getMinHeight: () => HEIGHT,
      getMaxHeight: () => HEIGHT,
    })
    widget.serialize = false
  }

  /** @param {Tile[]} tiles */
  show(tiles) {
    const chosen = this.tiles[this.select.selectedIndex]?.label
    this.tiles = tiles
    this.select.replaceChildren(...tiles.map((tile) => new Option(`${tile.label} (${duration(tile.seconds)})`)))
    this.select.selectedIndex = Math.max(0, tiles.findIndex((tile) => tile.label === chosen))
    this.hint.hidden = tiles.length > 0
    this.form.hidden = !tiles.length
  }
}

/** Opens the prompt of a tile the way the host opens a prompt in API format: in a new tab. @param {Tile} tile */
function openTile({ label, prompt }) {
  app.canvas.setGraph(app.rootGraph)
  app.loadApiJson(renumbered(prompt), `Tile ${label.replaceAll(/[\\/:*?"<>|]/g, "-")}`)
}

/**
 * The prompt with node ids that the open workflow does not use, for the host would show its pictures on nodes of the
 * same id; and with seeds that stay, for a new node draws another after each run.
 */
function renumbered(prompt) {
  const used = app.rootGraph.nodes.map((node) => Number(node.id)).filter(Number.isFinite)
  const first = Math.max(0, ...used) + 1
  const ids = new Map(Object.keys(prompt).map((id, index) => [id, String(first + index)]))
  const moved = {}
  for (const [id, node] of Object.entries(prompt)) {
    const inputs = Object.entries(node.inputs).map(([name, value]) => [name, isLink(value) ? link(value) : value])
    if ("seed" in node.inputs || "noise_seed" in node.inputs) inputs.push(["control_after_generate", "fixed"])
    moved[ids.get(id)] = { ...node, inputs: Object.fromEntries(inputs) }
  }
  return moved

  function link([id, slot]) {
    return [ids.get(String(id)), slot]
  }

  function isLink(value) {
    return Array.isArray(value) && value.length === 2 && ids.has(String(value[0]))
  }
}

const duration = (seconds) => (seconds === null ? "time unknown" : `${Number(seconds.toPrecision(2))} s an image`)

const STYLE = `
  :host { display: block; box-sizing: border-box; min-height: ${HEIGHT}px; padding: 6px 8px; border-radius: 6px;
    background: var(--reg-paper); color: var(--reg-ink); font: 11px/1.35 Inter, system-ui, sans-serif; }
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
  ...resultHooks(NODE, "reg_tiles", (node, output) => lists.get(node)?.show(output.reg_tiles)),
})
