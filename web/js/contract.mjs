/**
 * What Python sends to the page: names of events and results, their fields, the states and numbers of a step. The same
 * names stand in nodes/host/contract.py, and tests/test_contract.py compares both.
 */

export const STEP_EVENT = "reg.step"
export const SCHEDULE_EVENT = "reg.schedule"

/** The fields of each event. */
export const EVENTS = {
  [STEP_EVENT]: ["inspectors", "run", "index", "total", "steps"],
  [SCHEDULE_EVENT]: ["schedules", "percent", "sigma"],
}

export const TRACE_RESULT = "reg_trace"
export const TILES_RESULT = "reg_tiles"

/** The fields of each entry of a result; a tile has its prompt, or its changes to the prompt of the first. */
export const RESULTS = {
  [TRACE_RESULT]: ["sentence", "total", "steps"],
  [TILES_RESULT]: ["label", "row", "column", "seconds", "prompt", "changes"],
}

export const COMPUTED = "computed"
export const EXTRAPOLATED = "extrapolated"
export const PURE_NOISE = "pure noise"
export const OUTSIDE = "outside"
export const UNGUIDED = "unguided"
export const SEPARATE = "separate"
export const UNUSABLE = "unusable"

/** The states of a step: first those of one that was rectified. */
export const RECTIFIED = [COMPUTED, EXTRAPOLATED, PURE_NOISE]
export const STATES = [...RECTIFIED, OUTSIDE, UNGUIDED, SEPARATE, UNUSABLE]

/** The fields of a step. */
export const COLUMNS = [
  "percent",
  "sigma",
  "state",
  "weight",
  "mean",
  "low",
  "high",
  "min",
  "max",
  "before",
  "after",
  "change",
  "seconds",
  "effective",
]
