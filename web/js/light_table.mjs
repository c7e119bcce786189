/** The light table: the tiles of a sheet as they are drawn, one enlarged, two with a wipe between them. */

import { api } from "../../../scripts/api.js"
import { AxisChips, CHIPS_HEIGHT, CHIPS_STYLE } from "./axis_chips.mjs"
import { isNumber } from "./numbers.mjs"
import { addPanel, makeRoom, panel, part, remount } from "./panel.mjs"

/**
 * A tile has its prompt, or what is other in it than in that of the first: nodes by id, null for one that it lacks.
 * @typedef {import("./contract.mjs").SentTile & {label: string, note?: string, state?: string}} Tile
 */
/** @typedef {{open: (tile: Tile) => void, save: (tile: Tile) => void, skip: (tiles: Tile[]) => void}} Actions */

export const NAME = "reg-comparison"
const HINT_HEIGHT = 40
const HEIGHT = 320
const HINT = "When you run the workflow, its tiles appear here one by one."
const KEYS = "Arrow keys choose a tile, Enter opens it as a workflow, a click or Space enlarges it."
const WIPE = "Arrow keys change the tile, with Shift the other one; Enter opens the tile as a workflow, Escape closes."
/** How far an arrow key goes, in columns and rows. @type {Record<string, [number, number]>} */
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }

export class LightTable {
  /** @param {LGraphNode} node @param {Actions} actions @param {Record<string, string[]>} offers values by axis */
  constructor(node, actions, offers) {
    this.node = node
    this.actions = actions
    const { element, card } = panel(NAME, STYLE)
    this.element = element
    card.innerHTML = `<div class="chips"></div><p>${HINT}</p>
      <div class="table" hidden>
        <div class="grid" role="listbox" aria-label="Tiles of the sheet" title="${KEYS}"
          data-capture-wheel="true"></div>
        <div class="bar">${BAR}
          <button class="skip" type="button" title="Goes on with the next tile." hidden>Skip tile</button>
          <button class="stop" type="button" title="Ends the sheet with the tiles so far." hidden>Stop</button>
        </div>
      </div>
      <dialog aria-label="Tile">
        <div class="view"><img class="one" alt=""><img class="other" alt=""><i class="edge"></i></div>
        <div class="bar">${BAR}
          <select aria-label="Compare with"></select>
          <input type="range" min="0" max="100" value="50" aria-label="Wipe">
          <button class="close" type="button">Close</button>
        </div>
        <p class="dim">${WIPE}</p>
      </dialog>`
    this.card = card
    this.hint = part(card, "p", HTMLElement)
    this.table = part(card, ".table", HTMLElement)
    this.grid = part(card, ".grid", HTMLElement)
    this.dialog = part(card, "dialog", HTMLDialogElement)
    this.one = part(card, ".one", HTMLImageElement)
    this.other = part(card, ".other", HTMLImageElement)
    this.edge = part(card, ".edge", HTMLElement)
    this.select = part(card, "select", HTMLSelectElement)
    this.range = part(card, "[type=range]", HTMLInputElement)
    this.skip = part(card, ".skip", HTMLButtonElement)
    this.stop = part(card, ".stop", HTMLButtonElement)
    /** @type {Tile[]} */
    this.tiles = []
    this.running = false
    this.chosen = 0
    this.against = -1 // the tile on the other side of the wipe
    this.listen()
    const height = () => CHIPS_HEIGHT + (this.tiles.length ? HEIGHT : HINT_HEIGHT) + 16
    const widget = addPanel(node, "reg_tiles", "REG_TILES", element, CHIPS_HEIGHT + HINT_HEIGHT, {
      serialize: false,
      getMinHeight: height,
      getMaxHeight: height,
    })
    widget.serialize = false
    makeRoom(node)
    this.chips = new AxisChips(node, part(card, ".chips", HTMLElement), offers)
  }

  listen() {
    this.card.addEventListener("keydown", (event) => {
      event.stopPropagation() // keys here are no shortcuts of the host
      if (event.target instanceof HTMLSelectElement || event.target instanceof HTMLInputElement) return
      const arrow = ARROWS[event.key]
      const isTile = event.target instanceof HTMLElement && event.target.role === "option"
      if (arrow && event.shiftKey && this.dialog.open) this.compareWith(this.neighbour(this.against, arrow))
      else if (arrow) this.choose(this.neighbour(this.chosen, arrow), true)
      else if (event.key === "Enter" && (isTile || event.target === this.dialog)) this.open()
      else return
      event.preventDefault()
    })
    this.dialog.addEventListener("wheel", (event) => event.stopPropagation())
    this.dialog.addEventListener("close", () => this.choose(this.chosen, true))
    for (const button of this.card.querySelectorAll(".open")) button.addEventListener("click", () => this.open())
    for (const button of this.card.querySelectorAll(".save")) {
      button.addEventListener("click", () => this.actions.save(this.tiles[this.chosen]))
    }
    part(this.card, ".close", HTMLElement).addEventListener("click", () => this.dialog.close())
    this.skip.addEventListener("click", () => {
      this.actions.skip(this.tiles.filter(({ state }) => state === "drawing"))
    })
    this.stop.addEventListener("click", () => {
      this.actions.skip(this.tiles.filter(({ state }) => state === "drawing" || state === "waiting"))
    })
    this.select.addEventListener("change", () => this.compareWith(this.select.selectedIndex - 1))
    this.range.addEventListener("input", () => this.wipe(Number(this.range.value)))
    part(this.card, ".view", HTMLElement).addEventListener("pointermove", (event) => {
      const box = this.one.getBoundingClientRect()
      if (this.against >= 0) this.wipe(Math.min(100, Math.max(0, (100 * (event.clientX - box.left)) / box.width)))
    })
  }

  /** The tile beside another one, or itself at the edge. @param {number} index @param {[number, number]} step */
  neighbour(index, [across, down]) {
    const places = this.places()
    const [column, row] = places[index] ?? [0, 0]
    const found = places.findIndex((place) => place[0] === column + across && place[1] === row + down)
    return found < 0 ? index : found
  }

  /** Column and row of each tile; an older result has none, and its rows end where the words of the row change. */
  places() {
    const width = this.tiles.findIndex((tile) => tile.row !== this.tiles[0].row)
    const columns = width < 0 ? this.tiles.length : width
    return this.tiles.map(({ place }, index) =>
      Array.isArray(place) && place.every(isNumber) ? place : [index % columns, Math.floor(index / columns)],
    )
  }

  /** @param {Tile[]} tiles @param {boolean} running whether more of them are to come */
  show(tiles, running) {
    remount(this.node, this.element, NAME)
    const grows = !this.tiles.length && tiles.length > 0
    const chosen = this.tiles[this.chosen]?.label
    const same = this.tiles.length === tiles.length && this.tiles.every(({ label }, i) => label === tiles[i].label)
    this.tiles = tiles
    this.running = running
    if (!same)
      this.chosen = Math.max(
        0,
        tiles.findIndex((tile) => tile.label === chosen),
      ) // the first, where it is gone
    if (!same || this.against >= tiles.length) this.against = -1
    this.hint.hidden = tiles.length > 0
    this.table.hidden = !tiles.length
    this.skip.hidden = this.stop.hidden = !running
    if (grows) makeRoom(this.node)
    if (tiles.length) this.draw()
  }

  draw() {
    const places = this.places()
    const headers = this.tiles.some((tile) => tile.column)
    const columns = 1 + Math.max(...places.map(([column]) => column))
    this.grid.style.gridTemplateColumns = `auto repeat(${columns}, minmax(52px, 1fr))`
    const focused = this.grid.contains(/** @type {ShadowRoot} */ (this.card.getRootNode()).activeElement)
    const words = places.flatMap(([column, row], index) => [
      ...(row === 0 && headers ? [header(this.tiles[index].column, column + 2, 1)] : []),
      ...(column === 0 && this.tiles[index].row ? [header(this.tiles[index].row, 1, row + 2)] : []),
    ])
    this.options = this.tiles.map((tile, index) => this.option(tile, index, places[index]))
    this.grid.replaceChildren(...words, ...this.options)
    this.select.replaceChildren(
      new Option("Compare with ..."),
      ...this.tiles.map((tile) => new Option(tile.label, "", false, false)),
    )
    this.choose(this.chosen, focused)
  }

  /** @param {Tile} tile @param {number} index @param {number[]} place */
  option(tile, index, [column, row]) {
    const button = document.createElement("button")
    button.type = "button"
    button.role = "option"
    button.style.gridArea = `${row + 2} / ${column + 2}`
    button.dataset.state = tile.state
    button.ariaLabel = tile.label + (tile.note ? `, ${tile.note}` : "")
    button.title = button.ariaLabel
    if (tile.image) {
      const image = button.appendChild(new Image())
      image.alt = ""
      image.src = address(tile.image, "webp;80")
      image.addEventListener("error", () => image.remove()) // gone with the host's temporary folder
    }
    const note = button.appendChild(document.createElement("span"))
    note.textContent = tile.note ?? ""
    button.addEventListener("click", (event) => {
      if (event.shiftKey && index !== this.chosen) this.compareWith(index)
      else this.choose(index, true)
      this.enlarge()
    })
    return button
  }

  /** @param {number} index @param {boolean} focus */
  choose(index, focus) {
    this.chosen = index
    const tile = this.tiles[index]
    if (!tile) return
    for (const [i, option] of (this.options ?? []).entries()) {
      option.ariaSelected = String(i === index)
      option.tabIndex = i === index ? 0 : -1
    }
    if (focus && !this.dialog.open) this.options?.[index].focus()
    for (const label of this.card.querySelectorAll(".label")) {
      label.textContent = tile.label + (tile.note ? ` (${tile.note})` : "")
    }
    for (const button of this.card.querySelectorAll(".save"))
      if (button instanceof HTMLElement) button.hidden = !tile.image
    if (this.dialog.open) this.enlarge()
  }

  enlarge() {
    const [one, other] = [this.tiles[this.chosen], this.tiles[this.against]]
    for (const [image, tile] of /** @type {[HTMLImageElement, Tile | undefined][]} */ ([
      [this.one, one],
      [this.other, other],
    ])) {
      image.hidden = !tile?.image
      if (tile?.image) image.src = address(tile.image)
      image.alt = tile?.label ?? ""
    }
    const wipes = Boolean(one?.image && other?.image)
    this.edge.hidden = this.range.hidden = !wipes
    this.select.selectedIndex = this.against + 1
    this.wipe(Number(this.range.value))
    if (!this.dialog.open) {
      this.dialog.showModal()
      this.dialog.tabIndex = -1
      this.dialog.focus()
    }
  }

  /** @param {number} index of a tile; -1 for none */
  compareWith(index) {
    this.against = index
    if (this.dialog.open) this.enlarge()
  }

  /** Shows the tile up to a percentage of the width, and the other one from there. @param {number} percent */
  wipe(percent) {
    this.range.value = String(percent)
    this.dialog.style.setProperty("--wipe", `${percent}%`)
  }

  open() {
    const tile = this.tiles[this.chosen]
    if (!tile) return
    if (this.dialog.open) this.dialog.close()
    this.actions.open(tile)
  }
}

/** @param {string} text @param {number} column @param {number} row */
function header(text, column, row) {
  const words = document.createElement("b")
  words.textContent = text
  words.title = text
  words.style.gridArea = `${row} / ${column}`
  return words
}

/**
 * Where the host serves a picture.
 * @param {Record<string, string>} image
 * @param {string} [preview] a smaller format of it
 */
export function address(image, preview) {
  const { filename, subfolder, type } = image
  return api.apiURL(`/view?${new URLSearchParams({ filename, subfolder, type, ...(preview ? { preview } : {}) })}`)
}

const OPENS = "Opens the tile in a new tab; this workflow stays open."
const SAVES = "Saves the picture of the tile, with its workflow in the file."
const BAR = `<span class="label"></span>
  <button class="open" type="button" title="${OPENS}">Open as workflow</button>
  <button class="save" type="button" title="${SAVES}">Save</button>`

const STYLE = `${CHIPS_STYLE}
  .card { padding: 6px 8px; }
  [hidden] { display: none !important; }
  p { margin: 6px 2px; color: var(--reg-dim); }
  .table { height: ${HEIGHT - 12}px; display: flex; flex-direction: column; gap: 6px; }
  .grid { flex: 1; min-height: 0; overflow: auto; display: grid; gap: 4px; align-content: start; }
  .grid b { font-weight: normal; color: var(--reg-dim); align-self: center; text-align: center; padding: 0 3px;
    overflow: hidden; text-overflow: ellipsis; max-width: 110px; justify-self: center; }
  [role=option] { all: unset; box-sizing: border-box; display: flex; flex-direction: column; align-items: center;
    justify-content: end; gap: 2px; min-height: 52px; padding: 2px; border-radius: 4px; cursor: zoom-in;
    border: 1px solid var(--reg-line); background: color-mix(in srgb, var(--reg-ink) 5%, transparent); }
  [role=option] img { width: 100%; max-height: 200px; min-height: 0; object-fit: contain; border-radius: 2px; }
  [role=option] span { color: var(--reg-dim); font-size: 10px; text-align: center; }
  [role=option][data-state=drawing] { border-color: var(--reg-main); }
  [role=option][data-state=waiting] { border-style: dashed; }
  [role=option][aria-selected=true] { border-color: var(--reg-ink); }
  [role=option]:focus-visible { outline: 2px solid var(--reg-main); outline-offset: -1px; }
  .bar { display: flex; gap: 6px; align-items: center; }
  .label { flex: 1; min-width: 0; overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
  select, .bar button { box-sizing: border-box; height: 26px; padding: 0 8px; border-radius: 5px; font: inherit;
    color: inherit; background: color-mix(in srgb, var(--reg-ink) 9%, var(--reg-paper));
    border: 1px solid var(--reg-line); cursor: pointer; white-space: nowrap; }
  option { color: var(--reg-ink); background: var(--reg-paper); }
  select:hover, .bar button:hover { background: color-mix(in srgb, var(--reg-ink) 17%, var(--reg-paper)); }
  select:focus-visible, .bar button:focus-visible, input:focus-visible { outline: 2px solid var(--reg-main);
    outline-offset: 1px; }
  [type=range] { accent-color: var(--reg-main); width: 110px; }
  dialog { box-sizing: border-box; width: 94vw; height: 94vh; max-width: none; max-height: none; padding: 12px;
    border: 1px solid var(--reg-line); border-radius: 10px; color: var(--reg-ink); background: var(--reg-paper);
    font-size: 13px; flex-direction: column; gap: 8px; outline: none; }
  dialog[open] { display: flex; }
  dialog::backdrop { background: rgb(0 0 0 / 60%); }
  dialog p { margin: 0; }
  .view { position: relative; flex: 1; min-height: 0; }
  .view img { position: absolute; inset: 0; width: 100%; height: 100%; object-fit: contain; }
  .view .other { clip-path: inset(0 0 0 var(--wipe)); background: var(--reg-paper); }
  .edge { position: absolute; inset: 0 auto 0 var(--wipe); width: 2px; margin-left: -1px; background: var(--reg-main); }
`
