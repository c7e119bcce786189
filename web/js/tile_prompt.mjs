/** The prompt of a tile: from what is sent of it, for the open workflow, and inside a picture that is saved. */

/** @typedef {Record<string, any>} Prompt nodes by id, in API format */

/**
 * A prompt with other nodes, without those that are null.
 * @param {Prompt} [prompt]
 * @param {Prompt} [changes]
 * @returns {Prompt}
 */
export function changed(prompt, changes) {
  return Object.fromEntries(Object.entries({ ...prompt, ...changes }).filter(([, node]) => node))
}

/**
 * The prompt with node ids that the open workflow does not use, for the host would show its pictures on nodes of the
 * same id; and with seeds that stay, for a new node draws another after each run.
 * @param {Prompt} prompt
 * @param {(string | number)[]} taken ids of the open workflow
 * @returns {Prompt}
 */
export function renumbered(prompt, taken) {
  const first = Math.max(0, ...taken.map(Number).filter(Number.isFinite)) + 1
  const ids = new Map(Object.keys(prompt).map((id, index) => [id, String(first + index)]))
  const moved = Object.entries(prompt).map(([id, node]) => {
    const inputs = Object.entries(node.inputs).map(([name, value]) => [name, isLink(value) ? link(value) : value])
    if ("seed" in node.inputs || "noise_seed" in node.inputs) inputs.push(["control_after_generate", "fixed"])
    return [ids.get(id), { ...node, inputs: Object.fromEntries(inputs) }]
  })
  return Object.fromEntries(moved)

  /** @param {[unknown, unknown]} value */
  function link([id, slot]) {
    return [ids.get(String(id)), slot]
  }

  /** @param {unknown} value @returns {value is [unknown, unknown]} */
  function isLink(value) {
    return Array.isArray(value) && value.length === 2 && ids.has(String(value[0]))
  }
}

const HEAD = 8 + 25 // the signature of a PNG file and its first chunk, which a text may follow

/**
 * A PNG file with a prompt in it, as the host saves one: a page opens it as a workflow.
 * @param {Uint8Array} file
 * @param {Prompt} prompt
 */
export function withPrompt(file, prompt) {
  // The text of this chunk is Latin-1.
  const escaped = JSON.stringify(prompt).replace(
    /[\u007f-\uffff]/g,
    (sign) => `\\u${sign.charCodeAt(0).toString(16).padStart(4, "0")}`,
  )
  const content = new TextEncoder().encode(`tEXtprompt\0${escaped}`)
  const chunk = new Uint8Array(content.length + 8)
  const view = new DataView(chunk.buffer)
  view.setUint32(0, content.length - 4)
  chunk.set(content, 4)
  view.setUint32(content.length + 4, checksum(content))
  const whole = new Uint8Array(file.length + chunk.length)
  whole.set(file.subarray(0, HEAD))
  whole.set(chunk, HEAD)
  whole.set(file.subarray(HEAD), HEAD + chunk.length)
  return whole
}

/** The CRC-32 of a PNG chunk. @param {Uint8Array} bytes */
function checksum(bytes) {
  let sum = ~0
  for (const byte of bytes) {
    sum ^= byte
    for (let bit = 0; bit < 8; bit++) sum = (sum >>> 1) ^ (sum & 1 ? 0xedb88320 : 0)
  }
  return ~sum >>> 0
}
