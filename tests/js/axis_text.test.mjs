import assert from "node:assert/strict"
import { test } from "node:test"
import { readValues, writeValues } from "../../web/js/axis_text.mjs"

test("values stand between commas, semicolons and new lines", () => {
  assert.deepEqual(readValues("cfg", " 3; 5\n7,, 2-8 x4"), { before: "", values: ["3", "5", "7", "2-8 x4"] })
  assert.deepEqual(readValues("cfg", " , "), { before: "", values: [] })
})

test("what is quoted is one value", () => {
  const text = 'a cat, "a dog, asleep", b'
  assert.deepEqual(readValues("prompt", text), { before: "", values: ["a cat", "a dog, asleep", "b"] })
  assert.equal(writeValues("", readValues("prompt", text).values), text)
})

test("the name of a widget stands before its values", () => {
  assert.deepEqual(readValues("widget", "plan.shift=1, 3"), { before: "plan.shift=", values: ["1", "3"] })
  assert.equal(writeValues("plan.shift =", ["1", "3", "6"]), "plan.shift = 1, 3, 6")
  assert.deepEqual(readValues("widget", "1, 3"), { before: "", values: ["1", "3"] })
})
