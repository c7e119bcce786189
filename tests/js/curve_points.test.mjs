import assert from "node:assert/strict"
import { test } from "node:test"
import { added, moved, removed, rounded } from "../../web/js/curve_points.mjs"

/** @typedef {import("../../web/js/drawn_curve.mjs").Knot} Knot */

/** @type {Knot[]} */
const KNOTS = [
  [0, 0],
  [0.5, 0.25],
  [1, 1],
]

test("numbers are kept in thousandths from 0 to 1", () => {
  assert.deepEqual([-1, 0.12345, 0.9996, 7].map(rounded), [0, 0.123, 1, 1])
})

test("a point is added in its place", () => {
  assert.deepEqual(added(KNOTS, 0.7004, 2), {
    knots: [
      [0, 0],
      [0.5, 0.25],
      [0.7, 1],
      [1, 1],
    ],
    index: 2,
  })
  assert.equal(added(KNOTS, 0.5001, 0.9), null)
  assert.equal(added(KNOTS, -3, 0.9), null)
  assert.equal(added(KNOTS, 0.499, 0.5)?.index, 1)
})

test("a point goes no further than its neighbours, and no further than the edge", () => {
  assert.deepEqual(moved(KNOTS, 1, 2, 0.3)?.[1], [0.999, 0.3])
  assert.deepEqual(moved(KNOTS, 1, -2, 0.3)?.[1], [0.001, 0.3])
  assert.deepEqual(moved(KNOTS, 0, -2, -1), null)
  assert.deepEqual(moved(KNOTS, 0, 0.2, 0)?.[0], [0.2, 0])
  assert.deepEqual(moved(KNOTS, 2, 0.4, 1)?.[2], [0.501, 1])
  assert.equal(moved(KNOTS, 3, 0.5, 0.5), null)
})

test("what was given is not changed", () => {
  const before = structuredClone(KNOTS)
  added(KNOTS, 0.7, 0.1)
  moved(KNOTS, 1, 0.6, 0.6)
  removed(KNOTS, 1)
  assert.deepEqual(KNOTS, before)
})

test("any edits leave a curve: from left to right, each x once, at least two points", () => {
  let state = 1
  const random = () => {
    state = (state * 48271) % 2147483647
    return state / 2147483647
  }
  let knots = KNOTS
  for (let i = 0; i < 5000; i++) {
    const index = Math.floor(random() * (knots.length + 1))
    const [x, y] = [3 * random() - 1, 3 * random() - 1]
    knots = [added(knots, x, y)?.knots, moved(knots, index, x, y), removed(knots, index)][i % 3] ?? knots
    assert.ok(knots.length >= 2)
    assert.ok(knots.every(([at, height]) => at === rounded(at) && height === rounded(height)))
    assert.ok(knots.slice(1).every(([at], left) => at > knots[left][0]))
  }
  assert.equal(removed(KNOTS.slice(0, 2), 0), null)
})
