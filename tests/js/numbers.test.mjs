import assert from "node:assert/strict"
import { test } from "node:test"
import { extent, finite, niceTicks, readable } from "../../web/js/numbers.mjs"

/** @param {number[]} actual @param {number[]} expected */
function assertClose(actual, expected) {
  assert.equal(actual.length, expected.length, `${actual} against ${expected}`)
  for (const [i, value] of actual.entries()) assert.ok(Math.abs(value - expected[i]) < 1e-9, `${actual}`)
}

test("ticks are round numbers inside the range", () => {
  assertClose(niceTicks(0, 1, 4), [0, 0.25, 0.5, 0.75, 1])
  assertClose(niceTicks(0, 1, 2), [0, 0.5, 1])
  assertClose(niceTicks(0, 8, 3), [0, 5])
  assertClose(niceTicks(-0.3, 0.7, 5), [-0.2, 0, 0.2, 0.4, 0.6])
  assertClose(niceTicks(0.1, 0.3, 2), [0.1, 0.2, 0.3])
  assertClose(niceTicks(990, 1010, 4), [990, 995, 1000, 1005, 1010])
})

test("ticks lie inside the range, and no more of them than there is room for", () => {
  for (let power = -12; power <= 12; power++) {
    for (let mantissa = 1; mantissa < 10; mantissa += 0.37) {
      for (const count of [2, 3, 4, 5, 6]) {
        const width = mantissa * 10 ** power
        for (const low of [0, -width / 3, width * 7.1]) {
          const ticks = niceTicks(low, low + width, count)
          assert.ok(ticks.length >= 1 && ticks.length <= count + 1, `${low} ${width} ${count}: ${ticks}`)
          const slack = 1e-6 * width
          assert.ok(ticks.every((tick) => tick >= low - slack && tick <= low + width + slack))
        }
      }
    }
  }
})

test("a range without extent has one tick", () => {
  assert.deepEqual(niceTicks(3, 3, 4), [3])
  assert.deepEqual(niceTicks(5, 2, 4), [5])
  assert.deepEqual(niceTicks(0, Infinity, 4), [0])
})

test("numbers are written short", () => {
  const written = [0, 1, -1, 0.5, 0.1234, 12.345, 1234.5, 99999, 1e5, 0.0009, -0.00012, 3.999]
  assert.deepEqual(written.map(readable), [
    "0",
    "1",
    "-1",
    "0.5",
    "0.123",
    "12.35",
    "1234.5",
    "99999",
    "1.0e+5",
    "9.0e-4",
    "-1.2e-4",
    "4",
  ])
  assert.deepEqual([null, undefined, NaN, Infinity, -Infinity].map(readable), ["-", "-", "-", "∞", "-∞"])
})

test("what is no finite number is null", () => {
  assert.deepEqual([1, 0, -2.5].map(finite), [1, 0, -2.5])
  assert.deepEqual([NaN, Infinity, null, undefined, "1", {}, true].map(finite), Array(7).fill(null))
})

test("the extent passes over what is missing", () => {
  assert.deepEqual(extent([3, null, -1, undefined, NaN, 2]), [-1, 3])
  assert.deepEqual(extent([]), [Infinity, -Infinity])
})
