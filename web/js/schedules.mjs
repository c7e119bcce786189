/**
 * The formulas of reg_core/schedule.py for drawing: the guidance weight w over the sampling percent. A schedule is the
 * dict that its to_dict writes; a browser test holds both to the same numbers.
 */

/** @typedef {{kind: string, [field: string]: any}} Schedule */
/** @typedef {{points: [number, number][], interpolation: string}} CurveValue the host's CURVE */

const SAMPLES = 257 // as in nodes/host/curve.py
const STEPS = 128
const BESIDE = 1e-9 // on both sides of a jump

const FORMULAS = {
  constant: ({ weight }) => weight,
  linear: ({ start, end }, percent) => start + (end - start) * percent,
  cosine: ({ weight, power }, percent) =>
    1 + ((weight - 1) * (1 - Math.cos(Math.PI * Math.max(percent, 0) ** power))) / 2,
  interval: ({ weight, start, end }, percent) => (start <= percent && percent <= end ? weight : 1),
  snr: ({ weight, spread }, _, sigma) => 1 + (weight - 1) * (spread / Math.hypot(spread, sigma)) ** 2,
  curve: ({ points }, percent) => straight(points, percent),
  combined: ({ first, second, how, at }, percent, sigma) => {
    if (how === "join") return weight(percent < at ? first : second, percent, sigma)
    return COMBINATIONS[how](weight(first, percent, sigma), weight(second, percent, sigma))
  },
}

const COMBINATIONS = {
  multiply: (a, b) => 1 + (a - 1) * (b - 1),
  minimum: Math.min,
  maximum: Math.max,
}

/**
 * The guidance weight of a schedule.
 * @param {Schedule} schedule
 * @param {number} percent of the sampling, 0 to 1
 * @param {number} sigma noise-to-signal ratio there, which only SNR reads
 */
export function weight(schedule, percent, sigma) {
  return FORMULAS[schedule.kind](schedule, percent, sigma)
}

/** Whether the weight depends on the noise of the model, not on the percent alone. @param {Schedule} schedule */
export function readsNoise({ kind, first, second }) {
  return kind === "snr" || (kind === "combined" && (readsNoise(first) || readsNoise(second)))
}

/**
 * The curve of a schedule as points [percent, w] for drawing, with both sides of every jump.
 * @param {Schedule} schedule
 * @param {(percent: number) => number} sigmaOf
 * @returns {[number, number][]}
 */
export function sample(schedule, sigmaOf) {
  const grid = Array.from({ length: STEPS + 1 }, (_, i) => i / STEPS)
  for (const x of corners(schedule)) grid.push(x - BESIDE, x, x + BESIDE)
  const inside = [...new Set(grid)].filter((x) => x >= 0 && x <= 1)
  return inside.sort((a, b) => a - b).map((x) => [x, weight(schedule, x, sigmaOf(x))])
}

/** Where a schedule jumps or bends. */
function corners(schedule) {
  switch (schedule.kind) {
    case "interval":
      return [schedule.start, schedule.end]
    case "curve":
      return schedule.knots ?? []
    case "combined":
      return [...corners(schedule.first), ...corners(schedule.second), ...(schedule.how === "join" ? [schedule.at] : [])]
    default:
      return []
  }
}

/**
 * The points of a CURVE value from left to right; empty if it is not one.
 * @param {unknown} value the host's value, or a bare list of pairs
 * @returns {[number, number][]}
 */
export function knotsOf(value) {
  const pairs = Array.isArray(value) ? value : value?.points
  if (!Array.isArray(pairs)) return []
  const knots = pairs.map((pair) => [Number(pair?.[0]), Number(pair?.[1])])
  if (knots.length < 2 || !knots.flat().every(Number.isFinite)) return []
  return knots.sort((a, b) => a[0] - b[0])
}

/**
 * The schedule of a drawn curve: the points that nodes/host/curve.py makes of it, spread over low..high.
 * @param {unknown} value CURVE
 * @param {number} low w at height 0
 * @param {number} high w at height 1
 * @returns {Schedule | null} null if the value is not a curve
 */
export function curveSchedule(value, low, high) {
  const knots = knotsOf(value)
  if (!knots.length) return null
  const height = value.interpolation === "linear" ? (x) => straight(knots, x) : smooth(knots)
  const clamped = knots.map(([x]) => Math.min(1, Math.max(0, x)))
  const grid = [...Array.from({ length: SAMPLES }, (_, i) => i / (SAMPLES - 1)), ...clamped]
  const xs = [...new Set(grid)].sort((a, b) => a - b)
  return { kind: "curve", points: xs.map((x) => [x, low + (high - low) * height(x)]), knots: clamped }
}

/** Straight lines between points, level beyond their ends. */
function straight(points, x) {
  if (x <= points[0][0]) return points[0][1]
  const last = points.length - 1
  if (x >= points[last][0]) return points[last][1]
  const right = after(points, x)
  const [[x0, y0], [x1, y1]] = [points[right - 1], points[right]]
  return y0 + ((y1 - y0) / (x1 - x0)) * (x - x0)
}

/** The index of the first point to the right of x, which lies inside the points. */
function after(points, x) {
  let [low, high] = [0, points.length - 1]
  while (high - low > 1) {
    const middle = (low + high) >> 1
    if (points[middle][0] <= x) low = middle
    else high = middle
  }
  return high
}

/** A cubic through the points that does not overshoot them (Fritsch and Carlson 1980), level beyond their ends. */
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

/** Sigma over the percent of a Stable Diffusion model: the table of its betas, straight in log sigma. */
export function sigmaSD(percent) {
  if (percent <= 0) return Infinity
  if (percent >= 1) return 0
  logSigmas ??= tableSD()
  const at = (1 - percent) * 999
  const low = Math.floor(at)
  const part = at - low
  return Math.exp((1 - part) * logSigmas[low] + part * logSigmas[Math.ceil(at)])
}

let logSigmas = null

function tableSD() {
  const [first, last] = [Math.sqrt(0.00085), Math.sqrt(0.012)]
  let kept = 1
  return Array.from({ length: 1000 }, (_, i) => {
    kept *= 1 - (first + ((last - first) * i) / 999) ** 2
    return Math.log((1 - kept) / kept) / 2
  })
}

/** Noise-to-signal ratio over the percent of a flow model without shift, sigma / (1 - sigma) with sigma = 1 - percent. */
export function sigmaFlow(percent) {
  return percent <= 0 ? Infinity : (1 - percent) / percent
}

/** Shapes to begin a curve with, height over percent. @type {Record<string, CurveValue>} */
export const PRESETS = {
  Constant: { points: [[0, 1], [1, 1]], interpolation: "linear" },
  Linear: { points: [[0, 1], [1, 0]], interpolation: "linear" },
  Cosine: sampled((x) => (1 - Math.cos(Math.PI * x)) / 2, [0, 0.25, 0.5, 0.75, 1]),
  Interval: { points: [[0, 0], [0.199, 0], [0.2, 1], [0.7, 1], [0.701, 0], [1, 0]], interpolation: "linear" },
  SNR: sampled((x) => 1 / (1 + sigmaSD(x) ** 2), [0, 0.4, 0.55, 0.7, 0.85, 1]),
  Late: { points: [[0, 0], [0.5, 0], [0.8, 1], [1, 1]], interpolation: "monotone_cubic" },
  Early: { points: [[0, 1], [0.2, 1], [0.5, 0], [1, 0]], interpolation: "monotone_cubic" },
  Mid: { points: [[0, 0], [0.15, 0], [0.35, 1], [0.65, 1], [0.85, 0], [1, 0]], interpolation: "monotone_cubic" },
}

function sampled(height, xs) {
  return { points: xs.map((x) => [x, Math.round(1000 * height(x)) / 1000]), interpolation: "monotone_cubic" }
}
