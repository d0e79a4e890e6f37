/** Numbers determined by a seed alone, so that a run can be repeated. */

/**
 * sfc32, seeded by hashing: small, fast, passes PractRand; for schedules, never for keys.
 * Source: https://pracrand.sourceforge.net/ (Chris Doty-Humphrey, "small fast counting" generator)
 *
 * @param {string} seed
 */
export function createRandom(seed) {
  let [a, b, c, counter] = [0x9e3779b9, 0x243f6a88, 0xb7e15162, 1]
  for (const character of seed) {
    a = Math.imul(a ^ character.charCodeAt(0), 0x85ebca6b) >>> 0
    b = (b + a + (a >>> 13)) >>> 0
  }
  const next = () => {
    const sum = (((a + b) >>> 0) + counter) >>> 0
    counter = (counter + 1) >>> 0
    a = (b ^ (b >>> 9)) >>> 0
    b = (c + (c << 3)) >>> 0
    c = ((c << 21) | (c >>> 11)) >>> 0
    c = (c + sum) >>> 0
    return sum / 2 ** 32
  }
  for (let i = 0; i < 15; i++) next()
  /** A whole number from `low` to `high`, both included. @param {number} low @param {number} high */
  const between = (low, high) => low + Math.floor(next() * (high - low + 1))
  return {
    /** uniform in [0, 1) */
    next,
    between,
    /** @template T @param {readonly T[]} items @returns {T} */
    pick: (items) => /** @type {T} */ (items[between(0, items.length - 1)]),
  }
}

/** @typedef {ReturnType<typeof createRandom>} Random */
