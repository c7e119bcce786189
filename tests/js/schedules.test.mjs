import assert from "node:assert/strict"
import { test } from "node:test"
import { curvePoints, knotsOf, PRESETS } from "../../web/js/drawn_curve.mjs"
import { sigmaFlow, sigmaSD } from "../../web/js/noise_levels.mjs"
import { COMBINATIONS, faultOf, readsNoise, SCHEDULES, sample, scheduleFrom, weight } from "../../web/js/schedules.mjs"

const PERCENTS = Array.from({ length: 101 }, (_, i) => i / 100)
const LINEAR = { kind: "linear", start: 7, end: 2 }
const INTERVAL = { kind: "interval", weight: 3, start: 0.2, end: 0.7 }
const SNR = { kind: "snr", weight: 6, spread: 0.5 }

/** @param {string} how @param {object} first @param {object} second */
const combined = (how, first, second, at = 0.5) => ({ kind: "combined", first, second, how, at })

test("weights at points that can be reckoned by hand", () => {
  const cosine = { kind: "cosine", weight: 5, power: 1 }
  assert.deepEqual(
    [0, 0.5, 1].map((percent) => weight(LINEAR, percent, 1)),
    [7, 4.5, 2],
  )
  assert.deepEqual(
    [0, 0.5, 1].map((percent) => weight(cosine, percent, 1)),
    [1, 3, 5],
  )
  assert.deepEqual(
    [0.19, 0.2, 0.7, 0.71].map((percent) => weight(INTERVAL, percent, 1)),
    [1, 3, 3, 1],
  )
  assert.deepEqual(
    [Infinity, 0].map((sigma) => weight(SNR, 0.5, sigma)),
    [1, 6],
  )
  assert.ok(Math.abs(weight(SNR, 0.5, 0.5) - 3.5) < 1e-12)
  assert.deepEqual(
    ["join", "multiply", "minimum", "maximum"].map((how) => weight(combined(how, LINEAR, SNR), 0, 0)),
    [7, 31, 6, 7],
  )
  assert.deepEqual(
    [0.49, 0.5].map((at) => weight(combined("join", INTERVAL, SNR), at, 0)),
    [3, 6],
  )
})

test("a drawn line passes both sides of every jump and every corner", () => {
  const inner = combined("join", INTERVAL, SNR, 0.123)
  const xs = sample(combined("maximum", LINEAR, inner), sigmaSD).map(([x]) => x)
  for (const corner of [0.2, 0.7, 0.123]) {
    for (const x of [corner - 1e-9, corner, corner + 1e-9]) assert.ok(xs.includes(x), `${x}`)
  }
  assert.deepEqual(
    xs,
    [...xs].sort((a, b) => a - b),
  )
  assert.deepEqual([xs[0], xs.at(-1), new Set(xs).size], [0, 1, xs.length])
})

test("a drawn line lies on its schedule", () => {
  for (const schedule of [LINEAR, INTERVAL, SNR, combined("multiply", LINEAR, INTERVAL)]) {
    for (const [x, w] of sample(schedule, sigmaFlow)) assert.equal(w, weight(schedule, x, sigmaFlow(x)))
  }
})

test("a combination reads the noise where a part does", () => {
  assert.equal(readsNoise(SNR), true)
  assert.equal(readsNoise(LINEAR), false)
  assert.equal(readsNoise(combined("join", LINEAR, combined("minimum", INTERVAL, SNR))), true)
  assert.equal(readsNoise(combined("join", LINEAR, INTERVAL)), false)
})

test("only a schedule that says so depends on the noise", () => {
  for (const [kind, row] of Object.entries(SCHEDULES)) {
    if (row.parts || row.read) continue
    const fields = Object.fromEntries(Object.keys(row.fields).map((field) => [field, 0.5]))
    const depends = PERCENTS.some((x) => weight({ kind, ...fields }, x, 0.1) !== weight({ kind, ...fields }, x, 9))
    assert.equal(depends, Boolean(row.readsNoise), kind)
  }
})

test("a schedule is read from the values of its node, and is none while one is missing", () => {
  assert.deepEqual(scheduleFrom("linear", { start: 7, end: 2 }), LINEAR)
  assert.equal(scheduleFrom("linear", { start: 7, end: undefined }), null)
  assert.equal(scheduleFrom("combined", { how: "join", at: 0.5, first: LINEAR, second: null }), null)
  assert.equal(scheduleFrom("curve", { curve: "no curve", low: 1, high: 7 }), null)
  const curve = scheduleFrom("curve", {
    curve: [
      [0, 0],
      [1, 1],
    ],
    low: 1,
    high: 7,
  })
  assert.deepEqual([curve?.kind, curve && weight(curve, 0.5, 1)], ["curve", 4])
})

test("a row of a table is all that a new schedule and a new combination need", () => {
  SCHEDULES.saw = {
    node: "Saw",
    fields: { top: "cfg" },
    weight: ({ top }, percent) => top * (percent % 0.5),
    corners: () => [0.5],
    readsNoise: true,
  }
  COMBINATIONS.mean = { weight: (first, second) => (first + second) / 2 }
  try {
    const saw = scheduleFrom("saw", { top: 8 })
    assert.deepEqual(saw, { kind: "saw", top: 8 })
    const mean = combined("mean", { kind: "saw", top: 8 }, LINEAR)
    assert.equal(weight(mean, 0.25, 1), (2 + 5.75) / 2)
    assert.equal(readsNoise(mean), true)
    assert.ok(sample(mean, sigmaSD).some(([x]) => x === 0.5 + 1e-9))
  } finally {
    delete SCHEDULES.saw
    delete COMBINATIONS.mean
  }
})

test("a reversed interval is told what to do", () => {
  assert.equal(faultOf({ ...INTERVAL, start: 0.8 }), "Lower start_percent or raise end_percent")
  for (const schedule of [INTERVAL, LINEAR, combined("join", LINEAR, SNR)]) assert.equal(faultOf(schedule), "")
})

test("what is not a curve has no points", () => {
  for (const value of [
    null,
    undefined,
    3,
    "x",
    [],
    [[0, 0]],
    [
      [0, 0],
      [1, "x"],
    ],
    { points: 3 },
    [[0], [1]],
  ]) {
    assert.deepEqual(knotsOf(value), [], JSON.stringify(value))
  }
  assert.deepEqual(
    knotsOf({
      points: [
        [1, 0.5],
        [0, 1],
      ],
    }),
    [
      [0, 1],
      [1, 0.5],
    ],
  )
})

test("a smooth curve goes through its points and overshoots none", () => {
  const points = [
    [0, 0.2],
    [0.1, 0.9],
    [0.31, 0.9],
    [0.33, 0.1],
    [0.6, 0.5],
    [0.95, 0.55],
  ]
  const curve = curvePoints({ points, interpolation: "monotone_cubic" }, 0, 1)
  assert.ok(curve)
  const schedule = { kind: "curve", ...curve }
  for (const [x, y] of points) assert.ok(Math.abs(weight(schedule, x, 1) - y) < 1e-12, `${x}`)
  for (const [x, y] of curve.points) {
    const right = points.findIndex(([knot]) => knot >= x)
    const [low, high] = right < 0 ? [0.55, 0.55] : right === 0 ? [0.2, 0.2] : [points[right - 1][1], points[right][1]]
    assert.ok(y >= Math.min(low, high) - 1e-12 && y <= Math.max(low, high) + 1e-12, `${x}: ${y}`)
  }
})

test("presets are curves from the first step to the last, inside the plot", () => {
  for (const [name, { points, interpolation }] of Object.entries(PRESETS)) {
    assert.ok(["linear", "monotone_cubic"].includes(interpolation), name)
    assert.deepEqual([points[0][0], points.at(-1)?.[0]], [0, 1], name)
    assert.deepEqual(knotsOf(points), points, name)
    assert.ok(
      points.every(([, height]) => height >= 0 && height <= 1),
      name,
    )
  }
})

test("noise falls from infinite to none", () => {
  for (const sigmaOf of [sigmaSD, sigmaFlow]) {
    const sigmas = PERCENTS.map(sigmaOf)
    assert.deepEqual([sigmas[0], sigmas.at(-1)], [Infinity, 0])
    assert.ok(sigmas.slice(1).every((sigma, i) => sigma < sigmas[i]))
  }
  assert.equal(sigmaFlow(0.5), 1)
})
