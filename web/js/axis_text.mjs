/** The values of an axis as they are written: commas, semicolons or new lines between, in double quotes part of one. */

const PARTS = /(?:"[^"]*"|[^,;\n])+/g
const NAMED = "widget" // the axis whose text begins with the name of what it sets, and the sign =

/**
 * What stands before the values, and the values.
 * @param {string} axis
 * @param {string} text
 * @returns {{before: string, values: string[]}}
 */
export function readValues(axis, text) {
  const end = axis === NAMED ? text.indexOf("=") + 1 : 0
  const parts = (text.slice(end).match(PARTS) ?? []).map((part) => part.trim()).filter(Boolean)
  return { before: text.slice(0, end).trim(), values: parts.map((part) => /^"([^"]*)"$/.exec(part)?.[1] ?? part) }
}

/**
 * The text of values.
 * @param {string} before
 * @param {string[]} values
 */
export function writeValues(before, values) {
  const text = values.map((value) => (/[,;\n]/.test(value) ? `"${value.replaceAll('"', "")}"` : value)).join(", ")
  return before ? `${before} ${text}` : text
}
