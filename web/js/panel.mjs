/** The elements of our DOM widgets. */

import { app } from "../../../scripts/app.js"
import { Chart } from "./chart.mjs"

const MARGIN = 8
const STYLE = `
  :host { display: block; box-sizing: border-box; min-width: 0; color: var(--reg-ink);
    font: 11px/1.35 Inter, system-ui, sans-serif; }
  .card { position: relative; box-sizing: border-box; padding: 5px 4px 3px; border-radius: 8px;
    background: var(--reg-paper); }
`

/**
 * An element with a card in a shadow root, which keeps our CSS in and other CSS out.
 * @param {string} name its class
 * @param {string} style CSS besides that of the chart
 */
export function panel(name, style) {
  const element = document.createElement("div")
  element.className = name
  const root = element.attachShadow({ mode: "open" })
  const sheet = root.appendChild(document.createElement("style"))
  sheet.textContent = Chart.style + STYLE + style
  const card = root.appendChild(document.createElement("div"))
  card.className = "card"
  return { element, card }
}

/**
 * The first element inside a card that a selector finds; throws where there is none of this class.
 * @template {Element} T
 * @param {Element} card
 * @param {string} selector
 * @param {new () => T} kind
 * @returns {T}
 */
export function part(card, selector, kind) {
  const found = card.querySelector(selector)
  if (found instanceof kind) return found
  throw new TypeError(`REG: expected a panel with a ${kind.name} ${selector}`)
}

/**
 * Adds the element to the node as a widget of a fixed height in CSS pixels.
 * @param {LGraphNode} node
 * @param {string} name
 * @param {string} type
 * @param {HTMLElement} element
 * @param {number} height
 * @param {object} options
 * @param {number} [margin] around it
 */
export function addPanel(node, name, type, element, height, options, margin = MARGIN) {
  const getHeight = () => height + 2 * margin
  return node.addDOMWidget(name, type, element, {
    hideOnZoom: false,
    margin,
    getMinHeight: getHeight,
    getMaxHeight: getHeight,
    ...options,
  })
}

/**
 * Makes room for the panel in a new node at once: growing when first drawn, it would be a change of its own to undo.
 * @param {LGraphNode} node
 */
export function makeRoom(node) {
  const [width, height] = node.computeSize()
  node.setSize([Math.max(node.size[0], width), Math.max(node.size[1], height)])
}

/**
 * Shows the element where Nodes 2.0 still shows that of a node which undo has replaced by one of the same id: the host
 * mounts an element once for each id.
 * @param {LGraphNode} node
 * @param {HTMLElement} element
 * @param {string} name the class of both elements
 */
export function remount(node, element, name) {
  if (element.isConnected || node.graph !== app.canvas?.graph) return
  const stale = document.querySelector(`[data-node-id="${CSS.escape(String(node.id))}"] .${name}`)
  stale?.replaceWith(element)
}
