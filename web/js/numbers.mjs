/** Numbers that may be missing, their range, and how they are written. */

/** @param {unknown} value @returns {value is number} a finite one */
export const isNumber = (value) => Number.isFinite(value)

/** A finite number, else null. @param {unknown} value */
export const finite = (value) => (isNumber(value) ? value : null)

/**
 * The smallest and largest number; an infinite range if there is none.
 * @param {Iterable<number | null | undefined>} values
 * @returns {[number, number]}
 */
export function extent(values) {
  let [low, high] = [Infinity, -Infinity]
  for (const value of values) {
    if (!isNumber(value)) continue
    if (value < low) low = value
    if (value > high) high = value
  }
  return [low, high]
}

/**
 * Multiples of 1, 2, 2.5 or 5 times a power of ten, at most `count` steps apart, that lie inside low..high.
 * @param {number} low
 * @param {number} high
 * @param {number} count
 * @returns {number[]}
 */
export function niceTicks(low, high, count) {
  const rough = (high - low) / count
  if (!(rough > 0) || !Number.isFinite(rough)) return [low]
  const power = 10 ** Math.floor(Math.log10(rough))
  const step = power * ([1, 2, 2.5, 5].find((factor) => factor * power >= rough * (1 - 1e-9)) ?? 10)
  const ticks = []
  for (let i = Math.ceil(low / step - 1e-9); i <= high / step + 1e-9; i++) ticks.push(i * step)
  return ticks
}

/** A number in at most four digits, without trailing zeros. @param {number | null | undefined} value */
export function readable(value) {
  if (value === null || value === undefined || Number.isNaN(value)) return "-"
  if (!Number.isFinite(value)) return value > 0 ? "∞" : "-∞"
  if (value !== 0 && (Math.abs(value) < 1e-3 || Math.abs(value) >= 1e5)) return value.toExponential(1)
  return String(Number(value.toFixed(Math.abs(value) < 1 ? 3 : 2)))
}
