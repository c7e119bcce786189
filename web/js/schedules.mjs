/**
 * The schedules of reg_core/schedule.py for drawing: one row each, and the guidance weight w over the sampling percent.
 * A schedule is the dict that Python's to_dict writes; tests hold both to the same numbers.
 */

import { curvePoints, straight } from "./drawn_curve.mjs"
import { factorAt, measuredPoints } from "./measured_curve.mjs"

/** @typedef {{kind: string, [field: string]: any}} Schedule */

/**
 * @typedef {object} Row
 * @property {string} node the type of its node
 * @property {Record<string, string>} fields its fields, with the widgets that set them
 * @property {string[]} [parts] its fields that are schedules, which are inputs of the node
 * @property {(schedule: any, percent: number, sigma: number) => number} weight sigma is the noise-to-signal ratio
 * @property {(schedule: any) => number[]} [corners] where it jumps or bends
 * @property {boolean} [readsNoise] its weight depends on the noise of the model, not on the percent alone
 * @property {(fields: any) => object | null} [read] the fields of the schedule, where they are others than those of the
 *   node; null where a value is no good
 * @property {(schedule: any) => string} [fault] what to do about values that would be refused; empty if they are fine
 * @property {string} [hint] what stands in place of its picture where a value is no good
 * @property {boolean} [hasEditor] its node shows it in an editor of its own
 */

/** One row for each schedule, by the kind that Python gives it. @type {Record<string, Row>} */
export const SCHEDULES = {
  constant: {
    node: "REG_ScheduleConstant",
    fields: { weight: "cfg" },
    weight: ({ weight }) => weight,
  },
  linear: {
    node: "REG_ScheduleLinear",
    fields: { start: "start_cfg", end: "end_cfg" },
    weight: ({ start, end }, percent) => start + (end - start) * percent,
  },
  cosine: {
    node: "REG_ScheduleCosine",
    fields: { weight: "cfg", power: "power" },
    weight: ({ weight, power }, percent) =>
      1 + ((weight - 1) * (1 - Math.cos(Math.PI * Math.max(percent, 0) ** power))) / 2,
  },
  interval: {
    node: "REG_ScheduleInterval",
    fields: { weight: "cfg", start: "start_percent", end: "end_percent" },
    weight: ({ weight, start, end }, percent) => (start <= percent && percent <= end ? weight : 1),
    corners: ({ start, end }) => [start, end],
    fault: ({ start, end }) => (start > end ? "Lower start_percent or raise end_percent" : ""),
  },
  snr: {
    node: "REG_ScheduleSNR",
    fields: { weight: "cfg", spread: "spread" },
    weight: ({ weight, spread }, _, sigma) => 1 + (weight - 1) * (spread / Math.hypot(spread, sigma)) ** 2,
    readsNoise: true,
  },
  curve: {
    node: "REG_ScheduleCurve",
    fields: { curve: "curve", low: "min_cfg", high: "max_cfg" },
    read: ({ curve, low, high }) => curvePoints(curve, low, high),
    weight: ({ points }, percent) => straight(points, percent),
    corners: ({ knots = [] }) => knots,
    hasEditor: true,
  },
  measured: {
    node: "REG_ScheduleMeasured",
    fields: { weight: "cfg", text: "curve" },
    read: ({ weight, text }) => {
      const points = measuredPoints(text)
      return points && { weight, points }
    },
    weight: ({ weight, points }, _, sigma) => 1 + (weight - 1) * factorAt(points, sigma),
    readsNoise: true,
    hint: "No curve yet: run REG with an Inspector, then click Make schedule in it",
  },
  combined: {
    node: "REG_ScheduleCombine",
    fields: { how: "combine", at: "switch_percent" },
    parts: ["first", "second"],
    weight: ({ first, second, how, at }, percent, sigma) =>
      COMBINATIONS[how].weight(weight(first, percent, sigma), weight(second, percent, sigma), percent, at),
    corners: ({ how, at }) => COMBINATIONS[how].corners?.(at) ?? [],
  },
  exponential: {
    node: "REG_ScheduleExponential",
    fields: { weight: "cfg", rate: "rate" },
    weight: ({ weight, rate }, percent) => weight * Math.exp(rate * percent),
  },
}

/**
 * Ways to combine two schedules: the weight that comes of both weights, and where it jumps besides its parts.
 * @type {Record<string, {
 *   weight: (first: number, second: number, percent: number, at: number) => number,
 *   corners?: (at: number) => number[],
 * }>}
 */
export const COMBINATIONS = {
  join: { weight: (first, second, percent, at) => (percent < at ? first : second), corners: (at) => [at] },
  multiply: { weight: (first, second) => 1 + (first - 1) * (second - 1) },
  minimum: { weight: (first, second) => Math.min(first, second) },
  maximum: { weight: (first, second) => Math.max(first, second) },
}

const STEPS = 128
const BESIDE = 1e-9 // on both sides of a jump

/** The kind of schedule that a type of node makes; undefined if it makes none. @param {string} [node] */
export function kindOf(node) {
  return Object.keys(SCHEDULES).find((kind) => SCHEDULES[kind].node === node)
}

/**
 * The schedule of the values that a node has for its fields and parts.
 * @param {string} kind
 * @param {Record<string, unknown>} values
 * @returns {Schedule | null} null where one is missing or no good
 */
export function scheduleFrom(kind, values) {
  if (Object.values(values).some((value) => value === undefined || value === null)) return null
  const { read } = SCHEDULES[kind]
  const fields = read ? read(values) : values
  return fields && { kind, ...fields }
}

/** The schedules that one is combined of. @param {Schedule} schedule @returns {Schedule[]} */
export function partsOf(schedule) {
  return (SCHEDULES[schedule.kind].parts ?? []).map((name) => schedule[name])
}

/**
 * The guidance weight of a schedule.
 * @param {Schedule} schedule
 * @param {number} percent of the sampling, 0 to 1
 * @param {number} sigma noise-to-signal ratio there
 * @returns {number}
 */
export function weight(schedule, percent, sigma) {
  return SCHEDULES[schedule.kind].weight(schedule, percent, sigma)
}

/**
 * Whether the weight depends on the noise of the model, also that of a part.
 * @param {Schedule} schedule
 * @returns {boolean}
 */
export function readsNoise(schedule) {
  return Boolean(SCHEDULES[schedule.kind].readsNoise) || partsOf(schedule).some(readsNoise)
}

/** Where a schedule or a part of it jumps or bends. @param {Schedule} schedule @returns {number[]} */
function corners(schedule) {
  return [...(SCHEDULES[schedule.kind].corners?.(schedule) ?? []), ...partsOf(schedule).flatMap(corners)]
}

/** What to do about a schedule that would be refused; empty if it is fine. @param {Schedule} schedule */
export function faultOf(schedule) {
  return SCHEDULES[schedule.kind].fault?.(schedule) ?? ""
}

/**
 * The line of a schedule as points [percent, w] for drawing, with both sides of every jump.
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
