/** Edits of a drawn curve's points, which lie in the unit square in thousandths, from left to right, each x once. */

/** @typedef {import("./drawn_curve.mjs").Knot} Knot */

const APART = 0.001
const FEWEST = 2

/** Inside 0 to 1, in thousandths. @param {number} value */
export function rounded(value) {
  return Math.round(1000 * Math.min(1, Math.max(0, value))) / 1000
}

/**
 * The points with one more, and its index; null where there is no room for it.
 * @param {Knot[]} knots
 * @param {number} x
 * @param {number} y
 * @returns {{knots: Knot[], index: number} | null}
 */
export function added(knots, x, y) {
  /** @type {Knot} */
  const knot = [rounded(x), rounded(y)]
  if (knots.some(([other]) => Math.abs(other - knot[0]) < APART - 1e-9)) return null
  const all = [...knots, knot].sort((a, b) => a[0] - b[0])
  return { knots: all, index: all.indexOf(knot) }
}

/**
 * The points with one moved, no further than its neighbours; null if it stays.
 * @param {Knot[]} knots
 * @param {number} index
 * @param {number} x
 * @param {number} y
 * @returns {Knot[] | null}
 */
export function moved(knots, index, x, y) {
  if (!knots[index]) return null
  const left = index > 0 ? knots[index - 1][0] + APART : 0
  const right = index < knots.length - 1 ? knots[index + 1][0] - APART : 1
  /** @type {Knot} */
  const knot = [rounded(Math.min(right, Math.max(left, x))), rounded(y)]
  if (knot[0] === knots[index][0] && knot[1] === knots[index][1]) return null
  return knots.map((other, i) => (i === index ? knot : other))
}

/**
 * The points without one; null where that would leave fewer than two.
 * @param {Knot[]} knots
 * @param {number} index
 * @returns {Knot[] | null}
 */
export function removed(knots, index) {
  return knots.length > FEWEST ? knots.filter((_, i) => i !== index) : null
}
