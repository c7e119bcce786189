/** The line at the foot of a node: a short sentence, whole at any width of the node, with details as its tooltip. */

import { app } from "../../../scripts/app.js"
import { addPanel, makeRoom, panel, remount } from "./panel.mjs"

const NAME = "reg-status"
const HEIGHT = 22 // two lines of 10 pixels, or one with room around it
const MARGIN = 1
const SIZES = [11, 10, 9, 8, 7] // pixels; the largest in which the sentence is whole

/** @typedef {{line: string, details: string, urgent: boolean, stale: boolean}} Shown */

class StatusLine {
  /** @param {LGraphNode} node */
  constructor(node) {
    this.node = node
    const { element, card } = panel(NAME, STYLE)
    this.element = element
    this.card = card
    card.role = "status"
    this.shown = ""
    /** @type {Shown | null} */
    this.mistake = null
    /** @type {Shown | null} */
    this.told = null
    const widget = addPanel(node, "reg_status", "REG_STATUS", element, HEIGHT, { serialize: false }, MARGIN)
    widget.serialize = false
    makeRoom(node)
    app.canvas.setDirty(true, true) // or the classic renderer places the line with its next frame only
    new ResizeObserver(() => this.fit()).observe(card)
  }

  /** @param {Shown | null} shown nothing where the line is to be empty */
  show(shown) {
    remount(this.node, this.element, NAME)
    const text = JSON.stringify(shown)
    if (text === this.shown) return
    this.shown = text
    this.card.textContent = shown ? (shown.stale ? "Last run: " : "") + shown.line : ""
    this.element.title = shown?.details ?? ""
    this.card.className = `card ${shown?.stale ? "stale" : shown?.urgent ? "urgent" : ""}`
    this.fit()
  }

  fit() {
    for (const size of SIZES) {
      this.card.style.fontSize = `${size}px`
      if (this.card.scrollHeight <= HEIGHT) break
    }
  }
}

const STYLE = `
  .card { height: ${HEIGHT}px; padding: 0 9px; border-radius: 0; line-height: 1.09; background: none;
    display: flex; align-items: center; border-left: 2px solid transparent; }
  .card.urgent { border-left-color: var(--reg-second); }
  .card.stale { color: var(--reg-dim); }
`

/** @type {WeakMap<LGraphNode, StatusLine>} */
const lines = new WeakMap()

/**
 * Shows a status on a node, which gets its line with the first one. What is written wrongly hides what was told.
 * @param {LGraphNode} node
 * @param {"mistake" | "told"} kind
 * @param {Shown | null} shown nothing where there is no status of this kind
 */
export function showStatus(node, kind, shown) {
  const line = lines.get(node) ?? (shown ? new StatusLine(node) : null)
  if (!line) return
  lines.set(node, line)
  line[kind] = shown
  line.show(line.mistake ?? line.told)
}
