/** The values of both axes as chips: one can be taken away, or added from what the axis offers, or written. */

import { app } from "../../../scripts/app.js"
import { readValues, writeValues } from "./axis_text.mjs"
import { linkInto } from "./graph.mjs"
import { watch } from "./schedule_nodes.mjs"

const AXES = [
  ["columns", "column_values"],
  ["rows", "row_values"],
]
export const CHIPS_HEIGHT = 60 // two lines

export class AxisChips {
  /**
   * @param {LGraphNode} node
   * @param {HTMLElement} place that they fill
   * @param {Record<string, string[]>} offers by axis
   */
  constructor(node, place, offers) {
    this.node = node
    this.place = place
    this.offers = offers
    this.drawn = ""
    watch(node, () => this.draw())
  }

  /** @param {string} name */
  widget(name) {
    return this.node.widgets?.find((widget) => widget.name === name)
  }

  draw() {
    const written = AXES.flat().map((name) => (linkInto(this.node, name) ? null : this.widget(name)?.value))
    const drawn = JSON.stringify(written)
    if (drawn === this.drawn) return
    this.drawn = drawn
    this.place.replaceChildren(...AXES.map(([axis, values]) => this.line(axis, values)))
  }

  /** @param {string} axisName @param {string} valuesName the widgets of an axis and its values */
  line(axisName, valuesName) {
    const line = document.createElement("div")
    line.className = "axis"
    line.ariaLabel = axisName
    line.role = "group"
    const [axis, text] = [this.widget(axisName)?.value, this.widget(valuesName)?.value]
    const isLinked = linkInto(this.node, axisName) || linkInto(this.node, valuesName)
    const name = line.appendChild(document.createElement("b"))
    name.textContent = isLinked ? `${axisName}: linked` : `${axisName}: ${axis}`
    if (isLinked || typeof axis !== "string" || typeof text !== "string" || !this.offers[axis]?.length) return line
    const { before, values } = readValues(axis, text)
    if (before) name.textContent += `, ${before}`
    values.forEach((value, index) => {
      const chip = line.appendChild(document.createElement("button"))
      chip.type = "button"
      chip.className = "chip"
      chip.textContent = value
      chip.title = `Takes ${value} away.`
      const others = values.filter((_, place) => place !== index)
      chip.addEventListener("click", () => this.write(valuesName, before, others))
    })
    const add = line.appendChild(document.createElement("input"))
    add.placeholder = "add"
    add.ariaLabel = `Add a value to ${axisName}`
    add.title = "Choose a value, or write one and press Enter."
    const list = line.appendChild(document.createElement("datalist"))
    list.id = `${axisName}-offers`
    list.replaceChildren(
      ...this.offers[axis].filter((offer) => !values.includes(offer)).map((offer) => new Option(offer)),
    )
    add.setAttribute("list", list.id)
    add.addEventListener("change", () => {
      const more = readValues("", add.value).values
      if (more.length) this.write(valuesName, before, [...values, ...more])
      const again = [...this.place.children].find((other) => other.ariaLabel === axisName)?.querySelector("input")
      again?.focus()
    })
    return line
  }

  /** @param {string} name of a widget @param {string} before @param {string[]} values */
  write(name, before, values) {
    const widget = this.widget(name)
    if (!widget) return
    widget.value = writeValues(before, values)
    widget.callback?.(widget.value, app.canvas, this.node)
    this.draw()
  }
}

export const CHIPS_STYLE = `
  .chips { height: ${CHIPS_HEIGHT - 4}px; display: flex; flex-direction: column; gap: 4px; margin-bottom: 4px; }
  .axis { height: 26px; display: flex; gap: 4px; align-items: center; overflow: auto hidden; scrollbar-width: thin; }
  .axis b { font-weight: normal; color: var(--reg-dim); white-space: nowrap; margin-right: 2px; }
  .chip { all: unset; flex: none; box-sizing: border-box; height: 20px; padding: 0 8px; border-radius: 10px;
    line-height: 20px; cursor: pointer; background: color-mix(in srgb, var(--reg-ink) 12%, transparent); }
  .chip::after { content: " ×"; color: var(--reg-dim); }
  .chip:hover { background: color-mix(in srgb, var(--reg-ink) 20%, transparent); }
  .chip:focus-visible, .axis input:focus-visible { outline: 2px solid var(--reg-main); outline-offset: -1px; }
  .axis input { flex: none; box-sizing: border-box; width: 74px; height: 20px; padding: 0 8px; border-radius: 10px;
    font: inherit; color: inherit; background: transparent; border: 1px dashed var(--reg-line); }
`
