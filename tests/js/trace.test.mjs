import assert from "node:assert/strict"
import { test } from "node:test"
import { COLUMNS, RECTIFIED, STATES, UNUSABLE } from "../../web/js/contract.mjs"
import { readStep, readTrace, withoutFactor } from "../../web/js/trace.mjs"

const STEP = Object.fromEntries(COLUMNS.map((name, i) => [name, name === "state" ? "computed" : i / 16]))

test("a step is read as it was sent", () => {
  assert.deepEqual(readStep(STEP, 3, 10), STEP)
})

test("every state is read as it was sent, and words of older versions as those of today", () => {
  for (const state of STATES) assert.equal(readStep({ state }, 0, 1).state, state)
  assert.equal(readStep({ state: "taken" }, 0, 1).state, "computed")
  assert.equal(readStep({ state: "carried" }, 0, 1).state, "extrapolated")
  assert.equal(readStep({ state: "of another version" }, 0, 1).state, "of another version")
})

test("what is no step came to nothing, at its place in the run", () => {
  for (const value of [null, undefined, {}, [], "x", 3, { state: 7, percent: "half", mean: NaN }]) {
    const step = readStep(value, 3, 12)
    assert.deepEqual([step.state, step.percent, step.mean, step.seconds], [UNUSABLE, 0.25, null, null])
  }
  assert.equal(readStep(null, 3, 0).percent, 0.75)
})

test("a result is read with its steps, and what is none is null", () => {
  const measured = { source: "6:3", curve: "{}", weight: 5 }
  const sent = { sentence: "REG changed the guidance.", total: 2, steps: [STEP, null], ...measured }
  const trace = readTrace(sent)
  assert.deepEqual(
    trace?.steps.map(({ state }) => state),
    ["computed", UNUSABLE],
  )
  assert.deepEqual({ ...trace, steps: sent.steps }, sent)
  const nothing = { steps: [], total: 0, sentence: "", source: "", curve: "", weight: 1 }
  for (const value of [null, 7, ["x"]]) {
    const wrong = { steps: [], total: "2", sentence: value, source: value, curve: value, weight: "5" }
    assert.deepEqual(readTrace(wrong), nothing)
  }
  for (const value of [null, {}, [], "x", { steps: null }]) assert.equal(readTrace(value), null)
})

test("a step has a factor where it was rectified and there was guidance", () => {
  for (const state of STATES) {
    const isRectified = RECTIFIED.includes(state)
    assert.equal(withoutFactor(readStep({ state, mean: 0.5 }, 0, 1)) === "", isRectified, state)
    assert.notEqual(withoutFactor(readStep({ state }, 0, 1)), "", state)
    if (!isRectified) assert.notEqual(withoutFactor(readStep({ state }, 0, 1)), state, `${state} has no words`)
  }
  assert.equal(withoutFactor(readStep({ state: "constructor", mean: 1 }, 0, 1)), "constructor")
})
