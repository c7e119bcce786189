import assert from "node:assert/strict"
import { test } from "node:test"
import { crc32, deflateSync } from "node:zlib"
import { changed, renumbered, withPrompt } from "../../web/js/tile_prompt.mjs"

const first = {
  1: { class_type: "A", inputs: {} },
  2: { class_type: "B", inputs: { a: ["1", 0], seed: 4, pair: [1, 2] } },
}

test("a prompt with changes lacks what they take out of it", () => {
  assert.deepEqual(changed(first, { 1: null, 3: { class_type: "C", inputs: {} } }), {
    2: first[2],
    3: { class_type: "C", inputs: {} },
  })
  assert.deepEqual(changed(undefined, { 1: first[1] }), { 1: first[1] })
})

test("ids that are taken are given to no other node, and seeds stay", () => {
  const moved = renumbered(first, [7, "3", "x"])
  assert.deepEqual(Object.keys(moved), ["8", "9"])
  assert.deepEqual(moved[9].inputs, { a: ["8", 0], seed: 4, pair: ["8", 2], control_after_generate: "fixed" })
})

/** A PNG chunk, by Node's own checksum. @param {string} kind @param {Uint8Array} content */
function chunk(kind, content) {
  const body = Buffer.concat([Buffer.from(kind, "latin1"), content])
  const [length, sum] = [Buffer.alloc(4), Buffer.alloc(4)]
  length.writeUInt32BE(content.length)
  sum.writeUInt32BE(crc32(body))
  return Buffer.concat([length, body, sum])
}

test("a picture has the prompt behind its first chunk, in Latin-1", () => {
  const size = Buffer.from([0, 0, 0, 1, 0, 0, 0, 1, 8, 0, 0, 0, 0])
  const before = Buffer.concat([Buffer.from("\x89PNG\r\n\x1a\n", "latin1"), chunk("IHDR", size)])
  const after = Buffer.concat([chunk("IDAT", deflateSync(Buffer.from([0, 9]))), chunk("IEND", Buffer.alloc(0))])
  const prompt = { 1: { class_type: "Text", inputs: { text: "Gänse 雁 \u{1f986}" } } }
  const file = Buffer.from(withPrompt(Buffer.concat([before, after]), prompt))
  assert.deepEqual(file.subarray(0, before.length), before)
  assert.deepEqual(file.subarray(file.length - after.length), after)
  const added = file.subarray(before.length, file.length - after.length)
  const text = added.subarray(8, added.length - 4).toString("latin1")
  assert.deepEqual(added, chunk("tEXt", Buffer.from(text, "latin1")))
  assert.match(text, /^prompt\0[\x20-\x7e]*$/)
  assert.deepEqual(JSON.parse(text.slice("prompt\0".length)), prompt)
})
