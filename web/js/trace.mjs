/**
 * What Python says of a run, read with care: an event may lack parts, and the host keeps results of older versions.
 * Behind this file every number is finite or null.
 */

/**
 * @typedef {object} Step one evaluation of the sampler; any number but the percent may be null
 * @property {number} percent
 * @property {string} state
 * @property {number | null} weight
 * @property {number | null} effective
 * @property {number | null} mean
 * @property {number | null} low
 * @property {number | null} high
 * @property {number | null} min
 * @property {number | null} max
 * @property {number | null} before
 * @property {number | null} after
 * @property {number | null} change
 * @property {number | null} seconds
 * @typedef {{steps: Step[], total: number, sentence: string, stopped?: boolean}} Trace total is 0 if it is not known
 */

const NUMBERS = ["weight", "effective", "mean", "low", "high", "min", "max", "before", "after", "change", "seconds"]

/** The state of a step that came to nothing; one that says nothing of itself is no better. */
export const UNUSABLE = "unusable"

const RECTIFIED = ["taken", "carried", "pure noise"]

const WITHOUT_FACTOR = {
  outside: "outside the range",
  unguided: "no guidance",
  separate: "another node asks for the predictions one at a time",
  [UNUSABLE]: "broken: the factor could not be used",
}

/** A finite number, else null. @returns {number | null} */
export const finite = (value) => (Number.isFinite(value) ? value : null)

/**
 * @param {unknown} value a step as it was sent
 * @param {number} index its place in the run, which tells roughly where it lies if it does not say so
 * @param {number} total
 * @returns {Step}
 */
export function readStep(value, index, total) {
  const state = typeof value?.state === "string" ? value.state : UNUSABLE
  const step = { state, percent: finite(value?.percent) ?? index / Math.max(total, index + 1) }
  for (const name of NUMBERS) step[name] = finite(value?.[name])
  return step
}

/** A result as it was sent; null if it is none. @returns {Trace | null} */
export function readTrace(value) {
  if (!Array.isArray(value?.steps)) return null
  const total = finite(value.total) ?? 0
  const sentence = typeof value.sentence === "string" ? value.sentence : ""
  return { steps: value.steps.map((step, index) => readStep(step, index, total)), total, sentence }
}

/**
 * Why a step has no factor to draw; empty if it has one.
 * @param {Step} step
 */
export function withoutFactor({ state, mean }) {
  if (RECTIFIED.includes(state)) return mean === null ? "no guidance to rectify" : ""
  return WITHOUT_FACTOR[state] ?? state
}

/**
 * The smallest and largest number; an infinite range if there is none.
 * @param {Iterable<number | null | undefined>} values
 * @returns {[number, number]}
 */
export function extent(values) {
  let [low, high] = [Infinity, -Infinity]
  for (const value of values) {
    if (!Number.isFinite(value)) continue
    if (value < low) low = value
    if (value > high) high = value
  }
  return [low, high]
}
