/** Which word was meant by one that is not known; nodes/compare/spelling.py does the same before a run. */

/**
 * How many letters to write, leave out, replace or swap with the next one (optimal string alignment).
 * @param {string} one
 * @param {string} other
 */
export function distance(one, other) {
  /** @type {number[]} */
  let last = []
  /** @type {number[]} */
  let before = []
  let row = Array.from({ length: other.length + 1 }, (_, j) => j)
  for (let i = 1; i <= one.length; i++) {
    ;[last, before, row] = [before, row, [i]]
    for (let j = 1; j <= other.length; j++) {
      const replaced = before[j - 1] + Number(one[i - 1] !== other[j - 1])
      const swapped = i > 1 && j > 1 && one[i - 1] === other[j - 2] && one[i - 2] === other[j - 1]
      row.push(Math.min(before[j] + 1, row[j - 1] + 1, replaced, swapped ? last[j - 2] + 1 : Infinity))
    }
  }
  return row[other.length]
}

/**
 * The first of the nearest known words, in whatever case; empty if none is within a third of its letters.
 * @param {string} word
 * @param {string[]} known
 */
export function meant(word, known) {
  let nearest = ""
  let least = 1
  for (const candidate of known) {
    if (Math.abs(candidate.length - word.length) > candidate.length / 3) continue
    const share = distance(word.toLowerCase(), candidate.toLowerCase()) / candidate.length
    if (share <= 1 / 3 && share < least) [nearest, least] = [candidate, share]
  }
  return nearest
}

/** @typedef {{names: string[], heads: string[]}} Words values that are a name, and names that numbers may follow */

/**
 * What to say of the first value in a text, with commas between, that is no word of an axis; null if there is none.
 * The last one may be the beginning of a word, for it may be in the making.
 * @param {string} axis
 * @param {string} text
 * @param {Words} words
 */
export function mistake(axis, text, { names, heads }) {
  if (!names.length && !heads.length) return null // numbers and words of the artist
  const parts = text.split(/[,;\n]/).map((part) => part.trim().replace(/\s+/g, " "))
  for (const [index, part] of parts.entries()) {
    const [whole, head] = [part.toLowerCase(), part.split(" ")[0].toLowerCase()]
    const isKnown =
      names.some((name) => name.toLowerCase() === whole) || heads.some((name) => name.toLowerCase() === head)
    const isBegun =
      index === parts.length - 1 && [...names, ...heads].some((name) => name.toLowerCase().startsWith(whole))
    if (!part || isKnown || isBegun) continue
    const guess = meant(part, names) || meant(part.split(" ")[0], heads)
    const shown = part.length > 24 ? `${part.slice(0, 23)}…` : part
    const line = guess ? `${axis} ${shown} is unknown. Did you mean ${guess}?` : `${axis} ${shown} is unknown.`
    return { line, details: `${axis} takes ${[...names, ...heads].join(", ")}.` }
  }
  return null
}
