/** The host's CURVE value: its points, the line through them that nodes/host/curve.py makes, shapes to begin with. */

import { sigmaSD } from "./noise_levels.mjs"

/** @typedef {[number, number]} Knot percent and height */
/** @typedef {{points: Knot[], interpolation: string}} CurveValue */

export const SMOOTH = "monotone_cubic"
const LINEAR = "linear"

/** How the line goes from point to point, with the words for it. */
export const INTERPOLATIONS = { [SMOOTH]: "Smooth", [LINEAR]: "Linear" }

const SAMPLES = 257 // as in nodes/host/curve.py

/**
 * The points of a CURVE value from left to right; empty if it is not one.
 * @param {any} value the host's value, or a bare list of pairs
 * @returns {Knot[]}
 */
export function knotsOf(value) {
  const pairs = Array.isArray(value) ? value : value?.points
  if (!Array.isArray(pairs)) return []
  const knots = pairs.map((pair) => /** @type {Knot} */ ([Number(pair?.[0]), Number(pair?.[1])]))
  if (knots.length < 2 || !knots.flat().every(Number.isFinite)) return []
  return knots.sort((a, b) => a[0] - b[0])
}

/**
 * The points that nodes/host/curve.py makes of a drawn curve, spread over low..high, and where they bend.
 * @param {any} value CURVE
 * @param {number} low w at height 0
 * @param {number} high w at height 1
 * @returns {{points: Knot[], knots: number[]} | null} null if the value is not a curve
 */
export function curvePoints(value, low, high) {
  const knots = knotsOf(value)
  if (!knots.length) return null
  const height = value.interpolation === LINEAR ? (/** @type {number} */ x) => straight(knots, x) : smooth(knots)
  const clamped = knots.map(([x]) => Math.min(1, Math.max(0, x)))
  const grid = [...Array.from({ length: SAMPLES }, (_, i) => i / (SAMPLES - 1)), ...clamped]
  const xs = [...new Set(grid)].sort((a, b) => a - b)
  return { points: xs.map((x) => [x, low + (high - low) * height(x)]), knots: clamped }
}

/**
 * Straight lines between points, level beyond their ends.
 * @param {Knot[]} points
 * @param {number} x
 */
export function straight(points, x) {
  if (x <= points[0][0]) return points[0][1]
  const last = points.length - 1
  if (x >= points[last][0]) return points[last][1]
  const right = after(points, x)
  const [[x0, y0], [x1, y1]] = [points[right - 1], points[right]]
  return y0 + ((y1 - y0) / (x1 - x0)) * (x - x0)
}

/**
 * The index of the first point to the right of x, which lies inside the points.
 * @param {Knot[]} points
 * @param {number} x
 */
function after(points, x) {
  let [low, high] = [0, points.length - 1]
  while (high - low > 1) {
    const middle = (low + high) >> 1
    if (points[middle][0] <= x) low = middle
    else high = middle
  }
  return high
}

/**
 * A cubic through the points that does not overshoot them (Fritsch and Carlson 1980), level beyond their ends.
 * @param {Knot[]} points
 * @returns {(x: number) => number}
 */
function smooth(points) {
  const secants = points.slice(1).map(([x, y], i) => (x === points[i][0] ? 0 : (y - points[i][1]) / (x - points[i][0])))
  const slopes = points.map((_, i) => {
    if (i === 0) return secants[0]
    if (i === secants.length) return secants[i - 1]
    return secants[i - 1] * secants[i] <= 0 ? 0 : (secants[i - 1] + secants[i]) / 2
  })
  secants.forEach((secant, i) => {
    if (secant === 0) slopes[i] = slopes[i + 1] = 0
    else {
      const length = Math.hypot(slopes[i] / secant, slopes[i + 1] / secant)
      if (length > 3) for (const end of [i, i + 1]) slopes[end] *= 3 / length
    }
  })
  return (x) => {
    const last = points.length - 1
    if (x <= points[0][0]) return points[0][1]
    if (x >= points[last][0]) return points[last][1]
    const right = after(points, x)
    const [[x0, y0], [x1, y1]] = [points[right - 1], points[right]]
    const width = x1 - x0
    if (width === 0) return y0
    const t = (x - x0) / width
    const bow = (1 - t) * slopes[right - 1] - t * slopes[right]
    return y0 + (y1 - y0) * t * t * (3 - 2 * t) + width * t * (1 - t) * bow
  }
}

/** Shapes to begin a curve with, height over percent. @type {Record<string, CurveValue>} */
export const PRESETS = {
  Constant: through([0, 1], [1, 1], LINEAR),
  Linear: through([0, 1], [1, 0], LINEAR),
  Cosine: sampled([0, 0.25, 0.5, 0.75, 1], (x) => (1 - Math.cos(Math.PI * x)) / 2),
  Interval: through([0, 0.199, 0.2, 0.7, 0.701, 1], [0, 0, 1, 1, 0, 0], LINEAR),
  SNR: sampled([0, 0.4, 0.55, 0.7, 0.85, 1], (x) => 1 / (1 + sigmaSD(x) ** 2)),
  Late: through([0, 0.5, 0.8, 1], [0, 0, 1, 1], SMOOTH),
  Early: through([0, 0.2, 0.5, 1], [1, 1, 0, 0], SMOOTH),
  Mid: through([0, 0.15, 0.35, 0.65, 0.85, 1], [0, 0, 1, 1, 0, 0], SMOOTH),
}

/**
 * The curve through some points.
 * @param {number[]} xs
 * @param {number[]} heights
 * @param {string} interpolation
 * @returns {CurveValue}
 */
function through(xs, heights, interpolation) {
  return { points: xs.map((x, i) => [x, heights[i]]), interpolation }
}

/**
 * The smooth curve through a function, in thousandths.
 * @param {number[]} xs
 * @param {(percent: number) => number} height
 */
function sampled(xs, height) {
  const heights = xs.map((x) => Math.round(1000 * height(x)) / 1000)
  return through(xs, heights, SMOOTH)
}
