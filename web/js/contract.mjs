/**
 * What Python sends to the page: names of events and results, their fields, the states and numbers of a step. The same
 * names stand in nodes/host/contract.py, and tests/test_contract.py compares both.
 */

/**
 * What comes with an event or stands in a result, of which any part may be missing or of another type.
 * @template {readonly string[]} Fields
 * @typedef {Partial<Record<Fields[number], any>>} Sent
 */
/** @typedef {Sent<typeof EVENTS[typeof STEP_EVENT]>} SentSteps */
/** @typedef {Sent<typeof EVENTS[typeof SCHEDULE_EVENT]>} SentSchedule */
/** @typedef {Sent<typeof EVENTS[typeof STATUS_EVENT]>} SentStatus */
/** @typedef {Sent<typeof EVENTS[typeof SHEET_EVENT]>} SentSheet */
/** @typedef {Sent<typeof EVENTS[typeof TILES_EVENT]>} SentTiles */
/** @typedef {Sent<typeof RESULTS[typeof TRACE_RESULT]>} SentTrace */
/** @typedef {Sent<typeof RESULTS[typeof TILES_RESULT]>} SentTile */
/** @typedef {Sent<typeof COLUMNS>} SentStep */
/** @typedef {Exclude<typeof COLUMNS[number], "percent" | "state">} Column a number of a step that may be missing */

export const STEP_EVENT = "reg.step"
export const SCHEDULE_EVENT = "reg.schedule"
export const STATUS_EVENT = "reg.status"
export const SHEET_EVENT = "reg.sheet"
export const TILES_EVENT = "reg.tiles"

/** The fields of each event. */
export const EVENTS = /** @type {const} */ ({
  [STEP_EVENT]: ["inspectors", "run", "index", "total", "steps"],
  [SCHEDULE_EVENT]: ["schedules", "percent", "sigma"],
  [STATUS_EVENT]: ["node", "prompt", "inputs", "line", "details", "urgent", "holds"],
  [SHEET_EVENT]: ["node", "prompt_id", "workflow", "tiles", "runs"],
  [TILES_EVENT]: ["node", "prompt_id", "drawn", "drawing"],
})

export const SKIP_COMMAND = "/reg/skip"

/** What the page posts to the server. */
export const COMMANDS = /** @type {const} */ ({ [SKIP_COMMAND]: ["prompt_id", "runs"] })

export const TRACE_RESULT = "reg_trace"
export const TILES_RESULT = "reg_tiles"

/** The fields of each entry of a result; a tile has its prompt, or its changes to the prompt of the first. */
export const RESULTS = /** @type {const} */ ({
  [TRACE_RESULT]: ["sentence", "total", "steps", "source", "curve", "weight"],
  [TILES_RESULT]: ["label", "row", "column", "place", "seconds", "image", "prompt", "changes"],
})

/** The option of an input with the words that it takes and offers, by the value of the input `axis`. */
export const WORDS_OPTION = "reg_words"

export const COMPUTED = "computed"
export const EXTRAPOLATED = "extrapolated"
export const PURE_NOISE = "pure noise"
export const CONDITIONAL = "conditional only"
export const OUTSIDE = "outside"
export const UNGUIDED = "unguided"
export const SEPARATE = "separate"
export const UNUSABLE = "unusable"

/** The states of a step: first those of one that was rectified. */
export const RECTIFIED = [COMPUTED, EXTRAPOLATED, PURE_NOISE, CONDITIONAL]
export const STATES = [...RECTIFIED, OUTSIDE, UNGUIDED, SEPARATE, UNUSABLE]

/** The fields of a step. */
export const COLUMNS = /** @type {const} */ ([
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
  "noise",
  "cost",
])
