import assert from "node:assert/strict"
import { test } from "node:test"
import { noiseAxis } from "../../web/js/measured_curve.mjs"

/** @param {[number, number][]} points */
const ticks = (points) => noiseAxis(points).ticks.map(({ noise }) => Number(noise.toPrecision(6)))

test("the axis of noise reaches beyond the levels, the noisiest at the left", () => {
  const { noiseAt } = noiseAxis([
    [0.2, 0.9],
    [12, 0.1],
  ])
  assert.ok(noiseAt(0) > 12 && noiseAt(1) < 0.2)
  assert.ok(Math.abs(Math.log(noiseAt(0.5)) - Math.log(noiseAt(0) * noiseAt(1)) / 2) < 1e-12)
})

test("ticks are round numbers where they lie, and not too many", () => {
  const points = /** @type {[number, number][][]} */ ([
    [
      [0.2, 0.9],
      [12, 0.1],
    ],
    [
      [0.03, 0.9],
      [4000, 0.1],
    ],
    [
      [0.6, 0.9],
      [1.5, 0.1],
    ],
    [[0.8, 0.6]],
  ])
  assert.deepEqual(points.map(ticks), [[0.2, 0.5, 1, 2, 5, 10], [0.1, 1, 10, 100, 1000], [0.5, 1, 2], [1]])
  for (const levels of points) {
    const { ticks: found, noiseAt } = noiseAxis(levels)
    for (const { at, noise } of found) assert.ok(Math.abs(noiseAt(at) / noise - 1) < 1e-9)
  }
})
