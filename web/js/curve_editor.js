/**
 * Draws the curve of REG_ScheduleCurve with the mouse or the keyboard, in both renderers; the host's own editor exists
 * in one only. It takes the place of the host's CURVE widget in the node, under the same name and with the same value,
 * so what is saved and sent is the same with and without it.
 */

import { app } from "../../../scripts/app.js"
import { Chart, shape } from "./chart.mjs"
import { added, moved, removed, rounded } from "./curve_points.mjs"
import { INTERPOLATIONS, knotsOf, PRESETS, SMOOTH } from "./drawn_curve.mjs"
import { linkInto } from "./graph.mjs"
import { sigmaSD } from "./noise_levels.mjs"
import { readable } from "./numbers.mjs"
import { addPanel, makeRoom, panel, remount } from "./panel.mjs"
import { inputValue, lastRun, markEnds, markSteps, scheduleOf, watch } from "./schedule_nodes.mjs"
import { SCHEDULES, sample, weight } from "./schedules.mjs"

/** @typedef {import("./drawn_curve.mjs").CurveValue} CurveValue */
/** @typedef {import("./drawn_curve.mjs").Knot} Knot */

const { node: NODE, fields: WIDGETS } = SCHEDULES.curve

const NAME = "reg-curve"
const HEIGHT = 208
const TOP = 26 // room for the words above the points at the top
const TOOLS = 26
const CARD = HEIGHT + TOOLS + 8
const STEP = { plain: 0.01, shift: 0.1 }
const DOUBLE_CLICK = 500 // ms
const STYLE = `
  .tools { display: flex; justify-content: space-between; height: 22px; margin: 0 10px 4px 5px; }
  .tools > * { font: inherit; color: inherit; }
  .modes { display: flex; flex: none; border: 1px solid var(--reg-line); border-radius: 6px; overflow: hidden; }
  .modes button { font: inherit; color: var(--reg-dim); background: none; border: 0; padding: 2px 9px;
    cursor: pointer; }
  .modes button[aria-pressed="true"] { color: var(--reg-ink);
    background: color-mix(in srgb, var(--reg-main) 28%, transparent); }
  select { background: var(--reg-paper); border: 1px solid var(--reg-line); border-radius: 6px; padding: 2px 4px;
    cursor: pointer; }
  option { color: var(--reg-ink); background: var(--reg-paper); }
  .state { position: absolute; right: 18px; top: 33px; color: var(--reg-dim); font-size: 10px;
    font-variant-numeric: tabular-nums; pointer-events: none; }
  button:focus-visible, select:focus-visible { outline: 2px solid var(--reg-main); outline-offset: -1px; }
  .chart { touch-action: none; cursor: crosshair; }
  .locked .chart { cursor: default; }
  .locked .tools { display: none; }
  .locked { padding-top: 31px; }
  .handle { cursor: grab; outline: none; }
  .handle.held { cursor: grabbing; }
  .handle .grip { fill: transparent; }
  .handle .knob { fill: var(--reg-paper); stroke: var(--reg-main); stroke-width: 2; }
  .handle:hover .knob { fill: color-mix(in srgb, var(--reg-main) 40%, var(--reg-paper)); }
  .handle:focus .knob, .handle.held .knob { fill: var(--reg-main); }
  .handle:focus-visible .grip { stroke: var(--reg-main); stroke-width: 1.5; stroke-opacity: 0.7; }
`

class CurveEditor {
  /**
   * @param {LGraphNode} node
   * @param {Widget} own the host's CURVE widget, whose place and value this takes
   */
  constructor(node, own) {
    this.node = node
    /** @type {CurveValue} */
    this.value = JSON.parse(JSON.stringify(own.value))
    /** The point that the mouse holds. @type {number | null} */
    this.held = null
    this.pressed = -1
    this.addedAt = -Infinity
    this.editing = false
    this.locked = false
    this.drawn = ""
    const { element, card } = panel(NAME, STYLE)
    this.element = element
    this.card = card
    this.state = document.createElement("output")
    this.state.className = "state"
    this.modes = this.makeModes()
    this.presets = this.makePresets()
    const tools = document.createElement("div")
    tools.className = "tools"
    tools.append(this.modes, this.presets)
    this.card.append(tools, this.state)
    this.chart = new Chart(this.card, { height: HEIGHT, top: TOP, xLabel: "sampling", yLabel: "w" })
    this.chart.svg.setAttribute("role", "group")
    this.chart.onDraw = () => this.place()
    this.listen()
    const place = widgetsOf(node).indexOf(own)
    this.widget = addPanel(node, own.name, "REG_CURVE", element, CARD, {
      getValue: () => this.value,
      setValue: (/** @type {CurveValue} */ value) => {
        this.value = value
        this.draw()
      },
    })
    this.widget.label = own.label
    this.widget.tooltip = own.tooltip
    // The host would hide the widget of a linked input; this one then shows the curve that is linked.
    for (const name of ["computedDisabled", "connectionSuppressed"]) {
      Object.defineProperty(this.widget, name, { get: () => false, set() {} })
    }
    const widgets = widgetsOf(node)
    widgets.splice(widgets.indexOf(this.widget), 1)
    widgets.splice(place, 1, this.widget)
    makeRoom(node)
    const leave = () => {
      this.held = null
      this.finish() // an edit left open would switch off the host's undo
    }
    watch(node, () => this.draw(), leave)
  }

  makeModes() {
    const modes = document.createElement("div")
    modes.className = "modes"
    modes.setAttribute("role", "group")
    modes.setAttribute("aria-label", "Line between the points")
    for (const [interpolation, words] of Object.entries(INTERPOLATIONS)) {
      const button = modes.appendChild(document.createElement("button"))
      button.type = "button"
      button.textContent = words
      button.value = interpolation
      button.onclick = () => edit(() => this.set(knotsOf(this.value), interpolation))
    }
    return modes
  }

  makePresets() {
    const menu = document.createElement("select")
    menu.setAttribute("aria-label", "Presets")
    menu.append(new Option("Presets", ""), ...Object.keys(PRESETS).map((name) => new Option(name, name)))
    menu.onchange = () => {
      const preset = PRESETS[menu.value]
      menu.selectedIndex = 0
      if (preset) edit(() => this.set(preset.points, preset.interpolation))
    }
    return menu
  }

  listen() {
    const { svg } = this.chart
    svg.addEventListener("pointerdown", (event) => this.press(event))
    svg.addEventListener("pointermove", (event) => this.drag(event))
    const release = () => this.release()
    for (const end of ["pointerup", "pointercancel", "lostpointercapture"]) svg.addEventListener(end, release)
    svg.addEventListener("contextmenu", (event) => {
      const index = this.indexOf(event.target)
      if (index < 0) return
      event.preventDefault()
      event.stopPropagation()
      this.remove(index)
    })
    svg.addEventListener("dblclick", (event) => {
      // The first click of a double click into the empty plot added the point that the second one hits. The point is
      // the one pressed last: the event itself goes to the <svg>, which had captured the pointer.
      if (event.timeStamp - this.addedAt > DOUBLE_CLICK) this.remove(this.pressed)
    })
    this.card.addEventListener("keydown", (event) => this.key(event))
    this.card.addEventListener("keyup", () => this.finish())
    this.card.addEventListener("focusout", () => this.finish())
    this.card.addEventListener("focusin", () => this.tell())
  }

  /** @param {PointerEvent} event */
  press(event) {
    if (event.button !== 0 || this.locked) return
    let index = this.indexOf(event.target)
    this.start()
    if (index < 0) {
      index = this.add(...this.dataAt(event))
      if (index < 0) return this.finish()
      this.addedAt = event.timeStamp
    }
    this.chart.svg.setPointerCapture(event.pointerId)
    this.held = this.pressed = index
    this.focus(index)
    this.place()
  }

  /** @param {PointerEvent} event */
  drag(event) {
    if (this.held !== null) this.move(this.held, ...this.dataAt(event))
  }

  release() {
    if (this.held === null) return
    this.held = null
    this.place()
    this.finish()
  }

  /** @param {KeyboardEvent} event */
  key(event) {
    const toolbar = event.target === this.presets
    const index = this.indexOf(event.target)
    const knots = knotsOf(this.value)
    const step = event.shiftKey ? STEP.shift : STEP.plain
    const [x, y] = knots[index] ?? [0, 0]
    /** @type {Record<string, () => void>} */
    const actions = {
      ArrowLeft: () => this.shift(index, x - step, y),
      ArrowRight: () => this.shift(index, x + step, y),
      ArrowUp: () => this.shift(index, x, y + this.upward() * step),
      ArrowDown: () => this.shift(index, x, y - this.upward() * step),
      Home: () => this.focus(0),
      End: () => this.focus(knots.length - 1),
      Delete: () => this.remove(index),
      Backspace: () => this.remove(index),
      Insert: () => this.insert(index),
    }
    const handled = index >= 0 && !event.ctrlKey && !event.metaKey && !event.altKey && actions[event.key]
    // The host has shortcuts on plain keys, Delete among them, which would reach the node.
    if (handled || (toolbar && !event.ctrlKey && !event.metaKey)) event.stopPropagation()
    if (!handled) return
    event.preventDefault()
    handled()
  }

  /**
   * A held arrow key is one edit to undo.
   * @param {number} index
   * @param {number} x
   * @param {number} y
   */
  shift(index, x, y) {
    this.start()
    this.move(index, x, y)
  }

  /** @param {number} index the new point lies to the right of it */
  insert(index) {
    const knots = knotsOf(this.value)
    const left = Math.min(index, knots.length - 2)
    const x = (knots[left][0] + knots[left + 1][0]) / 2
    const [low, high] = this.range()
    const schedule = scheduleOf(this.node)
    const y = schedule && high !== low ? (weight(schedule, x, 1) - low) / (high - low) : knots[left][1]
    edit(() => {
      const added = this.add(x, y)
      if (added >= 0) this.focus(added)
    })
  }

  /**
   * @param {number} x
   * @param {number} y
   * @returns {number} the index of the new point, or -1 where there is no room for one
   */
  add(x, y) {
    const result = added(knotsOf(this.value), x, y)
    if (!result) return -1
    this.set(result.knots)
    return result.index
  }

  /**
   * @param {number} index
   * @param {number} x
   * @param {number} y
   */
  move(index, x, y) {
    const knots = moved(knotsOf(this.value), index, x, y)
    if (knots) this.set(knots)
  }

  /** @param {number} index */
  remove(index) {
    if (index < 0 || this.locked) return
    const knots = removed(knotsOf(this.value), index)
    if (!knots) {
      this.state.textContent = "A curve needs at least two points."
      return
    }
    const inside = this.chart.overlay.contains(this.focused())
    edit(() => this.set(knots))
    if (inside) this.focus(Math.min(index, knots.length - 1))
  }

  /**
   * @param {Knot[]} points
   * @param {string} [interpolation]
   */
  set(points, interpolation = this.interpolation) {
    this.value = { points: points.map(([x, y]) => [x, y]), interpolation }
    this.widget.callback?.(this.value, app.canvas, this.node)
    this.node.graph?.setDirtyCanvas(true, false)
    this.draw()
  }

  start() {
    if (!this.editing) beginEdit()
    this.editing = true
  }

  finish() {
    if (!this.editing || this.held !== null) return
    this.editing = false
    endEdit()
  }

  draw() {
    remount(this.node, this.element, NAME)
    const curve = inputValue(this.node, WIDGETS.curve)
    const schedule = scheduleOf(this.node)
    const range = this.range()
    const run = lastRun(this.node)
    this.locked = Boolean(linkInto(this.node, WIDGETS.curve))
    const drawn = JSON.stringify([curve, range, run, this.locked])
    if (drawn === this.drawn) return
    this.drawn = drawn
    this.card.classList.toggle("locked", this.locked)
    for (const button of this.modes.querySelectorAll("button")) {
      button.setAttribute("aria-pressed", String(button.value === this.interpolation))
    }
    this.chart.clear()
    this.chart.setRange({ y: [Math.min(...range), Math.max(...range)], exact: true })
    this.chart.level(1, "dim thin dashed reference")
    if (schedule) {
      const points = sample(schedule, sigmaSD)
      this.chart.line(points)
      markEnds(this.chart, points, 9)
      if (run) markSteps(this.chart, run, (percent, sigma) => weight(schedule, percent, sigma))
    }
    this.chart.describe(`Guidance weight over the sampling, a curve of ${knotsOf(curve).length} points`)
    this.tell()
  }

  /** Puts the handles of the points where the chart has drawn its axes; those that stay keep the focus. */
  place() {
    const { overlay } = this.chart
    const knots = this.locked ? [] : knotsOf(this.value)
    while (overlay.children.length > knots.length) overlay.lastChild?.remove()
    while (overlay.children.length < knots.length) overlay.append(makeHandle())
    const [low, high] = this.range()
    knots.forEach(([x, y], i) => {
      const handle = overlay.children[i]
      const w = low + (high - low) * y
      handle.setAttribute("transform", `translate(${this.chart.pixel(x, w)})`)
      handle.setAttribute("aria-label", `Point ${i + 1} of ${knots.length}`)
      handle.setAttribute("aria-valuetext", `${readable(100 * x)} %, weight ${readable(w)}`)
      handle.setAttribute("aria-valuenow", String(rounded(x)))
      handle.classList.toggle("held", i === this.held)
    })
    this.tell()
  }

  /** The line beside the presets: the point in hand, or why nothing can be drawn. */
  tell() {
    const knots = knotsOf(this.value)
    const at = this.held ?? this.indexOf(this.focused())
    const [low, high] = this.range()
    if (this.locked) {
      const known = inputValue(this.node, WIDGETS.curve)
      this.state.textContent = known ? "linked: edit it at its source" : "linked: known only in the run"
    } else if (!knots.length) this.state.textContent = "not a curve: choose a preset"
    else if (knots[at]) {
      const [x, y] = knots[at]
      this.state.textContent = `${readable(100 * x)} %, w ${readable(low + (high - low) * y)}`
    } else this.state.textContent = "click to add a point"
  }

  /** @param {number} index */
  focus(index) {
    this.place()
    const handle = this.chart.overlay.children[index]
    if (handle instanceof SVGElement) handle.focus({ preventScroll: true })
  }

  /** The element of the card that has the focus. */
  focused() {
    const root = this.card.getRootNode()
    return root instanceof ShadowRoot ? root.activeElement : null
  }

  /** The index of the point whose handle this is or holds, else -1. @param {EventTarget | null} target */
  indexOf(target) {
    const handle = target instanceof Element && target.closest(".handle")
    return handle ? [...this.chart.overlay.children].indexOf(handle) : -1
  }

  /**
   * @param {MouseEvent} event
   * @returns {[number, number]} percent and height under the mouse, inside the plot
   */
  dataAt(event) {
    const [low, high] = this.range()
    const [x, w] = this.chart.toData(event.clientX, event.clientY)
    const flat = knotsOf(this.value)[this.held ?? 0]?.[1] ?? 0
    return [Math.min(1, Math.max(0, x)), high === low ? flat : (w - low) / (high - low)]
  }

  /** How the line goes from point to point. */
  get interpolation() {
    return this.value?.interpolation ?? SMOOTH
  }

  /** @returns {[number, number]} the weights at height 0 and 1 */
  range() {
    const [low, high] = [WIDGETS.low, WIDGETS.high].map((name) => inputValue(this.node, name))
    return [low ?? 0, high ?? 1]
  }

  /** Arrow up raises the weight, also where max_cfg lies below min_cfg. */
  upward() {
    const [low, high] = this.range()
    return high < low ? -1 : 1
  }
}

/** @param {LGraphNode} node */
const widgetsOf = (node) => node.widgets ?? []

function makeHandle() {
  const handle = shape("g", { class: "handle", tabindex: 0, role: "slider", "aria-valuemin": 0, "aria-valuemax": 1 })
  handle.append(shape("circle", { class: "grip", r: 9 }), shape("circle", { class: "knob", r: 4.5 }))
  return handle
}

/** The host records no undo step from here to endEdit. */
const beginEdit = () => app.canvas.emitBeforeChange()
const endEdit = () => app.canvas.emitAfterChange()

/** Runs an edit so that the host's undo takes it back in one. @param {() => void} change */
function edit(change) {
  beginEdit()
  try {
    change()
  } finally {
    endEdit()
  }
}

app.registerExtension({
  name: "REG.CurveEditor",
  nodeCreated(node) {
    if (node.comfyClass !== NODE) return
    const own = widgetsOf(node).find(({ name }) => name === WIDGETS.curve)
    if (own) new CurveEditor(node, own)
  },
})
