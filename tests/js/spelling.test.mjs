import assert from "node:assert/strict"
import { test } from "node:test"
import { mistake } from "../../web/js/spelling.mjs"

const METHOD = { names: ["CFG", "REG", "CFG matched"], heads: ["interval", "SNR"] }

test("a typo is told with what was meant", () => {
  assert.equal(mistake("method", "CFG, RGE", METHOD)?.line, "method RGE is unknown. Did you mean REG?")
  assert.equal(mistake("method", "SNRR 1.0, CFG", METHOD)?.line, "method SNRR 1.0 is unknown. Did you mean SNR?")
  assert.equal(mistake("method", "APG", METHOD)?.line, "method APG is unknown.")
  assert.equal(mistake("method", "APG", METHOD)?.details, "method takes CFG, REG, CFG matched, interval, SNR.")
})

test("what the axis takes is no mistake, in whatever case and with numbers after a schedule", () => {
  assert.equal(mistake("method", "cfg, Reg,\n CFG  Matched, interval 0.2 0.6,, snr", METHOD), null)
})

test("a word in the making is no mistake, but only at the end", () => {
  assert.equal(mistake("method", "CFG, R", METHOD), null)
  assert.equal(mistake("method", "", METHOD), null)
  assert.equal(mistake("method", "R, CFG", METHOD)?.line, "method R is unknown.")
})

test("a long value does not make a long line", () => {
  assert.ok((mistake("method", "x".repeat(1000), METHOD)?.line.length ?? 99) < 60)
})
