/**
 * A small SVG chart for the widgets of the pack: axes with ticks and grid, lines, bands, dots, bars, shaded ranges.
 * What is added is kept and drawn once per frame, and again when the width of the element changes; a chart that is not
 * on screen draws nothing. Where there are more dots or bars than room for them, some stand for their neighbours; lines
 * go through every point.
 */

import { isNumber, niceTicks, readable } from "./numbers.mjs"

const SVG = "http://www.w3.org/2000/svg"
const TOP = 18
const RIGHT = 14
const TICK_ROW = 15
const LABEL_ROW = 12
const DIGIT = 6 // width of a digit at the size of the ticks
const BLEED = 2 // lines along the edge of the plot keep their full width
const APART = 5 // pixels from one dot or bar to the next, at least
const CROSS = "M-3,-3L3,3M3,-3L-3,3"

/** @typedef {[number, number | null]} Point x and y; a null y leaves a gap in a line */
/** @typedef {[number, number]} Range */
/** @typedef {(index: number) => string} Title shown where the mouse rests on a mark */

/**
 * An SVG element with these attributes.
 * @param {string} name
 * @param {Record<string, string | number | undefined>} attributes
 * @param {string} [words] its text
 */
export function shape(name, attributes = {}, words) {
  const element = document.createElementNS(SVG, name)
  for (const [key, value] of Object.entries(attributes)) {
    if (value !== undefined) element.setAttribute(key, String(value))
  }
  if (words !== undefined) element.textContent = words
  return element
}

/** @param {number} x */
const percent = (x) => `${readable(100 * x)} %`

export class Chart {
  /**
   * @param {Element | ShadowRoot} root the <svg> is appended to it and takes the width that it has there
   * @param {{x?: Range, y?: Range, height?: number, top?: number, digits?: number, xLabel?: string, yLabel?: string,
   *   label?: string}} options label is what a screen reader says; height and the space above the plot are in CSS
   *   pixels; digits is how many characters the numbers at the left have room for, at least
   */
  constructor(
    root,
    { x = [0, 1], y = [0, 8], height = 130, top = TOP, digits = 2, xLabel = "", yLabel = "", label = "" } = {},
  ) {
    this.svg = shape("svg", { class: "chart", role: "img", height })
    this.svg.style.height = `${height}px`
    this.describe(label)
    this.grid = this.svg.appendChild(shape("g"))
    this.plot = this.svg.appendChild(shape("svg"))
    this.front = this.svg.appendChild(shape("g"))
    /** Stays as it is when the chart is drawn: for handles that keep the focus. Place them in `onDraw`. */
    this.overlay = this.svg.appendChild(shape("g"))
    /** @type {(() => void) | null} called after every drawing */
    this.onDraw = null
    this.labels = { x: xLabel, y: yLabel }
    this.height = height
    this.top = top
    this.digits = digits
    this.width = 0
    /** @type {{layer: SVGElement, make: () => SVGElement[]}[]} */
    this.marks = []
    this.frame = 0
    /** @type {Range} */
    this.x = x
    /** @type {Range} */
    this.y = y
    /** @type {number[]} */
    this.ticks = []
    /** How many characters the longest number at the left has. */
    this.longest = 0
    /** @type {{at: number, words: string}[] | null} */
    this.across = null
    this.setRange({ y })
    root.append(this.svg)
    this.observer = new ResizeObserver(([entry]) => {
      const width = Math.round(entry.contentRect.width)
      if (width === this.width) return
      this.width = width
      this.draw()
    })
    this.observer.observe(this.svg)
  }

  /** What a screen reader says of the chart. @param {string} label */
  describe(label) {
    if (label) this.svg.setAttribute("aria-label", label)
  }

  /** Removes what was added; the axes stay. */
  clear() {
    this.marks = []
    this.redraw()
  }

  /**
   * Axis ranges. y is widened to its ticks, or with `exact` kept, its ends labelled; a range without extent is widened
   * by 1.
   * @param {{x?: Range, y?: Range, exact?: boolean}} ranges
   */
  setRange({ x, y, exact = false }) {
    if (x) this.x = x
    if (y) {
      let [low, high] = y
      if (!(high > low)) [low, high] = [low - 0.5, low + 0.5]
      const steps = Math.min(5, Math.max(2, Math.floor((this.height - 40) / 25)))
      this.ticks = niceTicks(low, high, steps)
      if (!exact) {
        const step = this.ticks.length > 1 ? this.ticks[1] - this.ticks[0] : high - low
        low = Math.floor(low / step + 1e-9) * step
        high = Math.ceil(high / step - 1e-9) * step
        this.ticks = niceTicks(low, high, steps)
      } else {
        const apart = ((high - low) * 14) / (this.height - 40)
        this.ticks = [low, ...this.ticks.filter((tick) => tick - low > apart && high - tick > apart), high]
      }
      this.y = [low, high]
      this.longest = Math.max(...this.ticks.map((tick) => readable(tick).length))
    }
    this.redraw()
  }

  /**
   * The label of the axis across, and its ticks where x is no percentage.
   * @param {string} label
   * @param {{at: number, words: string}[] | null} [ticks]
   */
  setAcross(label, ticks = null) {
    this.labels.x = label
    this.across = ticks
    this.redraw()
  }

  /** A line through the points, broken where y is no number. @param {Point[]} points */
  line(points, className = "main") {
    this.add(this.plot, () => {
      let path = ""
      let pen = "M"
      for (const [x, y] of points) {
        if (!isNumber(y)) pen = "M"
        else {
          path += `${pen}${this.pixel(x, y)}`
          pen = "L"
        }
      }
      return [shape("path", { class: `line ${className}`, d: path })]
    })
  }

  /** A level line over the whole width. @param {number} y @param {string} className */
  level(y, className) {
    this.add(this.plot, () => {
      const [from, to] = this.x.map((x) => this.pixel(x, y))
      return [shape("path", { class: `line ${className}`, d: `M${from}L${to}` })]
    })
  }

  /**
   * The area between low and high, broken where one of them is no number.
   * @param {[number, number | null, number | null][]} points x, low, high
   */
  band(points, className = "main") {
    this.add(this.plot, () => {
      let path = ""
      /** @type {[number, number][]} */
      let there = []
      /** @type {[number, number][]} */
      let back = []
      const close = () => {
        if (there.length) path += `M${[...there, ...back.reverse()].join("L")}Z`
        there = []
        back = []
      }
      for (const [x, low, high] of points) {
        if (isNumber(low) && isNumber(high)) {
          there.push(this.pixel(x, high))
          back.push(this.pixel(x, low))
        } else close()
      }
      close()
      return [shape("path", { class: `band ${className}`, d: path })]
    })
  }

  /**
   * Dots that may lie on the edge.
   * @param {Point[]} points
   * @param {string} className
   * @param {Title} [title]
   */
  dots(points, className = "main", title) {
    this.add(this.front, () => {
      const every = Math.ceil(points.length / this.room())
      return points.flatMap(([x, y], i) => {
        if (i % every || !isNumber(y) || y < this.y[0] || y > this.y[1]) return []
        const [cx, cy] = this.pixel(x, y)
        return [titled(shape("circle", { class: `dot ${className}`, cx, cy, r: every > 1 ? 1.75 : 2.5 }), title?.(i))]
      })
    })
  }

  /**
   * Bars from the foot of the chart, `width` wide in units of x; one that stands for its neighbours too is the highest.
   * @param {Point[]} points
   * @param {number} width
   * @param {string} className
   * @param {Title} [title]
   */
  bars(points, width, className = "main", title) {
    this.add(this.plot, () => {
      const every = Math.ceil(points.length / this.room())
      const shapes = []
      for (let start = 0; start < points.length; start += every) {
        let [top, height] = [-1, -Infinity]
        const end = Math.min(points.length, start + every)
        for (let i = start; i < end; i++) {
          const value = points[i][1]
          if (isNumber(value) && value > height) [top, height] = [i, value]
        }
        if (top < 0) continue
        const [left, y] = this.pixel(points[start][0] - width / 2, height)
        const [right, foot] = this.pixel(points[end - 1][0] + width / 2, this.y[0])
        const size = { width: Math.max(1, right - left), height: Math.max(0, foot - y) }
        shapes.push(titled(shape("rect", { class: `bar ${className}`, x: left, y, ...size }), title?.(top)))
      }
      return shapes
    })
  }

  /** A cross at the foot of the plot. @param {number} x */
  cross(x, className = "warn", title = "") {
    this.add(this.front, () => {
      const [left, foot] = this.pixel(x, this.y[0])
      const mark = shape("g", { class: `cross ${className}`, transform: `translate(${left},${foot - 5})` })
      mark.append(shape("rect", { x: -5, y: -5, width: 10, height: 10 }), shape("path", { d: CROSS }))
      return [titled(mark, title)]
    })
  }

  /** How many dots or bars there is room for. */
  room() {
    const { left, right } = this.edges()
    return Math.max(1, Math.floor((right - left) / APART))
  }

  /** Shades the whole height between two x. @param {number} from @param {number} to */
  shade(from, to, className = "main", title = "") {
    this.add(this.plot, () => {
      const [left, top] = this.pixel(from, this.y[1])
      const [right, foot] = this.pixel(to, this.y[0])
      const size = { width: Math.max(1, right - left), height: foot - top }
      return [titled(shape("rect", { class: `shade ${className}`, x: left, y: top, ...size }), title)]
    })
  }

  /**
   * Words at a point, centred; className "start" or "end" puts their start or end there.
   * @param {number} x
   * @param {number} y
   * @param {string} words
   * @param {string} className
   * @param {[number, number]} offset pixels to the right and down
   */
  text(x, y, words, className = "", [right, down] = [0, 0]) {
    this.add(this.front, () => {
      const [left, top] = this.pixel(x, y)
      return [shape("text", { class: `note ${className}`, x: left + right, y: top + down }, words)]
    })
  }

  /** A key in the upper right corner. @param {{words: string, className: string}[]} entries of lines */
  legend(entries) {
    this.add(this.front, () => {
      let end = this.width - RIGHT
      return [...entries].reverse().flatMap(({ words, className }) => {
        const start = end - 5.4 * words.length
        const swatch = shape("path", { class: `line ${className}`, d: `M${start - 22},6.5H${start - 5}` })
        const key = shape("text", { class: "key end", x: end, y: 10 }, words)
        end = start - 32
        return [swatch, key]
      })
    })
  }

  /**
   * The data point under a mouse position, however far the canvas is zoomed; it may lie outside the axes.
   * @param {number} clientX
   * @param {number} clientY
   */
  toData(clientX, clientY) {
    const box = this.svg.getBoundingClientRect()
    const { left, right, top, foot } = this.edges()
    const across = ((clientX - box.left) * this.width) / box.width
    const down = ((clientY - box.top) * this.height) / box.height
    return [
      this.x[0] + ((across - left) / (right - left)) * (this.x[1] - this.x[0]),
      this.y[0] + ((foot - down) / (foot - top)) * (this.y[1] - this.y[0]),
    ]
  }

  /**
   * Where a data point lies, in pixels of the <svg>.
   * @param {number} x
   * @param {number} y
   * @returns {[number, number]}
   */
  pixel(x, y) {
    const { left, right, top, foot } = this.edges()
    const across = left + ((x - this.x[0]) / (this.x[1] - this.x[0])) * (right - left)
    const down = foot - ((y - this.y[0]) / (this.y[1] - this.y[0])) * (foot - top)
    return [round(across), round(down)]
  }

  /** Stops watching the size. */
  remove() {
    this.observer.disconnect()
    cancelAnimationFrame(this.frame)
    this.svg.remove()
  }

  /** The edges of the plot, in pixels of the <svg>; every point asks for them. */
  edges() {
    const foot = this.height - TICK_ROW - (this.labels.x ? LABEL_ROW : 0)
    const digits = Math.max(this.longest, this.digits)
    return { left: 10 + DIGIT * digits, right: this.width - RIGHT, top: this.top, foot }
  }

  /** @param {SVGElement} layer @param {() => SVGElement[]} make */
  add(layer, make) {
    this.marks.push({ layer, make })
    this.redraw()
  }

  redraw() {
    if (this.frame || !this.width) return
    this.frame = requestAnimationFrame(() => this.draw())
  }

  draw() {
    cancelAnimationFrame(this.frame)
    this.frame = 0
    if (this.width < 60) return
    this.svg.setAttribute("viewBox", `0 0 ${this.width} ${this.height}`)
    const { left, right, top, foot } = this.edges()
    const box = { x: left - BLEED, y: top - BLEED, width: right - left + 2 * BLEED, height: foot - top + 2 * BLEED }
    for (const [key, value] of Object.entries(box)) this.plot.setAttribute(key, String(value))
    this.plot.setAttribute("viewBox", `${box.x} ${box.y} ${box.width} ${box.height}`)
    this.grid.replaceChildren(...this.axes(left, right, top, foot))
    for (const layer of [this.plot, this.front]) {
      layer.replaceChildren(...this.marks.flatMap((mark) => (mark.layer === layer ? mark.make() : [])))
    }
    this.onDraw?.()
  }

  /**
   * @param {number} left
   * @param {number} right
   * @param {number} top
   * @param {number} foot
   */
  axes(left, right, top, foot) {
    const shapes = [shape("rect", { class: "plot", x: left, y: top, width: right - left, height: foot - top })]
    for (const tick of this.ticks) {
      const [, y] = this.pixel(0, tick)
      shapes.push(shape("line", { class: "grid", x1: left, x2: right, y1: y, y2: y }))
      shapes.push(shape("text", { class: "tick end", x: left - 7, y: y + 3.5 }, readable(tick)))
    }
    const percents = () => niceTicks(...this.x, right - left > 180 ? 4 : 2).map((at) => ({ at, words: percent(at) }))
    for (const { at: tick, words } of this.across ?? percents()) {
      const [x] = this.pixel(tick, 0)
      shapes.push(shape("line", { class: "grid", x1: x, x2: x, y1: top, y2: foot }))
      const side = tick === this.x[1] ? "end" : tick === this.x[0] ? "start" : ""
      const nudge = side === "end" ? RIGHT - 2 : side === "start" ? -4 : 0
      shapes.push(shape("text", { class: `tick ${side}`, x: x + nudge, y: foot + 12.5 }, words))
    }
    shapes.push(shape("path", { class: "axis", d: `M${left},${top}V${foot}H${right}` }))
    if (this.labels.y) shapes.push(shape("text", { class: "label start", x: 4, y: 10 }, this.labels.y))
    if (this.labels.x) {
      shapes.push(shape("text", { class: "label", x: (left + right) / 2, y: this.height - 2.5 }, this.labels.x))
    }
    return shapes
  }

  /** CSS of the chart, for a <style> in the shadow root it stands in. */
  static style = `
    :host { /* mixed with the ink, colours turn lighter on a dark theme and darker on a light one */
      --reg-ink: var(--fg-color, #ddd);
      --reg-dim: var(--descrip-text, #999);
      --reg-paper: color-mix(in srgb, var(--comfy-menu-bg, #171718) 70%, var(--comfy-input-bg, #222));
      --reg-line: var(--border-color, #4e4e4e);
      --reg-main: color-mix(in oklab, #2b8cf0 78%, var(--reg-ink));
      --reg-second: color-mix(in oklab, #e8891c 78%, var(--reg-ink));
      --reg-third: color-mix(in oklab, #2fa35c 78%, var(--reg-ink));
      --reg-warn: color-mix(in oklab, #e0473e 78%, var(--reg-ink));
    }
    .chart { display: block; width: 100%; font: 10px/1 Inter, system-ui, sans-serif; user-select: none; }
    .chart text { fill: var(--reg-dim); text-anchor: middle; font-variant-numeric: tabular-nums; }
    .chart text.start { text-anchor: start; }
    .chart text.end { text-anchor: end; }
    .chart text.note { fill: var(--reg-ink); paint-order: stroke; stroke: var(--reg-paper); stroke-width: 3px;
      stroke-linejoin: round; }
    .plot { fill: var(--reg-ink); fill-opacity: 0.03; }
    .grid { stroke: var(--reg-ink); stroke-opacity: 0.1; shape-rendering: crispEdges; }
    .axis { fill: none; stroke: var(--reg-ink); stroke-opacity: 0.35; shape-rendering: crispEdges; }
    .line { fill: none; stroke: currentColor; stroke-width: 1.75; stroke-linejoin: round; stroke-linecap: round; }
    .line.dashed { stroke-dasharray: 5 4; }
    .line.thin { stroke-width: 1.1; }
    .band, .shade, .bar { fill: currentColor; stroke: none; }
    .band { fill-opacity: 0.2; }
    .shade { fill-opacity: 0.1; }
    .bar { fill-opacity: 0.55; }
    .cross rect { fill: transparent; }
    .cross path { fill: none; stroke: currentColor; stroke-width: 2; stroke-linecap: round; }
    .dot { fill: currentColor; stroke: var(--reg-paper); stroke-width: 1; }
    .dot.hollow { fill: var(--reg-paper); stroke: currentColor; stroke-width: 1.4; }
    .main { color: var(--reg-main); }
    .second { color: var(--reg-second); }
    .third { color: var(--reg-third); }
    .warn { color: var(--reg-warn); }
    .dim { color: var(--reg-dim); }
    .faint { opacity: 0.6; }
  `
}

/**
 * The shape with words that are shown where the mouse rests on it.
 * @param {SVGElement} element
 * @param {string} [words]
 */
function titled(element, words) {
  if (words) element.append(shape("title", {}, words))
  return element
}

/** @param {number} value */
function round(value) {
  return Math.round(value * 100) / 100
}
