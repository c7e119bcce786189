/**
 * What Python says of a run, read with care: an event may lack parts, and the host keeps results of older versions.
 * Behind this file every number is finite or null.
 */

import { COLUMNS, COMPUTED, EXTRAPOLATED, OUTSIDE, RECTIFIED, SEPARATE, UNGUIDED, UNUSABLE } from "./contract.mjs"
import { finite } from "./numbers.mjs"

/** @typedef {import("./contract.mjs").Column} Column */
/** @typedef {import("./contract.mjs").SentStep} SentStep */
/** @typedef {import("./contract.mjs").SentTrace} SentTrace */

/**
 * @typedef {Record<Column, number | null> & {percent: number, state: string}} Step one evaluation of the sampler
 * @typedef {object} Trace
 * @property {Step[]} steps
 * @property {number} total 0 if it is not known
 * @property {string} sentence
 * @property {string} source the node that rectified, by its execution id; empty if there is none
 * @property {string} curve what it measured, for a schedule; empty if nothing
 * @property {number} weight the guidance weight of the run
 * @property {boolean} [stopped]
 */

const NUMBERS = COLUMNS.filter((name) => name !== "percent" && name !== "state")

/** The states of versions that had other words for them. */
const FORMER_STATES = new Map([
  ["taken", COMPUTED],
  ["carried", EXTRAPOLATED],
])

/** Why a step in one of these states has no factor to draw. */
const WITHOUT_FACTOR = new Map([
  [OUTSIDE, "outside the range"],
  [UNGUIDED, "no guidance"],
  [SEPARATE, "another node asks for the predictions one at a time"],
  [UNUSABLE, "broken: the factor could not be used"],
])

/**
 * A step as it was sent; one that does not say what came of it came to nothing.
 * @param {SentStep | null | undefined} value
 * @param {number} index its place in the run, which tells roughly where it lies if it does not say so
 * @param {number} total
 * @returns {Step}
 */
export function readStep(value, index, total) {
  const sent = typeof value?.state === "string" ? value.state : UNUSABLE
  const numbers = Object.fromEntries(NUMBERS.map((name) => [name, finite(value?.[name])]))
  const percent = finite(value?.percent) ?? index / Math.max(total, index + 1)
  return /** @type {Step} */ ({ ...numbers, percent, state: FORMER_STATES.get(sent) ?? sent })
}

/**
 * A result as it was sent; null if it is none.
 * @param {SentTrace | null | undefined} value
 * @returns {Trace | null}
 */
export function readTrace(value) {
  if (!Array.isArray(value?.steps)) return null
  const total = finite(value.total) ?? 0
  const [sentence, source, curve] = [value.sentence, value.source, value.curve].map(text)
  const steps = value.steps.map((/** @type {SentStep | null} */ step, /** @type {number} */ i) =>
    readStep(step, i, total),
  )
  return { steps, total, sentence, source, curve, weight: finite(value.weight) ?? 1 }
}

/** A text, empty where there is none. @param {unknown} value */
const text = (value) => (typeof value === "string" ? value : "")

/**
 * Why a step has no factor to draw; empty if it has one.
 * @param {Step} step
 */
export function withoutFactor({ state, mean }) {
  if (RECTIFIED.includes(state)) return mean === null ? "no guidance to rectify" : ""
  return WITHOUT_FACTOR.get(state) ?? state
}
