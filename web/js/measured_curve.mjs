/** The curve of reg_core/measurement.py: what REG let through at each noise level, as text and as points. */

import { straight } from "./drawn_curve.mjs"

/** @typedef {[number, number]} Level noise-to-signal ratio and factor */

const BESIDE = 1.5 // how far a drawing reaches beyond the measured levels, as a ratio
const MOST_TICKS = 6

/**
 * The points of a curve that was written as text, by rising noise; null where there are none.
 * @param {unknown} text
 * @returns {Level[] | null}
 */
export function measuredPoints(text) {
  let points
  try {
    points = JSON.parse(String(text))?.points
  } catch {
    return null
  }
  if (!Array.isArray(points) || !points.length) return null
  const isGood = points.every(
    (point, i) =>
      Array.isArray(point) &&
      point.length === 2 &&
      point.every(Number.isFinite) &&
      point[0] > (i ? points[i - 1][0] : 0),
  )
  return isGood ? points : null
}

/**
 * The factor at a noise-to-signal ratio: straight in log noise, level below the lowest, falling above the highest.
 * @param {Level[]} points
 * @param {number} sigma
 */
export function factorAt(points, sigma) {
  const [highest, factor] = points[points.length - 1]
  if (sigma > highest) return factor * (highest / sigma) ** 2
  const knots = points.map(([noise, value]) => /** @type {Level} */ ([Math.log(noise), value]))
  return straight(knots, Math.log(Math.max(sigma, points[0][0])))
}

/**
 * An axis across for drawing a curve over the noise, the noisiest at the left as in sampling: the noise at x from 0 to
 * 1, and where round numbers lie.
 * @param {Level[]} points
 */
export function noiseAxis(points) {
  const [low, high] = [points[0][0] / BESIDE, points[points.length - 1][0] * BESIDE]
  const span = Math.log(high / low)
  const decades = Array.from(
    { length: Math.ceil(Math.log10(high)) - Math.floor(Math.log10(low)) + 1 },
    (_, i) => 10 ** (Math.floor(Math.log10(low)) + i),
  )
  const inside = (/** @type {number[]} */ values) => values.filter((value) => value >= low && value <= high)
  const fine = inside(decades.flatMap((decade) => [decade, 2 * decade, 5 * decade]))
  const coarse = fine.length > MOST_TICKS ? inside(decades) : fine
  return {
    noiseAt: (/** @type {number} */ x) => high * Math.exp(-x * span),
    ticks: coarse.map((noise) => ({ at: Math.log(high / noise) / span, noise })),
  }
}
